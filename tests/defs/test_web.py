"""The web UI as a person meets it: real web server and daemon, headless Chromium, clicks.

MINICODE_SCREENSHOTS=<folder> keeps the pictures.
"""

import contextlib
import gzip
import os
import shutil
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from minicode_assets.definitions import STAGES
from tests.conftest import Home
from tests.defs.test_chain import copy_of, folders

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: make system-deps"),
]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextlib.contextmanager
def web_ui(home: Home) -> Iterator[str]:
    """`dagster dev` on a free loopback port, until its code location is loaded; stopped with all its children."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    dagster = str(Path(sys.executable).parent / "dagster")
    log = (home.root / "dev.log").open("w")
    server = home.start(
        dagster, "dev", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml",
        start_new_session=True, log=log,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/server_info", timeout=2):
                break
            assert server.poll() is None, (home.root / "dev.log").read_text()
            assert time.monotonic() < deadline, (home.root / "dev.log").read_text()
            time.sleep(0.3)
        yield url
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, sign)
            with contextlib.suppress(Exception):
                server.wait(10)
        log.close()


@pytest.fixture(scope="module")
def used(finished: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A finished home that this module's clicks may change."""
    return copy_of(finished, tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="module")
def page(used: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    profile = tmp_path_factory.mktemp("chromium")
    with web_ui(used) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            str(profile), executable_path=CHROMIUM, headless=True, args=FLAGS, base_url=url,
            viewport={"width": 1600, "height": 1000},
        )  # fmt: skip
        tab = browser.pages[0]
        tab.set_default_timeout(30_000)
        yield tab
        browser.close()


def keep(page, name: str) -> None:  # type: ignore[no-untyped-def]
    if folder := os.environ.get("MINICODE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_graph_shows_every_group(page) -> None:  # type: ignore[no-untyped-def]
    page.goto("/asset-groups")
    for group in {stage.group: None for stage in STAGES}:
        page.get_by_text(group, exact=True).first.wait_for()
    page.keyboard.press("e")
    keep(page, "graph")
    page.goto("/asset-groups/~/tokenizer")
    keep(page, "graph-tokenizer")


def test_asset_page_shows_metadata_and_plot(page) -> None:  # type: ignore[no-untyped-def]
    page.goto("/assets/checkpoint?view=events")
    page.get_by_text("loss_curve").first.wait_for()
    page.get_by_text("Show Markdown").first.click()
    picture = page.locator('img[src^="data:image/png"]').first
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 300
    keep(page, "checkpoint")


def finished_run(used: Home, before: set[str]) -> dg.DagsterRun:
    """The run that a click started, once it has ended."""
    with dg.DagsterInstance.from_config(str(used.root / "dagster_home")) as instance:
        deadline = time.monotonic() + 120
        while True:
            new = [run for run in instance.get_runs(limit=5) if run.run_id not in before]
            if new and new[0].is_finished:
                return new[0]
            assert time.monotonic() < deadline, "no run finished"
            time.sleep(0.5)


def runs(used: Home) -> set[str]:
    with dg.DagsterInstance.from_config(str(used.root / "dagster_home")) as instance:
        return {run.run_id for run in instance.get_runs()}


def click_partition(page, asset: str, key: str) -> None:  # type: ignore[no-untyped-def]
    """Materialise one partition of an asset as a person does."""
    page.goto(f"/assets/{asset}")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition or create one").click()
    page.locator(f"text={key} >> visible=true").last.click()
    keep(page, f"partition-{key}")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Launch 1 run").click()


def test_run_started_by_a_click(page, used: Home) -> None:  # type: ignore[no-untyped-def]
    before, known = folders(used), runs(used)
    page.goto("/assets/evaluation")
    page.get_by_role("button", name="Materialize").first.click()
    run = finished_run(used, known)
    assert run.status == dg.DagsterRunStatus.SUCCESS
    page.goto(f"/runs/{run.run_id}")
    page.get_by_text("RUN_SUCCESS").first.wait_for()
    keep(page, "run")
    page.goto("/assets/evaluation?view=events")
    page.get_by_text("Show Markdown").first.click()
    page.locator('img[src^="data:image/png"]').first.wait_for()
    keep(page, "run-plot")
    assert folders(used) == before


def test_one_partition_by_clicks_then_a_failing_check(page, used: Home) -> None:  # type: ignore[no-untyped-def]
    """First a sound partition; then bytes in the archive are exchanged, and the other one's check turns red."""
    known = runs(used)
    click_partition(page, "blobs", "00-of-02")
    run = finished_run(used, known)
    assert (run.status, run.tags["dagster/partition"]) == (dg.DagsterRunStatus.SUCCESS, "00-of-02")
    contents = pl.read_parquet(used.data / "contents" / "*.parquet").filter("is_python").sort("sha1_git")
    victim = contents.row(-1, named=True)
    (used.data / "archive" / "content" / victim["sha1"].hex()).write_bytes(gzip.compress(b"import evil\n"))
    known = runs(used)
    click_partition(page, "blobs", "01-of-02")
    assert finished_run(used, known).status == dg.DagsterRunStatus.FAILURE
    page.goto("/assets/blobs?view=checks&checkDetail=no_mismatch")
    page.get_by_text("no_mismatch").first.wait_for()
    page.get_by_text("Failed").first.wait_for()
    keep(page, "failed-check")
    page.goto("/assets/blobs")
    page.get_by_text("Latest check results").wait_for()
    keep(page, "failed-asset")


def test_a_schedule_is_one_click_away(page, used: Home) -> None:  # type: ignore[no-untyped-def]
    page.goto("/automation")
    page.locator("[data-index]", has_text="weekly_evaluation").locator("[class*=formatSwitch]").click()
    with dg.DagsterInstance.from_config(str(used.root / "dagster_home")) as instance:
        deadline = time.monotonic() + 60
        while not (on := [state.name for state in instance.all_instigator_state() if state.is_running]):
            assert time.monotonic() < deadline, "nothing was switched on"
            time.sleep(0.5)
    assert on == ["weekly_evaluation"]
    page.wait_for_timeout(1000)
    keep(page, "schedule-on")


def test_the_launchpad_shows_a_preset_and_a_failure_speaks_plainly(page, used: Home) -> None:  # type: ignore[no-untyped-def]
    """`real_export` unedited: the run says what to accept, and shows no frames of the framework."""
    known = runs(used)
    page.goto("/locations/minicode/jobs/real_export/playground")
    page.get_by_text("accept_terms").first.wait_for()
    keep(page, "launchpad")
    page.get_by_role("button", name="Launch Run").click()
    run = finished_run(used, known)
    assert run.status == dg.DagsterRunStatus.FAILURE
    page.goto(f"/runs/{run.run_id}")
    page.get_by_text("remote backends need accept_terms").first.wait_for()
    page.get_by_text("RUN_FAILURE").first.wait_for()
    keep(page, "failure")
    assert "site-packages/dagster" not in page.content()
