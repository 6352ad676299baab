"""The manifest: one row per (origin, revision, path); its distinct contents; and both from an export in one call."""

import logging
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq

from minicode_assets.config import BranchHeads, FileManifest
from minicode_assets.errors import ManifestError
from minicode_assets.manifest.csr import Ints
from minicode_assets.manifest.graph import load_graph
from minicode_assets.manifest.heads import INPUTS as HEAD_INPUTS
from minicode_assets.manifest.heads import choose_heads
from minicode_assets.manifest.rows import STATUSES, Files, describe_files, part_table
from minicode_assets.manifest.walk import Forest, grow, tree_entries, without_cycles
from minicode_assets.parquet import COMPRESSION_LEVEL, read_table, scan_table, write_parquet, write_table
from minicode_assets.schemas import BRANCH_HEADS, CANONICAL, CONTENTS, FILE_MANIFEST
from minicode_assets.swhid import EMPTY_TREE
from minicode_assets.tables.normalise import normalise_table
from minicode_assets.tables.places import ExportPath
from minicode_model.artifact import Artifact, ArtifactWriter, open_artifact, write_artifact

INPUTS = ("directory", "directory_entry", "content", "skipped_content")
"""The canonical tables that the manifest is resolved from, beside the heads."""
HASHES = ("sha1_git", "sha1")
"""Columns that hardly compress and whose least and greatest value say nothing about a part."""
LISTED_HEADS = 100
"""Heads without rows that the metadata names; all are counted."""

logger = logging.getLogger("minicode.manifest")


def resolve_manifest(
    tables: Mapping[str, Path], heads: Path, folder: Path, *, params: FileManifest, config_digest: str
) -> Artifact:
    """Write one row per (origin, revision, path) of all heads.

    Each distinct directory is expanded once. Rows are laid out and written by parts of whole heads, so memory is that
    of the directory tables and of `params.num_threads` parts, however many rows there are.

    Args:
        tables: Folders of the canonical tables `INPUTS`, by canonical name.
        heads: The artefact `branch_heads`.
        folder: The artefact folder to create or replace.
        params: Depth, sizes and threads.
        config_digest: See `write_artifact`.

    Returns:
        The artefact `file_manifest`, sorted by origin_url, revision and path. Its metadata: num_rows, num_heads (that
        have a root directory), num_roots (distinct), num_directories, num_nodes (distinct pairs of path and
        directory), by_status, left_out (entries refused or missing, by reason, once for each directory or node),
        heads_left_out (by reason) and heads_left_out_first (the first of them, with origin and reason).

    Raises:
        ManifestError: There is no head at all.
    """
    sources = {name: open_artifact(tables[name]) for name in INPUTS}
    inputs = {"branch_heads": open_artifact(heads).digest}
    inputs |= {f"swh_{name}": artifact.digest for name, artifact in sources.items()}
    wanted = _wanted_heads(heads)
    forest, kept, nodes, left_out = _walk(tables, wanted, params)
    scans = {name: scan_table(tables[name], CANONICAL[name], verify=False) for name in INPUTS[2:]}
    files = describe_files(forest, scans["content"], scans["skipped_content"], executables=params.executables)
    name = FILE_MANIFEST.name
    with write_artifact(folder, name=name, config_digest=config_digest, inputs=inputs) as writer:
        by_status = _write_parts(writer, forest, files, kept, nodes, params)
        writer.metadata = {
            "num_rows": int(by_status.sum()),
            "num_heads": kept.height,
            "num_roots": len(np.unique(nodes)),
            "num_directories": forest.graph.num_directories,
            "num_nodes": len(forest.node_directory) - 1,
            "by_status": dict(zip(STATUSES, by_status.tolist(), strict=True)),
            "left_out": dict(forest.counts),
            **_heads_left_out(left_out),
        }
    return open_artifact(folder, verify=False)


def _wanted_heads(heads: Path) -> pl.DataFrame:
    """One row a (origin, revision), in the manifest's order."""
    found = read_table(heads, BRANCH_HEADS, verify=False).filter(pl.col("directory").is_not_null())
    if not found.height:
        raise ManifestError(
            f"{heads}: none of the origins has a head, so there is nothing to walk",
            hint="look at the column `reason` of branch_heads; [branch_heads] branches names other branches",
        )
    return (
        found.select("origin_url", "snapshot", "revision", "anchor", "directory")
        .unique()
        .sort("origin_url", "revision")
    )


def _walk(
    tables: Mapping[str, Path], heads: pl.DataFrame, params: FileManifest
) -> tuple[Forest, pl.DataFrame, npt.NDArray[np.int32], pl.DataFrame]:
    """The forest, the heads that have one, the node of each, and the others with a reason."""
    graph, rounds = without_cycles(load_graph(tables, heads["directory"], verify=False))
    has_root = graph.roots >= 0
    entries = np.zeros(heads.height)
    entries[has_root] = tree_entries(graph, rounds)[graph.roots[has_root]]
    is_empty = heads["directory"].is_in([EMPTY_TREE]).to_numpy()
    reason = np.select(
        [entries > params.max_head_entries, ~has_root & ~is_empty, entries == 0],
        ["too_many_entries", "missing_root_directory", "empty_root_directory"],
        "",
    )
    reasons = heads.with_columns(pl.Series("reason", reason))
    kept = reasons.filter(pl.col("reason") == "")
    forest, nodes = grow(graph, graph.roots[reason == ""], max_depth=params.max_depth)
    logger.info("walk: %d heads, %d directories at a path", kept.height, len(forest.node_directory) - 1)
    return forest, kept, nodes, reasons.filter(pl.col("reason") != "")


