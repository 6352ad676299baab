"""The directories that heads reach, as arrays: each distinct directory once, its entries in git's order."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from minicode_assets.manifest.csr import Flags, Ints, offsets_of, pair_keys, slice_positions
from minicode_assets.parquet import read_table
from minicode_assets.schemas import DIRECTORY, DIRECTORY_ENTRY
from minicode_assets.swhid import DIRECTORY_MODE, EMPTY_TREE, SUBMODULE_MODE, SYMLINK_MODE
from minicode_assets.tables.sort import leading_number

FORMAT_MASK = 0o170000
"""The bits of a mode that tell directory, submodule and symlink; what is none of these is a file."""

logger = logging.getLogger("minicode.manifest")


@dataclass(frozen=True)
class Graph:
    """Directories and their entries, numbered from 0.

    D directories, E distinct entries in git's order (a directory sorts as its name and a slash), F file links and
    S subdirectory links, both grouped by directory.

    Attributes:
        roots: (heads) Directory number of each wanted root; -1 where the tables lack it.
        names: Distinct names, bytes.
        entry_name: (E) Position in `names`.
        entry_perms: (E) git mode.
        entry_target: (E) 20 bytes.
        file_offsets: (D + 1) File links of each directory.
        file_entry: (F) Entry number.
        file_rank: (F) How many subdirectories of the same directory come before.
        sub_offsets: (D + 1) Subdirectory links of each directory.
        sub_entry: (S) Entry number.
        sub_directory: (S) Directory number.
        sub_rank: (S) How many files of the same directory come before.
        counts: What was refused or missing, in distinct (directory, entry) pairs.
    """

    roots: Ints
    names: pl.Series
    entry_name: Ints
    entry_perms: Ints
    entry_target: pl.Series
    file_offsets: Ints
    file_entry: Ints
    file_rank: Ints
    sub_offsets: Ints
    sub_entry: Ints
    sub_directory: Ints
    sub_rank: Ints
    counts: Mapping[str, int]

    @property
    def num_directories(self) -> int:
        """D."""
        return len(self.file_offsets) - 1


def load_graph(tables: Mapping[str, Path], roots: pl.Series, *, verify: bool = True) -> Graph:
    """Read the directory tables and keep what the roots reach.

    Args:
        tables: Folders of the canonical tables `directory` and `directory_entry`.
        roots: Root directories (20 bytes each).
        verify: Compare the tables' digests first.

    Returns:
        The graph. Memory while it loads: some 30 bytes a directory, 16 a (directory, entry) pair, 90 an entry.
    """
    counts: Counter[str] = Counter()
    directories = read_table(tables["directory"], DIRECTORY, verify=verify)
    entries = read_table(tables["directory_entry"], DIRECTORY_ENTRY, verify=verify)
    lists = directories["entries"].rechunk().to_arrow()
    offsets = lists.offsets.to_numpy()
    numbers = lists.values.to_numpy()
    rows_of = entry_rows(entries["id"].to_numpy())
    ids = directories.select("id").with_row_index("number")
    del directories, lists
    entries = entries.drop("id").with_columns(entry_kind())
    child = number_of(entries.filter(kind="dir")["target"], ids)
    entry_child = np.full(entries.height, -1, np.int32)
    entry_child[(entries["kind"] == "dir").to_numpy()] = child
    root_numbers = number_of(roots, ids)
    reached = reach(offsets, numbers, rows_of, entry_child, root_numbers)
    logger.info("walk: %d of %d directories are reached", int(reached.sum()), len(reached))
    kept = np.flatnonzero(reached)
    sizes = offsets[kept + 1] - offsets[kept]
    rows = rows_of(numbers[slice_positions(offsets[kept], sizes)])
    parents = np.repeat(np.arange(len(kept), dtype=np.int32), sizes)
    entries = entries.with_columns(child=pl.Series(entry_child))
    return _compact(entries, parents, rows, reached, root_numbers, counts)


def entry_kind() -> pl.Expr:
    """dir, rev, symlink or file by mode; by type where the mode says nothing."""
    form = pl.col("perms").fill_null(0) & FORMAT_MASK
    return (
        pl.when((form == DIRECTORY_MODE) | ((form == 0) & (pl.col("type") == "dir")))
        .then(pl.lit("dir"))
        .when((form == SUBMODULE_MODE) | ((form == 0) & (pl.col("type") == "rev")))
        .then(pl.lit("rev"))
        .when(form == SYMLINK_MODE)
        .then(pl.lit("symlink"))
        .otherwise(pl.lit("file"))
        .alias("kind")
    )


def entry_rows(ids: Ints) -> Callable[[Ints], Ints]:
    """The function from entry numbers to rows of the entry table; -1 where the table lacks one.

    Numbers that are nearly dense, as in real exports, cost one look-up each; others a binary search.
    """
    if len(ids) and int(ids.min()) >= 0 and int(ids.max()) < 16 * len(ids) + 1024:
        largest = int(ids.max())
        lookup = np.full(largest + 2, -1, np.int32)
        lookup[ids] = np.arange(len(ids), dtype=np.int32)
        return lambda numbers: lookup[np.where((numbers < 0) | (numbers > largest), largest + 1, numbers)]
    order = np.argsort(ids)
    ordered = ids[order]

    def search(numbers: Ints) -> Ints:
        if not len(ordered):
            return np.full(len(numbers), -1, np.int32)
        place = np.minimum(np.searchsorted(ordered, numbers), len(ordered) - 1)
        return np.where(ordered[place] == numbers, order[place], -1).astype(np.int32)

    return search


def number_of(keys: pl.Series, ids: pl.DataFrame) -> npt.NDArray[np.int32]:
    """Number of each id in a frame (number, id); -1 where it lacks it."""
    joined = keys.alias("id").to_frame().join(ids, on="id", how="left", maintain_order="left")
    return joined["number"].cast(pl.Int32).fill_null(-1).to_numpy()


def reach(offsets: Ints, numbers: Ints, rows_of: Callable[[Ints], Ints], entry_child: Ints, roots: Ints) -> Flags:
    """Directories that the roots reach: whole frontiers, each directory expanded once, so cycles end."""
    reached = np.zeros(len(offsets) - 1, np.bool_)
    frontier = np.unique(roots[roots >= 0])
    while frontier.size:
        reached[frontier] = True
        rows = rows_of(numbers[slice_positions(offsets[frontier], offsets[frontier + 1] - offsets[frontier])])
        children = entry_child[rows[rows >= 0]]
        children = children[children >= 0]
        frontier = np.unique(children[~reached[children]])
    return reached


def _compact(
    entries: pl.DataFrame, parents: Ints, rows: Ints, reached: Flags, roots: Ints, counts: Counter[str]
) -> Graph:
    """Renumber directories and entries so that only reached ones remain, entries in git's order.

    Args:
        entries: Every entry, with kind and child.
        parents: New directory number of each link.
        rows: Entry row of each link; -1 where the table lacks it.
        reached: Which old directories remain.
        roots: Old directory numbers.
        counts: Takes what is refused.
    """
    number = np.cumsum(reached, dtype=np.int32) - 1
    counts["missing_entries"] = int((rows < 0).sum())
    parents, rows = parents[rows >= 0], rows[rows >= 0]
    used = np.zeros(entries.height, np.bool_)
    used[rows] = True
    ordered, position = _git_order(entries, used)
    pairs = np.sort(pair_keys(parents, position[rows]))
    parents, rows = (pairs >> 32).astype(np.int32), (pairs & 0xFFFFFFFF).astype(np.int32)
    parents, rows = _refuse(parents, rows, ordered, counts)
    child = ordered["child"].to_numpy()
    child = np.where(child >= 0, number[child], -1)
    names = ordered["name"].unique(maintain_order=True)
    name_ids = names.to_frame().with_row_index("number").rename({"name": "id"})
    linked = _links(parents, rows, ordered, child, int(reached.sum()), counts)
    return Graph(
        roots=np.where(roots >= 0, number[roots], -1),
        names=names,
        entry_name=number_of(ordered["name"], name_ids),
        entry_perms=ordered["perms"].fill_null(0).to_numpy(),
        entry_target=ordered["target"],
        counts=counts,
        **linked,
    )


def _git_order(entries: pl.DataFrame, used: Flags) -> tuple[pl.DataFrame, npt.NDArray[np.int32]]:
    """The used entries as git sorts them, and the new position of each old row."""
    used_entries = entries.with_row_index("row").filter(pl.Series(used))
    key = pl.when(pl.col("kind") == "dir").then(pl.col("name") + b"/").otherwise("name")
    named = used_entries.with_columns(key.alias("named"))
    keys = named.select("named").unique().sort("named").with_row_index("key")
    ranked = named.join(keys, on="named", how="left", maintain_order="left")
    leading = leading_number(ranked["target"])
    mode = pl.col("perms").fill_null(0)
    ordered = ranked.with_columns(pl.Series("leading", leading)).sort("key", "leading", mode, "kind")
    position = np.full(entries.height, -1, np.int32)
    position[ordered["row"].to_numpy()] = np.arange(ordered.height, dtype=np.int32)
    return ordered.select("key", "name", "kind", "target", "perms", "child"), position


def _refuse(parents: Ints, rows: Ints, entries: pl.DataFrame, counts: Counter[str]) -> tuple[Ints, Ints]:
    """Drop names that no work tree can hold, and second entries of one name in one directory (the first stays)."""
    name = pl.col("name")
    bad = entries.select(name.is_in([b"", b".", b".."]) | name.bin.contains(b"/")).to_series().to_numpy()
    fine = ~bad[rows]
    counts["refused_names"] = int((~fine).sum())
    parents, rows = parents[fine], rows[fine]
    key = entries["key"].to_numpy()[rows]
    repeated = np.zeros(len(rows), np.bool_)
    repeated[1:] = (parents[1:] == parents[:-1]) & (key[1:] == key[:-1])
    counts["repeated_names"] = int(repeated.sum())
    return parents[~repeated], rows[~repeated]


def _links(
    parents: Ints, rows: Ints, entries: pl.DataFrame, child: Ints, num_directories: int, counts: Counter[str]
) -> dict[str, Ints]:
    """Split the links of each directory into files and subdirectories; submodules and dangling ones are counted."""
    kind = entries["kind"]
    is_file = kind.is_in(["file", "symlink"]).to_numpy()[rows]
    is_directory = (kind == "dir").to_numpy()[rows]
    empty = entries["target"].is_in([EMPTY_TREE]).to_numpy()[rows]
    dangling = is_directory & (child[rows] < 0) & ~empty
    is_sub = is_directory & (child[rows] >= 0)
    counts["submodules"] = len(rows) - int(is_file.sum()) - int(is_directory.sum())
    counts["missing_directories"] = int(dangling.sum())
    file_offsets = offsets_of(np.bincount(parents[is_file], minlength=num_directories))
    sub_offsets = offsets_of(np.bincount(parents[is_sub], minlength=num_directories))
    subs_before: Ints = np.cumsum(is_sub) - is_sub
    files_before: Ints = np.cumsum(is_file) - is_file
    return {
        "file_offsets": file_offsets,
        "file_entry": rows[is_file],
        "file_rank": (subs_before[is_file] - sub_offsets[parents[is_file]]).astype(np.int32),
        "sub_offsets": sub_offsets,
        "sub_entry": rows[is_sub],
        "sub_directory": child[rows[is_sub]].astype(np.int32),
        "sub_rank": (files_before[is_sub] - file_offsets[parents[is_sub]]).astype(np.int32),
    }
