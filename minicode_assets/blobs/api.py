"""Source `api`: Software Heritage's web API, one request a content, never more than its limits allow.

Source of statuses, bodies and limits: software_heritage.md 3; `GET /content/sha1_git:<hex>/raw/`.
"""

import contextlib
import email.utils
import importlib.metadata
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import httpx
import tenacity

from minicode_assets.blobs.backends import DAMAGED, MASKED, MISSING, RETRY_LATER, Absent, Answer, Wanted
from minicode_assets.blobs.limits import Clock, Limiter, Quota, SystemClock
from minicode_assets.errors import BlobError

_MAX_ERROR_BYTES = 65_536
_MAX_REDIRECTS = 3
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _JITTER_S = 0.5, 60.0, 0.5
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_EXPECTED_IN = re.compile(r"available in (\d+) second")


class BearerToken(httpx.Auth):
    """Adds `Authorization: Bearer ...`; nothing that it prints or raises shows the token.

    Args:
        token: From the API's profile page.

    Raises:
        BlobError: It has characters that a header can't carry, such as a line break; the message doesn't quote it.
    """

    def __init__(self, token: str) -> None:
        if not _TOKEN.fullmatch(token):
            raise BlobError(
                f"the API token ({len(token)} characters) has characters that no token has",
                hint="copy it again from the archive's profile page, without spaces or line breaks",
            )
        self._header: Callable[[], str] = lambda: f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See `httpx.Auth`."""
        request.headers["Authorization"] = self._header()
        yield request

    def __repr__(self) -> str:
        return "BearerToken(***)"


def user_agent(contact: str) -> str:
    """Who asks: name, version and how to reach the person behind it."""
    return f"minicode/{importlib.metadata.version('minicode')} (+{contact})"


class _TryAgainError(Exception):
    """A failure that may pass."""


class ApiBackend:
    """The web API behind a shared limiter.

    Args:
        url: Address up to and without `/content`.
        limiter: Shared by all processes that use the same token (or, without one, the same network address).
        contact: For the User-Agent.
        token: None asks anonymously.
        connections: Requests in flight at most.
        timeout_s: Longest time of each read or write on the connection. Unit: seconds.
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
        self._connections, self._timeout_s, self._attempts = connections, timeout_s, attempts
        self._auth = BearerToken(token) if token else None
        self._headers = {"User-Agent": user_agent(contact), "Accept-Encoding": "identity"}

    def fetch(self, wanted: Iterable[Wanted]) -> Iterator[Answer]:
        """See `Backend.fetch`.

        Raises:
            BlobError: The server refused the token (401) or the request itself (400, 413).
        """
        stop = threading.Event()
        limits = httpx.Limits(max_connections=self._connections)
        client = httpx.Client(headers=self._headers, auth=self._auth, timeout=self._timeout_s, limits=limits)
        pool = ThreadPoolExecutor(self._connections, thread_name_prefix="api")
        flight: set[Future[Answer]] = set()
        try:
            for content in wanted:
                flight.add(pool.submit(self._answer, client, content, stop))
                if len(flight) >= self._connections:
                    flight = yield from _drain(flight)
            while flight:
                flight = yield from _drain(flight)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            client.close()

    def _answer(self, client: httpx.Client, content: Wanted, stop: threading.Event) -> Answer:
        url = f"{self._url}/content/sha1_git:{content.sha1_git.hex()}/raw/"
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TryAgainError),
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=tenacity.wait_exponential_jitter(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S, jitter=_JITTER_S),
            sleep=lambda seconds: self._clock.sleep(seconds, stop),
            reraise=True,
        )
        try:
            return Answer(content, retrying(self._request, client, url, content, stop), self.name)
        except _TryAgainError as error:
            return Answer(content, Absent(RETRY_LATER, f"{error} ({self._attempts} requests)"), self.name)

    def _request(self, client: httpx.Client, url: str, content: Wanted, stop: threading.Event) -> bytes | Absent:
        """One request, and one more for each redirect or refusal for want of quota."""
        redirects = 0
        while True:
            status, body, response = self._send(client, url, content.length, stop)
            if status == 429:
                continue
            if status in (301, 302, 307, 308) and redirects < _MAX_REDIRECTS:
                url, redirects = self._redirected(response), redirects + 1
                continue
            return _judge(status, body, response, content.length)

    def _send(
        self, client: httpx.Client, url: str, length: int, stop: threading.Event
    ) -> tuple[int, bytes, httpx.Response]:
        """Send one request within the quota: status, at most length + 1 bytes of body, headers."""
        grant = self._limiter.acquire(stop)
        try:
            with client.stream("GET", url) as response:
                quota = _quota(response, self._clock.now())
                if response.status_code == 429:
                    body = _bounded_body(response, _MAX_ERROR_BYTES, self._timeout_s)
                    self._limiter.refuse(grant, _retry_after_s(response, body, quota), quota)
                    return 429, body, response
                self._limiter.settle(grant, quota)
                limit = length if response.status_code == 200 else _MAX_ERROR_BYTES
                return response.status_code, _bounded_body(response, limit, self._timeout_s), response
        except httpx.TransportError as error:
            raise _TryAgainError(f"{type(error).__name__}: the connection failed") from error

    def _redirected(self, response: httpx.Response) -> str:
        """The redirect's target, on this server only: a token is not for others."""
        target = response.url.join(response.headers.get("Location", ""))
        if (target.scheme, target.host, target.port) != (self._url.scheme, self._url.host, self._url.port):
            raise _TryAgainError(f"redirected to another server: {target.host}")
        return str(target)


