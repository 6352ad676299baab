"""What earlier artefacts have verified is not asked for again: their bytes go into the journal, hashed once more."""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from minicode_assets.blobs.ledger import Ledger
from minicode_assets.blobs.rows import Rows
from minicode_assets.layout import partition_range
from minicode_assets.swhid import content_ids

_KEY = re.compile(r"\d+-of-(\d+)")
logger = logging.getLogger("minicode.blobs")


def reuse_blobs(folder: Path, rows: Rows, ledger: Ledger, *, store: Sequence[Path] = ()) -> int:
    """After this, the ledger has every wanted content that an earlier artefact holds intact.

    Earlier artefacts are the one that this run replaces, damaged or not, and those of another number of partitions
    beside it. Every body is hashed, so a damaged file costs requests, never wrong bytes.

    Args:
        folder: The artefact folder of this partition.
        rows: The wanted contents.
        ledger: What is open and found is entered.
        store: Other artefacts that may hold some of them.

    Returns:
        How many contents were found.
    """
    num_found = 0
    for part in [*_parts(folder), *(part for other in store for part in sorted(other.glob("part-*.parquet")))]:
        num_found += _reuse_part(part, rows, ledger)
    if num_found:
        logger.info("%s: %d contents are here from an earlier run", folder.name, num_found)
    return num_found


def _parts(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("part-*.parquet"))
    own = _KEY.fullmatch(folder.name)
    for sibling in sorted(folder.parent.glob("*-of-*")) if own else []:
        other = _KEY.fullmatch(sibling.name)
        if own and other and other[1] != own[1] and _overlap(folder.name, sibling.name):
            yield from sorted(sibling.glob("part-*.parquet"))


def _overlap(one: str, two: str) -> bool:
    (lower, upper), (other_lower, other_upper) = partition_range(one), partition_range(two)
    return (not other_upper or lower < other_upper) and (not upper or other_lower < upper)


def _reuse_part(part: Path, rows: Rows, ledger: Ledger) -> int:
    """Enter the intact and wanted bodies of one part file, which bounds memory."""
    still_open = ledger.is_open
    try:
        found = (
            pl.scan_parquet(part, glob=False)
            .filter(pl.col("status") == "verified")
            .select("sha1_git", "data")
            .collect()
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        logger.warning("%s: can't be read, its contents are fetched again: %s", part, error)
        return 0
    num_found = 0
    for sha1_git, body in found.iter_rows():
        rank = rows.rank_of(sha1_git)
        if rank is None or not still_open[rank]:
            continue
        (wanted,) = rows.wanted([rank])
        if content_ids(body) == (wanted.sha1_git, wanted.sha1):
            ledger.enter_blob(wanted, body)
            num_found += 1
    return num_found
