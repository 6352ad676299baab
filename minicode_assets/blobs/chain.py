"""Several sources in order of preference: what one does not have, the next is asked for."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from minicode_assets.blobs.api import ApiBackend
from minicode_assets.blobs.backends import DAMAGED, MISSING, Absent, Answer, Backend, LocalBackend, Wanted
from minicode_assets.blobs.limits import Limiter, SystemClock
from minicode_assets.blobs.s3 import S3Backend
from minicode_assets.config import Blobs
from minicode_assets.errors import BlobError

WINDOW = 10_000
"""Contents that one source lacks are gathered up to this many before the next is asked, which bounds memory."""
FALLS_THROUGH = (MISSING, DAMAGED)
"""A masked content was taken down: no other source is asked. A source that will answer later is asked later."""


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
    for answer in first.fetch(wanted):
        if not (isinstance(answer.found, Absent) and answer.found.status in FALLS_THROUGH):
            yield answer
            continue
        missed.append(answer)
        if len(missed) >= WINDOW:
            yield from _next(rest, missed)
            missed = []
    if missed:
        yield from _next(rest, missed)


def _next(backends: Sequence[Backend], missed: list[Answer]) -> Iterator[Answer]:
    """Ask the next sources; where they fail too, the problem names every source's."""
    earlier = {a.wanted.rank: f"{a.source}: {a.found.problem}" for a in missed if isinstance(a.found, Absent)}
    for wanted, found, source in _fall_through(backends, [answer.wanted for answer in missed]):
        if isinstance(found, Absent):
            yield Answer(wanted, found, f"{earlier[wanted.rank]}; {source}")
        else:
            yield Answer(wanted, found, source)


def open_chain(params: Blobs, *, content_folder: Path, work: Path, token: str | None) -> Backend:
    """The sources that the configuration names, in its order.

    Args:
        params: The `blobs` section.
        content_folder: Folder of the `local` source.
        work: Where the shared logs of requests lie.
        token: The web API's token, from the environment; None asks anonymously.

    Raises:
        BlobError: A remote source without accepted terms or contact, no such folder, an unusable token.
    """
    remote = [name for name in params.backends if name != "local"]
    if remote and not (params.accept_terms and params.contact.strip()):
        raise BlobError(
            f"source {remote[0]}: found accept_terms = {params.accept_terms} and contact {params.contact!r}",
            hint="read the archive's terms of use, then set [blobs] accept_terms = true and your contact",
        )
    backends = [_open(name, params, content_folder, work, token) for name in params.backends]
    return backends[0] if len(backends) == 1 else Chain(backends)


def _open(name: str, params: Blobs, content_folder: Path, work: Path, token: str | None) -> Backend:
    if name == "local":
        return LocalBackend(content_folder)
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


def open_limiter(params: Blobs, work: Path, token: str | None) -> Limiter:
    """The shared log of the web API's quota: one file for the token's quota, one for the anonymous one."""
    return Limiter(
        work / f"swh_api_{'token' if token else 'anonymous'}.sqlite",
        limit=params.api_limit,
        window_s=params.api_window_s,
        burst_fraction=params.api_burst_fraction,
        timeout_s=3 * params.api_timeout_s,  # connecting, sending, waiting for the first byte
        clock=SystemClock(),
    )
