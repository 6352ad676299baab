"""Documentation: what is taken, what text comes of it, and which rule drops the rest."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from minicode_assets.config.sources import Documentation
from minicode_assets.errors import SourceError
from minicode_assets.sources.document import Document
from minicode_assets.sources.documentation import (
    fingerprint,
    is_wanted,
    long_description,
    read_documentation,
)
from minicode_assets.sources.prose import judge_prose

PARAMS = Documentation(distributions=(), min_words=8)
PROSE = "The parser reads one line after the other and gives back what that line says to the caller. "
PAGE = f"""<html><head><title>T</title></head><body>
<nav><a href="a.html">Home</a> <a href="b.html">Index</a> <a href="c.html">Search</a></nav>
<main><h1>The parser</h1><p>{PROSE * 3}</p><pre><code>parse(line)
    twice</code></pre><p>{PROSE * 2}</p></main>
<footer>Copyright somebody. Built with something.</footer></body></html>"""


def read(folder: Path, files: Mapping[str, str | bytes], params: Documentation = PARAMS) -> dict[str, Document]:
    for name, content in files.items():
        path = folder / "repo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    named = replace(params, folders=(str(folder / "repo"),))
    documents = read_documentation(named, licensing=lambda content: content.decode().strip())
    return {document.path: document for document in documents}


def test_markup_stays_as_it_is(tmp_path: Path) -> None:
    markdown, rst = f"# Title\n\n{PROSE}\n\n```python\nx = 1\n```\n", f"Title\n=====\n\n{PROSE}::\n\n    x = 1\n"
    found = read(tmp_path, {"README.md": markdown, "docs/a.rst": rst, "LICENSE": "MIT", "m.py": "x"})
    assert {path: (d.status, d.text, d.license) for path, d in found.items()} == {
        "README.md": ("ok", markdown, "MIT"),
        "docs/a.rst": ("ok", rst, "MIT"),
    }
    row = found["README.md"].row()
    assert row["swhid"].startswith("swh:1:cnt:")
    assert row["swhid"].endswith(";origin=file:///repo;path=/README.md")


def test_html_without_navigation(tmp_path: Path) -> None:
    found = read(tmp_path, {"built/parser.html": PAGE})["built/parser.html"]
    assert found.status == "ok"
    assert "The parser reads one line" in found.text
    assert "parse(line)\n    twice" in found.text
    assert "Search" not in found.text
    assert "Built with" not in found.text


def test_long_description() -> None:
    metadata = (
        b"Metadata-Version: 2.4\nName: x\nDescription-Content-Type: text/markdown; charset=UTF-8\n\n# X\n\n\xc3\xa9\n"
    )
    page = long_description(metadata)
    assert (page.text, page.status, page.suffix) == ("# X\n\né\n", "ok", ".md")
    assert long_description(b"Name: x\n\nX\n=\n").suffix == ".rst"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (PROSE * 3, "ok"),
        ("Too short.", "short"),
        ("Парсер читает одну строку за другой и возвращает то, что она говорит вызывающему. " * 3, "language"),
        ("# a # b # c # d # e # f # the # to\n" * 3, "symbols"),
        ("1 2 3 4 5 6 7 8 9 10 11 12 the to\n" * 3, "no_prose"),
        ("name value type default required optional kind\n" * 3, "no_prose"),
        (PROSE + "\n```\n" + "1 = #\n" * 100 + "```\n", "ok"),
        (PROSE + "\n\n" + "    1 = #\n" * 100, "ok"),
    ],
)
def test_prose_rules(text: str, status: str) -> None:
    assert judge_prose(text, PARAMS) == status


def test_what_is_no_documentation() -> None:
    names = ["LICENSE.md", "CHANGELOG.md", "docs/genindex.html", "AUTHORS.rst", "a.py", "a.txt", "HISTORY.md"]
    assert not [name for name in names if is_wanted(name)]
    assert is_wanted("x-1.0.dist-info/METADATA")


def test_statuses_and_limits(tmp_path: Path) -> None:
    files = {
        "a.md": b"\xff\xfe\xfa", "b.md": "x" * 3000, "c.html": "<html></html>", "d.md": PROSE, "e.md": PROSE + "E",
        "node_modules/f.md": PROSE, ".git/g.md": PROSE,
    }  # fmt: skip
    found = read(tmp_path, files, replace(PARAMS, max_file_bytes=2000, max_total_bytes=len(PROSE)))
    assert {path: document.status for path, document in found.items()} == {
        "a.md": "undecodable", "b.md": "too_long", "c.html": "empty", "d.md": "ok",
    }  # fmt: skip


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    folders = [tmp_path / name / "docs" for name in ("a", "b")]
    for folder in folders:
        folder.mkdir(parents=True)
    with pytest.raises(SourceError, match="a second folder with the URL file:///docs"):
        fingerprint(replace(PARAMS, folders=tuple(map(str, folders))))


def test_fingerprint_sees_another_file(tmp_path: Path) -> None:
    read(tmp_path, {"a.md": PROSE})
    params = replace(PARAMS, folders=(str(tmp_path / "repo"),))
    before = fingerprint(params)
    (tmp_path / "repo" / "b.md").write_text(PROSE)
    assert fingerprint(params) != before


def test_odd_names_stay_apart(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    for name in (b"a\xff.md", b"a\xfe.md", b"a\n.md", b"a\x1b[2J.md"):
        (folder / os.fsdecode(name)).write_text(PROSE)
    (folder / "link.md").symlink_to("/etc/passwd")
    found = read(tmp_path, {})
    assert set(found) == {"a\\xff.md", "a\\xfe.md", "a\n.md", "a\x1b[2J.md"}
    assert len({document.row()["document_id"] for document in found.values()}) == 4


def test_hostile_texts_take_no_time() -> None:
    started = time.process_time()
    for hostile in ("```a\n~~~\n", "```\n", "~~~~\n```\n"):
        judge_prose(hostile * 50_000, PARAMS)
    assert time.process_time() - started < 2
