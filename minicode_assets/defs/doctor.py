"""What `minicode doctor` looks at: is this machine fit for the pipeline, and what is left of runs that were killed."""

import fcntl
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from minicode_assets.blobs.chain import open_limiter
from minicode_assets.defs.instance import dagster_home, fail_killed_runs, free_slots_of_the_dead, ready_instance
from minicode_assets.defs.settings import Settings, from_environment, project_folder
from minicode_assets.errors import MinicodeError
from minicode_assets.layout import Layout, other_partitions

OK, WARNING, BLOCKS = "ok", "warning", "blocks"
TOKEN_VARIABLE = "SWH_TOKEN"  # noqa: S105
LEAST_PYTHON = (3, 11)
DAEMON_HINT = "make dev, or `dagster-daemon run` with the same DAGSTER_HOME"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What, in a word or two.
        verdict: `ok`, `warning`, or `blocks`: the pipeline can't run like that.
        found: What was found; a token or an address never is.
        hint: What to do; empty where all is well.
    """

    subject: str
    verdict: str
    found: str
    hint: str = ""


def examine() -> Iterator[Finding]:
    """Every finding, the environment first; frees what killed runs left. Nothing raises: a problem is a finding."""
    yield from (python(), *programs(), versions())
    try:
        settings = from_environment()
        config = settings.config
    except MinicodeError as error:
        yield Finding("configuration", BLOCKS, error.what, error.hint)
        return
    yield Finding("configuration", OK, f"preset {config.preset}, {config.partitions.num_prefixes} partitions")
    yield from guarded("data folder", lambda: data_folder(settings))
    yield from guarded("left-overs", lambda: partial_folders(settings.data_folder))
    yield from guarded("partitions", lambda: iter([partitions(settings)]))
    yield from guarded("token", lambda: iter([token(settings)]))
    yield from guarded("quota", lambda: quota(settings))
    yield from guarded("dagster_home", lambda: instance_findings())


def guarded(subject: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a look, and as one more what stopped it."""
    try:
        yield from look()
    except MinicodeError as error:
        yield Finding(subject, BLOCKS, error.what, error.hint)
    except OSError as error:
        yield Finding(subject, BLOCKS, str(error), "check permissions and the disk")


def python() -> Finding:
    """The interpreter's version."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= LEAST_PYTHON:
        return Finding("python", OK, found)
    return Finding("python", BLOCKS, found, "make run PYTHON=python3.11")


def programs() -> Iterator[Finding]:
    """Programs that stages start."""
    for name, needed in (("git", BLOCKS), ("cc", WARNING)):
        if place := shutil.which(name):
            yield Finding(name, OK, place)
        else:
            hint = "apt-get install git" if name == "git" else "apt-get install gcc (only for torch.compile)"
            yield Finding(name, needed, "not on PATH", hint)


def versions() -> Finding:
    """Installed versions against constraints.txt, where this is a checkout."""
    constraints = project_folder() / "constraints.txt"
    if not constraints.is_file():
        return Finding("versions", OK, "no constraints.txt here to compare with")
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)$", constraints.read_text(), re.MULTILINE))
    other = [
        f"{name} {found} (tested: {pin})" for name, pin in pins.items() if (found := _version(name)) not in (pin, "")
    ]
    if not other:
        return Finding("versions", OK, "as in constraints.txt")
    return Finding("versions", WARNING, ", ".join(other), "pip install --constraint constraints.txt --editable .")


def _version(name: str) -> str:
    """The installed public version; empty where it is not installed."""
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Whether artefacts can be written, and for how long."""
    folder, least = settings.data_folder, settings.config.automation.min_free_bytes
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        yield Finding("data folder", BLOCKS, f"{existing} is not a folder that can be written", "set MINICODE_DATA")
        return
    free = shutil.disk_usage(existing).free
    text = f"{folder}, {free / 1e9:.1f} GB free"
    if free < least / 10:
        yield Finding("data folder", BLOCKS, text, "free some space, or set MINICODE_DATA to another disk")
    elif free < least:
        yield Finding("data folder", WARNING, text, f"runs want at least {least / 1e9:.1f} GB ([automation])")
    else:
        yield Finding("data folder", OK, text)
    if (folder / ".lock").exists():
        held = _is_locked(folder / ".lock")
        yield Finding("lock", OK, "a `minicode materialize` is at work here" if held else "free")


