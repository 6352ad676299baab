"""Groups documents and corpus: text rows, and the selection that the sidecars allow."""

import polars as pl

from minicode_assets.blobs.purge import remove_other_partitions
from minicode_assets.config.sources import document_sources
from minicode_assets.corpus import select
from minicode_assets.corpus.funnel import KEPT, sample_decisions
from minicode_assets.defs import annotations, rewriting, safety, similarity
from minicode_assets.defs.pictures import bar_plot, frame_table, histogram
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.layout import partition_keys
from minicode_assets.parquet import scan_table
from minicode_assets.provenance.search import build_index, search
from minicode_assets.schemas import CORPUS, DOCUMENTS, FUNNEL
from minicode_assets.sources.swh import build_documents
from minicode_model.artifact import open_artifact

NOT_WANTED = ("not_fetched", "opted_out")
"""Statuses of documents that are without a text on purpose."""


def documents(run: StageRun) -> Outcome:
    """Decode one partition of the blobs."""
    artifact = build_documents(
        run.layout.asset("file_manifest"),
        run.input("blobs"),
        run.folder,
        partition=run.partition,
        params=run.config.documents,
        config_digest=run.config_digest,
        opt_out=run.layout.asset("opt_out"),
        sources=[folder for name in document_sources(run.config) for folder in run.partitions(name)],
    )
    if open_artifact(run.layout.asset("opt_out")).metadata["num_rows"]:
        keys = partition_keys(run.config.partitions.num_prefixes)
        remove_other_partitions(run.layout.asset("documents"), keys=keys)
    frame = scan_table(run.folder, DOCUMENTS).select("document_id", "source", "status", "length_bytes").collect()
    files = frame.filter(pl.col("source") == "swh")
    texts = files.filter(pl.col("status") == "ok")
    statuses = dict(frame.group_by("status").len().sort("status").iter_rows())
    return Outcome(
        artifact,
        {
            "unique_ids": (frame["document_id"].is_unique().all(), {"rows": frame.height}),
            "mostly_text": (
                texts.height >= 0.9 * files.filter(~pl.col("status").is_in(NOT_WANTED)).height,
                statuses,
            ),
        },
        {
            "statuses": statuses,
            "encodings": artifact.metadata["encodings"],
            "encodings_told_by": artifact.metadata["encodings_told_by"],
            "lengths": histogram("Documents by length", "bytes", texts["length_bytes"].to_list()),
        },
    )


def corpus(run: StageRun) -> Outcome:
    """Select the documents and split them by origin."""
    artifact = select.build_corpus(
        run.partitions("documents"),
        {name: run.partitions(name) for name in select.SIDECARS},
        run.input("near_dup"),
        run.folder,
        params=run.config.corpus,
        config_digest=run.config_digest,
        changed_texts=run.partitions(rewriting.CHANGED_TEXTS),
    )
    train, validation = (
        scan_table(run.folder, CORPUS, pattern=f"{split}/*.parquet", verify=False)
        .select("origin_url", "text_sha256", "length_bytes")
        .collect()
        for split in ("train", "validation")
    )
    shared = set(train["origin_url"]) & set(validation["origin_url"])
    funnel = pl.read_parquet(run.folder / "funnel.parquet", schema=FUNNEL.polars, glob=False)
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
            "dropped": frame_table(_dropped_samples(run, funnel)),
            "left_picture": bar_plot(
                "Curation funnel: documents left after each rule that drops any",
                "documents",
                dict(funnel.filter(pl.col("num_first") > 0).select("step", "num_left").iter_rows()),
            ),
            "sample": frame_table(
                scan_table(run.folder, CORPUS, pattern="train/*.parquet", verify=False)
                .select("origin_url", "path", "license_expression", "length_bytes", "swhid")
                .head(10)
                .collect()
            ),
        },
    )


def search_index(run: StageRun) -> Outcome:
    """Index the corpus, and find some of its own documents."""
    params, near_dup, corpus_folder = run.config.search_index, run.config.near_dup, run.layout.asset("corpus")
    artifact = build_index(corpus_folder, run.folder, params=params, near_dup=near_dup, config_digest=run.config_digest)
    sample = sample_decisions(corpus_folder, KEPT, count=NUM_SAMPLES)["document_id"].implode()
    kept = scan_table(corpus_folder, CORPUS, pattern="train/*.parquet", verify=False).filter(
        pl.col("document_id").is_in(sample)
    )
    lost = []
    for name, text in kept.select("document_id", "text").collect().iter_rows():
        found = search(text, corpus_folder, run.folder, params=params, near_dup=near_dup)
        lost += [name] if all(match.document_id != name for match in found) else []
    return Outcome(artifact, {"finds_its_own": (not lost, {"documents": artifact.metadata["num_rows"], "lost": lost})})


NUM_SAMPLES = 3
"""Documents of each reason in the web UI's table; `minicode funnel --samples` shows more, with their texts."""


def _dropped_samples(run: StageRun, funnel: pl.DataFrame) -> pl.DataFrame:
    """Some documents of each reason, without their texts."""
    steps = funnel.filter((pl.col("num_documents") > 0) & ~pl.col("step").is_in(["all", KEPT]))["step"]
    frames = [pl.DataFrame(schema={"step": pl.String, "origin_url": pl.String, "path": pl.String})]
    for step in steps:
        rows = sample_decisions(run.folder, step, count=NUM_SAMPLES)
        frames.append(rows.select(pl.lit(step).alias("step"), "origin_url", "path", "length_bytes", "document_id"))
    return pl.concat(frames, how="diagonal")


STAGES = [
    Stage(
        name="documents",
        group="documents",
        compute=documents,
        deps=("blobs", "file_manifest", "opt_out"),
        description="One row a Python file of the manifest, decoded, with the SWHID that says where it came from; and "
        "the documents of every other source that is switched on.",
        checks={
            "unique_ids": "document_id names one row.",
            "mostly_text": "At least 90 % of the archive's files that were fetched have text.",
        },
        table=DOCUMENTS,
        kinds=("polars",),
    ),
    *annotations.STAGES,
    *safety.STAGES,
    *similarity.STAGES,
    *rewriting.STAGES,
    Stage(
        name="corpus",
        group="corpus",
        compute=corpus,
        deps=("documents", *select.SIDECARS, "near_dup", rewriting.CHANGED_TEXTS),
        description="The selected documents in train/ and validation/ (whole origins), every decision with all its "
        "reasons in decisions/, and the funnel.",
        checks={
            "both_splits_have_text": "Neither split is empty.",
            "no_origin_in_both_splits": "No origin is in both.",
            "no_text_twice": "No text occurs twice.",
        },
        kinds=("polars", "parquet"),
    ),
    Stage(
        name="search_index",
        group="corpus",
        compute=search_index,
        deps=("corpus",),
        description="Answers whether a text is in the corpus, whole, nearly or a passage of it, with SWHIDs: "
        "`minicode search FILE`.",
        checks={"finds_its_own": "Documents of the corpus find themselves."},
    ),
]
