"""The launchpad's jobs: what each shows first resolves to a configuration and to assets, and `first_look` runs."""

import dagster as dg
import pytest

from minicode_assets.definitions import build_definitions
from minicode_assets.defs.driver import Driver
from minicode_assets.defs.jobs import JOBS, Choice
from minicode_assets.defs.settings import Settings
from minicode_assets.errors import ConfigError
from tests.conftest import Home
from tests.defs.test_automation import defined
from tests.defs.test_chain import copy_of

CHOICES = {job.name: Choice(**job.run_config["ops"]["materialize"]["config"]) for job in JOBS}


def chosen(name: str, settings: Settings) -> list[str]:
    """The assets that a job makes, in flow order."""
    with dg.DagsterInstance.ephemeral() as instance:
        return Driver(build_definitions(settings), settings, instance)._selected(CHOICES[name].select)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("first_look", "archive", "report"),
        ("gpu_pretraining", "tokenizer", "report"),
        ("evaluation_only", "evaluation", "report"),
        ("ingestion", "archive", "blobs"),
        ("opted_out", "opt_out", "fetch_plan"),
    ],
)
def test_a_preset_resolves(home: Home, name: str, first: str, last: str) -> None:
    settings = CHOICES[name].settings(Settings("tiny", {}, home.data))
    names = chosen(name, settings)
    assert (names[0], last in names) == (first, True)


def test_pretraining_is_for_a_gpu(home: Home) -> None:
    config = CHOICES["gpu_pretraining"].settings(Settings("tiny", {}, home.data)).config
    assert (config.preset, config.checkpoint.precision, config.checkpoint.compile) == ("mini", "bf16", True)
    names = chosen("gpu_pretraining", CHOICES["gpu_pretraining"].settings(Settings("tiny", {}, home.data)))
    assert {"token_shards", "checkpoint", "evaluation"} <= set(names)
    assert not {"corpus", "documents"} & set(names)


def test_a_real_export_asks_first_and_then_resolves(home: Home) -> None:
    choice = CHOICES["real_export"].model_copy(deep=True)
    with pytest.raises(ConfigError, match=r"(?s)accept_terms = true.*need a contact"):
        _ = choice.settings(Settings("tiny", {}, home.data)).config
    for section in ("tables", "blobs"):
        choice.overrides[section]["accept_terms"] = True
    choice.overrides["blobs"]["contact"] = "someone@example.org"
    names = chosen("real_export", choice.settings(Settings("tiny", {}, home.data)))
    assert ("archive" in names, names[-1]) == (False, "corpus")


@pytest.mark.slow
def test_a_first_look_has_nothing_to_do_twice(finished: Home, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    home = copy_of(finished, tmp_path)
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(home.root / "dagster_home")) as instance:
        (home.data / "report" / "manifest.json").unlink()
        result = defined(home.data).resolve_job_def("first_look").execute_in_process(instance=instance)
    (output,) = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    assert output.step_output_data.metadata["asset_partitions_made"].value == 1
