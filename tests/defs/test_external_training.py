"""Training as a process of its own: it outlives the run, is waited for, never started twice, and says what failed."""

import dataclasses
import os
import re
import signal
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from minicode_assets.config import load
from minicode_assets.defs.external_training import Places, from_json, to_json, train_externally
from minicode_assets.defs.training import Curves, Training
from minicode_assets.errors import DriverError
from minicode_model.artifact import open_artifact
from minicode_model.errors import MinicodeError
from tests.conftest import SMALL, Home
from tests.defs.test_chain import copy_of

EXTERNAL = SMALL.replace("[checkpoint]\n", '[checkpoint]\nlauncher = "process"\n')


def training(root: Path, **changes: object) -> Training:
    config = load("tiny", {"checkpoint": {"max_steps": 3, "launcher": "process"}})
    base = Training(
        root / "shards",
        root / "checkpoint",
        root / ".work" / "checkpoint",
        config.model,
        config.checkpoint,
        "d",
        None,
        root / "logs",
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def observations(home: Home) -> list[dg.AssetObservation]:
    with dg.DagsterInstance.from_config(str(home.root / "dagster_home")) as instance:
        found = instance.fetch_observations(dg.AssetKey("checkpoint"), limit=100).records
    return [record.asset_observation for record in found if record.asset_observation]


def test_requests_come_back_as_they_were(tmp_path: Path) -> None:
    for start in (None, tmp_path / "start"):
        asked = training(tmp_path, start=start)
        assert from_json(to_json(asked)) == asked


def test_curves_were_shown_while_training_went_on(finished: Home) -> None:
    (first, *_) = observations(finished)[::-1]
    assert {"step", "loss", "tokens_per_second", "learning_rate", "data_wait_fraction"} <= set(first.metadata)
    assert first.metadata["step"].value < first.metadata["max_steps"].value
    assert "data:image/png;base64," in str(first.metadata["loss_curve"].value)


def test_curves_are_shown_at_most_so_often() -> None:
    shown: list[object] = []
    curves = Curves(shown.append, 1e6)
    for step in range(3):
        curves.show({"step": step, "curves": {"train": [(0, 1.0)], "validation": []}})
    assert len(shown) == 1


@pytest.mark.slow
def test_a_killed_run_leaves_the_training_alive_and_the_next_one_waits_for_it(finished: Home, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)
    home.configure(EXTERNAL)
    places = Places(home.data / ".work" / "checkpoint")
    command = ("minicode", "materialize", "--select", "checkpoint", "--force")
    outputs = {"stdout": tmp_path / "stdout", "stderr": tmp_path / "stderr"}
    run = home.fork(*command, **outputs)
    wait_until(lambda: places.pid.exists() or not run.is_alive())
    assert run.is_alive()
    run.kill()
    run.join()
    pid = int(places.pid.read_text())
    os.kill(pid, signal.SIGSTOP)  # so that it doesn't end before the next run is there
    outputs["stderr"].write_text("")
    following = home.fork(*command, **outputs)
    wait_until(lambda: re.search(r"^\s*… +checkpoint", outputs["stderr"].read_text(), re.MULTILINE) is not None)
    time.sleep(1)
    os.kill(pid, signal.SIGCONT)
    following.join(240)
    errors = outputs["stderr"].read_text()
    assert following.exitcode == 0, errors
    assert places.pid.read_text() == str(pid), errors
    assert open_artifact(home.data / "checkpoint").digest == open_artifact(finished.data / "checkpoint").digest


@pytest.mark.slow
def test_two_devices_are_started_by_torchrun(finished: Home, tmp_path: Path) -> None:
    config = load("tiny", tomllib.loads(SMALL)).checkpoint
    params = dataclasses.replace(config, max_steps=3, devices=2, launcher="process", num_threads=1)
    model = load("tiny", tomllib.loads(SMALL)).model
    asked = training(tmp_path, shards=finished.data / "token_shards", params=params, model=model)
    artifact = train_externally(asked, None, lambda _: None)
    assert artifact.metadata["steps"] == 3
    assert artifact.path == tmp_path / "checkpoint"


@pytest.mark.slow
def test_what_failed_is_said_and_another_request_is_refused(tmp_path: Path) -> None:
    asked = training(tmp_path)
    with pytest.raises(MinicodeError, match=r"shards: no manifest\.json") as caught:
        train_externally(asked, None, lambda _: None)
    assert caught.value.hint == "make run"
    places = Places(asked.work)
    held = os.open(places.lock, os.O_RDWR)
    import fcntl

    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(DriverError, match=r"another configuration is at work here, process \d+"):
        train_externally(training(tmp_path, config_digest="other"), None, lambda _: None)
    os.close(held)


@pytest.mark.slow
def test_a_process_that_dies_leaves_its_log(tmp_path: Path, monkeypatch) -> None:
    from minicode_assets.defs import external_training

    monkeypatch.setattr(external_training, "MODULE", "no_such_module")
    with pytest.raises(MinicodeError, match=re.compile("ended without a word.*No module named", re.DOTALL)):
        train_externally(training(tmp_path), None, lambda _: None)
