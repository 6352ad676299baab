"""Where the bytes of a content come from: one small interface, and the local folder behind it.

A backend answers with the bytes, or with a typed `Absent` that says why there are none. It never verifies ids: that is
the store's work, in one place for every backend.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from minicode_assets.errors import BlobError

_CHUNK_BYTES = 1 << 16
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Absent:
    """A backend has no usable bytes for a content.

    Attributes:
        status: `missing` (the source has no such object) or `damaged` (an object is there but can't be unpacked).
        problem: What was found instead.
    """

    status: str
    problem: str


class Backend(Protocol):
    """A source of contents."""

    name: str

    def read(self, sha1: bytes, *, max_length_bytes: int) -> bytes | Absent:
        """The bytes of a content, unpacked but unverified.

        Args:
            sha1: The public bucket's key, 20 bytes.
            max_length_bytes: Unpacking stops beyond this many bytes and answers `damaged`.
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

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise BlobError(
                f"{folder}: found no folder, expected gzip files named by sha1",
                hint="minicode materialize --select archive, or set [blobs] content_folder",
            )
        self.folder = folder

    def read(self, sha1: bytes, *, max_length_bytes: int) -> bytes | Absent:
        """See `Backend.read`."""
        path = self.folder / sha1.hex()
        try:
            with path.open("rb") as stream:
                packed = stream.read(max_length_bytes + _CHUNK_BYTES + 1)
        except FileNotFoundError:
            return Absent("missing", f"{path.name}: no such file in the content folder")
        except OSError as error:
            return Absent("damaged", f"{path.name}: can't read: {error.strerror}")
        return unpack(packed, max_length_bytes=max_length_bytes)


def unpack(packed: bytes, *, max_length_bytes: int) -> bytes | Absent:
    """Gunzip with a bound: never holds more than `max_length_bytes` and one chunk of output.

    Args:
        packed: One or more gzip members.
        max_length_bytes: Longer output is an error, not an outage.
    """
    if not packed.startswith(_GZIP_MAGIC):
        return Absent("damaged", f"not gzip: first bytes {packed[:4].hex() or 'none'}")
    output, rest = bytearray(), packed
    try:
        while rest:
            member = zlib.decompressobj(wbits=31)
            output += member.decompress(rest, max_length_bytes + 1 - len(output))
            if len(output) > max_length_bytes:
                return Absent("damaged", f"gzip unpacks to more than the expected {max_length_bytes} bytes")
            if not member.eof:
                return Absent("damaged", f"gzip ends early, after {len(output)} bytes")
            rest = member.unused_data
    except zlib.error as error:
        return Absent("damaged", f"gzip: {error}")
    return bytes(output)
