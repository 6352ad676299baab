"""Comments and string literals of a text, whether it parses or not: many times as fast as `tokenize`."""

from dataclasses import dataclass

from minicode_assets.corpus import native


@dataclass(frozen=True, slots=True)
class Lexemes:
    """Measures of the comments and string literals of one text.

    Attributes:
        comment_characters: Characters of all comments, each from its `#` to the end of its line.
        num_comment_lines: Comments with nothing but white space before them on their line.
        num_todos: Comments that say todo, fixme or "your code here".
        string_characters: Characters of all string literals, quotes included, prefixes left out.
        long_string_word_characters: Of those the ones in long words of literals, addresses of the web left out.
        num_long_string_lines: Lines of literals with many words.
    """

    comment_characters: int
    num_comment_lines: int
    num_todos: int
    string_characters: int
    long_string_word_characters: int
    num_long_string_lines: int


def measure_lexemes(text: str, *, long_word_length: int, long_string_words: int) -> Lexemes:
    """Measure comments and string literals; a literal that never ends reaches the end.

    Args:
        text: Any text.
        long_word_length: Words with more characters are long.
        long_string_words: Lines of literals with more words are long.
    """
    return Lexemes(*native.lexemes_of(text, long_word_length, long_string_words))


def token_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each comment and string literal, quotes included, in text order."""
    return native.spans_of(text)
