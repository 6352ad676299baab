"""From a branch to a directory: aliases, chains of releases and revisions, followed for all branches at once."""

import polars as pl


def follow(
    candidates: pl.DataFrame,
    branches: pl.DataFrame,
    releases: pl.LazyFrame,
    revisions: pl.LazyFrame,
    *,
    max_hops: int,
) -> pl.DataFrame:
    """Where each candidate branch leads.

    Args:
        candidates: Rows with snapshot, name, target and target_type, and others that are kept.
        branches: Every branch of these snapshots.
        releases: `schemas.RELEASE`.
        revisions: `schemas.REVISION`.
        max_hops: Aliases, and releases of releases, that are followed.

    Returns:
        The candidates, in their order, with is_alias, revision, anchor and directory (null where the branch leads to
        no directory) and reason (null where it does).
    """
    rows = candidates.with_row_index("row").with_columns(
        pl.lit(None, pl.String).alias("reason"),
        pl.lit(None, pl.Binary).alias("release"),
        (pl.col("target_type") == "alias").fill_null(False).alias("is_alias"),
    )
    rows = _give_up(rows, pl.col("target_type").is_null() | pl.col("target").is_null(), "dangling_branch")
    rows = _follow_aliases(rows, branches, max_hops)
    rows = _follow_releases(rows, releases, revisions, max_hops)
    return _root_directories(rows, revisions).sort("row").drop("row", "release")


def _give_up(rows: pl.DataFrame, where: pl.Expr, reason: str) -> pl.DataFrame:
    """Note a reason where a row has none yet; a row with a reason is followed no further."""
    return rows.with_columns(
        pl.when(pl.col("reason").is_null() & where).then(pl.lit(reason)).otherwise("reason").alias("reason")
    )


def _split(rows: pl.DataFrame, target_type: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows that stand at a target of this type, the others)."""
    here = (pl.col("reason").is_null() & (pl.col("target_type") == target_type)).fill_null(False)
    return rows.filter(here), rows.filter(~here)


def _follow_aliases(rows: pl.DataFrame, branches: pl.DataFrame, max_hops: int) -> pl.DataFrame:
    step = branches.select(
        "snapshot", pl.col("name").alias("target"), next="target", next_type="target_type", found=True
    )
    for _ in range(max_hops):
        aliases, others = _split(rows, "alias")
        if not aliases.height:
            return rows
        moved = aliases.join(step, on=("snapshot", "target"), how="left")
        moved = _give_up(moved, pl.col("found").is_null(), "alias_of_nothing")
        moved = _give_up(moved, pl.col("next_type").is_null() | pl.col("next").is_null(), "dangling_branch")
        rows = pl.concat([others, _step_on(moved).select(others.columns)])
    return _give_up(rows, pl.col("target_type") == "alias", "alias_loop")


def _step_on(moved: pl.DataFrame) -> pl.DataFrame:
    return moved.with_columns(target="next", target_type="next_type")


def _follow_releases(
    rows: pl.DataFrame, releases: pl.LazyFrame, revisions: pl.LazyFrame, max_hops: int
) -> pl.DataFrame:
    """The first release of a chain is kept: it anchors a tree that no revision holds."""
    step = releases.select(pl.col("id").alias("target"), next="target", next_type="target_type", found=True)
    for _ in range(max_hops):
        chained, others = _split(rows, "release")
        if not chained.height:
            return rows
        moved = chained.with_columns(pl.coalesce("release", "target").alias("release")).join(
            _matching(step, chained["target"], "target"), on="target", how="left"
        )
        moved = _give_up(moved, pl.col("found").is_null(), "missing_release")
        moved = _give_up(moved, pl.col("next").is_null(), "release_of_nothing")
        moved = _type_unknown_targets(moved, revisions)
        rows = pl.concat([others, _step_on(moved).select(others.columns)])
    return _give_up(rows, pl.col("target_type") == "release", "release_loop")


def _type_unknown_targets(moved: pl.DataFrame, revisions: pl.LazyFrame) -> pl.DataFrame:
    """Some exports lack release.target_type: then a target that is no revision is taken for a release."""
    if not moved.filter(pl.col("next").is_not_null() & pl.col("next_type").is_null()).height:
        return moved
    known = _matching(revisions.select("id"), moved["next"], "id")["id"]
    guess = pl.when(pl.col("next").is_in(known.implode())).then(pl.lit("revision")).otherwise(pl.lit("release"))
    return moved.with_columns(pl.coalesce("next_type", guess).alias("next_type"))


def _matching(table: pl.LazyFrame, keys: pl.Series, column: str) -> pl.DataFrame:
    """The few rows of a large table that are needed, so that only they are held."""
    wanted = keys.drop_nulls().unique().alias(column).to_frame().lazy()
    return table.join(wanted, on=column, how="semi").collect(engine="streaming")


def _root_directories(rows: pl.DataFrame, revisions: pl.LazyFrame) -> pl.DataFrame:
    at_revision = (pl.col("reason").is_null() & (pl.col("target_type") == "revision")).fill_null(False)
    wanted = rows.filter(at_revision)["target"]
    roots = _matching(revisions.select(pl.col("id").alias("target"), root="directory"), wanted, "target")
    rows = rows.join(roots, on="target", how="left")
    rows = _give_up(rows, at_revision & pl.col("root").is_null(), "missing_revision")
    rows = _give_up(rows, ~pl.col("target_type").is_in(["revision", "directory"]), "not_a_directory")
    is_revision = pl.col("target_type") == "revision"
    released = pl.col("release").is_not_null()
    anchor = pl.when(is_revision).then(pl.lit("rev")).when(released).then(pl.lit("rel")).otherwise(pl.lit("dir"))
    found = pl.col("reason").is_null()
    return rows.with_columns(
        pl.when(found).then(pl.when(is_revision | ~released).then("target").otherwise("release")).alias("revision"),
        pl.when(found).then(anchor).alias("anchor"),
        pl.when(found).then(pl.when(is_revision).then("root").otherwise("target")).alias("directory"),
    ).drop("root")
