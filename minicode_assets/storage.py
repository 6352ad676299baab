"""The storage root: where finished artefacts lie for everybody, in the data folder or in an S3-compatible bucket.

Stages read and write local folders. With a bucket, the data folder is this machine's copy: an artefact is fetched
before it is read and published after it is made. A bucket holds, for each artefact or partition,

    <root>/<asset>/<partition>/generations/<digest>/<file>     immutable, named by the artefact's digest
    <root>/<asset>/<partition>/manifest.json                   the one object that says which generation counts
    <root>/history/<file>                                      no artefact: files that are added and never changed

The manifest is put last, as one object, so that a reader sees the former artefact or the new one, each whole, as in a
folder. Generations that no manifest names any more are removed by `prune`, never by a writer: somebody may read them.
"""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import ObjectStore, from_url

from minicode_assets.errors import ConfigError, CorruptArtifactError, MissingArtifactError, StorageError
from minicode_model.artifact import (
    MANIFEST,
    Artifact,
    ArtifactFile,
    open_artifact,
    parse_manifest,
    rebuild_hint,
    write_artifact,
    write_file,
)

GENERATIONS = "generations"
MAX_RETRIES, RETRY_TIMEOUT = 5, timedelta(seconds=60)
"""For a server that fails or can't be reached; the client's default would try for three minutes."""
REQUESTS = 8
"""Objects in flight. Parts of one large object are sent at the same time by the client besides."""


class Storage(Protocol):
    """Where finished artefacts lie. Folders are those of `Layout`, below the data folder."""

    @property
    def root(self) -> str:
        """Where it is, for people."""

    def open(self, folder: Path) -> Artifact:
        """The artefact as the storage root has it, files checked by size; `Artifact.path` is the local folder.

        Raises:
            MissingArtifactError: It was never completed.
            CorruptArtifactError: A file is absent or has another size.
        """

    def fetch(self, folder: Path) -> None:
        """Make the local folder what the storage root has; nothing to do where both are one.

        Raises:
            MissingArtifactError: It was never completed.
            CorruptArtifactError: A file is absent, or its bytes differ from the manifest.
            StorageError: The storage can't be reached.
        """

    def publish(self, folder: Path) -> None:
        """Make the storage root what the local folder is.

        Raises:
            StorageError: The storage can't be reached or written.
        """

    def unite(self, folder: Path) -> None:
        """Give the local folder and the storage root the files of both: of a folder that only grows, as history/.

        Raises:
            StorageError: The storage can't be reached or written.
        """

    def prune(self, *, min_age: timedelta) -> int:
        """Remove what former generations of artefacts left, and count the objects.

        Args:
            min_age: Younger objects stay: a writer may be about to name them, a reader may still read them.
        """


def open_storage(root: str, data_folder: Path) -> Storage:
    """The storage of a root.

    Args:
        root: Empty for the data folder itself, or `s3://<bucket>/<prefix>`. The server and the credentials come from
            the environment, under Amazon's names: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
            AWS_REGION, AWS_ALLOW_HTTP.
        data_folder: The local folder of all artefacts.

    Raises:
        ConfigError: The root is neither.
    """
    if not root:
        return LocalStorage(str(data_folder))
    if not root.startswith("s3://") or not root.removeprefix("s3://").strip("/"):
        raise ConfigError(
            f"storage root: found {root!r}, expected s3://<bucket>/<prefix> or nothing",
            hint="MINICODE_STORAGE=s3://my-bucket/minicode, or leave it out and set MINICODE_DATA to a folder",
        )
    address = root.rstrip("/")
    return BucketStorage(
        address,
        data_folder,
        from_url(address, retry_config={"max_retries": MAX_RETRIES, "retry_timeout": RETRY_TIMEOUT}),
    )


@dataclass(frozen=True)
class LocalStorage:
    """The data folder is the storage root."""

    root: str

    def open(self, folder: Path) -> Artifact:
        """See `Storage`."""
        return open_artifact(folder, verify=False)

    def fetch(self, folder: Path) -> None:
        """See `Storage`: already there, and each stage checks what it reads."""

    def publish(self, folder: Path) -> None:
        """See `Storage`: already there."""

    def unite(self, folder: Path) -> None:
        """See `Storage`: both are one."""

    def prune(self, *, min_age: timedelta) -> int:
        """See `Storage`: a folder keeps no former generations."""
        return 0


