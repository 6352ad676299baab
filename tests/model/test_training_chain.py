"""From shards to a checkpoint to figures, through the artefacts, as the assets call it."""

import csv
import dataclasses
import json
import math
import resource
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from minicode_assets.tokens.write import write_token_shards
from minicode_model.artifact import MANIFEST, open_artifact
from minicode_model.checkpoint import HUGGING_FACE_CONFIG, SETTINGS, WEIGHTS, load_model, read_settings, read_weights
from minicode_model.config import Checkpoint, Evaluation, Model, shaping_values
from minicode_model.errors import (
    CheckpointError,
    ConfigError,
    CorruptArtifactError,
    MissingArtifactError,
    ShardError,
    StorageError,
)
from minicode_model.evaluation.run import evaluate, kind_of
from minicode_model.training.run import train
from minicode_model.training.start import hugging_face_shape, start_digest, starting_model
from tests.tokens.corpora import SMALL_SHARDS, small_encoded, small_home, small_tokenizer

MODEL = Model(
    vocab_size=700,
    hidden_size=48,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=128,
)
PARAMS = Checkpoint(
    max_steps=40,
    batch_size=8,
    gradient_accumulation_steps=1,
    checkpoint_every_steps=10,
    validate_every_steps=20,
    validation_sequences=16,
    num_threads=1,
)
EVALUATION = Evaluation(max_bytes=8000, max_new_tokens=24)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "token_shards"
    home = small_home()
    write_token_shards(small_encoded(), home / "tokenizer", folder, params=SMALL_SHARDS, config_digest="test")
    return folder


@pytest.fixture(scope="module")
def trained(shards) -> Path:
    folder, work = shards.parent / "checkpoint", shards.parent / "work"
    train(shards, folder, work, model=MODEL, params=PARAMS, config_digest="digest")
    assert not work.exists()
    return folder


def test_checkpoint_says_what_it_is(trained: Path, shards: Path) -> None:
    artifact = open_artifact(trained)
    assert artifact.name == "checkpoint"
    assert artifact.config_digest == "digest"
    assert artifact.inputs == {"token_shards": open_artifact(shards).digest}
    settings = read_settings(trained)
    assert settings.model == MODEL
    assert settings.training == shaping_values(PARAMS)
    assert settings.tokenizer_digest == small_tokenizer().digest
    metadata = artifact.metadata
    assert metadata["last_loss"] < metadata["first_loss"]
    assert metadata["num_parameters"] == sum(p.numel() for p in load_model(trained)[0].parameters())
    assert metadata["tokens_per_second"] > 0
    rows = (trained / "metrics.csv").read_text().splitlines()
    assert rows[0] == "step,loss,gradient_norm,learning_rate,tokens,validation_loss"
    assert len(rows) == 41
    assert [row.split(",")[0] for row in rows[1:] if not row.endswith(",")] == ["20", "40"]


def test_same_inputs_give_the_same_bytes(trained: Path, shards: Path, tmp_path: Path) -> None:
    again = train(
        shards, tmp_path / "checkpoint", tmp_path / "work", model=MODEL, params=PARAMS, config_digest="digest"
    )
    assert again.digest == open_artifact(trained).digest
    other = dataclasses.replace(PARAMS, seed=2, max_steps=2)
    assert (
        again.digest
        != train(
            shards, tmp_path / "other", tmp_path / "work", model=MODEL, params=other, config_digest="digest"
        ).digest
    )


def test_transformers_loads_the_folder_with_the_same_logits(trained: Path) -> None:
    transformers = pytest.importorskip("transformers")
    twin, outcome = transformers.AutoModelForCausalLM.from_pretrained(trained, output_loading_info=True)
    assert not any(outcome.values())
    model, _ = load_model(trained)
    tokens = torch.randint(700, (2, 100), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(model(tokens), twin.eval()(tokens).logits, atol=1e-5)


def test_evaluation_beats_its_baselines_and_repeats(trained: Path, shards: Path, tmp_path: Path) -> None:
    tokenizer = small_home() / "tokenizer"
    first, second = (
        evaluate(trained, shards, tokenizer, tmp_path / name, params=EVALUATION, config_digest="digest")
        for name in ("first", "second")
    )
    assert first.digest == second.digest
    assert set(first.inputs) == {"checkpoint", "token_shards", "tokenizer"}
    results = json.loads(first.file("results.json").read_text())
    bits = results["bits_per_byte"]
    assert bits["model"] < bits["untrained"]
    assert bits["model"] < bits["byte_entropy"]
    assert [sample["kind"] for sample in results["samples"]] == ["completion", "fill_in_the_middle"]
    assert 0 < results["num_bytes"] <= 8000
    rows = list(csv.DictReader(first.file("documents.csv").read_text().splitlines()))
    assert len(rows) == results["num_documents"]
    assert sum(int(row["num_bytes"]) for row in rows) == results["num_bytes"]
    total = sum(float(row["nats"]) for row in rows)
    assert total / math.log(2) / results["num_bytes"] == pytest.approx(bits["model"])
    assert set(results["bits_per_byte_by_kind"]) <= {"module", "package", "setup", "test"}
    assert all(row["path"].startswith("wsgiref/") for row in rows)


def test_a_checkpoint_of_another_tokenizer_is_refused(trained: Path, shards: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained, tmp_path / "checkpoint"))
    text = (copy / SETTINGS).read_text().replace(small_tokenizer().digest, "0" * 64)
    (copy / SETTINGS).write_text(text)
    reseal(copy)
    with pytest.raises(CheckpointError, match="tokenizer digest found 0000"):
        evaluate(copy, shards, small_home() / "tokenizer", tmp_path / "e", params=EVALUATION, config_digest="")


