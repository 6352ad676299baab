"""Group annotations: what must not be learnt from a document: malware, personal data, secrets."""

import polars as pl

from minicode_assets.corpus.annotate import malware as malware_annotator
from minicode_assets.corpus.annotate import pii as pii_annotator
from minicode_assets.corpus.rewrite.redact import SPANS
from minicode_assets.defs.annotations import annotation_stage, sidecar_outcome
from minicode_assets.defs.pictures import bar_plot
from minicode_assets.defs.stage import Outcome, StageRun
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import MALWARE, PII, PII_SPANS


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


def malware(run: StageRun) -> Outcome:
    """Scan each document."""
    artifact = malware_annotator.annotate(
        run.input("documents"), run.folder, params=run.config.malware, config_digest=run.config_digest
    )
    frame = scan_table(run.folder, MALWARE).collect()
    failed = frame["problem"].count()
    finds = dict(frame["matches"].explode().drop_nulls().value_counts(sort=True).iter_rows())
    return sidecar_outcome(
        run,
        artifact,
        frame,
        extra=("mostly_scanned", failed <= 0.01 * frame.height, {"failed": failed, **finds}),
    )


STAGES = [
    annotation_stage(
        "malware",
        malware,
        MALWARE,
        "What YARA-X, and ClamAV where it is on, find in each document.",
        {"mostly_scanned": "At most 1 % of the documents could not be scanned."},
    ),
    annotation_stage(
        "pii",
        pii,
        PII,
        "Personal data, secrets and copyright headers of each document; every find with its place, rule and "
        "replacement in spans/.",
        {"replacements_are_told": "A document is redacted if and only if a find of it has a replacement."},
    ),
]
