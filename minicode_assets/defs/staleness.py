"""What is out of date, by Dagster's own account: asked by the driver, and by the automation sensor as a condition."""

import functools
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.definitions.temporal_context import TemporalContext
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.base import AssetRecord


class Staleness:
    """One moment's answers; make another after a run. A partition is its key, None where there are none."""

    def __init__(self, instance: dg.DagsterInstance, graph: BaseAssetGraph[Any]) -> None:
        self._instance, self._graph = instance, graph
        now = TemporalContext(effective_dt=datetime.now(UTC), last_event_id=None)
        view = AssetGraphView(temporal_context=now, instance=instance, asset_graph=graph)
        AssetRecord.prepare(view, graph.materializable_asset_keys)  # all by one query
        self._resolver = CachingStaleStatusResolver(instance, graph, loading_context=view)
        self._failed: dict[tuple[dg.AssetKey, str | None], list[str]] = {}

    def is_fresh(self, key: dg.AssetKey, partition: str | None) -> bool:
        """Whether it was made, with the code and configuration of now, from what its inputs are now."""
        return self._resolver.get_status(key, partition) == StaleStatus.FRESH

    def failed_checks(self, key: dg.AssetKey, partition: str | None) -> list[str]:
        """Names of the blocking checks whose last verdict is not a pass."""
        if (key, partition) not in self._failed:
            self._failed[key, partition] = self._ask_failed_checks(key, partition)
        return self._failed[key, partition]

    def _ask_failed_checks(self, key: dg.AssetKey, partition: str | None) -> list[str]:
        checks = [check for check in self._graph.asset_check_keys if check.asset_key == key]
        blocking = [check for check in checks if self._graph.get(check).blocking]
        records = self._instance.event_log_storage.get_latest_asset_check_execution_by_key(
            blocking, partition_filter=PartitionKeyFilter(key=partition) if partition else None
        )
        passed = AssetCheckExecutionRecordStatus.SUCCEEDED
        return sorted(check.name for check, record in records.items() if record.status != passed)

    def is_due(self, key: dg.AssetKey, partition: str | None) -> bool:
        """Whether it is out of date while all that it reads is fresh and sound, so that making it is not in vain."""
        return not self.is_fresh(key, partition) and all(
            self.is_fresh(parent, part) and not self.failed_checks(parent, part)
            for parent in self._graph.get(key).parent_keys
            for part in self._parts(key, partition, parent)
        )

    def _parts(self, key: dg.AssetKey, partition: str | None, parent: dg.AssetKey) -> Iterable[str | None]:
        """The partitions of a parent that a partition reads: its own, or all."""
        definition = self._graph.get(parent).partitions_def
        if not definition:
            return [None]
        whole = isinstance(self._graph.get_partition_mapping(key, parent), dg.AllPartitionMapping)
        return definition.get_partition_keys() if whole or not partition else [partition]


class OutOfDate(dg.AutomationCondition[dg.AssetKey]):
    """True for what is out of date while its inputs are not.

    Layer by layer, so that a moved threshold rebuilds its asset, and what follows only where bytes changed; an asset
    whose threshold was moved while nobody looked is found as well.
    """

    @property
    def name(self) -> str:
        """How the web UI calls it."""
        return "out_of_date"

    @property
    def description(self) -> str:
        """What the web UI says of it."""
        return "Missing or stale, while everything that it reads is fresh and passed its blocking checks"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """See `dg.AutomationCondition`."""
        view = context.asset_graph_view
        staleness = _at(view)
        candidates = {item.partition_key for item in context.candidate_subset.expensively_compute_asset_partitions()}
        due = {partition for partition in candidates if staleness.is_due(context.key, partition)}
        partitions = view.asset_graph.get(context.key).partitions_def
        if not partitions:
            return dg.AutomationResult(context, context.candidate_subset if due else context.get_empty_subset())
        keys = {partition for partition in due if partition}
        return dg.AutomationResult(context, view.get_subset_from_partition_keys(context.key, partitions, keys))


@functools.lru_cache(maxsize=1)
def _at(view: AssetGraphView) -> Staleness:
    """One set of answers for all assets of a tick."""
    return Staleness(view.instance, view.asset_graph)


REBUILD: dg.AutomationCondition[dg.AssetKey] = (
    OutOfDate() & ~dg.AutomationCondition.in_progress() & ~dg.AutomationCondition.execution_failed()
).with_label("rebuild")
"""Every stage's condition: make what is due, once at a time; what failed waits for a person."""
