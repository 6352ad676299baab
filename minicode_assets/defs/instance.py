"""dagster_home: made ready once under a lock, and tidied after runs that were killed.

Parallel first use of an empty SQLite home destroys it for good (dagster issue 27390), so every entry point initialises
it here first.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from minicode_assets.defs.limits import set_pool_limits
from minicode_assets.defs.settings import from_environment, project_folder
from minicode_assets.errors import DriverError, MinicodeError, StorageError
from minicode_model.artifact import storage_errors

PROCESS_TAG = "minicode/process"
HOST_TAG = "minicode/host"


def dagster_home() -> Path:
    """DAGSTER_HOME, else dagster_home/ of the project; set in the environment, for Dagster to find."""
    home = Path(os.environ.get("DAGSTER_HOME") or project_folder() / "dagster_home").absolute()
    os.environ["DAGSTER_HOME"] = str(home)
    return home


@contextmanager
def ready_instance() -> Iterator[dg.DagsterInstance]:
    """Open the instance, its storage created by one process at a time.

    Raises:
        StorageError: The folder can't be written, or its disk is full, then or while the instance is used.
        DriverError: Its storage is damaged, or a database doesn't answer.
    """
    home = dagster_home()
    with storage_errors(home, variable="DAGSTER_HOME"):
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / ".init.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            instance = dg.DagsterInstance.get()
            instance.get_runs_count()
            instance.get_asset_keys(limit=1)
            set_pool_limits(instance, from_environment().config.automation)
        except MinicodeError:
            raise
        except Exception as error:
            raise _storage_problem(home, error) from error
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
    from sqlalchemy.exc import SQLAlchemyError  # imported by the instance

    with instance:
        try:
            yield instance
        except SQLAlchemyError as error:
            raise _storage_problem(home, error) from error


def _storage_problem(home: Path, error: Exception) -> MinicodeError:
    """What a database's error means for a person: its first line, without the statement."""
    told = f"{home}: Dagster can't use its storage: {str(error).partition(chr(10))[0]}"
    if "disk is full" in str(error):
        return StorageError(
            told, hint="free some space, or set DAGSTER_HOME to a folder on another disk, and run again"
        )
    return DriverError(told, hint=_storage_hint(home))


def _storage_hint(home: Path) -> str:
    profile = home / "dagster.yaml"
    if profile.is_file() and "\nstorage:" in f"\n{profile.read_text()}":
        return f"check that the database which {profile} names answers, and the variables that it reads"
    return f"move {home}/storage, history and schedules away (artefacts stay valid), then make run"


def run_tags() -> dict[str, str]:
    """Tags by which a later process can tell whether the run's process still lives."""
    return {PROCESS_TAG: _process(os.getpid()), HOST_TAG: socket.gethostname()}


def tag_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Note which process works on a run that was started elsewhere: by the daemon, or by Dagster's own command."""
    if run.tags.get(PROCESS_TAG) != _process(os.getpid()):
        instance.add_run_tags(run.run_id, run_tags())


def fail_killed_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs of this machine whose process is gone as failed, free the slots of the dead; count the marked ones."""
    open_statuses = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]
    runs = instance.get_runs(dg.RunsFilter(statuses=open_statuses, tags={HOST_TAG: socket.gethostname()}))
    killed = [run for run in runs if PROCESS_TAG in run.tags and not _lives(run.tags[PROCESS_TAG])]
    killed = [run for run in killed if not _waits_as_a_retry(instance, run)]
    for run in killed:
        instance.report_run_failed(run, f"process {run.tags[PROCESS_TAG]} is gone: the run was killed")
    free_slots_of_the_dead(instance)
    return len(killed)


def free_slots_of_the_dead(instance: dg.DagsterInstance) -> int:
    """Free pool slots and claims of runs that are over or deleted, which would block the next run for ever."""
    storage = instance.event_log_storage
    holders = set(storage.get_concurrency_run_ids())
    for name in storage.get_concurrency_keys():
        holders |= storage.get_concurrency_info(name).active_run_ids
    runs = {run_id: instance.get_run_by_id(run_id) for run_id in holders}
    dead = sorted(run_id for run_id, run in runs.items() if run is None or run.is_finished)
    for run_id in dead * 2:  # a freed slot may go to another dead run's claim: a second round takes that too
        storage.free_concurrency_slots_for_run(run_id)
    return len(dead)


def prune_runs(instance: dg.DagsterInstance, *, days: int) -> tuple[int, int]:
    """Delete finished runs and their events, except those that made what is there now.

    Args:
        instance: Their instance.
        days: Only runs that were made longer ago.

    Returns:
        (deleted, kept): runs of that age.
    """
    before = datetime.now(UTC) - timedelta(days=days)
    old = instance.get_runs(dg.RunsFilter(statuses=list(FINISHED_STATUSES), created_before=before))
    needed = _runs_of_the_present(instance)
    gone = [run for run in old if run.run_id not in needed]
    for run in gone:
        instance.delete_run(run.run_id)
    return len(gone), len(old) - len(gone)


def _runs_of_the_present(instance: dg.DagsterInstance) -> set[str]:
    """Runs with the newest materialisation of an asset, or of one of its partitions."""
    needed = set()
    for key in instance.all_asset_keys():
        event = instance.get_latest_materialization_event(key)
        needed |= {event.run_id} if event else set()
        partitions = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        newest = instance.fetch_materializations(
            dg.AssetRecordsFilter(key, storage_ids=list(partitions.values())), limit=max(len(partitions), 1)
        )
        needed |= {record.run_id for record in newest.records} if partitions else set()
    return needed


def _waits_as_a_retry(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run only carries its parent's process: a retry takes over tags, and its own step hasn't begun."""
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return parent is not None and parent.tags.get(PROCESS_TAG) == run.tags[PROCESS_TAG]


def _process(pid: int) -> str:
    """A process's id and, where the system tells, the moment of its start, as ids come round again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return str(pid)
    return f"{pid}-{fields[19]}" if fields[0] != "Z" else f"{pid}-over"


def _lives(process: str) -> bool:
    pid = int(process.partition("-")[0])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _process(pid) == process
