"""The graph under construction: Software Heritage's objects in memory, the bytes of contents in a folder.

Directories are kept as serialised trees (compact, and proof of their own id); rows are made when tables are written.
"""

import gzip
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from minicode_assets.errors import ArchiveError
from minicode_assets.swhid import (
    DIRECTORY_MODE,
    EMPTY_TREE,
    SUBMODULE_MODE,
    SYMLINK_MODE,
    Branch,
    TreeEntry,
    object_id,
    snapshot_body,
    tree_body,
    tree_entries,
)

PYTHON_SUFFIXES = (b".py", b".pyi")
_CHUNK_BYTES = 1 << 20


class Content(NamedTuple):
    """The ids of a content (20, 20, 32 and 32 bytes) and its length in bytes."""

    sha1: bytes
    sha1_git: bytes
    sha256: bytes
    blake2s256: bytes
    length: int


class Signature(NamedTuple):
    """Who and when: raw `Name <mail>`, seconds since 1970, minutes east of UTC; None where git's line has none."""

    person: bytes
    seconds: int | None
    offset_minutes: int | None


class Revision(NamedTuple):
    """A commit, or the synthetic revision of a distribution."""

    directory: bytes
    parents: tuple[bytes, ...]
    author: Signature
    committer: Signature
    type: str
    message: bytes


class Release(NamedTuple):
    """An annotated tag; the tagger is None where the tag has none."""

    name: bytes
    target: bytes
    target_type: str
    tagger: Signature | None
    message: bytes


class Origin(NamedTuple):
    """Where a source was collected, with its only visit's snapshot.

    Attributes:
        url: Unique in the archive.
        kind: git, pypi or tar.
        snapshot: Id of the snapshot that the visit found.
        root: The directory of its head, for figures; None where the snapshot has no head.
    """

    url: str
    kind: str
    snapshot: bytes
    root: bytes | None


@dataclass
class Graph:
    """Every object of the archive by its id.

    Attributes:
        content_folder: Stored contents are written there, gzip-compressed, named by sha1 (hex).
        max_content_bytes: Longer contents go to `skipped_contents` and are not stored. Unit: bytes.
        gzip_level: 1..9.
    """

    content_folder: Path
    max_content_bytes: int
    gzip_level: int
    origins: list[Origin] = field(default_factory=list)
    snapshots: dict[bytes, dict[bytes, Branch]] = field(default_factory=dict)
    releases: dict[bytes, Release] = field(default_factory=dict)
    revisions: dict[bytes, Revision] = field(default_factory=dict)
    directories: dict[bytes, bytes] = field(default_factory=dict)
    contents: dict[bytes, Content] = field(default_factory=dict)
    skipped_contents: dict[bytes, Content] = field(default_factory=dict)

    def add_content(self, blob: bytes, length: int) -> Content:
        """Hash a blob of a stated length and store it, unless it is stored already.

        Raises:
            ValueError: The blob has another length.
        """
        content = hash_chunks([blob], length)
        if content.sha1_git not in self.contents:
            self.contents[content.sha1_git] = content
            packed = gzip.compress(blob, self.gzip_level, mtime=0)
            (self.content_folder / content.sha1.hex()).write_bytes(packed)
        return content

    def add_stream(self, stream: IO[bytes], length: int) -> Content:
        """Add a blob from the next `length` bytes of a stream; too long a blob is hashed in chunks, never held.

        Raises:
            ValueError: The stream ends before.
        """
        chunks = read_chunks(stream, length)
        if length <= self.max_content_bytes:
            return self.add_content(b"".join(chunks), length)
        content = hash_chunks(chunks, length)
        self.skipped_contents[content.sha1_git] = content
        return content

    def add_tree(self, files: Mapping[bytes, tuple[int, bytes]]) -> bytes:
        """Add the directories of a set of files, and return the root's id.

        Args:
            files: Raw path with `/` (relative, no empty or dot parts) to git mode and sha1_git.
        """
        here: list[TreeEntry] = []
        below: dict[bytes, dict[bytes, tuple[int, bytes]]] = {}
        for path, (mode, target) in files.items():
            head, slash, rest = path.partition(b"/")
            if slash:
                below.setdefault(head, {})[rest] = (mode, target)
            else:
                here.append(TreeEntry(mode, head, target))
        here += [TreeEntry(DIRECTORY_MODE, name, self.add_tree(inner)) for name, inner in below.items()]
        body = tree_body(here)
        directory = object_id("tree", body)
        self.directories[directory] = body
        return directory

    def add_revision(self, revision: Revision) -> bytes:
        """Add a synthetic revision, and return its id: that of the git commit with the same fields."""
        parents = b"".join(b"parent %b\n" % parent.hex().encode() for parent in revision.parents)
        body = b"tree %b\n%bauthor %b\ncommitter %b\n\n%b" % (
            revision.directory.hex().encode(),
            parents,
            _signature_line(revision.author),
            _signature_line(revision.committer),
            revision.message,
        )
        identifier = object_id("commit", body)
        self.revisions[identifier] = revision
        return identifier

    def add_snapshot(self, branches: Mapping[bytes, Branch]) -> bytes:
        """Add a snapshot, and return its id."""
        identifier = object_id("snapshot", snapshot_body(branches))
        self.snapshots[identifier] = dict(sorted(branches.items()))
        return identifier

    def add_origin(self, origin: Origin) -> None:
        """Add an origin.

        Raises:
            ArchiveError: Another origin has the same URL.
        """
        if any(other.url == origin.url for other in self.origins):
            raise ArchiveError(
                f"origin {origin.url}: found twice, expected one source for each origin URL",
                hint="list each repository once in [archive] git_repositories, or set another remote.origin.url",
            )
        self.origins.append(origin)


