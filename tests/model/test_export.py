"""Round trips: Hugging Face's own libraries read what was written, with equal logits and ids."""

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minicode_assets.tokens.write import write_token_shards
from minicode_model.__main__ import main
from minicode_model.artifact import open_artifact
from minicode_model.checkpoint import Settings, load_model, save_checkpoint
from minicode_model.config import BenchmarkScores, Evaluation, Model, Sandbox
from minicode_model.errors import CheckpointError
from minicode_model.evaluation.benchmarks import score_benchmarks
from minicode_model.evaluation.run import evaluate
from minicode_model.export.hf import export
from minicode_model.model import initialise
from tests.tokens.corpora import SMALL_SHARDS, small_encoded, small_home, small_tokenizer

MODEL = Model(
    vocab_size=700,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=128,
)


def write_checkpoint(folder: Path, model: Model, digest: str, **inputs: str) -> None:
    """An untrained model as a checkpoint."""
    settings = Settings(model, {"seed": 1}, digest, 0)
    save_checkpoint(
        folder,
        initialise(model, 3),
        settings,
        config_digest="",
        inputs=inputs,
        metadata={},
        tables={"metrics.csv": "step\n"},
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    root, home = tmp_path_factory.mktemp("export"), small_home()
    write_token_shards(small_encoded(), home / "tokenizer", root / "shards", params=SMALL_SHARDS, config_digest="")
    (root / "tokenizer").symlink_to(home / "tokenizer")
    shards = open_artifact(root / "shards").digest
    write_checkpoint(root / "checkpoint", MODEL, small_tokenizer().digest, token_shards=shards)
    params = Evaluation(max_bytes=3000, max_new_tokens=4)
    evaluate(
        root / "checkpoint", root / "shards", root / "tokenizer", root / "evaluation", params=params, config_digest=""
    )
    export(*(root / name for name in ("checkpoint", "tokenizer", "shards", "evaluation", "exported")))
    return root


def test_transformers_gives_the_same_logits_and_ids(folders: Path) -> None:
    transformers = pytest.importorskip("transformers")
    twin, outcome = transformers.AutoModelForCausalLM.from_pretrained(folders / "exported", output_loading_info=True)
    assert not any(outcome.values())
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders / "exported")
    text = "<file_sep>def add(a, b):\n    return a + b  # \u2581 é 漢\n"
    ids = tokenizer(text)["input_ids"]
    ours = [small_tokenizer().special("<file_sep>"), *small_tokenizer().encode(text.removeprefix("<file_sep>"))]
    assert ids == ours
    model, _ = load_model(folders / "checkpoint")
    with torch.no_grad():
        tokens = torch.tensor([ids])
        assert torch.allclose(model(tokens), twin.eval()(tokens).logits, atol=1e-5)
        written = twin.generate(tokens, max_new_tokens=5, do_sample=False)
    assert written.shape[1] <= len(ids) + 5
    assert twin.generation_config.eos_token_id == [0, small_tokenizer().special("<file_sep>")]


def test_a_card_of_other_data_or_of_another_model_is_refused(folders: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "other", MODEL, small_tokenizer().digest, token_shards="0" * 64)
    parts = [folders / name for name in ("tokenizer", "shards", "evaluation")]
    with pytest.raises(CheckpointError, match="made from token_shards 0000"):
        export(tmp_path / "other", *parts, tmp_path / "out")
    shards = open_artifact(folders / "shards").digest
    longer = dataclasses.replace(MODEL, rope_theta=1e6)
    write_checkpoint(tmp_path / "next", longer, small_tokenizer().digest, token_shards=shards, start="1" * 64)
    with pytest.raises(CheckpointError, match="evaluation: made from checkpoint"):
        export(tmp_path / "next", *parts, tmp_path / "out")
    params = Evaluation(max_bytes=1000, max_new_tokens=4)
    evaluate(tmp_path / "next", parts[1], parts[0], tmp_path / "evaluation", params=params, config_digest="")
    export(tmp_path / "next", *parts[:2], tmp_path / "evaluation", tmp_path / "out")
    assert f"went on from the checkpoint `{'1' * 64}`" in (tmp_path / "out" / "README.md").read_text()
    assert "went on from" not in (folders / "exported" / "README.md").read_text()


def test_card_states_data_and_figures(folders: Path) -> None:
    card = (folders / "exported" / "README.md").read_text()
    bits = json.loads((folders / "evaluation" / "results.json").read_text())["bits_per_byte"]
    assert f"| model | {bits['model']:.4f} |" in card
    assert "| PSF-2.0 |" in card
    assert "| pkg:generic/email@3.11 |" in card
    assert "Benchmarks" not in card
    assert "{" not in card.replace("{num}", "")


