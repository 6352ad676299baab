"""Source `api`: Software Heritage's web API, one request a content, never more than its limits allow.

Source of statuses and bodies: software_heritage.md 3; `GET /content/sha1_git:<hex>/raw/`.
"""

import json
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import httpx

from minicode_assets.blobs.backends import DAMAGED, MASKED, MISSING, RETRY_LATER, Absent, Answer, Wanted
from minicode_assets.blobs.http import BearerToken, LimitedClient, Reply, TryAgainError
from minicode_assets.blobs.limits import Clock, Limiter, SystemClock
from minicode_assets.errors import BlobError

_MAX_REDIRECTS = 3
_MASKED_STATES = ("decision-pending", "restricted")
"""Of a takedown. Nothing else that a server says is quoted: it may send the token back."""


class ApiBackend:
    """The web API behind a shared limiter.

    Args:
        url: Address up to and without `/content`.
        limiter: Shared by all processes that use the same token (or, without one, the same network address).
        contact: For the User-Agent.
        token: None asks anonymously.
        connections: Requests in flight at most.
        timeout_s: Longest time of each read or write on the connection, and of a body. Unit: seconds.
        attempts: Requests for one content in one call of `fetch`.
        clock: The clock of pauses.

    Raises:
        BlobError: The token can't be one.
    """

    name = "api"
    is_remote = True

    def __init__(
        self,
        url: str,
        limiter: Limiter,
        *,
        contact: str,
        token: str | None,
        connections: int,
        timeout_s: float,
        attempts: int,
        clock: Clock | None = None,
    ) -> None:
        self._url, self._limiter, self._clock = httpx.URL(url.rstrip("/")), limiter, clock or SystemClock()
        self._contact, self._connections, self._timeout_s = contact, connections, timeout_s
        self._attempts = attempts
        self._auth = BearerToken(token) if token else None

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Answer]:
        """See `Backend.fetch`.

        Raises:
            BlobError: The server refused the token (401) or the request itself (400, 413).
        """
        stop = threading.Event()
        client = LimitedClient(
            contact=self._contact,
            auth=self._auth,
            connections=self._connections,
            timeout_s=self._timeout_s,
            clock=self._clock,
            stop=stop,
        )
        pool = ThreadPoolExecutor(self._connections, thread_name_prefix="api")
        flight: set[Future[Answer]] = set()
        try:
            for content in wanted:
                flight.add(pool.submit(self._answer, client, content))
                if len(flight) >= self._connections:
                    flight = yield from _drain(flight)
            while flight:
                flight = yield from _drain(flight)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            client.close()

    def figures(self) -> dict[str, int]:
        """See `Backend.figures`; of all processes that share the quota."""
        found = self._limiter.figures()
        return {
            "api_limit": found["limit"],
            "api_window_s": round(self._limiter.window_s),
            "api_in_window": found["in_window"],
            "api_left": max(0, found["limit"] - found["in_window"]),
            "api_requests": found["granted"],
            "api_refused": found["refused"],
        }

    def _answer(self, client: LimitedClient, content: Wanted) -> Answer:
        try:
            found = client.retried(lambda: self._ask(client, content), attempts=self._attempts)
        except TryAgainError as error:
            found = Absent(RETRY_LATER, f"{error} ({self._attempts} requests)")
        return Answer(content, found, self.name)

    def _ask(self, client: LimitedClient, content: Wanted) -> bytes | Absent:
        """One request, and one more for each redirect."""
        url = f"{self._url}/content/sha1_git:{content.sha1_git.hex()}/raw/"
        for _ in range(_MAX_REDIRECTS):
            reply = client.send("GET", url, self._limiter, max_bytes=content.length)
            if reply.status not in (301, 302, 307, 308):
                return _judge(reply, content.length)
            url = self._redirected(reply)
        raise TryAgainError(f"redirected {_MAX_REDIRECTS} times")

    def _redirected(self, reply: Reply) -> str:
        """The redirect's target, on this server only: a token is not for others."""
        target = reply.url.join(reply.headers.get("Location", ""))
        if (target.scheme, target.host, target.port) != (self._url.scheme, self._url.host, self._url.port):
            raise TryAgainError("redirected to another server")
        return str(target)


def _drain(flight: set[Future[Answer]]) -> Generator[Answer, None, set[Future[Answer]]]:
    """Wait for at least one answer, yield what is done, return what is still under way."""
    done, pending = wait(flight, return_when=FIRST_COMPLETED)
    for future in sorted(done, key=lambda future: future.exception() is not None):
        yield future.result()
    return pending


def _judge(reply: Reply, length: int) -> bytes | Absent:
    """Bytes, or what the server's error means.

    Raises:
        TryAgainError: It may pass.
        BlobError: It will not pass for any content.
    """
    if reply.status == 200:
        return reply.body if len(reply.body) <= length else Absent(DAMAGED, f"longer than the expected {length} bytes")
    error = reply.json
    if reply.status == 403 and isinstance(error.get("masked"), dict):
        states = [state for state in _MASKED_STATES if f'"{state}"' in json.dumps(error["masked"])]
        return Absent(MASKED, f"taken down: {', '.join(states) or 'no known state'}")
    if reply.status == 404 and error.get("exception") == "NotFoundExc":
        known = "not available" in str(error.get("reason", ""))
        return Absent(MISSING, "the archive knows it but has no bytes" if known else "the archive does not know it")
    raise_final(reply)
    raise TryAgainError(f"HTTP status {reply.status}")


def raise_final(reply: Reply) -> None:
    """Raise for a refusal that no repetition changes.

    Raises:
        BlobError: The token (401) or the request itself (400, 413) was refused.
    """
    if reply.status == 401:
        raise BlobError("the archive refused the API token (401)", hint="make a new one on the archive's profile page")
    if reply.status in (400, 413):
        server = f"{reply.url.scheme}://{reply.url.netloc.decode()}"
        raise BlobError(f"{server}: the archive refused the request ({reply.status})", hint="check api_url")