def reseal(folder: Path) -> None:
    """Give changed files the manifest that they would have: what checks remain are the reader's own."""
    import hashlib

    manifest = json.loads((folder / MANIFEST).read_text())
    for file in manifest["files"]:
        raw = (folder / file["path"]).read_bytes()
        file |= {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    del manifest["seal"]
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_damaged_checkpoints_are_refused(trained: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained, tmp_path / "checkpoint"))
    weights = bytearray((copy / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (copy / WEIGHTS).write_bytes(weights)
    with pytest.raises(CorruptArtifactError, match=r"model\.safetensors: sha256 found"):
        load_model(copy)
    (copy / WEIGHTS).write_bytes(weights[:1000])
    reseal(copy)
    with pytest.raises(CheckpointError, match="not readable as safetensors"):
        load_model(copy)
    (copy / MANIFEST).unlink()
    with pytest.raises(MissingArtifactError):
        load_model(copy)


def test_weights_of_another_shape_name_the_first_difference(trained: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trained, tmp_path / "checkpoint"))
    settings = json.loads((copy / SETTINGS).read_text())
    settings["model"]["intermediate_size"] = 64
    (copy / SETTINGS).write_text(json.dumps(settings))
    reseal(copy)
    with pytest.raises(CheckpointError, match=r"c_fc\.bias: found \(128,\), expected \(64,\)"):
        load_model(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"vocab_size": 699}, "vocab_size found 700"), ({"max_position_embeddings": 64}, "seq_len found 128")],
)
def test_shards_that_do_not_fit_the_model_are_refused(shards, tmp_path, change, message) -> None:
    with pytest.raises(ShardError, match=message) as caught:
        train(
            shards,
            tmp_path / "c",
            tmp_path / "w",
            model=dataclasses.replace(MODEL, **change),
            params=PARAMS,
            config_digest="",
        )
    assert "set [model]" in caught.value.hint


def test_contradictions_are_listed_at_once(shards, tmp_path) -> None:
    model = dataclasses.replace(MODEL, num_attention_heads=5)
    params = dataclasses.replace(PARAMS, precision="fp8", max_steps=0)
    with pytest.raises(ConfigError) as caught:
        train(shards, tmp_path / "c", tmp_path / "w", model=model, params=params, config_digest="")
    assert all(word in str(caught.value) for word in ("hidden_size", "precision", "max_steps"))


def test_a_work_folder_that_is_a_file_is_named(shards, tmp_path) -> None:
    (tmp_path / "work").write_text("")
    with pytest.raises(StorageError, match="work"):
        train(shards, tmp_path / "c", tmp_path / "work", model=MODEL, params=PARAMS, config_digest="")


