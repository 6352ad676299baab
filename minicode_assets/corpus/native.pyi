"""Kernels in C (csrc/): measures of one text, each the same as that of slow Python, which the tests compare."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

def characters_of(text: str, /) -> tuple[int, int, int, int, int, int, int, int]:
    """The fields of annotate.characters.Characters."""

def encoded_of(text: str, /) -> tuple[int, int]:
    """Characters inside runs of encoded data, and the longest run; see annotate.encoded."""

def hex_words_of(text: str, /) -> int:
    """Words that are hexadecimal numbers; see annotate.encoded."""

def key_places(text: str, makers: tuple[tuple[bytes, int, bytes, int], ...], /) -> list[int]:
    """Where keys may begin.

    Args:
        text: Any text.
        makers: First characters of a key (ASCII), least length of the run of letters, digits, `_` and `-` that begins
            with them, what stands behind that run, and how many of the first characters stand before the key: if any,
            nothing else counts.
    """

def joined_key_places(text: str, makers: tuple[tuple[bytes, int, bytes, int], ...], /) -> list[list[tuple[int, int]]]:
    """The runs of neighbouring literals in which keys may begin once they are put together.

    Returns:
        For each run (start, end) of what is between the quotes of each of its literals, two and more.
    """

def spans_of(text: str, /) -> list[tuple[int, int]]:
    """(start, end) of each comment and string literal, quotes included, in text order."""

def lines_of(text: str, /) -> tuple[int, int, int, int]:
    """Lines of more than one character once stripped, the different ones, those with an equal one, those not blank."""

def words_of(text: str, long_word_length: int, /) -> tuple[int, int, int, int, int, int, int, int, int, int, int, int]:
    """Words, their characters, those of long ones, then how their n-grams repeat.

    Returns:
        Count and characters of the most frequent 2-, 3- and 4-gram (0 where none repeats), then the characters of the
        words inside repeated 5-, 6- and 10-grams.
    """

def most_dots_of(text: str, /) -> int:
    """Most dots in a run of names, dots, white space and backslashes."""

def lexemes_of(text: str, long_word_length: int, long_string_words: int, /) -> tuple[int, int, int, int, int, int]:
    """The fields of annotate.lexer.Lexemes."""

def syntax_of(
    text: str, /
) -> tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int] | None:
    """The fields of annotate.syntax.Syntax but the first, of a text that parses; None where only the tree tells."""

def screen_texts(
    texts: list[bytes],
    rules: tuple[tuple[int, npt.NDArray[np.uint64], int, int], ...],
    shape_tokens: int,
    shapes: npt.NDArray[np.uint64],
    stable: npt.NDArray[np.uint64],
    operators: bytes,
    hash_long: Callable[[bytes], int],
    /,
) -> list[tuple[int, int]]:
    """The texts that have enough n-grams of words, or a run of tokens, with one of these hashes.

    Args:
        texts: UTF-8.
        rules: n and hashes of n-grams of words, as of shingles.hash_ngrams, how many different ones are enough, and
            how many words lie between two of them at most; at most four.
        shape_tokens: Tokens a run; 0 looks for none.
        shapes: Hashes of runs, as of shapes.tokenise.
        stable: Hashes of the words that are no names.
        operators: Bytes that are tokens of their own.
        hash_long: The hash of a word of more than shingles.LONG_WORD_BYTES.

    Returns:
        Number of the text, and a bit for each of the rules, shapes last.
    """
