"""Two processes on the CPU (gloo) against one: the same sequences, the same losses, resumed bit for bit."""

import csv
import os
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from minicode_assets.tokens.write import write_token_shards
from minicode_model.__main__ import main
from minicode_model.artifact import open_artifact
from minicode_model.checkpoint import load_model
from tests.forked import IMPORTED, run_model_command
from tests.tokens.corpora import SMALL_SHARDS, small_encoded, small_home

CONFIG = """
[model]
vocab_size = 700
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 2
num_attention_heads = 2
max_position_embeddings = 128

[checkpoint]
max_steps = 12
precision = "fp32"
num_threads = 1
checkpoint_every_steps = 4
validate_every_steps = 6
validation_sequences = 9
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("distributed") / "token_shards"
    home = small_home()
    write_token_shards(small_encoded(), home / "tokenizer", folder, params=SMALL_SHARDS, config_digest="test")
    return folder


def arguments(shards: Path, root: Path, extra: str) -> list[str]:
    root.mkdir(exist_ok=True)
    (root / "config.toml").write_text(CONFIG + extra)
    folders = {"shards": shards, "out": root / "checkpoint", "work": root / "work", "config": root / "config.toml"}
    return ["train", *(text for name, path in folders.items() for text in (f"--{name}", str(path)))]


class Two:
    """Two processes of one training, with what torchrun would tell them; tests/defs starts torchrun itself."""

    def __init__(self, command: list[str], root: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        shared = {**os.environ, **meeting, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "test"}
        self.errors = root / "stderr-0"
        self.processes = []
        for rank in ("0", "1"):
            outputs = (root / f"stdout-{rank}", root / f"stderr-{rank}")
            environment = shared | {"RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": "2"}
            self.processes.append(IMPORTED.Process(target=run_model_command, args=(command, environment, outputs)))
            self.processes[-1].start()

    def kill_after_a_state(self, work: Path) -> None:
        deadline = time.monotonic() + 200
        while not list(work.glob("states/*/step-*/manifest.json")):
            assert all(process.is_alive() for process in self.processes), self.errors.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for process in self.processes:
            process.kill()
            process.join()

    def finish(self) -> str:
        """What the first one says while it ends."""
        for process in self.processes:
            process.join(240)
            assert process.exitcode == 0, self.errors.read_text()
        return self.errors.read_text()


def rows(root: Path) -> np.ndarray:
    with (root / "checkpoint" / "metrics.csv").open() as stream:
        return np.array([[float(value or "nan") for value in row] for row in list(csv.reader(stream))[1:]])


TWO = "devices = 2\nbatch_size = 2\ngradient_accumulation_steps = 2\n"


@pytest.fixture(scope="module")
def two(shards: Path, tmp_path_factory) -> Path:
    """A training with two devices that nothing disturbed."""
    root = tmp_path_factory.mktemp("two")
    Two(arguments(shards, root, TWO), root).finish()
    return root


def test_two_devices_equal_one_with_larger_batches(shards: Path, two: Path, tmp_path: Path) -> None:
    assert main(arguments(shards, tmp_path, "batch_size = 8\ngradient_accumulation_steps = 1\n")) == 0
    ours, theirs = rows(two), rows(tmp_path)
    assert np.allclose(ours[:2], theirs[:2], rtol=1e-5, equal_nan=True)
    step, loss, gradient_norm, *others = range(ours.shape[1])  # sums in another order drift apart, step by step
    assert np.allclose(ours[:, [step, loss, *others]], theirs[:, [step, loss, *others]], rtol=2e-5, equal_nan=True)
    assert np.allclose(ours[:, gradient_norm], theirs[:, gradient_norm], rtol=1e-3)
    assert not any((two / "work").iterdir())


def test_killed_with_two_devices_the_same_command_gives_the_same(shards: Path, two: Path, tmp_path: Path) -> None:
    command = arguments(shards, tmp_path, TWO)
    Two(command, tmp_path).kill_after_a_state(tmp_path / "work")
    assert not (tmp_path / "checkpoint").exists()
    assert "going on from" in Two(command, tmp_path).finish()
    assert open_artifact(tmp_path / "checkpoint").digest == open_artifact(two / "checkpoint").digest


SHARDED = TWO + 'sharded = true\noptimizer = "adamw"\n'


def test_sharded_weights_learn_the_same_and_resume(shards: Path, tmp_path: Path) -> None:
    """FSDP against one device with larger batches; killed once on the way."""
    sharded, one = tmp_path / "sharded", tmp_path / "one"
    command = arguments(shards, sharded, SHARDED)
    Two(command, sharded).kill_after_a_state(sharded / "work")
    assert "going on from" in Two(command, sharded).finish()
    extra = 'batch_size = 8\ngradient_accumulation_steps = 1\noptimizer = "adamw"\n'
    assert main(arguments(shards, one, extra)) == 0
    assert np.allclose(rows(sharded), rows(one), rtol=2e-4, equal_nan=True)
    ours, theirs = (load_model(root / "checkpoint")[0].state_dict() for root in (sharded, one))
    assert all(np.allclose(ours[name], theirs[name], atol=2e-3) for name in theirs)


def test_devices_without_torchrun_say_how(shards: Path, tmp_path: Path, capsys) -> None:
    assert main(arguments(shards, tmp_path / "alone", TWO)) == 1
    assert "torchrun --nproc-per-node 2" in capsys.readouterr().err
