"""Held-out lines and executed benchmarks of a checkpoint, and the history of its evaluations."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from minicode_assets.tokens.write import write_token_shards
from minicode_model.artifact import open_artifact
from minicode_model.checkpoint import Settings, save_checkpoint
from minicode_model.config import BenchmarkScores, Evaluation, Model, Sandbox
from minicode_model.errors import BenchmarkError, CheckpointError, CorruptArtifactError, SandboxError
from minicode_model.evaluation import benchmarks
from minicode_model.evaluation.benchmarks import controls_hold, load_suites, score_benchmarks
from minicode_model.evaluation.held_out_lines import (
    HeldOutFiles,
    Written,
    choose_lines,
    line_figures,
    prompt,
    write_lines,
)
from minicode_model.evaluation.leaderboard import checkpoint_row, leaderboard_table, read_history, record
from minicode_model.evaluation.run import evaluate
from minicode_model.generate import generate
from minicode_model.model import initialise
from minicode_model.shards import open_split
from tests.tokens.corpora import SMALL_SHARDS, small_encoded, small_home, small_tokenizer

MODEL = Model(
    vocab_size=700, hidden_size=32, intermediate_size=64, num_hidden_layers=2, max_position_embeddings=256
)  # fmt: skip
PARAMS = BenchmarkScores(max_problems=2, num_samples=2, k=(1, 2), max_new_tokens=12, num_lines=6)
LIMITS = Sandbox()


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks") / "token_shards"
    home = small_home()
    write_token_shards(small_encoded(), home / "tokenizer", folder, params=SMALL_SHARDS, config_digest="test")
    return folder


@pytest.fixture(scope="module")
def files(shards: Path) -> HeldOutFiles:
    return HeldOutFiles(open_split(shards, "validation"), small_tokenizer())


@pytest.fixture(scope="module")
def checkpoint(shards: Path) -> Path:
    return make_checkpoint(shards.parent / "checkpoint", 0, small_tokenizer().digest)


def make_checkpoint(folder: Path, seed: int, tokenizer_digest: str) -> Path:
    save_checkpoint(
        folder, initialise(MODEL, seed), Settings(MODEL, {"seed": seed}, tokenizer_digest, 0),
        config_digest="", inputs={}, metadata={"num_parameters": 7, "num_tokens": 100 + seed}, tables={},
    )  # fmt: skip
    return folder


def test_lines_are_cut_out_of_their_files(files: HeldOutFiles) -> None:
    lines = choose_lines(files, PARAMS)
    assert len(lines) == 6
    assert len({line.document for line in lines}) == min(6, files.split.num_documents)
    for line in lines:
        assert line.above + line.text + line.below == files.text(line.document)
        assert len("".join(line.text.split())) >= 8
        assert line.path not in [path for path, _ in line.neighbours]
        assert line.neighbours
    assert choose_lines(files, PARAMS) == lines


def test_a_form_feed_ends_no_line(files: HeldOutFiles, monkeypatch) -> None:
    monkeypatch.setattr(files, "text", lambda document: "first = 1\n\x0csecond = 2\x0b\u2028still second\n")
    texts = {line.text for line in choose_lines(files, PARAMS)}
    assert texts == {"\x0csecond = 2\x0b\u2028still second"}


def test_there_are_as_many_lines_as_asked_for_from_few_documents(files: HeldOutFiles) -> None:
    lines = choose_lines(files, BenchmarkScores(num_lines=40))
    assert len(lines) == 40
    assert len({(line.document, line.above) for line in lines}) > files.split.num_documents
    assert choose_lines(files, BenchmarkScores(num_lines=0)) == []
    assert choose_lines(files, BenchmarkScores(num_lines=3, min_line_characters=10**6)) == []


@pytest.mark.parametrize("way", ["above", "both_sides", "repository"])
def test_prompts_end_at_the_line_and_fit(files: HeldOutFiles, way: str) -> None:
    tokenizer = small_tokenizer()
    for line in choose_lines(files, PARAMS):
        ids = prompt(tokenizer, line, way, 120, 0.5)
        text = tokenizer.decode(ids).decode()
        assert len(ids) <= 120
        nearest = line.above[-20:]
        assert nearest in text
        if way == "both_sides":
            assert line.below[:10] in text
        else:
            assert text.endswith(nearest)
            assert f"{line.path}\n" in text
        assert (ids == tokenizer.special("<file_sep>")).sum() >= (2 if way == "repository" else 1)


def test_the_most_similar_file_is_nearest(files: HeldOutFiles) -> None:
    line = choose_lines(files, PARAMS)[0]
    ids = prompt(small_tokenizer(), line, "repository", 10**6, 0.5)
    text = small_tokenizer().decode(ids).decode()
    assert [text.index(other) for _, other in line.neighbours if other] == sorted(
        text.index(other) for _, other in line.neighbours if other
    )
    assert len(ids) < 10**6


def test_rows_are_what_the_model_does_line_by_line(files: HeldOutFiles) -> None:
    model, tokenizer = initialise(MODEL, 3).eval(), small_tokenizer()
    lines = choose_lines(files, PARAMS)
    rows = write_lines(model, tokenizer, lines, PARAMS)
    assert [row.way for row in rows] == ["above"] * 6 + ["both_sides"] * 6 + ["repository"] * 6
    for row, line in zip(rows, 3 * lines, strict=True):
        ids = prompt(tokenizer, line, row.way, 256 - 48, 0.5)
        target = tokenizer.encode(line.text)[:48]
        with torch.no_grad():
            whole = torch.from_numpy(np.concatenate([ids, target]).astype(np.int64))[None]
            costs = -model(whole).log_softmax(-1)[0, len(ids) - 1 : -1].gather(1, whole[0, len(ids) :, None])
        assert row.nats == pytest.approx(float(costs.sum()), abs=1e-3)
        (alone,) = generate(model, tokenizer, [ids], max_new_tokens=48, temperature=0.0, top_p=1.0, seed=0, stop=["\n"])
        assert row.written == alone.decode("utf-8", "replace")


def test_figures_by_hand() -> None:
    def row(way: str, document: int, written: str, nats: float) -> Written:
        return Written(way, document, "a.py", "x = 1", written, written == "x = 1", 0.5, nats, 5)

    rows = [row("above", 0, "x = 1", 1.0), row("above", 1, "y", 3.0), row("repository", 1, "x = 1", 5 * np.log(2))]
    figures = line_figures(rows)
    assert set(figures) == {"above", "above_same", "repository"}
    assert figures["above"]["exact_match"] == 0.5
    assert figures["above_same"] == pytest.approx(
        {"num_lines": 1, "exact_match": 0, "similarity": 0.5, "bits_per_byte": 3 / np.log(2) / 5}
    )
    assert figures["repository"]["bits_per_byte"] == pytest.approx(1.0)


@pytest.mark.slow
def test_scores_repeat_and_their_controls_hold(checkpoint: Path, shards: Path, tmp_path: Path) -> None:
    try:
        benchmarks.Cell(LIMITS).close()
    except SandboxError as error:
        pytest.skip(str(error))
    first, second = (
        score_benchmarks(
            checkpoint, shards, small_home() / "tokenizer", tmp_path / name,
            params=PARAMS, limits=LIMITS, config_digest="",
        )
        for name in ("first", "second")
    )  # fmt: skip
    assert first.digest == second.digest
    scores = json.loads(first.file("scores.json").read_text())
    figures = scores["executed"]["humaneval"]
    assert figures == {
        "num_problems": 2, "pass@1": 0.0, "pass@2": 0.0, "canonical_pass@1": 1.0, "empty_pass@1": 0.0
    }  # fmt: skip
    assert controls_hold(scores["executed"])
    rows = list(csv.DictReader(first.file("programs.csv").read_text().splitlines()))
    assert [row["sample"] for row in rows] == ["0", "1", "0", "1"]
    assert len(first.file("lines.csv").read_text().splitlines()) > 18
    assert first.metadata["humaneval_pass@1"] == 0.0


def test_without_isolation_nothing_is_executed_and_the_results_say_so(
    checkpoint: Path, shards: Path, tmp_path: Path, monkeypatch
) -> None:
    def refuse(limits: Sandbox) -> None:
        raise SandboxError("no namespaces here")

    monkeypatch.setattr(benchmarks, "Cell", refuse)
    artifact = score_benchmarks(
        checkpoint, shards, small_home() / "tokenizer", tmp_path / "s", params=PARAMS, limits=LIMITS, config_digest=""
    )
    scores = json.loads(artifact.file("scores.json").read_text())
    assert scores["executed"] == {"humaneval": {"not_run": "no namespaces here"}}
    assert "humaneval_pass@1" not in artifact.metadata
    assert "above_exact_match" in artifact.metadata


@pytest.mark.parametrize(
    ("figures", "holds"),
    [
        ({"canonical_pass@1": 1.0, "empty_pass@1": 0.0}, True),
        ({"canonical_pass@1": 0.5, "empty_pass@1": 0.0}, False),
        ({"canonical_pass@1": 1.0, "empty_pass@1": 0.5}, False),
        ({"not_run": "why"}, True),
    ],
)
def test_controls(figures: dict[str, object], holds: bool) -> None:
    assert controls_hold({"humaneval": figures}) == holds


def test_absent_benchmarks_and_strange_tokenizers_are_named(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"mbpp\.jsonl"):
        load_suites(BenchmarkScores(mbpp=str(tmp_path / "mbpp.jsonl")))
    with pytest.raises(BenchmarkError, match="package:nothing"):
        load_suites(BenchmarkScores(humaneval="package:nothing"))
    stranger = make_checkpoint(tmp_path / "checkpoint", 0, "0" * 64)
    with pytest.raises(CheckpointError, match="tokenizer digest found 0000"):
        score_benchmarks(
            stranger, shards, small_home() / "tokenizer", tmp_path / "s", params=PARAMS, limits=LIMITS, config_digest=""
        )


def test_history_keeps_every_checkpoint_once(shards: Path, tmp_path: Path) -> None:
    tokenizer, history = small_home() / "tokenizer", tmp_path / "history"
    params = BenchmarkScores(humaneval="", num_lines=2)
    rows = []
    for seed in (0, 1, 1):
        made = make_checkpoint(tmp_path / "checkpoint", seed, small_tokenizer().digest)
        evaluate(
            made,
            shards,
            tokenizer,
            tmp_path / "e",
            params=Evaluation(max_bytes=500, max_new_tokens=4),
            config_digest="",
        )
        score_benchmarks(made, shards, tokenizer, tmp_path / "s", params=params, limits=LIMITS, config_digest="")
        rows.append(checkpoint_row("tiny", made, tmp_path / "e", tmp_path / "s"))
        record(history, rows[-1])
    found = read_history(history)
    assert len(found) == 2
    assert sorted(found, key=lambda row: row["num_tokens"]) == rows[:2]
    assert [row["bits_per_byte"] for row in found] == sorted(row["bits_per_byte"] for row in found)
    text = leaderboard_table(found)
    assert open_artifact(tmp_path / "checkpoint").digest[:8] in text
    assert len(text.splitlines()) == 4
    (history / "x.json").write_text("{}")
    with pytest.raises(CorruptArtifactError, match=r"x\.json: not a row"):
        read_history(history)