@pytest.mark.slow
def test_a_full_disk_is_said_so_and_training_goes_on_afterwards(shards, trained, tmp_path) -> None:
    """A limit on the size of files stands for the disk: the same error numbers, without filling one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(StorageError, match="File too large"):
            train(shards, tmp_path / "c", tmp_path / "w", model=MODEL, params=PARAMS, config_digest="digest")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "c").exists()
    again = train(shards, tmp_path / "c", tmp_path / "w", model=MODEL, params=PARAMS, config_digest="digest")
    assert again.digest == open_artifact(trained).digest


def test_states_of_another_configuration_are_left_alone(shards, tmp_path, caplog) -> None:
    stranger = tmp_path / "work" / "0123456789abcdef" / "step-00000010"
    stranger.mkdir(parents=True)
    params = dataclasses.replace(PARAMS, max_steps=1)
    artifact = train(shards, tmp_path / "c", tmp_path / "work", model=MODEL, params=params, config_digest="")
    assert artifact.metadata["steps"] == 1
    assert "left alone are states of other sections, shards, devices or start (0123456789abcdef)" in caplog.text


def test_a_next_phase_starts_from_the_former_weights(trained, shards, tmp_path) -> None:
    """Longer context and another base: with no learning rate to speak of, the weights stay the former ones."""
    model = dataclasses.replace(MODEL, max_position_embeddings=256, rope_theta=1e6)
    params = dataclasses.replace(PARAMS, max_steps=1, learning_rate=1e-12, weight_decay=0.0)
    artifact = train(
        shards, tmp_path / "c", tmp_path / "w", model=model, params=params, config_digest="", start=trained
    )
    assert artifact.inputs["start"] == open_artifact(trained).digest
    former, config = load_model(trained)
    following, new_config = load_model(tmp_path / "c")
    assert new_config == model
    assert config == MODEL
    for name, weight in former.state_dict().items():
        assert torch.allclose(weight, following.state_dict()[name], atol=1e-9), name


def test_training_continues_from_a_hugging_face_folder(tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    shape = {name: getattr(MODEL, name) for name in names}
    config = transformers.Starcoder2Config(
        **shape, num_key_value_heads=1, max_position_embeddings=128, rope_theta=MODEL.rope_theta
    )
    twin = transformers.Starcoder2ForCausalLM(config)
    twin.save_pretrained(tmp_path / "hf", max_shard_size="20KB")
    assert len(list((tmp_path / "hf").glob("*.safetensors"))) > 1
    network = starting_model(tmp_path / "hf", MODEL, PARAMS, "any")
    tokens = torch.arange(100)[None]
    with torch.no_grad():
        assert torch.allclose(network(tokens), twin.eval()(tokens).logits, atol=1e-5)
    with pytest.raises(CheckpointError, match=r"hidden_size: found 48, expected 96"):
        starting_model(tmp_path / "hf", dataclasses.replace(MODEL, hidden_size=96), PARAMS, "any")
    with pytest.raises(CheckpointError, match="not a Starcoder2Config"):
        starting_model(tmp_path, MODEL, PARAMS, "any")


@pytest.mark.parametrize(
    "form", [{"rope_scaling": {"type": "linear", "factor": 4.0}}, {"rope_parameters": {"rope_type": "yarn"}}]
)
def test_scaled_positions_are_refused(trained: Path, tmp_path: Path, form: dict[str, dict[str, object]]) -> None:
    """Read as plain ones, they would give other logits and no message."""
    raw = json.loads((trained / HUGGING_FACE_CONFIG).read_text())
    assert hugging_face_shape(trained) == MODEL
    raw.pop("rope_parameters")
    (tmp_path / HUGGING_FACE_CONFIG).write_text(json.dumps(raw | form))
    with pytest.raises(CheckpointError, match=r"rope_type found '(linear|yarn)'"):
        hugging_face_shape(tmp_path)


def test_other_weights_of_the_same_size_are_another_start(trained: Path, tmp_path: Path) -> None:
    """Else states of the one would be gone on from with the other."""
    digests = []
    for factor in (1, 2):
        save_file({name: factor * tensor for name, tensor in load_file(trained / WEIGHTS).items()}, tmp_path / WEIGHTS)
        digests.append(start_digest(tmp_path))
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("name", "text"),
    [("config.json", "[]"), *(("model.safetensors.index.json", text) for text in ("[]", '{"weight_map": [1]}', "{}"))],
)
def test_a_hugging_face_folder_that_is_none_is_refused(trained: Path, tmp_path: Path, name: str, text: str) -> None:
    for file in (WEIGHTS, HUGGING_FACE_CONFIG):
        shutil.copy(trained / file, tmp_path)
    assert starting_model(tmp_path, MODEL, PARAMS, "any")
    (tmp_path / name).write_text(text)
    with pytest.raises(CheckpointError, match=r"not a Starcoder2Config|weights not readable"):
        starting_model(tmp_path, MODEL, PARAMS, "any")


@pytest.mark.parametrize(
    ("spoilt", "found"), [(lambda weight: weight.to(torch.int8), "torch.int8"), (lambda weight: weight / 0, "NaN")]
)
def test_weights_that_are_no_finite_fractions_are_refused(trained: Path, tmp_path: Path, spoilt, found: str) -> None:
    tensors = load_file(trained / WEIGHTS)
    save_file(tensors | {"model.norm.weight": spoilt(tensors["model.norm.weight"])}, tmp_path / WEIGHTS)
    with pytest.raises(CheckpointError, match=rf"model\.norm\.weight: found {found}"):
        read_weights(tmp_path / WEIGHTS, MODEL)


@pytest.mark.parametrize("change", ['"model": null', '"step": Infinity', '"model": {"num_attention_heads": 0}'])
def test_settings_that_are_none_are_refused(trained: Path, tmp_path: Path, change: str) -> None:
    settings = json.loads((trained / SETTINGS).read_text()) | json.loads(f"{{{change}}}")
    (tmp_path / SETTINGS).write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=r"not the settings of a checkpoint|expected 1 or more"):
        read_settings(tmp_path)


def test_a_start_with_another_tokenizer_is_refused(trained) -> None:
    with pytest.raises(CheckpointError, match="tokenizer digest found"):
        starting_model(trained, MODEL, PARAMS, "0" * 64)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("src/attr/_make.py", "module"),
        ("src/attr/__init__.py", "package"),
        ("tests/strategies.py", "test"),
        ("attr/test_make.py", "test"),
        ("setup.py", "setup"),
        ("latest.py", "module"),
        ("contest/run.py", "module"),
        ("attr/_make.pyi", "module"),
        ("attrs-25.4.0.dist-info/DESCRIPTION.md", "text"),
        ("tests/README", "text"),
    ],
)
def test_kinds_of_files(path: str, kind: str) -> None:
    assert kind_of(path) == kind
