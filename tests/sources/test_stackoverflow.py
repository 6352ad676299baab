"""Stack Exchange's dump: golden renderings, every rule, and a file that is not what it should be."""

import gzip
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import polars as pl
import pytest

from minicode_assets.config import load
from minicode_assets.config.dumps import Stackoverflow, StackPosts
from minicode_assets.defs.dumps import posts_frame, stack_posts
from minicode_assets.defs.stage import StageRun
from minicode_assets.errors import ConfigError, SourceError
from minicode_assets.layout import Layout
from minicode_assets.parquet import read_table, write_table
from minicode_assets.schemas import STACK_POSTS
from minicode_assets.sources.document import Document
from minicode_assets.sources.dump import SEVEN_ZIP
from minicode_assets.sources.markdown import markdown_of
from minicode_assets.sources.rows import Place
from minicode_assets.sources.stack_posts import read_posts, site_of
from minicode_assets.sources.stackoverflow import read_questions
from tests.sources.servers import Served, serving

HEAD, TAIL = '\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n<posts>\r\n', "</posts>"
BODY = "<p>How do I sort a list?</p>\n"


def row(**attributes: Any) -> str:
    """A row as the dump of 2023 has it."""
    given = {"CreationDate": "2020-01-02T03:04:05.667", "Score": 5, "ContentLicense": "CC BY-SA 4.0", **attributes}
    return f"  <row {' '.join(f'{name}={quoteattr(str(value))}' for name, value in given.items())} />\r\n"


def question(number: int, body: str = BODY, **more: Any) -> str:
    given = {"Id": number, "PostTypeId": 1, "Body": body, "Title": "Sort a list", "OwnerUserId": 1, "ViewCount": 9}
    return row(**{**given, "Tags": "<python><list>", **more})


def answer(number: int, parent: int, body: str, **more: Any) -> str:
    return row(**{"Id": number, "PostTypeId": 2, "ParentId": parent, "Body": body, "OwnerUserId": number, **more})


def dump(folder: Path, *rows: str, name: str = "stackoverflow.com-Posts.xml") -> Path:
    path = folder / name
    folder.mkdir(exist_ok=True)
    path.write_bytes((HEAD + "".join(rows) + TAIL).encode())
    return path


def posts(path: Path, **changes: Any) -> tuple[list[dict[str, Any]], Counter[str]]:
    left_out: Counter[str] = Counter()
    found = read_posts(path, Place(0, 0), StackPosts(**changes), lambda reason: left_out.update([reason]))
    return [post.values for post in found], left_out


def documents(folder: Path, *rows: str, **changes: Any) -> dict[str, Document]:
    table = folder / "stack_posts" / "00"
    write_table(table, posts_frame(posts(dump(folder / "raw", *rows))[0]), STACK_POSTS, config_digest="", inputs={})
    return {
        d.record_id: d
        for d in read_questions([table], Stackoverflow(**{"min_answers": 1, "block_bytes": 500, **changes}))
    }


