"""The blobs artefact: the bytes of one partition's contents, each verified against sha1, sha1_git and length."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.blobs.backends import Absent, Backend
from minicode_assets.config import Blobs
from minicode_assets.layout import partition_range
from minicode_assets.parquet import scan_table, write_table
from minicode_assets.schemas import BLOBS, CONTENTS
from minicode_assets.swhid import content_ids
from minicode_model.artifact import Artifact, open_artifact

PART_BYTES = 64_000_000
"""A part file is closed after this many bytes, which bounds memory. Unit: bytes."""
STATUSES = ("verified", "missing", "damaged", "mismatch")
"""What can become of a content."""
_PROGRESS_S = 3.0
logger = logging.getLogger("minicode.blobs")


def fetch_partition(
    contents: Path, backend: Backend, folder: Path, *, partition: str, params: Blobs, config_digest: str
) -> Artifact:
    """After this, `folder` holds one row for each wanted content of the partition, with its bytes or a problem.

    Wanted are Python and licence files that are not longer than `params.max_length_bytes`. A content that is missing,
    damaged or does not match its ids is a row with that status and no bytes; it is counted, and never aborts the run.

    Args:
        contents: The contents artefact.
        backend: Where bytes come from.
        folder: The artefact folder of this partition.
        partition: A key such as `00-of-04`.
        params: The `blobs` section.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact; schema BLOBS, rows sorted by sha1_git. Metadata: partition, num_<status>, num_too_long (not
        fetched), verified_bytes, verified_fraction (null when nothing was wanted).

    Raises:
        MissingArtifactError, CorruptArtifactError: `contents` is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    source = open_artifact(contents)
    rows = scan_table(contents, CONTENTS, verify=False).filter(
        in_partition("sha1_git", partition) & (pl.col("is_python") | pl.col("is_license"))
    )
    wanted = rows.filter(pl.col("length") <= params.max_length_bytes).sort("sha1_git").collect()
    num_too_long = rows.filter(pl.col("length") > params.max_length_bytes).select(pl.len()).collect().item()
    metadata: dict[str, Any] = {"partition": partition, "num_too_long": num_too_long}
    return write_table(
        folder,
        _fetch(wanted, backend, metadata),
        BLOBS,
        config_digest=config_digest,
        inputs={"contents": source.digest},
        metadata=metadata,
    )


def in_partition(column: str, partition: str) -> pl.Expr:
    """True where a 20-byte id column lies in a partition."""
    lower, upper = partition_range(partition)
    inside = pl.col(column) >= pl.lit(lower)
    return inside & (pl.col(column) < pl.lit(upper)) if upper else inside


def verify_blob(data: bytes, *, sha1_git: bytes, sha1: bytes, length: int) -> str:
    """What differs between the bytes and their ids, or an empty string when all three match."""
    if len(data) != length:
        return f"length found {len(data)}, expected {length}"
    found_sha1_git, found_sha1 = content_ids(data)
    if found_sha1 != sha1:
        return f"sha1 found {found_sha1.hex()}, expected {sha1.hex()}"
    if found_sha1_git != sha1_git:
        return f"sha1_git found {found_sha1_git.hex()}, expected {sha1_git.hex()}"
    return ""


def _fetch(wanted: pl.DataFrame, backend: Backend, metadata: dict[str, Any]) -> Iterator[pl.DataFrame]:
    """Yield frames of at most PART_BYTES, and put the figures into `metadata` at the end."""
    counts = Counter(dict.fromkeys(STATUSES, 0))
    rows: list[tuple[Any, ...]] = []
    verified_bytes = pending_bytes = 0
    spoken = time.monotonic()
    for sha1_git, sha1, length in wanted.select("sha1_git", "sha1", "length").iter_rows():
        status, problem, data = _fetch_one(backend, sha1_git, sha1, length)
        counts[status] += 1
        rows.append((sha1_git, sha1, length, status, problem, data))
        pending_bytes += len(data or b"")
        if pending_bytes >= PART_BYTES:
            yield _frame(rows)
            verified_bytes, pending_bytes, rows = verified_bytes + pending_bytes, 0, []
        if time.monotonic() - spoken > _PROGRESS_S:
            spoken = time.monotonic()
            logger.info("%s: %d of %d contents", metadata["partition"], counts.total(), wanted.height)
    yield _frame(rows)
    metadata |= {f"num_{status}": counts[status] for status in STATUSES}
    metadata["verified_bytes"] = verified_bytes + pending_bytes
    metadata["verified_fraction"] = counts["verified"] / wanted.height if wanted.height else None


def _fetch_one(backend: Backend, sha1_git: bytes, sha1: bytes, length: int) -> tuple[str, str | None, bytes | None]:
    """(status, problem, bytes) of one content."""
    found = backend.read(sha1, max_length_bytes=length)
    if isinstance(found, Absent):
        return found.status, f"{backend.name}: {found.problem}", None
    problem = verify_blob(found, sha1_git=sha1_git, sha1=sha1, length=length)
    return ("mismatch", f"{backend.name}: {problem}", None) if problem else ("verified", None, found)


def _frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=BLOBS.polars, orient="row")
