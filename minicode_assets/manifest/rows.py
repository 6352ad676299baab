"""From nodes to manifest rows: the files of each head in git's order, then the columns of one part file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from minicode_assets.manifest import paths
from minicode_assets.manifest.csr import Flags, Ints, offsets_of, slice_positions
from minicode_assets.manifest.graph import FORMAT_MASK, number_of
from minicode_assets.manifest.walk import Forest
from minicode_assets.swhid import SYMLINK_MODE

STATUSES = ("present", "skipped", "missing")
"""Values of file_manifest.status, by code."""
KINDS = ("file", "executable", "symlink")
"""Values of file_manifest.kind, by code."""


_ROOT_PATH = 0
"""Number of the directory path of every root."""


@dataclass(frozen=True)
class Files:
    """What is known of each file entry, whatever head it is in. E entries, K distinct contents.

    Attributes:
        content: (E) Content number; -1 for directories.
        sha1_git: (K) 20 bytes, distinct.
        sha1: Distinct values, 20 bytes.
        sha1_of: (K) Position in `sha1`; -1 where unknown.
        length: (K) Bytes; null where unknown.
        status: (K) Code of `STATUSES`.
        kind: (E) Code of `KINDS`.
        is_python: (E) By name, or a script that may be; never for symlinks.
        is_license: (E) By name, wherever the file lies; never for symlinks.
        is_license_in_folder: (E) By name, in a folder of licences; never for symlinks.
        is_readme: (E) By name, wherever the file lies; never for symlinks.
        licensing: (P) Directory paths that are folders of licences.
        vendored: (P) Directory paths inside third-party code.
    """

    content: Ints
    sha1_git: pa.Array
    sha1: pa.Array
    sha1_of: Ints
    length: pa.Array
    status: npt.NDArray[np.int8]
    kind: npt.NDArray[np.int8]
    is_python: Flags
    is_license: Flags
    is_license_in_folder: Flags
    is_readme: Flags
    licensing: Flags
    vendored: Flags


def describe_files(
    forest: Forest, contents: pl.LazyFrame, skipped: pl.LazyFrame, *, executables: bool = False
) -> Files:
    """Look up the contents of all reached file entries, and apply the path rules to distinct names.

    Args:
        forest: The nodes.
        contents: `schemas.CONTENT`.
        skipped: `schemas.SKIPPED_CONTENT`.
        executables: Executable files without a suffix may be Python.
    """
    graph = forest.graph
    is_file = np.zeros(len(graph.entry_name), np.bool_)
    is_file[graph.file_entry] = True
    known = _known_contents(
        graph.entry_target.filter(pl.Series(is_file)).unique(maintain_order=True), contents, skipped
    )
    content = number_of(graph.entry_target, known.select("number", id="sha1_git"))
    sha1 = pc.dictionary_encode(known["sha1"].to_arrow().cast(pa.binary()))
    form = graph.entry_perms & FORMAT_MASK
    kind = np.where(form == SYMLINK_MODE, 2, (graph.entry_perms & 0o111) != 0).astype(np.int8)
    python, licence, in_folder, readme = (
        rule(graph.names).to_numpy()[graph.entry_name] & (kind != 2)
        for rule in (paths.is_python, paths.is_license, paths.is_license_in_folder, paths.is_readme)
    )
    if executables:
        python |= paths.is_bare(graph.names).to_numpy()[graph.entry_name] & (kind == 1)
    licensing, vendored = _directory_flags(forest)
    return Files(
        content=content,
        sha1_git=known["sha1_git"].to_arrow().cast(pa.binary()),
        sha1=sha1.dictionary,
        sha1_of=sha1.indices.fill_null(-1).to_numpy(),
        length=known["length"].to_arrow(),
        status=known["status"].to_numpy(),
        kind=kind,
        is_python=python,
        is_license=licence,
        is_license_in_folder=in_folder,
        is_readme=readme,
        licensing=licensing,
        vendored=vendored,
    )


def _known_contents(targets: pl.Series, contents: pl.LazyFrame, skipped: pl.LazyFrame) -> pl.DataFrame:
    """One row a wanted content: number, sha1_git, sha1, length, status code."""
    wanted = targets.alias("sha1_git").to_frame()
    present = contents.join(wanted.lazy(), on="sha1_git", how="semi").collect(engine="streaming")
    rest = wanted.join(present, on="sha1_git", how="anti")
    dropped = skipped.join(rest.lazy(), on="sha1_git", how="semi").select("sha1_git", "sha1", "length").collect()
    found = pl.concat(
        [
            present.with_columns(status=pl.lit(0, pl.Int8)),
            dropped.unique("sha1_git", keep="first", maintain_order=True).with_columns(status=pl.lit(1, pl.Int8)),
        ]
    )
    joined = wanted.join(found, on="sha1_git", how="left", maintain_order="left")
    return joined.with_columns(pl.col("status").fill_null(2)).with_row_index("number")


def _directory_flags(forest: Forest) -> tuple[Flags, Flags]:
    """(folders of licences, inside third-party code) by directory path; parents come before children."""
    names = forest.path_name
    licensing = np.zeros(len(names), np.bool_)
    licensing[1:] = paths.is_license_directory(forest.graph.names).to_numpy()[names[1:]]
    vendored = np.zeros(len(names), np.bool_)
    vendored[1:] = paths.is_vendored_directory(forest.graph.names).to_numpy()[names[1:]]
    while True:
        spread = vendored | vendored[forest.path_parent]
        if bool((spread == vendored).all()):
            return licensing, vendored
        vendored = spread


def lay_out(forest: Forest, nodes: Ints) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Entry number and path number of every file below some nodes, node after node, each in git's order.

    Whole levels at once: a node's first row is known, so each file's row is that plus the files and the subtrees
    before it, and nothing is sorted.
    """
    graph = forest.graph
    starts = offsets_of(forest.num_files[nodes])
    entry, path = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
    starts = starts[:-1]
    while nodes.size:
        directory, first_child = forest.node_directory[nodes], forest.child_offsets[nodes]
        base = starts - forest.rows_before[first_child]
        first_file = graph.file_offsets[directory]
        counts = graph.file_offsets[directory + 1] - first_file
        links = slice_positions(first_file, counts)
        before = forest.rows_before[np.repeat(first_child, counts) + graph.file_rank[links]]
        rows = before + links
        rows += np.repeat(base - first_file, counts)
        entry[rows] = graph.file_entry[links]
        path[rows] = np.repeat(forest.node_path[nodes], counts)
        nodes, starts = _children(forest, nodes, directory, first_child, base)
    return entry, path


