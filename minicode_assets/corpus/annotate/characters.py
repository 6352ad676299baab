"""Lines and character classes of a text, counted on its bytes with numpy."""

import functools
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_NEWLINE = re.compile(r"\r\n|\r|\n")
_CLASSES = (str.isalpha, str.isalnum, str.isspace, str.isdigit)


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
    if text.isascii():
        codes: npt.NDArray[np.unsignedinteger] = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
        counts = np.bincount(codes, minlength=128) @ _ascii_classes()
    else:
        codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        counts = _unicode_classes()[codes].sum(axis=0, dtype=np.int64)
    num_lines, line_characters, max_line_length = _lines(text, codes)
    alphabetic, alphanumeric, whitespace, digits = (int(count) for count in counts)
    return Characters(
        len(text), num_lines, line_characters, max_line_length, alphabetic, alphanumeric, whitespace, digits
    )


def split_lines(text: str) -> list[str]:
    """The lines of a text, without their ends; none for an empty text."""
    lines = _NEWLINE.split(text) if "\r" in text else text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _lines(text: str, codes: npt.NDArray[np.unsignedinteger]) -> tuple[int, int, int]:
    """(number of lines, characters in them, length of the longest)."""
    if "\r" in text:
        lengths = [len(line) for line in split_lines(text)]
        return len(lengths), sum(lengths), max(lengths, default=0)
    ends = np.flatnonzero(codes == 10)
    if codes.size and codes[-1] != 10:
        ends = np.append(ends, codes.size)
    if not ends.size:
        return 0, 0, 0
    widths = np.diff(ends, prepend=-1) - 1
    return ends.size, int(widths.sum()), int(widths.max())


@functools.cache
def _ascii_classes() -> npt.NDArray[np.int64]:
    """128 code points x the four classes, 0 or 1."""
    return np.array([[test(chr(code)) for test in _CLASSES] for code in range(128)], dtype=np.int64)


@functools.cache
def _unicode_classes() -> npt.NDArray[np.uint8]:
    """All code points x the four classes, 0 or 1 (4.5 MB)."""
    characters = list(map(chr, range(0x110000)))
    classes = [np.fromiter(map(test, characters), dtype=np.uint8, count=0x110000) for test in _CLASSES]
    return np.stack(classes, axis=1)