def partial_folders(root: Path) -> Iterator[Finding]:
    """Remove what killed writers left: `.partial-*` folders that no process holds."""
    found = [path for pattern in (".partial-*", "*/.partial-*") for path in root.glob(pattern) if path.is_dir()]
    dead = [path for path in found if not _is_locked(path)]
    for path in dead:
        shutil.rmtree(path, ignore_errors=True)
    yield Finding("left-overs", OK, f"{len(dead)} unfinished folders removed, {len(found) - len(dead)} being written")


def partitions(settings: Settings) -> Finding:
    """Folders of another number of partitions, which nothing reads but `blobs`, and only to save requests."""
    num_prefixes = settings.config.partitions.num_prefixes
    old = other_partitions(settings.data_folder, num_prefixes)
    if not old:
        return Finding("partitions", OK, f"all of num_prefixes = {num_prefixes}")
    size = sum(file.stat().st_size for folder in old for file in folder.rglob("*") if file.is_file())
    counts = sorted({folder.name[-2:] for folder in old})
    patterns = " ".join(f"{settings.data_folder}/*/*-of-{count}" for count in counts)
    text = f"{len(old)} folders of {', '.join(counts)} partitions, {size / 1e6:.0f} MB; num_prefixes is {num_prefixes}"
    return Finding("partitions", WARNING, text, f"when `minicode materialize` is through: rm -r {patterns}")


def _is_locked(path: Path) -> bool:
    """Whether another process holds the flock of a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def token(settings: Settings) -> Finding:
    """Whether there is an API token; never which."""
    present = bool(os.environ.get(TOKEN_VARIABLE))
    if present or "api" not in settings.config.blobs.backends:
        return Finding("token", OK, f"{TOKEN_VARIABLE} is {'set' if present else 'not set, and no source needs it'}")
    hint = f"export {TOKEN_VARIABLE}=...: the archive then allows ten times as many requests"
    return Finding("token", WARNING, f"{TOKEN_VARIABLE} is not set, but [blobs] backends has 'api'", hint)


def quota(settings: Settings) -> Iterator[Finding]:
    """What is left of the web API's quota, by the shared log of requests."""
    work = Layout(settings.data_folder).work
    for kind, present in (("anonymous", None), ("token", "present")):
        path = work / f"swh_api_{kind}.sqlite"
        if not path.exists():
            continue
        limiter = open_limiter(settings.config.blobs, work, present)
        try:
            figures = limiter.figures()
        finally:
            limiter.close()
        left = max(figures["limit"] - figures["in_window"], 0)
        text = f"{kind}: {left} of {figures['limit']} requests left in this window, {figures['refused']} refused so far"
        yield Finding("quota", OK if left else WARNING, text, "" if left else "runs wait until the window moves on")


def instance_findings() -> Iterator[Finding]:
    """Dagster's storage, runs whose process is gone, pool slots that they hold, and who ticks the schedules."""
    home = dagster_home()
    if not (home / "dagster.yaml").exists():
        hint = "copy dagster_home/dagster.yaml there: without it there are no limits and no run monitoring"
        yield Finding("dagster.yaml", WARNING, f"{home} has none", hint)
    with ready_instance() as instance:
        yield Finding("dagster_home", OK, f"{home}, {instance.get_runs_count()} runs")
        killed, freed = fail_killed_runs(instance), free_slots_of_the_dead(instance)
        yield Finding("killed runs", OK, f"{killed} marked as failed, {freed} more with slots freed")
        pools = instance.event_log_storage.get_pool_limits()
        taken = {p.name: instance.event_log_storage.get_concurrency_info(p.name).active_slot_count for p in pools}
        yield Finding("pools", OK, ", ".join(f"{p.name} {taken[p.name]} of {p.limit} in use" for p in pools))
        yield automation(instance)


def automation(instance: dg.DagsterInstance) -> Finding:
    """Whether something is switched on that no daemon ticks."""
    running = [state.name for state in instance.all_instigator_state() if state.is_running]
    if not running:
        return Finding("automation", OK, "no schedule or sensor is switched on")
    alive = all(status.healthy for status in instance.get_daemon_statuses(["SCHEDULER", "SENSOR"]).values())
    text = f"switched on: {', '.join(sorted(running))}"
    if alive:
        return Finding("automation", OK, text)
    return Finding("automation", WARNING, f"{text}; but no daemon runs", DAEMON_HINT)
