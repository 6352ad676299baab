"""Artefact folders: written under a temporary name, flushed, renamed; `manifest.json` is the last file written.

A folder with a manifest is complete; its `digest` covers the bytes of every other file and nothing else, so that two
runs which give the same bytes give the same digest (Dagster's data version). Source: docs/concepts/artefacts.md.
"""

import contextlib
import errno
import fcntl
import fnmatch
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minicode_model.errors import CorruptArtifactError, MinicodeError, MissingArtifactError, StorageError

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
_FLUSH_THREADS = 16
"""fsync calls in flight; they wait for the disk and need no processor."""


@dataclass(frozen=True)
class ArtifactFile:
    """One file of an artefact: its path relative to the folder (POSIX), size and SHA-256 (hex)."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """A complete artefact folder, as its manifest describes it.

    Attributes:
        path: The folder.
        name: The artefact's name, which is also its asset key, e.g. `file_manifest`.
        digest: SHA-256 (hex) over the sorted (path, sha256) pairs of the files.
        config_digest: Digest of the configuration sections that it was made with.
        inputs: Digest of each input artefact, by name.
        files: Every file but the manifest, sorted by path.
        metadata: What the stage wants to tell later readers: row counts and other figures (JSON values).
    """

    path: Path
    name: str
    digest: str
    config_digest: str
    inputs: Mapping[str, str]
    files: tuple[ArtifactFile, ...]
    metadata: Mapping[str, Any]

    @property
    def total_bytes(self) -> int:
        """Size of all files, in bytes."""
        return sum(file.bytes for file in self.files)

    def file(self, relative: str) -> Path:
        """The path of one listed file.

        Raises:
            CorruptArtifactError: The manifest doesn't list it.
        """
        if all(file.path != relative for file in self.files):
            raise CorruptArtifactError(
                f"{self.path}: manifest lists no file {relative!r}", hint=rebuild_hint(self.name)
            )
        return self.path / relative

    def verify(self, pattern: str = "*") -> "Artifact":
        """Check size and SHA-256 of the files whose path matches against the manifest, and return self.

        Raises:
            CorruptArtifactError: The first file that is absent or differs.
        """
        for file in self.files:
            if not fnmatch.fnmatch(file.path, pattern):
                continue
            check_size(self, file)
            found = sha256_of(self.path / file.path)
            if found != file.sha256:
                raise CorruptArtifactError(
                    f"{self.path / file.path}: sha256 found {found}, expected {file.sha256}",
                    hint=rebuild_hint(self.name),
                )
        return self


@dataclass
class ArtifactWriter:
    """The folder under construction. Put files below `path`; set `metadata`; the rest happens on exit."""

    path: Path
    metadata: dict[str, Any] = field(default_factory=dict)


def rebuild_hint(name: str) -> str:
    """The command that makes an artefact again."""
    return f"minicode materialize --select {name} --force"


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON value in its canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_size(artifact: Artifact, file: ArtifactFile) -> None:
    """Raise CorruptArtifactError unless the file exists with the size that the manifest gives."""
    path = artifact.path / file.path
    found = path.stat().st_size if path.is_file() else None
    if found != file.bytes:
        raise CorruptArtifactError(
            f"{path}: found {'no file' if found is None else f'{found} bytes'}, expected {file.bytes} bytes",
            hint=rebuild_hint(artifact.name),
        )


def open_artifact(folder: Path, *, verify: bool = True) -> Artifact:
    """Read an artefact's manifest and check its files.

    Args:
        folder: The artefact folder.
        verify: True compares SHA-256 of every file; False compares sizes only.

    Raises:
        MissingArtifactError: The folder has no manifest.
        CorruptArtifactError: The manifest is unreadable, or a file differs from it.
    """
    manifest = folder / MANIFEST
    try:
        raw = manifest.read_bytes()
    except FileNotFoundError as error:
        raise MissingArtifactError(f"{folder}: no {MANIFEST}, so it was never completed", hint="make run") from error
    except IsADirectoryError as error:
        raise StorageError(
            f"{manifest}: a folder stands where a file is expected", hint=f"delete {folder}, then make run"
        ) from error
    except NotADirectoryError as error:
        raise StorageError(f"{folder}: a file stands where a folder is expected", hint="move that file") from error
    artifact = parse_manifest(folder, raw)
    if verify:
        return artifact.verify()
    for file in artifact.files:
        check_size(artifact, file)
    return artifact


def check_replaceable(folder: Path, kind: str) -> None:
    """Check a folder that a person names for an artefact, since `write_artifact` replaces whatever lies there.

    Args:
        folder: Absent, empty, or a former artefact of this kind with nothing beside its own files.
        kind: The artefact's name, or the path of a file that only this kind has.

    Raises:
        StorageError: Something else is there.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        former = open_artifact(folder, verify=False)
    except (MissingArtifactError, CorruptArtifactError):
        former = None
    files = [file.path for file in former.files] if former else []
    own = {MANIFEST, *(path.partition("/")[0] for path in files)}
    if former is None or kind not in (former.name, *files) or any(path.name not in own for path in folder.iterdir()):
        raise StorageError(
            f"{folder}: found other things there, which would be lost; expected nothing, or what this command made",
            hint="name a folder that doesn't exist yet",
        )


