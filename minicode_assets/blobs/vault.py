"""Source `vault`: whole root directories as cooked tarballs, where one costs fewer requests than its files.

Cooking has a quota of its own (one POST a directory), polling and downloading another. A tarball is kept until the
partitions that need it are done, so it is cooked and fetched once. Every member is hashed: what matches a wanted
content's sha1_git is its bytes, and sentinel texts say why a content is not there.
Source of addresses, states, limits and sentinel texts: software_heritage.md 3.
"""

import contextlib
import fcntl
import heapq
import logging
import os
import shutil
import tarfile
import threading
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import httpx
import polars as pl

from minicode_assets.blobs.api import raise_final
from minicode_assets.blobs.backends import MASKED, MISSING, RETRY_LATER, Absent, Answer, Wanted
from minicode_assets.blobs.http import MAX_ERROR_BYTES, BearerToken, LimitedClient, Reply, TryAgainError
from minicode_assets.blobs.limits import Clock, Limiter, SystemClock
from minicode_assets.errors import ArtifactError
from minicode_assets.swhid import object_id
from minicode_model.artifact import open_artifact, storage_errors, write_file

SENTINELS = {
    b"This content has not been retrieved in the Software Heritage archive due to its size": MISSING,
    b"This content is hidden": MASKED,
    b"This content is missing": MISSING,
}
"""How the text starts that the vault puts in a file's place, and what it means."""
_SENTINEL_BYTES = 400
_BUNDLE = "tar.gz"
logger = logging.getLogger("minicode.blobs")


class _NoBundleError(Exception):
    """There will be no tarball of this directory."""


