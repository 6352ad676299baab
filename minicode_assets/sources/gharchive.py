"""GHArchive's hourly files as rows of conversations: issues, pull requests, and what is said about them.

An hour counts whole or not at all: it is read in blocks to disk, and a damaged gzip, or an hour that is not there, is
named and counted; too many of them stop the run. A line that is no event is counted. Source: software_heritage.md 6.
"""

import json
import logging
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import polars as pl

from minicode_assets.config.conversations import Gharchive
from minicode_assets.errors import SourceError
from minicode_assets.parquet import write_table
from minicode_assets.schemas import CONVERSATION_EVENTS
from minicode_assets.sources.document import whole_characters, whole_number
from minicode_assets.sources.harvest import Harvest
from minicode_assets.sources.rows import Place, split_lines
from minicode_assets.sources.web import RemoteFile, Web
from minicode_model.artifact import Artifact

ISSUE_TYPES = frozenset({"IssuesEvent", "IssueCommentEvent"})
PULL_TYPES = frozenset({"PullRequestEvent", "PullRequestReviewEvent", "PullRequestReviewCommentEvent"})
_TEXTS = ("title", "opening", "text", "diff_hunk")
_TRIMMED_FRACTION = 0.5
"""Of the events of a kind that lack a title, more than this means that payloads are trimmed."""
logger = logging.getLogger("minicode.sources")


class Event(NamedTuple):
    """A row of CONVERSATION_EVENTS, with what `Harvest` counts by, and the place behind it."""

    values: dict[str, Any]
    after: Place

    def row(self) -> dict[str, Any]:
        """The row."""
        return self.values


def collect_day(folder: Path, day: date, *, work: Path, params: Gharchive, config_digest: str) -> Artifact:
    """After this, `folder` holds the conversation events of one day, schema CONVERSATION_EVENTS, in blocks by hour.

    Memory is bounded by `params.block_bytes` of text, whatever an hour has.

    Args:
        folder: The artefact folder.
        day: The day.
        work: Scratch. A killed run finds the hours there that it read whole, and asks for the others.
        params: The `gharchive` section.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact. Metadata: missing_hours (hour to problem), skipped (lines that are no events, by reason),
        events_by_type.

    Raises:
        SourceError: Too many hours are absent or damaged, payloads are trimmed, or as `Web.stream`.
    """
    web = Web(
        token=None, host=urlsplit(params.url).netloc, timeout_s=params.timeout_s, attempts=params.attempts,
        pause_s=params.pause_s,
    )  # fmt: skip
    notes: dict[str, Any] = {"missing_hours": {}, "skipped": Counter(), "events_by_type": Counter()}
    names = [f"{day.isoformat()}-{hour}.json.gz" for hour in range(24)]
    hours = [Harvest(work / name, [params.url, config_digest], to_frame=events_frame) for name in names]
    try:
        artifact = write_table(
            folder, _blocks(web, hours, params, notes), CONVERSATION_EVENTS, config_digest=config_digest, inputs={},
            metadata=notes,
        )  # fmt: skip
    finally:
        web.close()
    shutil.rmtree(work, ignore_errors=True)
    return artifact


def events_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows with schema CONVERSATION_EVENTS."""
    return pl.DataFrame(rows, schema=CONVERSATION_EVENTS.polars)


def _blocks(web: Web, hours: Sequence[Harvest], params: Gharchive, notes: dict[str, Any]) -> Iterator[pl.DataFrame]:
    seen: Counter[str] = Counter()
    for hour in hours:
        if not _is_whole(web, hour, params, notes["missing_hours"]):
            continue
        notes["skipped"].update(hour.progress.uncounted)
        for frame in hour.blocks():
            notes["events_by_type"].update(dict(frame.group_by("type").len().sort("type").iter_rows()))
            _refuse_trimmed(hour.work.name, frame, seen)
            yield frame


def _is_whole(web: Web, hour: Harvest, params: Gharchive, missing: dict[str, str]) -> bool:
    """Read an hour unless that is done; false where it is absent or damaged, which is noted."""
    if hour.progress.is_done:
        return True
    name = hour.work.name
    hour.restart()  # nobody can enter a gzip in the middle
    try:
        url = f"{params.url}/{name}"
        found = _events(web, RemoteFile(url, name, web.size(url)), params, hour.count)
        hour.take(found, block_bytes=params.block_bytes, limit_rows=None, limit_bytes=None)
    except (_DamagedError, SourceError) as error:
        hour.remove()
        missing[name] = getattr(error, "what", str(error))
        logger.warning("%s: %s", name, missing[name])
        if len(missing) > params.max_missing_hours:
            raise SourceError(
                f"{len(missing)} hours are absent or damaged, expected {params.max_missing_hours} at most; the last: "
                f"{name}: {missing[name]}",
                hint="run again later, leave the day out, or raise [gharchive] max_missing_hours",
            ) from error
        return False
    time.sleep(params.courtesy_s)
    return True


def _refuse_trimmed(name: str, frame: pl.DataFrame, seen: Counter[str]) -> None:
    """Count events with and without a title so far; raises where most of a kind have none."""
    for kind, types in (("issue", ISSUE_TYPES), ("pull request", PULL_TYPES)):
        titles = frame.filter(pl.col("type").is_in(list(types)))["title"]
        seen[kind] += len(titles)
        seen[f"{kind} untitled"] += titles.null_count()
        if seen[f"{kind} untitled"] > _TRIMMED_FRACTION * max(seen[kind], 1):
            raise SourceError(
                f"{name}: {seen[f'{kind} untitled']} of {seen[kind]} {kind} events have no title: GitHub trims its "
                "events since 2025-10-07",
                hint="choose days up to 2025-10-06 in [gharchive]",
            )


class _DamagedError(Exception):
    """An hour's file that is no whole gzip."""


