"""The whole graph on a local Ray cluster of two simulated nodes that share a bucket and a database, nothing else.

Starts PostgreSQL, an S3 server, two Ray nodes (each with a data folder of its own), Dagster's daemon and web server
with deploy/ray/dagster.yaml; launches everything as one backfill; kills the worker of one run half-way; waits; and
compares every artefact's digest with those of `minicode materialize` in one process. Prints JSON.

    python benchmarks/ray_cluster.py --config small.toml
"""

import argparse
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import obstore
from obstore.store import from_url
from servers import BIN, ROOT, UNDER_WAY, asset_names, background, free_ports, graphql, launch_backfill, status_of, wait

sys.path.insert(0, str(ROOT))

from minicode_model.artifact import open_artifact, parse_manifest
from tests.defs.postgres_server import postgres_server
from tests.s3_server import s3_server

NODES = """
import os, signal, sys
from ray.cluster_utils import Cluster
port, *folders = sys.argv[1:]
shared = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={
    **shared, "include_dashboard": True, "dashboard_port": int(port), "dashboard_host": "127.0.0.1",
    "env_vars": {"MINICODE_DATA": folders[0]}})
cluster.add_node(**shared, env_vars={"MINICODE_DATA": folders[1]})
print("ready", flush=True)
signal.sigwait([signal.SIGTERM])
cluster.shutdown()
"""
RUNS = """{ runsOrError { ... on Runs { results { runId status startTime endTime
  tags { key value } assetSelection { path } } } } }"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="overrides of the tiny preset, as TOML")
    parser.add_argument("--select", nargs="*", default=[], help="assets (default: all)")
    parser.add_argument("--kill", action="store_true", help="kill the worker of one run half-way")
    parser.add_argument("--timeout-s", type=float, default=1500.0)
    options = parser.parse_args()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="minicode-ray-", dir="/tmp")))
        environment = stack.enter_context(services(root, options.config))
        started = time.monotonic()
        result = backfill(environment, options, root)
        result["backfill_s"] = round(time.monotonic() - started, 1)
        result |= compare(environment, options, root)
    print(json.dumps(result, indent=1))
    sys.exit(0 if result["same_bytes"] and result["status"] == "COMPLETED_SUCCESS" else 1)


@contextmanager
def services(root: Path, config: Path) -> Iterator[dict[str, str]]:
    """Everything that a cluster has, on loopback; yields the environment of its processes."""
    with ExitStack() as stack:
        environment = os.environ | stack.enter_context(postgres_server())
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        endpoint = stack.enter_context(s3_server("lake"))
        home = root / "dagster_home"
        home.mkdir()
        shutil.copy(ROOT / "deploy" / "ray" / "dagster.yaml", home)
        dashboard, web = free_ports(2)
        environment |= {
            "PATH": f"{BIN}:{os.environ['PATH']}", "DAGSTER_HOME": str(home), "MINICODE_PRESET": "tiny",
            "MINICODE_CONFIG": str(config.absolute()), "MINICODE_STORAGE": "s3://lake/minicode",
            "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "someone", "AWS_REGION": "us-east-1",
            "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ALLOW_HTTP": "true", "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}", "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        os.environ |= {name: value for name, value in environment.items() if name.startswith("AWS_")}
        folders = [str(root / name) for name in ("node-1", "node-2")]
        nodes = [sys.executable, "-c", NODES, str(dashboard), *folders]
        stack.enter_context(background(nodes, environment, root / "ray.log", ready="ready"))
        subprocess.run([BIN / "minicode", "init"], env=environment, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        environment["GRAPHQL"] = f"http://127.0.0.1:{web}/graphql"
        serve = [BIN / "dagster-webserver", "-h", "127.0.0.1", "-p", str(web), "-m", "minicode_assets.definitions"]
        stack.enter_context(background(serve, environment, root / "web.log"))
        daemon = [BIN / "dagster-daemon", "run", "-m", "minicode_assets.definitions"]
        stack.enter_context(background(daemon, environment, root / "daemon.log"))
        wait(lambda: asset_names(environment["GRAPHQL"]), timeout_s=120, what="the web server")
        yield environment


def backfill(environment: dict[str, str], options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Launch everything as one backfill, kill one worker if asked, and wait for the end."""
    url = environment["GRAPHQL"]
    backfill_id = launch_backfill(url, options.select or asset_names(url))
    killed = 0
    deadline = time.monotonic() + options.timeout_s
    while time.monotonic() < deadline:
        found = status_of(url, backfill_id)
        if found["status"] not in UNDER_WAY:
            break
        if options.kill and not killed:
            killed = kill_a_worker(environment)
        time.sleep(1)
    runs = graphql(environment["GRAPHQL"], RUNS)["runsOrError"]["results"]
    retries = sum(any(tag["key"] == "dagster/parent_run_id" for tag in run["tags"]) for run in runs)
    return {
        "status": found["status"], "error": found["error"], "num_runs": len(runs), "num_killed": killed,
        "num_retries": retries, "num_failed_runs": sum(run["status"] == "FAILURE" for run in runs),
    }  # fmt: skip


def kill_a_worker(environment: dict[str, str]) -> int:
    """SIGKILL the process of a run that is under way (past the first asset, so that something is half done)."""
    runs = graphql(environment["GRAPHQL"], RUNS)["runsOrError"]["results"]
    busy = [
        run["runId"]
        for run in runs
        if run["status"] == "STARTED" and {"path": ["archive"]} not in run["assetSelection"]
    ]
    for run in busy:
        found = subprocess.run(["pgrep", "-f", f"execute_run.*{run}"], capture_output=True, text=True, check=False)
        for pid in found.stdout.split():
            if b"python" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                os.kill(int(pid), signal.SIGKILL)
                return 1
    return 0


def compare(environment: dict[str, str], options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Digests in the bucket beside those of one process in one folder."""
    single = environment | {
        "MINICODE_STORAGE": "",
        "MINICODE_DATA": str(root / "single"),
        "DAGSTER_HOME": str(root / "h"),
    }
    Path(single["DAGSTER_HOME"]).mkdir()
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", single["DAGSTER_HOME"])
    started = time.monotonic()
    select = ["--select", ",".join(options.select)] if options.select else []
    subprocess.run([BIN / "minicode", "--quiet", "materialize", *select], env=single, check=True, cwd=ROOT)
    seconds = time.monotonic() - started
    here = {
        path.parent.relative_to(root / "single").as_posix(): open_artifact(path.parent).digest
        for pattern in ("*/manifest.json", "*/*-of-*/manifest.json")
        for path in (root / "single").glob(pattern)
    }
    there = bucket_digests(environment)
    nodes = {n: sum(1 for _ in (root / n).rglob("manifest.json")) for n in ("node-1", "node-2") if (root / n).exists()}
    return {
        "single_process_s": round(seconds, 1), "num_artefacts": len(here), "same_bytes": here == there,
        "different": sorted(name for name in here | there if here.get(name) != there.get(name)),
        "artefacts_on_node": nodes, "cpus": os.cpu_count(), "config": tomllib.loads(options.config.read_text()),
    }  # fmt: skip


def bucket_digests(environment: dict[str, str]) -> dict[str, str]:
    store = from_url("s3://lake/minicode")
    paths = [entry["path"] for page in obstore.list(store) for entry in page]
    named = [path for path in paths if path.endswith("/manifest.json") and "/generations/" not in path]
    return {
        path.removesuffix("/manifest.json"): parse_manifest(Path(path), bytes(obstore.get(store, path).bytes())).digest
        for path in named
    }


if __name__ == "__main__":
    main()
