"""The whole chain on a small archive: what it leaves, that it is done once, and that both commands agree."""

import hashlib
import json
import re
import resource
import shutil
import sys
import tomllib
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from minicode_assets.config import ASSET_SECTIONS, load
from minicode_assets.config.sources import SOURCE_SECTIONS, document_sources
from minicode_assets.definitions import ALL_STAGES, STAGES
from minicode_assets.layout import partition_keys
from minicode_model.artifact import open_artifact
from tests.conftest import SMALL, Done, Home, new_home

KEYS = partition_keys(2)


def folders(home: Home) -> dict[str, str]:
    """Digest of every artefact of a home, by folder."""
    manifests = sorted(home.data.glob("*/manifest.json")) + sorted(home.data.glob("*/*-of-*/manifest.json"))
    return {path.parent.relative_to(home.data).as_posix(): open_artifact(path.parent).digest for path in manifests}


def test_every_asset_left_a_whole_artefact(finished: Home) -> None:
    enabled = document_sources(load("tiny", tomllib.loads(SMALL)))
    assert enabled
    assert {name.split("/")[0] for name in folders(finished)} == {*ASSET_SECTIONS, *enabled}
    assert not list(finished.data.rglob(".partial-*"))
    assert not list(finished.data.rglob(".former-*"))


def test_every_stage_is_declared_once() -> None:
    assert sorted(stage.name for stage in STAGES) == sorted(ASSET_SECTIONS)
    assert sorted(stage.name for stage in ALL_STAGES) == sorted({*ASSET_SECTIONS, *SOURCE_SECTIONS})
    assert all(stage.checks for stage in ALL_STAGES)


def children_s() -> float:
    """Processor time of finished commands: other tests that run meanwhile don't count. Unit: seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_second_call_does_nothing(finished: Home) -> None:
    before, spent = folders(finished), children_s()
    done = finished.run(sys.executable, "-m", "minicode_assets", "materialize")
    assert ": 0 asset partition(s) made" in done.stderr
    assert children_s() - spent < 20
    assert folders(finished) == before


def test_report_has_the_promised_figures(finished: Home) -> None:
    text = finished.minicode("report").stdout
    for wanted in (
        "files resolved", "blobs verified", "documents kept", "bytes per token", "tokens", "training loss",
        "bits per byte", "untrained", "byte entropy", "completion", "fill in the middle", "everything lies in",
    ):  # fmt: skip
        assert wanted in text, text
    figures = json.loads((finished.data / "report" / "report.json").read_text())
    assert figures["blobs_verified"] == figures["blobs_wanted"] > 0
    assert figures["last_loss"] < figures["first_loss"]


def test_funnel_adds_up(finished: Home) -> None:
    decisions = pl.read_parquet(finished.data / "corpus" / "decisions" / "*.parquet")
    funnel = {row["step"]: row for row in pl.read_parquet(finished.data / "corpus" / "funnel.parquet").to_dicts()}
    documents = sum(open_artifact(finished.data / "documents" / key, verify=False).metadata["num_rows"] for key in KEYS)
    assert decisions.height == documents == funnel["all"]["num_documents"]
    assert decisions["kept"].sum() == funnel["kept"]["num_documents"]
    assert decisions.filter(pl.col("kept") == (pl.col("drop_reasons").list.len() > 0)).is_empty()
    assert (
        sum(row["num_first"] for step, row in funnel.items() if step not in ("all", "kept"))
        == documents - (funnel["kept"]["num_documents"])
    )


def test_every_kept_text_is_its_blob(finished: Home) -> None:
    """From corpus back to bytes: the SWHID's id is that of a verified blob with this text."""
    blobs = pl.read_parquet(finished.data / "blobs" / "*" / "*.parquet").filter(pl.col("status") == "verified")
    data = dict(blobs.select("sha1_git", "data").iter_rows())
    corpus = pl.concat(pl.read_parquet(finished.data / "corpus" / s / "*.parquet") for s in ("train", "validation"))
    corpus = corpus.filter(pl.col("source") == "swh")  # the other sources keep a part of their record
    assert corpus.height > 50
    for swhid, text, parent in corpus.select("swhid", "text", "parent_sha256").iter_rows():
        raw = data[bytes.fromhex(swhid.split(";")[0].removeprefix("swh:1:cnt:"))]
        if parent:
            assert parent == hashlib.sha256(raw).digest() or not raw.isascii()
            assert text.encode() != raw
            continue
        assert text.encode() in (raw, raw.removeprefix(b"\xef\xbb\xbf")) or not raw.isascii()


