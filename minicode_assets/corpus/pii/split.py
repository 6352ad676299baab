"""Keys that stand in several literals, as long lines are wrapped: `"ghp_16C7e42F292c69" "12E7f8p4bGdH..."`."""

import bisect
import itertools
from collections.abc import Iterator, Sequence

from minicode_assets.corpus.pii.secrets import find_keys, joined_literals
from minicode_assets.corpus.pii.spans import Regions, Span


def find_split(regions: Regions) -> Iterator[Span]:
    """The parts of each key in neighbouring literals, as finds of their own; keys within one literal are left out."""
    for pieces in joined_literals(regions.text):
        yield from _finds(regions.text, pieces)


def _finds(text: str, pieces: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """Keys of the pieces put together that reach over an edge, piece by piece."""
    edges = list(itertools.accumulate((end - start for start, end in pieces), initial=0))
    joined = "".join(text[start:end] for start, end in pieces)
    for first, last, rule in find_keys(joined):
        begin, end = bisect.bisect_right(edges, first) - 1, bisect.bisect_left(edges, last)
        if end == begin + 1 or any(find_keys(joined[first : edges[begin + 1]])):
            continue
        for number in range(begin, end):
            start, shift = max(first, edges[number]), pieces[number][0] - edges[number]
            if edges[number + 1] > start:
                yield Span(start + shift, min(last, edges[number + 1]) + shift, "key", rule)
