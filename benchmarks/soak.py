"""200 runs and 2,000 materialisations on SQLite and on PostgreSQL, with parallel backfills, then the UI's own queries.

Four processes execute runs of ten assets at the same time, while Dagster's daemon works through two backfills of the
same assets. At the end every event is counted: none lost, none twice, no run without its end, no lock error in any
log; and the queries behind the UI's pages are timed. Prints JSON, and with the full number of runs keeps it in
benchmarks/results/<date>-soak.json beside the other storage's.

    python benchmarks/soak.py --storage sqlite       # some 10 minutes each on two cores
    python benchmarks/soak.py --storage postgres
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
from machine import keep
from servers import BIN, ROOT, background, free_ports, graphql, launch_backfill, status_of, wait

sys.path.insert(0, str(ROOT))

NUM_RUNS = 200
ASSET_NAMES = [f"asset_{index}" for index in range(10)]
NUM_ASSETS = len(ASSET_NAMES)
NUM_PROCESSES = 4
PARTITIONS = [f"p{index:02d}" for index in range(20)]
BACKFILLED = [f"b{index:02d}" for index in range(8)]
"""Partitions that only the two backfills make: half each, so that their runs overlap in time and not in keys."""
LOCKED = ("database is locked", "OperationalError", "DeadlockDetected", "QueuePool limit")
QUERIES = {
    "runs": "{ runsOrError(limit: 25) { ... on Runs { results { "
    "runId status startTime endTime tags { key value } } } } }",
    "asset graph": "{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { timestamp runId } } }",
    "partitions of an asset": '{ assetNodeOrError(assetKey: {path: ["asset_0"]}) { ... on AssetNode { '
    "assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions } } } } }",
    "events of an asset": '{ assetOrError(assetKey: {path: ["asset_0"]}) { ... on Asset { '
    "assetMaterializations(limit: 100) { timestamp partition metadataEntries { label } } } } }",
    "checks of an asset": '{ assetNodeOrError(assetKey: {path: ["asset_0"]}) { ... on AssetNode { '
    "assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } } }",
    "backfills": "{ partitionBackfillsOrError(limit: 25) { ... on PartitionBackfills { results { id status } } } }",
}


def _asset(index: int) -> dg.AssetsDefinition:
    check = dg.AssetCheckSpec("rows", asset=f"asset_{index}")

    @dg.asset(
        name=f"asset_{index}", partitions_def=dg.StaticPartitionsDefinition(PARTITIONS + BACKFILLED),
        deps=[f"asset_{index - 1}"] if index else [], check_specs=[check],
    )  # fmt: skip
    def compute():  # type: ignore[no-untyped-def]
        return dg.MaterializeResult(
            metadata={"rows": index}, check_results=[dg.AssetCheckResult(check_name="rows", passed=True)]
        )

    return compute


defs = dg.Definitions(assets=[_asset(index) for index in range(NUM_ASSETS)], executor=dg.in_process_executor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", choices=["sqlite", "postgres"], required=True)
    parser.add_argument("--num-runs", type=int, default=NUM_RUNS)
    parser.add_argument("--worker", type=int, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        return work(options.worker, options.num_runs)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="minicode-soak-", dir="/tmp")))
        result = soak(stack, root, options)
    print(json.dumps(result, indent=1))
    if options.num_runs == NUM_RUNS:
        keep("soak", options.storage, result)
    sys.exit(0 if not result["problems"] else 1)


def soak(stack: ExitStack, root: Path, options: argparse.Namespace) -> dict[str, Any]:
    from tests.defs.postgres_server import postgres_server

    environment = os.environ | {"DAGSTER_HOME": str(root / "home"), "PYTHONPATH": str(ROOT / "benchmarks")}
    profile = ROOT / "dagster_home" / "dagster.yaml"
    if options.storage == "postgres":
        environment |= stack.enter_context(postgres_server())
        profile = ROOT / "deploy" / "postgres" / "dagster.yaml"
    (root / "home").mkdir()
    shutil.copy(profile, root / "home" / "dagster.yaml")
    os.environ |= environment
    subprocess.run([BIN / "minicode", "init"], env=environment, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/graphql"
    serve = [BIN / "dagster-webserver", "-h", "127.0.0.1", "-p", port, "-f", __file__]
    stack.enter_context(background(serve, environment, root / "web.log"))
    stack.enter_context(background([BIN / "dagster-daemon", "run", "-f", __file__], environment, root / "daemon.log"))
    wait(lambda: graphql(url, "{ version }"), timeout_s=120, what="the web server")
    started = time.monotonic()
    backfills = [launch_backfill(url, ASSET_NAMES, BACKFILLED[half::2]) for half in (0, 1)]
    workers = [worker(environment, root, index, options) for index in range(NUM_PROCESSES)]
    statuses = [process.wait() for process in workers]
    runs_s = time.monotonic() - started
    wait(lambda: all(ended(url, name) for name in backfills), timeout_s=900, what="the backfills")
    times = {name: timed(url, query) for name, query in QUERIES.items()}
    problems = count_events(options.num_runs) + [f"worker ended with {status}" for status in statuses if status]
    problems += [f"{log.name}: {word}" for log in root.glob("*.log") for word in LOCKED if word in log.read_text()]
    problems += [f"query {name}: {figures['max_s']} s" for name, figures in times.items() if figures["max_s"] >= 1]
    return {
        "storage": options.storage, "num_runs": options.num_runs, "runs_s": round(runs_s, 1),
        "runs_and_backfills_s": round(time.monotonic() - started, 1), "num_backfilled_runs": len(BACKFILLED),
        "queries": times, "problems": problems,
    }  # fmt: skip


def worker(environment: dict[str, str], root: Path, index: int, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--storage", options.storage, "--num-runs", str(options.num_runs)]
    with (root / f"worker-{index}.log").open("w") as log:
        return subprocess.Popen(
            [*command, "--worker", str(index)], env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )


def work(index: int, num_runs: int) -> None:
    """One process's share of the runs: each makes all assets of one partition."""
    job = defs.resolve_implicit_global_asset_job_def()
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.get() as instance:
        for number in range(index, num_runs, NUM_PROCESSES):
            key = PARTITIONS[number % len(PARTITIONS)]
            tags = {"soak": str(number)}
            assert job.execute_in_process(instance=instance, partition_key=key, tags=tags, run_config=quiet).success


