"""The canonical Software Heritage tables."""

import polars as pl

from minicode_assets.schemas.table import TIME, table

ORIGIN = table("swh_origin", ("url", pl.String, "Where the source was collected"), key="url", order="url")
ORIGIN_VISIT = table(
    "swh_origin_visit",
    ("origin_url", pl.String, "origin.url"),
    ("visit", pl.Int64, "Number of the visit within its origin, from 1"),
    ("date", TIME, "When; null where the export has none"),
    ("status", pl.String, "full, partial, ongoing, created, not_found or failed"),
    ("snapshot", pl.Binary, "20 bytes; null where the visit has none"),
    key="origin_url visit",
    order="origin_url visit",
)
SNAPSHOT_BRANCH = table(
    "swh_snapshot_branch",
    ("snapshot", pl.Binary, "20 bytes"),
    ("name", pl.Binary, "Branch name, raw bytes"),
    ("target", pl.Binary, "20 bytes, or the name of another branch for an alias; null when dangling"),
    ("target_type", pl.String, "content, directory, revision, release, snapshot or alias; null when dangling"),
    key="snapshot name",
    order="snapshot name",
)
REVISION = table(
    "swh_revision",
    ("id", pl.Binary, "20 bytes"),
    ("directory", pl.Binary, "Root directory, 20 bytes"),
    ("date", TIME, "Author date; null where absent"),
    ("committer_date", TIME, "Committer date; null where absent"),
    ("type", pl.String, "git, tar, dsc, svn, hg, ..."),
    key="id",
    order="id",
)
RELEASE = table(
    "swh_release",
    ("id", pl.Binary, "20 bytes"),
    ("name", pl.Binary, "Tag name, raw bytes"),
    ("target", pl.Binary, "20 bytes; null where absent"),
    ("target_type", pl.String, "revision, release, directory, content or snapshot; null in exports without it"),
    ("date", TIME, "Tag date; null where absent"),
    key="id",
    order="id",
)
DIRECTORY = table(
    "swh_directory",
    ("id", pl.Binary, "20 bytes"),
    ("entries", pl.List(pl.Int64), "directory_entry.id of each entry, in no particular order"),
    key="id",
    order="id",
)
DIRECTORY_ENTRY = table(
    "swh_directory_entry",
    ("id", pl.Int64, "Number of the entry within this export; several directories may share one"),
    ("name", pl.Binary, "Raw bytes"),
    ("type", pl.String, "file, dir or rev"),
    ("target", pl.Binary, "20 bytes: content sha1_git, directory id or revision id"),
    ("perms", pl.Int32, "git mode, e.g. 33188 = 0100644; null where the export has none"),
    key="id",
)
CONTENT = table(
    "swh_content",
    ("sha1_git", pl.Binary, "20 bytes"),
    ("sha1", pl.Binary, "20 bytes; the public bucket's key"),
    ("length", pl.Int64, "Bytes"),
    key="sha1_git",
    order="sha1_git",
)
SKIPPED_CONTENT = table(
    "swh_skipped_content",
    ("sha1_git", pl.Binary, "20 bytes; null where unknown"),
    ("sha1", pl.Binary, "20 bytes; null where unknown"),
    ("length", pl.Int64, "Bytes"),
    ("reason", pl.String, "Why the archive has no bytes; null in exports without it"),
    order="sha1_git sha1",
)
CANONICAL = {
    "origin": ORIGIN,
    "origin_visit": ORIGIN_VISIT,
    "snapshot_branch": SNAPSHOT_BRANCH,
    "revision": REVISION,
    "release": RELEASE,
    "directory": DIRECTORY,
    "directory_entry": DIRECTORY_ENTRY,
    "content": CONTENT,
    "skipped_content": SKIPPED_CONTENT,
}
"""Canonical form of the Software Heritage tables, by table name."""
