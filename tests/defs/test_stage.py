"""A stage in Dagster: retries only what may pass, warnings that block nothing, the library's words in a failure."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from minicode_assets.config import load
from minicode_assets.defs.driver import _problems
from minicode_assets.defs.resources import Pipeline
from minicode_assets.defs.stage import Compute, Outcome, Stage, StageRun, build_asset
from minicode_assets.errors import TableError
from minicode_model.artifact import open_artifact, write_artifact


def written(run: StageRun, checks: dict[str, tuple[bool, dict[str, int]]]) -> Outcome:
    with write_artifact(run.folder, name=run.name, config_digest=run.config_digest, inputs={}) as writer:
        (writer.path / "rows.txt").write_text("1")
    return Outcome(open_artifact(run.folder), checks)


def make(tmp_path: Path, compute: Compute, **declared: object) -> dg.ExecuteInProcessResult:
    stages = [
        Stage("contents", "manifest", compute, (), "One.", {"whole": "Whole."}, **declared),  # type: ignore[arg-type]
        Stage("report", "model", lambda run: written(run, {}), ("contents",), "Two.", {}),
    ]
    return dg.materialize(
        [build_asset(stage, load()) for stage in stages],
        resources={"pipeline": Pipeline(data_folder=str(tmp_path))},
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )


def failure(result: dg.ExecuteInProcessResult) -> str:
    event = next(event for event in result.all_events if event.is_step_failure)
    assert event.step_failure_data.user_failure_data
    return event.step_failure_data.user_failure_data.description or ""


@pytest.mark.parametrize(("may_pass", "tries"), [(True, 3), (False, 1)])
def test_only_what_may_pass_is_tried_again(tmp_path: Path, may_pass: bool, tries: int) -> None:
    calls = []

    def compute(run: StageRun) -> Outcome:
        calls.append(run.name)
        raise TableError("the server is away", hint="run again", may_pass=may_pass)

    result = make(tmp_path, compute, retry_policy=dg.RetryPolicy(max_retries=2))
    assert len(calls) == tries
    assert failure(result) == "the server is away\nhint: run again"
    shown = next(event for event in result.all_events if event.is_step_failure).step_failure_data.error
    assert shown
    assert shown.to_string().strip() == "the server is away\nhint: run again"


def test_a_defect_is_not_tried_again(tmp_path: Path) -> None:
    calls = []

    def compute(run: StageRun) -> Outcome:
        calls.append(run.name)
        raise KeyError("surprise")

    result = make(tmp_path, compute, retry_policy=dg.RetryPolicy(max_retries=2))
    assert len(calls) == 1
    assert failure(result).startswith("KeyError: 'surprise'\nhint: ")
    shown = next(event for event in result.all_events if event.is_step_failure).step_failure_data.error
    assert shown
    assert 'raise KeyError("surprise")' in shown.to_string()
    assert "site-packages/dagster" not in shown.to_string()


@pytest.mark.parametrize(("passed", "made"), [({"whole": True, "usual": False}, True), ({"whole": False}, False)])
def test_a_warning_blocks_nothing(tmp_path: Path, passed: dict[str, bool], made: bool) -> None:
    checks = {"usual": (True, {"rows": 1})} | {name: (value, {"rows": 1}) for name, value in passed.items()}
    result = make(tmp_path, lambda run: written(run, checks), warnings={"usual": "Usual."})
    assert (tmp_path / "report").is_dir() == made
    severities = {check.check_name: check.severity for check in result.get_asset_check_evaluations()}
    assert severities == {"whole": dg.AssetCheckSeverity.ERROR, "usual": dg.AssetCheckSeverity.WARN}


def test_a_stage_says_whom_to_ask_and_what_it_shares(tmp_path: Path) -> None:
    stage = Stage(
        "contents", "manifest", lambda run: written(run, {}), (), "One.", {},
        tags={"cost": "high"}, owners=("me@example.org",), pool="network", max_age="max_plan_age_h",
    )  # fmt: skip
    spec = next(iter(build_asset(stage, load()).specs))
    assert (spec.tags["cost"], list(spec.owners), spec.freshness_policy) == ("high", ["me@example.org"], None)
    aged = build_asset(stage, load("tiny", {"automation": {"max_plan_age_h": 36}}))
    assert next(iter(aged.specs)).freshness_policy == dg.FreshnessPolicy.time_window(timedelta(hours=36))
    assert aged.op.pool == "network"


def test_a_failed_check_is_told_by_its_figures() -> None:
    """In the stage's words, without the error that Dagster makes of it."""

    @dg.asset(check_specs=[dg.AssetCheckSpec("adds_up", asset="broken", blocking=True)])
    def broken() -> dg.MaterializeResult:  # type: ignore[type-arg]
        return dg.MaterializeResult(
            check_results=[dg.AssetCheckResult(check_name="adds_up", passed=False, metadata={"lost": 3})]
        )

    (problem,) = _problems(dg.materialize([broken], raise_on_error=False))
    assert problem.startswith("broken: check adds_up failed: lost 3\nhint: ")
