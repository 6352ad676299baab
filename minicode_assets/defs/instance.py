"""dagster_home: made ready once under a lock, and tidied after runs that were killed.

Parallel first use of an empty SQLite home destroys it for good (dagster issue 27390), so every entry point initialises
it here first.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from minicode_assets.defs.settings import project_folder
from minicode_assets.errors import DriverError
from minicode_model.artifact import storage_errors

PID_TAG = "minicode/pid"
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
        StorageError: The folder can't be written.
        DriverError: Its storage is damaged.
    """
    home = dagster_home()
    with storage_errors(home):
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / ".init.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            instance = dg.DagsterInstance.get()
            instance.get_runs_count()
            instance.get_asset_keys(limit=1)
        except Exception as error:
            raise DriverError(
                f"{home}: Dagster can't open its storage: {error}",
                hint=f"move {home}/storage, history and schedules away (artefacts stay valid), then make run",
            ) from error
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
    with instance:
        yield instance


def run_tags() -> dict[str, str]:
    """Tags by which a later process can tell whether the run's process still lives."""
    return {PID_TAG: str(os.getpid()), HOST_TAG: socket.gethostname()}


def fail_killed_runs(instance: dg.DagsterInstance) -> int:
    """Mark our runs whose process is gone as failed, and count them."""
    open_statuses = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]
    runs = instance.get_runs(dg.RunsFilter(statuses=open_statuses, tags={HOST_TAG: socket.gethostname()}))
    killed = [run for run in runs if not _alive(int(run.tags[PID_TAG]))]
    for run in killed:
        instance.report_run_failed(run, f"process {run.tags[PID_TAG]} is gone: the run was killed")
    return len(killed)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
