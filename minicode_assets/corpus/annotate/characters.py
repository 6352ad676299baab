"""Lines and character classes of a text."""

import re
from dataclasses import dataclass

from minicode_assets.corpus import native

_NEWLINE = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Characters:
    r"""Counts of one text. Lines end at \n, \r\n or \r; their ends are no characters of theirs.

    Attributes:
        num_characters: All characters, line ends included.
        num_lines: Lines; a line end at the end of the text begins no further line.
        line_characters: Characters of all lines.
        max_line_length: Of the longest line. Unit: characters.
        alphabetic: Characters for which `str.isalpha` holds.
        alphanumeric: The same for `str.isalnum`.
        whitespace: The same for `str.isspace`.
        digits: The same for `str.isdigit`.
    """

    num_characters: int
    num_lines: int
    line_characters: int
    max_line_length: int
    alphabetic: int
    alphanumeric: int
    whitespace: int
    digits: int


def count_characters(text: str) -> Characters:
    """Count lines and character classes of a text."""
    return Characters(*native.characters_of(text))


def split_lines(text: str) -> list[str]:
    """The lines of a text, without their ends; none for an empty text."""
    lines = _NEWLINE.split(text) if "\r" in text else text.split("\n")
    return lines if lines[-1] else lines[:-1]
