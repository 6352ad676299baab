"""How a library function becomes an asset: one compute function in, checks, metadata and versions out."""

import dataclasses
import functools
import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from minicode_assets.config import ASSET_SECTIONS, Config, asset_sections, section_digest
from minicode_assets.config.sources import source_partitions
from minicode_assets.defs.failure import StageFailure
from minicode_assets.defs.instance import tag_run
from minicode_assets.defs.limits import MEMORY
from minicode_assets.defs.pictures import column_schema, preview
from minicode_assets.defs.resources import Pipeline
from minicode_assets.defs.staleness import REBUILD
from minicode_assets.errors import ConfigError
from minicode_assets.layout import Layout, partition_keys
from minicode_assets.schemas import Table
from minicode_assets.storage import Storage
from minicode_model.artifact import Artifact

logger = logging.getLogger("minicode.stage")

STAGE_VERSION = "2"
"""Raise when code changes what an asset holds; every asset becomes stale."""


@dataclass(frozen=True)
class StageRun:
    """What a compute function gets.

    Attributes:
        config: The resolved configuration of this run.
        layout: Paths of every artefact.
        name: The asset.
        partition: Its partition key; empty without partitions.
        observe: Shows figures of the work under way in the web UI, as an observation of the asset.
        context: The step under way, for what has to be shown before it ends; None outside of Dagster.
    """

    config: Config
    layout: Layout
    name: str
    partition: str
    observe: Callable[[Mapping[str, Any]], None] = lambda figures: None
    context: dg.AssetExecutionContext | None = None

    @property
    def folder(self) -> Path:
        """Where the artefact goes."""
        return self.layout.asset(self.name, self.partition or None)

    @property
    def config_digest(self) -> str:
        """Digest of the sections that shape the artefact."""
        return section_digest(self.config, self.name)

    def input(self, name: str) -> Path:
        """The folder of an unpartitioned input, or of the same partition of a partitioned one."""
        return self.layout.asset(name, self.partition if name in PARTITIONED else None)

    def partitions(self, name: str) -> list[Path]:
        """The folders of all partitions of an input, in order; the one folder of an unpartitioned input."""
        return [self.layout.asset(name, key or None) for key in keys_of(self.config, name) or [""]]


PARTITIONED = frozenset(name for name, sections in ASSET_SECTIONS.items() if sections[:1] == ("partitions",)) - {
    "corpus"
}
"""Assets cut by prefix of sha1_git; sources may have partitions of their own; all others are whole."""


def keys_of(config: Config, name: str) -> list[str]:
    """The partition keys of an asset: prefixes, those of a source that comes in files or days, or none."""
    return partition_keys(config.partitions.num_prefixes) if name in PARTITIONED else source_partitions(config, name)


@dataclass(frozen=True)
class Outcome:
    """What a compute function gives back.

    Attributes:
        artifact: The finished artefact.
        checks: Check name to (passed, figures a person wants to see).
        metadata: More for the web UI, pictures included.
    """

    artifact: Artifact
    checks: Mapping[str, tuple[bool, Mapping[str, Any]]]
    metadata: Mapping[str, Any] = field(default_factory=dict)


Compute = Callable[[StageRun], Outcome]