class Figures(NamedTuple):
    """Files below a directory, and the bytes of those that are Python by name."""

    files: int
    python_bytes: int


def measure_tree(graph: Graph, root: bytes) -> Figures:
    """Count the files below a directory, each as often as it occurs; submodules are not entered."""
    known: dict[bytes, Figures] = {}
    pending = [root]
    while pending:
        directory = pending[-1]
        entries = list(_entries_of(graph, directory))
        inner = [entry.target for entry in entries if entry.mode == DIRECTORY_MODE]
        missing = [target for target in inner if target not in known]
        if missing:
            pending += missing
            continue
        files = [entry for entry in entries if entry.mode not in (DIRECTORY_MODE, SUBMODULE_MODE)]
        known[directory] = Figures(
            len(files) + sum(known[target].files for target in inner),
            sum(_python_bytes(graph, entry) for entry in files) + sum(known[target].python_bytes for target in inner),
        )
        pending.pop()
    return known[root]


def read_chunks(stream: IO[bytes], length: int) -> Iterator[bytes]:
    """The next `length` bytes of a stream in chunks; fewer where it ends before."""
    while length > 0 and (chunk := stream.read(min(length, _CHUNK_BYTES))):
        length -= len(chunk)
        yield chunk


def hash_chunks(chunks: Iterable[bytes], length: int) -> Content:
    """Compute a content's ids from its bytes in chunks.

    Args:
        chunks: The bytes, in order.
        length: Their number, which git's id covers first. Unit: bytes.

    Raises:
        ValueError: The chunks have another length.
    """
    header = f"blob {length}\0".encode()
    hashes = hashlib.sha1(), hashlib.sha1(header), hashlib.sha256(), hashlib.blake2s(digest_size=32)
    found = 0
    for chunk in chunks:
        found += len(chunk)
        for running in hashes:
            running.update(chunk)
    if found != length:
        raise ValueError(f"found {found} bytes, expected {length}")
    sha1, sha1_git, sha256, blake2s256 = (running.digest() for running in hashes)
    return Content(sha1, sha1_git, sha256, blake2s256, length)


def _entries_of(graph: Graph, directory: bytes) -> Iterator[TreeEntry]:
    return tree_entries(b"" if directory == EMPTY_TREE else graph.directories[directory])


def _python_bytes(graph: Graph, entry: TreeEntry) -> int:
    if entry.mode == SYMLINK_MODE or not entry.name.endswith(PYTHON_SUFFIXES):
        return 0
    content = graph.contents.get(entry.target) or graph.skipped_contents[entry.target]
    return content.length


def _signature_line(signature: Signature) -> bytes:
    assert signature.seconds is not None and signature.offset_minutes is not None  # noqa: PT018
    sign = b"-" if signature.offset_minutes < 0 else b"+"
    hours, minutes = divmod(abs(signature.offset_minutes), 60)
    return b"%b %d %b%02d%02d" % (signature.person, signature.seconds, sign, hours, minutes)
