"""Group manifest: one head an origin, one row a file, one row a distinct content."""

import polars as pl

from minicode_assets.config import TABLES
from minicode_assets.defs.pictures import bar_plot, histogram
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.manifest.checks import check_heads, check_manifest
from minicode_assets.manifest.heads import choose_heads
from minicode_assets.manifest.resolve import distinct_contents, resolve_manifest
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import BRANCH_HEADS, CONTENTS, FILE_MANIFEST


def branch_heads(run: StageRun) -> Outcome:
    """Choose the revision that stands for each origin."""
    tables = {name: run.layout.asset(f"swh_{name}") for name in TABLES}
    artifact = choose_heads(tables, run.folder, params=run.config.branch_heads, config_digest=run.config_digest)
    heads = scan_table(run.folder, BRANCH_HEADS)
    rules = heads.group_by(pl.coalesce("rule", "reason").alias("rule")).len().sort("len", "rule", descending=True)
    return Outcome(
        artifact,
        check_heads(run.folder),
        {"heads_by_rule": bar_plot("Heads by rule", "origins", dict(rules.collect().iter_rows()))},
    )


def file_manifest(run: StageRun) -> Outcome:
    """Walk the trees of all heads at once."""
    tables = {name: run.layout.asset(f"swh_{name}") for name in TABLES}
    artifact = resolve_manifest(
        tables,
        run.layout.asset("branch_heads"),
        run.folder,
        params=run.config.file_manifest,
        config_digest=run.config_digest,
    )
    rows = scan_table(run.folder, FILE_MANIFEST, verify=False)
    largest = rows.group_by("origin_url").len().sort("len", "origin_url", descending=True).head(20).collect()
    return Outcome(
        artifact,
        check_manifest(
            run.folder,
            run.layout.asset("branch_heads"),
            max_missing_fraction=run.config.file_manifest.max_missing_fraction,
        ),
        {"files_by_origin": bar_plot("Files by origin (20 largest)", "files", dict(largest.iter_rows()))},
    )


def contents(run: StageRun) -> Outcome:
    """List each distinct content once."""
    artifact = distinct_contents(run.layout.asset("file_manifest"), run.folder, config_digest=run.config_digest)
    frame = scan_table(run.folder, CONTENTS).select("length", "is_python").collect()
    negative = frame.filter(pl.col("length") < 0).height
    python = frame["is_python"].sum()
    lengths = frame.filter("is_python")["length"].to_list()
    return Outcome(
        artifact,
        {"has_python": (python > 0 and negative == 0, {"python": python, "negative_lengths": negative})},
        {"python_lengths": histogram("Python contents by length", "bytes", lengths)},
    )


STAGES = [
    Stage(
        name="branch_heads",
        group="manifest",
        compute=branch_heads,
        deps=("swh_origin", "swh_origin_visit", "swh_snapshot_branch", "swh_revision", "swh_release"),
        description="For each origin the visit, branch and revision that stand for it, and the rule that chose them.",
        checks={"resolved_or_explained": "Every origin has a head or a reason."},
        table=BRANCH_HEADS,
        kinds=("polars",),
    ),
    Stage(
        name="file_manifest",
        group="manifest",
        compute=file_manifest,
        deps=("branch_heads", "swh_directory", "swh_directory_entry", "swh_content", "swh_skipped_content"),
        description="One row a file of each head: origin, revision, path, mode, ids and length.",
        checks={
            "unique_key": "Origin, revision and path name one row.",
            "heads_walked": "Every head has files, or a reason why not.",
            "few_dangling": "Few files lack a content row, and few heads a root directory.",
        },
        table=FILE_MANIFEST,
        kinds=("polars",),
    ),
    Stage(
        name="contents",
        group="manifest",
        compute=contents,
        deps=("file_manifest",),
        description="One row a distinct content of the manifest.",
        checks={"has_python": "There is Python among them, and no length is negative."},
        table=CONTENTS,
        kinds=("polars",),
    ),
]