def ended(url: str, backfill: str) -> bool:
    status = status_of(url, backfill)["status"]
    assert status in ("REQUESTED", "COMPLETED_SUCCESS"), status
    return bool(status == "COMPLETED_SUCCESS")


def timed(url: str, query: str) -> dict[str, float]:
    seconds = []
    for _ in range(5):
        started = time.monotonic()
        graphql(url, query)
        seconds.append(time.monotonic() - started)
    return {"median_s": round(statistics.median(seconds), 3), "max_s": round(max(seconds), 3)}


def count_events(num_runs: int) -> list[str]:
    """What the storage lost or holds twice; empty when every event is there once."""
    problems = []
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs()
        expected = num_runs + len(BACKFILLED)
        if len(runs) != expected:
            problems.append(f"{len(runs)} runs, expected {expected}")
        problems += [f"run {run.run_id}: {run.status}" for run in runs if run.status != dg.DagsterRunStatus.SUCCESS]
        for run in runs:
            kinds = Counter(
                entry.dagster_event.event_type_value for entry in instance.all_logs(run.run_id) if entry.dagster_event
            )
            found = [kinds[name] for name in ("ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION", "PIPELINE_SUCCESS")]
            if found != [NUM_ASSETS, NUM_ASSETS, 1]:
                problems.append(f"run {run.run_id}: materialisations, checks, ends {found}")
        for index in range(NUM_ASSETS):
            key = dg.AssetKey(f"asset_{index}")
            counts = Counter(
                record.partition_key for record in instance.fetch_materializations(key, limit=10_000).records
            )
            wanted = Counter(PARTITIONS[number % len(PARTITIONS)] for number in range(num_runs)) + Counter(BACKFILLED)
            if counts != wanted:
                problems.append(
                    f"{key.to_user_string()}: materialisations {counts - wanted} too many, {wanted - counts} lost"
                )
    return problems


if __name__ == "__main__":
    main()
