"""Which root directories are fetched as one tarball: those that cost fewer requests so than file by file."""

from pathlib import Path

import polars as pl

from minicode_assets.blobs.vault import choose_roots
from minicode_assets.config import Blobs
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import BRANCH_HEADS, VAULT_FILES

FOLDER = "vault"
"""Folder of the table inside the fetch_plan artefact."""


def plan_vault(files: pl.LazyFrame, plan: pl.DataFrame, branch_heads: Path, *, params: Blobs) -> pl.DataFrame:
    """The wanted files of the chosen root directories.

    A root with an opted-out file is never chosen: its tarball would bring that file too. Licence files don't count:
    they were fetched before.

    Args:
        files: Rows of FILE_MANIFEST with `usable` (not opted out) and `allowed` (by licence).
        plan: Rows of CONTENTS with `priority`.
        branch_heads: The branch_heads artefact, which says each head's root directory.
        params: The `blobs` section.

    Returns:
        Schema VAULT_FILES, sorted; empty where the vault is no source.
    """
    if "vault" not in params.backends:
        return pl.DataFrame(schema=VAULT_FILES.polars)
    heads = scan_table(branch_heads, BRANCH_HEADS).select("origin_url", "revision", "directory").unique()
    rooted = files.join(heads, on=["origin_url", "revision"], how="inner")
    forbidden = rooted.filter(~pl.col("usable")).select("directory").unique()
    wanted = plan.lazy().filter(pl.col("priority").is_not_null() & ~pl.col("is_license"))
    candidates = (
        rooted.filter("allowed")
        .join(wanted, on="sha1_git", how="semi")
        .join(forbidden, on="directory", how="anti")
        .select(VAULT_FILES.polars.names())
        .unique()
        .collect()
    )
    roots = choose_roots(candidates, min_files=params.vault_requests + 1)
    chosen = candidates.filter(pl.col("directory").is_in(pl.Series(roots, dtype=pl.Binary).implode()))
    return chosen.sort(*VAULT_FILES.order)


def read_vault_files(plan: Path) -> pl.DataFrame:
    """What `plan_vault` put into a fetch_plan artefact."""
    return scan_table(plan, VAULT_FILES, pattern=f"{FOLDER}/*.parquet").collect()
