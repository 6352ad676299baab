"""Downloads as Dagster runs them: resumed while the quota lasts, stopped and taken up again, and no token anywhere."""

import json
import logging
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from minicode_assets.blobs import progress
from minicode_assets.blobs.chain import open_limiter
from minicode_assets.blobs.limits import Grant
from minicode_assets.blobs.opt_out import build_opt_out
from minicode_assets.definitions import build_definitions
from minicode_assets.defs.blobs import TOKEN_VARIABLE
from minicode_assets.defs.resources import Pipeline
from minicode_assets.defs.settings import Settings
from minicode_assets.layout import Layout
from minicode_assets.parquet import write_table
from minicode_assets.schemas import FILE_MANIFEST
from minicode_model.artifact import write_artifact
from tests.blobs.archive_server import ArchiveServer, Stored, make_contents
from tests.blobs.tables import CONTACT, write_contents
from tests.conftest import SMALL, Home

TOKEN = "eyJhbGciOi.SECRET-token_0123456789"
KEY = "00-of-01"


def tick(instance: dg.DagsterInstance, settings: Settings) -> dg.RunRequest | str:
    """The request of one tick, or why there is none."""
    definitions = build_definitions(settings)
    resources = {"pipeline": Pipeline.of(settings)}
    repository = definitions.get_repository_def()
    with dg.build_schedule_context(instance, repository_def=repository, resources=resources) as context:
        data = definitions.resolve_schedule_def("resume_blobs").evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else str(data.skip_message)


def test_schedule_asks_for_what_is_unfinished(finished: Home, tmp_path: Path) -> None:
    shorter = tomllib.loads(SMALL) | {"blobs": {"max_length_bytes": 9000}}
    with dg.DagsterInstance.from_config(str(finished.root / "dagster_home")) as instance:
        fresh = Settings("tiny", tomllib.loads(SMALL), finished.data)
        assert tick(instance, fresh) == "every partition is finished"
        request = tick(instance, Settings("tiny", shorter, finished.data))
        assert isinstance(request, dg.RunRequest)
        assert request.asset_selection == [dg.AssetKey("license_blobs")]
        assert request.partition_key == "00-of-02"
    (tmp_path / "dagster_home").mkdir()
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster_home")) as empty:
        waits = tick(empty, Settings("tiny", shorter, tmp_path))
        assert waits == "license_blobs waits: contents is missing or out of date"


class Downloads:
    """A data folder with a contents table of licence files, and a real instance in files."""

    def __init__(self, folder: Path, server: ArchiveServer, contents: list[Stored], **fields: Any) -> None:
        self.layout, self.home = Layout(folder / "data"), folder / "dagster_home"
        self.home.mkdir()
        write_contents(self.layout.asset("contents"), contents)
        files = [
            {"origin_url": "https://a.example", "path": b"%d" % n, "sha1_git": stored.ids[0], "is_license": True}
            for n, stored in enumerate(contents)
        ]
        manifest = pl.DataFrame(files, schema=FILE_MANIFEST.polars)
        write_table(self.layout.asset("file_manifest"), manifest, FILE_MANIFEST, config_digest="", inputs={})
        build_opt_out(self.layout.asset("opt_out"), file="", config_digest="")
        with write_artifact(self.layout.asset("archive"), name="archive", config_digest="", inputs={}):
            pass
        blobs = {
            "backends": ["api"], "accept_terms": True, "contact": CONTACT, "api_url": f"{server.url}/api/1",
            "api_burst_fraction": 1.0, "api_limit": 100, **fields,
        }  # fmt: skip
        self.settings = Settings("tiny", {"blobs": blobs, "partitions": {"num_prefixes": 1}}, self.layout.root)

    def run(self, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
        job = build_definitions(self.settings).resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey("license_blobs")], partition_key=KEY, raise_on_error=False
        )

    def toml(self) -> str:
        """The settings as a file."""
        values = {name: json.dumps(value) for name, value in self.settings.overrides["blobs"].items()}
        return "[partitions]\nnum_prefixes = 1\n[blobs]\n" + "\n".join(f"{k} = {v}" for k, v in values.items())

    def open(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.home))


