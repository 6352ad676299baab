"""Two processes on the CPU (gloo) against one: the same sequences, the same losses, resumed bit for bit."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minicode_assets.tokens.write import write_token_shards
from minicode_model.__main__ import main
from minicode_model.artifact import open_artifact
from minicode_model.checkpoint import load_model
from tests.tokens.corpora import SMALL_SHARDS, small_encoded, small_home

ROOT = Path(__file__).parents[2]
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


def start_two(command: list[str]) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*launcher, "-m", "minicode_model", *command],
        cwd=ROOT,
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def rows(root: Path) -> np.ndarray:
    with (root / "checkpoint" / "metrics.csv").open() as stream:
        return np.array([[float(value or "nan") for value in row] for row in list(csv.reader(stream))[1:]])


TWO = "devices = 2\nbatch_size = 2\ngradient_accumulation_steps = 2\n"


def test_two_devices_equal_one_with_larger_batches(shards: Path, tmp_path: Path) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    process = start_two(arguments(shards, two, TWO))
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert main(arguments(shards, one, "batch_size = 8\ngradient_accumulation_steps = 1\n")) == 0
    ours, theirs = rows(two), rows(one)
    assert np.allclose(ours[:2], theirs[:2], rtol=1e-6, equal_nan=True)
    step, loss, gradient_norm, *others = range(ours.shape[1])  # sums in another order drift apart, step by step
    assert np.allclose(ours[:, [step, loss, *others]], theirs[:, [step, loss, *others]], rtol=2e-5, equal_nan=True)
    assert np.allclose(ours[:, gradient_norm], theirs[:, gradient_norm], rtol=1e-3)
    assert not (two / "work").exists()


def test_killed_with_two_devices_the_same_command_gives_the_same(shards: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start_two(arguments(shards, whole, TWO))
    assert process.wait(timeout=240) == 0
    command = arguments(shards, killed, TWO)
    process = start_two(command)
    deadline = time.monotonic() + 200
    while not list((killed / "work").glob("*/step-*/manifest.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kill_all(process)
    assert not (killed / "checkpoint").exists()
    process = start_two(command)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "going on from" in errors
    assert open_artifact(killed / "checkpoint").digest == open_artifact(whole / "checkpoint").digest


SHARDED = TWO + 'sharded = true\noptimizer = "adamw"\n'


def test_sharded_weights_learn_the_same_and_resume(shards: Path, tmp_path: Path) -> None:
    """FSDP against one device with larger batches; killed once on the way."""
    sharded, one = tmp_path / "sharded", tmp_path / "one"
    command = arguments(shards, sharded, SHARDED)
    process = start_two(command)
    deadline = time.monotonic() + 200
    while not list((sharded / "work").glob("*/step-*/manifest.json")):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kill_all(process)
    process = start_two(command)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "going on from" in errors
    extra = 'batch_size = 8\ngradient_accumulation_steps = 1\noptimizer = "adamw"\n'
    assert main(arguments(shards, one, extra)) == 0
    assert np.allclose(rows(sharded), rows(one), rtol=2e-4, equal_nan=True)
    ours, theirs = (load_model(root / "checkpoint")[0].state_dict() for root in (sharded, one))
    assert all(np.allclose(ours[name], theirs[name], atol=2e-3) for name in theirs)


def kill_all(process: subprocess.Popen[str]) -> None:
    """The launcher starts its workers in groups of their own."""
    listing = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    children = [int(line.split()[0]) for line in listing.splitlines()[1:] if int(line.split()[1]) == process.pid]
    for pid in (process.pid, *children):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def test_devices_without_torchrun_say_how(shards: Path, tmp_path: Path, capsys) -> None:
    assert main(arguments(shards, tmp_path / "alone", TWO)) == 1
    assert "torchrun --nproc-per-node 2" in capsys.readouterr().err
