"""Contents tables of a test's contents, and the parameters of a fetch."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from minicode_assets.blobs.api import ApiBackend
from minicode_assets.blobs.backends import Backend, Wanted
from minicode_assets.blobs.chain import open_chain
from minicode_assets.blobs.limits import Clock, Limiter, SystemClock
from minicode_assets.blobs.s3 import S3Backend
from minicode_assets.blobs.store import fetch_partition
from minicode_assets.config import Blobs
from minicode_assets.parquet import write_table
from minicode_assets.schemas import BLOBS, CONTENTS
from minicode_model.artifact import Artifact
from tests.blobs.archive_server import ArchiveServer, Stored

CONTACT = "tests@minicode.example"
WHOLE = "00-of-01"


def write_contents(folder: Path, contents: Iterable[Stored]) -> Path:
    """The contents artefact; every tenth is a licence file, the rest are Python."""
    rows = [
        (*stored.ids, len(stored.body), 1, number % 10 != 0, number % 10 == 0) for number, stored in enumerate(contents)
    ]
    frame = pl.DataFrame(rows, schema=CONTENTS.polars, orient="row").sort("sha1_git")
    write_table(folder, frame, CONTENTS, config_digest="", inputs={})
    return folder


def all_wanted(contents: Iterable[Stored]) -> list[Wanted]:
    return [Wanted(rank, *stored.ids, len(stored.body)) for rank, stored in enumerate(contents)]


def api(
    server: ArchiveServer, log: Path, *, token: str | None = None, clock: Clock | None = None, connections: int = 4,
    limit: int = 10**9, attempts: int = 5, timeout_s: float = 10.0,
) -> ApiBackend:  # fmt: skip
    clock = clock or SystemClock()
    limiter = Limiter(
        log, limit=limit, window_s=server.log.window_s, burst_fraction=0.3, timeout_s=timeout_s, clock=clock
    )
    return ApiBackend(
        f"{server.url}/api/1", limiter, contact=CONTACT, token=token, connections=connections, timeout_s=timeout_s,
        attempts=attempts, clock=clock,
    )  # fmt: skip


def s3(server: ArchiveServer, *, connections: int = 16, attempts: int = 8) -> S3Backend:
    return S3Backend(server.url, contact=CONTACT, connections=connections, timeout_s=10, attempts=attempts)


def fetch(contents: Path, backend: Backend, folder: Path, *, plan: Path | None = None, **fields: object) -> Artifact:
    params = Blobs(**fields)  # type: ignore[arg-type]
    return fetch_partition(contents, backend, folder, partition=WHOLE, params=params, config_digest="digest", plan=plan)


def read_blobs(folder: Path) -> pl.DataFrame:
    frame = pl.read_parquet(folder / "*.parquet")
    assert frame.schema == BLOBS.polars
    return frame


def fetch_from(folder: Path, kind: str, url: str) -> None:
    """Fetch `folder`/contents into `folder`/p from a server, as a process of its own may."""
    params = Blobs(
        backends=(kind,), accept_terms=True, contact="x", api_url=f"{url}/api/1", s3_url=url, api_limit=10**6,
        api_burst_fraction=1.0,
    )  # fmt: skip
    backend = open_chain(params, content_folder=folder, work=folder, token=None)
    fetch_partition(folder / "contents", backend, folder / "p", partition=WHOLE, params=params, config_digest="digest")
