"""Events become conversations: in order of time, without bots and those who opted out, with anonymous names."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.config.conversations import Conversation
from minicode_assets.errors import SourceError
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import CONVERSATION_EVENTS
from minicode_assets.sources.buckets import bucket_runs

_REPLY = re.compile(
    r"(?ms)^On [^\n]{0,300}(?:\n[^\n]{0,200})?wrote:[ \t]*\n.*\Z|^-{2,} ?Original Message ?-{2,}.*\Z"
    r"|^_{10,}\n\s{0,20}From: .*\Z"
)
"""The mail that somebody answered, below the answer. Source: StarCoder strips replies by mail by three patterns."""
_FOOTER = re.compile(
    r"(?ims)^[ \t]*(?:(?:—|--)\s{0,9})?"
    r"(?:reply to this email directly|you are receiving this because|sent from my ).*\Z"
)
_MENTION = re.compile(r"(?<![\w/])@([A-Za-z0-9](?:[A-Za-z0-9-]{0,38}))")


@dataclass
class Comment:
    """One turn: who, what, when."""

    author: str
    text: str
    date: str


@dataclass
class Thread:
    """A conversation.

    Attributes:
        key: `owner/name/issues/N` or `owner/name/pull/N`.
        repository: `owner/name`.
        title, opener, opening: Of its opening, rebuilt from later events where that one is missing.
        turns: In order of time.
        events: The rows.
    """

    key: str
    repository: str
    title: str
    opener: str
    opening: str
    turns: list[Comment]
    events: list[dict[str, Any]]

    @property
    def number(self) -> str:
        """Its number in the repository."""
        return self.key.rpartition("/")[2]

    @property
    def date(self) -> datetime:
        """Of its last event."""
        return datetime.fromisoformat(self.events[-1]["date"])


def read_threads(days: Sequence[Path], params: Conversation, kind: str = "issues") -> Iterator[Thread]:
    """The conversations of all days, by bucket and key; in memory are those of a block.

    Args:
        days: Folders with CONVERSATION_EVENTS.
        params: The section.
        kind: issues or pull.
    """
    chosen = [
        scan_table(day, CONVERSATION_EVENTS, verify=False).filter(
            pl.col("thread").str.contains(f"/{kind}/", literal=True)
        )
        for day in days
    ]
    size = pl.sum_horizontal(pl.col("title", "opening", "text", "diff_hunk").str.len_bytes()) + 200
    for run in bucket_runs(chosen, size, max_bytes=params.block_bytes):
        # GHArchive repeats an event now and then.
        frame = run.sort("bucket", "thread", "date", "event_id").unique("event_id", keep="first", maintain_order=True)
        for (_,), rows in frame.collect().group_by("thread", maintain_order=True):
            yield thread_of(rows.to_dicts())


def thread_of(events: list[dict[str, Any]]) -> Thread:
    """One conversation from its events in order. A comment that was edited has its last text, a deleted one is gone."""
    last = {name: next((e[name] for e in reversed(events) if e[name]), "") for name in ("title", "opener", "opening")}
    turns: dict[Any, Comment] = {}
    for event in events:
        if event["text_id"] is None:
            continue
        key = event["text_id"]
        if event["action"] == "deleted":
            turns.pop(key, None)
        elif key in turns:
            turns[key].text = event["text"] or ""
        else:
            turns[key] = Comment(event["author"], event["text"] or "", event["date"])
    first = events[0]
    return Thread(first["thread"], first["repository"], last["title"], last["opener"], last["opening"],
                  list(turns.values()), events)  # fmt: skip


def is_bot(login: str, params: Conversation) -> bool:
    """Whether an account is a program, by its name."""
    name = login.lower()
    return (
        name.removesuffix("[bot]") in params.bot_names
        or name.endswith(params.bot_suffixes)
        or any(keyword in name for keyword in params.bot_keywords)
    )


def read_opt_out(path: str) -> frozenset[str]:
    """Accounts and repositories of an opt-out list, in lower case.

    Raises:
        SourceError: There is no such file.
    """
    if not path:
        return frozenset()
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}", hint="correct opt_out, or leave it empty") from error
    return frozenset(line.strip().lower() for line in lines if line.strip() and not line.startswith("#"))


def strip_mail(text: str) -> str:
    """A comment without what a mail program added: the mail it answers, the quoted end, the footer."""
    text = text.replace("\r\n", "\n")
    lines = _FOOTER.sub("", _REPLY.sub("", text)).rstrip().split("\n")
    while len(lines) > 1 and lines[-1].startswith(">"):
        lines.pop()
    return "\n".join(lines).strip()


def cut_middle(text: str, max_lines: int, kept_last: int) -> str:
    """At most so many lines: the first, then the last ones."""
    lines = text.splitlines()
    if len(lines) <= max_lines:
        return text
    return "\n".join([*lines[: max_lines - kept_last], *lines[-kept_last:]])


class Names:
    """Participants by counter, `username_0` for the first, in what they are called and where they are mentioned."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, login: str) -> str:
        """The anonymous name of an account."""
        return f"username_{self._numbers.setdefault(login.lower(), len(self._numbers))}"

    def anonymous(self, text: str) -> str:
        """A text whose mentions of participants, before or after, are anonymous. All must have been named before."""
        return _MENTION.sub(
            lambda found: f"@{self.of(found[1])}" if found[1].lower() in self._numbers else found[0], text
        )
