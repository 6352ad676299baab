"""Records of one conversation lie far apart; they are put together bucket by bucket, so that memory is bounded.

A row's bucket, 0 to 255, comes from the hash of its thread. What a bucket holds is measured first: as many neighbours
are read at a time as fit into a block, so that larger inputs take more runs over them and no more memory.
"""

from collections.abc import Iterator, Sequence

import polars as pl


def bucket_runs(tables: Sequence[pl.LazyFrame], size: pl.Expr, *, max_bytes: int) -> Iterator[pl.LazyFrame]:
    """The rows of all tables, some buckets at a time, in order of buckets.

    Args:
        tables: Each with a column bucket, 0 to 255.
        size: Bytes of a row in memory.
        max_bytes: Of the rows of one run, unless a single bucket has more. Unit: bytes.
    """
    sizes = [table.group_by("bucket").agg(size.sum().alias("size")).collect(engine="streaming") for table in tables]
    totals = dict(pl.concat(sizes).group_by("bucket").agg(pl.col("size").sum()).sort("bucket").iter_rows())
    for low, high in _ranges(totals, max_bytes):
        yield pl.concat([table.filter(pl.col("bucket").is_between(low, high)) for table in tables])


def _ranges(sizes: dict[int, int], max_bytes: int) -> Iterator[tuple[int, int]]:
    """First and last bucket of each run."""
    low = high = -1
    held = 0
    for bucket, size in sizes.items():
        if low >= 0 and held + size > max_bytes:
            yield low, high
            low, held = bucket, 0
        low, high, held = (bucket if low < 0 else low), bucket, held + size
    if low >= 0:
        yield low, high
