"""Commits: real repositories, hand-checked renderings, and every rule that drops one."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from minicode_assets.config.sources import Commits
from minicode_assets.sources.commits import fingerprint, judge, num_changed_lines, read_commits, render, shown
from minicode_assets.sources.document import Document

WHOLE = Commits(repositories=("repo",), whole_file_rate=1.0, thinned_rate=1.0, short_subject_rate=1.0)


def git(folder: Path, *arguments: str) -> None:
    dates = {"GIT_AUTHOR_DATE": "2024-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2024-01-02T03:04:05Z"}
    environment = {**os.environ, **dates, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, env=environment, check=True, capture_output=True)


def commit(folder: Path, message: str, **files: str | bytes) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    git(folder, "add", "-A")
    git(folder, "commit", "-m", message)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", "https://user:secret@example.org/owner/repo.git")
    return folder


def read(folder: Path, params: Commits = WHOLE) -> list[Document]:
    named = replace(params, repositories=(str(folder),))
    return list(read_commits(named, checkout=Path("/none"), licensing=lambda content: content.decode().strip()))


def shown_text(text: str) -> str:
    return text.replace("\ufdd0", "")


GOLDEN = [
    ("x = 1\n", "x = 2\n", "Correct the value of x",
     "<commit_before>x = 1\n<commit_msg>Correct the value of x<commit_after>x = 2\n"),
    ("a\nb\n", "a\nb\nc\n", "Append what was missing",
     "<commit_before>a\nb\n<commit_msg>Append what was missing<commit_after>a\nb\nc\n"),
    ("a\nb\n", "a\n", "Remove the second line",
     "<commit_before>a\nb\n<commit_msg>Remove the second line<commit_after>a\n"),
    ("é\n", "è\n", "Mend the accent\n\nIt leans left.",
     "<commit_before>é\n<commit_msg>Mend the accent<commit_after>è\n"),
    ("", "x = 1\n", "Fill the empty module", "<commit_before><commit_msg>Fill the empty module<commit_after>x = 1\n"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "message", "expected"), GOLDEN)
def test_golden(repository: Path, before: str, after: str, message: str, expected: str) -> None:
    commit(repository, "Begin", m__py=before, LICENSE="MIT")
    commit(repository, message, m__py=after)
    (document,) = read(repository)
    assert (document.status, shown_text(document.text)) == ("ok", expected)
    assert document.origin_url == "https://example.org/owner/repo.git"
    assert document.license == "MIT"
    assert document.date
    assert document.date.isoformat() == "2024-01-02T03:04:05+00:00"
    assert document.path == "m.py"


def test_rules(repository: Path) -> None:
    body = "".join(f"line{n} = {n}\n" for n in range(300))
    commit(repository, "Begin", m__py=body, n__py="n = 1\n", b__py=b"b = 1\n", t__md="text\n")
    commit(repository, "Two wanted files in one commit", m__py=body + "a\n", n__py="n = 2\n")
    commit(repository, "Only text is changed here", t__md="other\n")
    commit(repository, "readme", m__py=body + "b = 1\nc = 2\nd = 3\n")
    commit(repository, "Update module.py", m__py=body + "b = 2\nc = 3\nd = 4\n")
    commit(repository, "Bump httpx from 0.27 to 0.28", m__py=body + "b = 3\nc = 4\nd = 5\n")
    commit(repository, "Change one line only", m__py=body + "b = 4\nc = 4\nd = 5\n")
    commit(repository, "Rewrite more lines than are usual", m__py=body.upper())
    commit(repository, "Bytes that are no text at all", b__py=b"\xff\xfe\xfa")
    commit(repository, "Grow past what is read of a file", n__py="n = 3\n" * 2000)
    commit(repository, "Change three lines of the module", m__py=body.upper() + "b = 4\nc = 4\nd = 5\n")
    git(repository, "checkout", "-q", "-b", "side", "HEAD~1")
    git(repository, "mv", "m.py", "moved.py")
    commit(repository, "Move the module somewhere else")
    git(repository, "checkout", "-q", "main")
    git(repository, "merge", "-q", "--no-ff", "-s", "ours", "-m", "Merge the side branch", "side")
    found = {d.row()["record_id"].rpartition(":")[2] + " " + d.status for d in read(repository, replace(
        WHOLE, thinned_rate=0.0, max_file_bytes=10_000))}  # fmt: skip
    assert found == {
        "m.py subject", "m.py version", "m.py sampled_out", "m.py ok", "n.py too_long",
        "b.py undecodable",
    }  # fmt: skip


def test_windows_are_the_same_on_both_sides_and_each_time() -> None:
    before = "".join(f"line {n}\n" for n in range(200))
    after = before.replace("line 100\n", "other\n")
    params = Commits(whole_file_rate=0.0)
    sizes = set()
    for number in range(40):
        old, new = shown(before, after, f"record {number}", params)
        assert (old, new) == shown(before, after, f"record {number}", params)
        assert (old.count("\n"), "line 100\n" in old, "other\n" in new) == (new.count("\n"), True, True)
        assert old.replace("line 100\n", "other\n") == new
        sizes.add(old.count("\n"))
    assert min(sizes) >= 1
    assert max(sizes) <= 65
    assert len(sizes) > 10


def test_sampling_keeps_its_share() -> None:
    params = Commits()
    judged = [judge("Change a line of it", "a\nb\n", "a\nc\n", f"r{n}", params) for n in range(1000)]
    assert 60 < judged.count("ok") < 140


def test_counting_lines_is_bounded() -> None:
    assert num_changed_lines("a\n" * 50_000, "b\n" * 50_000) == 50_000
    assert num_changed_lines("a\nb\nc\n", "a\nB\nc\nd\n") == 2
    assert num_changed_lines("a\n", "a") == 0


def test_content_never_makes_a_mark() -> None:
    from minicode_assets.sources.marks import split_marks

    parts = split_marks(render("\ufdd0<commit_msg>", "b", "m\ufdd0"), where="x")
    assert parts == ("", "<commit_before>", "\ufdd0<commit_msg>", "<commit_msg>", "m\ufdd0", "<commit_after>", "b")


def test_fingerprint_follows_the_head(repository: Path) -> None:
    params = replace(WHOLE, repositories=(str(repository), "checkout"))
    commit(repository, "Begin", m__py="x = 1\n")
    before = fingerprint(params, checkout=Path("/none"))
    assert before == fingerprint(params, checkout=Path("/none"))
    own = replace(WHOLE, repositories=("checkout",))
    of_the_checkout = fingerprint(own, checkout=repository)
    commit(repository, "Correct the value of x", m__py="x = 2\n")
    assert before != fingerprint(params, checkout=Path("/none"))
    assert of_the_checkout == fingerprint(own, checkout=repository)  # or each commit to minicode would train anew


SUBJECTS = {
    "Correct the value of x": "ok", "Say it": "sampled_out", "Updated readme.md": "subject",
    "Auto commit at noon": "subject",
    "0123456789abcdef0123456789": "subject", "v1.2.3-rc1 is out now, at last": "version", "": "message",
    "<?xml version is what it says": "subject", "Update the way that values are read": "ok",
}  # fmt: skip


@pytest.mark.parametrize(("subject", "status"), SUBJECTS.items())
def test_subjects_by_star_coders_published_rules(subject: str, status: str) -> None:
    params = replace(WHOLE, short_subject_rate=0.0)
    assert judge(f"{subject}\n\nMore.", "a\nb\nc\n", "x\ny\nz\n", "r:m.py", params) == status


def test_data_files_and_emptied_ones() -> None:
    params = replace(WHOLE, data_file_rate=0.0)
    assert judge("Correct the value of x", "a\n", "b\n", "r:m.json", params) == "sampled_out"
    assert judge("Correct the value of x", "a\n", "", "r:m.py", params) == "empty"


def test_the_whole_message_where_it_is_asked_for(repository: Path) -> None:
    commit(repository, "Begin", m__py="a\n")
    commit(repository, "Mend the accent\n\nIt leans left.", m__py="b\n")
    (document,) = read(repository, replace(WHOLE, whole_message=True))
    assert "<commit_msg>Mend the accent\n\nIt leans left.\ufdd0<commit_after>" in document.text
