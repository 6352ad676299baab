"""Sections of GitHub's conversations: the events of GHArchive, and the issues made of them."""

from dataclasses import dataclass
from datetime import date, timedelta

from minicode_model.config import operational

FIRST_DAY = date(2015, 1, 1)
"""Before, events have another form. Source: software_heritage.md 6."""


@dataclass(frozen=True, kw_only=True)
class Gharchive:
    """Hourly files of public GitHub events: which days, and from where."""

    enabled: bool = False
    """Collect them; `issues` needs it."""
    url: str = "https://data.gharchive.org"
    """Folder of the hourly files `YYYY-MM-DD-H.json.gz`."""
    first_day: str = "2023-01-01"
    """First day, ISO 8601, from 2015-01-01 on."""
    last_day: str = "2023-01-07"
    """Last day. A day whose payloads lack their titles, as GitHub trims them since 2025-10-07, stops the run."""
    repositories: tuple[str, ...] = ()
    """Only these, `owner/name`; empty takes all."""
    max_missing_hours: int = 2
    """Hours of a day that may be absent or damaged; more stop the run."""
    max_row_bytes: int = 10_000_000
    """Longer events are passed over and counted. Unit: bytes."""
    timeout_s: float = operational(60.0)
    """Longest silence of the server. Unit: seconds."""
    attempts: int = operational(6)
    """Tries without progress before giving up."""
    pause_s: float = operational(1.0)
    """First pause after a failure; it doubles. Unit: seconds."""
    courtesy_s: float = operational(1.0)
    """Pause between two files. Source: BigCode's. Unit: seconds."""

    @property
    def days(self) -> list[date]:
        """The days, in order."""
        first, last = date.fromisoformat(self.first_day), date.fromisoformat(self.last_day)
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]

    @property
    def partition_keys(self) -> list[str]:
        """A partition a day."""
        return [day.isoformat() for day in self.days]


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """What conversations share."""

    enabled: bool = False
    """Make documents of them."""
    bot_names: tuple[str, ...] = (
        "dependabot", "dependabot-preview", "renovate", "greenkeeper", "codecov", "codecov-io", "coveralls",
        "travis-ci",
        "snyk-bot", "stale", "k8s-ci-robot", "rust-highfive", "rustbot", "homu", "bors", "mergify", "netlify", "vercel",
        "github-actions", "allcontributors", "whitesource", "pyup-bot", "imgbot", "cla-assistant", "googlebot",
    )  # fmt: skip
    """Accounts that are programs. Ours, after BigCode's kind of list."""
    bot_suffixes: tuple[str, ...] = ("[bot]", "-bot", "_bot", "-robot", "-ci", "-automation", "-autoroller")
    """Ends of such accounts' names."""
    bot_keywords: tuple[str, ...] = ("bot-", "cibot", "jenkins", "buildbot", "autobot", "webhook")
    """Parts of such accounts' names."""
    opt_out: str = ""
    """File with accounts and repositories (`owner/name`) whose text is left out, one a line. Unit: path."""
    num_buckets: int = operational(16)
    """Conversations are put together in so many runs over the events, which bounds memory."""
    block_bytes: int = 64_000_000
    """Text held in memory before it is written. Unit: bytes."""


@dataclass(frozen=True, kw_only=True)
class Issues(Conversation):
    """Issues as conversations. Rules: StarCoder2, 2.2."""

    min_characters: int = 200
    """Shorter conversations are dropped (`short`). Source: StarCoder2."""
    max_comment_lines: int = 100
    """Longer comments are cut in the middle. Source: StarCoder2."""
    kept_last_lines: int = 20
    """Lines that stay behind the cut. Source: StarCoder2."""
    max_single_user_characters: int = 7_000
    """A conversation of one user with more is dropped (`one_user`). Source: StarCoder2 (96th percentile)."""
    max_single_user_events: int = 10
    """And so is one with more events. Source: StarCoder2."""


def conversation_problems(gharchive: Gharchive, issues: Issues) -> list[str]:
    """Contradictions of the two sections, one message each."""
    try:
        days = gharchive.days
    except ValueError as error:
        return [f"[gharchive] first_day, last_day: {error}"]
    problems = ["[issues] needs [gharchive] enabled = true"] if issues.enabled and not gharchive.enabled else []
    if not 1 <= len(days) <= 99:
        return [*problems, f"[gharchive] first_day .. last_day: found {len(days)} days, expected 1..99"]
    if days[0] < FIRST_DAY:
        problems.append(f"[gharchive] first_day: found {days[0]}, expected {FIRST_DAY} or later: the form is another")
    return problems
