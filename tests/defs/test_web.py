"""The web UI as a person meets it: real web server and daemon, headless Chromium, clicks.

MINICODE_SCREENSHOTS=<folder> keeps the pictures.
"""

import contextlib
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
import pytest

from minicode_assets.definitions import STAGES
from minicode_assets.defs.instance import HOST_TAG
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


def test_run_started_by_a_click(page, used: Home) -> None:  # type: ignore[no-untyped-def]
    before = folders(used)
    page.goto("/assets/branch_heads")
    page.get_by_role("button", name="Materialize").first.click()
    with dg.DagsterInstance.from_config(str(used.root / "dagster_home")) as instance:
        deadline = time.monotonic() + 90
        run = None
        while run is None or not run.is_finished:
            assert time.monotonic() < deadline, "no run finished"
            time.sleep(0.5)
            run = next((r for r in instance.get_runs(limit=3) if HOST_TAG not in r.tags), None)
        assert run.status == dg.DagsterRunStatus.SUCCESS
    page.goto(f"/runs/{run.run_id}")
    page.get_by_text("RUN_SUCCESS").first.wait_for()
    keep(page, "run")
    assert folders(used) == before
