"""Schedules and sensors: all off until somebody switches them on in the web UI (Automation, one click each)."""

import os
from collections.abc import Iterator
from typing import Any

import dagster as dg

from minicode_assets.config import Config, section_digest
from minicode_assets.defs.jobs import EVALUATION_ONLY, INGESTION, OPTED_OUT, choice_config
from minicode_assets.defs.settings import Settings
from minicode_assets.errors import ConfigError, MinicodeError, MissingArtifactError
from minicode_assets.layout import Layout
from minicode_assets.tables.download import check_terms
from minicode_assets.tables.remotes import open_remote

WEBHOOK_VARIABLE = "MINICODE_WEBHOOK"
"""Environment variable with the address that failures are posted to; it may be a secret, so it is nowhere else."""
WEBHOOK_TIMEOUT_S = 10.0
Definition = dg.ScheduleDefinition | dg.SensorDefinition


def build_automation(settings: Settings) -> list[Definition]:
    """Every schedule and sensor, under a configuration.

    Raises:
        ConfigError: A time or the time zone is none that Dagster knows.
    """
    config = settings.config
    try:
        schedules = [nightly_ingestion(config), weekly_evaluation(config)]
    except dg.DagsterInvalidDefinitionError as error:
        raise ConfigError(
            f"[automation] {error}", hint="nightly_cron and weekly_cron as '30 1 * * *', timezone as 'Europe/Paris'"
        ) from error
    return [
        *schedules,
        new_export(config),
        opt_out_changed(settings),
        after("new_plan", "fetch_plan", INGESTION, config, select="blobs"),
        after("checkpoint_to_evaluate", "checkpoint", EVALUATION_ONLY, config, select="evaluation,report"),
        rebuild_stale(config),
        tell_failures,
    ]


def nightly_ingestion(config: Config) -> dg.ScheduleDefinition:
    """Go on with tables, plan and blobs every night, for as long as the night lasts."""
    return dg.ScheduleDefinition(
        name="nightly_ingestion",
        job=INGESTION,
        cron_schedule=config.automation.nightly_cron,
        execution_timezone=config.automation.timezone,
        tags={"dagster/max_runtime": str(config.automation.nightly_max_s), "dagster/max_retries": "0"},
        description="Tables, plan and blobs, as far as missing or stale. The limiter keeps the archive's quota; the "
        "run is stopped at the end of the night, and the next one goes on from its journal.",
    )


def weekly_evaluation(config: Config) -> dg.ScheduleDefinition:
    """Measure the checkpoint every week."""
    return dg.ScheduleDefinition(
        name="weekly_evaluation",
        job=EVALUATION_ONLY,
        cron_schedule=config.automation.weekly_cron,
        execution_timezone=config.automation.timezone,
        description="Evaluation and report of the checkpoint that is here, made anew.",
    )


