"""Requests to the web API: within the shared quota, bounded, with a token that is never shown.

Source of limits, headers and bodies: software_heritage.md 3.
"""

import contextlib
import email.utils
import importlib.metadata
import io
import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import httpx
import tenacity

from minicode_assets.blobs.limits import Clock, Limiter, Quota
from minicode_assets.errors import BlobError

MAX_ERROR_BYTES = 65_536
"""More of an error's body is not read. Unit: bytes."""
_CHUNK_BYTES = 65_536
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _JITTER_S = 0.5, 60.0, 0.5
_LARGEST_LIMIT = 100_000
"""A header that tells of more requests a window than this is not believed; the archive's limits are below 15,000."""
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_EXPECTED_IN = re.compile(r"available in (\d+) second")
Result = TypeVar("Result")
logger = logging.getLogger("minicode.blobs")


class TryAgainError(Exception):
    """A failure that may pass. Its text is the same for every run that meets it."""


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

    def hidden(self, body: bytes) -> bytes:
        """The body without the token, should a server send it back: what does not match its id is kept as evidence."""
        return body.replace(self._header().removeprefix("Bearer ").encode(), b"***")

    def __repr__(self) -> str:
        return "BearerToken(***)"


def user_agent(contact: str) -> str:
    """Who asks: name, version and how to reach the person behind it."""
    return f"minicode/{importlib.metadata.version('minicode')} (+{contact})"


@dataclass(frozen=True)
class Reply:
    """What a server answered.

    Attributes:
        status: HTTP status.
        url: Of the request.
        headers: Of the answer.
        body: At most one byte more than was allowed; empty where it went to a file.
    """

    status: int
    url: httpx.URL
    headers: httpx.Headers
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body's JSON object; empty when something between here and the archive answered."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class LimitedClient:
    """An HTTP client whose every request has the limiter's leave.

    Args:
        contact: For the User-Agent.
        token: None asks anonymously.
        connections: At most.
        timeout_s: Of each read or write, and of a body in memory as a whole. Unit: seconds.
        clock: Of the pauses.
        stop: Ends waiting.
    """

    def __init__(
        self,
        *,
        contact: str,
        auth: BearerToken | None,
        connections: int,
        timeout_s: float,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._timeout_s, self._clock, self._stop = timeout_s, clock, stop
        self._auth = auth
        headers = {"User-Agent": user_agent(contact), "Accept-Encoding": "identity"}
        limits = httpx.Limits(max_connections=connections)
        self._client = httpx.Client(headers=headers, timeout=timeout_s, limits=limits)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(
        self,
        method: str,
        url: str,
        limiter: Limiter,
        *,
        max_bytes: int,
        sink: BinaryIO | None = None,
        authorized: bool = True,
    ) -> Reply:
        """Send a request; where the quota is used up, wait and send it again.

        Args:
            method: GET or POST.
            url: Address.
            limiter: The quota.
            max_bytes: Longest body of a success; one byte more is read to tell.
            sink: Where a success's body goes; None keeps it in memory.
            authorized: False sends no token.

        Raises:
            TryAgainError: The connection failed, or the body is not what was asked for.
            Stopped: `stop` was set.
        """
        while True:
            grant = limiter.acquire(self._stop)
            try:
                auth = self._auth if authorized else None
                with self._client.stream(method, url, auth=auth) as response:
                    quota = _quota(response.headers, self._clock.now())
                    if response.status_code == 429:
                        refusal = self._reply(response, MAX_ERROR_BYTES, None)
                        pause_s = _retry_after_s(refusal, quota, self._clock.now())
                        logger.warning("refused for the quota (429): nobody asks for %.0f s", pause_s)
                        limiter.refuse(grant, pause_s, quota)
                        continue
                    limiter.settle(grant, quota)
                    if response.status_code == 200:
                        return self._reply(response, max_bytes, sink)
                    return self._reply(response, MAX_ERROR_BYTES, None)
            except httpx.TransportError as error:
                raise TryAgainError(f"{type(error).__name__}: the connection failed") from error

    def retried(self, ask: Callable[[], Result], *, attempts: int) -> Result:
        """Call `ask` until it raises no TryAgainError, `attempts` times at most, with growing, jittered pauses."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TryAgainError),
            stop=tenacity.stop_after_attempt(attempts),
            wait=tenacity.wait_exponential_jitter(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S, jitter=_JITTER_S),
            sleep=self.pause,
            reraise=True,
        )
        return retrying(ask)

    def pause(self, seconds: float) -> None:
        """Sleep until the time is over or `stop` is set."""
        self._clock.sleep(seconds, self._stop)

    def _reply(self, response: httpx.Response, max_bytes: int, sink: BinaryIO | None) -> Reply:
        """Read the raw body, at most `max_bytes` + 1 bytes."""
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise TryAgainError(f"body with Content-Encoding {encoding}, which was not asked for")
        memory = io.BytesIO()
        size, deadline = 0, time.monotonic() + self._timeout_s
        for chunk in response.iter_raw(_CHUNK_BYTES):
            kept = chunk[: max_bytes + 1 - size]
            (sink or memory).write(kept)
            size += len(kept)
            if size > max_bytes:
                break
            if sink is None and time.monotonic() > deadline:
                raise TryAgainError(f"body not complete after {self._timeout_s:g} s")
            if self._stop.is_set():
                raise TryAgainError("stopped")
        if sink and size > max_bytes:
            raise TryAgainError(f"body longer than {max_bytes} bytes")
        body = self._auth.hidden(memory.getvalue()) if self._auth else memory.getvalue()
        return Reply(response.status_code, response.request.url, response.headers, body)


def _quota(headers: httpx.Headers, now: float) -> Quota | None:
    """What the X-RateLimit headers say; None without them."""
    try:
        limit, remaining = (int(headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining"))
        reset = float(headers["X-RateLimit-Reset"])
    except (KeyError, ValueError):
        return None
    if not 1 <= limit <= _LARGEST_LIMIT or not math.isfinite(reset):
        return None
    return Quota(limit, max(0, min(remaining, limit)), max(0.0, reset - _server_time(headers, now)))


def _server_time(headers: httpx.Headers, now: float) -> float:
    """The server's clock, against which Reset is meant; ours where it doesn't tell."""
    with contextlib.suppress(KeyError, ValueError, TypeError, OverflowError):
        return email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
    return now


def retry_after_s(headers: httpx.Headers, now: float) -> float | None:
    """What a Retry-After header asks for, as seconds or as a date; None without one that can be understood.

    Args:
        headers: Of the answer; its Date is the clock that a date is meant by.
        now: Our clock, for servers that don't tell theirs. Unit: seconds since 1970.
    """
    asked = headers.get("Retry-After", "")
    try:
        told = float(asked)
        return told if told >= 0 and math.isfinite(told) else None
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - _server_time(headers, now))
    except (ValueError, TypeError, OverflowError):
        return None


def _retry_after_s(refusal: Reply, quota: Quota | None, now: float) -> float:
    """When a slot frees: by the Retry-After header, the message or the reset time; and a second."""
    told = retry_after_s(refusal.headers, now)
    expected = _EXPECTED_IN.search(str(refusal.json.get("reason", "")))
    if told is None and expected:
        told = float(expected[1])
    if told is None:
        told = quota.reset_s if quota else _LONGEST_PAUSE_S
    return told + 1 if math.isfinite(told) else _LONGEST_PAUSE_S
