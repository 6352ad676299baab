"""The revision that stands for each origin: its last good visit, then the best branch of that snapshot."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from minicode_assets.config import BranchHeads
from minicode_assets.errors import ConfigError, TableError
from minicode_assets.manifest.candidates import ORDER, candidates
from minicode_assets.manifest.follow import follow
from minicode_assets.parquet import scan_table, write_table
from minicode_assets.schemas import BRANCH_HEADS, CANONICAL
from minicode_model.artifact import Artifact, open_artifact

INPUTS = ("origin", "origin_visit", "snapshot_branch", "release", "revision")
"""The canonical tables that heads are chosen from."""
_STATUS_ORDER = {"full": 0, "partial": 1}

logger = logging.getLogger("minicode.manifest")


def choose_heads(tables: Mapping[str, Path], folder: Path, *, params: BranchHeads, config_digest: str) -> Artifact:
    """Write one row an origin: the chosen visit, branch and revision, or the reason why there is none.

    The visit is the last full one with a snapshot, else the last partial one. The branch is the first of
    `params.branches`, then the single branch, the highest PyPI release, the highest Debian version, that leads to a
    directory through aliases and releases.

    Args:
        tables: Folders of the canonical tables `INPUTS`, by canonical name.
        folder: The artefact folder to create or replace.
        params: Which branches, and which visits count.
        config_digest: See `write_artifact`.

    Returns:
        The artefact `branch_heads`, one row an origin (with `all_branches`: a branch) by origin URL. Its metadata:
        num_origins, by_rule and by_reason (origins each).

    Raises:
        TableError: Heads lead through releases, and the export has no such table.
    """
    sources = {name: open_artifact(tables[name]) for name in INPUTS}
    scans = {name: scan_table(tables[name], CANONICAL[name], verify=False) for name in INPUTS}
    visits = choose_visits(scans["origin"], scans["origin_visit"], visited_until=params.visited_until)
    branches = scans["snapshot_branch"].join(visits.lazy(), on="snapshot", how="semi").collect(engine="streaming")
    ranked = candidates(branches.sort("snapshot", "name"), params)
    followed = follow(ranked, branches, scans["release"], scans["revision"], max_hops=params.max_hops)
    _check_releases_present(followed, bool(sources["release"].metadata["present"]), tables["release"])
    heads = _heads(visits, branches, followed, all_branches=params.all_branches)
    metadata = summary(heads)
    logger.info("branch_heads: %d origins, by rule %s", metadata["num_origins"], metadata["by_rule"])
    inputs = {f"swh_{name}": artifact.digest for name, artifact in sources.items()}
    return write_table(folder, heads, BRANCH_HEADS, config_digest=config_digest, inputs=inputs, metadata=metadata)


def choose_visits(origins: pl.LazyFrame, visits: pl.LazyFrame, *, visited_until: str = "") -> pl.DataFrame:
    """One row an origin: origin_url, visit, snapshot, and reason where no visit has a snapshot."""
    if visited_until:
        visits = visits.filter(pl.col("date") <= _moment(visited_until))
    usable = visits.filter(pl.col("snapshot").is_not_null() & pl.col("status").is_in(list(_STATUS_ORDER)))
    chosen = (
        usable.with_columns(order=pl.col("status").replace_strict(_STATUS_ORDER, return_dtype=pl.Int32))
        .sort("origin_url", "order", "visit", descending=[False, False, True])
        .unique("origin_url", keep="first", maintain_order=True)
        .select("origin_url", "visit", "snapshot")
    )
    seen = visits.select("origin_url").unique().with_columns(seen=True)
    reason = pl.when(pl.col("seen").is_null()).then(pl.lit("no_visit")).otherwise(pl.lit("no_snapshot"))
    return (
        origins.select(origin_url="url")
        .join(chosen, on="origin_url", how="left")
        .join(seen, on="origin_url", how="left")
        .select("origin_url", "visit", "snapshot", pl.when(pl.col("snapshot").is_null()).then(reason).alias("reason"))
        .sort("origin_url")
        .collect()
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"[branch_heads] visited_until: found {text!r}, expected an ISO 8601 date such as 2018-12-31",
            hint="write it as YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _heads(visits: pl.DataFrame, branches: pl.DataFrame, followed: pl.DataFrame, *, all_branches: bool) -> pl.DataFrame:
    """Join each origin's snapshot with its first candidate that leads to a directory, or the reason of the first."""
    resolved = followed.filter(pl.col("directory").is_not_null())
    first = resolved if all_branches else resolved.unique("snapshot", keep="first", maintain_order=True)
    rule = pl.when("is_alias").then(pl.col("rule") + " (alias)").otherwise("rule")
    heads = first.select("snapshot", "revision", "anchor", "directory", branch="name", rule=rule)
    failed = followed.unique("snapshot", keep="first", maintain_order=True).select("snapshot", failed="reason")
    known = branches.select("snapshot").unique().with_columns(known=True)
    joined = visits.join(heads, on="snapshot", how="left").join(failed, on="snapshot", how="left")
    unmatched = (
        pl.when(pl.col("known").is_null()).then(pl.lit("empty_snapshot")).otherwise(pl.lit("no_matching_branch"))
    )
    reason = pl.when(pl.col("directory").is_null()).then(pl.coalesce("reason", "failed", unmatched))
    return (
        joined.join(known, on="snapshot", how="left").with_columns(reason.alias("reason")).sort("origin_url", "branch")
    )


def _check_releases_present(followed: pl.DataFrame, present: bool, folder: Path) -> None:
    """Without the release table, refuse to pass over a branch that only it could resolve."""
    if present:
        return
    decided = followed.with_columns(pl.col("directory").is_not_null().cum_max().over("snapshot").alias("decided"))
    lost = decided.filter(~pl.col("decided") & (pl.col("reason") == "missing_release")).sort(*ORDER)
    if lost.height:
        branch = lost["name"][0].decode("utf-8", "backslashreplace")
        raise TableError(
            f"{folder}: the export has no table `release`, but branch {branch!r} of snapshot "
            f"{lost['snapshot'][0].hex()} (and {lost.height - 1} others) leads to one",
            hint="fetch the folder release/ of the export, then normalise again",
        )


def summary(heads: pl.DataFrame) -> dict[str, object]:
    """Figures of a `schemas.BRANCH_HEADS` frame: origins, and how many by rule and by reason."""

    def counted(column: str) -> dict[str, int]:
        counts = heads.filter(pl.col(column).is_not_null()).group_by(column).agg(pl.col("origin_url").n_unique())
        return dict(sorted(counts.iter_rows()))

    return {
        "num_origins": heads["origin_url"].n_unique(),
        "by_rule": counted("rule"),
        "by_reason": counted("reason"),
    }