class VaultBackend:
    """Cooked tarballs of chosen root directories.

    Args:
        url: Address of the API, up to and without `/vault`.
        files: The chosen roots' files: directory (root id, 20 bytes), path (raw bytes), sha1_git (20 bytes).
        folder: Where tarballs are kept.
        cook_limiter: Quota of POST requests.
        read_limiter: Quota of GET requests.
        contact: For the User-Agent.
        token: None asks anonymously.
        timeout_s: Longest time of each read or write on the connection. Unit: seconds.
        attempts: Requests for one thing, where the server or the connection fails.
        poll_s: Pause between two looks at a directory that is being cooked. Unit: seconds.
        max_polls: Looks after which a directory is left for later.
        max_bundle_bytes: Longer tarballs are not taken, packed or unpacked by a factor of `max_expansion`.
        max_expansion: See `max_bundle_bytes`.
        clock: The clock of pauses.
    """

    name = "vault"
    is_remote = True

    def __init__(
        self,
        url: str,
        files: pl.DataFrame,
        folder: Path,
        *,
        cook_limiter: Limiter,
        read_limiter: Limiter,
        contact: str,
        token: str | None,
        timeout_s: float,
        attempts: int,
        poll_s: float,
        max_polls: int,
        max_bundle_bytes: int,
        max_expansion: int,
        clock: Clock | None = None,
    ) -> None:
        self._url, self._files, self._folder = url.rstrip("/"), files, folder
        self._cook_limiter, self._read_limiter, self._clock = cook_limiter, read_limiter, clock or SystemClock()
        self._contact, self._timeout_s, self._attempts = contact, timeout_s, attempts
        self._auth = BearerToken(token) if token else None
        self._poll_s, self._max_polls = poll_s, max_polls
        self._max_bundle_bytes, self._max_expansion = max_bundle_bytes, max_expansion

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Answer]:
        """See `Backend.fetch`; holds the ids of all wanted contents, and one member's bytes."""
        open_contents = {content.sha1_git: content for content in wanted}
        reasons: dict[bytes, Absent] = {}
        stop = threading.Event()
        client = LimitedClient(
            contact=self._contact,
            auth=self._auth,
            connections=1,
            timeout_s=self._timeout_s,
            clock=self._clock,
            stop=stop,
        )
        ids = pl.DataFrame({"sha1_git": list(open_contents)}, schema={"sha1_git": pl.Binary})
        files = self._files.join(ids, on="sha1_git", how="semi").sort("directory")
        try:
            for (root,), here in files.group_by("directory", maintain_order=True):
                yield from self._take(client, root, here, open_contents, reasons)
        finally:
            stop.set()
            client.close()
        nowhere = Absent(MISSING, "in no cooked directory")
        for sha1_git, content in open_contents.items():
            yield Answer(content, reasons.get(sha1_git, nowhere), self.name)

    def figures(self) -> dict[str, int]:
        """See `Backend.figures`; of directories, not of contents."""
        cook, read = self._cook_limiter.figures(), self._read_limiter.figures()
        return {
            "vault_limit": cook["limit"],
            "vault_in_window": cook["in_window"],
            "vault_requests": cook["granted"],
        } | {"vault_reads": read["granted"]}

    def _take(
        self,
        client: LimitedClient,
        root: bytes,
        files: pl.DataFrame,
        open_contents: dict[bytes, Wanted],
        reasons: dict[bytes, Absent],
    ) -> Iterator[Answer]:
        """Answer for what one root's tarball has of the open contents, and note why others are not there."""
        pairs = files.select("path", "sha1_git").iter_rows()
        expected = {path: sha1_git for path, sha1_git in pairs if sha1_git in open_contents}
        if not expected:
            return
        try:
            bundle = self._bundle(client, root)
            for sha1_git, found in _members(bundle, expected, open_contents, self._max_unpacked_bytes):
                if isinstance(found, Absent):
                    reasons[sha1_git] = found
                elif sha1_git in open_contents:
                    yield Answer(open_contents.pop(sha1_git), found, self.name)
        except (TryAgainError, _NoBundleError) as error:
            status = RETRY_LATER if isinstance(error, TryAgainError) else MISSING
            for sha1_git in expected.values():
                if sha1_git in open_contents:
                    reasons[sha1_git] = Absent(status, f"directory {root.hex()}: {error}")

    @property
    def _max_unpacked_bytes(self) -> int:
        return self._max_bundle_bytes * self._max_expansion

    def _bundle(self, client: LimitedClient, root: bytes) -> Path:
        """The root's tarball, cooked and downloaded unless it is here; one process at a time.

        Raises:
            TryAgainError: It can't be had now.
        """
        path = self._folder / f"{root.hex()}.{_BUNDLE}"
        with storage_errors(path), _locked(self._folder / f"{root.hex()}.lock"):
            if not path.exists():
                address = f"{self._url}/vault/flat/swh:1:dir:{root.hex()}/"
                self._cook(client, address)
                write_file(path, lambda partial: self._download(client, f"{address}raw/", partial))
                logger.info("vault: directory %s, %d bytes", root.hex(), path.stat().st_size)
        return path

    def _cook(self, client: LimitedClient, address: str) -> None:
        """Ask for the directory unless it is cooked, and wait until it is."""
        state = self._state(client, "GET", address, self._read_limiter)
        if state == "done":
            return
        if state != "pending" and state != "new":
            state = self._state(client, "POST", address, self._cook_limiter)
        for _ in range(self._max_polls):
            if state == "done":
                return
            if state == "failed":
                raise _NoBundleError("cooking failed")
            client.pause(self._poll_s)
            state = self._state(client, "GET", address, self._read_limiter)
        raise TryAgainError(f"not cooked after {self._max_polls} looks")

    def _state(self, client: LimitedClient, method: str, address: str, limiter: Limiter) -> str:
        """What the vault says of a directory: new, pending, done, failed; absent where it was never asked for."""

        def ask() -> str:
            reply = client.send(method, address, limiter, max_bytes=MAX_ERROR_BYTES)
            if reply.status == 404:
                return "absent"
            raise_final(reply)
            state = reply.json.get("status")
            if reply.status not in (200, 201) or not isinstance(state, str):
                raise TryAgainError(f"HTTP status {reply.status}")
            return state

        return client.retried(ask, attempts=self._attempts)

    def _download(self, client: LimitedClient, address: str, partial: Path) -> None:
        def ask() -> None:
            with partial.open("wb") as sink:
                reply = client.send("GET", address, self._read_limiter, max_bytes=self._max_bundle_bytes, sink=sink)
                if reply.status in (301, 302, 303, 307, 308):
                    sink.seek(0)
                    target = reply.url.join(reply.headers.get("Location", ""))
                    reply = self._send_elsewhere(client, target, reply, sink)
                if reply.status != 200:
                    raise TryAgainError(f"HTTP status {reply.status}")

        client.retried(ask, attempts=self._attempts)

    def _send_elsewhere(self, client: LimitedClient, target: httpx.URL, reply: Reply, sink: BinaryIO) -> Reply:
        """Follow a redirect, to a store of bundles for example; the token goes to the archive only."""
        same = (target.scheme, target.host, target.port) == (reply.url.scheme, reply.url.host, reply.url.port)
        limiter, size = self._read_limiter, self._max_bundle_bytes
        return client.send("GET", str(target), limiter, max_bytes=size, sink=sink, authorized=same)


