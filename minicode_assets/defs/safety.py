"""Group annotations: what must not be learnt from a document: malware, personal data, secrets; and how good it is."""

import json

import polars as pl

from minicode_assets.corpus.annotate import malware as malware_annotator
from minicode_assets.corpus.annotate import pii as pii_annotator
from minicode_assets.corpus.annotate import quality as quality_annotator
from minicode_assets.corpus.quality_model import REPORT, SIGNALS, build_quality_model
from minicode_assets.corpus.rewrite.redact import SPANS
from minicode_assets.defs.annotations import annotation_stage, sidecar_outcome
from minicode_assets.defs.pictures import bar_plot, frame_table, histogram
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import MALWARE, PII, PII_SPANS, QUALITY


def pii(run: StageRun) -> Outcome:
    """Find personal data and secrets."""
    artifact = pii_annotator.annotate(
        run.input("documents"),
        run.folder,
        params=run.config.pii,
        config_digest=run.config_digest,
        workers=run.config.annotators,
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
        run.input("documents"),
        run.folder,
        params=run.config.malware,
        config_digest=run.config_digest,
        workers=run.config.annotators,
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


def quality_model(run: StageRun) -> Outcome:
    """Train the quality classifier."""
    artifact = build_quality_model(
        run.partitions("documents"),
        {name: run.partitions(name) for name in SIGNALS},
        run.folder,
        params=run.config.quality_model,
        config_digest=run.config_digest,
    )
    report = json.loads((run.folder / REPORT).read_text())
    judged = report.get("test", {"auc": None, "bins": []})
    # Below one half it would be worse than a coin: a sign of swapped labels.
    better = report["status"] == "untrained" or judged["auc"] is None or judged["auc"] >= 0.5
    return Outcome(
        artifact,
        {"better_than_a_coin": (better, {"status": report["status"], "auc": judged["auc"]})},
        {"reliability": frame_table(pl.DataFrame(judged["bins"]))} if judged["bins"] else {},
    )


def quality(run: StageRun) -> Outcome:
    """Score each document."""
    artifact = quality_annotator.annotate(
        run.input("documents"),
        run.folder,
        model=run.input("quality_model"),
        params=run.config.quality_model,
        config_digest=run.config_digest,
    )
    frame = scan_table(run.folder, QUALITY).collect()
    outside = frame.filter(~pl.col("quality_score").is_between(0, 1)).height
    return sidecar_outcome(
        run,
        artifact,
        frame,
        extra=("scores_in_range", outside == 0, {"outside": outside}),
        picture={
            "scores": histogram("Documents by quality score", "score", frame["quality_score"].drop_nulls().to_list())
        },
    )


STAGES = [
    Stage(
        name="quality_model",
        group="annotations",
        compute=quality_model,
        deps=("documents", *SIGNALS),
        description="A linear classifier on hashed words, calibrated, with a report on documents that it never saw.",
        checks={"better_than_a_coin": "Its area under the ROC curve is at least one half."},
        kinds=("numpy",),
        all_partitions=("documents", *SIGNALS),
    ),
    annotation_stage(
        "quality",
        quality,
        QUALITY,
        "The classifier's score of each document; it drops nothing by default.",
        {"scores_in_range": "Every score is within 0..1."},
        deps=("documents", "quality_model"),
    ),
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