def parse_manifest(folder: Path, text: bytes) -> Artifact:
    """The artefact that a manifest describes; its files are not looked at.

    Args:
        folder: The artefact folder.
        text: The bytes of its manifest.json.

    Raises:
        CorruptArtifactError: Not JSON, changed since it was written, a field is absent, or another format.
    """
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise CorruptArtifactError(
            f"{folder / MANIFEST}: not JSON: {error}", hint=f"delete {folder}, then make run"
        ) from error
    try:
        if raw.pop("seal", None) not in (None, digest_of(raw)):
            raise CorruptArtifactError(
                f"{folder / MANIFEST}: found other content than the seal in it says, expected what was written",
                hint=f"delete {folder}, then make run",
            )
        if raw["format_version"] != FORMAT_VERSION:
            raise CorruptArtifactError(
                f"{folder / MANIFEST}: format_version found {raw['format_version']}, expected {FORMAT_VERSION}",
                hint=rebuild_hint(raw["name"]),
            )
        files = tuple(ArtifactFile(f["path"], f["bytes"], f["sha256"]) for f in raw["files"])
        return Artifact(folder, raw["name"], raw["digest"], raw["config_digest"], raw["inputs"], files, raw["metadata"])
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptArtifactError(
            f"{folder / MANIFEST}: field {error} is absent or malformed", hint=f"delete {folder}, then make run"
        ) from error


_REMEDIES = {
    errno.ENOSPC: "free some space, or set MINICODE_DATA to a folder on another disk, and run again",
    errno.EDQUOT: "raise the disk quota, or set MINICODE_DATA to another folder, and run again",
    errno.EFBIG: "raise the file size limit (ulimit -f), and run again",
    errno.EACCES: "make it writable, or set MINICODE_DATA to a folder that is",
    errno.EPERM: "make it writable, or set MINICODE_DATA to a folder that is",
    errno.EROFS: "the file system is read-only: set MINICODE_DATA to a folder that can be written",
    errno.ENOTDIR: "a file stands where a folder is needed: move it, or set MINICODE_DATA elsewhere",
    errno.EEXIST: "a file stands where a folder is needed: move it, or set MINICODE_DATA elsewhere",
}
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")
"""How Polars' and safetensors' own exceptions tell the operating system's error."""


@contextlib.contextmanager
def storage_errors(path: Path, *, variable: str = "MINICODE_DATA") -> Iterator[None]:
    """Turn the operating system's write errors into a StorageError that names the path and the remedy.

    Args:
        path: What is written, where the error doesn't say it.
        variable: The environment variable that would choose another place.

    Raises:
        StorageError: No permission, no space left, quota or file size exceeded, read-only, or not a folder.
    """
    try:
        yield
    except MinicodeError:
        raise
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        where = error.filename if isinstance(error.filename, str) else path
        hint = _REMEDIES[error.errno].replace("MINICODE_DATA", variable)
        raise StorageError(f"{where}: {error.strerror}", hint=hint) from error
    except Exception as error:
        told = _RUST_ERROR.search(str(error))
        if not told or int(told[1]) not in _REMEDIES:
            raise
        raise StorageError(f"{path}: {os.strerror(int(told[1]))}", hint=_REMEDIES[int(told[1])]) from error


