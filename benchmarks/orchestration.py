"""What Dagster costs here: loading, `dagster dev`, a step by each executor, a run by the daemon, the whole graph.

    .venv/bin/python benchmarks/orchestration.py load ready steps      # under two minutes
    .venv/bin/python benchmarks/orchestration.py overhead              # `minicode materialize`, tiny preset: 7 minutes
    .venv/bin/python benchmarks/orchestration.py overhead_small        # of the tests' small configuration, 1 minute
    .venv/bin/python benchmarks/orchestration.py backfill              # "Materialize all" by the daemon, some minutes
    .venv/bin/python benchmarks/orchestration.py kills                 # the same while parts of it are killed in turn
    .venv/bin/python benchmarks/orchestration.py reload                # the code location is reloaded during training

Every part works in a temporary DAGSTER_HOME and data folder. Results go to
benchmarks/results/<date>-orchestration.json, each with date, commit and hardware; measured again, a part is replaced.
"""

import argparse
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from machine import keep, machine
from servers import BIN, RUN_ENDS, UNDER_WAY, Services, asset_names, dev, graphql, launch_backfill, status_of, wait

ROOT = Path(__file__).parents[1]
NUM_STEPS = 8
SMALL = (ROOT / "tests" / "conftest.py").read_text().split('SMALL = """')[1].split('"""')[0]
"""The small archive and model of the test suite."""

CHAIN = f"""
import dagster as dg
assets = []
for index in range({NUM_STEPS}):
    @dg.asset(name=f"a{{index}}", deps=[f"a{{index - 1}}"] if index else [], code_version="1")
    def _asset():
        return dg.MaterializeResult(metadata={{"dagster/row_count": 1}})
    assets.append(_asset)
in_process = dg.define_asset_job("in_process", selection="*", executor_def=dg.in_process_executor)
multiprocess = dg.define_asset_job("multiprocess", selection="*", executor_def=dg.multiprocess_executor)
defs = dg.Definitions(assets=assets, jobs=[in_process, multiprocess])
"""


def environment(home: Path, overrides: str = "") -> dict[str, str]:
    """Variables of a fresh home with the repository's dagster.yaml."""
    (home / "dagster_home").mkdir(exist_ok=True)
    (home / "dagster_home" / "dagster.yaml").write_text((ROOT / "dagster_home" / "dagster.yaml").read_text())
    (home / "overrides.toml").write_text(overrides)
    return os.environ | {
        "DAGSTER_HOME": str(home / "dagster_home"),
        "MINICODE_DATA": str(home / "data"),
        "MINICODE_CONFIG": str(home / "overrides.toml"),
        "MINICODE_PRESET": "tiny",
        "DAGSTER_BACKFILL_RETRY_DEFINITION_CHANGED_ERROR": "1",  # as `make dev`
    }


def timed(*command: str, env: dict[str, str], best_of: int = 1) -> float:
    """The shortest wall time of a command. Unit: seconds."""
    found = []
    for _ in range(best_of):
        started = time.monotonic()
        subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True)
        found.append(time.monotonic() - started)
    return round(min(found), 2)


def load(home: Path) -> dict[str, Any]:
    """Loading the definitions, process start included; beside it, Dagster alone and Python alone."""
    env = environment(home)
    modules = {"python": "sys", "dagster": "dagster", "definitions": "minicode_assets.definitions"}
    return {
        f"{name}_s": timed(sys.executable, "-c", f"import {module}", env=env, best_of=3)
        for name, module in modules.items()
    }


def ready(home: Path) -> dict[str, Any]:
    """From `dagster dev` to an answer that lists the assets, and from its SIGTERM to its end."""
    env = environment(home)
    subprocess.run([str(BIN / "minicode"), "init"], env=env, check=True, capture_output=True)
    started = time.monotonic()
    with dev(home, env):
        ready_s = time.monotonic() - started
        stopping = time.monotonic()
    return {"ready_s": round(ready_s, 2), "stopped_s": round(time.monotonic() - stopping, 2)}


def steps(home: Path) -> dict[str, Any]:
    """The cost of a step that does nothing, by executor, on SQLite: mean of the gaps between steps of one run."""
    (home / "chain.py").write_text(CHAIN)
    env = environment(home) | {"PYTHONPATH": str(home)}
    subprocess.run([str(BIN / "minicode"), "init"], env=env, check=True, capture_output=True)
    found = {}
    for job in ("in_process", "multiprocess"):
        command = [str(BIN / "dagster"), "job", "execute", "-m", "chain", "-j", job]
        found[f"{job}_command_s"] = timed(*command, env=env)
        found[f"{job}_step_s"] = round(_step_gap(home / "dagster_home"), 3)
    return found


