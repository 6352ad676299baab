"""Files of a folder become contents and a tree; what can't be read is noted, and never stops the archive."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from minicode_assets.archive.graph import Content, Graph
from minicode_assets.swhid import EXECUTABLE_MODE, FILE_MODE

COMPILED = re.compile(rb"\.(pyc|pyo|so|dylib|pyd|dll|a|lib|o|obj|exe|whl|jar|node)$|\.so(\.[0-9]+)+$|(^|/)__pycache__/")
"""Paths of build products: a source archive has none, and they differ between platforms."""


class Skipped(NamedTuple):
    r"""A file that should be in the archive and is not.

    Attributes:
        origin: URL of its origin.
        path: Raw path below the origin's root, bytes that are not UTF-8 as `\xNN`.
        reason: What the operating system said, or what was found instead of a regular file.
    """

    origin: str
    path: str
    reason: str


def add_files(
    graph: Graph, origin: str, paths: Mapping[bytes, Path], skipped: list[Skipped]
) -> dict[bytes, tuple[int, bytes]]:
    """Read files into the graph.

    Symbolic links are followed: some installers link every file of a distribution to their cache.

    Args:
        graph: Takes the contents.
        origin: URL for the notes on what can't be read.
        paths: Raw path in the tree to path on disk.
        skipped: Takes a note for each file that can't be read.

    Returns:
        Raw path to git mode and sha1_git, in the order of the paths.
    """
    files = {}
    for name in sorted(paths):
        try:
            mode, content = _add_file(graph, paths[name])
        except (OSError, ValueError) as error:
            skipped.append(Skipped(origin, name.decode("utf-8", "backslashreplace"), _reason(error)))
        else:
            files[name] = (mode, content.sha1_git)
    return files


def size_of(path: Path) -> int:
    """Size of a regular file in bytes; -1 where there is none that can be looked at."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def _add_file(graph: Graph, path: Path) -> tuple[int, Content]:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"found a {_kind(found.st_mode)}, expected a regular file")
    mode = EXECUTABLE_MODE if found.st_mode & stat.S_IXUSR else FILE_MODE
    with open(path, "rb", opener=_open_without_waiting) as stream:
        content = graph.add_stream(stream, found.st_size)
        if stream.read(1):
            raise ValueError("grew while it was read")
    return mode, content


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe that took its place since it was looked at doesn't block."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _kind(mode: int) -> str:
    names = {stat.S_IFDIR: "folder", stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}
    return names.get(stat.S_IFMT(mode), "device")


def _reason(error: OSError | ValueError) -> str:
    """The cause without the path, which would tell about the machine."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