def new_export(config: Config) -> dg.SensorDefinition:
    """Mirror and resolve an export that is newer than the configured one."""
    params = config.tables

    @dg.sensor(
        name="new_export",
        job=INGESTION,
        minimum_interval_seconds=max(config.automation.poll_s, 3600),
        description="A newer export of the same kind appeared beside [tables] dataset: bring tables, plan and blobs to "
        "it. Off while [tables] export is not 'published'.",
    )
    def look(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if params.export != "published":
            yield dg.SkipReason(f"[tables] export is {params.export!r}: only published exports are watched")
            return
        known = context.cursor or params.dataset
        newer = [name for name in _datasets(params) if _is_successor(name, params.dataset) and name > known]
        if not newer:
            yield dg.SkipReason(f"nothing newer than {known}")
            return
        context.update_cursor(newer[-1])
        choice = choice_config(select='+key:"blobs"', overrides={"tables": {"dataset": newer[-1]}})
        yield dg.RunRequest(run_key=newer[-1], run_config=choice)

    return look


def _datasets(params: Any) -> list[str]:
    """Names of the exports that a remote lists."""
    check_terms(params)
    return sorted(open_remote(params).folders(""))


def _is_successor(name: str, dataset: str) -> bool:
    """Whether a name has another date and the same suffix: `2021-03-23-popular-3k-python`."""
    return name[10:] == dataset[10:] and name[:4].isdecimal()


def opt_out_changed(settings: Settings) -> dg.SensorDefinition:
    """Plan anew when the opt-out list isn't the one that the plan honours."""
    folder = Layout(settings.data_folder).asset("opt_out")

    @dg.sensor(
        name="opt_out_changed",
        job=OPTED_OUT,
        minimum_interval_seconds=settings.config.automation.poll_s,
        description="The file [opt_out] file is not the one that was read: it is read anew, and what follows from it.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        digest = section_digest(settings.config, "opt_out")
        try:
            read = settings.storage.open(folder).config_digest
        except MissingArtifactError:
            return dg.SkipReason("no list was read yet")
        if read == digest:
            return dg.SkipReason("the list is the one that was read")
        if context.cursor == digest:
            return dg.SkipReason("requested before")
        return dg.SensorResult([dg.RunRequest()], cursor=digest)

    return look


def after(name: str, asset: str, job: dg.JobDefinition, config: Config, **choice: Any) -> dg.SensorDefinition:
    """A sensor that runs a job when an asset's newest materialisation has other bytes than the last one seen."""

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=config.automation.poll_s,
        description=f"{asset} was made with new bytes: `{choice['select']}` follows.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        event = context.instance.get_latest_materialization_event(dg.AssetKey(asset))
        if event is None or event.asset_materialization is None:
            return dg.SkipReason(f"{asset} was never made")
        version = (event.asset_materialization.tags or {}).get("dagster/data_version")
        if version == context.cursor:
            return dg.SkipReason(f"{asset} has the bytes that were seen before")
        return dg.SensorResult([dg.RunRequest(run_config=choice_config(**choice))], cursor=version)

    return look


def rebuild_stale(config: Config) -> dg.SensorDefinition:
    """Make what a moved threshold or a changed input left stale, and no more: see `staleness.OutOfDate`."""
    return dg.AutomationConditionSensorDefinition(
        "rebuild_stale",
        target=dg.AssetSelection.all(),
        use_user_code_server=True,
        emit_backfills=False,
        minimum_interval_seconds=min(config.automation.poll_s, 30),
        description="Requests what is missing or stale while its inputs are fresh and passed their checks, layer by "
        "layer: what follows unchanged bytes stays as it is.",
    )


@dg.run_failure_sensor(
    name="tell_failures",
    description=f"Logs each failed run with the library's own message, and posts it as JSON to ${WEBHOOK_VARIABLE}.",
)
def tell_failures(context: dg.RunFailureSensorContext) -> None:
    """Say that a run failed, and why."""
    run = context.dagster_run
    problems = [step_problem(event) for event in context.get_step_failure_events()]
    told = {
        "run_id": run.run_id,
        "job": run.job_name,
        "partition": run.tags.get("dagster/partition", ""),
        "problems": problems or [context.failure_event.message or "the run failed outside of any step"],
    }
    context.log.error("run %s (%s) failed: %s", told["run_id"], told["job"], "; ".join(told["problems"]))
    if address := os.environ.get(WEBHOOK_VARIABLE):
        post(address, told)


def step_problem(event: dg.DagsterEvent) -> str:
    """The step and the library's message, hint included; without one, the error's first line."""
    failure = event.step_failure_data
    told = failure.user_failure_data.description if failure.user_failure_data else None
    error = failure.error.message.strip() if failure.error else "failed"
    return f"{event.step_key}: {told or error}"


def post(address: str, told: dict[str, Any]) -> None:
    """Send JSON to a webhook.

    Raises:
        MinicodeError: It can't be reached or refuses; the address, which may be a secret, is not shown.
    """
    import httpx

    try:
        httpx.post(address, json=told, timeout=WEBHOOK_TIMEOUT_S).raise_for_status()
    except httpx.HTTPError as error:
        raise MinicodeError(
            f"${WEBHOOK_VARIABLE}: the webhook failed: {type(error).__name__}", hint="check the variable's address"
        ) from None