def _step_gap(dagster_home: Path) -> float:
    """Seconds from the first step's start to the last one's end, a step, in the newest run of an instance."""
    newest = max((dagster_home / "history" / "runs").glob("*-*.db"), key=lambda path: path.stat().st_mtime)
    with sqlite3.connect(newest) as log:
        rows = log.execute(
            "SELECT dagster_event_type, timestamp FROM event_logs "
            "WHERE dagster_event_type IN ('STEP_START', 'STEP_SUCCESS')"
        ).fetchall()
    moments = [datetime.fromisoformat(when).timestamp() for _, when in rows]
    assert len(moments) == 2 * NUM_STEPS
    return (max(moments) - min(moments)) / NUM_STEPS


def overhead(home: Path) -> dict[str, Any]:
    """The whole tiny preset by `minicode materialize`: wall time, and how much of it the stages took."""
    return _overhead(environment(home), home)


def overhead_small(home: Path) -> dict[str, Any]:
    """The tests' small configuration, where the stages have least to do, and its library calls without Dagster.

    Processor time of both says what the wall time of a busy machine can't.
    """
    env = environment(home, SMALL)
    figures = _overhead(env, home)
    without = spent(sys.executable, "-c", WITHOUT_DAGSTER, env=env | {"MINICODE_DATA": str(home / "without")})
    assert digests(home / "data") == digests(home / "without")
    return figures | {
        "without_dagster_wall_s": without[0],
        "without_dagster_processor_s": without[1],
        "overhead_fraction_of_processor_time": round(1 - without[1] / figures["processor_s"], 3),
    }


def _overhead(env: dict[str, str], home: Path) -> dict[str, Any]:
    wall, processor = spent(str(BIN / "minicode"), "materialize", env=env)
    worked = _library_seconds(home, env)
    again = spent(str(BIN / "minicode"), "materialize", env=env)
    return {
        "wall_s": wall,
        "processor_s": processor,
        "stages_s": round(sum(worked), 2),
        "asset_partitions": len(worked),
        "overhead_fraction": round(1 - sum(worked) / wall, 3),
        "second_call_wall_s": again[0],
        "second_call_processor_s": again[1],
    }


WITHOUT_DAGSTER = """
from graphlib import TopologicalSorter
from minicode_assets.definitions import stages
from minicode_assets.defs.settings import from_environment
from minicode_assets.defs.stage import StageRun, keys_of
from minicode_assets.layout import Layout

settings = from_environment()
config, layout = settings.config, Layout(settings.data_folder)
every = {stage.name: stage for stage in stages(config)}
for name in TopologicalSorter({name: stage.deps for name, stage in every.items()}).static_order():
    for key in keys_of(config, name) or [""]:
        every[name].compute(StageRun(config, layout, name, key))
"""
"""Every stage's compute function: what `minicode materialize` does, less what Dagster is for."""


