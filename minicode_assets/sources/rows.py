"""Rows of remote files, each with the place where the next one begins, so that reading goes on there."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from minicode_assets.errors import SourceError
from minicode_assets.sources.web import RangeFile, RemoteFile, Web

_BATCH_ROWS, _LEAST_ROWS = 32, 4
"""Decoded at a time where the group fits into a block, and where it doesn't: single rows take three times as long."""


class Place(NamedTuple):
    """Where a row begins: a byte of a file of lines (0 in Parquet), and its number from 0."""

    offset: int
    row: int


class Row(NamedTuple):
    """One row, or what is wrong with it.

    Attributes:
        number: From 0.
        after: Where the next one begins.
        values: By column; None where the row can't be read.
        problem: malformed or too_long; empty with values.
    """

    number: int
    after: Place
    values: dict[str, Any] | None
    problem: str = ""


def json_rows(web: Web, file: RemoteFile, start: Place, *, max_row_bytes: int) -> Iterator[Row]:
    """Rows of a JSON Lines file from a place on. A longer line is passed over without being held in memory.

    Raises:
        SourceError: As `Web.stream`.
    """
    number, offset = start.row, start.offset
    for line, length in split_lines(web.stream(file, offset), max_row_bytes):
        offset += length
        place = Place(offset, number + 1)
        if line is None:
            yield Row(number, place, None, "too_long")
        elif line.strip():
            yield _parsed(number, place, line)
        else:
            continue
        number += 1


def split_lines(
    chunks: Iterator[bytes], max_bytes: int, separator: bytes = b"\n"
) -> Iterator[tuple[bytes | None, int]]:
    """Lines without their ends (None where longer than `max_bytes`), with the bytes that they take up.

    The last one has no end where the bytes stop before one.
    """
    held, dropped = b"", 0
    for chunk in chunks:
        *lines, rest = chunk.split(separator)
        for line in lines:
            whole, taken = held + line, dropped + len(held) + len(line) + 1
            yield (None if dropped or len(whole) > max_bytes else whole), taken
            held, dropped = b"", 0
        held += rest
        if len(held) > max_bytes:
            held, dropped = b"", dropped + len(held)
    if held or dropped:
        yield (None if dropped else held), dropped + len(held)


def _parsed(number: int, place: Place, line: bytes) -> Row:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return Row(number, place, None, "malformed")
    return Row(number, place, values) if isinstance(values, dict) else Row(number, place, None, "malformed")


def parquet_rows(
    web: Web,
    file: RemoteFile,
    start: Place,
    *,
    columns: Sequence[str],
    required: Sequence[str],
    texts: Sequence[str],
    read_ahead_bytes: int,
    block_bytes: int,
) -> Iterator[Row]:
    """Rows of a Parquet file from a place on; of its bytes only the footer and the columns are asked for.

    A row with a cell that Python can't hold (text that is no UTF-8, a date out of all time) is malformed.

    Args:
        web: The client.
        file: The file.
        start: Where to begin; row groups before it are not read.
        columns: Columns that are wanted, where they are there.
        required: Those that must be.
        texts: Those of them that hold text.
        read_ahead_bytes: Least length of a request.
        block_bytes: Decoded at a time, beside one page of the file, or four rows where these have more.

    Raises:
        SourceError: A required column is absent or of another type, the file is no Parquet, or as `Web.stream`.
    """
    remote = RangeFile(web, file, read_ahead_bytes)
    try:
        parquet = pq.ParquetFile(pa.PythonFile(remote, mode="r"), buffer_size=read_ahead_bytes, pre_buffer=False)
        found = parquet.schema_arrow.names
        check_columns(file.name, found, required)
        _check_texts(file.name, parquet.schema_arrow, texts)
        wanted = [column for column in columns if column in found]
        for number, values in _parquet_values(parquet, start.row, wanted, block_bytes):
            yield Row(number, Place(0, number + 1), values, "malformed" if values is None else "")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{file.name}: no readable Parquet: {error}",
            hint="check `files` and `revision` of the section; if both are right, the published file is damaged",
        ) from error


def _parquet_values(
    parquet: pq.ParquetFile, start: int, wanted: Sequence[str], block_bytes: int
) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Number and values of each row from a number on; groups before it are not read."""
    number = 0
    for group in range(parquet.num_row_groups):
        about = parquet.metadata.row_group(group)
        if number + about.num_rows <= start:
            number += about.num_rows
            continue
        for batch in parquet.iter_batches(_num_rows(about, wanted, block_bytes), row_groups=[group], columns=wanted):
            for values in _values(_in_microseconds(batch)):
                if number >= start:
                    yield number, values
                number += 1


def _num_rows(group: pq.RowGroupMetaData, wanted: Sequence[str], block_bytes: int) -> int:
    """Rows that are decoded at a time: each may have all that the group has, once, or again where values repeat."""
    chunks = (group.column(number) for number in range(group.num_columns))
    size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.partition(".")[0] in wanted)
    return int(max(_LEAST_ROWS, min(_BATCH_ROWS, block_bytes // max(size, 1))))


def _values(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | None]:
    """The rows of a batch; None for one that Python can't hold."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        if batch.num_rows == 1:
            yield None
            return
        rows = [row for number in range(batch.num_rows) for row in _values(batch.slice(number, 1))]
    yield from rows


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with dates as Python has them: The Stack's have nanoseconds."""
    columns = [
        column.cast(pa.timestamp("us", column.type.tz), safe=False)
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns"
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _check_texts(name: str, schema: pa.Schema, texts: Sequence[str]) -> None:
    """Raise SourceError unless these columns hold text."""
    for column in texts:
        kind = schema.field(schema.names.index(column)).type  # by number: two columns may have one name
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if kind not in (pa.string(), pa.large_string(), pa.string_view()):
            raise SourceError(
                f"{name}: column {column} has type {kind}, expected text",
                hint="the data set's schema changed: pin the revision that had it",
            )


def check_columns(name: str, found: Sequence[str], required: Sequence[str]) -> None:
    """Raise SourceError unless all required columns are there."""
    absent = [column for column in required if column not in found]
    if absent:
        raise SourceError(
            f"{name}: no column {', '.join(absent)}; found {', '.join(sorted(found))}",
            hint="the data set's schema changed: pin the revision that had it",
        )
