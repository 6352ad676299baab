"""Group annotations: what must not be learnt from a document: personal data, secrets."""

import polars as pl

from minicode_assets.corpus.annotate import pii as pii_annotator
from minicode_assets.corpus.rewrite.redact import SPANS
from minicode_assets.defs.annotations import annotation_stage, sidecar_outcome
from minicode_assets.defs.pictures import bar_plot
from minicode_assets.defs.stage import Outcome, StageRun
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import PII, PII_SPANS


def pii(run: StageRun) -> Outcome:
    """Find personal data and secrets."""
    artifact = pii_annotator.annotate(
        run.input("documents"), run.folder, params=run.config.pii, config_digest=run.config_digest
    )
    frame = scan_table(run.folder, PII).collect()
    spans = scan_table(run.folder, PII_SPANS, pattern=SPANS).collect()
    redacted = frame.filter(pl.col("pii_status") == "redacted")
    replaced = spans.drop_nulls("replacement")["document_id"].unique()
    told = set(redacted["document_id"]) == set(replaced) and redacted["redacted_sha256"].null_count() == 0
    counts = dict(spans.group_by("kind").len().sort("kind").iter_rows())
    return sidecar_outcome(
        run,
        artifact,
        frame,
        extra=("replacements_are_told", told, {"redacted": redacted.height, **counts}),
        picture={"finds": bar_plot("Finds by kind", "finds", counts)},
    )


STAGES = [
    annotation_stage(
        "pii",
        pii,
        PII,
        "Personal data, secrets and copyright headers of each document; every find with its place, rule and "
        "replacement in spans/.",
        {"replacements_are_told": "A document is redacted if and only if a find of it has a replacement."},
    ),
]
