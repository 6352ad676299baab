"""Training as a process of its own, by Dagster Pipes: it goes on when the run's process or the code server ends.

The process holds a lock for as long as it lives. A run that finds the lock held by a training with the same request
waits for that one instead of starting another; so a run that was killed and started again loses nothing. Several
devices are started by torchrun. Cancelling the run in the web UI ends the training after its step, with a state saved.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from minicode_assets.defs.training import Training
from minicode_assets.errors import DriverError
from minicode_model.artifact import Artifact, open_artifact, storage_errors, write_file
from minicode_model.config import Checkpoint, Model, build_section
from minicode_model.errors import CheckpointError, MinicodeError

POLL_S = 0.3
LOG_LINES = 15
MODULE = "minicode_assets.defs.training_process"
Show = Callable[[Mapping[str, Any]], None]


class Places:
    """The files by which a training process and those who wait for it know of each other."""

    def __init__(self, work: Path) -> None:
        self.folder = work.with_name(f"{work.name}.process")
        self.request = self.folder / "request.json"
        self.lock = self.folder / "lock"
        self.pid = self.folder / "pid"
        self.outcome = self.folder / "outcome.json"
        self.messages = self.folder / "messages.jsonl"
        self.log = self.folder / "training.log"


def to_json(training: Training) -> str:
    """A training as text, for its process."""
    return json.dumps(dataclasses.asdict(training), default=str, indent=1, sort_keys=True)


def from_json(text: str) -> Training:
    """The inverse of `to_json`."""
    raw = json.loads(text)
    return Training(
        shards=Path(raw["shards"]),
        folder=Path(raw["folder"]),
        work=Path(raw["work"]),
        model=build_section(Model, raw["model"], "[model]")[0],
        params=build_section(Checkpoint, raw["params"], "[checkpoint]")[0],
        config_digest=raw["config_digest"],
        start=Path(raw["start"]) if raw["start"] else None,
        logs=Path(raw["logs"]),
    )


def train_externally(training: Training, context: dg.AssetExecutionContext | None, show: Show) -> Artifact:
    """Train in a process of its own and wait for it, or for the one that is at it already.

    Raises:
        CheckpointError: The process ended without a checkpoint; the message has the end of its log.
        MinicodeError: What the training itself raised.
        DriverError: Another training works in the same folder.
    """
    places = Places(training.work)
    with storage_errors(places.folder):
        places.folder.mkdir(parents=True, exist_ok=True)
    with _pipes(context, places) as (environment, messages):
        held = _hold(places.lock)
        if held is not None:
            try:
                _start(training, places, held, environment)
            finally:
                os.close(held)
        elif places.request.read_text() != to_json(training):
            raise DriverError(
                f"{places.folder}: a training with another configuration is at work here, process "
                f"{places.pid.read_text()}",
                hint=f"wait for it, or end it: kill {places.pid.read_text()}",
            )
        else:
            _say(context, f"waiting for the training that is under way, process {places.pid.read_text()}")
        _wait(places, messages, show)
    return _result(training, places)


def _say(context: dg.AssetExecutionContext | None, text: str) -> None:
    if context is not None:
        context.log.info(text)


@contextlib.contextmanager
def _pipes(
    context: dg.AssetExecutionContext | None, places: Places
) -> Iterator[tuple[Mapping[str, str], Callable[[], Any]]]:
    """What the process needs to report to Dagster, and a function that gives the reports so far."""
    if context is None:
        yield {}, list
        return
    reader = dg.PipesFileMessageReader(str(places.messages), cleanup_file=False)
    with dg.open_pipes_session(context, dg.PipesEnvContextInjector(), reader) as session:
        yield session.get_bootstrap_env_vars(), session.get_custom_messages


def _hold(lock: Path) -> int | None:
    """A descriptor that holds the lock, or None where a process does."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _start(training: Training, places: Places, lock: int, environment: Mapping[str, str]) -> None:
    """Start the process in a session of its own; it inherits the lock."""
    places.outcome.unlink(missing_ok=True)
    write_file(places.request, lambda path: path.write_text(to_json(training)))
    launcher = [sys.executable, "-m"]
    if training.params.devices > 1:
        count = str(training.params.devices)
        launcher += ["torch.distributed.run", "--standalone", "--nproc-per-node", count, "-m"]
    with places.log.open("w") as log:
        process = subprocess.Popen(
            [*launcher, MODULE, str(places.request)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            start_new_session=True,
        )
    write_file(places.pid, lambda path: path.write_text(str(process.pid)))


def _wait(places: Places, messages: Callable[[], Any], show: Show) -> None:
    """Until the lock is free. An interruption of this process is passed on and waited for; a kill isn't."""
    num_shown = 0
    try:
        while (held := _hold(places.lock)) is None:
            found = messages()
            if len(found) > num_shown:
                show(found[-1])
                num_shown = len(found)
            time.sleep(POLL_S)
        os.close(held)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(places.pid.read_text()), signal.SIGTERM)
        raise


def _result(training: Training, places: Places) -> Artifact:
    log = "\n".join(places.log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    if not places.outcome.exists():
        raise CheckpointError(
            f"{places.folder}: the training process ended without a word; the end of its log:\n{log}",
            hint="run again: it goes on from the newest state",
            may_pass=True,
        )
    outcome = json.loads(places.outcome.read_text())
    if outcome["what"]:
        raise MinicodeError(outcome["what"], hint=outcome["hint"], may_pass=outcome["may_pass"])
    return open_artifact(training.folder, verify=False)
