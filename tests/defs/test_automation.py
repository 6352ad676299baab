"""Schedules, sensors and conditions, each ticked: off by default, and asking for what it must and no more."""

import http.server
import json
import threading
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from minicode_assets.definitions import build_definitions
from minicode_assets.defs.automation import WEBHOOK_VARIABLE
from minicode_assets.defs.settings import Settings
from tests.conftest import SMALL, Home
from tests.defs.test_chain import copy_of

Overrides = Mapping[str, Mapping[str, Any]]


def defined(data: Path, overrides: Overrides = {}) -> dg.Definitions:  # noqa: B006
    merged = {**tomllib.loads(SMALL)}
    for section, values in overrides.items():
        merged[section] = {**merged.get(section, {}), **values}
    return build_definitions(Settings("tiny", merged, data))


@pytest.fixture
def instance(finished: Home) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(finished.root / "dagster_home")) as opened:
        yield opened


def tick(
    definitions: dg.Definitions, name: str, instance: dg.DagsterInstance, cursor: str | None = None
) -> tuple[list[dg.RunRequest], str | None]:
    """Tick a sensor: its run requests, and its cursor afterwards."""
    repository = definitions.get_repository_def()
    with dg.build_sensor_context(instance, cursor=cursor, repository_def=repository, sensor_name=name) as context:
        data = repository.get_sensor_def(name).evaluate_tick(context)
    assert data.run_requests or data.skip_message
    return list(data.run_requests or ()), data.cursor


def choice(request: dg.RunRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.run_config["ops"]["materialize"]["config"]
    return found


def test_everything_is_off_by_default(tmp_path: Path) -> None:
    repository = defined(tmp_path).get_repository_def()
    assert {s.name for s in repository.schedule_defs} >= {"nightly_ingestion", "weekly_evaluation"}
    assert {s.default_status for s in repository.schedule_defs} == {dg.DefaultScheduleStatus.STOPPED}
    assert {s.default_status for s in repository.sensor_defs} == {dg.DefaultSensorStatus.STOPPED}
    assert all(spec.freshness_policy is None for spec in defined(tmp_path).resolve_all_asset_specs())


@pytest.mark.parametrize(
    ("name", "job", "select", "tags"),
    [
        ("nightly_ingestion", "ingestion", '+key:"blobs"', {"dagster/max_runtime": "3600"}),
        ("weekly_evaluation", "evaluation_only", "evaluation,report", {}),
    ],
)
def test_schedules_tick(tmp_path: Path, name: str, job: str, select: str, tags: dict[str, str]) -> None:
    definitions = defined(tmp_path, {"automation": {"nightly_max_s": 3600, "timezone": "Europe/Paris"}})
    schedule = definitions.resolve_schedule_def(name)
    time = datetime(2026, 11, 30, 6, tzinfo=ZoneInfo("UTC"))
    with dg.build_schedule_context(scheduled_execution_time=time) as context:
        data = schedule.evaluate_tick(context)
    assert len(data.run_requests or ()) == 1
    assert tags.items() <= (data.run_requests or ())[0].tags.items()
    assert (schedule.job_name, schedule.execution_timezone) == (job, "Europe/Paris")
    assert definitions.resolve_job_def(job).run_config["ops"]["materialize"]["config"]["select"] == select


def test_a_new_plan_and_a_checkpoint_are_seen_once(finished: Home, instance: dg.DagsterInstance) -> None:
    definitions = defined(finished.data)
    for name, select in (("new_plan", "blobs"), ("checkpoint_to_evaluate", "evaluation,report")):
        requests, cursor = tick(definitions, name, instance)
        assert [choice(request)["select"] for request in requests] == [select]
        assert tick(definitions, name, instance, cursor) == ([], cursor)
        assert len(tick(definitions, name, instance, "another version")[0]) == 1
        with dg.DagsterInstance.ephemeral() as empty:
            assert tick(definitions, name, empty)[0] == []


def test_a_changed_opt_out_list_is_seen(finished: Home, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """The finished plan honours no list; one appears, then it is requested once, and again when it changes."""
    assert tick(defined(finished.data), "opt_out_changed", instance)[0] == []
    path = tmp_path / "opt_out.txt"
    definitions = defined(finished.data, {"opt_out": {"file": str(path)}})
    path.write_text("origin https://example.org/*\n")
    requests, cursor = tick(definitions, "opt_out_changed", instance)
    assert len(requests) == 1
    assert tick(definitions, "opt_out_changed", instance, cursor)[0] == []
    path.write_text("path secret/*\n")
    assert len(tick(definitions, "opt_out_changed", instance, cursor)[0]) == 1
    assert definitions.resolve_job_def("opted_out").run_config["ops"]["materialize"]["config"]["force"] is True


class Listing(http.server.BaseHTTPRequestHandler):
    """A web server's folder page of exports, and a webhook that keeps what it gets."""

    exports: tuple[str, ...] = ()
    posted: list[Any] = []  # noqa: RUF012

    def do_GET(self) -> None:
        page = "".join(f'<a href="{name}/">{name}/</a>' for name in self.exports)
        self._answer(200, page.encode())

    def do_POST(self) -> None:
        self.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(500 if self.path == "/broken" else 204, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Listing.posted.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listing) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_new_export_is_seen_once(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {"export": "published", "remote": server, "dataset": "2019-01-28-popular-3k-python", "accept_terms": True}
    blobs = {"content_folder": str(tmp_path)}
    definitions = defined(tmp_path, {"tables": tables, "blobs": blobs})
    with dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(Listing, "exports", ("2019-01-28-popular-3k-python", "2020-05-20", "2018-09-25"))
        assert tick(definitions, "new_export", instance)[0] == []
        monkeypatch.setattr(Listing, "exports", (*Listing.exports, "2021-03-23-popular-3k-python"))
        requests, cursor = tick(definitions, "new_export", instance)
        assert [choice(request)["overrides"] for request in requests] == [
            {"tables": {"dataset": "2021-03-23-popular-3k-python"}}
        ]
        assert tick(definitions, "new_export", instance, cursor)[0] == []
    assert tick(defined(tmp_path), "new_export", dg.DagsterInstance.ephemeral())[0] == []


def requested(data: Path, instance: dg.DagsterInstance, overrides: Overrides) -> set[tuple[str, str | None]]:
    """What the automation sensor's condition asks for on its first tick."""
    result = dg.evaluate_automation_conditions(defined(data, overrides), instance)
    return {
        (item.asset_key.path[-1], item.partition_key)
        for found in result.results
        if isinstance(found.key, dg.AssetKey)
        for item in found.true_subset.expensively_compute_asset_partitions()
    }


def test_nothing_is_rebuilt_when_all_is_fresh(finished: Home, instance: dg.DagsterInstance) -> None:
    assert requested(finished.data, instance, {}) == set()


def test_a_moved_threshold_rebuilds_its_asset_first(finished: Home, instance: dg.DagsterInstance) -> None:
    moved = {"language": {"generated_first_lines": 6}, "corpus": {"max_lines": 77}, "tokenizer": {"seed": 7}}
    assert requested(finished.data, instance, moved) == {("language", "00-of-02"), ("language", "01-of-02")}
    assert requested(finished.data, instance, {"corpus": {"max_lines": 77}}) == {("corpus", None)}


@pytest.mark.slow
def test_a_rebuild_goes_no_further_than_the_bytes(finished: Home, tmp_path: Path) -> None:
    """Tick, do what was asked, tick again: a threshold that changes no byte ends at its own asset."""
    home = copy_of(finished, tmp_path)
    moved = {"corpus": {"max_lines": 99_999}}
    definitions = defined(home.data, moved)
    with dg.DagsterInstance.from_config(str(home.root / "dagster_home")) as instance:
        first = dg.evaluate_automation_conditions(definitions, instance)
        assert first.total_requested == 1
        job = definitions.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("corpus")]).success
        assert dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor).total_requested == 0


