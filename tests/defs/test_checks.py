"""Every asset check fails when what it promises does not hold: each is shown an artefact that was tampered with.

The library call of the stage is replaced by one that hands over the artefact as it lies there; the rest is the stage.
"""

import inspect
import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from minicode_assets.config import load
from minicode_assets.definitions import STAGES
from minicode_assets.defs.stage import PARTITIONED, Outcome, Stage, StageRun
from minicode_assets.layout import Layout
from minicode_assets.parquet import write_parquet, write_table
from minicode_assets.schemas import BENCHMARKS, CHANGED_TEXTS, CONTAMINATION, CONTAMINATION_HITS, NEAR_DUP, PII, Table
from minicode_model.artifact import MANIFEST, Artifact, open_artifact, write_artifact
from tests.conftest import SMALL, Home

KEY = "00-of-02"
LIBRARY_CALLS = {
    "archive": "build_archive",
    "branch_heads": "choose_heads",
    "file_manifest": "resolve_manifest",
    "contents": "distinct_contents",
    "license_blobs": "fetch_licenses",
    "origin_licenses": "judge_origins",
    "opt_out": "build_opt_out",
    "fetch_plan": "plan_fetch",
    "blobs": "fetch_partition",
    "documents": "build_documents",
    "license_files": "license_files_detector.detect_partition",
    "language": "language_annotator.annotate",
    "license": "license_annotator.annotate",
    "heuristics": "heuristics_annotator.annotate",
    "lint": "lint_annotator.annotate",
    "origin_facts": "build_origin_facts",
    "exact_dup": "exact_dup_annotator.annotate",
    "malware": "malware_annotator.annotate",
    "quality_model": "build_quality_model",
    "quality": "quality_annotator.annotate",
    "reformat": "reformat_partition",
    "llm_rewrite": "rewrite_partition",
    "pii": "pii_annotator.annotate",
    "redact": "redact_partition",
    "minhash": "minhash_annotator.annotate",
    "near_dup": "near_dup_annotator.annotate",
    "benchmarks": "benchmark_texts.build_benchmarks",
    "contamination": "contamination_annotator.annotate",
    "corpus": "select.build_corpus",
    "search_index": "build_index",
    "tokenizer": "train_tokenizer",
    "encoded_documents": "encode_documents",
    "token_shards": "write_token_shards",
    "report": "write_report",
}
"""The name by which a stage's module calls the library."""

Tamper = Callable[[Path, Stage], None]


