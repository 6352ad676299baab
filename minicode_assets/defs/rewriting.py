"""Group corpus: changes of the documents' texts, which the corpus gets instead."""

import polars as pl

from minicode_assets.corpus.rewrite.redact import redact_partition
from minicode_assets.defs.annotations import sidecar_outcome
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import REDACT

CHANGED_TEXTS = "redact"
"""The asset with the last changes: what the corpus gets."""


def redact(run: StageRun) -> Outcome:
    """Replace personal data and secrets."""
    artifact = redact_partition(run.input("documents"), run.input("pii"), run.folder, config_digest=run.config_digest)
    frame = scan_table(run.folder, REDACT).collect()
    untold = frame.filter(pl.col("text").is_not_null() != (pl.col("changes").list.len() > 0)).height
    return sidecar_outcome(
        run,
        artifact,
        frame,
        extra=("changes_are_told", untold == 0, {"changed": frame["text"].count(), "untold": untold}),
    )


STAGES = [
    Stage(
        name="redact",
        group="corpus",
        compute=redact,
        deps=("documents", "pii"),
        description="The texts with personal data and secrets replaced, for the documents that have any.",
        checks={
            "row_aligned": "The documents' rows, in order.",
            "changes_are_told": "A row has a text if and only if it names what changed it.",
        },
        table=REDACT,
        kinds=("polars",),
    ),
]