CODE = '<p>Use <code>sorted</code>:</p>\n\n<pre class="lang-py prettyprint-override"><code>x = sorted([3, 1])\nif x[0] &lt; 2:\n    print(x)\n</code></pre>\n'  # noqa: E501
FENCED = "```py\nx = sorted([3, 1])\nif x[0] < 2:\n    print(x)\n```"
START = "<issue_start>username_0: How do I sort a list?"
GOLDEN = {
    "code is kept": (
        [question(4), answer(7, 4, CODE, Score=12)],
        f"{START}<issue_comment>username_1: Use `sorted`:\n\n{FENCED}\nUpvotes: 12",
    ),
    "answers in random order, with their votes and the one that was accepted": (
        [question(4, AcceptedAnswerId=9), answer(7, 4, "<p>b</p>", Score=2), answer(8, 4, "<p>a</p>", Score=11),
         answer(9, 4, "<p>c</p>", Score=2)],
        f"{START}<issue_comment>username_1: b\nUpvotes: 2<issue_comment>username_2: a\nUpvotes: 11"
        "<issue_comment>username_3: c\nUpvotes: 2 [selected answer]",
    ),
    "who asked answers; who is gone is somebody of their own": (
        [question(4), answer(7, 4, "<p>Found it.</p>", OwnerUserId=1, Score=3),
         answer(8, 4, "<p>Me too.</p>", OwnerUserId="", Score=2), answer(9, 4, "<p>So?</p>", OwnerUserId="", Score=1)],
        f"{START}<issue_comment>username_0: Found it.\nUpvotes: 3<issue_comment>username_1: Me too.\nUpvotes: 2"
        "<issue_comment>username_2: So?\nUpvotes: 1",
    ),
    "answers before their question, lists, quotes, breaks": (
        [answer(3, 4, "<ul>\n<li>one</li>\n<li>two <b>!</b></li>\n</ul>\n<blockquote>\n<p>why?<br>\nbecause</p>\n"
                      "</blockquote>"), question(4)],
        f"{START}<issue_comment>username_1: - one\n- two **!**\n\n> why?\n> because\nUpvotes: 5",
    ),
    "bad answers are left out": (
        [question(4), answer(7, 4, "<p>Yes.</p>"), answer(8, 4, "<p>Nonsense</p>", Score=-3), answer(9, 4, "")],
        f"{START}<issue_comment>username_1: Yes.\nUpvotes: 5",
    ),
    "a sentinel that somebody wrote is text": (
        [question(4), answer(7, 4, "<p>print &lt;issue_closed&gt; \ufdd0&lt;pr&gt;</p>")],
        f"{START}<issue_comment>username_1: print <issue_closed> \ufdd1<pr>\nUpvotes: 5",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "expected"), GOLDEN.values(), ids=list(GOLDEN))
def test_golden(tmp_path: Path, rows: list[str], expected: str) -> None:
    [document] = documents(tmp_path, *rows).values()
    assert (document.status, document.text.replace("\ufdd0", "")) == ("ok", expected)
    assert document.url == document.origin_url == "https://stackoverflow.com/questions/4"
    assert (document.path, document.license) == ("questions/4.md", "CC-BY-SA-4.0")
    assert document.date
    assert document.date.isoformat() == "2020-01-02T03:04:05.667000+00:00"


def test_titles_and_other_orders(tmp_path: Path) -> None:
    rows = [question(4), *(answer(number, 4, f"<p>{number}</p>") for number in range(10, 18))]
    texts = [documents(tmp_path, *rows, titles=True, seed=seed).popitem()[1].text for seed in (1, 1, 2)]
    assert texts[0].startswith("\ufdd0<issue_start>Title: Sort a list\nusername_0: How do I")
    assert texts[0] == texts[1] != texts[2]


def test_rules(tmp_path: Path) -> None:
    found = documents(
        tmp_path, question(1), question(2, Score=-1), answer(20, 2, "<p>a</p>"), question(3), answer(30, 3, "<p>a</p>"),
        answer(40, 99, "<p>lost</p>"), question(5), answer(50, 5, "<p>no</p>", Score=-1),
        answer(51, 5, "<p>no</p>", Score=-1),
        question(6), answer(60, 6, "<p>a</p>"), answer(61, 6, "<p>b</p>"), question(7, body="<p> </p>"),
        answer(70, 7, "<p>a</p>"), answer(71, 7, "<p>a</p>"), min_answers=2,
    )  # fmt: skip
    assert {int(key.rpartition("/")[2]): document.status for key, document in found.items()} == {
        1: "few_answers", 2: "score", 3: "few_answers", 99: "orphan", 5: "score", 6: "ok", 7: "empty",
    }  # fmt: skip