def rows(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Tamper:
    """Rewrite a table artefact with changed rows."""

    def tamper(folder: Path, stage: Stage) -> None:
        assert stage.table
        frame = pl.read_parquet(folder / "*.parquet")
        metadata = open_artifact(folder).metadata
        write_table(folder, change(frame), stage.table, config_digest="", inputs={}, metadata=metadata)

    return tamper


def column(name: str, value: Any) -> Tamper:
    """Set one column to a constant."""
    return rows(lambda frame: frame.with_columns(pl.lit(value).cast(frame.schema[name]).alias(name)))


def metadata(**figures: Any) -> Tamper:
    """Change figures of the manifest; the digest covers files only."""

    def tamper(folder: Path, stage: Stage) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["metadata"] |= figures
        del manifest["seal"]
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return tamper


def resealed(change: Callable[[Path], object]) -> Tamper:
    """Change files of an artefact, and give it a manifest that says so."""

    def tamper(folder: Path, stage: Stage) -> None:
        before = open_artifact(folder)
        with write_artifact(folder.with_name("changed"), name=stage.name, config_digest="", inputs={}) as writer:
            shutil.copytree(folder, writer.path, dirs_exist_ok=True)
            (writer.path / MANIFEST).unlink()
            change(writer.path)
            writer.metadata = dict(before.metadata)
        shutil.rmtree(folder)
        folder.with_name("changed").rename(folder)

    return tamper


def text(name: str, change: Callable[[str], str]) -> Tamper:
    """Rewrite one text file of an artefact."""
    return resealed(lambda folder: (folder / name).write_text(change((folder / name).read_text())))


def parts(table: Table, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Tamper:
    """Rewrite the part files at the top of an artefact, each by itself."""

    def change_parts(folder: Path) -> None:
        for path in folder.glob("*.parquet"):
            write_parquet(change(pl.read_parquet(path)), path, table)

    return resealed(change_parts)


def invent_a_hit(folder: Path) -> None:
    """A hit names a document that is not there."""
    path = folder / "hits" / "part-00000.parquet"
    row = {name: ("x" if dtype == pl.String else None) for name, dtype in CONTAMINATION_HITS.polars.items()}
    write_parquet(pl.DataFrame([row], schema=CONTAMINATION_HITS.polars), path, CONTAMINATION_HITS)


def split(name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Tamper:
    """Change one split of the corpus."""

    def change_parts(folder: Path) -> None:
        for path in (folder / name).glob("*.parquet"):
            change(pl.read_parquet(path)).write_parquet(path)

    return resealed(change_parts)


def copy_first_of_train(folder: Path) -> None:
    """One training document is in validation too."""
    train = next(path for path in sorted((folder / "train").glob("*.parquet")) if pl.read_parquet(path).height)
    pl.read_parquet(train).head(1).write_parquet(folder / "validation" / "part-99999.parquet")


def forget_all(folder: Path) -> None:
    """The index has no keys."""
    for path in folder.rglob("*.npy"):
        np.save(path, np.load(path)[:0])


def lose_a_token(folder: Path) -> None:
    """Every document lacks its last token."""
    for path in folder.glob("*.parquet"):
        pl.read_parquet(path).with_columns(pl.col("tokens").bin.head(-2)).write_parquet(path)


reverse = rows(lambda frame: frame.reverse())
twice = rows(lambda frame: pl.concat([frame, frame]))


def lose_to_baseline(results: str) -> str:
    figures = json.loads(results)
    figures["bits_per_byte"]["model"] = figures["bits_per_byte"]["byte_entropy"] + 0.1
    return json.dumps(figures)


def exchange_bytes(frame: pl.DataFrame) -> pl.DataFrame:
    """The stored bytes are one row off."""
    data = frame["data"].to_list()
    return frame.with_columns(pl.Series("data", [*data[1:], data[0]], dtype=pl.Binary))


def lose_a_document(report: str) -> str:
    figures = json.loads(report)
    figures["funnel"][-1]["num_documents"] -= 1
    return json.dumps(figures)


CASES: dict[tuple[str, str], Tamper] = {
    ("archive", "reads_most_files"): metadata(skipped=[{}] * 10_000),
    ("branch_heads", "resolved_or_explained"): rows(
        lambda frame: frame.with_columns(directory=pl.lit(None, pl.Binary), reason=pl.lit(None, pl.String))
    ),
    ("file_manifest", "unique_key"): twice,
    ("file_manifest", "heads_walked"): metadata(num_heads=1),
    ("file_manifest", "few_dangling"): metadata(by_status={"missing": 100}),
    ("contents", "has_python"): column("is_python", False),
    ("license_blobs", "no_mismatch"): metadata(num_mismatch=1),
    ("license_blobs", "nearly_all_verified"): metadata(num_verified=0),
    ("license_blobs", "sample_rehashes"): rows(exchange_bytes),
    ("origin_licenses", "verdicts_have_evidence"): column("license_evidence", None),
    ("blobs", "no_mismatch"): metadata(num_mismatch=1),
    ("blobs", "nearly_all_verified"): metadata(num_verified=0),
    ("blobs", "sample_rehashes"): rows(exchange_bytes),
    ("opt_out", "distinct"): rows(lambda frame: pl.DataFrame([("path", "a")] * 2, schema=frame.schema, orient="row")),
    ("fetch_plan", "wanted_or_explained"): column("rule", "vendored"),
    ("documents", "unique_ids"): column("document_id", "0" * 32),
    ("documents", "mostly_text"): column("status", "nul"),
    ("license_files", "scores_in_range"): column("score", 1.5),
    ("language", "row_aligned"): reverse,
    ("language", "mostly_parses"): column("parses", False),
    ("license", "row_aligned"): reverse,
    ("license", "verdicts_have_evidence"): column("license_evidence", None),
    ("heuristics", "row_aligned"): reverse,
    ("heuristics", "fractions_in_range"): column("alphabetic_fraction", -0.5),
    ("lint", "row_aligned"): reverse,
    ("lint", "scores_in_range"): column("lint_score", 11.0),
    ("origin_facts", "unique_heads"): twice,
    ("exact_dup", "row_aligned"): reverse,
    ("exact_dup", "one_representative"): column("text_sha256", b"0" * 32),
    ("malware", "row_aligned"): reverse,
    ("malware", "mostly_scanned"): column("problem", "timeout"),
    ("quality_model", "better_than_a_coin"): text(
        "report.json", lambda _: '{"status": "x", "test": {"auc": 0.1, "bins": []}}'
    ),
    ("quality", "row_aligned"): reverse,
    ("quality", "scores_in_range"): column("quality_score", 1.5),
    **{
        (name, "row_aligned"): parts(CHANGED_TEXTS, lambda frame: frame.reverse())
        for name in ("reformat", "llm_rewrite")
    },
    **{
        (name, "changes_are_told"): parts(CHANGED_TEXTS, lambda frame: frame.with_columns(text=pl.lit("x = 1")))
        for name in ("reformat", "llm_rewrite")
    },
    ("pii", "row_aligned"): parts(PII, lambda frame: frame.reverse()),
    ("pii", "replacements_are_told"): parts(PII, lambda frame: frame.with_columns(pii_status=pl.lit("redacted"))),
    ("redact", "row_aligned"): reverse,
    ("redact", "changes_are_told"): column("text", "x = 1\n"),
    ("minhash", "row_aligned"): reverse,
    ("minhash", "whole_signatures"): rows(lambda frame: frame.with_columns(signature=b"short")),
    ("near_dup", "row_aligned"): parts(NEAR_DUP, lambda frame: frame.reverse()),
    ("near_dup", "similar_enough"): parts(NEAR_DUP, lambda frame: frame.with_columns(jaccard=0.1)),
    ("near_dup", "representatives_stay"): parts(
        NEAR_DUP, lambda frame: frame.with_columns(duplicate_of=pl.col("document_id"), jaccard=1.0)
    ),
    ("benchmarks", "unique_texts"): parts(BENCHMARKS, lambda frame: pl.concat([frame, frame])),
    ("contamination", "row_aligned"): parts(CONTAMINATION, lambda frame: frame.reverse()),
    ("contamination", "hits_name_documents"): resealed(invent_a_hit),
    ("corpus", "both_splits_have_text"): split("validation", lambda frame: frame.clear()),
    ("corpus", "no_origin_in_both_splits"): resealed(copy_first_of_train),
    ("corpus", "no_text_twice"): split("train", lambda frame: pl.concat([frame, frame])),
    ("search_index", "finds_its_own"): resealed(forget_all),
    ("tokenizer", "lossless"): metadata(num_round_trip_failures=1),
    ("tokenizer", "ids_are_sentencepieces"): metadata(num_id_differences=1),
    ("encoded_documents", "gives_back_the_text"): resealed(lose_a_token),
    ("checkpoint", "loss_fell"): metadata(last_loss=99.0),
    ("evaluation", "beats_baselines"): text("results.json", lose_to_baseline),
    ("report", "funnel_adds_up"): text("report.json", lose_a_document),
    **{
        (stage.name, "has_rows"): rows(lambda frame: frame.clear())
        for stage in STAGES
        if stage.group == "tables" and stage.name not in ("swh_release", "swh_skipped_content")
    },
    **{(stage.name, "within_declared_size"): metadata(num_rows=10**9) for stage in STAGES if stage.group == "tables"},
}
ELSEWHERE = {
    ("token_shards", "little_padding"), ("token_shards", "both_splits_have_tokens"),
    ("swh_release", "has_rows"), ("swh_skipped_content", "has_rows"),
    ("benchmark_scores", "controls_hold"), ("leaderboard", "holds_this_checkpoint"),
}  # fmt: skip
"""Shards have a test of their own below; two tables may be empty, and share the others' check; benchmarks and their
history are tested in tests/model/test_benchmark_scores.py."""


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    return {stage.name: stage for stage in STAGES}


@pytest.fixture(scope="module")
def settled(finished: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a finished chain, which each test leaves as it found it."""
    folder = tmp_path_factory.mktemp("checks") / "data"
    shutil.copytree(finished.data, folder)
    return folder


def evaluate(stage: Stage, data: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    config = load("tiny", tomllib.loads(SMALL))
    partition = KEY if stage.name in PARTITIONED else ""
    run = StageRun(config, Layout(data), stage.name, partition)

    def as_it_lies(*_: Any, **__: Any) -> Artifact:
        return open_artifact(run.folder, verify=False)

    module = inspect.getmodule(stage.compute)
    assert module
    if stage.name in ("checkpoint", "evaluation"):
        import minicode_model.evaluation.run
        import minicode_model.training.run

        monkeypatch.setattr(minicode_model.training.run, "train", as_it_lies)
        monkeypatch.setattr(minicode_model.evaluation.run, "evaluate", as_it_lies)
    else:
        name = "normalise_table" if stage.group == "tables" else LIBRARY_CALLS[stage.name]
        monkeypatch.setattr(f"{module.__name__}.{name}", as_it_lies)
    return stage.compute(run)


def test_every_check_has_a_case(stages: dict[str, Stage]) -> None:
    declared = {(stage.name, check) for stage in stages.values() for check in stage.checks}
    assert declared == set(CASES) | ELSEWHERE


@pytest.mark.parametrize(("name", "check"), sorted(CASES), ids=str)
def test_check_fails_on_a_tampered_artefact(
    name: str, check: str, stages: dict[str, Stage], settled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stages[name]
    folder = settled / name / KEY if name in PARTITIONED else settled / name
    aside = folder.with_name("aside")
    shutil.copytree(folder, aside)
    try:
        passed, _ = evaluate(stage, settled, monkeypatch).checks[check]
        assert passed, "the check passes on the artefact as the stage made it"
        CASES[name, check](folder, stage)
        passed, figures = evaluate(stage, settled, monkeypatch).checks[check]
        assert not passed
        assert figures
    finally:
        shutil.rmtree(folder)
        aside.rename(folder)


@pytest.mark.parametrize(
    ("check", "num_tokens", "num_sequences"), [("little_padding", 10, 10), ("both_splits_have_tokens", 0, 0)]
)
def test_shard_checks_fail(
    check: str, num_tokens: int, num_sequences: int, stages: dict[str, Stage], settled: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stage = stages["token_shards"]
    assert evaluate(stage, settled, monkeypatch).checks[check][0]
    shard = SimpleNamespace(num_tokens=num_tokens, num_sequences=num_sequences, seq_len=128, num_documents=1)
    monkeypatch.setattr("minicode_assets.defs.tokens.open_split", lambda *_: shard)
    assert not evaluate(stage, settled, monkeypatch).checks[check][0]
