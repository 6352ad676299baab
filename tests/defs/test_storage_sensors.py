"""What looks at finished artefacts looks at the storage root: the opt-out sensor, and the history of checkpoints."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from minicode_assets.definitions import build_definitions
from minicode_assets.defs.settings import Settings
from tests.conftest import SMALL, Home
from tests.defs.test_automation import tick
from tests.defs.test_storage_root import bucket

__all__ = ["bucket"]


def machine(data: Path, overrides: dict[str, Any] | None = None) -> Settings:
    """A machine of the bucket with a data folder of its own."""
    return Settings("tiny", {**tomllib.loads(SMALL), **(overrides or {})}, data, "s3://lake/minicode")


@pytest.fixture
def published(finished: Home, bucket: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bucket holds what a leaderboard reads, and the opt-out list; gives a folder for further machines."""
    for name, value in bucket.items():
        monkeypatch.setenv(name, value)
    first = machine(tmp_path / "first")
    for name in ("checkpoint", "evaluation", "benchmark_scores", "opt_out"):
        shutil.copytree(finished.data / name, first.data_folder / name)
        first.storage.publish(first.data_folder / name)
    return tmp_path


def test_the_opt_out_sensor_asks_the_storage_root(published: Path) -> None:
    """A machine without a data folder knows which list was read."""
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(build_definitions(machine(published / "other")), "opt_out_changed", instance)[0] == []
        (published / "wishes").write_text("path secret/*\n")
        changed = machine(published / "other", {"opt_out": {"file": str(published / "wishes")}})
        assert len(tick(build_definitions(changed), "opt_out_changed", instance)[0]) == 1


def test_the_history_grows_on_every_machine(published: Path) -> None:
    """Two machines evaluate, each its own checkpoint: the third one's leaderboard has all."""
    for name in ("second", "third"):
        settings = machine(published / name)
        job = build_definitions(settings).resolve_implicit_global_asset_job_def()
        history = settings.data_folder / "history"
        if name == "second":
            history.mkdir(parents=True)
            row = {"run": "elsewhere", "bits_per_byte": 0.5, "num_tokens": 9}
            (history / "elsewhere.json").write_text(json.dumps(row))
        with dg.DagsterInstance.ephemeral() as instance:
            result = job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("leaderboard")])
        assert result.success
        rows = json.loads((settings.data_folder / "leaderboard" / "leaderboard.json").read_text())
        assert [row["run"] for row in rows] == ["elsewhere", "tiny"]
    assert len(list(history.glob("*.json"))) == 2
