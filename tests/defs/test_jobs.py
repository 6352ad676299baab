"""The launchpad's jobs: what each shows first resolves to a configuration and to assets, and `first_look` runs."""

import functools
import json
from pathlib import Path

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

TINY = Settings("tiny", {}, Path("data"))
CHOICES = {job.name: Choice(**job.run_config["ops"]["materialize"]["config"]) for job in JOBS}


@functools.cache
def driver(preset: str, overrides: str) -> Driver:
    settings = Settings(preset, json.loads(overrides), Path("data"))
    return Driver(build_definitions(settings), settings, dg.DagsterInstance.ephemeral())


def chosen(name: str, settings: Settings) -> list[str]:
    """The assets that a job makes, in flow order."""
    return driver(settings.preset, json.dumps(settings.overrides))._selected(CHOICES[name].select)


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
def test_a_preset_resolves(name: str, first: str, last: str) -> None:
    settings = CHOICES[name].settings(TINY)
    names = chosen(name, settings)
    assert (names[0], last in names) == (first, True)


def test_pretraining_is_for_a_gpu() -> None:
    config = CHOICES["gpu_pretraining"].settings(TINY).config
    assert (config.preset, config.checkpoint.precision, config.checkpoint.compile) == ("mini", "bf16", True)
    names = chosen("gpu_pretraining", CHOICES["gpu_pretraining"].settings(TINY))
    assert {"token_shards", "checkpoint", "evaluation"} <= set(names)
    assert not {"corpus", "documents"} & set(names)


def test_a_choice_stands_above_what_the_environment_says() -> None:
    phases = {"phases": {"more": {"after": "checkpoint", "model": {"rope_theta": 1e6}}}}
    environment = Settings("tiny", {**phases, "curation": "opencoder", "corpus": {"min_lines": 7}}, Path("data"))
    changes = {"corpus": {"max_lines": 99}, "phases": {"more": {"checkpoint": {"max_steps": 3}}}}
    config = Choice(overrides=changes).settings(environment).config
    assert (config.curation, config.corpus.min_lines, config.corpus.max_lines) == ("opencoder", 7, 99)
    (phase,) = config.phases
    assert (phase.model.rope_theta, phase.checkpoint.max_steps) == (1e6, 3)


def test_a_real_export_asks_first_and_then_resolves() -> None:
    choice = CHOICES["real_export"].model_copy(deep=True)
    with pytest.raises(ConfigError, match=r"(?s)accept_terms = true.*need a contact"):
        _ = choice.settings(TINY).config
    for section in ("tables", "blobs"):
        choice.overrides[section]["accept_terms"] = True
    choice.overrides["blobs"]["contact"] = "someone@example.org"
    names = chosen("real_export", choice.settings(TINY))
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
