"""SIGKILL in the middle of every stage, then the same command again: the same artefacts as an undisturbed run."""

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest

from minicode_assets.config import ASSET_SECTIONS
from minicode_assets.defs.instance import HOST_TAG
from tests.conftest import Home
from tests.defs.test_chain import folders

DELAY_S = {"archive": 0.15, "checkpoint": 1.5, "tokenizer": 0.3}
"""How long into a stage the process is killed; 0.02 s for the short ones."""


def kill_in(home: Home, stage: str) -> bool:
    """Start the chain and kill it shortly after `stage` began; False if it ended before."""
    child = home.start(sys.executable, "-m", "minicode_assets", "materialize", start_new_session=True)
    assert child.stderr
    for line in child.stderr:
        if line.split()[:2] == ["…", stage]:
            threading.Event().wait(DELAY_S.get(stage, 0.02))
            os.killpg(child.pid, signal.SIGKILL)
            break
    child.communicate()
    return child.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_killed_in_each_stage_then_resumed(finished: Home, home: Home) -> None:
    killed = [stage for stage in ASSET_SECTIONS if kill_in(home, stage)]
    assert set(killed) == set(ASSET_SECTIONS)
    done = home.minicode("materialize")
    assert "were killed; resuming" in done.stderr
    assert folders(home) == folders(finished)
    with dg.DagsterInstance.from_config(str(home.root / "dagster_home")) as instance:
        statuses = {run.status for run in instance.get_runs()}
        assert statuses == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
        assert all(HOST_TAG in run.tags for run in instance.get_runs())


@pytest.mark.slow
def test_parallel_first_use_of_an_empty_dagster_home(home: Home) -> None:
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda _: home.minicode("init", check=False).status, range(4)))
    assert statuses == [0, 0, 0, 0]
    home.minicode("materialize", "--select", "archive")