@dataclass(frozen=True)
class Stage:
    """The declaration of one asset.

    Attributes:
        name: Asset key, config section, folder.
        group: Group in the web UI.
        compute: The library call.
        deps: Assets it reads: those of the same partitions by identity, `all_partitions` as a whole.
        description: What exists afterwards.
        checks: Check name to what it promises; each blocks what follows in its run.
        warnings: Check name to what is usual; a failure is shown in yellow and blocks nothing.
        table: Schema for the web UI, where the artefact is one table.
        kinds: Labels in the web UI.
        all_partitions: Partitioned inputs that it reads whole.
        tags: Further tags of the asset.
        owners: Whom to ask.
        pool: The limit that its steps share, see defs/limits.py; None for what needs none.
        retry_policy: How often and when a problem that may pass is tried again; other problems never are.
        max_age: Field of [automation] with the hours after which the web UI calls it no longer fresh; empty: never.
        automation: When the automation sensor requests it; it does nothing until that sensor is switched on.
        adds_to_history: Whether it reads and adds to the history of evaluated checkpoints.
    """

    name: str
    group: str
    compute: Compute
    deps: Sequence[str]
    description: str
    checks: Mapping[str, str]
    table: Table | None = None
    kinds: Sequence[str] = ()
    all_partitions: Sequence[str] = ()
    warnings: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    owners: Sequence[str] = ("team:minicode",)
    pool: str | None = MEMORY
    retry_policy: dg.RetryPolicy | None = None
    max_age: str = ""
    automation: dg.AutomationCondition[dg.AssetKey] | None = REBUILD
    adds_to_history: bool = False


def build_asset(stage: Stage, config: Config) -> dg.AssetsDefinition:
    """The Dagster asset of a stage under a configuration."""
    keys = keys_of(config, stage.name)
    partitions = dg.StaticPartitionsDefinition(keys) if keys else None

    def compute(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:  # type: ignore[type-arg]
        return _execute(stage, context, pipeline)

    compute.__name__ = stage.name
    return dg.asset(
        name=stage.name,
        group_name=stage.group,
        description=f"{stage.description}\n\nIt lies in `<data folder>/{stage.name}/`.",
        deps=[_dependency(name, stage, config) for name in stage.deps],
        partitions_def=partitions,
        kinds={*stage.kinds, "parquet"} if stage.table else set(stage.kinds),
        owners=list(stage.owners),
        tags=dict(stage.tags),
        pool=stage.pool,
        retry_policy=stage.retry_policy,
        freshness_policy=_freshness(stage, config),
        automation_condition=stage.automation,
        code_version=code_version(config, stage.name),
        metadata=_definition_metadata(stage, config),
        check_specs=[
            dg.AssetCheckSpec(
                name, asset=stage.name, description=promise, blocking=name in stage.checks, partitions_def=partitions
            )
            for name, promise in {**stage.checks, **stage.warnings}.items()
        ],
        output_required=True,
    )(compute)


def _freshness(stage: Stage, config: Config) -> dg.FreshnessPolicy | None:
    hours = getattr(config.automation, stage.max_age) if stage.max_age else 0
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=hours)) if hours else None


def code_version(config: Config, name: str) -> str:
    """Stage version and digest of the asset's configuration sections."""
    return f"{STAGE_VERSION}-{section_digest(config, name)}"


def _dependency(name: str, stage: Stage, config: Config) -> dg.AssetDep:
    theirs, ours = keys_of(config, name), keys_of(config, stage.name)
    if name in stage.all_partitions or (theirs and ours and theirs != ours):
        return dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping())
    return dg.AssetDep(name)


def _definition_metadata(stage: Stage, config: Config) -> dict[str, Any]:
    sections = {
        name: section if isinstance(section, str) else dataclasses.asdict(section)
        for name, section in asset_sections(config, stage.name).items()
    }
    code = inspect.unwrap(stage.compute).__code__  # inspect.getsourcelines would parse the module, once an asset
    reference = dg.LocalFileCodeReference(
        file_path=code.co_filename, line_number=code.co_firstlineno, label=stage.compute.__name__
    )
    metadata: dict[str, Any] = {
        "configuration": dg.MetadataValue.json(sections),
        "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference]),
    }
    if stage.table:
        metadata["dagster/column_schema"] = column_schema(stage.table)
    return metadata


