"""From a complete ledger to the finished partition: the same bytes, whatever the order of arrival."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from minicode_assets.blobs.ledger import STATUSES, Ledger
from minicode_assets.blobs.rows import Rows
from minicode_assets.errors import BlobError
from minicode_assets.parquet import write_parquet
from minicode_assets.schemas import BLOBS, QUARANTINE, Table
from minicode_assets.swhid import content_ids
from minicode_model.artifact import Artifact, open_artifact, write_artifact

PART_BYTES = 4_000_000
"""A part file is closed after this many bytes or `PART_ROWS` rows, which bounds memory. Unit: bytes."""
PART_ROWS = 50_000
"""See `PART_BYTES`. Unit: rows."""


def seal(
    folder: Path,
    rows: Rows,
    ledger: Ledger,
    *,
    name: str,
    config_digest: str,
    inputs: Mapping[str, str],
    metadata: Mapping[str, Any],
) -> Artifact:
    """Write the artefact from what the ledger knows; see `store.fetch_rows`.

    Raises:
        BlobError: The ledger has an open rank, which a backend has not answered for.
    """
    num_open = int(ledger.is_open.sum())
    if num_open:
        raise BlobError(f"{folder}: {num_open} of {len(rows)} contents got no answer", hint="run it again: it resumes")
    counts = Counter(dict.fromkeys(STATUSES, 0))
    quarantined: list[tuple[Any, ...]] = []
    verified_bytes = 0
    with write_artifact(folder, name=name, config_digest=config_digest, inputs=inputs) as writer:
        for number, part in enumerate(_parts(rows, ledger, quarantined)):
            write_parquet(part, writer.path / f"part-{number:05d}.parquet", BLOBS)
            counts.update(part["status"].to_list())
            verified_bytes += int(part.filter(pl.col("status") == "verified")["length"].sum())
            del part  # or two are in memory while the next is made
        if quarantined:
            (writer.path / "quarantine").mkdir()
            frame = _frame(quarantined, QUARANTINE)
            write_parquet(frame, writer.path / "quarantine" / "part-00000.parquet", QUARANTINE)
        writer.metadata = {
            **metadata,
            **{f"num_{status}": counts[status] for status in STATUSES},
            "verified_bytes": verified_bytes,
            "verified_fraction": counts["verified"] / len(rows) if len(rows) else None,
            "num_rows": len(rows),
        }
    return open_artifact(folder, verify=False)


def _parts(rows: Rows, ledger: Ledger, quarantined: list[tuple[Any, ...]]) -> Iterator[pl.DataFrame]:
    """Frames of schema BLOBS in rank order; at least one. Bodies of mismatches go to `quarantined`."""
    starts = _part_starts(rows.length)
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        part: list[tuple[Any, ...]] = []
        for rank, *ids in rows.wanted(np.arange(start, end)):
            status, problem, found = ledger.outcome(rank)
            part.append((*ids, status, problem, found if status == "verified" else None))
            if status == "mismatch":
                assert found is not None
                found_sha1_git, found_sha1 = content_ids(found)
                quarantined.append((*ids, problem, found_sha1_git, found_sha1, found))
        frame = _frame(part, BLOBS)
        part.clear()
        yield frame
        del frame


def _part_starts(lengths: "np.ndarray[Any, np.dtype[np.int64]]") -> list[int]:
    """First rank of each part file, from the tables' lengths alone, so that outcomes don't move the cuts."""
    starts, pending = [0], 0
    for rank, length in enumerate(lengths):
        if rank > starts[-1] and (pending + length > PART_BYTES or rank - starts[-1] >= PART_ROWS):
            starts.append(rank)
            pending = 0
        pending += length
    return starts


def _frame(rows: list[tuple[Any, ...]], table: Table) -> pl.DataFrame:
    """The rows as a frame, made column by column: row by row takes twice the memory."""
    columns = zip(table.polars.items(), zip(*rows, strict=True) if rows else [()] * len(table.polars), strict=True)
    return pl.DataFrame([pl.Series(name, list(values), dtype) for (name, dtype), values in columns])
