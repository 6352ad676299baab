"""The whole graph, partitioned and not, in one process and without a daemon: `minicode materialize`.

`dagster asset materialize` takes one kind of partition at a time and the web UI's backfills need the daemon. This
driver asks Dagster which assets are missing or stale, groups them into the fewest runs that their order allows, and
executes each as an ordinary run of the same instance, so that the web UI shows every event.
"""

import contextlib
import fcntl
import logging
import operator
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

from minicode_assets.config import Config
from minicode_assets.defs.fingerprints import is_current
from minicode_assets.defs.instance import fail_killed_runs, run_tags
from minicode_assets.defs.settings import Settings
from minicode_assets.defs.staleness import Staleness
from minicode_assets.errors import DriverError, MinicodeError
from minicode_assets.layout import Layout, other_partitions
from minicode_model.artifact import storage_errors
from minicode_model.config import nearest

logger = logging.getLogger("minicode.driver")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Step:
    """One run: some assets, whole or of one partition.

    Attributes:
        assets: Names, in flow order.
        partition: Partition key, or empty.
    """

    assets: tuple[str, ...]
    partition: str


@dataclass(frozen=True)
class Summary:
    """What a call of `materialize` did.

    Attributes:
        num_assets: Assets in the selection.
        num_materialized: Asset partitions that were made.
        seconds: Wall time.
    """

    num_assets: int
    num_materialized: int
    seconds: float


class Driver:
    """Materialises assets of one code location with one instance."""

    def __init__(self, definitions: dg.Definitions, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.config: Config = settings.config
        self.layout = Layout(settings.data_folder)
        self.storage = settings.storage
        self.job = definitions.resolve_implicit_global_asset_job_def()
        self.graph = self.job.asset_layer.asset_graph
        self.order = [key.path[-1] for key in self.graph.toposorted_asset_keys]

    def materialize(self, select: str = "", *, force: bool = False) -> Summary:
        """Make what is missing or stale, in flow order.

        Args:
            select: Dagster's selection syntax, e.g. `tokenizer+`; empty means all.
            force: Make the selected assets even if they are fresh.

        Raises:
            DriverError: Unknown selection, another driver at work, or a run that failed; the message is the stage's.
        """
        started = time.monotonic()
        wanted = self._selected(select)
        made = 0
        with data_folder_lock(self.layout.root):
            if killed := fail_killed_runs(self.instance):
                logger.info("%d earlier run(s) were killed; resuming", killed)
            if old := other_partitions(self.layout.root, self.config.partitions.num_prefixes):
                logger.info("%d partitions of another num_prefixes are made anew; see minicode doctor", len(old))
            for layer in layers(self.graph, wanted):
                for step in self._steps(layer, force):
                    self._execute(step)
                    made += len(step.assets)
        return Summary(len(wanted), made, time.monotonic() - started)

    def _selected(self, select: str) -> list[str]:
        if not select:
            return self.order
        parts = [part.strip() for part in select.split(",") if part.strip()]
        for name in (part.strip("+* ") for part in parts):
            if name.isidentifier() and name not in self.order:
                raise DriverError(
                    f"asset {name!r} is unknown{nearest(name, self.order)}", hint="minicode materialize --list"
                )
        try:
            selection = reduce(operator.or_, (dg.AssetSelection.from_string(_quoted(part)) for part in parts))
        except Exception as error:
            raise DriverError(
                f"--select {select!r} is no selection: {error}", hint="minicode materialize --select 'tokenizer+'"
            ) from error
        keys = {key.path[-1] for key in selection.resolve(self.graph)}
        return [name for name in self.order if name in keys]

    def _steps(self, layer: Sequence[str], force: bool) -> Iterator[Step]:
        """The runs that a layer needs, asked anew after each: what follows unchanged bytes stays as it is."""
        for partition in keys_in(self.graph, layer[0]) or ("",):
            made: set[str] = set()
            due = list(layer) if force else self._due(layer, partition)
            while due:
                if again := made & set(due):
                    raise DriverError(
                        f"{', '.join(sorted(again))} {partition}: out of date although just made",
                        hint="look at the asset in `make dev`: its inputs or configuration changed during the run",
                    )
                yield Step(tuple(due), partition)
                made |= set(due)
                due = self._due(layer, partition)

    def _due(self, layer: Sequence[str], partition: str) -> list[str]:
        """What is to be made now, in flow order; what reads an asset that may yet become stale is left for later."""
        staleness = Staleness(self.instance, self.graph)
        due = {name for name in layer if not self._is_done(name, partition, staleness)}
        now, uncertain = [], set[str]()
        for name in layer:
            parents = {key.path[-1] for key in self.graph.get(dg.AssetKey(name)).parent_keys}
            if parents & uncertain or (name not in due and parents & due):
                uncertain.add(name)
            elif name in due:
                now.append(name)
        return now

    def _is_done(self, name: str, partition: str, staleness: Staleness) -> bool:
        """Fresh by Dagster's account, passed its checks, and whole on disk."""
        if not staleness.is_fresh(dg.AssetKey(name), partition or None):
            return False
        if failed := staleness.failed_checks(dg.AssetKey(name), partition or None):
            logger.info("%s%s failed before: %s", name, _bracketed(partition), ", ".join(failed))
            return False
        try:
            artifact = self.storage.open(self.layout.asset(name, partition or None))
        except MinicodeError as problem:
            logger.info("%s%s is made again: %s", name, _bracketed(partition), problem.what)
            return False
        return is_current(artifact, self.config)

    def _execute(self, step: Step) -> None:
        logger.info("%s", _heading(step))
        result = self.job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(name) for name in step.assets],
            partition_key=step.partition or None,
            run_config=QUIET,
            tags=run_tags(),
            raise_on_error=False,
        )
        if problems := _problems(result):
            raise DriverError("\n".join(problems))


