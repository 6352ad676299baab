"""Directories that contain themselves, and the order in which the others can be measured.

A hash can't be part of what it hashes, so a cycle is always damage; its entries are refused, not followed.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from minicode_assets.manifest.csr import Flags, Ints, offsets_of, slice_positions


def bottom_up(sub_offsets: Ints, sub_directory: Ints) -> tuple[list[npt.NDArray[np.int64]], Flags]:
    """Directories in rounds, each after all its subdirectories, and which were never ready.

    Args:
        sub_offsets: (D + 1) Subdirectory links of each directory.
        sub_directory: (S) Their targets.

    Returns:
        (rounds, left): what is left contains a cycle somewhere below.
    """
    num_directories = len(sub_offsets) - 1
    waiting = np.diff(sub_offsets)
    parents = np.repeat(np.arange(num_directories), waiting)[np.argsort(sub_directory, kind="stable")]
    parent_offsets = offsets_of(np.bincount(sub_directory, minlength=num_directories))
    done = waiting == 0
    ready = np.flatnonzero(done)
    rounds = []
    while ready.size:
        rounds.append(ready)
        links = slice_positions(parent_offsets[ready], parent_offsets[ready + 1] - parent_offsets[ready])
        above, times = np.unique(parents[links], return_counts=True)
        waiting[above] -= times
        ready = above[waiting[above] == 0]
        done[ready] = True
    return rounds, ~done


def cyclic_links(sub_offsets: Ints, sub_directory: Ints, left: Flags) -> Flags:
    """Which subdirectory links lie on a cycle: both ends in one strongly connected component.

    Args:
        sub_offsets: (D + 1) Subdirectory links of each directory.
        sub_directory: (S) Their targets.
        left: (D) Directories that `bottom_up` left; in real exports none.
    """
    component = np.full(len(sub_offsets) - 1, -1, np.int64)
    for number, members in enumerate(_components(sub_offsets, sub_directory, np.flatnonzero(left))):
        component[members] = number
    sources = component[np.repeat(np.arange(len(component)), np.diff(sub_offsets))]
    cyclic: Flags = (sources >= 0) & (sources == component[sub_directory])
    return cyclic


def _components(sub_offsets: Ints, sub_directory: Ints, starts: Ints) -> Iterator[list[int]]:
    """Strongly connected components below some directories. Source: Tarjan 1972, with an explicit stack."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    open_nodes: list[int] = []
    is_open: set[int] = set()
    for start in starts.tolist():
        pending = [] if start in index else [(start, int(sub_offsets[start]))]
        while pending:
            node, link = pending.pop()
            if node not in index:
                index[node] = low[node] = len(index)
                open_nodes.append(node)
                is_open.add(node)
            link, below = _next_unseen(node, link, int(sub_offsets[node + 1]), sub_directory, index, low, is_open)
            if below is not None:
                pending += [(node, link), (below, int(sub_offsets[below]))]
            elif low[node] == index[node]:
                place = open_nodes.index(node)
                yield open_nodes[place:]
                is_open.difference_update(open_nodes[place:])
                del open_nodes[place:]


def _next_unseen(
    node: int, link: int, last: int, targets: Ints, index: dict[int, int], low: dict[int, int], is_open: set[int]
) -> tuple[int, int | None]:
    """The next subdirectory that was not visited (its link is looked at again on return), or None at the end."""
    while link < last:
        target = int(targets[link])
        if target not in index:
            return link, target
        if target in is_open:
            low[node] = min(low[node], low[target])
        link += 1
    return link, None
