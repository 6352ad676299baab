"""What is fetched, and the bytes."""

from dataclasses import replace

import polars as pl

from minicode_assets.schemas.table import table

OPT_OUT = table(
    "opt_out",
    ("kind", pl.String, "origin, owner, path, swhid, url or user"),
    ("value", pl.String, "A glob, [<host>/]<name>, a SWHID, or an account"),
    key="kind value",
    order="kind value",
)
FETCH_PLAN = table(
    "fetch_plan",
    ("sha1_git", pl.Binary, "20 bytes"),
    ("sha1", pl.Binary, "20 bytes"),
    ("length", pl.Int64, "Bytes"),
    ("priority", pl.Int64, "Order of fetching, least first; null when it is not fetched"),
    ("rule", pl.String, "The first rule that leaves it out; null when it is fetched"),
    key="sha1_git",
    order="sha1_git",
)
VAULT_FILES = table(
    "vault_files",
    ("directory", pl.Binary, "A root directory that is fetched as one tarball, 20 bytes"),
    ("path", pl.Binary, "A wanted file in it: raw bytes, relative to it"),
    ("sha1_git", pl.Binary, "Its content, 20 bytes"),
    key="directory path",
    order="directory path",
)
BLOBS = table(
    "blobs",
    ("sha1_git", pl.Binary, "20 bytes"),
    ("sha1", pl.Binary, "20 bytes"),
    ("length", pl.Int64, "Bytes, from the table"),
    ("status", pl.String, "verified, missing, masked, damaged, mismatch or unreachable"),
    ("problem", pl.String, "What was found instead; null when verified"),
    ("data", pl.Binary, "The bytes; null unless verified"),
    key="sha1_git",
    order="sha1_git",
)
LICENSE_BLOBS = replace(BLOBS, name="license_blobs")
QUARANTINE = table(
    "quarantine",
    ("sha1_git", pl.Binary, "20 bytes, from the table"),
    ("sha1", pl.Binary, "20 bytes, from the table"),
    ("length", pl.Int64, "Bytes, from the table"),
    ("problem", pl.String, "The source, and what differs"),
    ("found_sha1_git", pl.Binary, "20 bytes, of what came"),
    ("found_sha1", pl.Binary, "20 bytes, of what came"),
    ("data", pl.Binary, "What came"),
    key="sha1_git",
    order="sha1_git",
)
