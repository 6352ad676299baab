"""Source `s3`: the public content bucket, anonymous, one gzip object a content, many requests in flight.

Source of key, body and defects: software_heritage.md 2. obstore's Rust client carries the requests; measured on
loopback at 64 in flight it fetches some ten times more objects a second than httpx (benchmarks/blobs.py).
"""

import asyncio
import queue
import threading
from collections.abc import Iterable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError
from obstore.store import S3Store

from minicode_assets.blobs.backends import (
    DAMAGED,
    MISSING,
    RETRY_LATER,
    Absent,
    Answer,
    Wanted,
    max_packed_bytes,
    unpack,
)
from minicode_assets.blobs.http import user_agent

_REGION = "us-east-1"
_BATCH = 64
_QUEUED_BATCHES = 4
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 15.0


class S3Backend:
    """The content bucket behind one address.

    Args:
        url: The bucket's address; contents are `<url>/content/<sha1>`.
        contact: For the User-Agent.
        connections: Requests in flight at most.
        timeout_s: A request, body included, is given up after this time. Unit: seconds.
        attempts: Requests for one content in one call of `fetch`, where the server or the connection fails.
    """

    name = "s3"
    is_remote = True

    def __init__(self, url: str, *, contact: str, connections: int, timeout_s: float, attempts: int) -> None:
        self._connections = connections
        timeout = timedelta(seconds=timeout_s)
        self._store = S3Store(
            urlsplit(url).netloc.split(".")[0].split(":")[0],
            endpoint=url.rstrip("/"),
            region=_REGION,
            virtual_hosted_style_request=True,
            skip_signature=True,
            client_options={
                "user_agent": user_agent(contact),
                "timeout": timeout,
                "allow_http": urlsplit(url).scheme == "http",
                "pool_idle_timeout": timedelta(seconds=15),
            },
            retry_config={
                "max_retries": attempts - 1,
                "retry_timeout": timeout * attempts,
                "backoff": {
                    "init_backoff": timedelta(seconds=_FIRST_PAUSE_S),
                    "max_backoff": timedelta(seconds=_LONGEST_PAUSE_S),
                    "base": 2,
                },
            },
        )

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Answer]:
        """See `Backend.fetch`. Requests run in a thread of their own; unpacking happens in the caller's."""
        batches: queue.Queue[list[_Reply] | BaseException | None] = queue.Queue(_QUEUED_BATCHES)
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(iter(wanted), batches, stop), name="s3", daemon=True)
        thread.start()
        try:
            while (batch := batches.get()) is not None:
                if isinstance(batch, BaseException):
                    raise batch
                for content, reply in batch:
                    yield Answer(content, _judge(content, reply), self.name)
        finally:
            stop.set()
            while thread.is_alive():
                _empty(batches)
                thread.join(0.05)

    def figures(self) -> dict[str, int]:
        """None: the bucket has no quota that it tells."""
        return {}

    def _run(
        self,
        wanted: Iterator[Wanted],
        batches: "queue.Queue[list[_Reply] | BaseException | None]",
        stop: threading.Event,
    ) -> None:
        try:
            asyncio.run(self._gather(wanted, batches, stop))
            batches.put(None)
        except BaseExceptionGroup as group:
            batches.put(group.exceptions[0])
        except BaseException as error:
            batches.put(error)

    async def _gather(
        self,
        wanted: Iterator[Wanted],
        batches: "queue.Queue[list[_Reply] | BaseException | None]",
        stop: threading.Event,
    ) -> None:
        """Keep `connections` requests in flight; a full queue holds them all up."""
        batch: list[_Reply] = []

        async def ask() -> None:
            for content in wanted:
                if stop.is_set():
                    return
                batch.append((content, await self._get(content)))
                if len(batch) >= _BATCH:
                    batches.put(batch.copy())
                    batch.clear()

        async with asyncio.TaskGroup() as group:
            for _ in range(self._connections):
                group.create_task(ask())
        if batch:
            batches.put(batch)

    async def _get(self, content: Wanted) -> "bytes | Absent":
        """The packed body. The bucket denies objects at times that it has, so a missing one is asked for twice."""
        reply = await self._get_once(content)
        return await self._get_once(content) if reply is _NO_SUCH_OBJECT else reply

    async def _get_once(self, content: Wanted) -> "bytes | Absent":
        """The packed body, at most as long as a gzip of that length can be."""
        try:
            result = await obstore.get_async(self._store, f"content/{content.sha1.hex()}")
            size = result.meta["size"]
            if size > max_packed_bytes(content.length):
                return Absent(DAMAGED, f"object of {size} bytes, more than {content.length} bytes can pack to")
            return bytes(await result.bytes_async())
        except _DENIED:
            return _NO_SUCH_OBJECT
        except (BaseError, OSError) as error:
            return Absent(RETRY_LATER, f"{type(error).__name__}: the bucket did not answer properly")


_Reply = tuple[Wanted, bytes | Absent]
_DENIED = (FileNotFoundError, PermissionError, NotFoundError, PermissionDeniedError)
"""A bucket that can't be listed answers 403 for what it lacks."""
_NO_SUCH_OBJECT = Absent(MISSING, "no such object in the bucket")


def _judge(content: Wanted, reply: bytes | Absent) -> bytes | Absent:
    """Unpack; an object of NUL bytes is one that the bucket lost (swh/meta#5034)."""
    if isinstance(reply, Absent):
        return reply
    if not reply.strip(b"\0"):
        return Absent(MISSING, f"an object of {len(reply)} NUL bytes")
    return unpack(reply, max_length_bytes=content.length)


def _empty(batches: "queue.Queue[list[_Reply] | BaseException | None]") -> None:
    """Make room, so that a waiting thread can end."""
    try:
        while True:
            batches.get_nowait()
    except queue.Empty:
        return
