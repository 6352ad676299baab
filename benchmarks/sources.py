"""What the sources cost: MB/s a core of each parser, bytes of the range reader beside a whole file, memory by size.

    .venv/bin/python benchmarks/sources.py --megabytes 8 --out benchmarks/results/sources.json

Rates are processor time, git's and other children's included, the median of interleaved repeats, over bytes of the
published format. Inputs are files of the standard library in exactly the published formats (inputs/published.py). The
server is a process of its own on loopback, which is not counted; it says what it sent, and what a slower line adds to
the measured seconds is derived from that. Memory is the peak of a process that reads an input, for inputs of two sizes.
"""

import argparse
import gzip
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).parents[1]))

import polars as pl
from machine import machine, peak_bytes

from benchmarks.inputs import published
from minicode_assets.config import Config
from minicode_assets.config.conversations import Gharchive, Issues, PullRequests
from minicode_assets.config.dumps import Arxiv, Stackoverflow, StackPosts
from minicode_assets.config.markup import Markup
from minicode_assets.config.mathematics import Mathematics
from minicode_assets.config.sources import Commits, Documentation, Notebooks
from minicode_assets.parquet import conform, write_table
from minicode_assets.schemas import STACK_POSTS
from minicode_assets.sources import hub, markup
from minicode_assets.sources.arxiv import read_papers
from minicode_assets.sources.clones import Clones
from minicode_assets.sources.commits import read_commits
from minicode_assets.sources.gharchive import collect_day
from minicode_assets.sources.harvest import Harvest
from minicode_assets.sources.html_pages import page_text
from minicode_assets.sources.issues import read_issues
from minicode_assets.sources.mathematics import read_problems
from minicode_assets.sources.notebooks import NotebookFile, read_notebooks
from minicode_assets.sources.prose import judge_prose
from minicode_assets.sources.pull_requests import num_pulls, read_pull_requests
from minicode_assets.sources.rows import Place
from minicode_assets.sources.stack_posts import read_posts
from minicode_assets.sources.stackoverflow import read_questions
from minicode_assets.sources.threads import read_threads

BANDWIDTH = 12_500_000
"""100 Mbit/s. Unit: bytes a second."""
BLOCK_BYTES = 4_000_000
DAY = date(2023, 1, 1)
PAGES = "data/train-00000-of-00114.parquet"
PAGE_COLUMNS = ["url", "text", "date", "metadata"]
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Task:
    """A parser's work.

    Attributes:
        num_bytes: Of its input in the published format.
        run: Does it, and gives back how many documents or rows came of it.
    """

    num_bytes: int
    run: Callable[[], int]


def count(found: Iterable[Any]) -> int:
    """How many there are; each is let go of."""
    return sum(1 for _ in found)


def no_license(content: bytes) -> None:
    """Licences cost nothing here."""


def read_hub(name: str, url: str, work: Path, **changes: Any) -> int:
    """Read a file of a data set into blocks; its rows."""
    given = {"max_tokens": 0, "block_bytes": BLOCK_BYTES, "read_ahead_bytes": 64_000, **changes}
    params = replace(getattr(Config(), name), endpoint=url, max_files=1, **given)
    file = hub.list_files(params, work / "mirror" / name, token=None)[0]
    web = hub.open_web(params, None)
    harvest = Harvest(work / "blocks", [file.url, time.monotonic_ns()])
    found = hub.read_file(name, file, web, harvest.progress.place, params, harvest.count)
    harvest.take(found, block_bytes=params.block_bytes, limit_rows=params.limit_rows, limit_bytes=None)
    web.close()
    return harvest.progress.row


def read_day(url: str, folder: Path) -> int:
    """Collect a day of events; its rows."""
    params = Gharchive(url=url, courtesy_s=0.0, pull_requests=True, block_bytes=BLOCK_BYTES)
    work = folder.with_name("hours")
    return int(collect_day(folder, DAY, work=work, params=params, config_digest="").metadata["num_rows"])


def read_dump(path: Path, work: Path) -> int:
    """Read a dump of posts into blocks; its rows."""
    harvest = Harvest(work / "posts", [time.monotonic_ns()], to_frame=posts_frame)
    found = read_posts(path, harvest.progress.place, StackPosts(), harvest.count)
    harvest.take(found, block_bytes=BLOCK_BYTES, limit_rows=None, limit_bytes=None)
    return harvest.progress.row


