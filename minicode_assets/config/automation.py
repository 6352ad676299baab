"""Section of the schedules, sensors and freshness: when things happen by themselves, once they are switched on."""

from dataclasses import dataclass

from minicode_model.config import operational


@dataclass(frozen=True, kw_only=True)
class Automation:
    """When things happen by themselves. Everything is off until it is switched on in the web UI."""

    nightly_cron: str = operational("30 1 * * *")
    """When `nightly_ingestion` starts."""
    nightly_max_s: int = operational(21_600)
    """A nightly run is stopped after this time, and the next one goes on where it stopped; the archive's quota is kept
    by the limiter whatever the time. Unit: seconds."""
    weekly_cron: str = operational("0 6 * * 1")
    """When `weekly_evaluation` starts."""
    timezone: str = operational("UTC")
    """Time zone of both."""
    max_plan_age_h: float = operational(0.0)
    """A fetch plan older than this counts as not fresh in the web UI; 0 says nothing. Unit: hours."""
    max_evaluation_age_h: float = operational(0.0)
    """The same for the evaluation. Unit: hours."""
    step_memory_bytes: int = operational(3_000_000_000)
    """What a step may take at most: the machine's memory over this is how many of them run at once. Source: the tiny
    preset's largest step peaks at 1.2 GB (README). Unit: bytes."""
    min_free_bytes: int = operational(2_000_000_000)
    """With less space than this on the data folder's disk, `minicode doctor` calls for room. Unit: bytes."""
    poll_s: int = operational(300)
    """How often the sensors look. Unit: seconds."""


def automation_problems(automation: Automation) -> list[str]:
    """What is wrong inside the section, one message each."""
    least = {"nightly_max_s": 60, "poll_s": 1}
    wrong = {name: value for name in least if (value := getattr(automation, name)) < least[name]}
    return [f"[automation] {name}: found {value}, expected at least {least[name]}" for name, value in wrong.items()]
