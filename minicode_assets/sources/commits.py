"""Commits of local repositories as training text: a file before, the message, the file after.

`<commit_before>code<commit_msg>subject<commit_after>code`, of commits that change exactly one wanted file. Sampling,
windows and the subjects that say nothing are StarCoder's (arXiv 2305.06161, 3.4, its published code; curation.md 2.6).
Where that code counts the changed lines from the first of the file, ours counts from the first that changes, as the
paper has it.
"""

import difflib
import operator
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile
from pathlib import Path
from typing import Protocol

from minicode_assets.archive.git import git_output, origin_url, start_git
from minicode_assets.config.sources import Commits
from minicode_assets.errors import SourceError
from minicode_assets.sources.decode import decode
from minicode_assets.sources.document import Document
from minicode_assets.sources.files import CHECKOUT, LICENSE_FILE, Licensing
from minicode_assets.sources.marks import escaped, mark
from minicode_model.artifact import digest_of
from minicode_model.fim import uniforms

EMPTY_SUBJECT = re.compile(
    r"(?i)^(?:readme|update[ds]?|update[ds]? readme(?:\.md)?|dummy|debug|test)$|auto commit|update contributing|<\?xml"
    r"|^(?:add(?:ed)?|change[ds]?|changes made|cleanup|commit|edit(?:ed)?|fix(?:ed|es)?|fix typo|initial commit|"
    r"minor|minor (?:change|fix|update)s?|misc|rename|save|small (?:change|fix)e?s?|testing|todo|typo|"
    r"update[ds]?(?: \S+)?|upload(?:ed)?|wip|work in progress|\.+|-+)[.!]*$"
)
"""Subjects that say nothing about the change. The first line is StarCoder's published list, the rest is ours."""
VERSION_SUBJECT = re.compile(
    r"(?i)^v?\d+\.\d+\.\d+|^(?:bump|release|version|upgrade|prepare)\b|\bbump(?:ed|s)? .*\bto\b|^v?\d+(?:\.\d+)+$"
)
"""Subjects of releases and updates. Source: StarCoder drops those that begin with a version; the words are ours."""
DATA_SUFFIXES = (".json", ".yml", ".yaml", ".xml", ".html")
_MOST_COMPARED_LINES = 2000
"""Comparing takes time with the square of the lines."""


@dataclass(frozen=True)
class Change:
    """One commit that changes one wanted file.

    Attributes:
        commit: 40 hex digits.
        date: Committer date.
        message: As written.
        path: The file.
        before, after: Blob ids, 40 hex digits.
    """

    commit: str
    date: datetime
    message: str
    path: str
    before: str
    after: str


def read_commits(params: Commits, *, checkout: Path, licensing: Licensing) -> Iterator[Document]:
    """Documents of all repositories, newest commit first.

    Commits that change no wanted file or several are no records. Statuses: empty, message, subject, version, too_long,
    undecodable, same (nothing but line ends changed), sampled_out.

    Raises:
        SourceError: A repository is named twice.
        ArchiveError: git can't read a repository.
    """
    seen: set[str] = set()
    for path in repositories(params.repositories, checkout):
        url = repository_url(path)
        if url in seen:
            raise SourceError(f"{path}: a second repository with the URL {url}", hint="correct [commits] repositories")
        seen.add(url)
        license_expression = head_license(path, licensing)
        with Blobs(path) as blobs:
            for change in changes(path, params):
                yield document_of(change, url, license_expression, blobs, params)


def repositories(names: Sequence[str], checkout: Path) -> list[Path]:
    """Folders of the configuration; the checkout only where it is a repository."""
    chosen = [checkout if name == CHECKOUT else Path(name) for name in names]
    return [path for path in chosen if path != checkout or (path / ".git").exists()]


def fingerprint(params: Commits, *, checkout: Path) -> str:
    """Digest (hex) of the heads that would be read.

    The checkout's own is left out: it moves with every commit to minicode, and each would train the model anew. Its new
    commits are read when the asset is made for another reason, or by force.
    """
    found = repositories(params.repositories, checkout)
    heads = [CHECKOUT if path == checkout else git_output(path, "rev-parse", "HEAD").strip().decode() for path in found]
    return digest_of(heads)


def repository_url(path: Path) -> str:
    """Where it was cloned from, else `file:///<name>`."""
    remote = git_output(path, "config", "--get", "remote.origin.url", allowed=(0, 1)).decode(errors="replace").strip()
    return origin_url(path, remote or None)


def head_license(path: Path, licensing: Licensing) -> str | None:
    """What the licence files at the root of HEAD state."""
    names = git_output(path, "ls-tree", "--name-only", "-z", "HEAD").decode(errors="replace").split("\0")
    found = (licensing(git_output(path, "show", f"HEAD:{name}")) for name in names if LICENSE_FILE.match(name))
    return next(filter(None, found), None)


def changes(path: Path, params: Commits) -> Iterator[Change]:
    """Commits that change exactly one wanted file, without merges, newest first."""
    nonce = uuid.uuid4().hex
    listing = git_output(
        path, "log", "-z", "--no-merges", "--no-renames", "--raw", "--no-abbrev", f"--max-count={params.max_commits}",
        f"--format=format:{nonce}%H{nonce}%cI{nonce}%B{nonce}", "HEAD",
    ).decode("utf-8", "replace")  # fmt: skip
    fields = listing.split(nonce)[1:]
    for commit, date, message, files in zip(*(fields[start::4] for start in range(4)), strict=True):
        entries = [entry for entry in files.split("\0") if entry.strip()]
        touched = [(e.split(), name) for e, name in zip(entries[::2], entries[1::2], strict=False)]
        wanted = [(modes, name) for modes, name in touched if name.endswith(params.suffixes)]
        if len(wanted) == 1 and wanted[0][0][-1] == "M":
            (_, _, before, after, _), name = wanted[0]
            yield Change(commit, datetime.fromisoformat(date), message.strip(), name, before, after)


