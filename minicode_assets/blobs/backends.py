"""Where the bytes of a content come from: one small interface, and the local folder behind it.

A backend answers with the bytes, or with a typed `Absent` that says why there are none. It never verifies ids: that is
the store's work, in one place for every backend.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from minicode_assets.errors import BlobError

MISSING, MASKED, DAMAGED, RETRY_LATER = "missing", "masked", "damaged", "retry_later"
PACKED_OVERHEAD_BYTES = 4096
"""A gzip body is at most this much and a thousandth longer than its content. Derivation: 5 bytes each 16 KiB block that
can't be compressed (0.03 %), 18 of frame, and room for a file name."""
_GZIP_MAGIC = b"\x1f\x8b"


class Wanted(NamedTuple):
    """A content to fetch.

    Attributes:
        rank: Number of the content in its partition, by sha1_git, from 0.
        sha1_git: 20 bytes; the web API's key.
        sha1: 20 bytes; the public bucket's key.
        length: Bytes, from the table. Bodies past it are not read.
    """

    rank: int
    sha1_git: bytes
    sha1: bytes
    length: int


@dataclass(frozen=True)
class Absent:
    """A backend has no usable bytes for a content.

    Attributes:
        status: `missing` (the source has no such object), `masked` (taken down: final), `damaged` (an object is there
            but can't be unpacked) or `retry_later` (the source did not answer properly).
        problem: What was found instead; the same for every run that finds it.
    """

    status: str
    problem: str


class Answer(NamedTuple):
    """What a backend says about one content: unverified bytes, or why there are none, and which source says so."""

    wanted: Wanted
    found: bytes | Absent
    source: str


class Backend(Protocol):
    """A source of contents.

    Attributes:
        name: Named in problems.
        is_remote: Requests cost something, so what was verified once is never asked for again.
    """

    name: str
    is_remote: bool

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Answer]:
        """One answer for each content, in any order.

        `wanted` is consumed as far as requests are under way, so memory doesn't depend on its length. Closing the
        iterator ends the requests.

        Raises:
            BlobError: Going on is pointless: the token was refused, the terms were not accepted.
        """
        ...

    def figures(self) -> dict[str, int]:
        """What a person wants to know of the source's quota.

        `<name>_limit`, `<name>_in_window`, `<name>_left` in this window, `<name>_requests` since its log was made.
        """
        ...


class LocalBackend:
    """A folder with one gzip file a content, named by sha1 (40 lower-case hex digits), as in the public bucket.

    Args:
        folder: The folder.

    Raises:
        BlobError: There is no such folder.
    """

    name = "local"
    is_remote = False

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise BlobError(
                f"{folder}: found no folder, expected gzip files named by sha1",
                hint="minicode materialize --select archive, or set [blobs] content_folder",
            )
        self.folder = folder

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Answer]:
        """See `Backend.fetch`."""
        for content in wanted:
            yield Answer(content, self._read(content), self.name)

    def figures(self) -> dict[str, int]:
        """None: a folder has no quota."""
        return {}

    def _read(self, content: Wanted) -> bytes | Absent:
        path = self.folder / content.sha1.hex()
        try:
            with path.open("rb") as stream:
                packed = stream.read(max_packed_bytes(content.length) + 1)
        except FileNotFoundError:
            return Absent(MISSING, f"{path.name}: no such file in the content folder")
        except OSError as error:
            return Absent(DAMAGED, f"{path.name}: can't read: {error.strerror}")
        return unpack(packed, max_length_bytes=content.length)


def max_packed_bytes(length: int) -> int:
    """A gzip body for `length` bytes is not longer than this."""
    return length + length // 1000 + PACKED_OVERHEAD_BYTES


def unpack(packed: bytes, *, max_length_bytes: int) -> bytes | Absent:
    """Gunzip with a bound: never holds more than `max_length_bytes` and one byte of output.

    Args:
        packed: One or more gzip members.
        max_length_bytes: Longer output is an error, not an outage.
    """
    if not packed.startswith(_GZIP_MAGIC):
        return Absent(DAMAGED, f"not gzip: first bytes {packed[:4].hex() or 'none'}")
    output, rest = b"", packed
    try:
        while rest:
            member = zlib.decompressobj(wbits=31)
            output += member.decompress(rest, max_length_bytes + 1 - len(output))
            if len(output) > max_length_bytes:
                return Absent(DAMAGED, f"gzip unpacks to more than the expected {max_length_bytes} bytes")
            if not member.eof:
                return Absent(DAMAGED, f"gzip ends early, after {len(output)} bytes")
            rest = member.unused_data
    except zlib.error as error:
        return Absent(DAMAGED, f"gzip: {error}")
    return output
