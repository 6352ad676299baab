"""The files of one source table, row group by row group, in canonical types: memory is that of one row group."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq

from minicode_assets.errors import TableError
from minicode_assets.tables.columns import POLARS_TYPES, cast_column
from minicode_assets.tables.places import ExportPath

SUFFIXES = (".parquet", ".orc")


@dataclass(frozen=True)
class Source:
    """One table as a generation's export holds it.

    Attributes:
        table: Folder name.
        columns: The columns that are read, and the kind of each (`minicode_assets.tables.columns`).
        optional: Columns that an export may lack; they are read as nulls.
        required: Whether an export may lack the whole table; it is then read as an empty one.
    """

    table: str
    columns: Mapping[str, str]
    optional: frozenset[str] = frozenset()
    required: bool = True


@dataclass
class Reader:
    """The source tables of one export.

    Attributes:
        export: The folder with one folder a table.
        sources: By table name.
        hex_ids: Ids are hex text.
        scratch: A folder for what a sort can't hold in memory.
        counts: What was tolerated, by name; the stage adds to it and reports it.
    """

    export: ExportPath
    sources: Mapping[str, Source]
    hex_ids: bool
    scratch: Path
    counts: Counter[str] = field(default_factory=Counter)

    def frames(self, table: str, *columns: str) -> Iterator[pl.DataFrame]:
        """Frames of one table in file order, columns selected by name and cast; all columns when none is named."""
        source = self.sources[table]
        wanted = columns or tuple(source.columns)
        for path in table_files(self.export, source):
            for group in row_groups(path, source, wanted):
                lost = _lost_dates(group, path, source, wanted)
                self.counts.update({"rows_with_a_date_out_of_range_nearby": group.num_rows} if lost else {})
                yield self.conform(group, table, wanted, path)

    def conform(self, group: pa.Table, table: str, columns: Sequence[str], path: ExportPath) -> pl.DataFrame:
        """A row group of a file with these columns in their canonical types; absent optional columns are nulls."""
        raw = pl.from_arrow(group)
        assert isinstance(raw, pl.DataFrame)
        kinds = {name: self.sources[table].columns[name] for name in columns}
        absent = {
            name: pl.Series(name, [None], POLARS_TYPES[kind]).new_from_index(0, group.num_rows)
            for name, kind in kinds.items()
            if name not in raw.columns
        }
        return pl.DataFrame(
            [
                absent[name] if name in absent else cast_column(raw[name], kind, hex_ids=self.hex_ids, where=str(path))
                for name, kind in kinds.items()
            ]
        )

    def whole(self, table: str, *columns: str) -> pl.DataFrame:
        """One table in memory, for the small ones."""
        kinds = self.sources[table].columns
        schema = pl.Schema({name: POLARS_TYPES[kinds[name]] for name in columns or kinds})
        return pl.concat([pl.DataFrame(schema=schema), *self.frames(table, *columns)])

    def num_rows(self, table: str) -> int:
        """Rows that the files' footers declare."""
        return sum(declared_rows(path) for path in table_files(self.export, self.sources[table]))

    def is_present(self, table: str) -> bool:
        """Whether the export has files of this table."""
        return bool(_files_of(self.export / table))


def _files_of(folder: ExportPath) -> list[ExportPath]:
    """Files of a table, by name; markers such as `_SUCCESS` and hidden files don't count."""
    found: Iterable[ExportPath] = folder.rglob("*") if folder.is_dir() else ()
    wanted = [p for p in found if p.suffix in SUFFIXES and not p.name.startswith(("_", ".")) and p.is_file()]
    return sorted(wanted, key=str)


def table_files(export: ExportPath, source: Source) -> list[ExportPath]:
    """The files of a source table, by name.

    Raises:
        TableError: A required table has none.
    """
    files = _files_of(export / source.table)
    if not files and source.required:
        raise TableError(
            f"{export / source.table}: found no {' or '.join(SUFFIXES)} file, expected the table {source.table!r} with "
            f"columns {', '.join(source.columns)}",
            hint=f"fetch the folder {source.table}/ of the export, or point [tables] export at a whole one",
        )
    return files


def _open(path: ExportPath) -> Any:
    """A Parquet or ORC file, its footer read.

    Raises:
        TableError: It is truncated or no such file.
    """
    try:
        place = path if isinstance(path, Path) else path.open_input()
        return orc.ORCFile(place) if path.suffix == ".orc" else pq.ParquetFile(place, coerce_int96_timestamp_unit="us")
    except (OSError, pa.ArrowException) as error:
        raise TableError(
            f"{path}: found {path.stat().st_size} bytes without a valid footer ({error}), expected a complete "
            f"{path.suffix[1:]} file",
            hint="it is truncated or damaged: delete it and fetch it again",
        ) from error


def declared_rows(path: ExportPath) -> int:
    """Rows that a file's footer declares."""
    opened = _open(path)
    return int(opened.nrows if path.suffix == ".orc" else opened.metadata.num_rows)


def row_groups(path: ExportPath, source: Source, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The row groups (stripes) of a file, with the wanted columns that it has.

    Raises:
        TableError: A required column is absent, or the file is damaged.
    """
    opened = _open(path)
    present = _present(opened, path)
    absent = [name for name in columns if name not in present and name not in source.optional]
    if absent:
        raise TableError(
            f"{path}: found columns {', '.join(sorted(present))}; expected also {', '.join(absent)}",
            hint="this file is of another export: fetch it again",
        )
    wanted = [name for name in columns if name in present]
    num_groups = opened.nstripes if path.suffix == ".orc" else opened.metadata.num_row_groups
    for index in range(num_groups):
        try:
            group = _read_stripe(opened, index, wanted, source) if path.suffix == ".orc" else None
            yield opened.read_row_group(index, columns=wanted) if group is None else group
        except (OSError, pa.ArrowException) as error:
            raise TableError(
                f"{path}: row group {index} of {num_groups} can't be read: {error}",
                hint="it is damaged: delete it and fetch it again",
            ) from error


def _present(opened: Any, path: ExportPath) -> set[str]:
    return set(opened.schema.names if path.suffix == ".orc" else opened.schema_arrow.names)


def _read_stripe(opened: Any, index: int, wanted: list[str], source: Source) -> pa.Table:
    """A stripe; without its optional dates where one of them does not fit into 64 bits of nanoseconds.

    Commits are dated in the years 1 and 9999 too, and the ORC reader knows nanoseconds only.
    """
    try:
        return pa.Table.from_batches([opened.read_stripe(index, columns=wanted)])
    except pa.ArrowInvalid as error:
        rest = [name for name in wanted if name not in source.optional or source.columns[name] != "time"]
        if "out of range" not in str(error) or rest == wanted:
            raise
        return pa.Table.from_batches([opened.read_stripe(index, columns=rest)])


def _lost_dates(group: pa.Table, path: ExportPath, source: Source, columns: Sequence[str]) -> bool:
    """Whether `_read_stripe` had to leave dates out."""
    absent = [name for name in columns if source.columns[name] == "time" and name not in group.column_names]
    return bool(absent) and path.suffix == ".orc" and bool(set(absent) & _present(_open(path), path))
