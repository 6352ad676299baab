"""Sections of GitHub's conversations: the events of GHArchive, and the issues and pull requests made of them."""

from dataclasses import dataclass
from datetime import date, timedelta

from minicode_model.config import operational

TRIMMED_FROM = date(2025, 10, 7)
"""From here on events of pull requests lack title, text and most else. Source: software_heritage.md 6."""
FIRST_DAY = date(2015, 1, 1)
"""Before, events have another form. Source: software_heritage.md 6."""


@dataclass(frozen=True, kw_only=True)
class Gharchive:
    """Hourly files of public GitHub events: which days, and from where."""

    enabled: bool = False
    """Collect them; `issues` and `pull_requests` need it."""
    pull_requests: bool = False
    """Take the events of pull requests too. They are many times as long as those of issues."""
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
    block_bytes: int = 64_000_000
    """Text held in memory before it is written. Unit: bytes."""
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
        "apache-hbase", "autorestci", "claassistant", "claassistantio", "cmsbuild", "codecov-io", "codecov-commenter",
        "coveralls", "danger-public", "dnfclas", "karma-pr-reporter", "msftclas", "probot-stale", "pydocteur",
        "sparkqa",
        "dependabot-preview", "renovate", "greenkeeper", "codecov", "stale", "rust-highfive", "homu", "bors", "mergify",
        "netlify", "vercel", "github-actions", "allcontributors", "whitesource", "cla-assistant",
    )  # fmt: skip
    """Accounts that are programs. Source: BigCode's published list, to sparkqa; the others are ours."""
    bot_suffixes: tuple[str, ...] = (
        "bot", "-automaton", "-automation", "-benchmark", "-build", "-deployer", "-cloud", "-ci", "-linter",
        "-teamcity",
        "-test", "-testing", "-service-account", "-autoroller",
    )  # fmt: skip
    """Ends of such accounts' names. Source: BigCode's published list; the last is ours."""
    bot_keywords: tuple[str, ...] = ("[bot]", "botmanager", "bors-", "jenkins", "k8s-", "-test-", "travis", "webhook")
    """Parts of such accounts' names. Source: BigCode's published list; the last is ours."""
    opt_out: str = ""
    """File with accounts and repositories (`owner/name`) whose text is left out, one a line. Unit: path."""
    block_bytes: int = 64_000_000
    """Events that are put together at a time, and text held in memory before it is written. Unit: bytes."""


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


@dataclass(frozen=True, kw_only=True)
class PullRequests(Conversation):
    """Pull requests with base files, diffs and reviews. Rules: StarCoder2, curation.md 2.5, and its published code."""

    repositories: str = ""
    """Folder with clones `<owner>/<name>` or `<owner>/<name>.git` that have the commits of both sides, as
    `git clone --mirror` of GitHub makes them. Unit: path."""
    min_title_characters: int = 10
    """Shorter titles drop it (`title`). Source: StarCoder2."""
    max_title_characters: int = 500
    """Longer titles are cut. Source: StarCoder2."""
    min_text_characters: int = 20
    """A shorter description drops it (`short`), a shorter comment is left out, a review is not. Source: StarCoder2."""
    max_text_characters: int = 1_000
    """Longer texts are cut, after the cut by lines. Source: StarCoder2."""
    max_text_lines: int = 80
    """Longer texts are cut in the middle. Source: StarCoder2."""
    kept_last_lines: int = 20
    """Lines that stay behind the cut. Source: StarCoder2."""
    max_hunk_characters: int = 10_000
    """Longer diffs of a review comment are left out. Source: StarCoder2."""
    max_changed_characters: int = 1_000_000
    """Pull requests that change more of the base are dropped (`too_long`). Source: StarCoder2."""
    min_alphanumeric_fraction: float = 0.25
    """Files with fewer letters and digits are left out, 0..1. Source: StarCoder2."""
    max_hex_fraction: float = 0.25
    """Files with more of `\\x` are left out, 0..1. Source: StarCoder2."""
    max_file_lines: int = 100_000
    """Files with more lines are left out. Source: StarCoder2."""
    max_mean_line_length: float = 100.0
    """Files with longer lines on average are left out, prose aside. Unit: characters. Source: StarCoder2."""
    max_line_length: int = 1_000
    """Files with a longer line are left out, prose aside. Unit: characters. Source: StarCoder2."""
    whole_base_rate: float = 0.2
    """Share of base files that are shown whole, 0..1. Source: StarCoder2."""
    max_base_margin_lines: int = 32
    """Of others the changed lines are shown with fewer than so many on each side. Source: StarCoder2."""
    min_context_lines: int = 3
    """Least context of a diff. Source: StarCoder2."""
    max_context_lines: int = 10
    """Context is drawn from the least to fewer than this. Source: StarCoder2."""
    data_file_rate: float = 0.1
    """Share of YAML and JSON files that stay of those with `lock` and the like in their names, or with more than
    `max_data_share_fraction` of the base, 0..1. Source: StarCoder2."""
    max_data_share_fraction: float = 0.5
    """See `data_file_rate`. Source: StarCoder2."""
    first_of_repository_rate: float = 0.8
    """Chance of a pull request to stay that is the only one of its repository, 0..1; it falls in a line to
    `thousandth_of_repository_rate` for 1,000 and then as the reciprocal (`sampled_out`). Source: StarCoder2."""
    thousandth_of_repository_rate: float = 0.1
    """See `first_of_repository_rate`. Source: StarCoder2."""
    min_characters: int = 200
    """Shorter texts are dropped (`short`). Source: StarCoder2's code."""
    max_characters: int = 100_000
    """Longer texts are dropped (`too_long`). Source: StarCoder2; its code has 1,000,000."""
    seed: int = 1337
    """Seed of the sampling and of the windows."""


def conversation_problems(gharchive: Gharchive, issues: Issues, pulls: PullRequests) -> list[str]:
    """Contradictions of the sections, one message each."""
    try:
        days = gharchive.days
    except ValueError as error:
        return [f"[gharchive] first_day, last_day: {error}"]
    problems = ["[issues] needs [gharchive] enabled = true"] if issues.enabled and not gharchive.enabled else []
    if pulls.enabled and not (gharchive.enabled and gharchive.pull_requests):
        problems.append("[pull_requests] needs [gharchive] enabled = true and pull_requests = true")
    if gharchive.enabled and gharchive.pull_requests and days and days[-1] >= TRIMMED_FROM:
        problems.append(
            f"[gharchive] last_day: found {days[-1]}, expected a day before {TRIMMED_FROM} for pull_requests: GitHub "
            "trims their events since"
        )
    if not 1 <= len(days) <= 99:
        return [*problems, f"[gharchive] first_day .. last_day: found {len(days)} days, expected 1..99"]
    if days[0] < FIRST_DAY:
        problems.append(f"[gharchive] first_day: found {days[0]}, expected {FIRST_DAY} or later: the form is another")
    return problems
