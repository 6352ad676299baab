"""Pools: how many steps of a kind run at once on an instance, whatever process they are in."""

import os
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from minicode_assets.config import Automation

ACCELERATOR = "accelerator"
"""Steps that want the GPU for themselves, or all cores where there is none."""
NETWORK = "network"
"""Steps that ask the archive's servers. Politeness: the quota itself is kept by blobs/limits.py, request by request."""
MEMORY = "memory"
"""Steps that hold a partition or a table in memory; as many as this machine has memory for."""

MAY_PASS = dg.RetryPolicy(
    max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)  # 5, 10, 20 s; the library's own tries, request by request, come before these
"""For stages that ask a server: only problems that may pass (`MinicodeError.may_pass`) are tried again."""

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def pool_limits(automation: Automation, *, memory_bytes: int, num_cores: int) -> dict[str, int]:
    """Steps of each pool that may run at once.

    Args:
        automation: Gives the memory that a step may take.
        memory_bytes: Of the machine.
        num_cores: Of the machine.
    """
    fitting = memory_bytes // automation.step_memory_bytes
    return {ACCELERATOR: 1, NETWORK: 1, MEMORY: max(1, min(fitting, num_cores))}


def machine_memory_bytes() -> int:
    """Memory of this machine, or of the container if that may have less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _CGROUP_LIMIT.read_text().strip() if _CGROUP_LIMIT.exists() else "max"
    return min(physical, int(limit)) if limit.isdecimal() else physical


def set_pool_limits(instance: dg.DagsterInstance, automation: Automation) -> Mapping[str, int]:
    """Set the pools that have no limit of their own yet, and return what holds now.

    What was set by `dagster instance concurrency set` or in the web UI stays.
    """
    storage = instance.event_log_storage
    held = {limit.name: limit.limit for limit in storage.get_pool_limits() if not limit.from_default}
    wanted = pool_limits(automation, memory_bytes=machine_memory_bytes(), num_cores=os.cpu_count() or 1)
    for name, limit in wanted.items():
        if name not in held:
            storage.set_concurrency_slots(name, limit)
    return wanted | held
