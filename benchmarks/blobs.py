"""Blobs a second end to end (fetch, gunzip, two hashes, store) from a bucket on loopback, and the memory it takes.

    .venv/bin/python benchmarks/blobs.py --blobs 10000 --many 200000
    .venv/bin/python benchmarks/blobs.py --memory 10000 200000 400000     # peaks only: no matter what else runs

Each measurement runs in a process of its own. The peer, in the same run, is a bare httpx loop with as many requests in
flight that keeps nothing. The server is a process beside them and shares the processors; its bodies are packed before.
The result goes to benchmarks/results/blobs.json, with date, commit and hardware; of --memory to a dated file.
"""

import argparse
import asyncio
import gzip
import json
import mmap
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import polars as pl
from machine import machine, peak_bytes

from minicode_assets.blobs.s3 import S3Backend
from minicode_assets.blobs.store import fetch_partition
from minicode_assets.config import Blobs
from minicode_assets.parquet import write_table
from minicode_assets.schemas import CONTENTS
from minicode_assets.swhid import content_ids

IN_FLIGHT = 64
MAX_TEMPLATE_BYTES = 20_000
RESULT = Path(__file__).parent / "results" / "blobs.json"


def make_bucket(folder: Path, count: int) -> None:
    """The standard library's files, each made unique by a first line: bodies.bin, index.tsv and the contents table."""
    library = Path(sysconfig.get_path("stdlib"))
    texts = [path.read_bytes() for path in sorted(library.glob("*.py"))]
    templates = [text for text in texts if 0 < len(text) <= MAX_TEMPLATE_BYTES]
    rows, lines, position = [], [], 0
    with (folder / "bodies.bin").open("wb") as bodies:
        for number, template in zip(range(count), cycle(templates)):
            body = b"# copy %d\n" % number + template
            sha1_git, sha1 = content_ids(body)
            packed = gzip.compress(body, 1, mtime=0)
            bodies.write(packed)
            rows.append((sha1_git, sha1, len(body), 1, True, False))
            lines.append(f"{sha1.hex()}\t{position}\t{len(packed)}\n")
            position += len(packed)
    (folder / "index.tsv").write_text("".join(lines))
    frame = pl.DataFrame(rows, schema=CONTENTS.polars, orient="row").sort("sha1_git")
    write_table(folder / "contents", frame, CONTENTS, config_digest="", inputs={})


class BucketProtocol(asyncio.Protocol):
    """As little of HTTP/1.1 as the clients need."""

    def __init__(self, bodies: mmap.mmap, index: dict[bytes, tuple[int, int]]) -> None:
        self.bodies, self.index, self.pending = bodies, index, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: D102
        *requests, self.pending = (self.pending + data).split(b"\r\n\r\n")
        for request in requests:
            key = request[: request.index(b" HTTP")].rpartition(b"/")[2]
            position, size = self.index[key]
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                b'ETag: "0"\r\nContent-Type: binary/octet-stream\r\n\r\n'
                % size
                + self.bodies[position : position + size]
            )


def serve(folder: Path) -> None:
    lines = (line.split("\t") for line in (folder / "index.tsv").read_text().splitlines())
    index = {key.encode(): (int(position), int(size)) for key, position, size in lines}

    async def run() -> None:
        with (folder / "bodies.bin").open("rb") as stream:
            bodies = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            server = await asyncio.get_running_loop().create_server(lambda: BucketProtocol(bodies, index), "127.0.0.1")
            print(server.sockets[0].getsockname()[1], flush=True)
            await server.serve_forever()

    asyncio.run(run())


def bare_httpx(folder: Path, url: str) -> dict[str, Any]:
    """Fetch every body with httpx, and keep nothing."""
    import httpx

    keys = iter([line.split("\t")[0] for line in (folder / "index.tsv").read_text().splitlines()])
    fetched = 0

    async def ask(client: httpx.AsyncClient) -> None:
        nonlocal fetched
        for key in keys:
            response = await client.get(f"{url}/content/{key}")
            fetched += len(response.content) > 0

    async def run() -> None:
        limits = httpx.Limits(max_connections=IN_FLIGHT)
        async with httpx.AsyncClient(limits=limits, timeout=600) as client, asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(ask(client))

    started = time.perf_counter()
    asyncio.run(run())
    return figures(fetched, time.perf_counter() - started)


def end_to_end(folder: Path, url: str) -> dict[str, Any]:
    """Fetch, gunzip, hash twice, journal and seal one partition."""
    params = Blobs()
    backend = S3Backend(url, contact="benchmark", connections=IN_FLIGHT, timeout_s=60, attempts=3)
    started = time.perf_counter()
    artifact = fetch_partition(
        folder / "contents", backend, folder / "out", partition="00-of-01", params=params, config_digest=""
    )
    seconds = time.perf_counter() - started
    assert artifact.metadata["num_verified"] == artifact.metadata["num_rows"]
    return figures(artifact.metadata["num_verified"], seconds) | {
        "blob_bytes": artifact.metadata["verified_bytes"],
        "stored_bytes": artifact.total_bytes,
    }


def figures(blobs: int, seconds: float) -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "blobs": blobs,
        "seconds": round(seconds, 2),
        "blobs_per_s": round(blobs / seconds),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_memory_mb": round(peak_bytes() / 2**20),
    }


def measure(what: str, folder: Path, url: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", what, str(folder), url]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    print(what, result, file=sys.stderr)
    return result


def compare(count: int, *, peer: bool, runs: int) -> dict[str, Any]:
    """Every measurement of one bucket; the best of several runs each, by turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bucket(folder, count)
        command = [sys.executable, __file__, "--serve", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            results: dict[str, list[dict[str, Any]]] = {}
            try:
                for _ in range(runs):
                    for what in ["bare_httpx", "end_to_end"] if peer else ["end_to_end"]:
                        results.setdefault(what, []).append(measure(what, folder, url))
            finally:
                server.kill()
    return {what: max(found, key=lambda r: float(r["blobs_per_s"])) for what, found in results.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--blobs", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=0, help="a second bucket, to compare memory, e.g. 200000")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--memory", type=int, nargs="+", default=[], help="only the peaks of buckets of these sizes")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    elif options.measure:
        what, folder, url = options.measure
        measured = {"bare_httpx": bare_httpx, "end_to_end": end_to_end}[what](Path(folder), url)
        print(json.dumps(measured))
    elif options.memory:
        report_memory(options.memory)
    else:
        report(options.blobs, options.many, options.runs)


def report_memory(counts: list[int]) -> None:
    result = machine() | {"in_flight": IN_FLIGHT}
    peaks = {count: compare(count, peer=False, runs=1)["end_to_end"]["peak_memory_mb"] for count in counts}
    result |= {
        "peak_memory_mb": peaks,
        "growth": {count: round(peaks[count] / peaks[counts[0]], 2) for count in counts},
    }
    write(result, RESULT.with_name(f"{result['date']}-blobs-memory.json"))


def write(result: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def report(count: int, many: int, runs: int) -> None:
    result = machine() | {"in_flight": IN_FLIGHT, "few": compare(count, peer=True, runs=runs)}
    few = result["few"]
    result["times_faster"] = round(few["end_to_end"]["blobs_per_s"] / few["bare_httpx"]["blobs_per_s"], 1)
    if many:
        result["many"] = compare(many, peer=False, runs=1)
        memory = [result[size]["end_to_end"]["peak_memory_mb"] for size in ("few", "many")]
        result["memory_growth"] = round(memory[1] / memory[0], 2)
    write(result, RESULT)


if __name__ == "__main__":
    main()
