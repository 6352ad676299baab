"""`minicode doctor` and `minicode prune`: what they find, free and leave, against real processes that were killed."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from minicode_assets.defs.instance import prune_runs
from tests.conftest import ROOT, SMALL, Home
from tests.defs.test_chain import copy_of

HOLD_A_SLOT = """
import time, dagster as dg
from minicode_assets.defs.instance import tag_run
@dg.asset(pool="memory")
def held(context):
    tag_run(context.instance, context.run)
    print(context.run_id, flush=True)
    time.sleep(600)
with dg.DagsterInstance.get() as instance:
    dg.materialize([held], instance=instance)
"""


def examined(home: Home, **env: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = home.call("doctor", "--json", check=False, env=env)
    return done.status, {finding["subject"]: finding for finding in json.loads(done.stdout)}


def test_a_fit_machine(home: Home) -> None:
    token = "s3cr3t-token"
    done = home.call("doctor", env={"SWH_TOKEN": token})
    assert token not in done.stdout + done.stderr
    assert "SWH_TOKEN is set" in done.stdout
    status, findings = examined(home)
    assert status == 0
    assert {"python", "git", "configuration", "data folder", "token", "killed runs", "pools"} <= set(findings)
    assert {finding["verdict"] for finding in findings.values()} <= {"ok", "warning"}


def test_what_blocks_has_a_hint_and_a_status(home: Home) -> None:
    home.configure(SMALL + "\n[automation]\nmin_free_bytes = 1_000_000_000_000_000_000\n")
    status, findings = examined(home)
    assert (status, findings["data folder"]["verdict"]) == (1, "blocks")
    assert "MINICODE_DATA" in findings["data folder"]["hint"]
    home.configure("[corpus]\nmax_linez = 3\n")
    status, findings = examined(home)
    assert (status, findings["configuration"]["verdict"]) == (1, "blocks")
    status, findings = examined(home, PATH=str(Path(sys.executable).parent))
    assert (status, findings["git"]["verdict"]) == (1, "blocks")


@pytest.mark.slow
def test_the_slot_of_a_killed_run_is_freed(home: Home) -> None:
    """SIGKILL while a step holds a pool's slot; the doctor marks the run, frees the slot and removes the left-overs."""
    home.minicode("init")
    (home.data / "corpus" / ".partial-x").mkdir(parents=True)
    victim = subprocess.Popen(
        [sys.executable, "-c", HOLD_A_SLOT], env=home.environment, cwd=ROOT, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert victim.stdout
    run_id = victim.stdout.readline().strip()
    _, alive = examined(home)
    assert "memory 1 of" in alive["pools"]["found"]
    assert alive["killed runs"]["found"].startswith("0 marked")
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    status, findings = examined(home)
    assert status == 0
    assert findings["killed runs"]["found"].startswith("1 marked")
    assert "memory 0 of" in findings["pools"]["found"]
    assert not (home.data / "corpus" / ".partial-x").exists()
    with dg.DagsterInstance.from_config(str(home.root / "dagster_home")) as instance:
        run = instance.get_run_by_id(run_id)
        assert run
        assert run.status == dg.DagsterRunStatus.FAILURE


@pytest.mark.slow
def test_prune_keeps_what_made_the_present(finished: Home, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)
    home.minicode("materialize", "--select", "evaluation", "--force")
    with dg.DagsterInstance.from_config(str(home.root / "dagster_home")) as instance:
        num_runs = instance.get_runs_count()
        deleted, kept = prune_runs(instance, days=-1)
        assert deleted + kept == num_runs
        assert kept > 0
        assert instance.get_runs_count() == kept
    assert ": 0 asset partition(s) made" in home.minicode("materialize").stderr