def test_card_shows_benchmarks_where_there_are_any(folders: Path, tmp_path: Path) -> None:
    params = BenchmarkScores(humaneval="", num_lines=2)
    others = [folders / name for name in ("checkpoint", "shards", "tokenizer")]
    scored = score_benchmarks(*others, tmp_path / "scores", params=params, limits=Sandbox(), config_digest="")
    names = ("checkpoint", "tokenizer", "shards", "evaluation")
    artifact = export(*(folders / name for name in names), tmp_path / "out", scores=tmp_path / "scores")
    assert (
        f"| above exact match | {scored.metadata['above_exact_match']:.4f} |" in artifact.file("README.md").read_text()
    )
    assert artifact.inputs["benchmark_scores"] == scored.digest


def test_other_architectures_are_refused(folders: Path, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", dataclasses.replace(MODEL, norm_type="rms_norm"), small_tokenizer().digest)
    others = [folders / name for name in ("tokenizer", "shards", "evaluation")]
    with pytest.raises(CheckpointError, match="norm_type found 'rms_norm'"):
        export(tmp_path / "c", *others, tmp_path / "out")
    write_checkpoint(tmp_path / "d", MODEL, "0" * 64)
    with pytest.raises(CheckpointError, match="tokenizer digest found 000"):
        export(tmp_path / "d", *others, tmp_path / "out")


def test_commands(folders: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "c.toml").write_text(
        "[model]\nvocab_size=700\nhidden_size=32\nintermediate_size=64\nnum_hidden_layers=1\nnum_attention_heads=2\n"
        "max_position_embeddings=128\n[checkpoint]\nmax_steps=2\nbatch_size=2\n[evaluation]\nmax_bytes=100\nmax_new_tokens=8\n"
    )
    config = ["--config", str(tmp_path / "c.toml")]
    shards, tokenizer, out = (str(path) for path in (folders / "shards", folders / "tokenizer", tmp_path / "out"))
    assert main(["train", "--shards", shards, "--out", out, "--work", str(tmp_path / "work"), *config]) == 0
    evaluated = ["--checkpoint", out, "--shards", shards, "--tokenizer", tokenizer, "--out", str(tmp_path / "e")]
    assert main(["evaluate", *evaluated, *config]) == 0
    assert json.loads(capsys.readouterr().out)["bits_per_byte"]["model"] > 0
    model = ["generate", "--checkpoint", out, "--tokenizer", tokenizer, *config]
    assert main([*model, "def f():"]) == 0
    first = capsys.readouterr().out
    assert main([*model, "def f():"]) == 0
    assert capsys.readouterr().out == first
    assert main([*model, "--prefix", "a = ", "--suffix", "\n"]) == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x = '\xff"), "utf-8"))
    assert main([*model, "-", "--seed", "-1"]) == 0
    (tmp_path / "d.toml").write_text("[evaluation]\ntemperature = -1\n")
    assert main([*model, "x", "--config", str(tmp_path / "d.toml")]) == 1
    assert "temperature: found -1.0, expected 0 or more" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*model, "text", "--prefix", "a"])
    (tmp_path / "c.toml").write_text("[model]\nhiden_size=3\n")
    assert main([*model, "x"]) == 0
    assert main(["train", "--shards", shards, "--out", out, "--work", str(tmp_path / "work"), *config]) == 1
    assert "did you mean 'hidden_size'" in capsys.readouterr().err


def test_help_shows_an_example_and_needs_no_torch() -> None:
    code = (
        "import sys; import minicode_model.__main__ as m\n"
        "try: m.main(['generate', '--help'])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert "example:\n  python -m minicode_model generate" in done.stdout


def test_the_card_of_a_later_phase_lists_what_the_earlier_one_learnt_from(folders: Path, tmp_path: Path) -> None:
    first, shards = folders / "checkpoint", folders / "shards"
    start = open_artifact(first).digest
    digest = open_artifact(shards).digest
    longer = dataclasses.replace(MODEL, rope_theta=1e6)
    write_checkpoint(tmp_path / "next", longer, small_tokenizer().digest, token_shards=digest, start=start)
    params = Evaluation(max_bytes=1000, max_new_tokens=4)
    parts = (tmp_path / "next", folders / "tokenizer", shards, tmp_path / "evaluation", tmp_path / "out")
    evaluate(*parts[:1], shards, folders / "tokenizer", tmp_path / "evaluation", params=params, config_digest="")
    artifact = export(*parts, earlier=[(first, shards)])
    card = artifact.file("README.md").read_text()
    assert f"to the checkpoint `{start}` on" in card
    assert card.count(artifact.metadata["swhid_list_sha256"]) == 2
    assert "isn't listed here" not in card
    with pytest.raises(CheckpointError, match=f"found checkpoint .*, expected {start}"):
        export(*parts, earlier=[(tmp_path / "next", shards)])