def _children(forest: Forest, nodes: Ints, directory: Ints, first_child: Ints, base: Ints) -> tuple[Ints, Ints]:
    """The next level: child nodes and the first row of each; place holders of cut levels end here."""
    counts = forest.child_offsets[nodes + 1] - first_child
    children = slice_positions(first_child, counts)
    links = slice_positions(forest.graph.sub_offsets[directory], counts)
    starts = np.repeat(base, counts) + forest.graph.sub_rank[links] + forest.rows_before[children]
    below = forest.child_node[children]
    return (below, starts) if below.all() else (below[below > 0], starts[below > 0])


def part_table(forest: Forest, files: Files, heads: pl.DataFrame, nodes: Ints) -> pa.Table:
    """The manifest rows of some heads, columns as in `schemas.FILE_MANIFEST`, repeated values as dictionaries.

    Args:
        forest: The nodes.
        files: What is known of each entry.
        heads: origin_url, snapshot, revision and anchor of each head, in the order of the rows.
        nodes: The root node of each head.
    """
    counts = forest.num_files[nodes]
    entry, path = lay_out_once(forest, nodes)
    content = files.content[entry]
    licence = files.is_license[entry] | (files.is_license_in_folder[entry] & files.licensing[path])
    licence |= files.is_readme[entry] & (path == _ROOT_PATH)
    names = forest.graph.names.to_arrow()
    columns = {
        **{name: _repeated(heads[name], counts) for name in ("origin_url", "snapshot", "revision", "anchor")},
        "path": _join(forest.paths, path, forest.graph.names, forest.graph.entry_name[entry]),
        "name": _coded(forest.graph.entry_name[entry], names),
        "kind": pa.DictionaryArray.from_arrays(files.kind[entry], pa.array(KINDS)),
        "perms": pa.array(forest.graph.entry_perms[entry]),
        "sha1_git": _coded(content, files.sha1_git),
        "sha1": _coded(files.sha1_of[content], files.sha1),
        "length": files.length.take(pa.array(content)),
        "status": pa.DictionaryArray.from_arrays(files.status[content], pa.array(STATUSES)),
        "is_python": pa.array(files.is_python[entry]),
        "is_license": pa.array(licence),
        "is_vendored": pa.array(files.vendored[path]),
    }
    return pa.table(columns)


def lay_out_once(forest: Forest, nodes: Ints) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """`lay_out`, where heads that share a root are laid out once and copied."""
    distinct, place = np.unique(nodes, return_inverse=True)
    if len(distinct) == len(nodes):
        return lay_out(forest, nodes)
    entry, path = lay_out(forest, distinct)
    starts = offsets_of(forest.num_files[distinct])
    rows = slice_positions(starts[place], forest.num_files[nodes])
    return entry[rows], path[rows]


def _repeated(values: pl.Series, counts: Ints) -> pa.Array:
    coded = pc.dictionary_encode(_plain(values.to_arrow()))
    return pa.DictionaryArray.from_arrays(np.repeat(coded.indices.to_numpy(), counts), coded.dictionary)


def _plain(array: Any) -> pa.Array:
    """Text and bytes with 32-bit offsets, the form that Parquet dictionaries are written from."""
    is_text = pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type)
    return array.cast(pa.string() if is_text or pa.types.is_string(array.type) else pa.binary())


def _coded(codes: Ints, values: Any) -> pa.Array:
    """A dictionary array of the values that are used, in their order; code -1 is null."""
    used = np.zeros(len(values) + 1, np.bool_)
    used[codes] = True
    has_null = bool(used[-1])
    used[-1] = False
    compact = np.cumsum(used, dtype=np.int32) - 1
    indices = pa.array(compact[codes], mask=(codes < 0) if has_null else None)
    return pa.DictionaryArray.from_arrays(indices, _plain(values.take(pa.array(np.flatnonzero(used)))))


def _join(folders: pl.Series, folder: Ints, names: pl.Series, name: Ints) -> pa.Array:
    """Folder path and file name of each row, joined."""
    frame = pl.DataFrame({"folder": folders.gather(folder), "name": names.gather(name)})
    return frame.select(path=pl.col("folder") + pl.col("name")).to_series().to_arrow()
