"""A run on Ray: the launcher of deploy/ray, a local cluster, a real job of this project."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import dagster as dg
import pytest
import yaml

from tests.conftest import ROOT, Home

pytestmark = pytest.mark.slow
pytest.importorskip("ray", reason="needs the extra `cluster`")
BIN = Path(sys.executable).parent
CLUSTER = """
import os, signal, sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={
    "num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": True, "dashboard_host": "127.0.0.1",
    "dashboard_port": int(sys.argv[1])})
print("ready", flush=True)
signal.sigwait([signal.SIGTERM])
cluster.shutdown()
"""


@pytest.fixture
def cluster(home: Home) -> Iterator[str]:
    """The address of a cluster of one node, stopped with all that it started."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = home.environment | {"PATH": f"{BIN}:/usr/bin:/bin", "RAY_USAGE_STATS_ENABLED": "0"}
    with (home.root / "ray.log").open("w+") as log:
        node = subprocess.Popen(
            [sys.executable, "-c", CLUSTER, str(port)], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            while "ready" not in (home.root / "ray.log").read_text():
                assert node.poll() is None, (home.root / "ray.log").read_text()
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            node.terminate()
            node.wait(60)


def test_a_run_is_a_job_of_the_cluster(home: Home, cluster: str) -> None:
    """The shipped launcher block, SQLite in the place of PostgreSQL: one machine. The asset is the opt-out list."""
    profile = yaml.safe_load((ROOT / "deploy" / "ray" / "dagster.yaml").read_text())
    del profile["storage"]
    profile["run_launcher"]["config"]["ray"]["env_vars"] += ["MINICODE_DATA", f"PYTHONPATH={ROOT}"]
    profile["run_coordinator"] = {"module": "dagster.core.run_coordinator", "class": "DefaultRunCoordinator"}
    (home.root / "dagster_home" / "dagster.yaml").write_text(yaml.safe_dump(profile))
    environment = {"RAY_API_SERVER_ADDRESS": cluster, "MINICODE_STORAGE": ""}
    environment |= dict.fromkeys(("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD"), "none")
    choice = {"ops": {"materialize": {"config": {"select": "opt_out"}}}}
    command = ["job", "launch", "-m", "minicode_assets.definitions", "-j", "ingestion", "--config-json"]
    home.run(str(BIN / "dagster"), *command, json.dumps(choice), env=environment)
    with dg.DagsterInstance.local_temp(str(home.root / "dagster_home")) as instance:
        deadline = time.monotonic() + 150
        while len(runs := instance.get_runs()) < 2 or not all(run.is_finished for run in runs):
            assert time.monotonic() < deadline, [(run.job_name, run.status) for run in runs]
            time.sleep(0.2)
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    while (job := json.loads(urlopen(f"{cluster}/api/jobs/").read())[0])["status"] == "RUNNING":
        assert time.monotonic() < deadline, job
        time.sleep(0.2)
    assert (job["status"], job["entrypoint"].split()[:3]) == ("SUCCEEDED", ["dagster", "api", "execute_run"])
    assert (home.data / "opt_out" / "manifest.json").exists()