def _execute(stage: Stage, context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult[Any]:
    tag_run(context.instance, context.run)
    partition = context.partition_key if context.has_partition_key else ""
    started = time.monotonic()
    label = f"{stage.name} [{partition}]" if partition else stage.name
    logger.info("  … %s", label)
    try:
        config = pipeline.config
        _check_partition(config, stage.name, partition)
        observe = functools.partial(_observe, context)
        run = StageRun(config, pipeline.layout, stage.name, partition, observe, context)
        outcome = _compute(stage, run, pipeline.storage)
    except dg.DagsterExecutionInterruptedError as stopped:  # or a retry policy would start it again
        raise dg.Failure(description="stopped; hint: run it again, it resumes", allow_retries=False) from stopped
    except Exception as error:
        raise _failure(stage, error, context.op_execution_context.retry_number) from None
    artifact = outcome.artifact
    seconds = time.monotonic() - started
    rows = f"{artifact.metadata['num_rows']:,} rows" if "num_rows" in artifact.metadata else ""
    logger.info("  ✓ %-26s %14s %9.2f MB %7.1f s", label, rows, artifact.total_bytes / 1e6, seconds)
    return dg.MaterializeResult(
        metadata={
            **_artifact_metadata(stage, artifact, bool(partition)),
            "seconds": round(seconds, 3),
            "preset": pipeline.preset,
            **outcome.metadata,
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=name,
                passed=bool(passed),
                metadata=dict(figures),
                severity=dg.AssetCheckSeverity.WARN if name in stage.warnings else dg.AssetCheckSeverity.ERROR,
            )
            for name, (passed, figures) in outcome.checks.items()
        ],
        data_version=dg.DataVersion(artifact.digest),
        # A run's own configuration may differ from the loaded one: record what was really used.
        tags={"dagster/code_version": code_version(run.config, stage.name)},
    )


def _compute(stage: Stage, run: StageRun, storage: Storage) -> Outcome:
    """The library call, between bringing its inputs here and sending its output to the storage root."""
    for folder in _inputs(stage, run):
        storage.fetch(folder)
    if stage.adds_to_history:
        storage.unite(run.layout.history)
    outcome = stage.compute(run)
    if stage.adds_to_history:
        storage.unite(run.layout.history)
    storage.publish(outcome.artifact.path)
    return outcome


def _failure(stage: Stage, error: Exception, retry_number: int) -> Exception:
    """The failure, or a request to try again: Dagster's own retries pass by an error that brings its own frames."""
    failure, policy = StageFailure(error), stage.retry_policy
    if policy is None or not failure.allow_retries or retry_number >= policy.max_retries:
        return failure
    return dg.RetryRequested(policy.max_retries, policy.calculate_delay(retry_number + 1))


def _observe(context: dg.AssetExecutionContext, figures: Mapping[str, Any]) -> None:
    partition = context.partition_key if context.has_partition_key else None
    context.log_event(dg.AssetObservation(context.asset_key, metadata=dict(figures), partition=partition))


def _inputs(stage: Stage, run: StageRun) -> list[Path]:
    """The folders that a stage reads: of its own partition, or of all where it has none or reads them whole."""
    folders: list[Path] = []
    for name in stage.deps:
        same = name not in stage.all_partitions and keys_of(run.config, name) == keys_of(run.config, stage.name)
        folders += [run.input(name)] if same and run.partition else run.partitions(name)
    return folders


def _check_partition(config: Config, name: str, partition: str) -> None:
    keys = keys_of(config, name)
    if partition and partition not in keys:
        raise ConfigError(
            f"partition {partition!r} is not one of this configuration's {len(keys)} ({keys[0]} ... {keys[-1]})",
            hint="partitions are fixed when the definitions load: set MINICODE_PRESET or MINICODE_CONFIG",
        )


def _artifact_metadata(stage: Stage, artifact: Artifact, partitioned: bool) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "path": dg.MetadataValue.path(str(artifact.path)),
        "bytes": artifact.total_bytes,
        "digest": artifact.digest,
    }
    if "num_rows" in artifact.metadata:
        metadata["dagster/partition_row_count" if partitioned else "dagster/row_count"] = artifact.metadata["num_rows"]
    if stage.table:
        metadata["preview"] = preview(artifact.path, stage.table)
    return metadata | {
        name: value for name, value in artifact.metadata.items() if isinstance(value, (int, float, str, bool))
    }
