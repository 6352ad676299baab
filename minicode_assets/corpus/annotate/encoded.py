"""Runs of encoded data in a text: base64, hex and unicode escapes. Source: StarCoder2's filters, curation.md 2.2."""

import re

import polars as pl

PATTERNS = (
    r"[a-zA-Z0-9+/\n=]{64,}",
    r"(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)){8,}",
    r"(?:\\u[0-9a-fA-F]{4}){8,}",
)
"""As StarCoder2 has them."""
_COMPILED = tuple(re.compile(pattern) for pattern in PATTERNS)
_ALL_NEWLINES = re.compile(r"\n+")


def may_have_runs(texts: pl.Series) -> pl.Series:
    """Whether any pattern occurs in each text (null for null), by a regex engine without backtracking."""
    return texts.str.contains(PATTERNS[0]) | texts.str.contains(PATTERNS[1]) | texts.str.contains(PATTERNS[2])


def encoded_runs(text: str) -> tuple[int, int]:
    """(characters inside runs, longest run) of a text; overlapping runs of different patterns count once."""
    spans = sorted(match.span() for pattern in _COMPILED for match in pattern.finditer(text))
    total = longest = reached = 0
    for start, end in spans:
        longest = max(longest, end - start)
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total, longest
