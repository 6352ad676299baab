"""What the sources cost: MB/s a core of each parser, bytes of the range reader beside a whole file, memory by size.

    .venv/bin/python benchmarks/sources.py --megabytes 8 --out benchmarks/results/sources.json

Rates are processor time of one thread, the median of interleaved repeats, over bytes of the published format (of the
text, where a rule reads texts). Inputs are made of installed packages' files in exactly the published formats. The
server is on loopback and counts the bytes that it sends; seconds at a bandwidth are derived from them.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from minicode_assets.config import Config
from minicode_assets.config.conversations import Gharchive, Issues
from minicode_assets.config.markup import Markup
from minicode_assets.config.sources import Documentation, Notebooks
from minicode_assets.sources import hub
from minicode_assets.sources.documentation import html_text
from minicode_assets.sources.gharchive import collect_day
from minicode_assets.sources.harvest import Harvest
from minicode_assets.sources.issues import read_issues
from minicode_assets.sources.markup import judge
from minicode_assets.sources.notebooks import NotebookFile, read_notebooks
from minicode_assets.sources.prose import judge_prose
from minicode_assets.sources.threads import read_threads
from tests.sources.servers import Served, serving
from tests.sources.test_hub import SWALLOW, jsonl, parquet, swallow_row
from tests.sources.test_issues import comment, hour, opened

BANDWIDTH = 12_500_000
"""100 Mbit/s. Unit: bytes a second."""


def texts(num_bytes: int) -> list[str]:
    """Real Python files of the standard library, over again where there are too few."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    files = [path.read_text(errors="replace") for path in paths]
    found: list[str] = []
    while sum(map(len, found)) < num_bytes:
        found += files
    total = 0
    for number, text in enumerate(found):
        total += len(text)
        if total >= num_bytes:
            return found[: number + 1]
    return found


