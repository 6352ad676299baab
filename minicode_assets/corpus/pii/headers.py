"""Copyright headers: the comment lines at the top of a file that hold a copyright or licence notice."""

import re
from collections.abc import Iterator

from minicode_assets.corpus.pii.spans import Regions, Span

MAY_OCCUR = (
    r"(?i)#[^\n]*(?:copyright|\(c\)|licen[cs]e|terms of|rights reserved|permission is|redistribution|software|©)"
)
"""Pattern without which no header is in a text."""
_KEPT = re.compile(r"\A\ufeff?(?:#![^\n]*\n)?(?:[ \t]*#[^\n]{0,200}?coding[:=][^\n]*\n)?")
"""Interpreter line and PEP 263 cookie."""
_BLOCK = re.compile(r"(?:[ \t]*\r?\n)*+((?:[ \t]*#[^\n]*(?:\n|\Z))+)")
_NOTICE = re.compile(
    r"\bcopyright\b|\(c\)[ ]?\d{4}|©|all rights reserved|SPDX-License-Identifier|licen[cs]ed (?:under|to)"
    r"|under the terms of|permission is hereby granted|redistribution and use|this program is free software",
    re.IGNORECASE,
)


def find_headers(regions: Regions) -> Iterator[Span]:
    """Each of the comment blocks before the first statement that holds a notice, with its line ends."""
    text = regions.text
    kept = _KEPT.match(text)
    position = kept.end() if kept else 0
    while block := _BLOCK.match(text, position):
        if _NOTICE.search(block[1]):
            yield Span(*block.span(1), "copyright", "header")
        position = block.end()
