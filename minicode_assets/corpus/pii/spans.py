"""What a detector gives back, and the parts of a text in which it may look."""

import bisect
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from minicode_assets.corpus.annotate.lexer import token_spans

KINDS = ("email", "ip", "key", "password", "name", "copyright")
"""What can be found. `copyright` is a header, which is not private: it can be removed, not replaced."""
_HARMLESS = re.compile(r"[\w<>.:]+")
_ESCAPE_CHARACTERS = 128
"""More than the longest escape sequence has. Source: the longest of Unicode's names has 88 characters."""
_ESCAPE_LENGTHS = {"x": 3, "u": 5, "U": 9}


class Span(NamedTuple):
    """A find: characters start to end (exclusive) of a text, what it is, and the rule that says so."""

    start: int
    end: int
    kind: str
    rule: str


class Regions:
    """The comments and string literals of a text: the only places where personal data can stand, or be replaced.

    `a@b.T` outside of them is a product of matrices, and a replacement there would break the syntax.

    Attributes:
        text: The text.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @functools.cached_property
    def _spans(self) -> tuple[list[int], list[int]]:
        """Starts and ends of the comments and literals."""
        spans = token_spans(self.text)
        return [start for start, _ in spans], [end for _, end in spans]

    @functools.cached_property
    def _lower(self) -> str:
        """The text in lower case, at the same length."""
        lower = self.text.lower()
        if len(lower) == len(self.text):
            return lower
        return "".join(small if len(small := letter.lower()) == 1 else letter for letter in self.text)

    def places(self, words: Sequence[str]) -> Iterator[int]:
        """Where each of some words (in lower case) begins, in any case."""
        for word in words:
            yield from places_of(word, self._lower)

    def places_before(self, mark: str, words: Sequence[str]) -> Iterator[int]:
        """Where each of some words begins that stands right before a mark; all in lower case, in any case."""
        for end in places_of(mark, self._lower):
            yield from (end - len(word) for word in words if self._lower.endswith(word, 0, end))

    def around(self, start: int, end: int) -> tuple[int, int] | None:
        """The comment or literal, as (start, end), in which all these characters stand; None outside of one."""
        starts, ends = self._spans
        index = bisect.bisect_right(starts, start) - 1
        if index < 0 or end > ends[index]:
            return None
        return starts[index], ends[index]

    def in_comment(self, start: int, end: int) -> bool:
        """Whether these characters stand in one comment."""
        region = self.around(start, end)
        return region is not None and self.text[region[0]] == "#"

    def may_hold(self, start: int, end: int, replacement: str) -> bool:
        """Whether a text that parses surely still does when these characters become `replacement`.

        So it is inside a comment, and inside a literal that is not formatted and has no escape nearby: the longest is
        that of a character by its name. False says nothing.
        """
        region = self.around(start, end)
        if region is None or not replacement.isascii() or not _HARMLESS.fullmatch(replacement):
            return False
        first, last = region
        if self.text[first] == "#":
            return start > first
        width = 3 if self.text[first : first + 3] == 3 * self.text[first] else 1
        prefix = self.text[max(0, first - 2) : first].lower()
        near = self.text[max(first, start - _ESCAPE_CHARACTERS) : end]
        return "f" not in prefix and first + width <= start and end <= last - width and "\\" not in near


def places_of(word: str, text: str) -> Iterator[int]:
    """Where a word begins in a text: many times faster than `re`, which tries every place."""
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + 1)


def after_escape(text: str, start: int, end: int) -> int:
    r"""Where a find really starts: behind the escape sequence that its first letters may belong to (`\nbob@...`)."""
    slashes = start
    while slashes and text[slashes - 1] == "\\" and start - slashes < 64:
        slashes -= 1
    if (start - slashes) % 2 == 0:
        return start
    return min(end, start + _ESCAPE_LENGTHS.get(text[start], 1))


def without_overlaps(spans: Iterable[Span], order: Sequence[str]) -> list[Span]:
    """Spans in text order of which no two overlap; of two that do, the one whose kind is first in `order` stays.

    Of one kind the longer stays, then the earlier. Empty spans are left out.
    """
    preference = {kind: number for number, kind in enumerate(order)}
    ranked = sorted(set(spans), key=lambda s: (preference[s.kind], s.start - s.end, s.start, s.rule))
    covered = bytearray(max((span.end for span in ranked), default=0))
    taken = []
    for span in ranked:
        if span.end > span.start and covered.find(1, span.start, span.end) < 0:
            covered[span.start : span.end] = b"\1" * (span.end - span.start)
            taken.append(span)
    return sorted(taken)