def swallow(num_bytes: int) -> bytes:
    """A file of swallow-code-v2: text in a row of which it is a quarter, as published (7.5 of 33 kB)."""
    files = texts(num_bytes // 4)
    rows = [swallow_row(n, text=text, old_text=text * 2, improved_code=text) for n, text in enumerate(files)]
    return jsonl(rows)


def notebook_files(num_bytes: int) -> list[NotebookFile]:
    cells = [
        [{"cell_type": "markdown", "source": text[:300]},
         {"cell_type": "code", "source": text[:3000],
          "outputs": [{"output_type": "stream", "name": "stdout", "text": text[:500]}]}] * 5
        for text in texts(num_bytes // 4)
    ]  # fmt: skip
    books = [json.dumps({"cells": c, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4}) for c in cells]
    return [NotebookFile("file:///b", f"{n}.ipynb", book.encode()) for n, book in enumerate(books)]


def page(text: str) -> str:
    body = "".join(f"<p>{line}</p>" for line in text.replace("<", "&lt;").splitlines())
    return f"<html><head><title>t</title></head><body><nav><a href='#'>n</a></nav><main>{body}</main></body></html>"


def parsers(num_bytes: int, work: Path, served: Served) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Parser to (bytes of its input, a call of it)."""
    data, files, books = swallow(num_bytes), texts(num_bytes), notebook_files(num_bytes)
    prose = [text.replace("#", "") for text in files]
    pages = [page(text[:20_000]) for text in files[: max(len(files) // 8, 1)]]
    data_texts = [json.dumps({"a": text[:2000]}) for text in files] * 8
    events = [
        e
        for n in range(max(num_bytes // 4000, 1))
        for e in (
            opened(n + 1, "ann", files[n % len(files)][:1500]),
            comment(n + 1, "bob", files[n % len(files)][:500], n % 60),
        )
    ]
    hours = hour(events)
    served.files = {"tokyotech-llm/swallow-code-v2": {SWALLOW: data},
                    "": {f"2023-01-01-{h}.json.gz": hours if h == 3 else hour([]) for h in range(24)}}  # fmt: skip
    archive = Gharchive(url=served.url, courtesy_s=0.0)
    collect_day(work / "2023-01-01", date(2023, 1, 1), params=archive, config_digest="")

    def documents_of(found: Iterator[Any]) -> int:
        return sum(1 for _ in found)

    return {
        "swallow_code, JSON lines over HTTP": (len(data), lambda: read(served, work)),
        "gharchive, an hour over HTTP": (len(gzip.decompress(hours)), lambda: collect_day(
            work / "2023-01-01", date(2023, 1, 1), params=archive, config_digest="")),
        "issues from events": (len(gzip.decompress(hours)), lambda: documents_of(
            read_issues(read_threads([work / "2023-01-01"], Issues()), Issues()))),
        "notebooks, triplets": (sum(len(b.content) for b in books), lambda: documents_of(
            read_notebooks(books, Notebooks(scripts=False)))),
        "notebooks, scripts by jupytext": (sum(len(b.content) for b in books), lambda: documents_of(
            read_notebooks(books, Notebooks(cells=False)))),
        "documentation, rules of prose": (sum(map(len, prose)), lambda: [
            judge_prose(t, Documentation()) for t in prose]),
        "documentation, HTML by trafilatura": (sum(map(len, pages)), lambda: [html_text(p.encode()) for p in pages]),
        "markup, JSON": (sum(map(len, data_texts)), lambda: [judge("json", t, Markup()) for t in data_texts]),
        "markup, HTML": (sum(map(len, pages)), lambda: [judge("html", p, Markup()) for p in pages]),
        "markup, other": (sum(map(len, files)), lambda: [judge("css", t, Markup()) for t in files]),
    }  # fmt: skip


def read(served: Served, work: Path, **changes: Any) -> dict[str, Any]:
    """Read swallow-code-v2 from the server into blocks; its progress."""
    params = replace(Config().swallow_code, endpoint=served.url, max_files=1, **{"max_tokens": 0, **changes})
    file = hub.list_files(params, work / "mirror", token=None)[0]
    web = hub.open_web(params, None)
    harvest = Harvest(work / "blocks", [file.url, time.monotonic_ns()])
    found = hub.read_file("swallow_code", file, web, harvest.progress.place, params, harvest.count)
    harvest.take(found, block_bytes=params.block_bytes, limit_rows=params.limit_rows, limit_bytes=params.limit_bytes)
    web.close()
    return {"rows": harvest.progress.row, "text_bytes": harvest.progress.text_bytes}


def rates(num_bytes: int, repeats: int, work: Path) -> dict[str, dict[str, float]]:
    """MB/s of processor time of each parser."""
    with serving(Served()) as served:
        tasks = parsers(num_bytes, work, served)
        spent: dict[str, list[float]] = {name: [] for name in tasks}
        for _ in range(repeats):
            for name, (_, task) in tasks.items():
                started = time.process_time()
                task()
                spent[name].append(time.process_time() - started)
        return {
            name: {"megabytes": size / 1e6, "megabytes_per_s": size / 1e6 / statistics.median(spent[name])}
            for name, (size, _) in tasks.items()
        }


def ranges(num_bytes: int, work: Path) -> dict[str, dict[str, float]]:
    """Bytes sent for a tenth of the rows, beside those of the whole file with the same rows in it."""
    result = {}
    data = swallow(num_bytes)
    with serving(Served(files={"tokyotech-llm/swallow-code-v2": {SWALLOW: data}})) as served:
        # What the server had sent when the reader hung up, buffers of the connection included.
        read(served, work, max_rows=data.count(b"\n") // 10)
        result["JSON lines, a tenth of the rows"] = _beside(served.sent[SWALLOW], len(data))
    rows = [{"url": f"https://s.org/{n}", "text": text, "date": "2020-01-01T00:00:00", "metadata": "{}",
             "other": os.urandom(len(text))} for n, text in enumerate(texts(num_bytes))]  # fmt: skip
    name, body = "data/train-00000-of-00114.parquet", parquet(rows)
    with serving(Served(files={"open-web-math/open-web-math": {name: body}})) as served:
        params = replace(Config().openwebmath, endpoint=served.url, max_files=1, read_ahead_bytes=64_000)
        file = hub.list_files(params, work / "parquet", token=None)[0]
        web = hub.open_web(params, None)
        found = hub.read_file(
            "openwebmath", file, web, Harvest(work / "p", ["p"]).progress.place, params, lambda _: None
        )
        assert sum(1 for _ in found) == len(rows)
        web.close()
        result["Parquet, two columns of five"] = _beside(served.sent[name], len(body))
    return result


def _beside(sent: int, whole: int) -> dict[str, float]:
    return {
        "bytes_by_range": sent, "bytes_of_file": whole, "fraction": sent / whole,
        "seconds_at_100_mbit": sent / BANDWIDTH, "seconds_at_100_mbit_whole_file": whole / BANDWIDTH,
    }  # fmt: skip


def peak_bytes(megabytes: int) -> int:
    """Peak memory of a process that reads a file of this size in blocks of 4 MB; the server is another process's."""
    done = subprocess.run(
        [sys.executable, __file__, "--peak", str(megabytes)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1])


def measure_peak(megabytes: int) -> None:
    """Print this process's peak after it read from a server in a child process."""
    with tempfile.TemporaryDirectory() as folder:
        ready, address = os.pipe()
        child = os.fork()
        if not child:
            with serving(
                Served(files={"tokyotech-llm/swallow-code-v2": {SWALLOW: swallow(megabytes * 1_000_000)}})
            ) as s:
                os.write(address, f"{s.url}\n".encode())
                time.sleep(600)
        served = Served(url=os.read(ready, 100).decode().strip())
        try:
            read(served, Path(folder), block_bytes=4_000_000)
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)
    # Not ru_maxrss: it begins with the peak of the process that started this one.
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    print(int(peak) * 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=8, help="of input a parser")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        measure_peak(options.peak)
        return
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    num_bytes = options.megabytes * 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        result = {
            "date": datetime.now(UTC).date().isoformat(),
            "commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                                     check=True).stdout.strip(),
            "command": " ".join(["benchmarks/sources.py", *sys.argv[1:]]),
            "parsers": rates(num_bytes, options.repeats, Path(folder) / "rates"),
            "ranges": ranges(num_bytes, Path(folder) / "ranges"),
            "peak_bytes_by_megabytes": {size: peak_bytes(size) for size in (10, 40, 160)},
        }  # fmt: skip
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
