"""Table artefacts: written atomically with their schema checked, scanned with their digest checked."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet

from minicode_assets.errors import CorruptArtifactError, TableError
from minicode_assets.schemas import Table
from minicode_model.artifact import Artifact, open_artifact, rebuild_hint, write_artifact

COMPRESSION_LEVEL = 3
"""zstd level: past it Parquet files of code shrink by less than 3 % while writing takes twice as long."""


def conform(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Select the table's columns in order and check their types.

    Raises:
        TableError: A column is absent or has another type; the message names all of them.
    """
    problems = []
    for column in table.columns:
        if column.name not in frame.columns:
            problems.append(f"{column.name}: absent, expected {column.dtype}")
        elif frame.schema[column.name] != column.dtype:
            problems.append(f"{column.name}: found {frame.schema[column.name]}, expected {column.dtype}")
    if problems:
        raise TableError(f"table {table.name}: " + "; ".join(problems))
    return frame.select(table.polars.names())


def write_parquet(frame: pl.DataFrame, path: Path, table: Table) -> None:
    """Write one Parquet file (zstd, statistics), after checking the schema."""
    conform(frame, table).write_parquet(path, compression="zstd", compression_level=COMPRESSION_LEVEL)


class BlockWriter:
    """One Parquet file that is written block by block, a row group each; memory is bounded by a block.

    Args:
        path: The file.
        table: The schema that every block must have.
        distinct: Columns that hardly repeat a value; they get no dictionary, which a reader would hold.
    """

    def __init__(self, path: Path, table: Table, *, distinct: Collection[str] = ()) -> None:
        self._table = table
        self._file = pyarrow.parquet.ParquetWriter(
            path,
            pl.DataFrame(schema=table.polars).to_arrow().schema,
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=[column.name for column in table.columns if column.name not in distinct],
        )

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows, after checking the schema."""
        self._file.write_table(conform(frame, self._table).to_arrow())

    def close(self) -> None:
        """The file is whole afterwards."""
        self._file.close()


def write_table(
    folder: Path,
    frames: pl.DataFrame | Iterable[pl.DataFrame],
    table: Table,
    *,
    config_digest: str,
    inputs: Mapping[str, str],
    metadata: Mapping[str, Any] | None = None,
) -> Artifact:
    """Write frames as part files of one table artefact, complete with its manifest.

    Args:
        folder: The artefact folder.
        frames: One frame, or frames in row order (one part file each, memory bounded by the largest).
        table: The schema that every frame must have.
        config_digest: See `write_artifact`.
        inputs: See `write_artifact`.
        metadata: More figures for the manifest; `num_rows` is added.

    Returns:
        The artefact.
    """
    parts = [frames] if isinstance(frames, pl.DataFrame) else frames
    with write_artifact(folder, name=table.name, config_digest=config_digest, inputs=inputs) as writer:
        num_rows = num_parts = 0
        for frame in parts:
            write_parquet(frame, writer.path / f"part-{num_parts:05d}.parquet", table)
            num_rows, num_parts = num_rows + frame.height, num_parts + 1
        if not num_parts:
            write_parquet(pl.DataFrame(schema=table.polars), writer.path / "part-00000.parquet", table)
        writer.metadata = {**(metadata or {}), "num_rows": num_rows}
    return open_artifact(folder, verify=False)


def scan_table(folder: Path, table: Table, *, pattern: str = "*.parquet", verify: bool = True) -> pl.LazyFrame:
    """A lazy frame over a table artefact whose files were checked against their digests.

    Args:
        folder: The artefact folder.
        table: The expected schema.
        pattern: Which files, relative to the folder.
        verify: False checks sizes only.

    Raises:
        MissingArtifactError: It was never completed.
        CorruptArtifactError: A file differs from the manifest or has another schema.
    """
    artifact = open_artifact(folder, verify=verify)
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise CorruptArtifactError(f"{folder}: no file matches {pattern}", hint=rebuild_hint(artifact.name))
    frame = pl.scan_parquet(paths, glob=False)
    found, expected = frame.collect_schema(), table.polars
    if found != expected:
        raise CorruptArtifactError(
            f"{folder}: columns found {dict(found)}, expected {dict(expected)}", hint=rebuild_hint(artifact.name)
        )
    return frame


def read_table(folder: Path, table: Table, *, pattern: str = "*.parquet", verify: bool = True) -> pl.DataFrame:
    """`scan_table`, collected."""
    return scan_table(folder, table, pattern=pattern, verify=verify).collect()