def posts_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows with schema STACK_POSTS."""
    return conform(pl.DataFrame(rows, schema=STACK_POSTS.polars), STACK_POSTS)


def read_archive(path: Path, work: Path) -> int:
    """Read an archive of papers into blocks; its papers."""
    harvest = Harvest(work / "papers", [time.monotonic_ns()])
    found = read_papers(path, harvest.progress.place, Arxiv(), harvest.count)
    harvest.take(found, block_bytes=BLOCK_BYTES, limit_rows=None, limit_bytes=None)
    return harvest.progress.row


def day_files(lines: bytes) -> dict[str, bytes]:
    """The hours of a day, one of them with these lines."""
    return {f"{DAY}-{hour}.json.gz": gzip.compress(lines if hour == 3 else b"", 1) for hour in range(24)}


def remote_tasks(num_bytes: int, url: str, served: dict[str, bytes], work: Path) -> dict[str, Task]:
    """What comes from a server."""
    lines = len(gzip.decompress(served[f"{DAY}-3.json.gz"]))
    return {
        "swallow_code, JSON lines over HTTP": Task(
            len(served[published.SWALLOW]), lambda: read_hub("swallow_code", url, work)
        ),
        "openwebmath, Parquet over HTTP": Task(num_bytes, lambda: read_hub("openwebmath", url, work)),
        "gharchive, a day over HTTP": Task(lines, lambda: read_day(url, work / DAY.isoformat())),
    }


def conversation_tasks(issues: int, pulls: int, work: Path, url: str) -> dict[str, Task]:
    """Conversations put together from a day's events."""
    day = work / "day"
    read_day(url, day)
    params = PullRequests(repositories=str(work / "clones"), first_of_repository_rate=1.0)
    clones = Clones(params, no_license)

    def pull_requests() -> int:
        threads = read_threads([day], params, "pull")
        return count(read_pull_requests(threads, clones, num_pulls([day]), params))

    return {
        "issues from events": Task(issues, lambda: count(read_issues(read_threads([day], Issues()), Issues()))),
        "pull_requests, bytes of both sides": Task(pulls, pull_requests),
    }  # fmt: skip