def spent(*command: str, env: dict[str, str]) -> tuple[float, float]:
    """Wall time of a command, and processor time of it and of what it starts. Unit: seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = timed(*command, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)


def _library_seconds(home: Path, env: dict[str, str]) -> list[float]:
    """What each materialisation of an instance says of itself: the time inside the library call."""
    code = (
        "import dagster as dg, json\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    found = [instance.fetch_materializations(key, limit=500).records for key in instance.all_asset_keys()]\n"
        "    events = [record.asset_materialization for records in found for record in records]\n"
        "    print(json.dumps([event.metadata['seconds'].value for event in events]))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    found: list[float] = json.loads(done.stdout)
    return found


def backfill(home: Path) -> dict[str, Any]:
    """What "Materialize all" in the web UI starts: one backfill, by the daemon, from an empty data folder."""
    env = environment(home, SMALL)
    subprocess.run([str(BIN / "minicode"), "init"], env=env, check=True, capture_output=True)
    with dev(home, env) as url:
        started = time.monotonic()
        backfill_id = launch_backfill(url, asset_names(url))
        while (found := status_of(url, backfill_id))["status"] in UNDER_WAY:
            time.sleep(1)
        wall = time.monotonic() - started
    runs = found["runs"]
    return {
        "status": found["status"],
        "wall_s": round(wall, 1),
        "library_s": round(sum(_library_seconds(home, env)), 1),
        "num_runs": len(runs),
        "run_s": round(sum(run["endTime"] - run["startTime"] for run in runs if run["endTime"]), 1),
        "run_statuses": sorted({run["status"] for run in runs}),
    }


def kills(home: Path) -> dict[str, Any]:
    """SIGKILL for a worker, the daemon, the web server and the code server in turn, each during one backfill.

    Web server, daemon and code server are processes of their own and are started again right after; the worker is left
    to run monitoring. Afterwards: what the backfill says, what was made more than once, and whether the bytes are those
    of an undisturbed `minicode materialize`.
    """
    env = environment(home, SMALL)
    subprocess.run([str(BIN / "minicode"), "init"], env=env, check=True, capture_output=True)
    services = Services(home, env)
    try:
        wait(lambda: asset_names(services.url), timeout_s=120, what="the code location")
        backfill_id = launch_backfill(services.url, asset_names(services.url))
        started, killed = time.monotonic(), []
        victims = ["worker", "daemon", "web", "code"]
        while (found := status_of(services.url, backfill_id))["status"] in UNDER_WAY:
            if victims and services.kill(victims[0], found["runs"]):
                killed.append(victims.pop(0))
            time.sleep(0.3)
        wall = time.monotonic() - started
    finally:
        services.stop()
    peer = home / "undisturbed"
    peer.mkdir()
    subprocess.run(
        [str(BIN / "minicode"), "materialize"], env=environment(peer, SMALL), check=True, capture_output=True
    )
    made = materialisations(env)
    return {
        "status": found["status"],
        "wall_s": round(wall, 1),
        "killed": killed,
        "runs": {status: sum(run["status"] == status for run in found["runs"]) for status in RUN_ENDS},
        "made_more_than_once": sorted(name for name, count in made.items() if count > 1),
        "same_bytes": digests(home / "data") == digests(peer / "data"),
    }


LAUNCH_RUN = """mutation($run: ExecutionParams!) { launchRun(executionParams: $run) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
RELOAD = """mutation { reloadRepositoryLocation(repositoryLocationName: "minicode") { __typename } }"""


def reload(home: Path) -> dict[str, Any]:
    """The code location is reloaded while a run waits for training in a process of its own (Pipes)."""
    long = SMALL.replace("max_steps = 30", 'launcher = "process"\nmax_steps = 200')
    env = environment(home, long)
    subprocess.run([str(BIN / "minicode"), "materialize", "--select", '+key:"token_shards"'], env=env, check=True)
    checkpoint = {
        "mode": "default", "executionMetadata": {"tags": []}, "runConfigData": {},
        "selector": {
            "repositoryLocationName": "minicode", "repositoryName": "__repository__", "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["checkpoint"]}],
        },
    }  # fmt: skip
    work = home / "data" / ".work"
    with dev(home, env) as url:
        run_id = graphql(url, LAUNCH_RUN, run=checkpoint)["launchRun"]["run"]["runId"]
        while not (pids := list(work.rglob("pid"))):
            time.sleep(0.1)
        before = pids[0].read_text()
        reloaded = graphql(url, RELOAD)["reloadRepositoryLocation"]["__typename"]
        during = graphql(url, RUN, id=run_id)["runOrError"]["status"]
        while (status := graphql(url, RUN, id=run_id)["runOrError"]["status"]) not in RUN_ENDS:
            time.sleep(0.5)
    return {
        "reloaded": reloaded, "status_right_after": during, "status": status,
        "same_process": pids[0].read_text() == before,
        "steps": json.loads((home / "data" / "checkpoint" / "manifest.json").read_text())["metadata"]["steps"],
        "curves_shown": in_instance(env, CURVES),
    }  # fmt: skip


CURVES = "print(len(instance.fetch_observations(dg.AssetKey('checkpoint'), limit=100).records))"


def in_instance(env: dict[str, str], code: str) -> Any:
    """What some lines print as JSON, run with the instance of an environment."""
    lines = "import dagster as dg, json\ninstance = dg.DagsterInstance.get()\n" + code
    done = subprocess.run([sys.executable, "-c", lines], env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def materialisations(env: dict[str, str]) -> dict[str, int]:
    """How often each asset partition was made."""
    code = (
        "found = {}\n"
        "for key in instance.all_asset_keys():\n"
        "    for record in instance.fetch_materializations(key, limit=500).records:\n"
        "        name = f'{key.path[-1]} {record.partition_key or str()}'\n"
        "        found[name] = found.get(name, 0) + 1\n"
        "print(json.dumps(found))"
    )
    found: dict[str, int] = in_instance(env, code)
    return found


def digests(data: Path) -> dict[str, str]:
    """Digest of every artefact below a data folder."""
    found = [*data.glob("*/manifest.json"), *data.glob("*/*-of-*/manifest.json")]
    return {path.parent.relative_to(data).as_posix(): json.loads(path.read_text())["digest"] for path in found}


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    part.__name__: part for part in (load, ready, steps, overhead, overhead_small, backfill, kills, reload)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", default=["load", "ready", "steps"], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it, to look at logs")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would dev
    for name in options.parts:
        with tempfile.TemporaryDirectory() as scratch:
            home = options.keep or Path(scratch)
            home.mkdir(exist_ok=True, parents=True)
            figures = machine() | PARTS[name](home)
        print(name, json.dumps(keep("orchestration", name, figures)))


if __name__ == "__main__":
    main()
