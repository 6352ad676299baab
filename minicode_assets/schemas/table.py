"""What the schema of a table says."""

from dataclasses import dataclass

import polars as pl

Type = pl.DataType | type[pl.DataType]
TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Column:
    """One column: name, Polars type, meaning with unit."""

    name: str
    dtype: Type
    meaning: str


@dataclass(frozen=True)
class Table:
    """The contract of one table.

    Attributes:
        name: The artefact's name.
        columns: In file order.
        key: Columns whose combination is unique; empty where the key is checked elsewhere.
        order: Columns by which rows are sorted.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    @property
    def polars(self) -> pl.Schema:
        """The Polars schema."""
        return pl.Schema({column.name: column.dtype for column in self.columns})


def table(name: str, *columns: tuple[str, Type, str], key: str = "", order: str = "") -> Table:
    """A table from rows of name, type and meaning; key and order as names with spaces between."""
    return Table(name, tuple(Column(*column) for column in columns), tuple(key.split()), tuple(order.split()))