def local_tasks(num_bytes: int, work: Path) -> dict[str, Task]:
    """What lies on this machine."""
    files = published.texts(num_bytes)
    pages = [published.page(text[:20_000]) for text in files[: max(len(files) // 8, 1)]]
    books = [NotebookFile("file:///b", f"{n}.ipynb", c) for n, c in enumerate(published.notebooks(num_bytes))]
    data = [json.dumps({"a": text[:2000]}) for text in files] * 8
    size = sum(len(book.content) for book in books)
    commits = Commits(repositories=(str(work / "clones" / "o" / "r.git"),))

    def judged(kind: str, found: list[str]) -> Task:
        return Task(sum(map(len, found)), lambda: count(markup.judge(kind, text, Markup()) for text in found))

    return {
        "notebooks, triplets": Task(size, lambda: count(read_notebooks(books, Notebooks(scripts=False)))),
        "notebooks, scripts by jupytext": Task(size, lambda: count(read_notebooks(books, Notebooks(cells=False)))),
        "documentation, rules of prose": Task(
            num_bytes, lambda: count(judge_prose(text, Documentation()) for text in files)
        ),
        "documentation, HTML by trafilatura": Task(
            sum(map(len, pages)), lambda: count(page_text(page.encode(), max_elements=20_000) for page in pages)
        ),
        "markup, JSON": judged("json", data),
        "markup, HTML": judged("html", pages),
        "markup, other": judged("css", files),
        "commits, bytes of both sides": Task(
            num_bytes // 2, lambda: count(read_commits(commits, checkout=ROOT, licensing=no_license))
        ),
    }


def dump_tasks(num_bytes: int, work: Path) -> dict[str, Task]:
    """Dumps that lie here, and what is made."""
    dump, archive = work / "Posts.xml", work / "arXiv_src_2301_001.tar"
    dump.write_bytes(published.posts(num_bytes))
    published.papers(num_bytes, archive)
    rows = [post.row() for post in read_posts(dump, Place(0, 0), StackPosts(), lambda _: None)]
    table = work / "table" / "00"
    write_table(table, posts_frame(rows), STACK_POSTS, config_digest="", inputs={})
    tasks = {
        "stack_posts, XML": Task(dump.stat().st_size, lambda: read_dump(dump, work)),
        "stackoverflow from posts": Task(
            dump.stat().st_size, lambda: count(read_questions([table], Stackoverflow()))
        ),
        "arxiv, LaTeX (bytes unpacked)": Task(num_bytes, lambda: read_archive(archive, work)),
    }  # fmt: skip
    if (ROOT / Mathematics().python).exists():
        params = Mathematics(modules=("algebra__linear_1d",), documents_per_module=500)
        made = [found.document.text for found in read_problems("train-easy", 0, params, folder=ROOT)]
        tasks["mathematics, made by its package"] = Task(
            sum(map(len, made)), lambda: count(read_problems("train-easy", 0, params, folder=ROOT))
        )
    return tasks


def spent_s() -> float:
    """Processor time of this process and of its children that ended. Unit: seconds."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def rates(num_bytes: int, repeats: int, work: Path) -> dict[str, dict[str, float]]:
    """MB/s of processor time of each parser."""
    pairs = published.repository(num_bytes, work / "clones" / "o" / "r.git")
    issues = published.issue_events(num_bytes)
    served = {
        published.SWALLOW: published.swallow(num_bytes),
        PAGES: published.web_pages(num_bytes),
        **day_files(issues + published.pull_events(pairs)),
    }
    with published.serving(served) as url:
        tasks = remote_tasks(num_bytes, url, served, work)
        tasks |= conversation_tasks(len(issues), num_bytes // 2, work, url)
        tasks |= local_tasks(num_bytes, work) | dump_tasks(num_bytes, work)
        spent: dict[str, list[float]] = {name: [] for name in tasks}
        rows = {}
        for _ in range(repeats):
            for name, task in tasks.items():
                started = spent_s()
                rows[name] = task.run()
                spent[name].append(spent_s() - started)
    return {
        name: {
            "megabytes": task.num_bytes / 1e6, "rows": rows[name],
            "megabytes_per_s": task.num_bytes / 1e6 / statistics.median(spent[name]),
        }
        for name, task in tasks.items()
    }  # fmt: skip


def ranges(num_bytes: int, work: Path) -> dict[str, dict[str, float]]:
    """Some of the rows or columns by ranges, beside the whole file saved and the same ones read by Polars."""
    data, body = published.swallow(num_bytes), published.web_pages(num_bytes)
    rows = data.count(b"\n") // 10
    whole = work / "whole"
    with published.serving({published.SWALLOW: data, PAGES: body}) as url:
        # What the server had sent when the reader hung up, buffers of the connection included.
        lines = timed(lambda: read_hub("swallow_code", url, work, max_rows=rows))
        pages = timed(lambda: read_hub("openwebmath", url, work))
        told = published.sent(url)
        lines_whole = timed(lambda: pl.scan_ndjson(save(f"{url}/{published.SWALLOW}", whole)).head(rows).collect())
        pages_whole = timed(lambda: pl.read_parquet(save(f"{url}/{PAGES}", whole), columns=PAGE_COLUMNS))
    return {
        "JSON lines, a tenth of the rows": _beside(told[published.SWALLOW], lines, len(data), lines_whole),
        "Parquet, four columns of five": _beside(told[PAGES], pages, len(body), pages_whole),
    }


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def save(url: str, path: Path) -> Path:
    """Download a file."""
    with urlopen(url) as response, path.open("wb") as file:
        shutil.copyfileobj(response, file, 1 << 20)
    return path


def _beside(sent: int, seconds: float, whole: int, whole_seconds: float) -> dict[str, float]:
    """What was sent, the time on loopback, and with what a line of 100 Mbit/s would add."""
    return {
        "bytes_by_range": sent, "bytes_of_file": whole, "fraction": sent / whole,
        "seconds": seconds, "seconds_whole_file": whole_seconds,
        "seconds_at_100_mbit": seconds + sent / BANDWIDTH,
        "seconds_at_100_mbit_whole_file": whole_seconds + whole / BANDWIDTH,
    }  # fmt: skip


PEAKS = {"swallow_code": (20, 80), "openwebmath": (20, 80), "gharchive": (20, 200), "stack_posts": (20, 80),
         "arxiv": (20, 80)}  # fmt: skip
"""Megabytes of input; of GHArchive in a single hour, whose issues are put together too."""


def peak_of(source: str, megabytes: int) -> int:
    """Peak memory of a process that reads an input of this size in blocks of 4 MB; it was made by another."""
    with tempfile.TemporaryDirectory() as folder:
        path, num_bytes = Path(folder, "input"), megabytes * 1_000_000
        served: dict[str, bytes] = {}
        if source == "swallow_code":
            served = {published.SWALLOW: published.swallow(num_bytes)}
        elif source == "openwebmath":  # the worst case: the whole file is one group of rows
            served = {PAGES: published.web_pages(num_bytes, rows_per_group=10**9)}
        elif source == "gharchive":
            served = day_files(published.issue_events(2 * num_bytes))
        elif source == "stack_posts":
            path.write_bytes(published.posts(num_bytes))
        else:
            published.papers(num_bytes, path)
        with published.serving(served) as url:
            command = [sys.executable, __file__, "--peak", source, "--address", url if served else str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def measure_peak(source: str, address: str) -> None:
    """Print this process's peak after it read an input."""
    with tempfile.TemporaryDirectory() as folder:
        if source in ("swallow_code", "openwebmath"):
            read_hub(source, address, Path(folder))
        elif source == "gharchive":
            day, params = Path(folder, DAY.isoformat()), Issues(block_bytes=BLOCK_BYTES)
            read_day(address, day)
            count(read_issues(read_threads([day], params), params))
        elif source == "stack_posts":
            read_dump(Path(address), Path(folder))
        else:
            read_archive(Path(address), Path(folder))
    print(peak_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=8, help="of input a parser")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak", choices=PEAKS, help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        measure_peak(options.peak, options.address)
        return
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    num_bytes = options.megabytes * 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        result = {
            **machine(),
            "command": " ".join(["benchmarks/sources.py", *sys.argv[1:]]),
            "parsers": rates(num_bytes, options.repeats, Path(folder) / "rates"),
            "ranges": ranges(8 * num_bytes, Path(folder) / "ranges"),
            "peak_bytes_by_megabytes": {
                source: {size: peak_of(source, size) for size in sizes} for source, sizes in PEAKS.items()
            },
        }
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
