"""GHArchive's hourly files as rows of conversations: issues and their comments.

An hour counts whole or not at all: a damaged gzip, or an hour that is not there, is named and counted, and too many of
them stop the run. A line that is no event is counted. Source: software_heritage.md 6.
"""

import json
import logging
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from minicode_assets.config.conversations import Gharchive
from minicode_assets.errors import SourceError
from minicode_assets.parquet import write_table
from minicode_assets.schemas import CONVERSATION_EVENTS
from minicode_assets.sources.rows import split_lines
from minicode_assets.sources.web import RemoteFile, Web
from minicode_model.artifact import Artifact

TYPES = frozenset({"IssuesEvent", "IssueCommentEvent"})
_TRIMMED_FRACTION = 0.5
"""Of the events that lack a title, more than this means that payloads are trimmed."""
logger = logging.getLogger("minicode.sources")


def collect_day(folder: Path, day: date, *, params: Gharchive, config_digest: str) -> Artifact:
    """After this, `folder` holds the conversation events of one day, schema CONVERSATION_EVENTS, one part an hour.

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
    try:
        artifact = write_table(
            folder, _hours(web, day, params, notes), CONVERSATION_EVENTS, config_digest=config_digest, inputs={},
            metadata=notes,
        )  # fmt: skip
    finally:
        web.close()
    return artifact


def _hours(web: Web, day: date, params: Gharchive, notes: dict[str, Any]) -> Iterator[pl.DataFrame]:
    missing = notes["missing_hours"]
    total = untitled = 0
    for hour in range(24):
        name = f"{day.isoformat()}-{hour}.json.gz"
        try:
            rows = list(_events(web, f"{params.url}/{name}", name, params, notes["skipped"]))
        except (_DamagedError, SourceError) as error:
            missing[name] = getattr(error, "what", str(error))
            logger.warning("%s: %s", name, missing[name])
            if len(missing) > params.max_missing_hours:
                raise SourceError(
                    f"{day}: {len(missing)} hours are absent or damaged, expected {params.max_missing_hours} at most; "
                    f"the last: {missing[name]}",
                    hint="run again later, leave the day out, or raise [gharchive] max_missing_hours",
                ) from error
            continue
        frame = pl.DataFrame(rows, schema=CONVERSATION_EVENTS.polars)
        notes["events_by_type"].update(dict(frame.group_by("type").len().sort("type").iter_rows()))
        total, untitled = total + frame.height, untitled + frame["title"].null_count()
        if untitled > _TRIMMED_FRACTION * max(total, 1):
            raise SourceError(
                f"{name}: {untitled} of {total} events have no title: GitHub trims its events since 2025-10-07",
                hint="choose days up to 2025-10-06 in [gharchive]",
            )
        yield frame
        time.sleep(params.courtesy_s)


class _DamagedError(Exception):
    """An hour's file that is no whole gzip."""


def _events(web: Web, url: str, name: str, params: Gharchive, skipped: Counter[str]) -> Iterator[dict[str, Any]]:
    """The rows of one hour, once all of it was read."""
    file = RemoteFile(url, name, web.size(url))
    problems: Counter[str] = Counter()
    for line, _ in split_lines(unzipped(web.stream(file)), params.max_row_bytes):
        if line is None:
            problems["too_long"] += 1
        elif line.strip():
            try:
                row = row_of(json.loads(line), params.repositories)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                problems["malformed"] += 1
                continue
            if row:
                yield row
    skipped.update(problems)


def unzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of a gzip stream of one or more members, a chunk at a time.

    Raises:
        _DamagedError: It is no gzip, or ends in the middle.
    """
    member = zlib.decompressobj(wbits=31)
    started = False
    try:
        for chunk in chunks:
            while chunk:
                started = True
                yield member.decompress(chunk, 1 << 22)
                chunk = member.unconsumed_tail or member.unused_data
                if member.eof:
                    chunk, member, started = member.unused_data, zlib.decompressobj(wbits=31), False
    except zlib.error as error:
        raise _DamagedError(f"gzip: {error}") from error
    if started:
        raise _DamagedError("gzip ends early")


def row_of(event: dict[str, Any], repositories: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """The row of an event; None where it belongs to no conversation."""
    repository = event["repo"]["name"]
    if event["type"] not in TYPES or (repositories and repository not in repositories):
        return None
    payload = event["payload"]
    issue, comment = payload["issue"], payload.get("comment")
    if issue.get("pull_request"):
        return None
    thread = f"{repository}/issues/{issue['number']}"
    return {
        "thread": thread,
        "bucket": blake2b(thread.encode(), digest_size=1).digest()[0],
        "repository": repository,
        "event_id": int(event["id"]),
        "date": event["created_at"],
        "type": event["type"],
        "action": payload.get("action") or "",
        "title": issue.get("title"),
        "opener": (issue.get("user") or {}).get("login"),
        "opening": issue.get("body"),
        "author": ((comment or {}).get("user") or {}).get("login") or event["actor"]["login"],
        "text": comment.get("body") if comment else None,
        "text_id": comment.get("id") if comment else None,
    }