def test_rows_that_are_no_posts_are_counted(tmp_path: Path) -> None:
    path = dump(
        tmp_path, question(4), row(Id=5, PostTypeId=4, Body="tag wiki"), question(1_000_000_001),
        "  <row Id='6' />\r\n",
        "  <row Id='7' PostTypeId='1' Title='a' Body='&bomb;' CreationDate='2020-01-01T00:00:00' />\r\n",
        "  <row Id='8' PostTypeId='1' Title='a' Body=oops />\r\n", question(9, body="<p>" + "x" * 30_000),
        answer(10, "x", "no parent"), question(11, CreationDate="yesterday"), question(12, body="<b>" * 1500 + "deep"),  # type: ignore[arg-type]
        question(14, Score="9" * 25), question(15, Score="many"), question(13),
    )  # fmt: skip
    found, left_out = posts(path, max_row_bytes=20_000)
    assert [post["post_id"] for post in found] == [4, 13]
    assert left_out == {"other_type": 1, "planted": 1, "malformed": 8, "too_long": 1}


BOMB = '<?xml version="1.0"?>\n<!DOCTYPE p [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">]>\n<posts>\n'
NO_DUMPS = {
    "a bomb": (BOMB + question(4) + TAIL, "declares a document type"),
    "a declaration behind the first rows": (HEAD + question(4) + "<!DOCTYPE x>" + TAIL, "declares a document type"),
    "another table": ('<?xml version="1.0" encoding="utf-8"?>\n<badges>\n</badges>', "expected <posts>"),
    "another encoding": ('<?xml version="1.0" encoding="utf-16"?>\n<posts></posts>', "encoding utf-16"),
    "no xml": ("PK\x03\x04 nothing of the kind", "expected <posts>"),
    "cut between rows": (HEAD + question(4), "without </posts>"),
    "cut inside a row": ((HEAD + question(4) + question(5))[:-40], "without </posts>"),
    "nothing": ("", "without </posts>"),
}


@pytest.mark.parametrize(("content", "message"), NO_DUMPS.values(), ids=list(NO_DUMPS))
def test_what_is_no_dump_stops_the_run(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "Posts.xml"
    path.write_bytes(content.encode())
    with pytest.raises(SourceError, match=message) as caught:
        posts(path)
    assert "hint:" in str(caught.value)


def test_sites_by_name() -> None:
    params = StackPosts(site="example.org")
    names = ("stackoverflow.com-Posts.7z", "math.stackexchange.com.7z", "Posts.xml", "x.com-Posts.xml.gz")
    assert [site_of(name, params) for name in names] == [
        "stackoverflow.com", "math.stackexchange.com", "example.org", "x.com",
    ]  # fmt: skip


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Served()) as running:
        yield running


def collect(served: Served, folder: Path, file: str, **changes: Any) -> Any:
    overrides = {"enabled": True, "files": [file], "pause_s": 0.01, "attempts": 3, "block_bytes": 3000, **changes}
    run = StageRun(load("tiny", {"stack_posts": overrides}), Layout(folder / "data"), "stack_posts", "00")
    return stack_posts(run)


def many(folder: Path) -> Path:
    return dump(folder, *(question(number, body=f"<p>{number} " + "words " * 40) for number in range(1, 60)))


def test_a_dump_comes_over_a_bad_line_and_is_fetched_once(served: Served, tmp_path: Path) -> None:
    content = gzip.compress(many(tmp_path).read_bytes())
    served.files = {"": {"stackoverflow.com-Posts.xml.gz": content}}
    served.script = ["", "cut", "429 Retry-After=0", "cut"]
    address = f"{served.url}/stackoverflow.com-Posts.xml.gz"
    outcome = collect(served, tmp_path, address)
    assert read_table(outcome.artifact.path, STACK_POSTS)["post_id"].to_list() == list(range(1, 60))
    assert all(passed for passed, _ in outcome.checks.values())
    sent = len(served.log)
    assert collect(served, tmp_path, address).artifact.digest == outcome.artifact.digest
    assert len(served.log) == sent


