"""GHArchive's hours from a real server, and issues made of them: golden renderings and every rule."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from minicode_assets.config import contradictions, load
from minicode_assets.config.conversations import Gharchive, Issues
from minicode_assets.errors import ConfigError, SourceError
from minicode_assets.parquet import read_table, write_table
from minicode_assets.schemas import CONVERSATION_EVENTS
from minicode_assets.sources.gharchive import _DamagedError, collect_day, row_of, unzipped
from minicode_assets.sources.issues import read_issues
from minicode_assets.sources.threads import cut_middle, is_bot, read_threads, strip_mail
from tests.sources.servers import Served, serving

DAY = date(2023, 1, 1)
LONG = "The parser fails on an empty line, with a traceback that says nothing about the file. " * 3
ISSUES = Issues(block_bytes=2_000)
_ids = iter(range(1, 10**6))


def event(kind: str, number: int, minute: int, actor: str, **payload: Any) -> dict[str, Any]:
    """An event as GHArchive has it since 2015."""
    return {
        "id": str(next(_ids)), "type": kind, "public": True, "created_at": f"2023-01-01T00:{minute:02d}:00Z",
        "actor": {"id": 1, "login": actor}, "repo": {"id": 2, "name": "o/r", "url": "https://api.github.com/repos/o/r"},
        "payload": payload,
    }  # fmt: skip


def issue(number: int, opener: str, body: str | None, title: str = "It fails", **more: Any) -> dict[str, Any]:
    return {"id": 10 + number, "number": number, "title": title, "body": body, "user": {"login": opener}, **more}


def opened(number: int, opener: str, body: str, minute: int = 0, **more: Any) -> dict[str, Any]:
    return event("IssuesEvent", number, minute, opener, action="opened", issue=issue(number, opener, body, **more))


def comment(number: int, author: str, body: str, minute: int, *, opener: str = "ann", opening: str = LONG,
            action: str = "created", key: int | None = None, **more: Any) -> dict[str, Any]:  # fmt: skip
    said = {"id": key or 1000 + minute, "body": body, "user": {"login": author}}
    about = issue(number, opener, opening, **more)
    return event("IssueCommentEvent", number, minute, author, action=action, issue=about, comment=said)


def closed(number: int, minute: int, action: str = "closed") -> dict[str, Any]:
    return event("IssuesEvent", number, minute, "ann", action=action, issue=issue(number, "ann", LONG))


def hour(events: list[Any]) -> bytes:
    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in events]
    return gzip.compress(b"\n".join(lines) + b"\n")


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Served()) as running:
        yield running


def collect(served: Served, folder: Path, hours: dict[int, bytes], **changes: Any) -> Any:
    empty = hour([])
    served.files = {"": {f"2023-01-01-{h}.json.gz": hours.get(h, empty) for h in range(24) if hours.get(h) != b""}}
    params = replace(Gharchive(url=served.url, pause_s=0.01, attempts=2, courtesy_s=0.0), **changes)
    return collect_day(folder / "2023-01-01", DAY, work=folder / "work", params=params, config_digest="")


def documents(folder: Path, events: list[Any], params: Issues = ISSUES) -> dict[str, Any]:
    """What becomes of the events of a day, without the way over a server."""
    rows = [row for given in events if (row := row_of(json.loads(json.dumps(given)), Gharchive()))]
    frame = pl.DataFrame(rows, schema=CONVERSATION_EVENTS.polars)
    write_table(folder / "2023-01-01", frame, CONVERSATION_EVENTS, config_digest="", inputs={})
    threads = read_threads([folder / "2023-01-01"], params)
    return {document.record_id: document for document in read_issues(threads, params)}


def text(document: Any) -> str:
    return str(document.text).replace("\ufdd0", "")


GOLDEN = {
    "two users": (
        [opened(1, "ann", LONG), comment(1, "bob", "Which version?", 1)],
        f"<issue_start>Title: It fails\nusername_0: {LONG.strip()}<issue_comment>username_1: Which version?",
    ),
    "closed at the end": (
        [opened(1, "ann", LONG), comment(1, "bob", "Fixed.", 1), closed(1, 2)],
        f"<issue_start>Title: It fails\nusername_0: {LONG.strip()}<issue_comment>username_1: Fixed.<issue_closed>",
    ),
    "said after closing": (
        [opened(1, "ann", LONG), closed(1, 2), comment(1, "bob", "Thanks!", 3)],
        f"<issue_start>Title: It fails\nusername_0: {LONG.strip()}<issue_closed><issue_comment>username_1: Thanks!",
    ),
    "opened again": (
        [opened(1, "ann", LONG), closed(1, 2), closed(1, 3, "reopened"), comment(1, "bob", "Still.", 4)],
        f"<issue_start>Title: It fails\nusername_0: {LONG.strip()}<issue_comment>username_1: Still.",
    ),
    "the opening event is missing": (
        [comment(1, "bob", "Me too.", 1)],
        f"<issue_start>Title: It fails\nusername_0: {LONG.strip()}<issue_comment>username_1: Me too.",
    ),
    "participants are anonymous, others are not": (
        [opened(1, "ann", LONG + "@bob knows, @carl not."),
         comment(1, "bob", "@Ann: yes, mail a@bob.org", 1, opening=LONG + "@bob knows, @carl not.")],
        f"<issue_start>Title: It fails\nusername_0: {LONG}@username_1 knows, @carl not.<issue_comment>username_1: "
        "@username_0: yes, mail a@bob.org",
    ),
    "edited, deleted, by a program, empty": (
        [opened(1, "ann", LONG), comment(1, "bob", "frist", 1, key=7),
         comment(1, "bob", "first", 2, key=7, action="edited"),
         comment(1, "eve", "gone", 3, key=8), comment(1, "eve", "gone", 4, key=8, action="deleted"),
         comment(1, "codecov[bot]", "Coverage 90 %", 5), comment(1, "dan", "   ", 6)],
        f"<issue_start>Title: It fails\nusername_0: {LONG.strip()}<issue_comment>username_1: first",
    ),
    "a sentinel that somebody wrote is text": (
        [opened(1, "ann", LONG + "\ufdd0<issue_closed>"),
         comment(1, "bob", "<issue_comment>", 1, opening=LONG + "\ufdd0<issue_closed>")],
        f"<issue_start>Title: It fails\nusername_0: {LONG}\ufdd1<issue_closed><issue_comment>username_1: "
        "<issue_comment>",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("events", "expected"), GOLDEN.values(), ids=list(GOLDEN))
def test_golden(tmp_path: Path, events: list[Any], expected: str) -> None:
    document = documents(tmp_path, [*events, events[0]])["o/r/issues/1"]
    assert (document.status, text(document)) == ("ok", expected)
    assert document.origin_url == "https://github.com/o/r"
    assert document.url == "https://github.com/o/r/issues/1"
    assert document.date.isoformat().startswith("2023-01-01T00:0")


def test_rules(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("# wishes\nEVE\no/secret\n")
    alone = [comment(5, "ann", "more of it", minute, opener="ann") for minute in range(1, 12)]
    events = [
        opened(1, "ann", "short"), opened(2, "dependabot[bot]", LONG), opened(3, "eve", LONG),
        opened(4, "ann", LONG * 40),
        opened(5, "ann", LONG), *alone, opened(6, "ann", LONG), comment(6, "eve", "mine", 2, opener="ann"),
        opened(7, "ann", LONG, pull_request={"url": "u"}), opened(8, "ann", LONG), comment(8, "bob", "yes", 2),
    ]  # fmt: skip
    found = documents(tmp_path, events, Issues(opt_out=str(tmp_path / "out")))
    assert {key.rpartition("/")[2]: document.status for key, document in found.items()} == {
        "1": "short", "2": "bot", "3": "opted_out", "4": "one_user", "5": "one_user", "6": "ok", "8": "ok",
    }  # fmt: skip
    assert "mine" not in text(found["o/r/issues/6"])


def test_lines_in_the_middle_go() -> None:
    body = "\n".join(str(number) for number in range(150))
    lines = cut_middle(body, 100, 20).splitlines()
    assert lines == [*map(str, range(80)), *map(str, range(130, 150))]
    assert cut_middle("a\nb", 2, 1) == "a\nb"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Yes.\n\nOn Mon, Jan 2, 2023 at 3:04 PM Ann <a@x.org> wrote:\n> why?\n> really", "Yes."),
        ("Yes.\r\n-----Original Message-----\r\nFrom: Ann\r\nwhy?", "Yes."),
        ("Yes.\n--\nReply to this email directly or view it on GitHub:\nhttps://x", "Yes."),
        ("Yes.\nSent from my phone", "Yes."),
        ("> quoted first\nthen an answer", "> quoted first\nthen an answer"),
        ("On Monday I wrote: it works", "On Monday I wrote: it works"),
    ],
)
def test_mail(written: str, kept: str) -> None:
    assert strip_mail(written) == kept


def test_mail_takes_no_time_on_hostile_text() -> None:
    for hostile in ("> \n" * 20_000, "On \n" * 20_000, "\n" * 60_000, "--\n" * 20_000):
        strip_mail(hostile + "x")


def test_programs_by_name() -> None:
    params = Issues()
    assert all(
        is_bot(name, params)
        for name in ("renovate[bot]", "Codecov-io", "my-bot", "jenkins-runner", "x-ci", "SparkQA", "k8s-x")
    )
    assert not any(is_bot(name, params) for name in ("ann", "abbott", "robotics", "ciara"))


def test_a_day_with_bad_lines_and_hours(served: Served, tmp_path: Path) -> None:
    good = hour([opened(1, "ann", LONG)])
    bad = hour([b"{not json", b"[]", b'{"type": "IssuesEvent"}', opened(2, "ann", LONG), b"x" * 30_000,
                event("WatchEvent", 1, 0, "a")])  # fmt: skip
    artifact = collect(
        served, tmp_path, {0: good, 1: bad, 2: b"", 3: hour([opened(3, "ann", LONG * 50)])[:-20]}, max_row_bytes=20_000
    )
    frame = read_table(artifact.path, CONVERSATION_EVENTS)
    assert sorted(frame["thread"]) == ["o/r/issues/1", "o/r/issues/2"]
    assert artifact.metadata["skipped"] == {"malformed": 3, "too_long": 1}
    assert artifact.metadata["missing_hours"]["2023-01-01-3.json.gz"] == "gzip ends early"
    assert "404" in artifact.metadata["missing_hours"]["2023-01-01-2.json.gz"]
    with pytest.raises(SourceError, match="2 hours are absent or damaged, expected 1 at most"):
        collect(served, tmp_path / "strict", {2: b"", 3: good[:-9]}, max_missing_hours=1)


def odd(**changes: Any) -> dict[str, Any]:
    """A comment on an issue with something odd in it."""
    given = comment(1, "bob", "yes", 1)
    for place, value in changes.items():
        *folders, name = place.split("__")
        inner = given
        for folder in folders:
            inner = inner[folder]
        inner[name] = value
    return given


@pytest.mark.parametrize(
    "changes",
    [
        {"payload__issue__title": 5}, {"payload__issue__body": {}}, {"payload__comment__id": "x7"}, {"created_at": 5},
        {"created_at": "yesterday"}, {"repo__name": None}, {"payload__comment__user": {"login": [1]}}, {"id": "one"},
        {"payload__issue__number": "first"}, {"payload__comment__body": ["a"]}, {"payload__action": 3}, {"payload": []},
        {"id": 10**30}, {"payload__comment__id": float("inf")},
    ],
)  # fmt: skip
def test_a_field_of_another_kind_costs_its_event(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError, OverflowError)):
        row_of(odd(**changes), Gharchive())


def test_half_an_emoji_costs_nothing(tmp_path: Path) -> None:
    events = [
        opened(1, "ann", LONG),
        odd(payload__comment__body="cut off \ud83d", payload__issue__title="It fails \ud83d"),
    ]
    document = documents(tmp_path, events)["o/r/issues/1"]
    assert "cut off ?" in document.row()["text"]


def test_an_empty_file_is_no_hour(served: Served, tmp_path: Path) -> None:
    artifact = collect(served, tmp_path, {})
    assert artifact.metadata["missing_hours"] == {}
    with pytest.raises(_DamagedError, match="empty"):
        list(unzipped(iter([])))


def test_trimmed_payloads_are_refused(served: Served, tmp_path: Path) -> None:
    trimmed = event("IssuesEvent", 1, 0, "ann", action="opened", issue={"number": 1, "id": 3})
    with pytest.raises(SourceError, match=r"1 of 1 issue events have no title: GitHub trims its events since"):
        collect(served, tmp_path, {0: hour([trimmed])}, max_missing_hours=24)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"gharchive": {"first_day": "2014-12-31", "last_day": "2015-01-02"}}, "expected 2015-01-01 or later"),
        ({"gharchive": {"first_day": "2020-01-01", "last_day": "2021-01-02"}}, "found 368 days, expected 1..99"),
        ({"gharchive": {"first_day": "yesterday"}}, "first_day, last_day"),
        ({"issues": {"enabled": True}}, r"needs \[gharchive\] enabled = true"),
    ],
)  # fmt: skip
def test_configurations_that_can_not_be(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("tiny", overrides)
    assert contradictions(load("tiny", {"gharchive": {"last_day": "2025-10-09", "first_day": "2025-10-08"}})) == []


def test_only_some_repositories(served: Served, tmp_path: Path) -> None:
    artifact = collect(served, tmp_path, {0: hour([opened(1, "ann", LONG)])}, repositories=("other/one",))
    assert pl.read_parquet(artifact.path / "*.parquet").height == 0


def test_an_hour_is_held_in_blocks(served: Served, tmp_path: Path) -> None:
    artifact = collect(served, tmp_path, {3: hour([opened(n, "ann", LONG) for n in range(1, 90)])}, block_bytes=5_000)
    parts = [pl.read_parquet(path) for path in sorted(artifact.path.glob("*.parquet"))]
    assert max(part["opening"].str.len_bytes().sum() for part in parts) < 5_000
    assert pl.concat(parts)["thread"].to_list() == [f"o/r/issues/{n}" for n in range(1, 90)], "in the order of the hour"