def test_dagster_recorded_everything(finished: Home) -> None:
    with dg.DagsterInstance.from_config(str(finished.root / "dagster_home")) as instance:
        for stage in STAGES:
            event = instance.get_latest_materialization_event(dg.AssetKey(stage.name))
            assert event is not None
            materialization = event.asset_materialization
            assert materialization is not None
            assert {"path", "bytes", "digest", "seconds"} <= set(materialization.metadata)
            assert ("preview" in materialization.metadata) == (stage.table is not None)
        assert all(run.status == dg.DagsterRunStatus.SUCCESS for run in instance.get_runs())
        for name, picture in [("checkpoint", "loss_curve"), ("corpus", "funnel_picture"), ("documents", "lengths")]:
            event = instance.get_latest_materialization_event(dg.AssetKey(name))
            assert event is not None
            assert event.asset_materialization is not None
            value = event.asset_materialization.metadata[picture].value
            assert str(value).startswith("![")
            assert "data:image/png;base64," in str(value)


@pytest.mark.slow
def test_dagster_asset_materialize_gives_the_same_artefacts(finished: Home, home: Home) -> None:
    """The other way to run everything: Dagster's own command, one call a kind of partition."""
    home.minicode("init")
    listing = home.run(sys.executable, "-m", "minicode_assets.defs.commands").stdout.splitlines()
    assert len(listing) == 13
    for arguments in listing:
        home.installed("dagster", "asset", "materialize", "-m", "minicode_assets.definitions", *arguments.split())
    assert folders(home) == folders(finished)
    assert ": 0 asset partition(s) made" in home.minicode("materialize").stderr


@pytest.mark.slow
def test_lost_folder_is_made_again(finished: Home, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)
    before = folders(home)
    shutil.rmtree(home.data / "tokenizer")
    done = home.minicode("materialize")
    assert ": 1 asset partition(s) made" in done.stderr
    assert folders(home) == before


def copy_of(finished: Home, tmp_path: Path) -> Home:
    """A home that may be changed, with everything done."""
    home = new_home(tmp_path / "copy")
    shutil.copytree(finished.untouched, home.root, dirs_exist_ok=True)
    return home


@pytest.mark.parametrize(
    "command",
    [
        "materialize",
        "init",
        "config",
        "archive",
        "resolve",
        "funnel",
        "explain",
        "search",
        "report",
        "evaluate",
        "leaderboard",
        "generate",
        "parquet",
        "doctor",
        "prune",
    ],
)
def test_help_shows_an_example(finished: Home, command: str) -> None:
    text = finished.minicode(command, "--help").stdout
    assert re.search(rf"example:\n.*minicode {command}", text), text


@pytest.mark.slow
def test_explain_follows_a_file(finished: Home) -> None:
    kept = pl.read_parquet(finished.data / "corpus" / "train" / "*.parquet").row(0, named=True)
    dropped = pl.read_parquet(finished.data / "corpus" / "decisions" / "*.parquet").filter(~pl.col("kept"))
    text = finished.minicode("explain", kept["swhid"].split(";")[0]).stdout
    assert kept["origin_url"] in text
    assert "train" in text
    row = dropped.row(0, named=True)
    assert row["drop_reasons"][0] in finished.minicode("explain", row["document_id"]).stdout
    unknown: Done = finished.minicode("explain", "swh:1:cnt:" + "0" * 40, check=False)
    assert unknown.status == 1
    assert "hint:" in unknown.stderr


@pytest.mark.slow
def test_generate_completes_and_fills(finished: Home) -> None:
    one = finished.minicode("generate", "def add(a, b):", "--seed", "7").stdout
    assert one.startswith("def add(a, b):")
    assert one == finished.minicode("generate", "def add(a, b):", "--seed", "7").stdout
    assert finished.minicode("generate", "--prefix", "def add(", "--suffix", "\n    return a").stdout
    stopped = finished.minicode("generate", "def add(a, b):", "--seed", "7", "--stop", "\n", "--stop", " ").stdout
    written = one.removeprefix("def add(a, b):").rstrip("\n")
    assert stopped.removeprefix("def add(a, b):") == min(written.split("\n")[0], written.split(" ")[0], key=len) + "\n"
    assert finished.minicode("generate", check=False).status == 2


@pytest.mark.slow
def test_evaluate_prints_json(finished: Home, tmp_path: Path) -> None:
    results = json.loads(finished.minicode("evaluate", "--out", str(tmp_path / "evaluation")).stdout)
    again = json.loads((finished.data / "evaluation" / "results.json").read_text())
    assert results["bits_per_byte"] == again["bits_per_byte"]
