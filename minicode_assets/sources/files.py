"""Files of installed distributions and of folders on this machine, by origin, with the licence that holds there."""

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from minicode_assets.archive.distributions import wanted_distributions
from minicode_assets.archive.files import size_of
from minicode_assets.archive.git import origin_url
from minicode_assets.errors import SourceError
from minicode_assets.manifest.paths import VENDORED_DIRECTORIES
from minicode_assets.sources.swh import readable_path

LICENSE_FILE = re.compile(r"(?i)^(?:un)?(?:licen[cs]e|copying)(?:[-_.][\w+.-]*)?$")
"""Names of licence texts that hold for the folder that they stand in."""
METADATA = "METADATA"
Licensing = Callable[[bytes], str | None]
"""The SPDX expression that a licence file or package metadata states; null when none is recognised."""
CHECKOUT = "checkout"
"""Stands for the checkout that minicode runs from where a folder or a repository is named."""
CHECKOUT_URL = "file:///minicode"
"""Its origin, wherever it lies and whatever it was cloned from: so that the same documents are held out everywhere."""
PASSED_OVER = frozenset({*VENDORED_DIRECTORIES, "__pycache__", "build", "dist"})


@dataclass(frozen=True)
class Origin:
    """The files of one distribution or folder.

    Attributes:
        url: Package URL of a distribution; of a folder where its work tree was cloned from, else `file:///<name>`.
        files: Path inside to path on disk, sorted; of a folder inside a work tree that of the tree.
    """

    url: str
    files: Mapping[str, Path]

    def license(self, licensing: Licensing) -> str | None:
        """What the package metadata states, else the licence file nearest to the root."""
        names = sorted(self.files, key=lambda path: (path.count("/"), path))
        metadata = [name for name in names if name.endswith(f".dist-info/{METADATA}")]
        texts = [name for name in names if LICENSE_FILE.match(name.rpartition("/")[2])]
        found = (licensing(self.files[name].read_bytes()) for name in (*metadata, *texts[:3]))
        return next(filter(None, found), None)

    def chosen(self, wanted: Callable[[str], bool]) -> dict[str, Path]:
        """The files whose paths are wanted, third-party folders left out."""
        return {
            path: place
            for path, place in self.files.items()
            if wanted(path) and not PASSED_OVER & set(path.split("/")[:-1])
        }


def origins(distributions: Sequence[str], folders: Sequence[str], checkout: Path | None = None) -> Iterator[Origin]:
    """The distributions, by name, then the folders, in their order; those of the checkout under a name of their own.

    Raises:
        ArchiveError: A distribution is not installed, or its list of files can't be read.
        SourceError: A folder is absent, or two places have one URL (without a remote it is their name).
    """
    installed = wanted_distributions(distributions)[0] if distributions else []  # else all that there is is listed
    for found in installed:
        files = {readable_path(name): path for name, path in sorted(found.files().items())}
        yield Origin(found.url, files)
    seen: dict[str, Path] = {}
    for name in folders:
        folder = Path(name)
        if not folder.is_dir():
            raise SourceError(f"{folder}: found no folder", hint="correct the `folders` of the source's section")
        tree = work_tree(folder)
        url = CHECKOUT_URL if tree == checkout else folder_url(tree)
        if seen.setdefault(url, tree) != tree:
            raise SourceError(
                f"{folder}: a second folder with the URL {url}", hint="correct the `folders` of the section"
            )
        yield Origin(url, dict(_with_licenses(folder.absolute(), tree)))


def in_checkout(folders: Sequence[str], checkout: Path) -> tuple[str, ...]:
    """The folders with those of the checkout where they are, if they are there."""
    found: list[str] = []
    for name in folders:
        first, _, rest = name.partition("/")
        place = checkout / rest if first == CHECKOUT else Path(name)
        found += [str(place)] if first != CHECKOUT or place.is_dir() else []
    return tuple(found)


def outside_checkout(folders: Sequence[str]) -> tuple[str, ...]:
    """The folders but those of the checkout: it changes with every commit to minicode, and makes nothing stale."""
    return tuple(name for name in folders if name.partition("/")[0] != CHECKOUT)


def work_tree(folder: Path) -> Path:
    """The repository's work tree that a folder is in, else the folder itself; absolute."""
    inner = folder.absolute()
    return next((outer for outer in (inner, *inner.parents) if (outer / ".git").exists()), inner)


def _with_licenses(folder: Path, tree: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder by their paths in the work tree, and the licence texts at the tree's root."""
    prefix = "" if folder == tree else f"{readable_path(os.fsencode(folder.relative_to(tree)))}/"
    if prefix:
        yield from ((p.name, p) for p in sorted(tree.iterdir()) if p.is_file() and LICENSE_FILE.match(p.name))
    yield from ((f"{prefix}{path}", place) for path, place in walk(folder))


def folder_url(folder: Path) -> str:
    """Where a work tree was cloned from, else `file:///<name>`: nothing that tells about the machine."""
    config = folder / ".git" / "config"
    remote = None
    if config.is_file():
        found = re.search(r'(?s)\[remote "origin"\][^\[]*?\n\s*url\s*=\s*(\S+)', config.read_text(errors="replace"))
        remote = found[1] if found else None
    return origin_url(folder, remote)


def walk(folder: Path) -> Iterator[tuple[str, Path]]:
    r"""Path inside and on disk of each regular file, sorted; hidden folders and symbolic links are passed over.

    Bytes of a name that are not UTF-8 are written as `\xNN`, so that no two names become one.
    """
    for parent, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in PASSED_OVER)
        for name in sorted(files):
            path = Path(parent, name)
            if not path.is_symlink() and path.is_file():
                yield readable_path(os.fsencode(path.relative_to(folder))), path


def listing(found: Iterator[Origin], wanted: Callable[[str], bool]) -> list[list[object]]:
    """URL, path and size of each wanted file: what changes when a source would read something else."""
    return [[o.url, path, size_of(place)] for o in found for path, place in o.chosen(wanted).items()]


@functools.cache
def has_suffix(*suffixes: str) -> Callable[[str], bool]:
    """Whether a path ends in one of these, in any case."""
    return lambda path: path.lower().endswith(suffixes)
