"""Installed Python distributions: which ones, in which order, and which of their files."""

import csv
import importlib.metadata
import io
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from minicode_assets.archive.files import COMPILED, size_of
from minicode_assets.archive.graph import PYTHON_SUFFIXES
from minicode_assets.errors import ArchiveError

INSTALLER_FILES = frozenset(
    b"RECORD RECORD.jws RECORD.p7s INSTALLER REQUESTED direct_url.json provenance_url.json uv_cache.json "
    b"uv_build.json".split()
)
"""Files of a dist-info folder that tell how it was installed: they vary between machines.
Source: PyPA specification of installed projects."""

logger = logging.getLogger("minicode.archive")


@dataclass(frozen=True)
class Installed:
    """One installed distribution.

    Attributes:
        name: Normalised name.
        version: As its metadata says.
        folder: Its dist-info folder.
    """

    name: str
    version: str
    folder: Path

    @property
    def url(self) -> str:
        """Its package URL, which is its origin's URL."""
        return f"pkg:pypi/{self.name}@{self.version}"

    def requirements(self) -> list[str]:
        """Requirement lines of its metadata."""
        return importlib.metadata.Distribution.at(self.folder).requires or []

    def is_editable(self) -> bool:
        """Whether it only points to a work tree."""
        try:
            described = json.loads((self.folder / "direct_url.json").read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(described, dict) and bool((described.get("dir_info") or {}).get("editable"))

    def files(self) -> dict[bytes, Path]:
        """The source files that its RECORD lists below site-packages, by raw path.

        Raises:
            ArchiveError: RECORD is absent or can't be read.
        """
        site_packages = self.folder.parent
        info = os.fsencode(self.folder.name)
        return {
            path: site_packages / os.fsdecode(path)
            for path in self._record()
            if _is_below(path) and not COMPILED.search(path) and not _is_installer_file(path, info)
        }

    def _record(self) -> Iterator[bytes]:
        try:
            text = (self.folder / "RECORD").read_bytes().decode("utf-8", "surrogateescape")
            rows = list(csv.reader(io.StringIO(text)))
        except (OSError, csv.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ArchiveError(
                f"distribution {self.name} {self.version}: RECORD can't be read: {reason}",
                hint=f"pip install --force-reinstall {self.name}=={self.version}",
            ) from error
        return (row[0].encode("utf-8", "surrogateescape") for row in rows if row)


def find_installed(search_path: Iterable[str]) -> dict[str, Installed]:
    """Distributions with a dist-info folder on a search path, by normalised name; the first of a name wins.

    A dist-info folder without a readable name and version is passed over with a warning.
    """
    found: dict[str, Installed] = {}
    for entry in search_path:
        for folder in sorted(Path(entry).glob("*.dist-info")) if Path(entry).is_dir() else []:
            try:
                metadata = importlib.metadata.Distribution.at(folder).metadata
                name, version = metadata["Name"], metadata["Version"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                logger.warning("%s: metadata can't be read: %s", folder.name, error)
                continue
            if not name or not version:
                logger.warning("%s: METADATA has no Name or no Version", folder.name)
                continue
            normalised = canonicalize_name(name)
            found.setdefault(normalised, Installed(normalised, version, folder))
    return found


def wanted_distributions(roots: Iterable[str]) -> tuple[list[Installed], list[str]]:
    """The installed distributions that the roots need at run time, themselves included, sorted by name.

    Markers are evaluated for this Python, extras are followed, editable installs are left out.

    Args:
        roots: Distribution names, with extras if need be (`dagster[postgres]`), or `*` for all that are installed.

    Returns:
        The distributions, and the names of requirements that are not installed, sorted.

    Raises:
        ArchiveError: A root is not installed or its name is malformed.
    """
    installed = find_installed(sys.path)
    pending: list[Requirement] = []
    for root in roots:
        if root == "*":
            pending += [Requirement(name) for name in installed]
            continue
        requirement = _parse_root(root)
        if canonicalize_name(requirement.name) not in installed:
            raise ArchiveError(
                f"[archive] distributions: {root!r} is not installed", hint=f"pip install {requirement.name}"
            )
        pending.append(requirement)
    seen, absent = _close(pending, installed)
    return [installed[name] for name in sorted(seen) if not installed[name].is_editable()], sorted(absent)


def python_bytes(files: dict[bytes, Path]) -> int:
    """Size of the Python files among a distribution's files, in bytes."""
    return sum(max(size_of(path), 0) for name, path in files.items() if name.endswith(PYTHON_SUFFIXES))


def _parse_root(root: str) -> Requirement:
    try:
        return Requirement(root)
    except InvalidRequirement as error:
        raise ArchiveError(
            f"[archive] distributions: {root!r} is no distribution name: {error}", hint='e.g. distributions = ["attrs"]'
        ) from error


def _close(pending: list[Requirement], installed: dict[str, Installed]) -> tuple[set[str], set[str]]:
    seen: set[tuple[str, str]] = set()
    absent: set[str] = set()
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name not in installed:
            absent.add(name)
            continue
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                pending += _required(installed[name], extra)
    return {name for name, _ in seen}, absent


def _required(distribution: Installed, extra: str) -> Iterator[Requirement]:
    for line in distribution.requirements():
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            logger.warning("%s: requirement %r passed over: %s", distribution.name, line, error)
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def _is_below(path: bytes) -> bool:
    parts = path.split(b"/")
    return not path.startswith(b"/") and not {b"", b".", b".."} & set(parts) and b"\0" not in path


def _is_installer_file(path: bytes, info: bytes) -> bool:
    folder, _, name = path.rpartition(b"/")
    return folder == info and name in INSTALLER_FILES
