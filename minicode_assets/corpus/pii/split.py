"""Keys that stand in several literals, as long lines are wrapped: `"ghp_16C7e42F292c69" "12E7f8p4bGdH..."`."""

import bisect
import itertools
import re
from collections.abc import Iterator

from minicode_assets.corpus.pii.secrets import find_keys
from minicode_assets.corpus.pii.spans import Regions, Span

_BETWEEN = r"[ \t\r\n\f\\+]"
MAY_OCCUR = (
    r"(?:A[KSBC][IC]A|gh[pousr]_|github_pat_|gl(?:pat|dt|rt|ptt|cbt)-|xox[abeoprs]-|xapp-|[sr]k_(?:live|test)_|whsec_"
    r"|AIza|ya29\.|GOCSPX-|sk-|hf_|api_org_|npm_|pypi-Ag|SG\.|eyJ|do[opr]_v1_|shp(?:at|ca|pa|ss)_|dapi|NRAK-|lin_api_"
    rf"|ATATT3|gsk_|AGE-SECRET)[A-Za-z0-9_.=-]{{0,250}}[\"']{_BETWEEN}{{0,200}}[rRbBuUfF]{{0,2}}[\"']"
)
"""Pattern without which no key is split: its first letters at the end of a literal that another one follows."""
_PLACE = re.compile(MAY_OCCUR)
_GAP = re.compile(rf"{_BETWEEN}*[A-Za-z]{{0,2}}\Z")
_QUOTES = re.compile(r"\"\"\"|'''|\"|'")


def find_split(regions: Regions) -> Iterator[Span]:
    """The parts of each key in neighbouring literals, as finds of their own; keys within one literal are left out."""
    reached = 0
    for match in _PLACE.finditer(regions.text):
        if match.start() >= reached:
            pieces = _neighbours(regions, match.start())
            reached = pieces[-1][1] if pieces else match.end()
            yield from _finds(regions.text, pieces)


def _neighbours(regions: Regions, place: int) -> list[tuple[int, int]]:
    """What stands between the quotes of the literal at a place, and of those that follow with only space between."""
    pieces: list[tuple[int, int]] = []
    reached = -1
    for start, end in regions.behind(place):
        quotes = _QUOTES.match(regions.text, start, end)
        if not quotes or (reached >= 0 and not _GAP.match(regions.text[reached:start])):
            break
        reached = end
        pieces.append((quotes.end(), max(quotes.end(), end - len(quotes[0]))))
    return pieces


def _finds(text: str, pieces: list[tuple[int, int]]) -> Iterator[Span]:
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