@dataclass(frozen=True)
class BucketStorage:
    """A prefix of a bucket is the storage root; the data folder is this machine's copy of what was used here.

    Attributes:
        root: `s3://<bucket>/<prefix>`.
        data_folder: The local copy.
        store: The prefix, opened.
    """

    root: str
    data_folder: Path
    store: ObjectStore

    def open(self, folder: Path) -> Artifact:
        """See `Storage`."""
        artifact = self._manifest(folder)
        prefix = self._generation(folder, artifact.digest)
        with self._errors(prefix):
            sizes = {entry["path"]: entry["size"] for page in obstore.list(self.store, prefix) for entry in page}
        for file in artifact.files:
            found = sizes.get(f"{prefix}/{file.path}")
            if found != file.bytes:
                raise CorruptArtifactError(
                    f"{self.root}/{prefix}/{file.path}: found {'no object' if found is None else f'{found} bytes'}, "
                    f"expected {file.bytes} bytes",
                    hint=rebuild_hint(artifact.name),
                )
        return artifact

    def fetch(self, folder: Path) -> None:
        """See `Storage`. Processes of one machine take turns; what is here already is not fetched again."""
        with _turn(folder):
            artifact = self._manifest(folder)
            if _digest_here(folder) == artifact.digest:
                return
            with write_artifact(
                folder, name=artifact.name, config_digest=artifact.config_digest, inputs=artifact.inputs
            ) as writer:
                self._download(folder, artifact, writer.path)
                writer.metadata = dict(artifact.metadata)
            found = open_artifact(folder, verify=False).digest
            if found != artifact.digest:
                shutil.rmtree(folder)
                raise CorruptArtifactError(
                    f"{self.root}/{self._key(folder)}: digest of the fetched files found {found}, expected "
                    f"{artifact.digest}",
                    hint=rebuild_hint(artifact.name),
                )

    def publish(self, folder: Path) -> None:
        """See `Storage`. Everything is sent, also bytes that are there: it heals objects that were damaged."""
        artifact = open_artifact(folder, verify=False)
        prefix = self._generation(folder, artifact.digest)

        def one(file: ArtifactFile) -> None:
            obstore.put(self.store, f"{prefix}/{file.path}", folder / file.path)

        with self._errors(prefix):
            _all(one, artifact.files)
            obstore.put(self.store, f"{self._key(folder)}/{MANIFEST}", (folder / MANIFEST).read_bytes())

    def unite(self, folder: Path) -> None:
        """See `Storage`. Files are whole or absent on both sides, and one name never stands for two contents."""
        key = self._key(folder)
        with self._errors(key):
            there = {Path(entry["path"]).name for page in obstore.list(self.store, key) for entry in page}
            here = {path.name for path in folder.glob("[!.]*")}
            for name in sorted(there - here):
                folder.mkdir(parents=True, exist_ok=True)
                write_file(folder / name, partial(Path.write_bytes, data=self._read(f"{key}/{name}")))
            for name in sorted(here - there):
                obstore.put(self.store, f"{key}/{name}", folder / name)

    def prune(self, *, min_age: timedelta) -> int:
        """See `Storage`."""
        with self._errors(""):
            entries = [entry for page in obstore.list(self.store) for entry in page]
            manifests = [
                e["path"] for e in entries if e["path"].endswith(f"/{MANIFEST}") and GENERATIONS not in e["path"]
            ]
            named = {
                f"{path.removesuffix(MANIFEST)}{GENERATIONS}/{json.loads(self._read(path))['digest']}"
                for path in manifests
            }
            until = datetime.now(UTC) - min_age
            old = [
                e["path"]
                for e in entries
                if f"/{GENERATIONS}/" in e["path"]
                and e["last_modified"] < until
                and _generation_of(e["path"]) not in named
            ]
            if old:
                obstore.delete(self.store, old)
        return len(old)

    def _download(self, folder: Path, artifact: Artifact, into: Path) -> None:
        prefix = self._generation(folder, artifact.digest)

        def one(file: ArtifactFile) -> None:
            path = into / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                for chunk in obstore.get(self.store, f"{prefix}/{file.path}").stream():
                    stream.write(chunk)

        with self._errors(prefix):
            _all(one, artifact.files)

    def _manifest(self, folder: Path) -> Artifact:
        key = f"{self._key(folder)}/{MANIFEST}"
        with self._errors(key):
            raw = self._read(key)
        return parse_manifest(folder, raw)

    def _read(self, key: str) -> bytes:
        return bytes(obstore.get(self.store, key).bytes())

    def _key(self, folder: Path) -> str:
        return folder.relative_to(self.data_folder).as_posix()

    def _generation(self, folder: Path, digest: str) -> str:
        return f"{self._key(folder)}/{GENERATIONS}/{digest}"

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            if "NoSuchBucket" not in str(error) and key.endswith(MANIFEST):
                raise MissingArtifactError(
                    f"{self.root}/{key}: no such object, so it was never completed", hint="make run"
                ) from error
            raise CorruptArtifactError(
                f"{self.root}/{key}: an object or its bucket is absent: {_first_line(error)}",
                hint=f"check that the bucket exists; for a lost object: {rebuild_hint(key.partition('/')[0])}",
            ) from error
        except (BaseError, OSError) as error:
            raise StorageError(
                f"{self.root}/{key}: {_first_line(error)}",
                hint="check AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the disk's space",
            ) from error


def _all(work: Callable[[ArtifactFile], None], files: Iterable[ArtifactFile]) -> None:
    """Do the work for each file, some at a time."""
    with ThreadPoolExecutor(REQUESTS) as pool:
        for _ in pool.map(work, files):
            pass


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Hold the local copy of one artefact, so that processes of one machine fetch it one after the other."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".fetch-{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest_here(folder: Path) -> str:
    """Digest of the local copy; empty where it is absent or damaged."""
    try:
        return open_artifact(folder, verify=False).digest
    except (MissingArtifactError, CorruptArtifactError):
        return ""


def _generation_of(path: str) -> str:
    """`<asset>/generations/<digest>` of an object's path."""
    before, _, after = path.partition(f"/{GENERATIONS}/")
    return f"{before}/{GENERATIONS}/{after.partition('/')[0]}"


def _first_line(error: BaseException) -> str:
    """The client's messages go on with a dump of the whole request."""
    return str(error).partition("\n")[0]
