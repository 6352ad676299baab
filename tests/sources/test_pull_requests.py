"""Pull requests from GHArchive's events and real clones: golden renderings, every rule, and what is not there."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from minicode_assets.config import load
from minicode_assets.config.conversations import Gharchive, PullRequests
from minicode_assets.errors import ConfigError, SourceError
from minicode_assets.parquet import write_table
from minicode_assets.schemas import CONVERSATION_EVENTS
from minicode_assets.sources.clones import Clones, fingerprint, is_wanted
from minicode_assets.sources.diff_hunks import Change, hunks, moved
from minicode_assets.sources.document import Document
from minicode_assets.sources.gharchive import row_of
from minicode_assets.sources.pull_requests import keep_rate, num_pulls, read_pull_requests
from minicode_assets.sources.threads import read_threads
from minicode_assets.tokens.source_formats import format_of
from tests.sources.servers import Served, serving
from tests.sources.test_issues import collect, event, hour

BASE = "".join(f"value_{number} = compute({number})\n" for number in range(1, 31))
FIRST = BASE.replace("compute(15)", "compute(15, fast=True)")
SECOND = FIRST.replace("compute(16)", "compute(16, fast=True)")
TITLE, BODY = "Compute the fifteenth value fast", "The fifteenth value takes a second, which is too long."
KEEP_ALL = PullRequests(
    first_of_repository_rate=1.0,
    whole_base_rate=0.0,
    max_base_margin_lines=0,
    min_context_lines=3,
    max_context_lines=4,
    block_bytes=2_000,
)


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Served()) as running:
        yield running


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A bare clone of o/r, and its commits: base, first, second, base with a new file."""
    folder = tmp_path_factory.mktemp("clones")
    work = folder / "work"
    work.mkdir()

    def git(*arguments: str, where: Path = work) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.org", "-c", "init.defaultBranch=main"]
        done = subprocess.run(["git", *identity, *arguments], cwd=where, capture_output=True, check=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    (work / "LICENSE").write_text("MIT")
    commits = []
    states: list[dict[str, str | bytes]] = [
        {"a.py": BASE, "poetry.lock.json": '{"version": 2}\n' * 30, "bin.py": b"\0"}, {"a.py": FIRST},
        {"a.py": SECOND, "poetry.lock.json": '{"version": 3}\n' * 30, "bin.py": b"\1", "new.py": "x = 1\n"},
    ]  # fmt: skip
    for state in states:
        for name, content in state.items():
            (work / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        git("add", "-A")
        git("commit", "-qm", "c")
        commits.append(git("rev-parse", "HEAD"))
    (folder / "all" / "o").mkdir(parents=True)
    git("clone", "-q", "--mirror", str(work), str(folder / "all" / "o" / "r.git"), where=folder)
    return folder / "all", commits


def pull(base: str, head: str, *, opener: str = "ann", title: str = TITLE, body: str = BODY, merged: bool = False,
         head_repository: str = "ann/r") -> dict[str, Any]:  # fmt: skip
    return {
        "number": 7, "title": title, "body": body, "merged": merged, "user": {"login": opener},
        "url": "https://api.github.com/repos/o/r/pulls/7", "created_at": "2023-01-01T00:00:00Z",
        "base": {"sha": base, "repo": {"full_name": "o/r"}},
        "head": {"sha": head, "repo": {"full_name": head_repository}},
    }  # fmt: skip


def own(minute: int, actor: str, action: str, about: dict[str, Any]) -> dict[str, Any]:
    return event("PullRequestEvent", 7, minute, actor, action=action, pull_request=about)


def said(minute: int, actor: str, body: str, *, key: int = 0, action: str = "created") -> dict[str, Any]:
    issue = {"number": 7, "title": TITLE, "body": BODY, "user": {"login": "ann"}, "pull_request": {"url": "u"}}
    comment = {"id": key or 100 + minute, "body": body, "user": {"login": actor}}
    return event("IssueCommentEvent", 7, minute, actor, action=action, issue=issue, comment=comment)


def review(minute: int, actor: str, body: str | None, state: str, about: dict[str, Any]) -> dict[str, Any]:
    given = {"id": 200 + minute, "body": body, "state": state, "user": {"login": actor}, "commit_id": "c" * 40}
    return event("PullRequestReviewEvent", 7, minute, actor, action="created", review=given, pull_request=about)


def remark(minute: int, actor: str, body: str, about: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = {"id": 300 + minute, "body": body, "user": {"login": actor}, "path": "a.py", "original_position": 5,
             "pull_request_review_id": 203, "diff_hunk": "@@ -12,7 +12,7 @@\n value\n-old\n+new", **more}  # fmt: skip
    return event("PullRequestReviewCommentEvent", 7, minute, actor, action="created", comment=given, pull_request=about)


LOOKS = "That looks right to me, thank you!"
HUNK = (
    "@@ -1,4 +1,4 @@\n-value_15 = compute(15)\n+value_15 = compute(15, fast=True)\n value_16 = compute(16)\n"
    " value_17 = compute(17)\n value_18 = compute(18)"
)
OPENED = (
    f"<pr>Title: {TITLE}\nusername_0: {BODY}<pr_status>opened<repo_name>o/r<pr_base><pr_file>a.py<pr_base_code>"
    f"value_15 = compute(15)<pr_diff><pr_file>a.py<pr_diff_hunk>{HUNK}"
)
CLOSED = "<pr>username_1<pr_status>closed<pr_is_merged>True"


def golden(base: str, first: str, second: str) -> dict[str, tuple[list[Any], str]]:
    about, later = pull(base, first), pull(base, second)
    merged, remarks = pull(base, first, merged=True), {"body": "Why is it so slow without that?"}
    two = OPENED.replace("value_15 = compute(15)<pr_diff>", "value_15 = compute(15)\nvalue_16 = compute(16)<pr_diff>")
    return {
        "opened, commented, merged": (
            [own(0, "ann", "opened", about), said(1, "bob", LOOKS), own(2, "bob", "closed", merged)],
            f"{OPENED}<pr_comment>username_1: {LOOKS}<pr_event_id>101<pr_status>created{CLOSED}",
        ),
        "the opening event is missing": (
            [said(1, "bob", LOOKS), own(2, "bob", "closed", merged)],
            f"{OPENED}<pr_comment>username_1: {LOOKS}<pr_event_id>101<pr_status>created{CLOSED}",
        ),
        "reviewed, remarked, answered": (
            [own(0, "ann", "opened", about), review(3, "bob", None, "commented", about),
             remark(4, "bob", remarks["body"], about),
             remark(5, "ann", "It waits for the network, @bob.", about, in_reply_to_id=304),
             review(6, "bob", "Good", "approved", about)],
            f"{OPENED}<pr_review>username_1<pr_event_id>203<pr_review_state>commented"
            "<pr_review_comment><pr_event_id>304<pr_in_reply_to_review_id>203<pr_file>a.py<pr_diff_hunk_comment_line>5"
            "<pr_diff_hunk>@@ -12,7 +12,7 @@\n value\n-old\n+new<pr_comment>username_1: Why is it so slow without that?"
            "<pr_review_comment><pr_event_id>305<pr_in_reply_to_review_id>203<pr_in_reply_to_comment_id>304<pr_file>a.py"
            "<pr_diff_hunk_comment_line>5<pr_diff_hunk>@@ -12,7 +12,7 @@\n value\n-old\n+new<pr_comment>username_0: "
            "It waits for the network, @username_1."
            "<pr_review>username_1: Good<pr_event_id>206<pr_review_state>approved",
        ),
        "new commits show their diff before the event that saw them": (
            [own(0, "ann", "opened", about), review(3, "bob", "And the next?", "changes_requested", about),
             review(4, "bob", "", "approved", later)],
            f"{two}<pr_review>username_1: And the next?<pr_event_id>203<pr_review_state>changes_requested"
            "<pr_diff><pr_file>a.py<pr_diff_hunk>@@ -1,5 +1,5 @@\n-value_15 = compute(15)\n-value_16 = compute(16)\n"
            "+value_15 = compute(15, fast=True)\n+value_16 = compute(16, fast=True)\n value_17 = compute(17)\n"
            " value_18 = compute(18)\n value_19 = compute(19)"
            "<pr_review>username_1<pr_event_id>204<pr_review_state>approved",
        ),
        "short, long, hidden, edited and deleted texts, programs": (
            [own(0, "ann", "opened", about), said(1, "bob", "+1"),
             said(2, "bob", "<!-- a template -->Long enough to be kept."), said(3, "eve", "A comment that goes", key=9),
             said(4, "eve", "A comment that goes", key=9, action="deleted"),
             said(5, "renovate[bot]", LOOKS), said(6, "bob", "A frist version of it", key=8),
             said(7, "bob", "A first version of it", key=8, action="edited"), said(8, "bob", "See codecov: 90 %"),
             said(9, "bob", "\n".join(map(str, range(100)))), own(10, "bob", "closed", merged)],
            f"{OPENED}<pr_comment>username_1: Long enough to be kept.<pr_event_id>102<pr_status>created"
            "<pr_comment>username_1: A first version of it<pr_event_id>8<pr_status>created"
            "<pr_comment>username_1: [OMITTED]CodeCov<pr_event_id>108<pr_status>created"
            f"<pr_comment>username_1: {chr(10).join(map(str, range(60)))}\n[TRUNCATED]\n"
            f"{chr(10).join(map(str, range(80, 100)))}<pr_event_id>109<pr_status>created{CLOSED}",
        ),
        "a sentinel that somebody wrote is text": (
            [own(0, "ann", "opened", about), said(1, "bob", "Print <pr_diff> and \ufdd0<pr> here"),
             own(2, "bob", "closed", merged)],
            f"{OPENED}<pr_comment>username_1: Print <pr_diff> and \ufdd1<pr> here<pr_event_id>101<pr_status>created"
            f"{CLOSED}",
        ),
    }  # fmt: skip


def documents(folder: Path, root: Path, events: list[Any], **changes: Any) -> list[Document]:
    rows = [row for given in events if (row := row_of(given, Gharchive(pull_requests=True)))]
    frame = pl.DataFrame(rows, schema=CONVERSATION_EVENTS.polars)
    write_table(folder / "2023-01-01", frame, CONVERSATION_EVENTS, config_digest="", inputs={})
    days, params = [folder / "2023-01-01"], replace(KEEP_ALL, repositories=str(root), **changes)
    found = read_threads(days, params, "pull")
    return list(read_pull_requests(found, Clones(params, lambda content: content.decode()), num_pulls(days), params))


@pytest.mark.parametrize("name", golden("", "", ""))
def test_golden(tmp_path: Path, clone: tuple[Path, list[str]], name: str) -> None:
    root, (base, first, second) = clone
    events, expected = golden(base, first, second)[name]
    [document] = documents(tmp_path, root, [*events, events[0]])
    assert (document.status, document.text.replace("\ufdd0", "")) == ("ok", expected)
    assert (document.license, document.path, document.origin_url) == ("MIT", "pull/7", "https://github.com/o/r")
    assert document.url == "https://github.com/o/r/pull/7"
    parts = format_of("pull_requests").parts(document.text, "d")
    assert parts[:2] == ("", "<pr>")


def test_rules(tmp_path: Path, clone: tuple[Path, list[str]]) -> None:
    root, (base, first, _) = clone
    (tmp_path / "out").write_text("eve\nsecret/r\n")

    def status(*events: dict[str, Any], **changes: Any) -> str:
        [document] = documents(tmp_path / str(len(list(tmp_path.iterdir()))), root, list(events), **changes)
        assert document.text or document.status != "ok"
        return document.status

    def usual(**changes: Any) -> tuple[dict[str, Any], ...]:
        about = pull(**{"base": base, "head": first, **changes})
        opener = changes.get("opener", "ann")
        merged = {**about, "merged": True}
        return own(0, opener, "opened", about), said(1, "bob", LOOKS), own(2, "bob", "closed", merged)

    out = {"opt_out": str(tmp_path / "out")}
    assert status(*usual()) == "ok"
    assert status(*usual(opener="eve"), **out) == "opted_out"
    assert status(*usual(head_repository="secret/r"), **out) == "opted_out"
    assert status(*usual(opener="renovate[bot]")) == "bot"
    assert status(usual()[0], usual()[2]) == "silent"
    assert status(usual()[0], said(1, "ci[bot]", LOOKS), usual()[2]) == "silent"
    assert status(*usual(title="Faster")) == "title"
    assert status(*usual(title="Update the dependency on x")) == "title"
    assert status(*usual(body="Faster")) == "short"
    assert status(*usual()[:2]) == "unapproved"
    other = own(3, "ann", "edited", pull("c" * 40, first)), own(4, "ann", "edited", pull("d" * 40, first))
    assert status(*usual(), *other) == "rebased"
    assert status(*usual(head="e" * 40)) == "no_diff"
    assert status(*usual(head="--output=x")) == "no_diff"
    assert status(said(1, "bob", LOOKS)) == "no_diff"
    assert status(*usual(), first_of_repository_rate=0.0) == "sampled_out"
    assert status(*usual(), max_changed_characters=5) == "too_long"
    assert status(*usual(), max_characters=300) == "too_long"
    assert status(*usual(), min_characters=3000) == "short"
    assert status(*usual(), min_alphanumeric_fraction=0.9) == "no_diff"


def test_an_opted_out_commenter_is_left_out(tmp_path: Path, clone: tuple[Path, list[str]]) -> None:
    root, (base, first, _) = clone
    (tmp_path / "out").write_text("eve\n")
    events = [own(0, "ann", "opened", pull(base, first)), said(1, "eve", "What eve had to say"), said(2, "bob", LOOKS),
              own(3, "bob", "closed", pull(base, first, merged=True))]  # fmt: skip
    [document] = documents(tmp_path, root, events, opt_out=str(tmp_path / "out"))
    assert document.status == "ok"
    assert "had to say" not in document.text


def test_data_files_and_what_is_no_text_are_left_out(tmp_path: Path, clone: tuple[Path, list[str]]) -> None:
    root, (base, _, second) = clone
    clones = Clones(replace(KEEP_ALL, repositories=str(root)), lambda content: None)
    assert [change.path for change in clones.changes("o/r", base, second)] == ["a.py", "poetry.lock.json"]
    events = [own(0, "ann", "opened", pull(base, second)), said(1, "bob", LOOKS),
              own(2, "bob", "closed", pull(base, second, merged=True))]  # fmt: skip
    [without] = documents(tmp_path / "a", root, events, data_file_rate=0.0)
    [with_it] = documents(tmp_path / "b", root, events, data_file_rate=1.0)
    assert "poetry.lock" not in without.text
    assert with_it.text.count("poetry.lock.json") == 2


def test_names_that_leave_the_folder_are_no_repositories(clone: tuple[Path, list[str]], tmp_path: Path) -> None:
    clones = Clones(replace(KEEP_ALL, repositories=str(clone[0])), lambda content: None)
    assert clones.path("o/r")
    assert not any(map(clones.path, ("../work", "o/..", "../all/o/r", "o", "", "-o/r", "o/r.git/x", "./o")))
    assert Clones(KEEP_ALL, lambda content: None).changes("o/r", "a" * 40, "b" * 40) == []
    with pytest.raises(SourceError, match="found no folder"):
        Clones(replace(KEEP_ALL, repositories=str(tmp_path / "none")), lambda content: None)
    assert fingerprint(replace(KEEP_ALL, repositories=str(clone[0]))) != fingerprint(KEEP_ALL)


def test_hunks_apply_to_the_shown_part(tmp_path: Path) -> None:
    """`patch` takes what we write, whatever the context: an oracle."""
    changed = SECOND.replace("value_3 ", "third ").replace("value_30 = compute(30)\n", "").replace("value_1 ", "a\nb ")
    for first_line, context in ((0, 3), (0, 5)):
        found = hunks(Change("a.py", BASE, changed), first_line, context)
        body = "\n".join(hunk.rstrip("\n") for hunk in found)
        (tmp_path / "a.py").write_text(BASE)
        (tmp_path / "p.diff").write_text(f"--- a.py\n+++ a.py\n{body}\n")
        subprocess.run(["git", "apply", "--unidiff-zero", "-p0", "p.diff"], cwd=tmp_path, check=True)
        assert (tmp_path / "a.py").read_text() == changed


def test_hunk_headers_move_with_what_is_shown() -> None:
    assert moved("@@ -12,7 +13,8 @@ def f():\n x", 10) == "@@ -2,7 +3,8 @@ def f():\n x"
    assert moved("@@ -1 +1 @@\n-x", 0) == "@@ -1 +1 @@\n-x"
    assert moved("@@ -3,2 +3,2 @@\n x", 10) == "@@ -3,2 +3,2 @@\n x"
    assert moved("", 3) == ""


def test_chances_by_number() -> None:
    rates = [round(keep_rate(number, PullRequests()), 4) for number in (1, 500, 1000, 2000, 100_000)]
    assert rates == [0.8, 0.4504, 0.1, 0.05, 0.001]


def test_files_by_rule() -> None:
    params = PullRequests()
    assert is_wanted("a.py", BASE, params)
    assert not is_wanted("a.py", "x" * 2000, params)
    assert is_wanted("a.rst", "x" * 2000, params)
    assert not is_wanted("a.md", "Bonjour, monde entier\n", params)
    assert not is_wanted("a.py", r"'\x00\x01\x02\x03\x04'", params)
    assert not is_wanted("a.py", "", params)


def test_trimmed_pull_requests_are_refused(served: Served, tmp_path: Path) -> None:
    trimmed = own(0, "ann", "opened", {"number": 7, "id": 1, "url": "u", "base": {"sha": "a"}, "head": {"sha": "b"}})
    issues = [event("IssuesEvent", 1, 0, "ann", action="opened", issue={"number": 1, "title": "t", "body": "b"})] * 5
    with pytest.raises(SourceError, match="1 of 1 pull request events have no title: GitHub trims"):
        collect(served, tmp_path, {0: hour([*issues, trimmed])}, pull_requests=True)
    assert collect(served, tmp_path / "b", {0: hour([*issues, trimmed])}).metadata["num_rows"] == 5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"pull_requests": {"enabled": True}}, r"needs \[gharchive\] enabled = true and pull_requests = true"),
        (
            {
                "gharchive": {
                    "enabled": True,
                    "pull_requests": True,
                    "first_day": "2025-10-01",
                    "last_day": "2025-10-07",
                }
            },
            "found 2025-10-07, expected a day before 2025-10-07",
        ),
    ],
)
def test_configurations_that_can_not_be(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("tiny", overrides)


def test_events_of_pull_requests_are_taken_only_where_they_are_wanted() -> None:
    given = json.loads(json.dumps(own(0, "ann", "opened", pull("a" * 40, "b" * 40))))
    assert row_of(given, Gharchive()) is None
    row = row_of(given, Gharchive(pull_requests=True))
    assert row
    assert (row["thread"], row["base_commit"], row["author"]) == ("o/r/pull/7", "a" * 40, "ann")
