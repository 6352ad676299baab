"""The schedule that resumes downloads: one unfinished partition after the other, for as long as the quota lasts.

It is off until somebody switches it on in the web UI.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from minicode_assets.blobs.chain import open_limiter
from minicode_assets.config import Blobs
from minicode_assets.defs.blobs import api_token
from minicode_assets.defs.resources import Pipeline
from minicode_assets.defs.staleness import Staleness
from minicode_assets.layout import Layout, partition_keys

FETCHED = {"license_blobs": ("contents", "opt_out"), "blobs": ("fetch_plan", "license_blobs")}
"""What is downloaded, in order, and what must be fresh before: an outdated plan may want what was opted out since."""
PARTITION_TAG = "dagster/partition"
PATIENCE = timedelta(hours=1)
"""A partition that failed is not requested again for so long."""
EVERY_TWO_MINUTES = "*/2 * * * *"

FETCH = dg.define_asset_job(
    "fetch_blobs",
    selection=[dg.AssetKey(name) for name in FETCHED],
    description="One partition of the licence files or of the blobs. It resumes from its journal.",
)


@dg.schedule(
    name="resume_blobs", job=FETCH, cron_schedule=EVERY_TWO_MINUTES,
    description="The next partition of licence files or blobs, one after the other, while the API's quota lasts.",
)  # fmt: skip
def resume_blobs(context: dg.ScheduleEvaluationContext, pipeline: Pipeline) -> dg.RunRequest | dg.SkipReason:
    """Request the next partition that is missing or out of date, unless one is under way or the quota is used up."""
    config = pipeline.config
    if busy := _under_way(context.instance):
        return dg.SkipReason(f"{busy} is under way")
    if not requests_left(config.blobs, pipeline.layout):
        return dg.SkipReason("the web API's quota is used up")
    graph = context.repository_def.asset_graph
    keys = partition_keys(config.partitions.num_prefixes)
    found = next_partition(context.instance, graph, keys)
    if isinstance(found, str):
        return dg.SkipReason(found)
    name, key = found
    return dg.RunRequest(asset_selection=[dg.AssetKey(name)], partition_key=key)


def next_partition(
    instance: dg.DagsterInstance, graph: BaseAssetGraph[Any], keys: list[str]
) -> tuple[str, str] | str:  # fmt: skip
    """The first asset and partition to download, or why there is none.

    A partition that failed lately waits, so that a refused token or a full disk is not tried every two minutes.
    """
    failed = _failed_lately(instance)
    staleness = Staleness(instance, graph)

    def is_fresh(name: str, key: str | None) -> bool:
        return staleness.is_fresh(dg.AssetKey(name), key)

    for name, inputs in FETCHED.items():
        due = [key for key in keys if not is_fresh(name, key)]
        for needed in inputs if due else ():
            partition = due[0] if needed in FETCHED else None
            if not is_fresh(needed, partition):
                return f"{name} waits: {needed} is missing or out of date"
        for key in due:
            if key not in failed:
                return name, key
        if due:
            return f"{name} {', '.join(due)} failed within {PATIENCE}: look at the runs"
    return "every partition is finished"


def requests_left(params: Blobs, layout: Layout) -> bool:
    """Whether the web API would take a request now; True where it is no source."""
    if "api" not in params.backends:
        return True
    limiter = open_limiter(params, layout.work, api_token())
    try:
        found = limiter.figures()
    finally:
        limiter.close()
    return found["in_window"] < found["limit"]


def _failed_lately(instance: dg.DagsterInstance) -> set[str]:
    """Partitions whose last download failed within `PATIENCE`."""
    since = datetime.now(UTC) - PATIENCE
    runs = instance.get_runs(dg.RunsFilter(job_name=FETCH.name, created_after=since))
    newest = {run.tags.get(PARTITION_TAG, ""): run.status for run in reversed(runs)}
    return {key for key, status in newest.items() if status == dg.DagsterRunStatus.FAILURE}


def _under_way(instance: dg.DagsterInstance) -> str:
    """The download that a run in progress works on; empty without one."""
    for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES)):
        names = {key.path[-1] for key in run.asset_selection or ()} & set(FETCHED)
        if names or run.job_name == FETCH.name:
            return f"{', '.join(sorted(names)) or FETCH.name} {run.tags.get(PARTITION_TAG, '')}".strip()
    return ""


JOBS = [FETCH]
AUTOMATION = [resume_blobs]