def layers(graph: BaseAssetGraph[Any], wanted: Sequence[str] | None = None) -> list[list[str]]:
    """Group assets so that all within a group can share a run, or a run for each partition.

    Args:
        graph: The assets.
        wanted: Names to group; None means all.

    Returns:
        Groups in the order in which they can be made; names within a group in flow order.
    """
    order = [key.path[-1] for key in graph.toposorted_asset_keys]
    depth: dict[str, int] = {}
    for name in order:
        parents = [key.path[-1] for key in graph.get(dg.AssetKey(name)).parent_keys]
        depth[name] = max((depth[parent] + _crosses(graph, parent, name) for parent in parents), default=0)
    chosen = [name for name in order if wanted is None or name in wanted]
    groups = {name: (depth[name], keys_in(graph, name)) for name in chosen}
    return [[name for name in chosen if groups[name] == group] for group in sorted(set(groups.values()))]


def keys_in(graph: BaseAssetGraph[Any], name: str) -> tuple[str, ...]:
    """The partition keys of an asset; none without partitions."""
    definition = graph.get(dg.AssetKey(name)).partitions_def
    return tuple(definition.get_partition_keys()) if definition else ()


def _crosses(graph: BaseAssetGraph[Any], parent: str, child: str) -> bool:
    """Whether the child can't share a run with the parent: other partitions, or all of the parent's."""
    keys = keys_in(graph, child)
    if keys_in(graph, parent) != keys:
        return True
    mapping = graph.get_partition_mapping(dg.AssetKey(child), dg.AssetKey(parent)) if keys else None
    return isinstance(mapping, dg.AllPartitionMapping)


def _quoted(part: str) -> str:
    """`tokenizer+` as `key:"tokenizer"+`: the bare form would reach one step only."""
    return re.sub(r"^(\+?)(\w+)(\+?)$", r'\1key:"\2"\3', part)


def _heading(step: Step) -> str:
    return f"▶ {', '.join(step.assets)}{_bracketed(step.partition)}"


def _bracketed(partition: str) -> str:
    return f" [{partition}]" if partition else ""


def _problems(result: dg.ExecuteInProcessResult) -> list[str]:
    """What went wrong, in the stages' own words: their errors, then the checks that failed."""
    problems = []
    for event in result.all_events:
        failure = event.step_failure_data if event.is_step_failure else None
        if failure and not (failure.error and failure.error.cls_name == "DagsterAssetCheckFailedError"):
            told = failure.user_failure_data.description if failure.user_failure_data else None
            problems.append(f"{event.step_key}: {told or failure.error.to_string() if failure.error else told}")
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            figures = ", ".join(f"{name} {value.value}" for name, value in check.metadata.items())
            problems.append(
                f"{check.asset_key.path[-1]}: check {check.check_name} failed: {figures}\n"
                "hint: open the asset in `make dev`, or look at its folder; then run again"
            )
    if not problems and not result.success:
        problems.append("the run failed outside of any step: see it in `make dev`")
    return problems


@contextlib.contextmanager
def data_folder_lock(root: Path) -> Iterator[None]:
    """Hold the data folder, so that two drivers never work in it at once.

    Raises:
        StorageError: The folder can't be written.
        DriverError: Another driver holds it.
    """
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = (root / ".lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DriverError(
                f"{root}: another `minicode materialize` is at work here",
                hint="wait for it to end, or set MINICODE_DATA to another folder",
                may_pass=True,
            ) from error
        yield
