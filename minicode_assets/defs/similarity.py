"""Group annotations: what compares texts with one another, or with the benchmarks."""

from pathlib import Path

import polars as pl

from minicode_assets.corpus import benchmarks as benchmark_texts
from minicode_assets.corpus.annotate import contamination as contamination_annotator
from minicode_assets.corpus.annotate import minhash as minhash_annotator
from minicode_assets.corpus.annotate import near_dup as near_dup_annotator
from minicode_assets.corpus.annotate.origin_facts import build_origin_facts
from minicode_assets.defs.annotations import annotation_stage, sidecar_outcome
from minicode_assets.defs.pictures import frame_table, histogram
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.layout import partition_keys
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import (
    BENCHMARKS,
    CONTAMINATION,
    CONTAMINATION_HITS,
    DOCUMENTS,
    MINHASH,
    NEAR_DUP,
    ORIGIN_FACTS,
    Table,
)

RANKING = ("license", "language", "exact_dup")
"""The sidecars that near_dup prefers documents by."""


def origin_facts(run: StageRun) -> Outcome:
    """Collect what is known of each origin."""
    artifact = build_origin_facts(
        run.layout.asset("branch_heads"),
        run.layout.asset("swh_revision"),
        run.folder,
        params=run.config.origin_facts,
        config_digest=run.config_digest,
    )
    frame = scan_table(run.folder, ORIGIN_FACTS).select("origin_url", "revision").collect()
    return Outcome(artifact, {"unique_heads": (frame.is_unique().all(), {"heads": frame.height})})


def minhash(run: StageRun) -> Outcome:
    """Sign each document."""
    artifact = minhash_annotator.annotate(
        run.input("documents"), run.folder, params=run.config.near_dup, config_digest=run.config_digest
    )
    frame = scan_table(run.folder, MINHASH).select("document_id", "num_words", "signature").collect()
    size = 4 * run.config.near_dup.num_permutations
    wrong = frame.filter(pl.col("signature").bin.size() != size).height
    return sidecar_outcome(
        run, artifact, frame, extra=("whole_signatures", wrong == 0, {"bytes": size, "wrong": wrong})
    )


def near_dup(run: StageRun) -> Outcome:
    """Group near duplicates."""
    keys = partition_keys(run.config.partitions.num_prefixes)
    params = run.config.near_dup
    artifact = near_dup_annotator.annotate(
        run.partitions("documents"),
        run.partitions("minhash"),
        {name: run.partitions(name) for name in RANKING},
        run.folder,
        partitions=keys,
        params=params,
        config_digest=run.config_digest,
        origin_facts=run.layout.asset("origin_facts"),
    )
    folders = zip(keys, run.partitions("documents"), strict=True)
    astray = [key for key, folder in folders if not _is_aligned(run, f"part-{key}.parquet", NEAR_DUP, folder)]
    frame = scan_table(run.folder, NEAR_DUP).collect()
    duplicates = frame.filter(pl.col("duplicate_of").is_not_null())
    unlike = duplicates.filter((pl.col("jaccard") >= params.min_jaccard_fraction).fill_null(False).not_()).height
    own = frame.filter(pl.col("duplicate_of").is_null()).select("document_id")
    chained = duplicates.join(own, left_on="duplicate_of", right_on="document_id", how="anti").height
    sizes = frame.filter((pl.col("cluster_id") == pl.col("document_id")) & (pl.col("cluster_size") > 1))["cluster_size"]
    return Outcome(
        artifact,
        {
            "row_aligned": (not astray, {"rows": frame.height, "astray": astray}),
            "similar_enough": (unlike == 0, {"duplicates": duplicates.height, "unlike": unlike}),
            "representatives_stay": (chained == 0, {"clusters": sizes.len(), "chained": chained}),
        },
        {"clusters": histogram("Clusters of near duplicates by size", "documents", sizes.to_list())},
    )


def benchmarks(run: StageRun) -> Outcome:
    """Collect the texts of the evaluation problems."""
    artifact = benchmark_texts.build_benchmarks(
        run.folder, params=run.config.benchmarks, config_digest=run.config_digest
    )
    frame = scan_table(run.folder, BENCHMARKS).select("benchmark", "task_id", "kind", "number").collect()
    counts = frame.group_by("benchmark").agg(pl.col("task_id").n_unique().alias("tasks"), pl.len().alias("texts"))
    return Outcome(
        artifact,
        {"unique_texts": (frame.is_unique().all(), {"texts": frame.height})},
        {"tasks": frame_table(counts.sort("benchmark"))},
    )


def contamination(run: StageRun) -> Outcome:
    """Look for the benchmarks in each document."""
    artifact = contamination_annotator.annotate(
        run.input("documents"),
        run.folder,
        benchmarks=run.input("benchmarks"),
        params=run.config.contamination,
        config_digest=run.config_digest,
    )
    frame = scan_table(run.folder, CONTAMINATION).collect()
    hits = scan_table(run.folder, CONTAMINATION_HITS, pattern=contamination_annotator.HITS).collect()
    unknown = hits.join(frame, on="document_id", how="anti").height
    counts = hits.group_by("benchmark", "rule").agg(
        pl.col("document_id").n_unique().alias("documents"), pl.col("task_id").n_unique().alias("tasks")
    )
    return sidecar_outcome(
        run,
        artifact,
        frame,
        extra=("hits_name_documents", unknown == 0, {"hits": hits.height, "unknown": unknown}),
        picture={"hits": frame_table(counts.sort("benchmark", "rule"))},
    )


def _is_aligned(run: StageRun, pattern: str, table: Table, documents: Path) -> bool:
    """Whether some files of the run's artefact have the rows of a partition of the documents, in order."""
    ids = scan_table(documents, DOCUMENTS, verify=False).select("document_id").collect()
    return scan_table(run.folder, table, pattern=pattern, verify=False).select("document_id").collect().equals(ids)


STAGES = [
    Stage(
        name="origin_facts",
        group="annotations",
        compute=origin_facts,
        deps=("branch_heads", "swh_revision"),
        description="How recent each origin's head is and how many stars it has where known: of equal or similar "
        "documents the better known and the newer one is kept.",
        checks={"unique_heads": "Origin and revision name one row."},
        table=ORIGIN_FACTS,
        kinds=("polars",),
    ),
    annotation_stage(
        "minhash",
        minhash,
        MINHASH,
        "The MinHash signature of each document, from which near_dup finds candidates.",
        {"whole_signatures": "Every signature has num_permutations values."},
    ),
    annotation_stage(
        "near_dup",
        near_dup,
        NEAR_DUP,
        "Which documents are near duplicates, over all partitions, proven by exact Jaccard index: one part file a "
        "partition.",
        {
            "similar_enough": "A duplicate's Jaccard index with its representative reaches min_jaccard_fraction.",
            "representatives_stay": "A representative is nobody's duplicate.",
        },
        deps=("documents", "minhash", *RANKING, "origin_facts"),
    ),
    Stage(
        name="benchmarks",
        group="annotations",
        compute=benchmarks,
        deps=(),
        description="Prompts, docstrings and solutions of the evaluation problems that must not be trained on.",
        checks={"unique_texts": "Benchmark, task, kind and number name one text."},
        table=BENCHMARKS,
        kinds=("polars",),
    ),
    annotation_stage(
        "contamination",
        contamination,
        CONTAMINATION,
        "Which documents contain a problem or a solution of a benchmark; every hit with its place in hits/.",
        {"hits_name_documents": "Every hit's document_id is a document's."},
        deps=("documents", "benchmarks"),
    ),
]
