r"""Pull requests as training text, with StarCoder2's rules and format (its paper, 2.3 and 5.2, and published code).

`<pr>Title: title\nusername_0: text<pr_status>opened<repo_name>o/r<pr_base><pr_file>path<pr_base_code>code<pr_diff>
<pr_file>path<pr_diff_hunk>hunk<pr_comment>...<pr_review>...<pr_review_comment>...<pr>username_0<pr_status>closed
<pr_is_merged>True`, events in order, a new diff before the first event that saw new commits. Ours: comments and reviews
by programs are left out, an edited comment has its last text, a deleted one is gone; names change where mentioned.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.config.conversations import PullRequests
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import CONVERSATION_EVENTS
from minicode_assets.sources.clones import Clones
from minicode_assets.sources.diff_hunks import Change, changed_range
from minicode_assets.sources.document import Document
from minicode_assets.sources.gharchive import PULL_TYPES
from minicode_assets.sources.pull_text import RefusedError, Writer
from minicode_assets.sources.threads import Thread, is_bot, read_opt_out
from minicode_model.fim import uniforms

Event = dict[str, Any]
OPENED, CLOSED = "opened", "closed"
_DULL_TITLE = re.compile(r"(?i)depend|release")
_COMMENTS = ("IssueCommentEvent", "PullRequestReviewEvent", "PullRequestReviewCommentEvent")


@dataclass
class Pull:
    """A pull request under way to its text.

    Attributes:
        thread: Its events.
        events: Those that count, the opening first, rebuilt where it is missing.
        diffs: By head commit, the changes against the base; filled when all other rules were passed.
    """

    thread: Thread
    events: list[Event]
    diffs: dict[str, list[Change]] = field(default_factory=dict)

    @property
    def opening(self) -> Event:
        """The event that opened it."""
        return next(event for event in self.events if event["type"] == "PullRequestEvent" and event["action"] == OPENED)


def num_pulls(days: Sequence[Path]) -> dict[str, int]:
    """Pull requests of each repository, among those that have an event of their own."""
    events = [scan_table(day, CONVERSATION_EVENTS, verify=False) for day in days]
    own = pl.concat(events).filter(pl.col("type").is_in(list(PULL_TYPES)))
    counts = own.group_by("repository").agg(pl.col("thread").n_unique())
    return dict(counts.collect().iter_rows())


def read_pull_requests(
    threads: Iterable[Thread],
    clones: Clones,
    numbers: Mapping[str, int],
    params: PullRequests,
    *,
    users: frozenset[str] = frozenset(),
) -> Iterator[Document]:
    """One document a pull request; `users` opted out, beside those of `params.opt_out`.

    Statuses: opted_out, bot, silent, title, short, unapproved, rebased, no_diff, sampled_out, too_long.
    """
    opted_out = read_opt_out(params.opt_out) | users
    for thread in threads:
        pull = Pull(thread, events_of(thread, params, opted_out))
        status, text = judge(pull, params, opted_out), ""
        if status == "ok":
            status = fill_diffs(pull, clones, numbers, params)
        if status == "ok":
            status, text = rendered(pull, params)
        yield Document(
            source="pull_requests", record_id=thread.key, origin_url=f"https://github.com/{thread.repository}",
            path=f"pull/{thread.number}", text=text, url=f"https://github.com/{thread.key}", date=thread.date,
            license=clones.license(thread.repository) if status == "ok" else None, status=status,
        )  # fmt: skip


def events_of(thread: Thread, params: PullRequests, opted_out: frozenset[str]) -> list[Event]:
    """The events that count: without deleted texts, those of programs and of who opted out; with an opening."""
    last = {(event["type"], event["text_id"]): event for event in thread.events}
    found, seen = [], set()
    for event in thread.events:
        key, author = (event["type"], event["text_id"]), event["author"]
        if event["type"] in _COMMENTS:
            if key in seen or last[key]["action"] == "deleted" or is_bot(author, params):
                continue
            seen.add(key)
            event = {**event, "text": last[key]["text"], "action": event["action"] or "created"}
        is_opening = event["type"] == "PullRequestEvent" and event["action"] == OPENED
        if event["type"] != "IssuesEvent" and (author.lower() not in opted_out or is_opening):
            found.append(event)
    return with_opening(found)


def with_opening(events: list[Event]) -> list[Event]:
    """The events with the opening, rebuilt from the first own event where it is missing; none without such."""
    own = [event for event in events if event["type"] in PULL_TYPES]
    if not own or any(event["type"] == "PullRequestEvent" and event["action"] == OPENED for event in own):
        return events if own else []
    first = own[0]
    opening = {**first, "type": "PullRequestEvent", "action": OPENED, "author": first["opener"] or first["author"],
               "text": None, "text_id": None}  # fmt: skip
    return [opening, *events]


def judge(pull: Pull, params: PullRequests, opted_out: frozenset[str]) -> str:
    """ok, or the first rule that drops it before its files are looked at."""
    if not pull.events:
        return "no_diff"
    opening = pull.opening
    repositories = [name.lower() for name in (pull.thread.repository, opening["head_repository"]) if name]
    owners = [name.partition("/")[0] for name in repositories]
    if not opted_out.isdisjoint([opening["author"].lower(), *repositories, *owners]):
        return "opted_out"
    if is_bot(opening["author"], params):
        return "bot"
    if not any(event["type"] in _COMMENTS for event in pull.events):
        return "silent"
    title = opening["title"] or ""
    if len(title) < params.min_title_characters or _DULL_TITLE.search(title):
        return "title"
    merged = any(event["is_merged"] for event in pull.events)
    if not merged and not any(event["review_state"] == "approved" for event in pull.events):
        return "unapproved"
    bases = {event["base_commit"] for event in pull.events if event["base_commit"]}
    return "rebased" if len(bases) - 1 - merged > 0 else "ok"


def fill_diffs(pull: Pull, clones: Clones, numbers: Mapping[str, int], params: PullRequests) -> str:
    """Look up the files of both sides of each state; ok, or the rule that drops it."""
    repository = pull.thread.repository
    (chance,) = uniforms(1, params.seed, "keep", pull.thread.key)
    if chance >= keep_rate(numbers.get(repository, 1), params):
        return "sampled_out"
    for event in pull.events:
        base, head = event["base_commit"], event["head_commit"]
        if base and head and head not in pull.diffs:
            pull.diffs[head] = clones.changes(repository, base, head)
    if not pull.diffs.get(pull.opening["head_commit"] or ""):
        return "no_diff"
    changed = (changed_characters(change) for changes in pull.diffs.values() for change in changes)
    return "too_long" if sum(changed) > params.max_changed_characters else "ok"


def changed_characters(change: Change) -> int:
    """Characters of the base from the first line that changes to the last."""
    first, last = changed_range(change)
    return sum(map(len, change.base.splitlines()[first:last]))


def keep_rate(number: int, params: PullRequests) -> float:
    """The chance to stay of each of so many pull requests of a repository."""
    first, thousandth = params.first_of_repository_rate, params.thousandth_of_repository_rate
    if number > 1000:
        return thousandth * 1000 / number
    return first - (first - thousandth) * (number - 1) / 999


def rendered(pull: Pull, params: PullRequests) -> tuple[str, str]:
    """Ok and the text, or the rule that drops it."""
    try:
        text = Writer(pull.thread, pull.events, pull.diffs, params).text()
    except RefusedError as refused:
        return refused.status, ""
    if len(text) < params.min_characters:
        return "short", ""
    return ("too_long", "") if len(text) > params.max_characters else ("ok", text)