def clear_bundles(folder: Path, partitions: Iterable[Path], plan: Path) -> None:
    """Remove the tarballs once every partition was made by this plan, so that none needs them."""
    digest = open_artifact(plan, verify=False).digest
    try:
        done = all(open_artifact(path, verify=False).inputs.get("fetch_plan") == digest for path in partitions)
    except ArtifactError:
        return
    if done:
        shutil.rmtree(folder, ignore_errors=True)


def choose_roots(files: pl.DataFrame, *, min_files: int) -> list[bytes]:
    """Root directories worth a tarball: each has `min_files` wanted contents or more that no earlier one has.

    Args:
        files: directory (root id), sha1_git: the wanted contents of each candidate.
        min_files: Requests that a tarball costs, at least: cooking, looking, downloading.

    Returns:
        Ids in the order of choice: always the root with the most new contents, by id where equal.
    """
    groups = files.unique(["directory", "sha1_git"]).group_by("directory").agg("sha1_git")
    contents = {root: set(ids) for root, ids in groups.iter_rows()}
    queue = [(-len(ids), root) for root, ids in contents.items()]
    heapq.heapify(queue)
    chosen: list[bytes] = []
    covered: set[bytes] = set()
    while queue:
        count, root = heapq.heappop(queue)
        new = len(contents[root] - covered)
        if new < min_files:
            continue
        if new < -count:
            heapq.heappush(queue, (-new, root))
            continue
        chosen.append(root)
        covered |= contents[root]
    return chosen


def _members(
    bundle: Path, expected: dict[bytes, bytes], open_contents: dict[bytes, Wanted], max_unpacked_bytes: int
) -> Iterator[tuple[bytes, bytes | Absent]]:
    """(sha1_git, bytes) of wanted members by their hash, (sha1_git, why not) of sentinels by their path.

    Raises:
        TryAgainError: The tarball is damaged; it is deleted.
        _NoBundleError: It unpacks to too much.
    """
    lengths = {content.length for content in open_contents.values()}
    unpacked = 0
    try:
        with tarfile.open(bundle, "r|gz") as archive:
            for member in archive:
                unpacked += member.size
                if unpacked > max_unpacked_bytes:
                    raise _NoBundleError(f"unpacks to more than {max_unpacked_bytes} bytes")
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is None or not (member.size in lengths or member.size <= _SENTINEL_BYTES):
                    continue
                body = stream.read()
                path = member.name.encode("utf-8", "surrogateescape").partition(b"/")[2]
                yield from _judge(body, expected.get(path), open_contents)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        bundle.unlink(missing_ok=True)
        raise TryAgainError(f"damaged tarball: {type(error).__name__}") from error


def _judge(
    body: bytes, sha1_git_by_path: bytes | None, open_contents: dict[bytes, Wanted]
) -> Iterator[tuple[bytes, bytes | Absent]]:
    sha1_git = object_id("blob", body)
    if sha1_git in open_contents:
        yield sha1_git, body
    elif sha1_git_by_path is not None and sha1_git_by_path in open_contents:
        for text, status in SENTINELS.items():
            if body.startswith(text):
                yield sha1_git_by_path, Absent(status, text.decode())
                return


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file that dies with this process; the file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
