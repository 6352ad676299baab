"""Acquisitions that are killed half way, by SIGKILL in a process of their own: the same bytes, nothing read twice."""

import os
import signal
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import NamedTuple

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


class Case(NamedTuple):
    """An acquisition.

    Attributes:
        read: From the server into a folder; gives a digest.
        files: What the server has.
        script: What it does first.
        reached, least_bytes: Files that tell how far it is, and their bytes when it is killed.
        is_read_once: Whether the server sent the second process what it may.
    """

    read: Callable[[str, Path], str]
    files: dict[str, dict[str, bytes]]
    script: list[str]
    reached: str
    least_bytes: float
    is_read_once: Callable[[Served], bool]


DATA_SET = {"tokyotech-llm/swallow-code-v2": {SWALLOW: ROWS}}
CASES = {
    "rows": Case(read_rows, DATA_SET, ["hang"], "work/block-00002.parquet", 1, rows_are_read_once),
    "hours": Case(read_day, {"": HOURS}, [*[""] * 5, "hang"], "work/*-2.json.gz", 1, hours_are_read_once),
    "dump": Case(fetch_dump, {"": {SWALLOW: ROWS}}, ["", "hang"], ".partial-*", 0.4 * len(ROWS), rows_are_read_once),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_killed_acquisition_goes_on(tmp_path: Path, case: Case) -> None:
    with serving(Served(files=case.files)) as served:
        expected = case.read(served.url, tmp_path / "whole")
        served.script = list(case.script)
        child = IMPORTED.Process(target=case.read, args=(served.url, tmp_path / "killed"))
        child.start()
        assert served.hung.wait(60)
        while sum(path.stat().st_size for path in (tmp_path / "killed").glob(case.reached)) < case.least_bytes:
            assert child.is_alive()
            time.sleep(0.01)
        assert child.pid
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        served.sent.clear()
        assert case.read(served.url, tmp_path / "killed") == expected
        assert case.is_read_once(served), served.sent