def licenses(count: int) -> list[Stored]:
    """Contents of which `write_contents` calls `count` licence files."""
    return make_contents(10 * count)


def holders(folder: Path) -> list[str]:
    """Files that hold the token's secret part."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    return [path.name for path in files if b"SECRET" in path.read_bytes()]


@pytest.mark.slow
def test_token_is_in_no_log_metadata_exception_or_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The real client, Dagster's event log in its SQLite files, every library's logs: accepted, then refused."""
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.setattr(progress, "OBSERVE_S", 0.0)
    for name in ("SPEAK_S", "SLOWER"):
        monkeypatch.setattr(progress, name, 0.0)
    caplog.set_level(logging.DEBUG)
    contents = licenses(6)
    with ArchiveServer(contents, token=TOKEN) as server:
        downloads = Downloads(tmp_path, server, contents)
        with downloads.open() as instance:
            assert downloads.run(instance).success
            observed = instance.fetch_observations(dg.AssetKey("license_blobs"), limit=10).records
            figures = observed[0].asset_observation.metadata if observed[0].asset_observation else {}
            assert {"blobs", "blobs_wanted", "bytes", "blobs_per_s", "finish", "api_requests", "api_left"} <= set(
                figures
            )
            assert figures["blobs"].value == figures["blobs_wanted"].value == 6
            server.token = "another"
            (downloads.layout.asset("license_blobs", KEY) / "part-00000.parquet").unlink()
            assert not downloads.run(instance).success
    assert all(headers["Authorization"] == f"Bearer {TOKEN}" for headers in server.headers)
    assert "401" in caplog.text + "".join(capfd.readouterr())
    assert "api_left" in caplog.text
    assert holders(tmp_path) == []
    assert "SECRET" not in caplog.text + "".join(capfd.readouterr())


def test_schedule_waits_for_the_quota_and_for_a_run_under_way(tmp_path: Path) -> None:
    contents = licenses(2)
    with ArchiveServer(contents) as server:
        downloads = Downloads(tmp_path, server, contents, api_limit=2)
    limiter = open_limiter(downloads.settings.config.blobs, downloads.layout.work, None)
    assert all(isinstance(limiter.reserve(), Grant) for _ in range(2))
    with downloads.open() as instance:
        assert tick(instance, downloads.settings) == "the web API's quota is used up"
        instance.create_run_for_job(
            build_definitions(downloads.settings).resolve_job_def("fetch_blobs"), status=dg.DagsterRunStatus.STARTED,
            tags={"dagster/partition": KEY},
        )  # fmt: skip
        assert tick(instance, downloads.settings) == f"fetch_blobs {KEY} is under way"


@pytest.mark.slow
def test_stopped_run_is_resumed(tmp_path: Path) -> None:
    """SIGTERM to Dagster's own command, then the same command: what was verified is not asked for again."""
    contents = licenses(120)
    with ArchiveServer(contents, delay_s=0.1) as server:
        downloads = Downloads(tmp_path, server, contents, api_limit=10_000)
        command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "minicode_assets.definitions",
                   "--select", "license_blobs", "--partition", KEY]  # fmt: skip
        (tmp_path / "config.toml").write_text(downloads.toml())
        environment = os.environ | {
            "MINICODE_CONFIG": str(tmp_path / "config.toml"), "MINICODE_DATA": str(downloads.layout.root),
            "DAGSTER_HOME": str(downloads.home),
        }  # fmt: skip
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        while server.num_requests < 30 and process.poll() is None:
            time.sleep(0.02)
        process.terminate()
        assert process.wait(60) != 0
        first = server.num_requests
        assert first < 120
        subprocess.run(command, env=environment, check=True, capture_output=True)
    assert server.num_requests <= 120 + 4
    with downloads.open() as instance:
        statuses = [run.status for run in instance.get_runs()]
        assert statuses[0] == dg.DagsterRunStatus.SUCCESS
        assert statuses[1] in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE)
