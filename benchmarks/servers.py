"""Dagster's servers as processes of their own, for the benchmarks that need them, and questions to them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
LAUNCH = """mutation($backfill: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $backfill) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  __typename ... on PartitionBackfill { status error { message } runs(limit: 500) {
    status startTime endTime tags { key value } } } } }"""
UNDER_WAY = ("REQUESTED", "CANCELING")
RUN_ENDS = ("SUCCESS", "FAILURE", "CANCELED")
PROCESS = "minicode/process"
"""The tag that says which process works on a run."""


def graphql(url: str, query: str, **variables: Any) -> dict[str, Any]:
    """The data of a web server's answer to GraphQL."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    assert "errors" not in answer, answer
    return answer["data"]


def asset_names(url: str) -> list[str]:
    """Names of the location's assets; none while the web server or the location isn't ready."""
    with suppress(OSError):
        nodes = graphql(url, "{ assetNodes { assetKey { path } } }")["assetNodes"]
        return [node["assetKey"]["path"][-1] for node in nodes]
    return []


def launch_backfill(url: str, assets: list[str], keys: list[str] | None = None) -> str:
    """Ask for these partitions (default: all) of these assets; the backfill's id."""
    parameters = {"assetSelection": [{"path": [name]} for name in assets]}
    partitions = {"partitionNames": keys} if keys else {"allPartitions": True}
    launched = graphql(url, LAUNCH, backfill=parameters | partitions)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    return str(launched["backfillId"])


def status_of(url: str, backfill_id: str) -> dict[str, Any]:
    """A backfill and its runs, as the web server tells it; asked again while that is away."""
    while True:
        with suppress(OSError):
            found: dict[str, Any] = graphql(url, STATUS, id=backfill_id)["partitionBackfillOrError"]
            return found
        time.sleep(0.5)


def wait(done: Callable[[], Any], *, timeout_s: float, what: str) -> None:
    """Ask until it is done; a server that can't be reached isn't."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with suppress(OSError):
            if done():
                return
        time.sleep(0.1)
    raise SystemExit(f"{what}: not ready after {timeout_s} s")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found


@contextmanager
def background(command: list[Any], env: Mapping[str, str], log: Path, *, ready: str = "") -> Iterator[None]:
    """Run a server until the block ends, then stop it and all that it started."""
    with log.open("w") as stream:
        process = subprocess.Popen(
            [str(part) for part in command], env=env, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        if ready:
            wait(lambda: ready in log.read_text() or process.poll() is not None, timeout_s=120, what=str(log))
        assert process.poll() is None, log.read_text()[-3000:]
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def dev(home: Path, env: Mapping[str, str]) -> Iterator[str]:
    """`dagster dev` on a free port, from its answer to GraphQL with the location loaded until its end."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/graphql"
    command = [BIN / "dagster", "dev", "-h", "127.0.0.1", "-p", port, "-w", "workspace.yaml"]
    with background(command, env, home / "dev.log"):
        wait(lambda: asset_names(url), timeout_s=120, what="dagster dev")
        yield url


class Services:
    """Code server, web server and daemon as three processes on free loopback ports."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self.home, self.env, (web_port, code_port) = home, env, free_ports(2)
        self.url = f"http://127.0.0.1:{web_port}/graphql"
        server = {"host": "127.0.0.1", "port": code_port, "location_name": "minicode"}
        (home / "workspace.yaml").write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
        where, module = ["-h", "127.0.0.1", "-p"], ["-m", "minicode_assets.definitions"]
        workspace = ["-w", str(home / "workspace.yaml")]
        self.commands = {
            "code": ["dagster", "code-server", "start", *where, str(code_port), *module],
            "web": ["dagster-webserver", *where, str(web_port), *workspace],
            "daemon": ["dagster-daemon", "run", *workspace],
        }
        self.next_after = 1
        self.running = {name: self.start(name) for name in self.commands}

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """Start one of them; its output is in `<name>.log`."""
        command, *arguments = self.commands[name]
        with (self.home / f"{name}.log").open("a") as log:
            return subprocess.Popen([str(BIN / command), *arguments], env=self.env, cwd=ROOT, stdout=log, stderr=log)

    def kill(self, victim: str, runs: list[dict[str, Any]]) -> bool:
        """Kill one and start it again, if a step is under way and a run ended since the last kill."""
        num_ended = sum(run["status"] in RUN_ENDS for run in runs)
        workers = [
            tag["value"] for run in runs if run["status"] == "STARTED" for tag in run["tags"] if tag["key"] == PROCESS
        ]
        if not workers or num_ended < self.next_after:
            return False
        self.next_after = num_ended + 1
        if victim == "worker":
            with suppress(ProcessLookupError):
                os.kill(int(workers[0].partition("-")[0]), signal.SIGKILL)
                return True
            return False
        self.running[victim].kill()
        self.running[victim].wait()
        self.running[victim] = self.start(victim)
        return True

    def stop(self) -> None:
        """End all three."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(60)
