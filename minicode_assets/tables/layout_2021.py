"""The layout from 2021-03-23 on: hex ids, URLs as origin keys, visit statuses, one row a directory entry.

Each function gives the frames of one canonical table (`minicode_assets.schemas.CANONICAL`), unsorted unless it says
so. Source: software_heritage.md, part 1.
"""

from collections.abc import Iterator

import polars as pl

from minicode_assets.tables.layout_2019 import release as release
from minicode_assets.tables.layout_2019 import revision as revision
from minicode_assets.tables.read import Reader, Source
from minicode_assets.tables.sort import sorted_parts

SLICE_DIRECTORIES = 500_000
"""Directories in one frame of entry lists: some 13 million numbers, 100 MB."""
_VISIBLE = (pl.col("status") == "visible").fill_null(True)

SOURCES = {
    source.table: source
    for source in (
        Source("origin", {"url": "text"}),
        Source("origin_visit", {"origin": "text", "visit": "number", "date": "time"}, optional=frozenset({"date"})),
        Source(
            "origin_visit_status",
            {"origin": "text", "visit": "number", "date": "time", "status": "text", "snapshot": "reference"},
        ),
        Source("snapshot_branch", {"snapshot_id": "id", "name": "bytes", "target": "target", "target_type": "text"}),
        Source(
            "revision",
            {"id": "id", "directory": "reference", "date": "time", "committer_date": "time", "type": "text"},
            optional=frozenset({"date", "committer_date", "type"}),
        ),
        Source(
            "release",
            {"id": "id", "name": "bytes", "target": "reference", "target_type": "text", "date": "time"},
            optional=frozenset({"date", "name"}),
            required=False,
        ),
        Source("directory", {"id": "id"}),
        Source(
            "directory_entry",
            {"directory_id": "id", "name": "bytes", "type": "text", "target": "id", "perms": "number"},
        ),
        Source(
            "content",
            {"sha1_git": "id", "sha1": "id", "length": "number", "status": "text"},
            optional=frozenset({"status"}),
        ),
        Source(
            "skipped_content",
            {"sha1_git": "reference", "sha1": "reference", "length": "number", "reason": "text"},
            optional=frozenset({"reason"}),
            required=False,
        ),
    )
}


def origin(reader: Reader) -> Iterator[pl.DataFrame]:
    """Origin URLs."""
    yield from reader.frames("origin")


def origin_visit(reader: Reader) -> Iterator[pl.DataFrame]:
    """Visits with their last status (by date, then the one with a snapshot); without any, status `created`."""
    origins = reader.whole("origin")
    visits = reader.whole("origin_visit").rename({"origin": "origin_url"})
    known = visits.join(origins, left_on="origin_url", right_on="url", how="semi")
    reader.counts["visits_of_unknown_origins"] = visits.height - known.height
    ordered = (pl.col("date"), pl.col("snapshot").is_not_null(), pl.col("snapshot"))
    last = (
        reader.whole("origin_visit_status")
        .sort(*ordered, nulls_last=False)
        .group_by(pl.col("origin").alias("origin_url"), "visit", maintain_order=True)
        .agg(pl.col("status", "snapshot").last())
    )
    yield known.join(last, on=("origin_url", "visit"), how="left").with_columns(pl.col("status").fill_null("created"))


def snapshot_branch(reader: Reader) -> Iterator[pl.DataFrame]:
    """Branches by snapshot."""
    for frame in reader.frames("snapshot_branch"):
        yield frame.rename({"snapshot_id": "snapshot"})


def directory(reader: Reader) -> Iterator[pl.DataFrame]:
    """Directories in order of id, each with the numbers that `directory_entry` gives its rows: a range."""
    counted = [
        frame.group_by(pl.col("directory_id").alias("id")).len()
        for frame in reader.frames("directory_entry", "directory_id")
    ]
    empty = pl.DataFrame(schema={"id": pl.Binary, "len": pl.UInt32})
    sizes = pl.concat([empty, *counted]).group_by("id").agg(pl.col("len").cast(pl.Int64).sum())
    listed = reader.whole("directory")
    reader.counts["directories_known_by_entries_only"] = sizes.join(listed, on="id", how="anti").height
    rest = listed.join(sizes, on="id", how="anti").with_columns(pl.lit(0, pl.Int64).alias("len"))
    ordered = pl.concat([sizes, rest]).sort("id").with_columns(end=pl.col("len").cum_sum())
    for part in ordered.iter_slices(SLICE_DIRECTORIES):
        yield part.select("id", entries=pl.int_ranges(pl.col("end") - pl.col("len"), pl.col("end")))


def directory_entry(reader: Reader) -> Iterator[pl.DataFrame]:
    """Entries in order of directory, numbered from 0."""
    first = 0
    frames = reader.frames("directory_entry")
    for part in sorted_parts(
        frames, ("directory_id",), num_rows=reader.num_rows("directory_entry"), scratch=reader.scratch
    ):
        yield part.with_columns(
            pl.int_range(first, first + part.height, dtype=pl.Int64).alias("id"), pl.col("perms").cast(pl.Int32)
        )
        first += part.height


def content(reader: Reader) -> Iterator[pl.DataFrame]:
    """Contents that the archive gives out."""
    for frame in reader.frames("content"):
        yield frame.filter(_VISIBLE)


def skipped_content(reader: Reader) -> Iterator[pl.DataFrame]:
    """Skipped contents with their reason, and contents that are not visible with their status as reason."""
    yield from reader.frames("skipped_content")
    for frame in reader.frames("content"):
        yield frame.filter(~_VISIBLE).rename({"status": "reason"})