@pytest.mark.parametrize(
    ("script", "ranges", "changes", "message"),
    [
        (["", "cut"], False, {}, "without a range"),
        (["", "other"], True, {}, "expected bytes from 0"),
        (["404"], True, {}, "status 404"),
        ([], True, {"md5s": ["0" * 32]}, "found md5"),
        (["503"] * 9, True, {}, "3 tries without progress"),
    ],
)
def test_a_server_that_can_not_be_used(
    served: Served, tmp_path: Path, script: list[str], ranges: bool, changes: dict[str, Any], message: str
) -> None:
    served.files = {"": {"Posts.xml": many(tmp_path).read_bytes()}}
    served.script, served.ranges = script, ranges
    with pytest.raises(SourceError, match=message):
        collect(served, tmp_path, f"{served.url}/Posts.xml", **changes)
    assert not (tmp_path / "data" / "stack_posts" / "00").exists()


def test_a_damaged_gzip_stops_the_run_and_nothing_of_it_counts(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "Posts.xml.gz"
    path.write_bytes(gzip.compress(many(tmp_path).read_bytes())[:-30])
    with pytest.raises(SourceError, match="no whole gzip file"):
        collect(served, tmp_path, str(path))
    assert not (tmp_path / "data" / "stack_posts" / "00").exists()


def test_a_killed_run_goes_on_behind_its_last_block(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = collect(served, tmp_path / "whole", str(many(tmp_path / "whole"))).artifact
    path, parsed = many(tmp_path / "again"), []

    def until(number: int) -> Any:
        def attributes(element: bytes) -> dict[str, str]:
            parsed.append(1)
            if len(parsed) == number:
                raise KeyboardInterrupt
            return real(element)

        return attributes

    from minicode_assets.sources import stack_posts as module

    real = module.attributes
    monkeypatch.setattr(module, "attributes", until(40))
    with pytest.raises(KeyboardInterrupt):
        collect(served, tmp_path / "again", str(path))
    parsed.clear()
    monkeypatch.setattr(module, "attributes", until(0))
    again = collect(served, tmp_path / "again", str(path)).artifact
    assert 19 < len(parsed) < 40
    assert pl.read_parquet(again.path / "*.parquet").equals(pl.read_parquet(whole.path / "*.parquet"))


@pytest.mark.skipif(not shutil.which("bsdtar"), reason="libarchive-tools is not installed: make system-deps")
def test_a_7z_archive_is_read(served: Served, tmp_path: Path) -> None:
    many(tmp_path).rename(tmp_path / "Posts.xml")
    (tmp_path / "Badges.xml").write_text("<badges></badges>")
    path = tmp_path / "math.stackexchange.com.7z"
    subprocess.run(["bsdtar", "--format=7zip", "-C", tmp_path, "-cf", path, "Badges.xml", "Posts.xml"], check=True)
    assert collect(served, tmp_path, str(path)).artifact.metadata["num_rows"] == 59
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match="bsdtar ended with status"):
        collect(served, tmp_path / "other", str(path))


def test_without_a_program_for_7z_the_run_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.7z").write_bytes(b"7z")
    with pytest.raises(SourceError, match=f"none of {', '.join(SEVEN_ZIP)}"):
        posts(tmp_path / "a.7z")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stackoverflow": {"enabled": True}}, r"needs \[stack_posts\] enabled"),
        ({"stack_posts": {"enabled": True, "files": []}}, "found 0, expected 1..99"),
        ({"stack_posts": {"md5s": ["a", "b"]}}, "expected one for each of 1 files"),
        ({"stack_posts": {"files": ["https://a.org/Posts.7z", "https://b.org/Posts.7z"]}}, "is there twice"),
        ({"stack_posts": {"files": ["Posts.xml", "Posts.xml"]}}, "is there twice"),
        ({"stackoverflow": {"block_bytes": 0}}, "expected more than 0"),
    ],
)
def test_configurations_that_can_not_be(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("tiny", overrides)


def test_html_takes_no_time_on_hostile_text() -> None:
    for hostile in ("`" * 50_000, "<li>" * 200, "&lt;" * 50_000, "<pre>" + "`" * 90_000, " \n" * 100_000):
        assert markdown_of(hostile) is not None
