"""Changes of a file between two commits as StarCoder2 shows them: the changed part of the base, then hunks on it.

Source: the published code's behaviour (the-stack-v2, rendering of pull requests); lines are numbered from 1 within the
part of the base that is shown. Where that code's last hunk runs over the end of the file, ours stops there.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from minicode_assets.sources.commits import edits, ends_in_common

Edit = tuple[str, int, int, int, int]


class Change(NamedTuple):
    """A file that both sides have, with different texts."""

    path: str
    base: str
    head: str


def changed_range(change: Change) -> tuple[int, int]:
    """First line and the one behind the last that change in the base, from 0."""
    base, head = change.base.splitlines(), change.head.splitlines()
    first, behind = ends_in_common(base, head)
    return (first, len(base) - behind) if base != head else (0, 0)


def hunks(change: Change, first_line: int, context: int) -> list[str]:
    """The differences as unified hunks.

    Args:
        change: Both texts.
        first_line: Where the shown part of the base begins, from 0.
        context: Lines around a change; changes that are no further apart are one hunk.
    """
    base, head = change.base.splitlines()[first_line:], change.head.splitlines()[first_line:]
    blocks: list[list[Edit]] = []
    for edit in edits(base, head):
        if blocks and edit[1] - context <= blocks[-1][-1][2]:
            blocks[-1].append(edit)
        else:
            blocks.append([edit])
    ends = [0, *(block[-1][2] for block in blocks)]
    starts = [*(block[0][1] for block in blocks), len(base)]
    return [
        _hunk(base, head, block, min(context, starts[n] - ends[n]), min(context, starts[n + 1] - ends[n + 1]))
        for n, block in enumerate(blocks)
    ]


def _hunk(base: Sequence[str], head: Sequence[str], block: list[Edit], before: int, after: int) -> str:
    """One hunk: its header, context, changes, context; without a new line at the end where context stands there."""
    (_, i1, _, j1, _), (_, _, i2, _, j2) = block[0], block[-1]
    start, stop, head_start, head_stop = i1 - before, i2 + after, j1 - before, j2 + after
    lines = [f" {line}\n" for line in base[start:i1]]
    position = i1
    for _, first, last, head_first, head_last in block:
        lines += [f" {line}\n" for line in base[position:first]]
        lines += [f"-{line}\n" for line in base[first:last]]
        lines += [f"+{line}\n" for line in head[head_first:head_last]]
        position = last
    tail = "\n".join(f" {line}" for line in base[i2:stop])
    header = f"@@ -{start + 1},{stop - start} +{head_start + 1},{head_stop - head_start} @@\n"
    return header + "".join(lines) + tail


def moved(hunk: str, lines: int) -> str:
    """A review comment's hunk with its header counted from the shown part of the base, unless it lies before it."""
    found = re.match(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@", hunk)
    if not found or int(found[1]) < lines or int(found[3]) < lines:
        return hunk
    header = f"@@ -{int(found[1]) - lines}{found[2] or ''} +{int(found[3]) - lines}{found[4] or ''} @@"
    return header + hunk[found.end() :]