def test_what_failed_waits_for_a_person(tmp_path: Path) -> None:
    definitions = defined(tmp_path, {"archive": {"distributions": []}})
    with dg.DagsterInstance.ephemeral() as instance:
        first = dg.evaluate_automation_conditions(definitions, instance, dg.AssetSelection.assets("archive"))
        assert first.total_requested == 1
        job = definitions.resolve_implicit_global_asset_job_def()
        key = dg.AssetKey("archive")
        assert not job.execute_in_process(instance=instance, asset_selection=[key], raise_on_error=False).success
        again = dg.evaluate_automation_conditions(
            definitions, instance, dg.AssetSelection.assets("archive"), cursor=first.cursor
        )
        assert again.total_requested == 0


@pytest.mark.parametrize("path", ["/hook", "/broken"])
def test_a_failure_is_told(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv(WEBHOOK_VARIABLE, server + path)
    definitions = defined(tmp_path, {"archive": {"distributions": []}})
    sensor = definitions.get_repository_def().get_sensor_def("tell_failures")
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey("archive")], raise_on_error=False
        )
        context = dg.build_run_status_sensor_context(
            "tell_failures", result.get_run_failure_event(), instance, result.dagster_run
        ).for_run_failure()
        if path == "/broken":
            with pytest.raises(Exception, match=r"the webhook failed: HTTPStatusError") as caught:
                sensor(context)
            assert server not in str(caught.value)
        else:
            sensor(context)
    (told,) = Listing.posted
    assert (told["run_id"], told["job"]) == (result.run_id, "__ASSET_JOB")
    assert told["problems"][0].startswith("archive: ")
    assert "\nhint: " in told["problems"][0]
    assert "Traceback" not in told["problems"][0]


@pytest.mark.slow
def test_a_launchpad_job_makes_what_is_missing(finished: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`evaluation_only` and `ingestion` as the launchpad runs them, each with the configuration that it shows first."""
    home = copy_of(finished, tmp_path)
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    definitions = defined(home.data)
    with dg.DagsterInstance.from_config(str(home.root / "dagster_home")) as instance:
        made = {}
        for name in ("ingestion", "evaluation_only"):
            result = definitions.resolve_job_def(name).execute_in_process(instance=instance)
            (handled,) = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
            made[name] = handled.step_output_data.metadata["asset_partitions_made"].value
    assert made == {"ingestion": 0, "evaluation_only": 2}
