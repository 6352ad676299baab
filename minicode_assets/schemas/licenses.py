"""What licence files state, and the verdict on folders and documents."""

import polars as pl

from minicode_assets.schemas.table import table

LICENSE_FILES = table(
    "license_files",
    ("sha1_git", pl.Binary, "20 bytes"),
    ("expression", pl.String, "SPDX expression; null when none was recognised"),
    (
        "rule",
        pl.String,
        "expression, metadata, hash, text, similar, tag or scancode: how; null when it was not recognised",
    ),
    ("score", pl.Float64, "Similarity to the licence text, 0..1; null when it was not recognised"),
    key="sha1_git",
    order="sha1_git",
)
_VERDICT = (
    ("license_type", pl.String, "permissive, no_license or non_permissive"),
    ("license_expression", pl.String, "SPDX expression; null for no_license"),
    ("license_rule", pl.String, "origin, ancestor, metadata, header or declared: which rule decided"),
    ("license_evidence", pl.String, "Paths that decided, joined by newlines; null for no_license"),
    ("license_score", pl.Float64, "Least score among the evidence, 0..1; null for no_license"),
)
ORIGIN_LICENSES = table(
    "origin_licenses",
    ("origin_url", pl.String, "origin.url"),
    ("revision", pl.Binary, "20 bytes"),
    (
        "folder",
        pl.Binary,
        "A folder with Python (or other wanted) files, raw bytes, no slash at either end; empty is the root",
    ),
    *_VERDICT,
    key="origin_url revision folder",
    order="origin_url revision folder",
)
LICENSE = table(
    "license",
    ("document_id", pl.String, "documents.document_id"),
    *_VERDICT,
    key="document_id",
)
