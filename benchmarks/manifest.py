"""The manifest of a large export: rows a second, memory and growth, beside one query for each directory.

The export comes from real trees (benchmarks/export_generator.py): 1.4 million directories, 1.9 million entries, 63
million (directory, entry) pairs. `resolve_export` reads it in the 2019-01-28 layout, normalises it, chooses heads,
walks and writes the manifest; each size runs in a process of its own, whose peak memory is the kernel's figure. The
plain way asks, for each directory, the directory table for its lists, each entry table for the entries and the
content table for the contents, with the same Polars on the same files.

    python benchmarks/manifest.py --scratch /tmp/manifest-benchmark
"""

import argparse
import datetime
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from export_generator import add_heads, generate
from machine import machine, peak_bytes

from minicode_assets.config import BranchHeads, FileManifest
from minicode_assets.manifest.graph import load_graph
from minicode_assets.manifest.resolve import resolve_export
from minicode_assets.manifest.rows import lay_out
from minicode_assets.manifest.walk import grow, without_cycles
from minicode_model.artifact import open_artifact

HEADS = (300, 1_000, 3_000, 10_000, 30_000)
"""Sizes whose growth is shown; 3,000 is the teaser's, 30,000 ten times as many."""
RESULTS = Path(__file__).parent / "results"


def make_exports(scratch: Path, heads: tuple[int, ...]) -> None:
    """The tables once, and an export over them for each number of heads; what is there stays."""
    tables, noted = scratch / "tables", scratch / "history.pickle"
    if not noted.exists():
        shutil.rmtree(tables, ignore_errors=True)
        history = generate(tables, num_directories=1_400_000, num_projects=100, files_per_project=5_200)
        noted.write_bytes(pickle.dumps(history))
    history = pickle.loads(noted.read_bytes())
    for number in heads:
        if not (scratch / f"export-{number}").exists():
            add_heads(scratch / f"export-{number}", tables, history, number)


def resolve(scratch: Path, heads: int) -> dict[str, Any]:
    """Resolve one export in this process; figures with this process' peak memory."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    cpu, busy = time.process_time(), busy_seconds()
    done = resolve_export(scratch / f"export-{heads}", out, heads=BranchHeads(), manifest=FileManifest())
    artifact = open_artifact(done.manifest, verify=False)
    return {
        "heads": heads,
        "rows": done.num_rows,
        "seconds": round(done.seconds, 2),
        "rows_per_second": round(done.rows_per_second),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "others_cpu_seconds": round(busy_seconds() - busy - (time.process_time() - cpu), 2),
        "peak_memory_bytes": peak_bytes(),
        "manifest_bytes": artifact.total_bytes,
        "distinct_directories": artifact.metadata["num_directories"],
    }


def busy_seconds() -> float:
    """What all cores have worked so far, so that a reader sees how quiet the machine was."""
    user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def walk_alone(scratch: Path, heads: int) -> dict[str, Any]:
    """The walk in memory, without writing: tables to (entry, path) of every row; the tables are those of `resolve`."""
    out = scratch / "out"
    tables = {name: out / f"swh_{name}" for name in ("directory", "directory_entry")}
    roots = pl.read_parquet(out / "branch_heads" / "*.parquet")["directory"]
    started = time.monotonic()
    graph, _ = without_cycles(load_graph(tables, roots, verify=False))
    forest, nodes = grow(graph, graph.roots, max_depth=64)
    rows = sum(len(lay_out(forest, part)[0]) for part in np.array_split(nodes, max(heads // 200, 1)))
    seconds = time.monotonic() - started
    return {"heads": heads, "rows": rows, "seconds": round(seconds, 2), "rows_per_second": round(rows / seconds)}


def plain_way(export: Path, seconds: float) -> dict[str, Any]:
    """One query for each directory of a few heads, until the time is over."""
    tables = {folder.name: pl.scan_parquet(folder / "*.parquet") for folder in export.iterdir()}
    revisions = tables["snapshot_branch"].head(5).collect()["target"]
    roots = tables["revision"].filter(pl.col("id").is_in(revisions.implode())).collect()["directory"]
    started, rows, directories = time.monotonic(), 0, 0
    for found in _recurse(tables, list(roots)):
        rows, directories = rows + found, directories + 1
        if time.monotonic() - started > seconds:
            break
    spent = time.monotonic() - started
    return {"directories": directories, "rows": rows, "seconds": round(spent, 2), "rows_per_second": rows / spent}


def _recurse(tables: dict[str, pl.LazyFrame], pending: list[bytes]) -> Iterator[int]:
    """Files of each directory, one directory after the other."""
    while pending:
        directory = tables["directory"].filter(pl.col("id") == pending.pop()).collect().row(0, named=True)
        files = tables["directory_entry_file"].filter(pl.col("id").is_in(directory["file_entries"] or []))
        folders = tables["directory_entry_dir"].filter(pl.col("id").is_in(directory["dir_entries"] or []))
        targets = files.collect()["target"]
        contents = tables["content"].filter(pl.col("sha1_git").is_in(targets.implode())).collect()
        pending += list(folders.collect()["target"])
        yield contents.height


def in_child(mode: str, scratch: Path, heads: int) -> dict[str, Any]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--scratch", str(scratch), "--child", mode, "--heads", str(heads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def plot(runs: list[dict[str, Any]], path: Path) -> None:
    """Time and memory over rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    rows = [run["rows"] / 1e6 for run in runs]
    for place, (name, values) in enumerate(
        {
            "seconds": [run["seconds"] for run in runs],
            "peak memory (GB)": [run["peak_memory_bytes"] / 1e9 for run in runs],
        }.items()
    ):
        axes = figure.add_subplot(1, 2, place + 1)
        axes.plot(rows, values, marker="o")
        axes.set(xscale="log", yscale="log" if place == 0 else "linear", xlabel="manifest rows (millions)", ylabel=name)
        axes.set_ylim(0.8 * min(values) if place == 0 else 0, 1.2 * max(values))
        axes.grid(alpha=0.3)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the export and the outputs, 8 GB")
    parser.add_argument("--heads", type=int, nargs="*", default=HEADS, help="numbers of heads")
    parser.add_argument("--plain-seconds", type=float, default=60.0, help="time for one query a directory")
    parser.add_argument("--child", choices=("resolve", "walk"), help="measure in this process and print JSON")
    arguments = parser.parse_args()
    if arguments.child:
        measure = resolve if arguments.child == "resolve" else walk_alone
        print(json.dumps(measure(arguments.scratch, arguments.heads[0])))
        return
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    make_exports(arguments.scratch, tuple(arguments.heads))
    found: dict[str, Any] = {"machine": machine() | {"polars": pl.__version__}, "runs": [], "walk_alone": []}
    for heads in arguments.heads:
        found["runs"].append(in_child("resolve", arguments.scratch, heads))
        found["walk_alone"].append(in_child("walk", arguments.scratch, heads))
        print(found["runs"][-1], found["walk_alone"][-1], flush=True)
    found["one_query_a_directory"] = plain_way(
        arguments.scratch / f"export-{arguments.heads[0]}", arguments.plain_seconds
    )
    best = max(run["rows_per_second"] for run in found["runs"])
    found["times_faster"] = round(best / found["one_query_a_directory"]["rows_per_second"])
    print(found["one_query_a_directory"], "times faster:", found["times_faster"])
    day = datetime.datetime.now(datetime.UTC).date()
    plot(found["runs"], RESULTS / f"{day}-manifest.svg")
    (RESULTS / f"{day}-manifest.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
