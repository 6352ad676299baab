"""The annotators' stages as they run: `language`, `heuristics`, `pii`, `malware`, one after the other on one partition.

Wall-clock time with each number of processes, in turn, and whether all gave the same bytes; and the processor time that
this process spends, stage by stage. The partition holds files of the standard library and the installed packages, each
once. Processes that were started stay for the stages and repeats that follow, as in a run.

    python benchmarks/annotators.py --megabytes 60 --workers 1 2
"""

import argparse
import hashlib
import json
import tempfile
import time
from pathlib import Path

import polars as pl
from annotate import read_texts
from machine import machine

from minicode_assets.config import Annotators, Heuristics, Language, Malware, Pii
from minicode_assets.corpus.annotate import heuristics, language, malware, pii
from minicode_assets.corpus.annotate.syntax import clear_cache
from minicode_assets.parquet import write_table
from minicode_assets.schemas import DOCUMENTS

STAGES = {
    "language": (language.annotate, Language()),
    "heuristics": (heuristics.annotate, Heuristics()),
    "pii": (pii.annotate, Pii()),
    "malware": (malware.annotate, Malware()),
}


def write_documents(texts: list[str], folder: Path) -> None:
    rows = {
        "document_id": [hashlib.blake2b(f"{n}".encode(), digest_size=16).hexdigest() for n in range(len(texts))],
        "source": ["swh"] * len(texts),
        "path": [f"{n}.py" for n in range(len(texts))],
        "status": ["ok"] * len(texts),
        "text": texts,
        "length_bytes": [len(text.encode()) for text in texts],
    }
    empty = {name: [None] * len(texts) for name in DOCUMENTS.polars if name not in rows}
    frame = pl.DataFrame(rows | empty, schema_overrides=DOCUMENTS.polars).select(DOCUMENTS.polars.names())
    write_table(folder, frame, DOCUMENTS, config_digest="", inputs={})


def run(documents: Path, folder: Path, num_workers: int) -> tuple[float, dict[str, float], list[str]]:
    """(wall-clock seconds, processor seconds of this process by stage, digests)."""
    clear_cache()
    workers = Annotators(num_workers=num_workers, parallel_from_bytes=0)
    started, spent, digests = time.perf_counter(), {}, []
    for name, (annotate, params) in STAGES.items():
        before = time.process_time()
        artifact = annotate(documents, folder / name, params=params, config_digest="", workers=workers)  # type: ignore[operator]
        spent[name] = time.process_time() - before
        digests.append(artifact.digest)
    return time.perf_counter() - started, spent, digests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=60.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=2, help="interleaved; the best counts (default 2)")
    options = parser.parse_args()
    texts = list(dict.fromkeys(read_texts(int(options.megabytes * 1e6))))
    size = sum(len(text.encode()) for text in texts) / 1e6
    seconds: dict[int, list[float]] = {n: [] for n in options.workers}
    spent: dict[int, list[dict[str, float]]] = {n: [] for n in options.workers}
    with tempfile.TemporaryDirectory() as root:
        for repeat in range(options.repeats):
            # Texts of its own for each repeat: the processes remember the syntax of those that they have seen.
            documents, seen = Path(root) / f"documents-{repeat}", set()
            write_documents([f"{text}\n# {repeat}\n" for text in texts], documents)
            for n in options.workers:
                wall, processor, digests = run(documents, Path(root) / f"{repeat}-{n}", n)
                seconds[n].append(wall)
                spent[n].append(processor)
                seen.add(tuple(digests))
            if len(seen) != 1:
                raise SystemExit("the bytes differ with the number of processes")
    best = {n: min(values) for n, values in seconds.items()}
    report = {
        "benchmark": "annotators",
        "machine": machine(),
        "files": len(texts),
        "megabytes": round(size, 1),
        "wall_s": {n: round(value, 2) for n, value in best.items()},
        "times_one_process": {n: round(best[options.workers[0]] / value, 2) for n, value in best.items()},
        "cpu_s_of_this_process": {
            n: {name: round(min(run[name] for run in runs), 2) for name in STAGES} for n, runs in spent.items()
        },
        "mb_per_cpu_second_of_one": round(size / min(sum(run.values()) for run in spent[options.workers[0]]), 2),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
