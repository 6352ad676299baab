"""Which origins are held out for validation."""

import hashlib

import polars as pl


def held_out_origins(kept: pl.DataFrame, *, validation_fraction: float, seed: int) -> list[str]:
    """Choose whole origins for validation.

    Origins are walked in the order of hash(seed, origin url). One is taken when it still fits into
    `validation_fraction` of the kept bytes, so a huge origin is passed over instead of swallowing the budget. When none
    fits, the smallest origin is taken alone, so validation is never empty with two origins or more; the last origin
    always stays in train.

    Args:
        kept: Columns origin_url and length_bytes, one row a kept document.
        validation_fraction: Share of the kept bytes, 0..1; 0 holds nothing out.
        seed: Seed of the order.

    Returns:
        Origin URLs, sorted.
    """
    sizes = dict(kept.group_by("origin_url").agg(pl.col("length_bytes").sum()).iter_rows())
    if validation_fraction <= 0 or len(sizes) < 2:
        return []
    budget = validation_fraction * sum(sizes.values())
    taken: list[str] = []
    used = 0
    for origin in sorted(sizes, key=lambda url: _order(seed, url)):
        if used + sizes[origin] <= budget and len(taken) + 1 < len(sizes):
            taken.append(origin)
            used += sizes[origin]
    return sorted(taken) or [min(sizes, key=lambda url: (sizes[url], _order(seed, url)))]


def _order(seed: int, origin_url: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{origin_url}".encode(), digest_size=16).digest()
