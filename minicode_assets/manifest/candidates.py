"""Branches that may stand for a snapshot, in order of preference, each with the rule that proposes it."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from minicode_assets.config import BranchHeads
from minicode_assets.manifest.versions import archive_preference, debian_key, pep440_key

ORDER = ("snapshot", "priority", "rank")
"""By these columns the first candidate of a snapshot that leads to a directory becomes its head."""


def candidates(branches: pl.DataFrame, params: BranchHeads) -> pl.DataFrame:
    """Candidate branches of each snapshot, sorted by `ORDER`.

    Args:
        branches: `schemas.SNAPSHOT_BRANCH` rows of the snapshots that count.
        params: The names, or all branches.

    Returns:
        The columns of `branches` with rule (which rule proposes it), priority (of the rule) and rank (within it).
    """
    if params.all_branches:
        every = branches.filter(pl.col("target_type").ne_missing("alias"))
        return _ruled(every, "all_branches", 0, pl.int_range(pl.len()).over("snapshot")).sort(*ORDER)
    names = [
        _ruled(branches.filter(pl.col("name") == name.encode()), name, index, pl.lit(0))
        for index, name in enumerate(params.branches)
    ]
    rules = (_single_branch, _pypi_release, _debian_version)
    others = [rule(branches, params, len(names) + index) for index, rule in enumerate(rules)]
    return pl.concat([*names, *others]).sort(*ORDER)


def _ruled(rows: pl.DataFrame, rule: str, priority: int, rank: pl.Expr) -> pl.DataFrame:
    return rows.with_columns(
        pl.lit(rule).alias("rule"), pl.lit(priority).cast(pl.Int32).alias("priority"), rank.cast(pl.Int64).alias("rank")
    )


def _single_branch(branches: pl.DataFrame, params: BranchHeads, priority: int) -> pl.DataFrame:
    heads = branches.filter(pl.col("name").bin.starts_with(b"refs/heads/"))
    return _ruled(heads.filter(pl.len().over("snapshot") == 1), "single_branch", priority, pl.lit(0))


def _pypi_release(branches: pl.DataFrame, params: BranchHeads, priority: int) -> pl.DataFrame:
    """`releases/<version>[/<file>]`, the highest version first, source archives before other files."""
    found = []
    for row, name in _named(branches):
        parts = name.split("/")
        if parts[0] == "releases" and len(parts) >= 2 and _debian_version_of(parts, params) is None:
            found.append((row, (pep440_key(parts[1]), -archive_preference(name), _backwards(name))))
    return _ranked(branches, found, "pypi_release", priority)


def _debian_version(branches: pl.DataFrame, params: BranchHeads, priority: int) -> pl.DataFrame:
    """`[releases/]<suite>/<component>/<version>`, the highest version first."""
    found = []
    for row, name in _named(branches):
        version = _debian_version_of(name.split("/"), params)
        if version is not None:
            found.append((row, (debian_key(version), _backwards(name))))
    return _ranked(branches, found, "debian_version", priority)


def _debian_version_of(parts: list[str], params: BranchHeads) -> str | None:
    suite = parts[1:-2] if parts[0] == "releases" else parts[:-2]
    if not suite or suite[0] == "refs" or parts[-2] not in params.debian_components:
        return None
    return parts[-1]


def _named(branches: pl.DataFrame) -> list[tuple[int, str]]:
    """Row number and name of the branches that are no git refs."""
    numbered = branches.select("name").with_row_index("row")
    kept = numbered.filter(~pl.col("name").bin.starts_with(b"refs/") & (pl.col("name") != b"HEAD"))
    return [(row, name.decode("utf-8", "backslashreplace")) for row, name in kept.iter_rows()]


def _backwards(name: str) -> list[int]:
    """A key under which the alphabetically first name is the greatest, so that ties have one outcome."""
    return [-ord(character) for character in name] + [1]


def _ranked(branches: pl.DataFrame, found: Sequence[tuple[int, Any]], rule: str, priority: int) -> pl.DataFrame:
    """The found rows, ranked by descending key within their snapshot."""
    best_first = [row for row, _ in sorted(found, key=lambda pair: pair[1], reverse=True)]
    return _ruled(branches[best_first], rule, priority, pl.int_range(pl.len()).over("snapshot"))
