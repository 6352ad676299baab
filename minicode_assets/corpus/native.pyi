"""Kernels in C (csrc/): measures of one text, each the same as that of slow Python, which the tests compare."""

def characters_of(text: str, /) -> tuple[int, int, int, int, int, int, int, int]:
    """The fields of annotate.characters.Characters."""

def lines_of(text: str, /) -> tuple[int, int, int, int]:
    """Lines of more than one character once stripped, the different ones, those with an equal one, those not blank."""

def words_of(text: str, long_word_length: int, /) -> tuple[int, int, int, int, int, int, int, int, int, int, int, int]:
    """Words, their characters, those of long ones, then how their n-grams repeat.

    Returns:
        Count and characters of the most frequent 2-, 3- and 4-gram (0 where none repeats), then the characters of the
        words inside repeated 5-, 6- and 10-grams.
    """

def lexemes_of(text: str, long_word_length: int, long_string_words: int, /) -> tuple[int, int, int, int, int, int]:
    """The fields of annotate.lexer.Lexemes."""

def syntax_of(
    text: str, /
) -> tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, int, int] | None:
    """The fields of annotate.syntax.Syntax but the first, of a text that parses; None where only the tree tells."""
