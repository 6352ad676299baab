"""The pipeline's table of contents: every asset in flow order. Loaded by workspace.yaml and `dagster -m`."""

import dataclasses
import gc
import warnings
from typing import Any

import dagster as dg

gc.freeze()  # what imports made stays; the collector's walks through it were a quarter of loading and ending a process
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

from minicode_assets.config import Config  # noqa: E402
from minicode_assets.config.sources import SOURCE_SECTIONS, document_sources, reads_manifest, source_assets  # noqa: E402
from minicode_assets.defs import (  # noqa: E402
    blobs,
    blobs_automation,
    corpus,
    dumps,
    jobs,
    licenses,
    manifest,
    model,
    phases,
    sources,
    tables,
    tokens,
)
from minicode_assets.defs.automation import build_automation  # noqa: E402
from minicode_assets.defs.resources import Pipeline  # noqa: E402
from minicode_assets.defs.settings import Settings, from_environment  # noqa: E402
from minicode_assets.defs.stage import Stage, build_asset  # noqa: E402
from minicode_assets.sources.history import INPUTS as HISTORY_INPUTS  # noqa: E402
from minicode_assets.sources.hub_maps import MAPPINGS  # noqa: E402

MODULES = (tables, manifest, licenses, blobs, blobs_automation, corpus, tokens, model, jobs)
"""Modules of defs/ whose lists JOBS and AUTOMATION (schedules, sensors) are gathered, where they have them."""

STAGES = [
    *tables.STAGES,
    *manifest.STAGES,
    *licenses.STAGES,
    *blobs.STAGES,
    *corpus.STAGES,
    *tokens.STAGES,
    *model.STAGES,
]

ALL_STAGES = [
    *STAGES[: STAGES.index(corpus.STAGES[0])],
    *sources.STAGES,
    *dumps.STAGES,
    *STAGES[STAGES.index(corpus.STAGES[0]) :],
]
"""With the sources of text, each of which is off unless its section switches it on."""

MANIFEST_INPUTS = ("file_manifest", "blobs", "opt_out")
"""What a source reads that takes files of the manifest."""


def stages(config: Config) -> list[Stage]:
    """The stages that a configuration needs: its phases too.

    Tables that come from elsewhere need no embedded archive; the documents read the sources that are switched on.
    """
    enabled = source_assets(config)
    every = [*ALL_STAGES, *phases.stages_of(config)]
    found = [stage for stage in every if stage.name not in SOURCE_SECTIONS or stage.name in enabled]
    measured = [name for phase in config.phases for name in phase.measured]
    added = {"documents": document_sources(config), "leaderboard": measured}
    added |= {name: list(MANIFEST_INPUTS) for name in enabled if reads_manifest(config, name)}
    added |= {name: ["archive", "opt_out"] for name in enabled if name in MAPPINGS and MAPPINGS[name].by_blob}
    if config.commits.enabled and config.commits.history:
        added["commits"] = ["archive", *HISTORY_INPUTS]
    left_out = {"archive"} if config.tables.export != "embedded" else set()
    return [
        dataclasses.replace(
            stage, deps=[name for name in (*stage.deps, *added.get(stage.name, ())) if name not in left_out]
        )
        for stage in found
        if stage.name not in left_out
    ]


def _gathered(name: str) -> list[Any]:
    """The items of all lists of this name, in the modules' order."""
    return [item for module in MODULES for item in getattr(module, name, ())]


def build_definitions(settings: Settings) -> dg.Definitions:
    """All assets, jobs and resources under the given settings."""
    config = settings.config
    automation = [*build_automation(settings), *_gathered("AUTOMATION")]
    return dg.Definitions(
        assets=[build_asset(stage, config) for stage in stages(config)],
        jobs=_gathered("JOBS"),
        schedules=[item for item in automation if isinstance(item, dg.ScheduleDefinition)],
        sensors=[item for item in automation if isinstance(item, dg.SensorDefinition)],
        resources={"pipeline": Pipeline.of(settings)},
        executor=dg.in_process_executor,
    )


defs = build_definitions(from_environment())
gc.freeze()
