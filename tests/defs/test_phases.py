"""Phases of training as assets: their own shards, the former's weights, their place in the history."""

import itertools
import json
from pathlib import Path

import pytest
import torch

from minicode_assets.config import load
from minicode_assets.definitions import stages
from minicode_assets.errors import ConfigError
from minicode_model.artifact import open_artifact
from minicode_model.checkpoint import load_model, write_weights
from minicode_model.shards import open_split
from tests.conftest import SMALL, Home
from tests.defs.test_chain import copy_of

PHASES = """
[phases.long_context]
[phases.long_context.token_shards]
seq_len = 256
[phases.long_context.model]
max_position_embeddings = 256
rope_theta = 1e6
[phases.long_context.checkpoint]
max_steps = 4
learning_rate = 1e-4

[phases.annealing]
benchmarks = false
[phases.annealing.token_shards]
fim_rate = 0.0

[phases.fine_tuning]
examples = "corpus"
[phases.fine_tuning.checkpoint]
learning_rate = 1e-3

[phases.elsewhere]
after = "FOLDER"
[phases.elsewhere.checkpoint]
max_steps = 1
"""


@pytest.mark.slow
def test_each_phase_starts_from_the_former(finished: Home, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)
    folder = tmp_path / "hugging_face"
    folder.mkdir()
    write_weights(load_model(home.data / "checkpoint")[0], folder)
    home.configure(SMALL + PHASES.replace("FOLDER", str(folder)))
    done = home.minicode("materialize")
    assert ": 14 asset partition(s) made" in done.stderr, done.stderr
    names = ["checkpoint", "long_context", "annealing", "fine_tuning"]
    for former, phase in itertools.pairwise(names):
        artifact = open_artifact(home.data / phase)
        assert artifact.name == phase
        assert artifact.inputs["start"] == open_artifact(home.data / former).digest
        assert artifact.inputs["token_shards"] == open_artifact(home.data / f"{phase}_shards").digest
        before, after = (load_model(home.data / name)[0].state_dict() for name in (former, phase))
        assert (
            0 < (before["model.layers.0.mlp.c_fc.weight"] - after["model.layers.0.mlp.c_fc.weight"]).abs().max() < 0.1
        )
    model = load_model(home.data / "fine_tuning")[1]
    assert (model.max_position_embeddings, model.rope_theta) == (256, 1e6)
    assert open_split(home.data / "annealing_shards", "train").learnt(0) is None
    assert open_split(home.data / "fine_tuning_shards", "train").learnt(0) is not None
    assert torch.isfinite(torch.tensor(open_artifact(home.data / "elsewhere").metadata["last_loss"]))
    runs = {json.loads(path.read_text())["run"] for path in (home.data / "history").glob("*.json")}
    assert runs == {"tiny", *(f"tiny/{name}" for name in (*names[1:], "elsewhere"))}
    rows = json.loads((home.data / "leaderboard" / "leaderboard.json").read_text())
    by_run = {row["run"]: row for row in rows}
    assert set(by_run) == runs
    assert by_run["tiny/long_context"].keys() == by_run["tiny"].keys()
    assert by_run["tiny/long_context"]["benchmark_scores"]
    scores = open_artifact(home.data / "long_context_benchmark_scores")
    assert scores.inputs["checkpoint"] == open_artifact(home.data / "long_context").digest
    assert not (home.data / "annealing_benchmark_scores").exists()
    home.configure((SMALL + PHASES.replace("FOLDER", str(folder))).replace("fim_rate = 0.0", "fim_rate = 0.1"))
    again = home.minicode("materialize").stderr
    assert "… long_context" not in again
    assert all(f"✓ {name}" in again for name in ("annealing_shards", "annealing ", "fine_tuning "))


def phases(**tables: object) -> dict[str, object]:
    return {"phases": tables}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (phases(a={"after": "b"}), "[phases.a] after: found 'b', expected one of checkpoint, or a folder"),
        (phases(a={"modle": {}}), "did you mean 'model'?"),
        (phases(a={"model": {"hidden_size": 256}}), "model: hidden_size: only max_position_embeddings, rope_theta"),
        (phases(a={"token_shards": {"seq_len": 1024}}), "max_position_embeddings 512 is smaller than seq_len 1024"),
        (phases(a={"checkpoint": {"max_steps": "many"}}), "[phases.a.checkpoint] max_steps: found 'many'"),
        (phases(a={"checkpoint": {"precision": "fp8"}}), "[phases.a]: [checkpoint] precision: found 'fp8'"),
        ({"phases": {"a-b": {}}}, "found the name 'a-b'"),
        ({"phases": {"corpus": {}}}, "its asset 'corpus' would be there twice"),
        ({"phases": {"arxiv": {}}}, "its asset 'arxiv' would be there twice"),
        ({"phases": {"token": {}}}, "its asset 'token_shards' would be there twice"),
        ({"phases": {"a_shards": {}, "a": {}}}, "[phases.a]: its asset 'a_shards' would be there twice"),
        (phases(a={"model": 3}), "[phases.a] model: found 3, expected a table"),
        (phases(a={"checkpoint": {"beta2": -1.0}}), "[phases.a.checkpoint] beta2: found -1.0, expected 0 or"),
        (phases(a={"benchmarks": 1}), "[phases.a] benchmarks: found 1, expected bool"),
        ({"phases": {"a": 3}}, "[phases.a]: found 3, expected a table"),
        ({"phases": 3}, "[phases]: found 3, expected a table of keys"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_phase_is_named(overrides: dict[str, dict[str, object]], expected: str) -> None:
    with pytest.raises(ConfigError, match="configuration has 1 problem") as caught:
        load("tiny", overrides)  # type: ignore[arg-type]
    assert expected in str(caught.value)


def test_what_a_phase_does_not_say_is_as_before_and_layers_merge() -> None:
    config = load("mini", {"phases": {"annealing": {"checkpoint": {"max_steps": 7}}}})
    assert [phase.name for phase in config.phases] == ["tuning", "long_context", "annealing", "fine_tuning"]
    tuning, long_context, annealing, fine_tuning = config.phases
    assert (tuning.after, long_context.after, annealing.after) == ("checkpoint", "tuning", "long_context")
    assert annealing.checkpoint.max_steps == 7
    assert annealing.checkpoint.decay_fraction == 1.0
    assert fine_tuning.model == long_context.model
    assert long_context.model.hidden_size == config.model.hidden_size
    names = [stage.name for stage in stages(config)][-12:]
    parts = ["_shards", "", "_evaluation", "_benchmark_scores"]
    assert names[:4] == [f"long_context{part}" for part in parts]