def _drain(flight: set[Future[Answer]]) -> Generator[Answer, None, set[Future[Answer]]]:
    """Wait for at least one answer, yield what is done, return what is still under way."""
    done, pending = wait(flight, return_when=FIRST_COMPLETED)
    for future in sorted(done, key=lambda future: future.exception() is not None):
        yield future.result()
    return pending


def _bounded_body(response: httpx.Response, limit: int, timeout_s: float) -> bytes:
    """The raw body, at most `limit` + 1 bytes: the rest is not read, nor what comes after `timeout_s`."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise _TryAgainError(f"body with Content-Encoding {encoding}, which was not asked for")
    body, deadline = bytearray(), time.monotonic() + timeout_s
    for chunk in response.iter_raw(65_536):
        body += chunk
        if len(body) > limit:
            break
        if time.monotonic() > deadline:
            raise _TryAgainError(f"body not complete after {timeout_s:g} s")
    return bytes(body[: limit + 1])


def _judge(status: int, body: bytes, response: httpx.Response, length: int) -> bytes | Absent:
    """Bytes, or what the server's error means.

    Raises:
        _TryAgainError: It may pass.
        BlobError: It will not pass for any content.
    """
    if status == 200:
        return body if len(body) <= length else Absent(DAMAGED, f"longer than the expected {length} bytes")
    error = _error_body(response, body)
    reason = str(error.get("reason", ""))
    if status == 403 and "masked" in error:
        states = sorted({str(request.get("status")) for requests in error["masked"].values() for request in requests})
        return Absent(MASKED, f"taken down: {', '.join(states)}")
    if status == 404 and error.get("exception") == "NotFoundExc":
        known = "not available" in reason
        return Absent(MISSING, "the archive knows it but has no bytes" if known else "the archive does not know it")
    if status == 401:
        raise BlobError("the archive refused the API token (401)", hint="make a new one on the archive's profile page")
    if status in (400, 413):
        raise BlobError(f"{response.url}: the archive refused the request ({status}): {reason}", hint="check api_url")
    raise _TryAgainError(f"HTTP status {status}")


def _error_body(response: httpx.Response, body: bytes) -> dict[str, Any]:
    """The JSON object of an error; empty when something between here and the archive answered."""
    try:
        error = httpx.Response(response.status_code, content=body).json()
    except ValueError:
        return {}
    return error if isinstance(error, dict) else {}


def _quota(response: httpx.Response, now: float) -> Quota | None:
    """What the X-RateLimit headers say; None without them."""
    try:
        limit, remaining = (int(response.headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining"))
        reset = float(response.headers["X-RateLimit-Reset"])
    except (KeyError, ValueError):
        return None
    return Quota(limit, max(0, min(remaining, limit)), max(0.0, reset - _server_time(response, now)))


def _server_time(response: httpx.Response, now: float) -> float:
    """The server's clock, against which Reset is meant; ours where it doesn't tell."""
    with contextlib.suppress(KeyError, ValueError, TypeError):
        return email.utils.parsedate_to_datetime(response.headers["Date"]).timestamp()
    return now


def _retry_after_s(response: httpx.Response, body: bytes, quota: Quota | None) -> float:
    """When a slot frees: by the Retry-After header, the message or the reset time; and a second more."""
    with contextlib.suppress(KeyError, ValueError):
        return float(response.headers["Retry-After"]) + 1
    expected = _EXPECTED_IN.search(str(_error_body(response, body).get("reason", "")))
    if expected:
        return float(expected[1]) + 1
    return (quota.reset_s if quota else _LONGEST_PAUSE_S) + 1
