"""One column of an export in its canonical type, whatever type its file gave it.

Kinds: `id` (20 bytes, never null), `reference` (20 bytes or null), `target` (as it is, hex or raw, null allowed),
`number` (int64 or null; doubles with whole values count), `numbers` (list of int64; null becomes an empty list),
`bytes`, `text` and `time` (microseconds, UTC).
"""

from collections.abc import Callable

import polars as pl

from minicode_assets.errors import TableError
from minicode_assets.schemas import TIME

ID_BYTES = 20
_HINT = "fetch this file of the export again; if it stays, the export itself is damaged"
_UNITS = ((1e17, 1_000, True), (1e14, 1, True), (1e11, 1_000, False), (0.0, 1_000_000, False))
"""(least magnitude, factor to or from microseconds, divide). A date of our age counts 1.5e9 seconds, 1.5e12 ms,
1.5e15 us or 1.5e18 ns: three orders apart, so its magnitude tells the unit. Source: software_heritage.md, part 1."""


def cast_column(column: pl.Series, kind: str, *, hex_ids: bool, where: str) -> pl.Series:
    """One column in the canonical type of its kind.

    Args:
        column: As the file gives it; its name is the column's.
        kind: See the module's docstring.
        hex_ids: Ids and targets are hex text rather than raw bytes.
        where: The file, for messages.

    Raises:
        TableError: The type can't stand for the kind, or a value is not one; names file, column, found and expected.
    """
    place = f"{where}: column {column.name!r}"
    if column.dtype == pl.Null:
        column = column.cast(_NULL_TYPES.get(kind, pl.Binary()))
    if kind in ("id", "reference", "target"):
        return _cast_id(column, kind, hex_ids, place)
    return _CASTS[kind](column, place)


def _cast_id(column: pl.Series, kind: str, hex_ids: bool, place: str) -> pl.Series:
    raw = cast_bytes(column, place)
    if hex_ids:
        try:
            raw = raw.bin.decode("hex")
        except pl.exceptions.ComputeError as error:
            raise TableError(f"{place}: found text that is not hex, expected hex ids", hint=_HINT) from error
    if kind == "target":
        return raw
    if kind == "id" and raw.null_count():
        raise TableError(f"{place}: found {raw.null_count()} nulls, expected an id in every row", hint=_HINT)
    bad = raw.drop_nulls().bin.size().ne(ID_BYTES).sum()
    if bad:
        raise TableError(f"{place}: found {bad} ids of another length, expected {ID_BYTES} bytes", hint=_HINT)
    return raw


def cast_bytes(column: pl.Series, place: str) -> pl.Series:
    """Raw bytes of text or binary, nulls kept."""
    if column.dtype == pl.Binary:
        return column
    if column.dtype == pl.String or isinstance(column.dtype, pl.Categorical):
        return column.cast(pl.String).cast(pl.Binary)
    raise _wrong_type(column, place, "bytes or text")


def cast_text(column: pl.Series, place: str) -> pl.Series:
    r"""Text; bytes that are not UTF-8 become `\xNN`."""
    if column.dtype == pl.Binary:
        try:
            return column.cast(pl.String)
        except (pl.exceptions.ComputeError, pl.exceptions.InvalidOperationError):
            values = [v if v is None else v.decode("utf-8", "backslashreplace") for v in column]
            return pl.Series(column.name, values, pl.String)
    if column.dtype == pl.String or isinstance(column.dtype, pl.Categorical):
        return column.cast(pl.String)
    raise _wrong_type(column, place, "text")


def cast_number(column: pl.Series, place: str) -> pl.Series:
    """int64; a double with a whole value counts, NaN is null (as dataframes write nullable integers)."""
    if column.dtype.is_integer():
        return column.cast(pl.Int64)
    if not column.dtype.is_float():
        raise _wrong_type(column, place, "integers")
    values = column.fill_nan(None)
    whole = values.cast(pl.Int64, strict=False)
    broken = (whole.cast(pl.Float64).ne_missing(values.cast(pl.Float64))).sum()
    if broken:
        raise TableError(f"{place}: found {broken} fractional values, expected whole numbers", hint=_HINT)
    return whole


def cast_numbers(column: pl.Series, place: str) -> pl.Series:
    """Lists of int64; a null list is an empty one."""
    if not isinstance(column.dtype, pl.List):
        raise _wrong_type(column, place, "lists of integers")
    numbers = column.cast(pl.List(pl.Int64))
    if not numbers.null_count():
        return numbers
    return numbers.to_frame().select(pl.col(column.name).fill_null(pl.lit([], pl.List(pl.Int64)))).to_series()


def cast_time(column: pl.Series, place: str) -> pl.Series:
    """Microseconds in UTC from timestamps, integers of any unit, ISO text or (seconds, microseconds) structs."""
    if isinstance(column.dtype, pl.Datetime):
        zoned = column.dt.replace_time_zone("UTC") if column.dtype.time_zone is None else column
        return zoned.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    if isinstance(column.dtype, pl.Struct):
        fields = column.struct
        micros = fields.field("seconds") * 1_000_000 + fields.field("microseconds").cast(pl.Int64)
        return micros.rename(column.name).cast(TIME)
    if column.dtype == pl.String:
        return column.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    return _microseconds(cast_number(column, place)).cast(TIME)


def _microseconds(numbers: pl.Series) -> pl.Series:
    """Integers of a unit that their largest magnitude tells, in microseconds."""
    largest = numbers.abs().max()
    magnitude = largest if isinstance(largest, int) else 0
    factor, divide = next((f, d) for least, f, d in _UNITS if magnitude >= least)
    return numbers // factor if divide else numbers * factor


def _wrong_type(column: pl.Series, place: str, expected: str) -> TableError:
    return TableError(f"{place}: found type {column.dtype}, expected {expected}", hint=_HINT)


_CASTS: dict[str, Callable[[pl.Series, str], pl.Series]] = {
    "bytes": cast_bytes,
    "text": cast_text,
    "number": cast_number,
    "numbers": cast_numbers,
    "time": cast_time,
}
_NULL_TYPES: dict[str, pl.DataType] = {
    "number": pl.Int64(),
    "numbers": pl.List(pl.Int64),
    "text": pl.String(),
    "time": pl.Datetime("us", "UTC"),
}
POLARS_TYPES: dict[str, pl.DataType] = {
    **_NULL_TYPES,
    **dict.fromkeys(("id", "reference", "target", "bytes"), pl.Binary()),
}
"""Polars type of each kind."""
