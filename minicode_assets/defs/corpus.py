"""Group corpus: text rows, the sidecars that describe them, and the selection."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from minicode_assets.corpus import select
from minicode_assets.corpus.annotate import exact_dup as exact_dup_annotator
from minicode_assets.corpus.annotate import heuristics as heuristics_annotator
from minicode_assets.corpus.annotate import language as language_annotator
from minicode_assets.corpus.annotate import license as license_annotator
from minicode_assets.corpus.annotate import license_files as license_files_detector
from minicode_assets.defs.pictures import bar_plot, frame_table, histogram
from minicode_assets.defs.stage import Compute, Outcome, Stage, StageRun
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import DOCUMENTS, EXACT_DUP, FUNNEL, HEURISTICS, LANGUAGE, LICENSE, LICENSE_FILES, Table
from minicode_assets.sources.swh import build_documents
from minicode_model.artifact import Artifact

SIDECARS = ("language", "license", "heuristics", "exact_dup")


def documents(run: StageRun) -> Outcome:
    """Decode one partition of the blobs."""
    artifact = build_documents(
        run.layout.asset("file_manifest"),
        run.input("blobs"),
        run.folder,
        partition=run.partition,
        params=run.config.documents,
        config_digest=run.config_digest,
    )
    frame = scan_table(run.folder, DOCUMENTS).select("document_id", "status", "length_bytes").collect()
    texts = frame.filter(pl.col("status") == "ok")
    statuses = dict(frame.group_by("status").len().sort("status").iter_rows())
    return Outcome(
        artifact,
        {
            "unique_ids": (frame["document_id"].is_unique().all(), {"rows": frame.height}),
            "mostly_text": (texts.height >= 0.9 * frame.height, statuses),
        },
        {
            "statuses": statuses,
            "lengths": histogram("Documents by length", "bytes", texts["length_bytes"].to_list()),
        },
    )


def license_files(run: StageRun) -> Outcome:
    """Recognise the licence files of one partition."""
    artifact = license_files_detector.detect_partition(
        run.input("blobs"),
        run.layout.asset("contents"),
        run.folder,
        partition=run.partition,
        params=run.config.license_files,
        config_digest=run.config_digest,
    )
    frame = scan_table(run.folder, LICENSE_FILES).collect()
    outside = frame.filter(~pl.col("score").is_between(0, 1)).height
    shares = frame.group_by(pl.col("expression").fill_null("not recognised")).len().sort("len", descending=True)
    return Outcome(
        artifact,
        {"scores_in_range": (outside == 0, {"rows": frame.height, "outside": outside})},
        {"licenses": bar_plot("Licence files by expression", "files", dict(shares.head(20).iter_rows()))},
    )


def language(run: StageRun) -> Outcome:
    """Parse each document."""
    artifact = language_annotator.annotate(
        run.input("documents"), run.folder, params=run.config.language, config_digest=run.config_digest
    )
    frame = scan_table(run.folder, LANGUAGE).collect()
    failed = frame.filter(pl.col("parses").not_()).height
    return _sidecar(run, artifact, frame, extra=("mostly_parses", failed <= 0.1 * frame.height, {"unparsable": failed}))


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
    return _sidecar(
        run,
        artifact,
        frame,
        extra=("verdicts_have_evidence", unproven == 0, {"without_evidence": unproven}),
        picture={"verdicts": bar_plot("Documents by licence verdict", "documents", verdicts)},
    )


def heuristics(run: StageRun) -> Outcome:
    """Measure each document."""
    artifact = heuristics_annotator.annotate(
        run.input("documents"), run.folder, params=run.config.heuristics, config_digest=run.config_digest
    )
    frame = scan_table(run.folder, HEURISTICS).collect()
    fractions = [name for name in frame.columns if name.endswith("_fraction")]
    outside = frame.filter(pl.any_horizontal(~pl.col(fractions).is_between(0, 1))).height
    return _sidecar(
        run,
        artifact,
        frame,
        extra=("fractions_in_range", outside == 0, {"outside": outside}),
        picture={"lines": histogram("Documents by lines", "lines", frame["num_lines"].drop_nulls().to_list())},
    )


def exact_dup(run: StageRun) -> Outcome:
    """Group equal texts."""
    artifact = exact_dup_annotator.annotate(
        run.input("documents"),
        {name: run.input(name) for name in ("license", "language")},
        run.folder,
        params=run.config.exact_dup,
        config_digest=run.config_digest,
    )
    frame = scan_table(run.folder, EXACT_DUP).collect()
    texts = frame.filter(pl.col("text_sha256").is_not_null())
    kept = texts.filter(pl.col("duplicate_of").is_null())["text_sha256"]
    once = kept.is_unique().all() and kept.len() == texts["text_sha256"].n_unique()
    return _sidecar(run, artifact, frame, extra=("one_representative", once, {"duplicates": texts.height - kept.len()}))


def _sidecar(
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


def corpus(run: StageRun) -> Outcome:
    """Select the documents and split them by origin."""
    artifact = select.build_corpus(
        run.partitions("documents"),
        {name: run.partitions(name) for name in SIDECARS},
        run.folder,
        params=run.config.corpus,
        config_digest=run.config_digest,
    )
    train, validation = (
        pl.scan_parquet(run.folder / split / "*.parquet").select("origin_url", "text_sha256", "length_bytes").collect()
        for split in ("train", "validation")
    )
    shared = set(train["origin_url"]) & set(validation["origin_url"])
    funnel = pl.read_parquet(run.folder / "funnel.parquet", schema=FUNNEL.polars)
    return Outcome(
        artifact,
        {
            "both_splits_have_text": (
                min(train.height, validation.height) > 0,
                {"train": train.height, "validation": validation.height},
            ),
            "no_origin_in_both_splits": (not shared, {"shared": sorted(shared)[:5]}),
            "no_text_twice": (
                pl.concat([train, validation])["text_sha256"].is_unique().all(),
                {"documents": train.height + validation.height},
            ),
        },
        {
            "funnel": frame_table(funnel),
            "funnel_picture": bar_plot(
                "Curation funnel: kept, and dropped by rule",
                "documents",
                dict(funnel.select("step", "num_documents").iter_rows()),
            ),
            "sample": frame_table(
                pl.scan_parquet(run.folder / "train" / "*.parquet")
                .select("origin_url", "path", "license_expression", pl.col("text").str.head(200))
                .head(10)
                .collect()
            ),
        },
    )


def _annotation(
    name: str,
    compute: Compute,
    table: Table,
    description: str,
    checks: Mapping[str, str],
    *,
    deps: Sequence[str] = ("documents",),
    whole: Sequence[str] = (),
) -> Stage:
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
    Stage(
        name="documents",
        group="documents",
        compute=documents,
        deps=("blobs", "file_manifest"),
        description="One row a Python file of the manifest, decoded, with the SWHID that says where it came from.",
        checks={"unique_ids": "document_id names one row.", "mostly_text": "At least 90 % of the rows have text."},
        table=DOCUMENTS,
        kinds=("polars",),
    ),
    Stage(
        name="license_files",
        group="annotations",
        compute=license_files,
        deps=("blobs", "contents"),
        description="What licence each licence file and package metadata file states.",
        checks={"scores_in_range": "Every score is within 0..1."},
        table=LICENSE_FILES,
        kinds=("polars",),
    ),
    _annotation(
        "language",
        language,
        LANGUAGE,
        "Whether each document parses as Python 3, is generated or vendored.",
        {"mostly_parses": "At most 10 % fail to parse."},
    ),
    _annotation(
        "license",
        license_verdicts,
        LICENSE,
        "The licence verdict of each document, with the files that decided it.",
        {"verdicts_have_evidence": "A verdict other than no_license names its evidence."},
        deps=("documents", "file_manifest", "license_files"),
        whole=("license_files",),
    ),
    _annotation(
        "heuristics",
        heuristics,
        HEURISTICS,
        "Line, character, comment and encoded-data measures of each document.",
        {"fractions_in_range": "Every fraction is within 0..1."},
    ),
    _annotation(
        "exact_dup",
        exact_dup,
        EXACT_DUP,
        "Which documents have equal text, and which one represents them.",
        {"one_representative": "Each text has exactly one representative."},
        deps=("documents", "license", "language"),
    ),
    Stage(
        name="corpus",
        group="corpus",
        compute=corpus,
        deps=("documents", *SIDECARS),
        description="The selected documents in train/ and validation/ (whole origins), every decision with all its "
        "reasons in decisions/, and the funnel.",
        checks={
            "both_splits_have_text": "Neither split is empty.",
            "no_origin_in_both_splits": "No origin is in both.",
            "no_text_twice": "No text occurs twice.",
        },
        kinds=("polars", "parquet"),
    ),
]