@contextlib.contextmanager
def write_artifact(
    folder: Path, *, name: str, config_digest: str, inputs: Mapping[str, str]
) -> Iterator[ArtifactWriter]:
    """Give a temporary folder to fill; on a clean exit it becomes `folder`, complete with its manifest.

    On an exception the temporary folder is removed and the former artefact stays. After SIGKILL a temporary folder
    (`.partial-*`) stays behind; the next writer of the same artefact removes it.

    Args:
        folder: The artefact folder to create or replace.
        name: Asset key.
        config_digest: Digest of the configuration sections that shape the artefact.
        inputs: Digest of each input artefact, by name.

    Raises:
        StorageError: The folder can't be written, or another process is writing it.
    """
    partial = folder.parent / f".partial-{folder.name}"
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = _fresh_locked_folder(partial)
    writer = ArtifactWriter(partial)
    try:
        with storage_errors(folder):
            yield writer
            _seal(partial, name, config_digest, inputs, writer.metadata)
            _replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _fresh_locked_folder(partial: Path) -> int:
    """Make `partial` anew and empty, held by a lock that dies with this process; returns the descriptor to close."""
    if partial.exists():
        os.close(_lock_folder(partial))
        shutil.rmtree(partial)
    partial.mkdir()
    return _lock_folder(partial)


def _lock_folder(partial: Path) -> int:
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise StorageError(
            f"{partial}: another process is writing this artefact",
            hint="wait for that run to end, then run again",
            may_pass=True,
        ) from error
    return descriptor


def _seal(partial: Path, name: str, config_digest: str, inputs: Mapping[str, str], metadata: dict[str, Any]) -> None:
    files = []
    _flush_all(partial)
    for path in sorted(p for p in partial.rglob("*") if p.is_file()):
        relative = path.relative_to(partial).as_posix()
        files.append({"path": relative, "bytes": path.stat().st_size, "sha256": sha256_of(path)})
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "digest": digest_of([[f["path"], f["sha256"]] for f in files]),
        "config_digest": config_digest,
        "inputs": dict(sorted(inputs.items())),
        "metadata": metadata,
        "files": files,
    }
    manifest["seal"] = digest_of(json.loads(json.dumps(manifest)))  # as a reader sees it, keys as strings
    write_file(partial / MANIFEST, lambda path: path.write_text(json.dumps(manifest, indent=1) + "\n"))


def _replace(partial: Path, folder: Path) -> None:
    """Put the finished folder in place. Between the two renames the artefact is absent, never half there."""
    former = folder.parent / f".former-{folder.name}"
    if former.exists():
        shutil.rmtree(former)
    if folder.exists():
        folder.rename(former)
    partial.rename(folder)
    _flush(folder.parent)
    shutil.rmtree(former, ignore_errors=True)


def write_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary neighbour of `path`, flush it and rename it to `path`.

    Raises:
        StorageError: The file can't be written.
    """
    temporary = path.with_name(f".partial-{path.name}")
    with storage_errors(path):
        write(temporary)
        _flush(temporary)
        temporary.rename(path)
        _flush(path.parent)


def _flush_all(folder: Path) -> None:
    """Bring every file below a folder to disk, with the folders that name them.

    Several at a time: a file system's journal then writes many of them in one go, where one by one each would wait
    for the disk. One call for the whole file system (syncfs) would also wait for what strangers wrote.
    """
    paths = [folder, *(path for path in folder.rglob("*") if path.is_file() or path.is_dir())]
    with ThreadPoolExecutor(_FLUSH_THREADS) as pool:
        for _ in pool.map(_flush, paths):
            pass


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
