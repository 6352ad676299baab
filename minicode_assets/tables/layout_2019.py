"""The 2019-01-28 layout: raw ids, surrogate integers, one list of entry numbers for each kind of directory entry.

Each function gives the frames of one canonical table (`minicode_assets.schemas.CANONICAL`), unsorted. Rows that point
to nothing are left out and counted. Source: software_heritage.md, part 1.
"""

from collections.abc import Iterator

import polars as pl

from minicode_assets.tables.read import Reader, Source
from minicode_assets.tables.sort import check_unique

ENTRY_KINDS = ("dir", "file", "rev")
"""The three entry tables. Their surrogate ids overlap: entry `id` of kind k becomes number 3 * id + k."""

_ENTRY = {"id": "number", "target": "id", "name": "bytes", "perms": "number"}
SOURCES = {
    source.table: source
    for source in (
        Source("origin", {"id": "number", "url": "text"}),
        Source(
            "origin_visit",
            {"origin": "number", "visit": "number", "date": "time", "status": "text", "snapshot_id": "number"},
        ),
        Source("snapshot", {"object_id": "number", "id": "id"}),
        Source("snapshot_branches", {"snapshot_id": "number", "branch_id": "number"}),
        Source("snapshot_branch", {"object_id": "number", "name": "bytes", "target": "target", "target_type": "text"}),
        Source(
            "revision",
            {"id": "id", "directory": "reference", "date": "time", "committer_date": "time", "type": "text"},
            optional=frozenset({"date", "committer_date", "type"}),
        ),
        Source(
            "release",
            {"id": "id", "name": "bytes", "target": "reference", "target_type": "text", "date": "time"},
            optional=frozenset({"target_type", "date", "name"}),
            required=False,
        ),
        Source(
            "directory",
            {"id": "id", "dir_entries": "numbers", "file_entries": "numbers", "rev_entries": "numbers"},
        ),
        *(Source(f"directory_entry_{kind}", _ENTRY) for kind in ENTRY_KINDS),
        Source("content", {"sha1_git": "id", "sha1": "id", "length": "number"}),
        Source(
            "skipped_content",
            {"sha1_git": "reference", "sha1": "reference", "length": "number"},
            required=False,
        ),
    )
}


def origin(reader: Reader) -> Iterator[pl.DataFrame]:
    """Origin URLs. One URL may stand for a git and an svn origin: it is kept once and counted."""
    yield _origins(reader).select("url").unique()


def _origins(reader: Reader) -> pl.DataFrame:
    origins = reader.whole("origin")
    check_unique(origins, ("id",), reader, "origin", "id")
    repeated = origins.height - origins["url"].n_unique()
    reader.counts["origins_with_a_repeated_url"] = repeated
    return origins.sort("id").unique("url", keep="first") if repeated else origins


def origin_visit(reader: Reader) -> Iterator[pl.DataFrame]:
    """Visits, with the origin's URL and the snapshot's id in place of surrogates."""
    origins = _origins(reader).select(origin="id", origin_url="url")
    snapshots = reader.whole("snapshot").select(snapshot_id="object_id", snapshot="id")
    check_unique(snapshots, ("snapshot_id",), reader, "snapshot", "object_id")
    visits = reader.whole("origin_visit")
    known = visits.join(origins, on="origin", how="inner")
    resolved = known.join(snapshots, on="snapshot_id", how="left")
    reader.counts["visits_of_unknown_origins"] = visits.height - known.height
    reader.counts["visits_with_an_unknown_snapshot"] = resolved.filter(
        pl.col("snapshot_id").is_not_null() & pl.col("snapshot").is_null()
    ).height
    yield resolved


def snapshot_branch(reader: Reader) -> Iterator[pl.DataFrame]:
    """Branches by snapshot: the link table resolved, one frame of links at a time."""
    snapshots = reader.whole("snapshot").select(snapshot_id="object_id", snapshot="id")
    branches = reader.whole("snapshot_branch").rename({"object_id": "branch_id"})
    check_unique(snapshots, ("snapshot_id",), reader, "snapshot", "object_id")
    check_unique(branches, ("branch_id",), reader, "snapshot_branch", "object_id")
    for links in reader.frames("snapshot_branches"):
        resolved = links.join(snapshots, on="snapshot_id").join(branches, on="branch_id")
        reader.counts["branch_links_to_nothing"] += links.height - resolved.height
        yield resolved


def revision(reader: Reader) -> Iterator[pl.DataFrame]:
    """Revisions as they are; one without a directory is left out and counted."""
    for frame in reader.frames("revision"):
        kept = frame.filter(pl.col("directory").is_not_null())
        reader.counts["revisions_without_directory"] += frame.height - kept.height
        yield kept


def release(reader: Reader) -> Iterator[pl.DataFrame]:
    """Releases as they are."""
    yield from reader.frames("release")


def directory(reader: Reader) -> Iterator[pl.DataFrame]:
    """Directories, their three lists in one."""
    for frame in reader.frames("directory"):
        lists = [(pl.col(f"{kind}_entries") * 3 + index) for index, kind in enumerate(ENTRY_KINDS)]
        yield frame.select("id", entries=pl.concat_list(lists))


def directory_entry(reader: Reader) -> Iterator[pl.DataFrame]:
    """Entries of all three kinds."""
    for index, kind in enumerate(ENTRY_KINDS):
        for frame in reader.frames(f"directory_entry_{kind}"):
            yield frame.with_columns(
                pl.col("id") * 3 + index, pl.lit(kind).alias("type"), pl.col("perms").cast(pl.Int32)
            )


def content(reader: Reader) -> Iterator[pl.DataFrame]:
    """Contents as they are."""
    yield from reader.frames("content")


def skipped_content(reader: Reader) -> Iterator[pl.DataFrame]:
    """Skipped contents; this layout says no reason."""
    for frame in reader.frames("skipped_content"):
        yield frame.with_columns(pl.lit(None, pl.String).alias("reason"))
