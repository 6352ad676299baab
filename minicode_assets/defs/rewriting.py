"""Group corpus: changes of the documents' texts, which the corpus gets instead."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from minicode_assets.corpus.rewrite.llm import SCORES, rewrite_partition
from minicode_assets.corpus.rewrite.recheck import Recheck
from minicode_assets.corpus.rewrite.redact import redact_partition
from minicode_assets.corpus.rewrite.reformat import reformat_partition
from minicode_assets.defs.annotations import sidecar_outcome
from minicode_assets.defs.stage import Compute, Outcome, Stage, StageRun
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import LLM_REWRITE, LLM_SCORES, REDACT, REFORMAT, Table
from minicode_model.artifact import Artifact

CHANGED_TEXTS = "llm_rewrite"
"""The asset with the last changes: what the corpus gets."""


def redact(run: StageRun) -> Outcome:
    """Replace personal data and secrets."""
    artifact = redact_partition(run.input("documents"), run.input("pii"), run.folder, config_digest=run.config_digest)
    return _changed_outcome(run, artifact, REDACT)


def reformat(run: StageRun) -> Outcome:
    """Format the texts, where that is on."""
    artifact = reformat_partition(
        run.input("documents"),
        run.input("redact"),
        run.folder,
        params=run.config.reformat,
        config_digest=run.config_digest,
    )
    return _changed_outcome(run, artifact, REFORMAT)


def llm_rewrite(run: StageRun) -> Outcome:
    """Have a language model score and rewrite the texts, where that is on."""
    artifact = rewrite_partition(
        run.input("documents"),
        run.input("reformat"),
        run.folder,
        cache=run.layout.work / "llm_answers",
        line_length=run.config.reformat.line_length,
        params=run.config.llm_rewrite,
        rules=Recheck(run.input("benchmarks"), run.config.pii, run.config.contamination, run.config.malware),
        config_digest=run.config_digest,
    )
    scores = scan_table(run.folder, LLM_SCORES, pattern=SCORES).collect()
    statuses = dict(scores["llm_status"].drop_nulls().value_counts(sort=True).iter_rows())
    return _changed_outcome(run, artifact, LLM_REWRITE, {"statuses": statuses})


def _changed_outcome(
    run: StageRun, artifact: Artifact, table: Table, picture: Mapping[str, Any] | None = None
) -> Outcome:
    """The outcome of a step that changes texts."""
    frame = scan_table(run.folder, table).collect()
    untold = frame.filter(pl.col("text").is_not_null() != (pl.col("changes").list.len() > 0)).height
    figures = {"changed": frame["text"].count(), "untold": untold}
    return sidecar_outcome(run, artifact, frame, extra=("changes_are_told", untold == 0, figures), picture=picture)


def _stage(
    name: str, compute: Compute, before: str, table: Table, description: str, *, more: tuple[str, ...] = ()
) -> Stage:
    return Stage(
        name=name,
        group="corpus",
        compute=compute,
        deps=("documents", before, *more),
        description=description,
        checks={
            "row_aligned": "The documents' rows, in order.",
            "changes_are_told": "A row has a text if and only if it names what changed it.",
        },
        table=table,
        kinds=("polars",),
    )


STAGES = [
    _stage(
        "redact",
        redact,
        "pii",
        REDACT,
        "The texts with personal data and secrets replaced, for the documents that have any.",
    ),
    _stage(
        "reformat",
        reformat,
        "redact",
        REFORMAT,
        "The texts as ruff formats them, beside the changes so far; off by default.",
    ),
    _stage(
        "llm_rewrite",
        llm_rewrite,
        "reformat",
        LLM_REWRITE,
        "The texts as a language model rewrote them, beside the changes so far, and its scores; off by default. "
        "What it wrote is redacted and looked at for benchmarks and malware as the documents are. The corpus gets "
        "these texts.",
        more=("benchmarks",),
    ),
]
