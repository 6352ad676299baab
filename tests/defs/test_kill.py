"""SIGKILL in the middle of every stage, then the same command again: the same artefacts as an undisturbed run."""

import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from minicode_assets.definitions import STAGES
from minicode_assets.defs.instance import HOST_TAG
from tests.conftest import Home
from tests.defs.test_chain import copy_of, folders

DELAY_S = {"archive": 0.15, "checkpoint": 1.0, "tokenizer": 0.1}
"""How long into a stage the process is killed; the short ones at once."""


def kill_in(home: Home, stage: str) -> int:
    """Make one asset anew, kill the process shortly after the stage began, and return its exit status."""
    progress = home.root / "progress"
    os.mkfifo(progress)
    child = home.fork("minicode", "materialize", "--select", stage, "--force", stdout=Path(os.devnull), stderr=progress)
    assert child.pid
    with progress.open() as lines:
        for line in lines:
            if line.split()[:2] == ["…", stage]:
                threading.Event().wait(DELAY_S.get(stage, 0))
                os.killpg(child.pid, signal.SIGKILL)
                break
    child.join()
    progress.unlink()
    assert child.exitcode is not None
    return child.exitcode


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_in_each_stage_then_resumed(finished: Home, tmp_path: Path) -> None:
    """Last stage first, so that the inputs of each are still there; then one command makes everything again.

    In a folder whose name is a pattern, has spaces and is not ASCII.
    """
    home = copy_of(finished, tmp_path / "of ä [1] b*")
    tables = [stage.name for stage in STAGES if stage.name.startswith("swh_")]
    for stage in reversed([stage.name for stage in STAGES if stage.name not in tables[1:-1]]):  # they share their code
        shutil.rmtree(home.data / stage)
        assert kill_in(home, stage) == -signal.SIGKILL, stage
    made = {name.split("/")[0] for name in folders(home)}
    assert len(made) < len(STAGES) / 2, "most stages were killed before their artefact was whole"
    done = home.minicode("materialize")
    assert "killed; resuming" in done.stderr
    assert folders(home) == folders(finished)
    with dg.DagsterInstance.from_config(str(home.root / "dagster_home")) as instance:
        runs = instance.get_runs()
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
        assert all(HOST_TAG in run.tags for run in runs)


@pytest.mark.slow
def test_parallel_first_use_of_an_empty_dagster_home(home: Home) -> None:
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda _: home.minicode("init", check=False).status, range(4)))
    assert statuses == [0, 0, 0, 0]
    home.minicode("materialize", "--select", "archive")
