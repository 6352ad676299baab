"""The frontier walk: from root directories to paths, level by level, with arrays only.

A node is a directory at a path. Heads that share a tree share its nodes, so each pair of path and directory is made
once however many heads there are; rows are then laid out from nodes without any sorting, since a directory's entries
are in git's order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from minicode_assets.manifest.csr import Flags, Ints, offsets_of, pair_keys, slice_positions, slice_sums
from minicode_assets.manifest.cycles import bottom_up, cyclic_links
from minicode_assets.manifest.graph import Graph


@dataclass(frozen=True)
class Forest:
    """The nodes of all walked roots. N nodes, C = child links, P directory paths; node 0 is a bare place holder.

    Attributes:
        graph: The directories.
        node_directory: (N) Directory number.
        node_path: (N) Path number.
        num_files: (N) Rows below the node.
        child_offsets: (N + 1) Children of each node, in the order of the directory's subdirectory links.
        child_node: (C) Node numbers.
        rows_before: (C + 1) Running total of the children's rows, over all nodes.
        paths: (P) Directory paths with a slash at the end, bytes; path 0 is empty.
        path_name: (P) Position of the last component in `graph.names`; -1 for path 0.
        path_parent: (P) Path number of the directory above.
        counts: What was left out, in distinct (node, entry) pairs.
    """

    graph: Graph
    node_directory: Ints
    node_path: Ints
    num_files: npt.NDArray[np.int64]
    child_offsets: Ints
    child_node: Ints
    rows_before: npt.NDArray[np.int64]
    paths: pl.Series
    path_name: Ints
    path_parent: Ints
    counts: Mapping[str, int]


def without_cycles(graph: Graph) -> tuple[Graph, list[npt.NDArray[np.int64]]]:
    """The graph without links that lie on a cycle, and its directories in rounds from the bottom up."""
    rounds, left = bottom_up(graph.sub_offsets, graph.sub_directory)
    if not left.any():
        return replace(graph, counts={**graph.counts, "cyclic_entries": 0}), rounds
    cyclic = cyclic_links(graph.sub_offsets, graph.sub_directory, left)
    acyclic = _drop_links(graph, ~cyclic)
    rounds, _ = bottom_up(acyclic.sub_offsets, acyclic.sub_directory)
    return acyclic, rounds


def _drop_links(graph: Graph, kept: Flags) -> Graph:
    parents = np.repeat(np.arange(graph.num_directories), np.diff(graph.sub_offsets))
    sub_offsets = offsets_of(np.bincount(parents[kept], minlength=graph.num_directories))
    files = np.repeat(np.arange(graph.num_directories), np.diff(graph.file_offsets))
    kept_before = offsets_of(kept.astype(np.int64))
    file_rank = kept_before[graph.sub_offsets[files] + graph.file_rank] - kept_before[graph.sub_offsets[files]]
    return replace(
        graph,
        sub_offsets=sub_offsets,
        sub_entry=graph.sub_entry[kept],
        sub_directory=graph.sub_directory[kept],
        sub_rank=graph.sub_rank[kept],
        file_rank=file_rank.astype(np.int32),
        counts={**graph.counts, "cyclic_entries": int((~kept).sum())},
    )


def tree_entries(graph: Graph, rounds: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.float64]:
    """Files and directories below each directory, as floats: trees that blow up on purpose pass any integer."""
    total = np.diff(graph.file_offsets) + np.diff(graph.sub_offsets).astype(np.float64)
    for ready in rounds:
        first, last = graph.sub_offsets[ready], graph.sub_offsets[ready + 1]
        below = total[graph.sub_directory[slice_positions(first, last - first)]]
        ends = offsets_of(last - first)
        total[ready] += slice_sums(below, ends[:-1], ends[1:])
    return total


def grow(graph: Graph, roots: Ints, *, max_depth: int) -> tuple[Forest, npt.NDArray[np.int32]]:
    """Make the nodes of some root directories.

    Args:
        graph: Without cycles.
        roots: Directory numbers, none negative.
        max_depth: Directories nested deeper are left out and counted.

    Returns:
        The forest, and the node of each root.
    """
    distinct, place = np.unique(roots, return_inverse=True)
    levels = [
        (np.zeros(1, np.int32), np.zeros(1, np.int32)),
        (distinct.astype(np.int32), np.zeros(len(distinct), np.int32)),
    ]
    children, path_names, path_parents = [np.empty(0, np.int32)], [np.full(1, -1, np.int32)], [np.zeros(1, np.int32)]
    num_nodes, num_paths, depth, too_deep = 1, 1, 0, 0
    while levels[-1][0].size:
        directory, path = levels[-1]
        first = graph.sub_offsets[directory]
        counts = graph.sub_offsets[directory + 1] - first
        links = slice_positions(first, counts)
        num_nodes += len(directory)
        if depth == max_depth:
            too_deep = len(links)
            children.append(np.zeros(len(links), np.int32))
            break
        keys, to_path = np.unique(
            pair_keys(np.repeat(path, counts), graph.entry_name[graph.sub_entry[links]]), return_inverse=True
        )
        nodes, to_node = np.unique(pair_keys(to_path, graph.sub_directory[links]), return_inverse=True)
        path_parents.append((keys >> 32).astype(np.int32))
        path_names.append((keys & 0xFFFFFFFF).astype(np.int32))
        children.append((to_node + num_nodes).astype(np.int32))
        levels.append(((nodes & 0xFFFFFFFF).astype(np.int32), (nodes >> 32).astype(np.int32) + np.int32(num_paths)))
        num_paths += len(keys)
        depth += 1
    forest = _forest(graph, levels, children, path_names, path_parents, too_deep)
    return forest, (place + 1).astype(np.int32)


def _forest(
    graph: Graph,
    levels: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]],
    children: list[npt.NDArray[np.int32]],
    path_names: list[npt.NDArray[np.int32]],
    path_parents: list[npt.NDArray[np.int32]],
    too_deep: int,
) -> Forest:
    directory = np.concatenate([level[0] for level in levels])
    num_children = np.zeros(len(directory), np.int64)
    num_children[1:] = np.diff(graph.sub_offsets)[directory[1:]]
    child_node = np.concatenate(children)
    child_offsets = offsets_of(num_children)
    num_files = _num_files(graph, levels, directory, child_offsets, child_node)
    return Forest(
        graph=graph,
        node_directory=directory,
        node_path=np.concatenate([level[1] for level in levels]),
        num_files=num_files,
        child_offsets=child_offsets,
        child_node=child_node,
        rows_before=offsets_of(num_files[child_node]),
        paths=_paths(graph, path_names, path_parents),
        path_name=np.concatenate(path_names),
        path_parent=np.concatenate(path_parents),
        counts={**graph.counts, "too_deep": too_deep},
    )


def _num_files(
    graph: Graph,
    levels: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]],
    directory: Ints,
    child_offsets: Ints,
    child_node: Ints,
) -> npt.NDArray[np.int64]:
    """Rows below each node, from the deepest level up; node 0 has none."""
    num_files = np.zeros(len(directory), np.int64)
    num_files[1:] = np.diff(graph.file_offsets)[directory[1:]]
    ends = offsets_of(np.array([len(level[0]) for level in levels]))
    for first, last in zip(ends[-2::-1], ends[:0:-1], strict=True):
        low, high = child_offsets[first], child_offsets[last]
        below = num_files[child_node[low:high]]
        nodes = slice(first, last)
        num_files[nodes] += slice_sums(
            below, child_offsets[first:last] - low, child_offsets[first + 1 : last + 1] - low
        )
    return num_files


def _paths(
    graph: Graph, path_names: list[npt.NDArray[np.int32]], path_parents: list[npt.NDArray[np.int32]]
) -> pl.Series:
    """Directory paths, each level from the one above."""
    levels = [pl.Series("path", [b""], pl.Binary)]
    first = 0
    for names, parents in zip(path_names[1:], path_parents[1:], strict=True):
        above = levels[-1].gather(parents - first)
        frame = pl.DataFrame({"above": above, "name": graph.names.gather(names)})
        first += len(levels[-1])
        levels.append(frame.select(path=pl.col("above") + pl.col("name") + b"/").to_series())
    return pl.concat(levels)
