"""Heads, files and contents of the origins."""

import polars as pl

from minicode_assets.schemas.table import table

BRANCH_HEADS = table(
    "branch_heads",
    ("origin_url", pl.String, "origin.url"),
    ("visit", pl.Int64, "The visit that was chosen; null without one"),
    ("snapshot", pl.Binary, "20 bytes; null without one"),
    ("branch", pl.Binary, "The branch that was chosen, raw bytes; null without one"),
    ("revision", pl.Binary, "20 bytes; the release or directory of `anchor` where no revision is; null without a head"),
    ("anchor", pl.String, "What `revision` identifies: rev, rel or dir, as in SWHIDs; null without a head"),
    ("directory", pl.Binary, "Root directory, 20 bytes; null without a head"),
    ("rule", pl.String, "The rule that chose the head; null without one"),
    ("reason", pl.String, "Why there is no head; null with one"),
    key="origin_url branch",
    order="origin_url branch",
)
FILE_MANIFEST = table(
    "file_manifest",
    ("origin_url", pl.String, "origin.url"),
    ("snapshot", pl.Binary, "20 bytes"),
    ("revision", pl.Binary, "20 bytes"),
    ("anchor", pl.String, "What `revision` identifies: rev, rel or dir, as in SWHIDs"),
    ("path", pl.Binary, "Raw bytes, relative to the root, no leading slash"),
    ("name", pl.Binary, "Last component of the path, raw bytes"),
    ("kind", pl.String, "file, executable or symlink, by mode"),
    ("perms", pl.Int32, "git mode: 33188 file, 33261 executable, 40960 symlink"),
    ("sha1_git", pl.Binary, "20 bytes"),
    ("sha1", pl.Binary, "20 bytes; null where the content is missing"),
    ("length", pl.Int64, "Bytes; null where the content is missing"),
    ("status", pl.String, "present, skipped or missing"),
    ("is_python", pl.Boolean, "A .py or .pyi file by name, or an executable without a suffix where those are taken"),
    ("is_license", pl.Boolean, "A licence file or package metadata by name"),
    ("is_vendored", pl.Boolean, "Third-party code by path"),
    key="origin_url revision path",
    order="origin_url revision path",
)
CONTENTS = table(
    "contents",
    ("sha1_git", pl.Binary, "20 bytes"),
    ("sha1", pl.Binary, "20 bytes"),
    ("length", pl.Int64, "Bytes"),
    ("num_files", pl.Int64, "Manifest rows with this content"),
    ("is_python", pl.Boolean, "Any of them is Python by name"),
    ("is_license", pl.Boolean, "Any of them is a licence file by name"),
    key="sha1_git",
    order="sha1_git",
)