def _events(web: Web, file: RemoteFile, params: Gharchive, count: Callable[[str], None]) -> Iterator[Event]:
    """The events of one hour that matter."""
    for number, (line, _) in enumerate(split_lines(unzipped(web.stream(file)), params.max_row_bytes)):
        if line is None:
            count("too_long")
        elif line.strip():
            try:
                row = row_of(json.loads(line), params)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                count("malformed")
                continue
            if row:
                size = sum(len(row[name] or "") for name in _TEXTS)
                yield Event({**row, "status": "ok", "length_bytes": size}, Place(0, number + 1))


def unzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of a gzip stream of one or more members, a chunk at a time.

    Raises:
        _DamagedError: It is no gzip, holds nothing, or ends in the middle.
    """
    member = zlib.decompressobj(wbits=31)
    started = any_bytes = False
    try:
        for chunk in chunks:
            any_bytes = any_bytes or bool(chunk)
            while chunk:
                started = True
                yield member.decompress(chunk, 1 << 22)
                chunk = member.unconsumed_tail or member.unused_data
                if member.eof:
                    chunk, member, started = member.unused_data, zlib.decompressobj(wbits=31), False
    except zlib.error as error:
        raise _DamagedError(f"gzip: {error}") from error
    if started or not any_bytes:
        raise _DamagedError("gzip ends early" if started else "empty")


def row_of(event: dict[str, Any], params: Gharchive) -> dict[str, Any] | None:
    """The row of an event; None where it belongs to no conversation that is wanted.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, OverflowError: It is no event, or a field is of another kind.
    """
    repository, kind = _named(event["repo"]["name"]), event["type"]
    if kind not in ISSUE_TYPES | PULL_TYPES or (params.repositories and repository not in params.repositories):
        return None
    payload = event["payload"]
    pull = payload.get("pull_request") or {}
    about = pull if kind in PULL_TYPES else payload["issue"]
    is_pull = kind in PULL_TYPES or bool(about.get("pull_request"))
    if is_pull and not params.pull_requests:
        return None
    said = payload.get("comment") or payload.get("review")
    thread = f"{repository}/{'pull' if is_pull else 'issues'}/{int(about['number'])}"
    return {
        "thread": thread,
        "bucket": blake2b(thread.encode(), digest_size=1).digest()[0],
        "repository": repository,
        "event_id": whole_number(event["id"]),
        "date": _date(event["created_at"]),
        "type": kind,
        "action": _text(payload.get("action")) or "",
        "title": _text(about.get("title")),
        "opener": _login(about),
        "opening": _text(about.get("body")),
        "author": _login(said) or _named(event["actor"]["login"]),
        "text": _text(said.get("body")) if said else None,
        "text_id": _number(said.get("id")) if said else None,
        **_pull_columns(pull, said or {}),
    }


def _pull_columns(pull: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """What only events of pull requests have."""
    base, head = pull.get("base") or {}, pull.get("head") or {}
    return {
        "base_commit": _text(base.get("sha")),
        "head_commit": _text(head.get("sha")),
        "head_repository": _text((head.get("repo") or {}).get("full_name")),
        "is_merged": None if pull.get("merged") is None else pull["merged"] is True,
        "review_state": _text(said.get("state")),
        "review_id": _number(said.get("pull_request_review_id")),
        "in_reply_to": _number(said.get("in_reply_to_id")),
        "file": _text(said.get("path")),
        "diff_hunk": _text(said.get("diff_hunk")),
        "position": _number(said.get("original_position")),
    }


def _login(of: dict[str, Any] | None) -> str | None:
    return _text(((of or {}).get("user") or {}).get("login")) or None


def _text(value: Any) -> str | None:
    """A field as text, whole characters only; raises TypeError where it is something else."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"found {type(value).__name__}, expected text")
    return None if value is None else whole_characters(value)


def _named(value: Any) -> str:
    """A field that may not be empty."""
    if not (text := _text(value)):
        raise ValueError("found no name")
    return text


def _number(value: Any) -> int | None:
    return None if value is None else whole_number(value)


def _date(value: Any) -> str:
    datetime.fromisoformat(value)
    return str(value)
