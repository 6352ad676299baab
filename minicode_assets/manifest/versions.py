"""Orders of versions: PEP 440 for PyPI's releases, Debian's policy for source packages."""

import re
from typing import Any

from packaging.version import InvalidVersion, Version

SOURCE_SUFFIXES = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar", ".zip")
"""Source archives of one release, the preferred first; any other file comes after them."""
_END = ((0,), 0)
"""What Debian's comparison reads past the end of a version: no characters, then the number 0."""


def pep440_key(version: str) -> tuple[bool, Any]:
    """Sort key of a release's version; what PEP 440 does not know sorts below, by its numbers and letters."""
    try:
        return True, Version(version)
    except InvalidVersion:
        pieces = re.findall(r"\d+|\D+", version)
        return False, [(piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces]


def archive_preference(filename: str) -> int:
    """Rank of a file among those of one release: source archives first, 0 is the best."""
    for rank, suffix in enumerate(SOURCE_SUFFIXES):
        if filename.lower().endswith(suffix):
            return rank
    return len(SOURCE_SUFFIXES)


def debian_key(version: str) -> tuple[int, Any, Any]:
    """Sort key of a Debian version `[epoch:]upstream[-revision]`.

    Source: Debian Policy 5.6.12: letters sort before other characters, `~` before everything, even the end.
    """
    epoch, colon, rest = version.partition(":")
    if not colon or not epoch.isdecimal():
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch), _part_key(upstream), _part_key(revision)


def _part_key(text: str) -> list[tuple[tuple[int, ...], int]]:
    """Alternating runs of other characters and digits; a run ends with 0, so that `~` (-1) sorts before the end."""
    runs = re.findall(r"([^0-9]*)([0-9]*)", text)
    key = [((*(_character_key(c) for c in word), 0), int(number or 0)) for word, number in runs]
    while key and key[-1] == _END:
        key.pop()
    return [*key, _END]


def _character_key(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isascii() and character.isalpha() else ord(character) + 256
