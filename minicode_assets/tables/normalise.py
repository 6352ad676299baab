"""A table of any export in its canonical form: the asset `swh_<table>`."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from minicode_assets.errors import TableError
from minicode_assets.parquet import write_table
from minicode_assets.schemas import CANONICAL, Table
from minicode_assets.tables.generations import Generation, detect
from minicode_assets.tables.places import ExportPath
from minicode_assets.tables.read import Reader
from minicode_assets.tables.sort import check_unique, sorted_parts
from minicode_model.artifact import Artifact

logger = logging.getLogger("minicode.tables")


def normalise_table(
    export: ExportPath, table: str, folder: Path, *, config_digest: str, inputs: Mapping[str, str]
) -> Artifact:
    """Write one canonical table of an export, whatever its generation.

    Rows come sorted by the schema's order, in parts of bounded size; its key is checked.

    Args:
        export: The folder of the export, or its place in a bucket: one folder a table.
        table: A name of `minicode_assets.schemas.CANONICAL`.
        folder: The artefact folder to create or replace.
        config_digest: See `write_artifact`.
        inputs: See `write_artifact`.

    Returns:
        The artefact. Its metadata: generation; source_rows (rows that the source files declare, by source table);
        present (False where the export lacks this optional table); tolerated (what was left out or mended, counted).

    Raises:
        TableError: A table or column is missing, a file is damaged, an id is malformed or repeated.
    """
    generation = detect(export)
    reader = generation.reader(export, folder.parent / f".sort-{folder.name}")
    schema = CANONICAL[table]
    sources = _sources_of(generation, table)
    source_rows = {name: reader.num_rows(name) for name in sources}
    frames = _canonical(generation.shapes[table](reader), schema)
    metadata = {
        "generation": generation.name,
        "source_rows": source_rows,
        "present": reader.is_present(sources[0]),
        "tolerated": reader.counts,
    }
    parts = _checked(_ordered(frames, schema, sum(source_rows.values()), reader.scratch), generation, reader, table)
    artifact = write_table(folder, parts, schema, config_digest=config_digest, inputs=inputs, metadata=metadata)
    logger.info("%s: %d rows from a %s export", schema.name, artifact.metadata["num_rows"], generation.name)
    return artifact


def _sources_of(generation: Generation, table: str) -> list[str]:
    """Source tables whose rows become rows of a canonical one."""
    if table == "directory_entry":
        return [name for name in generation.sources if name.startswith(table)]
    if table == "skipped_content" and generation.hex_ids:
        return [table, "content"]
    return ["snapshot_branches"] if table == "snapshot_branch" and not generation.hex_ids else [table]


def _canonical(frames: Iterable[pl.DataFrame], schema: Table) -> Iterator[pl.DataFrame]:
    return (frame.select(schema.polars.names()) for frame in frames)


def _ordered(frames: Iterator[pl.DataFrame], schema: Table, num_rows: int, scratch: Path) -> Iterator[pl.DataFrame]:
    return sorted_parts(frames, schema.order, num_rows=num_rows, scratch=scratch) if schema.order else frames


def _checked(
    parts: Iterator[pl.DataFrame], generation: Generation, reader: Reader, table: str
) -> Iterator[pl.DataFrame]:
    """The parts, each checked for repeated keys; parts never share a key, save entries, whose numbers are kept."""
    if table == "directory_entry":
        yield from _checked_entries(parts, reader)
        return
    for part in parts:
        if table in generation.keys:
            _check_sorted_key(part, generation, reader, table)
        yield part


def _check_sorted_key(part: pl.DataFrame, generation: Generation, reader: Reader, table: str) -> None:
    """Compare neighbours, which sorting made of equal keys; only a repetition pays for the search."""
    key = CANONICAL[table].key
    neighbours = [part[name].slice(1).eq_missing(part[name].slice(0, max(part.height - 1, 0))) for name in key]
    if part.height > 1 and pl.DataFrame(neighbours).select(pl.all_horizontal(pl.all()).any()).item():
        source, column = generation.keys[table]
        check_unique(part, key, reader, source, column)


def _checked_entries(parts: Iterator[pl.DataFrame], reader: Reader) -> Iterator[pl.DataFrame]:
    """Entries are in file order: all their numbers (8 bytes each) are compared at the end."""
    numbers = []
    for part in parts:
        numbers.append(part["id"].to_numpy())
        yield part
    ordered = np.sort(np.concatenate(numbers)) if numbers else np.empty(0, np.int64)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if repeated.size:
        raise TableError(
            f"{reader.export}/directory_entry_*: column 'id': found {repeated.size} repeated ids, first "
            f"{int(repeated[0]) // 3}, expected every id once",
            hint="a file was fetched twice under two names: compare the folders with the export's listing",
        )
