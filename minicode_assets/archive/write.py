"""One table of an export: from rows, and into a file."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet


def table_of(schema: pa.Schema, rows: Iterable[Sequence[Any]]) -> pa.Table:
    """A table with this schema, from rows in column order."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, type=kind) for column, kind in zip(columns, schema.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as one Parquet file (zstd), making its folder."""
    path.parent.mkdir(parents=True)
    pa.parquet.write_table(table, path, compression="zstd")


def write_orc(path: Path, table: pa.Table) -> None:
    """Write a table as one ORC file (zstd), making its folder."""
    path.parent.mkdir(parents=True)
    pa.orc.write_table(table, path, compression="zstd")