class Contents(Protocol):
    """Where contents come from."""

    def read(self, blob: str) -> bytes:
        """The bytes of a blob, by its id in hexadecimal digits."""
        ...


class Blobs:
    """Contents of a repository through one running git process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "Blobs":
        self._process = start_git(self._path, "cat-file", "--batch")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def read(self, blob: str) -> bytes:
        """The bytes of a blob.

        Raises:
            SourceError: It is not there.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{blob}\n".encode())
        self._process.stdin.flush()
        header = self._process.stdout.readline().split()
        if len(header) != 3:
            raise SourceError(f"{self._path}: git has no blob {blob}", hint=f"git -C {self._path} fsck")
        body = self._process.stdout.read(int(header[2]))
        self._process.stdout.read(1)
        return body


def document_of(change: Change, url: str, license_expression: str | None, blobs: Contents, params: Commits) -> Document:
    """The training text of a change, or the rule that drops it."""
    raw = [blobs.read(blob) for blob in (change.before, change.after)]
    record_id = f"{url}@{change.commit}:{change.path}"
    texts = [decode(content).text for content in raw if len(content) <= params.max_file_bytes]
    document = Document(
        source="commits", record_id=record_id, origin_url=url, path=change.path, text=change.message,
        license=license_expression, date=change.date,
    )  # fmt: skip
    if len(texts) < 2:
        return document.dropped("too_long")
    before, after = texts
    if before is None or after is None:
        return document.dropped("undecodable")
    status = judge(change.message, before, after, record_id, params)
    told = change.message if params.whole_message else subject_of(change.message)
    text = render(*shown(before, after, record_id, params), told)
    if status == "ok" and len(text) > params.max_characters:
        status = "too_long"
    return Document(
        source="commits", record_id=record_id, origin_url=url, path=change.path, text=text,
        license=license_expression, date=change.date, status=status,
    )  # fmt: skip


def judge(message: str, before: str, after: str, record_id: str, params: Commits) -> str:
    """ok, or the first rule that drops the commit."""
    subject = subject_of(message)
    words = subject.split()
    if not after:
        return "empty"
    if not words or len(message) > params.max_message_characters:
        return "message"
    if EMPTY_SUBJECT.search(subject) or len(subject) > params.max_mean_word_characters * len(words):
        return "subject"
    if VERSION_SUBJECT.search(subject):
        return "version"
    size = num_changed_lines(before, after)
    if not size:
        return "same"
    thinned = size <= params.short_change_lines or size >= params.long_change_lines
    rates = (
        params.thinned_rate if thinned else 1.0,
        params.short_subject_rate if len(words) < params.short_subject_words else 1.0,
        params.data_file_rate if record_id.lower().endswith(DATA_SUFFIXES) else 1.0,
    )
    chances = uniforms(len(rates), params.seed, "thin", record_id)
    return "sampled_out" if any(c >= rate for c, rate in zip(chances, rates, strict=True)) else "ok"


def subject_of(message: str) -> str:
    """The first line."""
    return message.partition("\n")[0].strip()


def num_changed_lines(before: str, after: str) -> int:
    """Lines that are taken out or put in, whichever is more, over all hunks."""
    return sum(max(i2 - i1, j2 - j1) for _, i1, i2, j1, j2 in edits(before.splitlines(), after.splitlines()))


def shown(before: str, after: str, record_id: str, params: Commits) -> tuple[str, str]:
    """Both sides whole, or a window around the change that is the same on both sides."""
    whole, size = uniforms(2, params.seed, "window", record_id)
    if whole < params.whole_file_rate:
        return before, after
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if old == new:
        return before, after
    margin = int(size * (params.max_window_lines + 1))
    head, tail = ends_in_common(old, new)
    first, behind = max(head - margin, 0), margin - tail
    return "".join(old[first : len(old) + behind]), "".join(new[first : len(new) + behind])


def render(before: str, after: str, message: str) -> str:
    """StarCoder's format, with marks."""
    return "".join(
        (mark("<commit_before>"), escaped(before), mark("<commit_msg>"), escaped(message),
         mark("<commit_after>"), escaped(after))
    )  # fmt: skip


def edits(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    """The differing stretches (kind, from and to in old, from and to in new).

    What both begin and end with is cut off first; a rest too long to compare line by line is one stretch.
    """
    head, tail = ends_in_common(old, new)
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    if max(len(a), len(b)) > _MOST_COMPARED_LINES or not (a and b):
        return [("replace", head, head + len(a), head, head + len(b))] if a or b else []
    found = difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    return [(kind, i1 + head, i2 + head, j1 + head, j2 + head) for kind, i1, i2, j1, j2 in found if kind != "equal"]


def ends_in_common(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """How many lines both begin with, and how many of the others both end with.

    The first of `edits` begins, and the last ends, between them.
    """
    head = sum(1 for _ in takewhile(operator.truth, map(operator.eq, old, new)))
    most = min(len(old), len(new)) - head
    tail = sum(1 for _ in islice(takewhile(operator.truth, map(operator.eq, reversed(old), reversed(new))), most))
    return head, tail
