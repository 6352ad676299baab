"""Files of a published dump: fetched once and whole into a mirror, resumed where a connection broke, then streamed."""

import gzip
import hashlib
import logging
import os
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from minicode_assets.errors import SourceError
from minicode_assets.sources.web import RemoteFile, Web
from minicode_model.artifact import storage_errors

CHUNK_BYTES = 1 << 20
SEVEN_ZIP = ("bsdtar", "7z", "7za")
"""Programs that unpack 7z archives, tried in this order; no kept Python library under a permissive licence does."""
logger = logging.getLogger("minicode.sources")


def local_file(address: str, mirror: Path, web: Web, *, md5: str = "") -> Path:
    """Where a file lies on this machine: a path stays, a URL is fetched into the mirror unless it is there.

    Args:
        address: Path or URL.
        mirror: Folder of the fetched files.
        web: The client.
        md5: Hex digest that the publisher states; empty: sizes are compared, and what the format itself checks.

    Raises:
        SourceError: No such file, another digest, or as `Web.stream`.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        if not Path(address).is_file():
            raise SourceError(f"{address}: found no file", hint="correct the `files` of the section, or give a URL")
        return Path(address)
    path = mirror / urlsplit(address).path.rpartition("/")[2]
    if not path.is_file():
        _fetch(address, path, web, md5)
    return path


def _fetch(address: str, path: Path, web: Web, md5: str) -> None:
    """After this, `path` holds the whole file; a part that an earlier run left is gone on from."""
    file = RemoteFile(address, path.name, web.size(address))
    if file.size <= 0:
        raise SourceError(f"{address}: the server states no size", hint="download it yourself and give its path")
    part = path.with_name(f".partial-{file.size}-{path.name}")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as stream:
            for chunk in web.stream(file, stream.tell()):
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        if md5 and (found := _md5_of(part)) != md5:
            part.unlink()
            raise SourceError(f"{address}: found md5 {found}, expected {md5}", hint="run again: it is fetched anew")
        part.rename(path)
    logger.info("fetched %s, %.1f MB", path.name, file.size / 1e6)


def _md5_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def unpacked(path: Path, start: int = 0, *, member: str) -> Iterator[bytes]:
    """The content of a plain or gzip file, or of one member of a 7z archive, from a byte on, a chunk at a time.

    Raises:
        SourceError: It ends early, is damaged, has no such member, or there is no program for 7z.
    """
    if path.suffix == ".7z":
        yield from _skipped(_seven_zip(path, member), start)
        return
    packed = path.suffix == ".gz"
    with gzip.open(path) if packed else path.open("rb") as stream:
        try:
            stream.seek(start)
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise SourceError(f"{path}: no whole gzip file: {error}", hint=_AGAIN) from error


_AGAIN = "the file is incomplete: delete it and fetch it again"


def _skipped(chunks: Iterator[bytes], start: int) -> Iterator[bytes]:
    for chunk in chunks:
        if start < len(chunk):
            yield chunk[start:]
        start = max(0, start - len(chunk))


def _seven_zip(path: Path, member: str) -> Iterator[bytes]:
    program = next(filter(shutil.which, SEVEN_ZIP), None)
    if program is None:
        raise SourceError(
            f"{path}: found none of {', '.join(SEVEN_ZIP)} to unpack it",
            hint="apt-get install libarchive-tools, or unpack it yourself and give the path of the .xml",
        )
    options = ["-xOf", str(path)] if program == "bsdtar" else ["x", "-so", str(path)]
    process = subprocess.Popen([program, *options, member], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    try:
        while chunk := process.stdout.read(CHUNK_BYTES):
            yield chunk
        if process.wait():
            raise SourceError(
                f"{path}: {program} ended with status {process.returncode}",
                hint=f"it holds no {member}, or is incomplete: delete it and fetch it again",
            )
    finally:
        process.stdout.close()
        process.kill()
        process.wait()
