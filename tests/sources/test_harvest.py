"""Acquisitions that are killed half way, by SIGKILL in a process of their own: the same bytes, nothing read twice."""

import os
import signal
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from minicode_assets.config.conversations import Gharchive
from minicode_assets.sources.dump import local_file
from minicode_assets.sources.gharchive import collect_day
from minicode_assets.sources.web import Web
from minicode_model.artifact import sha256_of
from tests.forked import IMPORTED
from tests.sources.servers import Served, serving
from tests.sources.test_hub import SWALLOW, collect, jsonl, section, swallow_row
from tests.sources.test_issues import LONG, hour, opened

ROWS = jsonl([swallow_row(number) for number in range(300)])
DAY = "2023-01-01"
HOURS = {f"{DAY}-{number}.json.gz": hour([opened(number, "ann", LONG)] * 99) for number in range(24)}


def read_rows(url: str, folder: Path) -> str:
    params = section("swallow_code", Served(url=url), block_bytes=10_000)
    collect("swallow_code", Served(url=url), folder, params)
    return sha256_of(folder / "swallow_code" / "manifest.json")


def read_day(url: str, folder: Path) -> str:
    params = Gharchive(url=url, pause_s=0.01, courtesy_s=0.0, block_bytes=15_000)
    day = date.fromisoformat(DAY)
    return collect_day(folder / DAY, day, work=folder / "work", params=params, config_digest="").digest


def fetch_dump(url: str, folder: Path) -> str:
    web = Web(token=None, host="", timeout_s=60, attempts=3, pause_s=0.01)
    return sha256_of(local_file(f"{url}/{SWALLOW}", folder, web))


def rows_are_read_once(served: Served) -> bool:
    return served.sent[SWALLOW] < 0.8 * len(ROWS)


def hours_are_read_once(served: Served) -> bool:
    return set(served.sent) == set(list(HOURS)[2:])


CASES: dict[
    str, tuple[Callable[[str, Path], str], dict[str, dict[str, bytes]], list[str], str, Callable[..., bool]]
] = {
    "rows": (
        read_rows,
        {"tokyotech-llm/swallow-code-v2": {SWALLOW: ROWS}},
        ["hang"],
        "work/block-00002.parquet",
        rows_are_read_once,
    ),
    "hours": (read_day, {"": HOURS}, [*[""] * 5, "hang"], "work/*-2.json.gz", hours_are_read_once),
    "dump": (fetch_dump, {"": {SWALLOW: ROWS}}, ["", "hang"], ".partial-*", rows_are_read_once),
}
"""How it is read, from what, what the server does first, the file that tells how far, what it may send again."""


@pytest.mark.slow
@pytest.mark.parametrize(("read", "files", "script", "reached", "is_read_once"), CASES.values(), ids=list(CASES))
def test_a_killed_acquisition_goes_on(
    tmp_path: Path,
    read: Callable[[str, Path], str],
    files: dict[str, dict[str, bytes]],
    script: list[str],
    reached: str,
    is_read_once: Callable[[Served], bool],
) -> None:
    with serving(Served(files=files)) as served:
        expected = read(served.url, tmp_path / "whole")
        served.script = list(script)
        child = IMPORTED.Process(target=read, args=(served.url, tmp_path / "killed"))
        child.start()
        assert served.hung.wait(60)
        while not list((tmp_path / "killed").glob(reached)):
            assert child.is_alive()
            time.sleep(0.01)
        assert child.pid
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        served.sent.clear()
        assert read(served.url, tmp_path / "killed") == expected
        assert is_read_once(served), served.sent
