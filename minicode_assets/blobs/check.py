"""What asset checks ask of a finished partition: is what it holds still right, and what is missing and why."""

import hashlib
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.blobs.store import verify_blob
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import BLOBS

_IDS_AND_NUMBERS = r"[0-9a-f]{40}|\d+"


def rehash_sample(folder: Path, *, num_blobs: int, seed: int) -> dict[str, Any]:
    """Hash a seeded sample of a partition's verified blobs again.

    Args:
        folder: A blobs artefact.
        num_blobs: Size of the sample; all blobs where there are no more.
        seed: Chooses the sample, by hash of seed and sha1_git.

    Returns:
        num_sampled, num_wrong, and `wrong`: at most ten problems with their sha1_git (hex).

    Raises:
        MissingArtifactError, CorruptArtifactError: It was never completed, or a file's size differs.
    """
    rows = scan_table(folder, BLOBS, pattern="part-*.parquet", verify=False).filter(pl.col("status") == "verified")
    ids = rows.select("sha1_git").collect()["sha1_git"].to_list()
    salt = str(seed).encode()
    chosen = sorted(ids, key=lambda sha1_git: hashlib.sha256(salt + sha1_git).digest())[:num_blobs]
    sample = rows.filter(pl.col("sha1_git").is_in(pl.Series(chosen, dtype=pl.Binary).implode())).collect()
    wrong = []
    for sha1_git, sha1, length, body in sample.select("sha1_git", "sha1", "length", "data").iter_rows():
        problem = verify_blob(body, sha1_git=sha1_git, sha1=sha1, length=length)
        if problem:
            wrong.append(f"{sha1_git.hex()}: {problem}")
    return {"num_sampled": sample.height, "num_wrong": len(wrong), "wrong": wrong[:10]}


def missing_reasons(folder: Path) -> pl.DataFrame:
    """Why contents of a partition have no bytes.

    Args:
        folder: A blobs artefact.

    Returns:
        status, reason (the problem with ids and numbers as `#`), num_contents, bytes, example (sha1_git, hex): a row
        each status and reason, most contents first.

    Raises:
        MissingArtifactError, CorruptArtifactError: It was never completed, or a file's size differs.
    """
    rows = scan_table(folder, BLOBS, pattern="part-*.parquet", verify=False).filter(pl.col("status") != "verified")
    reason = pl.col("problem").str.replace_all(_IDS_AND_NUMBERS, "#")
    return (
        rows.select("sha1_git", "length", "status", reason=reason)
        .group_by("status", "reason")
        .agg(
            num_contents=pl.len().cast(pl.Int64),
            bytes=pl.col("length").sum(),
            example=pl.col("sha1_git").min().bin.encode("hex"),
        )
        .sort(["num_contents", "status", "reason"], descending=[True, False, False])
        .collect()
    )
