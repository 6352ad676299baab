"""Jobs of the launchpad: each runs the driver with a preset of its own, so that one click makes all that it needs.

An asset job would need one run for each partition and the daemon between them. These jobs have one op, which does what
`minicode materialize` does: only what is missing or stale, each group of assets an ordinary run that the web UI shows.
"""

import dataclasses
from typing import Any

import dagster as dg
from pydantic import Field

from minicode_assets.config.phases import merge_tables
from minicode_assets.defs.driver import Driver
from minicode_assets.defs.failure import StageFailure
from minicode_assets.defs.settings import Settings, from_environment
from minicode_assets.errors import MinicodeError

DRIVER_TAG = "minicode/driver"
"""Runs with this tag work on the whole data folder; dagster.yaml lets one at a time start, the others queue."""


class Choice(dg.Config):
    """What a run of the driver makes."""

    select: str = Field(default="", description="Dagster's selection syntax, e.g. tokenizer+; empty: all")
    force: bool = Field(default=False, description="Make the selected assets even if they are fresh")
    preset: str = Field(default="", description="tiny, mini or starcoder2; empty: MINICODE_PRESET")
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="Section to keys, above preset and MINICODE_CONFIG"
    )

    def settings(self, environment: Settings) -> Settings:
        """The environment's settings with this choice above them."""
        merged = merge_tables(environment.overrides, self.overrides)
        return dataclasses.replace(environment, preset=self.preset or environment.preset, overrides=merged)


# Without a docstring: Dagster would load a parser of docstrings for it, a tenth of what the definitions take to load.
@dg.op(
    name="materialize",
    description="Make what is missing or stale of the selection, in flow order, as `minicode materialize` does.",
)
def _materialize(context: dg.OpExecutionContext, config: Choice) -> None:
    from minicode_assets.definitions import build_definitions

    try:
        settings = config.settings(from_environment())
        driver = Driver(build_definitions(settings), settings, context.instance)
        summary = driver.materialize(config.select, force=config.force)
    except MinicodeError as error:
        raise StageFailure(error) from None
    context.add_output_metadata({"asset_partitions_made": summary.num_materialized, "seconds": summary.seconds})


def choice_config(**values: Any) -> dict[str, Any]:
    """The run configuration of a choice."""
    return {"ops": {"materialize": {"config": values}}}


def driver_job(name: str, description: str, **values: Any) -> dg.JobDefinition:
    """A job that runs the driver; its values are what the launchpad shows first, to be edited."""

    @dg.graph(name=f"{name}_graph", description=description)
    def one_op() -> None:
        _materialize()

    config, tags = choice_config(**values), {DRIVER_TAG: "true"}
    return one_op.to_job(name, description, config=config, tags=tags, executor_def=dg.in_process_executor)


FIRST_LOOK = driver_job(
    "first_look",
    "Everything, from what is installed on this machine, with the tiny preset: some minutes on two cores.",
    preset="tiny", select="", overrides={},
)  # fmt: skip
REAL_EXPORT = driver_job(
    "real_export",
    "A published Software Heritage export up to the corpus. Read the archive's terms, then set both accept_terms to "
    "true and contact to your address; the API token comes from SWH_TOKEN.",
    select='+key:"corpus"',
    overrides={
        "tables": {"export": "published", "dataset": "2019-01-28-popular-3k-python", "accept_terms": False},
        "blobs": {"backends": ["s3", "api"], "accept_terms": False, "contact": ""},
    },
)  # fmt: skip
GPU_PRETRAINING = driver_job(
    "gpu_pretraining",
    "The mini preset's model on a GPU, from a corpus that was made with MINICODE_PRESET=mini: tokenizer, shards, "
    "checkpoint, evaluation and phases.",
    preset="mini", select="tokenizer+", overrides={"checkpoint": {"precision": "bf16", "compile": True}},
)  # fmt: skip
EVALUATION_ONLY = driver_job(
    "evaluation_only", "Measure the checkpoint that is here, and write the report.",
    select="evaluation,report", force=True,
)  # fmt: skip
INGESTION = driver_job(
    "ingestion", "Tables, manifest, plan and blobs, as far as they are missing or stale.", select='+key:"blobs"'
)
OPTED_OUT = driver_job(
    "opted_out", "The list and the plan anew, after an opt-out list changed; the sensor new_plan brings blobs to it.",
    select="opt_out,fetch_plan", force=True,
)  # fmt: skip

JOBS = [FIRST_LOOK, REAL_EXPORT, GPU_PRETRAINING, EVALUATION_ONLY, INGESTION, OPTED_OUT]
