"""Group annotations: the sidecars that are measured on each document by itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from minicode_assets.corpus.annotate import exact_dup as exact_dup_annotator
from minicode_assets.corpus.annotate import heuristics as heuristics_annotator
from minicode_assets.corpus.annotate import language as language_annotator
from minicode_assets.corpus.annotate import license as license_annotator
from minicode_assets.corpus.annotate import lint as lint_annotator
from minicode_assets.defs.pictures import bar_plot, histogram
from minicode_assets.defs.stage import Compute, Outcome, Stage, StageRun
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import DOCUMENTS, EXACT_DUP, HEURISTICS, LANGUAGE, LICENSE, LINT, Table
from minicode_model.artifact import Artifact


def language(run: StageRun) -> Outcome:
    """Parse each document."""
    artifact = language_annotator.annotate(
        run.input("documents"),
        run.folder,
        params=run.config.language,
        config_digest=run.config_digest,
        workers=run.config.annotators,
    )
    frame = scan_table(run.folder, LANGUAGE).collect()
    failed = frame.filter(pl.col("parses").not_()).height
    return sidecar_outcome(
        run, artifact, frame, extra=("mostly_parses", failed <= 0.1 * frame.height, {"unparsable": failed})
    )


def license_verdicts(run: StageRun) -> Outcome:
    """Give each document its licence verdict."""
    artifact = license_annotator.annotate(
        run.input("documents"),
        run.layout.asset("file_manifest"),
        run.partitions("license_files"),
        run.folder,
        params=run.config.license,
        config_digest=run.config_digest,
    )
    frame = scan_table(run.folder, LICENSE).collect()
    verdicts = dict(frame.group_by("license_type").len().sort("license_type").iter_rows())
    unproven = frame.filter((pl.col("license_type") != "no_license") & pl.col("license_evidence").is_null()).height
    return sidecar_outcome(
        run,
        artifact,
        frame,
        extra=("verdicts_have_evidence", unproven == 0, {"without_evidence": unproven}),
        picture={"verdicts": bar_plot("Documents by licence verdict", "documents", verdicts)},
    )


def heuristics(run: StageRun) -> Outcome:
    """Measure each document."""
    artifact = heuristics_annotator.annotate(
        run.input("documents"),
        run.folder,
        params=run.config.heuristics,
        config_digest=run.config_digest,
        workers=run.config.annotators,
    )
    frame = scan_table(run.folder, HEURISTICS).collect()
    fractions = [name for name in frame.columns if name.endswith("_fraction")]
    outside = frame.filter(pl.any_horizontal(~pl.col(fractions).is_between(0, 1))).height
    return sidecar_outcome(
        run,
        artifact,
        frame,
        extra=("fractions_in_range", outside == 0, {"outside": outside}),
        picture={"lines": histogram("Documents by lines", "lines", frame["num_lines"].drop_nulls().to_list())},
    )


def lint(run: StageRun) -> Outcome:
    """Score each document with ruff, where that is on."""
    artifact = lint_annotator.annotate(
        run.input("documents"),
        run.folder,
        params=run.config.lint,
        config_digest=run.config_digest,
        cache=run.layout.work / "lint",
    )
    frame = scan_table(run.folder, LINT).collect()
    scores = frame["lint_score"].drop_nulls()
    outside = (~scores.is_between(0, 10)).sum()
    return sidecar_outcome(
        run,
        artifact,
        frame,
        extra=("scores_in_range", outside == 0, {"outside": outside, "scored": scores.len()}),
        picture={"scores": histogram("Documents by lint score", "score", scores.to_list())} if scores.len() else None,
    )


def exact_dup(run: StageRun) -> Outcome:
    """Group equal texts."""
    artifact = exact_dup_annotator.annotate(
        run.input("documents"),
        {name: run.input(name) for name in ("license", "language")},
        run.folder,
        params=run.config.exact_dup,
        config_digest=run.config_digest,
        origin_facts=run.layout.asset("origin_facts"),
    )
    frame = scan_table(run.folder, EXACT_DUP).collect()
    texts = frame.filter(pl.col("text_sha256").is_not_null())
    kept = texts.filter(pl.col("duplicate_of").is_null())["text_sha256"]
    once = kept.is_unique().all() and kept.len() == texts["text_sha256"].n_unique()
    return sidecar_outcome(
        run, artifact, frame, extra=("one_representative", once, {"duplicates": texts.height - kept.len()})
    )


def sidecar_outcome(
    run: StageRun,
    artifact: Artifact,
    frame: pl.DataFrame,
    *,
    extra: tuple[str, bool, Mapping[str, Any]],
    picture: Mapping[str, Any] | None = None,
) -> Outcome:
    """An annotator's outcome: its rows are the documents' rows, in order, and one promise of its own."""
    ids = scan_table(run.input("documents"), DOCUMENTS).select("document_id").collect()["document_id"]
    name, passed, figures = extra
    aligned = frame["document_id"].equals(ids)
    return Outcome(artifact, {"row_aligned": (aligned, {"rows": frame.height}), name: (passed, figures)}, picture or {})


def annotation_stage(
    name: str,
    compute: Compute,
    table: Table,
    description: str,
    checks: Mapping[str, str],
    *,
    deps: Sequence[str] = ("documents",),
    whole: Sequence[str] = (),
) -> Stage:
    """The declaration of an annotator: a sidecar table with the documents' rows, in order."""
    return Stage(
        name=name,
        group="annotations",
        compute=compute,
        deps=deps,
        description=description,
        checks={"row_aligned": "The documents' rows, in order.", **checks},
        table=table,
        kinds=("polars",),
        all_partitions=whole,
    )


STAGES = [
    annotation_stage(
        "language",
        language,
        LANGUAGE,
        "Whether each document parses as Python 3, is generated or vendored.",
        {"mostly_parses": "At most 10 % fail to parse."},
    ),
    annotation_stage(
        "license",
        license_verdicts,
        LICENSE,
        "The licence verdict of each document, with the files that decided it.",
        {"verdicts_have_evidence": "A verdict other than no_license names its evidence."},
        deps=("documents", "file_manifest", "license_files"),
        whole=("license_files",),
    ),
    annotation_stage(
        "heuristics",
        heuristics,
        HEURISTICS,
        "Line, character, comment and encoded-data measures of each document.",
        {"fractions_in_range": "Every fraction is within 0..1."},
    ),
    annotation_stage(
        "lint",
        lint,
        LINT,
        "ruff's findings about each document as a score, where [lint] turns it on; informs and drops nothing.",
        {"scores_in_range": "Every score is within 0..10."},
    ),
    annotation_stage(
        "exact_dup",
        exact_dup,
        EXACT_DUP,
        "Which documents have equal text, and which one represents them.",
        {"one_representative": "Each text has exactly one representative."},
        deps=("documents", "license", "language", "origin_facts"),
    ),
]