def _heads_left_out(left_out: pl.DataFrame) -> dict[str, Any]:
    counts = Counter(left_out["reason"].to_list())
    first = left_out.head(LISTED_HEADS).select("origin_url", "reason")
    return {"heads_left_out": dict(sorted(counts.items())), "heads_left_out_first": first.to_dicts()}


def _write_parts(
    writer: ArtifactWriter, forest: Forest, files: Files, heads: pl.DataFrame, nodes: Ints, params: FileManifest
) -> npt.NDArray[np.int64]:
    """Write the parts, some at a time; returns the rows by status code."""
    cuts = cut_heads(forest.num_files[nodes], params.rows_per_part)

    def write(part: int) -> npt.NDArray[np.int64]:
        first, last = cuts[part], cuts[part + 1]
        rows = part_table(forest, files, heads[first:last], nodes[first:last])
        pq.write_table(
            rows,
            writer.path / f"part-{part:05d}.parquet",
            compression="zstd",
            compression_level={n: 1 if n in HASHES else COMPRESSION_LEVEL for n in rows.column_names},
            dictionary_pagesize_limit=1 << 30,
            row_group_size=max(rows.num_rows, 1),
            write_statistics=[name for name in rows.column_names if name not in HASHES],
            store_schema=False,
        )
        logger.info("file_manifest: part %d of %d, %d rows", part + 1, len(cuts) - 1, rows.num_rows)
        status = rows["status"].combine_chunks().indices.to_numpy()
        return np.bincount(status, minlength=len(STATUSES))

    if len(cuts) < 2:
        write_parquet(pl.DataFrame(schema=FILE_MANIFEST.polars), writer.path / "part-00000.parquet", FILE_MANIFEST)
    total = np.zeros(len(STATUSES), np.int64)
    with ThreadPoolExecutor(params.num_threads) as pool:
        for by_status in pool.map(write, range(len(cuts) - 1)):
            total += by_status
    return total


def cut_heads(num_rows: Ints, rows_per_part: int) -> list[int]:
    """First head of each part, and behind them the number of heads; a part holds whole heads only."""
    cuts, taken = [0], 0
    for head, rows in enumerate(num_rows.tolist()):
        if taken and taken + rows > rows_per_part:
            cuts.append(head)
            taken = 0
        taken += rows
    return [*cuts, len(num_rows)] if len(num_rows) else [0]


def distinct_contents(file_manifest: Path, folder: Path, *, config_digest: str) -> Artifact:
    """Write one row per distinct blob of the manifest, sorted by sha1_git.

    Args:
        file_manifest: The artefact folder.
        folder: The artefact folder to create or replace.
        config_digest: See `write_artifact`.

    Returns:
        The artefact `contents`.
    """
    source = open_artifact(file_manifest)
    rows = scan_table(file_manifest, FILE_MANIFEST, verify=False)
    contents = (
        rows.group_by("sha1_git")
        .agg(
            pl.col("sha1", "length").first(),
            pl.len().cast(pl.Int64).alias("num_files"),
            pl.col("is_python", "is_license").any(),
        )
        .sort("sha1_git")
        .collect(engine="streaming")
    )
    return write_table(
        folder, contents, CONTENTS, config_digest=config_digest, inputs={FILE_MANIFEST.name: source.digest}
    )


@dataclass(frozen=True)
class Resolution:
    """What `resolve_export` did, as plain figures.

    Attributes:
        manifest: The artefact folder `file_manifest`.
        generation: Which layout the export has.
        num_origins: Origins of the export.
        heads_by_rule: Origins by the rule that chose their head.
        heads_by_reason: Origins without a head, by reason.
        left_out: Entries and heads that gave no rows, by reason.
        num_rows: Files.
        seconds: Wall time, reading the tables and writing the manifest included.
        rows_per_second: Files resolved in a second.
    """

    manifest: Path
    generation: str
    num_origins: int
    heads_by_rule: Mapping[str, int]
    heads_by_reason: Mapping[str, int]
    left_out: Mapping[str, int]
    num_rows: int
    seconds: float
    rows_per_second: float


def resolve_export(export: ExportPath, out: Path, *, heads: BranchHeads, manifest: FileManifest) -> Resolution:
    """Write `out/file_manifest/*.parquet` from an export of any generation, with its tables and heads beside it.

    Args:
        export: The folder of the export, or its place in a bucket: one folder a table.
        out: The folder to write to.
        heads: See `choose_heads`.
        manifest: See `resolve_manifest`.
    """
    started = time.monotonic()
    tables = {table: out / f"swh_{table}" for table in dict.fromkeys(INPUTS + HEAD_INPUTS)}

    def normalise(table: str) -> Artifact:
        return normalise_table(export, table, tables[table], config_digest="", inputs={})

    with ThreadPoolExecutor(manifest.num_threads) as pool:
        normalised = list(pool.map(normalise, tables))
    chosen = choose_heads(tables, out / BRANCH_HEADS.name, params=heads, config_digest="")
    artifact = resolve_manifest(
        tables, out / BRANCH_HEADS.name, out / FILE_MANIFEST.name, params=manifest, config_digest=""
    )
    seconds = time.monotonic() - started
    num_rows, about = artifact.metadata["num_rows"], artifact.metadata
    left_out = {**about["left_out"], **about["heads_left_out"]}
    return Resolution(
        manifest=artifact.path,
        generation=normalised[0].metadata["generation"],
        num_origins=chosen.metadata["num_origins"],
        heads_by_rule=chosen.metadata["by_rule"],
        heads_by_reason=chosen.metadata["by_reason"],
        left_out={reason: count for reason, count in left_out.items() if count},
        num_rows=num_rows,
        seconds=seconds,
        rows_per_second=num_rows / seconds,
    )
