"""Several sources in order of preference: what one does not have, the next is asked for."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from minicode_assets.blobs.api import ApiBackend
from minicode_assets.blobs.backends import DAMAGED, MISSING, RETRY_LATER, Absent, Answer, Backend, LocalBackend, Wanted
from minicode_assets.blobs.limits import Limiter, SystemClock
from minicode_assets.blobs.s3 import S3Backend
from minicode_assets.blobs.vault import VaultBackend
from minicode_assets.config import Blobs
from minicode_assets.errors import BlobError

BUNDLES = "vault"
"""Folder of the tarballs below the work folder."""
WINDOW = 10_000
"""Contents that one source lacks are gathered up to this many before the next is asked, which bounds memory."""
FALLS_THROUGH = (MISSING, DAMAGED)
"""So do bytes with another sha1. A masked content was taken down: no other source is asked. A source that will answer
later is asked later, but for the vault: what it has not cooked, the next source has now."""


class Chain:
    """Sources in order.

    Args:
        backends: At least one.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        self.backends = tuple(backends)
        self.name = "+".join(backend.name for backend in backends)
        self.is_remote = any(backend.is_remote for backend in backends)

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Answer]:
        """See `Backend.fetch`."""
        return _fall_through(self.backends, wanted)

    def figures(self) -> dict[str, int]:
        """See `Backend.figures`."""
        return {name: value for backend in self.backends for name, value in backend.figures().items()}


def _fall_through(backends: Sequence[Backend], wanted: Iterable[Wanted]) -> Iterator[Answer]:
    first, *rest = backends
    if not rest:
        yield from first.fetch(wanted)
        return
    missed: list[Answer] = []
    falls_through = (*FALLS_THROUGH, RETRY_LATER) if first.name == VaultBackend.name else FALLS_THROUGH
    for answer in first.fetch(wanted):
        if isinstance(answer.found, Absent):
            if answer.found.status not in falls_through:
                yield answer
                continue
        elif hashlib.sha1(answer.found).digest() == answer.wanted.sha1:
            yield answer
            continue
        missed.append(answer)
        if len(missed) >= WINDOW or isinstance(answer.found, bytes):  # wrong bytes are not gathered: memory
            yield from _next(rest, missed)
            missed = []
    if missed:
        yield from _next(rest, missed)


def _next(backends: Sequence[Backend], missed: list[Answer]) -> Iterator[Answer]:
    """Ask the next sources; where they fail too, the problem names every source's."""
    earlier = {answer.wanted.rank: answer for answer in missed}
    for answer in _fall_through(backends, [answer.wanted for answer in missed]):
        yield _both(earlier[answer.wanted.rank], answer) if isinstance(answer.found, Absent) else answer


def _both(earlier: Answer, later: Answer) -> Answer:
    """What two sources without usable bytes say together: wrong bytes are evidence, and damage may pass."""
    assert isinstance(later.found, Absent)
    if isinstance(earlier.found, bytes):
        return earlier
    if later.found.status == MISSING and earlier.found.status != MISSING:
        problem = f"{earlier.found.problem}; {later.source}: {later.found.problem}"
        return Answer(earlier.wanted, Absent(earlier.found.status, problem), earlier.source)
    return Answer(later.wanted, later.found, f"{earlier.source}: {earlier.found.problem}; {later.source}")


def open_chain(
    params: Blobs, *, content_folder: Path, work: Path, token: str | None, vault_files: pl.DataFrame | None = None
) -> Backend:
    """The sources that the configuration names, in its order.

    Args:
        params: The `blobs` section.
        content_folder: Folder of the `local` source.
        work: Where the shared logs of requests lie.
        token: The web API's token, from the environment; None asks anonymously.
        vault_files: The plan's choice of whole directories, schema VAULT_FILES; without any, `vault` is left out.

    Raises:
        BlobError: A remote source without accepted terms or contact, no such folder, an unusable token.
    """
    remote = [name for name in params.backends if name != "local"]
    if remote and not (params.accept_terms and params.contact.strip()):
        raise BlobError(
            f"source {remote[0]}: found accept_terms = {params.accept_terms} and contact {params.contact!r}",
            hint="read the archive's terms of use, then set [blobs] accept_terms = true and your contact",
        )
    has_bundles = vault_files is not None and not vault_files.is_empty()
    names = [name for name in params.backends if name != "vault" or has_bundles]
    backends = [_open(name, params, content_folder, work, token, vault_files) for name in names]
    return backends[0] if len(backends) == 1 else Chain(backends)


def _open(
    name: str, params: Blobs, content_folder: Path, work: Path, token: str | None, vault_files: pl.DataFrame | None
) -> Backend:
    if name == "local":
        return LocalBackend(content_folder)
    if name == "vault":
        assert vault_files is not None
        return _open_vault(params, vault_files, work, token)
    if name == "s3":
        return S3Backend(
            params.s3_url,
            contact=params.contact,
            connections=params.s3_connections,
            timeout_s=params.s3_timeout_s,
            attempts=params.s3_attempts,
        )
    return ApiBackend(
        params.api_url,
        open_limiter(params, work, token),
        contact=params.contact,
        token=token,
        connections=params.api_connections,
        timeout_s=params.api_timeout_s,
        attempts=params.api_attempts,
    )


def _open_vault(params: Blobs, files: pl.DataFrame, work: Path, token: str | None) -> VaultBackend:
    factor = 10 if token else 1
    return VaultBackend(
        params.api_url,
        files,
        work / BUNDLES,
        cook_limiter=open_limiter(params, work, token, "vault_orders", params.vault_limit, params.api_window_s),
        read_limiter=open_limiter(params, work, token, "vault_looks", params.vault_looks_per_minute * factor, 60.0),
        contact=params.contact,
        token=token,
        timeout_s=params.api_timeout_s,
        attempts=params.api_attempts,
        poll_s=params.vault_poll_s,
        max_polls=params.vault_max_polls,
        max_bundle_bytes=params.vault_max_bundle_bytes,
        max_expansion=params.vault_max_expansion,
    )


def open_limiter(
    params: Blobs, work: Path, token: str | None, quota: str = "api", limit: int = 0, window_s: float = 0
) -> Limiter:
    """The shared log of a quota: one file for the token's, one for the anonymous one.

    Args:
        params: The `blobs` section.
        work: Where the log lies.
        token: Whether there is one matters, not which.
        quota: Its name; the archive counts contents, orders and looks each by themselves.
        limit: Requests a window; 0: the web API's.
        window_s: Length of the window, 0: the web API's. Unit: seconds.
    """
    return Limiter(
        work / f"swh_{quota}_{'token' if token else 'anonymous'}.sqlite",
        limit=limit or params.api_limit,
        window_s=window_s or params.api_window_s,
        burst_fraction=params.api_burst_fraction,
        timeout_s=3 * params.api_timeout_s,  # connecting, sending, waiting for the first byte
        clock=SystemClock(),
    )
