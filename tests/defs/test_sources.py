"""Every asset check of a source fails when what it promises does not hold."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from minicode_assets.blobs.opt_out import OptOut
from minicode_assets.config import load
from minicode_assets.definitions import ALL_STAGES
from minicode_assets.defs.stage import Stage, StageRun
from minicode_assets.layout import Layout
from minicode_assets.sources.document import Document, frame_of
from minicode_assets.sources.harvest import Progress
from minicode_assets.sources.web import RemoteFile


def malformed(*_: Any, **__: Any) -> list[Document]:
    return [Document(source="gsm8k", record_id=f"{n}", origin_url="https://o.org", path="p", text="", status=status)
            for n, status in enumerate(["malformed", "malformed", "ok"])]  # fmt: skip


class Sealed:
    """A harvest of one file, done."""

    def __init__(self, *_: object, **__: object) -> None:
        self.progress = Progress("", uncounted={}, is_done=True)

    def blocks(self) -> list[pl.DataFrame]:
        return [frame_of([document.row() for document in malformed()])]

    def remove(self) -> None:
        pass


READERS = {
    "notebooks": "notebook_source.read_notebooks",
    "documentation": "documentation_source.read_documentation",
    "commits": "commit_source.read_commits",
    "markup": "markup_source.read_markup",
    "issues": "read_issues",
    "pull_requests": "read_pull_requests",
    "stackoverflow": "read_questions",
}
"""The name by which a source's stage calls what reads its records."""
SOURCES = [stage for stage in ALL_STAGES if "mostly_readable" in stage.checks]


def outcome_of(stage: Stage, folder: Path, patch: pytest.MonkeyPatch, records: Any) -> dict[str, Any]:
    """The checks of a source whose reader gives these documents."""
    inputs = SimpleNamespace(digest="", metadata={"num_rows": 0})
    patch.setattr("minicode_assets.defs.sources.open_artifact", lambda *_, **__: inputs)
    patch.setattr("minicode_assets.defs.dumps.open_artifact", lambda *_, **__: inputs)
    patch.setattr("minicode_assets.sources.manifest_files.open_artifact", lambda *_, **__: inputs)
    patch.setattr("minicode_assets.defs.sources.load_opt_out", lambda *_: OptOut())
    patch.setattr("minicode_assets.defs.sources.num_pulls", lambda *_: {})
    patch.setattr("minicode_assets.defs.sources.FINGERPRINTS", dict.fromkeys(READERS, lambda config: ""))
    for module in ("sources", "dumps"):
        patch.setattr(f"minicode_assets.defs.{module}.Harvest", Sealed)
    patch.setattr("minicode_assets.defs.dumps.dump_file", lambda run: ("u", Path(__file__)))
    patch.setattr("minicode_assets.defs.sources.hub.list_files", lambda *_, **__: [RemoteFile("u", "n", 1)])
    patch.setattr("minicode_assets.defs.sources.hub.open_web", lambda *_: SimpleNamespace(close=lambda: None))
    if name := READERS.get(stage.name):
        patch.setattr(f"{stage.compute.__module__}.{name}", records)
    config = load("tiny", {"partitions": {"num_prefixes": 1}})
    partition = "00" if stage.name not in READERS else ""
    return dict(stage.compute(StageRun(config, Layout(folder), stage.name, partition)).checks)


@pytest.mark.parametrize("stage", SOURCES, ids=lambda stage: stage.name)
def test_a_source_of_broken_records_fails_its_check(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = outcome_of(stage, tmp_path, monkeypatch, malformed)
    assert set(checks) == set(stage.checks)
    assert checks["has_records"][0]
    assert not checks["mostly_readable"][0]


@pytest.mark.parametrize("name", ["issues", "pull_requests", "stackoverflow"])
def test_a_remote_source_without_records_fails_its_check(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stage,) = (stage for stage in SOURCES if stage.name == name)
    assert not outcome_of(stage, tmp_path, monkeypatch, lambda *_, **__: [])["has_records"][0]


def test_a_day_of_broken_events_fails_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (stage,) = (stage for stage in ALL_STAGES if stage.name == "gharchive")
    figures = {"missing_hours": [], "skipped": {"malformed": 2}, "num_rows": 100, "events_by_type": {}}
    artifact = SimpleNamespace(metadata=figures)
    monkeypatch.setattr("minicode_assets.defs.sources.collect_day", lambda *_, **__: artifact)
    outcome = stage.compute(StageRun(load("tiny"), Layout(tmp_path), "gharchive", "2023-01-01"))
    assert not outcome.checks["mostly_events"][0]
    figures["skipped"] = {"malformed": 1}
    assert stage.compute(StageRun(load("tiny"), Layout(tmp_path), "gharchive", "2023-01-01")).checks["mostly_events"][0]


@pytest.mark.parametrize(
    ("num_rows", "skipped", "passed"),
    [
        (0, {}, (False, True)),
        (99, {"malformed": 1, "planted": 50}, (True, True)),
        (98, {"malformed": 1, "too_long": 1}, (True, False)),
    ],
)
def test_a_dump_of_broken_posts_fails_its_checks(
    num_rows: int, skipped: dict[str, int], passed: tuple[bool, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stage,) = (stage for stage in ALL_STAGES if stage.name == "stack_posts")
    harvest = Sealed()
    harvest.progress.uncounted.update(skipped)
    artifact = SimpleNamespace(metadata={"num_rows": num_rows})
    monkeypatch.setattr("minicode_assets.defs.dumps.dump_file", lambda run: ("u", Path(__file__)))
    monkeypatch.setattr("minicode_assets.defs.dumps.harvested", lambda *_, **__: harvest)
    monkeypatch.setattr("minicode_assets.defs.dumps.write_table", lambda *_, **__: artifact)
    checks = stage.compute(StageRun(load("tiny"), Layout(tmp_path), "stack_posts", "00")).checks
    assert (checks["has_posts"][0], checks["mostly_posts"][0]) == passed
