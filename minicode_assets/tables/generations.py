"""The generations of Software Heritage's graph exports: one record each, and how to tell them apart."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import polars as pl

from minicode_assets.errors import TableError
from minicode_assets.schemas import CANONICAL
from minicode_assets.tables import layout_2019, layout_2021
from minicode_assets.tables.places import ExportPath
from minicode_assets.tables.read import Reader, Source

Shape = Callable[[Reader], Iterator[pl.DataFrame]]


@dataclass(frozen=True)
class Generation:
    """How one generation of exports holds the graph.

    Attributes:
        name: The first export that has this layout.
        marker: A table that no other generation has.
        hex_ids: Ids are hex text rather than raw bytes.
        sources: The tables and columns that are read, by table name.
        shapes: Canonical table name to the function that gives its frames, in the columns' canonical types.
        keys: Canonical table name to the source (table, column) of the key, for messages.
    """

    name: str
    marker: str
    hex_ids: bool
    sources: Mapping[str, Source]
    shapes: Mapping[str, Shape]
    keys: Mapping[str, tuple[str, str]]

    def reader(self, export: ExportPath, scratch: Path) -> Reader:
        """The source tables of an export of this generation; `scratch` is for large sorts."""
        return Reader(tables_folder(export), self.sources, self.hex_ids, scratch)


def _shapes(layout: ModuleType) -> dict[str, Shape]:
    return {table: getattr(layout, table) for table in CANONICAL}


_KEYS = {
    "origin": ("origin", "url"),
    "origin_visit": ("origin_visit", "visit"),
    "snapshot_branch": ("snapshot_branch", "name"),
    "revision": ("revision", "id"),
    "release": ("release", "id"),
    "directory": ("directory", "id"),
    "content": ("content", "sha1_git"),
}

GENERATIONS = (
    Generation(
        name="2019-01-28",
        marker="snapshot_branches",
        hex_ids=False,
        sources=layout_2019.SOURCES,
        shapes=_shapes(layout_2019),
        keys=_KEYS,
    ),
    Generation(
        name="2021-03-23",
        marker="origin_visit_status",
        hex_ids=True,
        sources=layout_2021.SOURCES,
        shapes=_shapes(layout_2021),
        keys=_KEYS,
    ),
)
"""Every generation, oldest first."""


def tables_folder(export: ExportPath) -> ExportPath:
    """The folder with one folder a table: the export's own, or its `parquet/` or `orc/`."""
    for name in ("", "parquet", "orc"):
        folder = export / name
        if any((folder / generation.marker).is_dir() for generation in GENERATIONS):
            return folder
    return export


def detect(export: ExportPath) -> Generation:
    """The generation of an export, told by its tables.

    Raises:
        TableError: The folder is absent, or no table tells the generation; the message lists what was found.
    """
    folder = tables_folder(export)
    for generation in GENERATIONS:
        if (folder / generation.marker).is_dir():
            return generation
    found = ", ".join(sorted(p.name for p in export.iterdir())) if export.is_dir() else "no folder"
    markers = " or ".join(f"{g.marker}/ ({g.name} layout)" for g in GENERATIONS)
    raise TableError(
        f"{export}: found {found or 'an empty folder'}, expected one folder a table with {markers}",
        hint="give the folder of a graph export that holds origin/, content/, directory/ and so on",
    )
