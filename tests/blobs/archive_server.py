"""Software Heritage's web API and content bucket on loopback: its limits, its errors, and faults at a chosen rate.

Limits are the server's sliding log: accepted requests count for a window, refused ones don't. Source of statuses,
headers and bodies: software_heritage.md, parts 2 and 3.
"""

import gzip
import json
import random
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from minicode_assets.swhid import content_ids

API_FAULTS = ("500", "502", "503", "reset", "truncated", "wrong", "gzip", "empty")
GZIP_BOMB = gzip.compress(bytes(10_000_000))
S3_FAULTS = ("500", "slow_down", "reset", "truncated")


@dataclass(frozen=True)
class Stored:
    """One content of the archive. State: ok, unknown, no_bytes, masked, nul, bomb, not_gzip, wrong."""

    body: bytes
    state: str = "ok"

    @property
    def ids(self) -> tuple[bytes, bytes]:
        return content_ids(self.body)


@dataclass
class SlidingLog:
    """DRF's SimpleRateThrottle: one time stamp an accepted request."""

    limit: int
    window_s: float
    now: Callable[[], float]
    hits: deque[float] = field(default_factory=deque)
    most: int = 0
    num_refused: int = 0
    times: list[float] = field(default_factory=list)

    def hit(self) -> tuple[bool, int, float]:
        """(accepted, remaining, reset as seconds since 1970)."""
        now = self.now()
        while self.hits and self.hits[0] <= now - self.window_s:
            self.hits.popleft()
        accepted = len(self.hits) < self.limit
        if accepted:
            self.hits.append(now)
            self.times.append(now)
            self.most = max(self.most, len(self.hits))
        else:
            self.num_refused += 1
        return accepted, self.limit - len(self.hits), self.hits[0] + self.window_s


class ArchiveServer:
    """Serves `contents` on loopback while its `with` block runs.

    Args:
        contents: What the archive holds.
        limit, window_s: Of the sliding log; None has no limit.
        fault_rate: Share of the requests that fail in one of the ways of `faults`.
        faults: Names from API_FAULTS or S3_FAULTS.
        token: The token that is asked for; None accepts anyone.
        now: The server's clock.
    """

    def __init__(
        self,
        contents: Iterable[Stored],
        *,
        limit: int | None = None,
        window_s: float = 3600.0,
        fault_rate: float = 0.0,
        faults: tuple[str, ...] = (),
        token: str | None = None,
        now: Callable[[], float] = time.time,
        delay_s: float = 0.0,
    ) -> None:
        self.by_sha1_git: dict[str, Stored] = {}
        self.by_sha1: dict[str, Stored] = {}
        for stored in contents:
            sha1_git, sha1 = stored.ids
            self.by_sha1_git[sha1_git.hex()] = self.by_sha1[sha1.hex()] = stored
        self.log = SlidingLog(limit or 10**9, window_s, now)
        self.has_limit, self.now, self.delay_s, self.token = limit is not None, now, delay_s, token
        self.fault_rate, self.faults = fault_rate, faults
        self.requests: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.bundles: dict[str, bytes] = {}
        self.cooking: dict[str, int] = {}
        self.looks_needed = 2
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"archive": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def num_requests(self) -> int:
        return sum(self.requests.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault(self, path: str) -> str:
        """The fault of this request, or none; by path and its number, so that a run can be repeated."""
        with self.lock:
            number = self.requests[path]
            self.requests[path] += 1
            chance = random.Random(f"{path} {number}")
            if chance.random() >= self.fault_rate:
                return ""
            name = chance.choice(self.faults)
            self.injected[name] += 1
            return name


class _Handler(BaseHTTPRequestHandler):
    archive: ArchiveServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(self.archive.now(), usegmt=True)

    def do_GET(self) -> None:
        if self.archive.delay_s:
            time.sleep(self.archive.delay_s)
        self.archive.headers.append(dict(self.headers.items()))
        if self.path.startswith("/api/1/vault/"):
            self._vault("GET")
        elif self.path.startswith("/api/1/content/"):
            self._api()
        else:
            self._s3()

    def do_POST(self) -> None:
        self.archive.headers.append(dict(self.headers.items()))
        self._vault("POST")

    def _vault(self, method: str) -> None:
        """Cooking takes `looks_needed` looks; a directory without a bundle fails."""
        raw = self.path.endswith("/raw/")
        directory = self.path.removesuffix("raw/").rstrip("/").rpartition(":")[2]
        looks = self.archive.cooking.get(directory)
        bundle = self.archive.bundles.get(directory)
        fault = self.archive.fault(f"{method} {self.path}")
        if fault:
            self._error(503, "StorageDBError", "The storage is away", {})
        elif method == "POST":
            self.archive.cooking.setdefault(directory, 0)
            self._state("new")
        elif looks is None:
            self._error(404, "NotFoundExc", "Cooking was never requested", {})
        elif raw and bundle is not None and looks >= self.archive.looks_needed:
            self._send(200, bundle, {"Content-Type": "application/gzip"})
        elif raw:
            self._error(404, "NotFoundExc", "Not cooked", {})
        else:
            self.archive.cooking[directory] = looks + 1
            waiting = looks + 1 < self.archive.looks_needed
            self._state("pending" if waiting else "failed" if bundle is None else "done")

    def _state(self, status: str) -> None:
        self._send(200, json.dumps({"status": status}).encode(), {"Content-Type": "application/json"})

    def _api(self) -> None:
        with self.archive.lock:
            accepted, remaining, reset = self.archive.log.hit()
        limits = {
            "X-RateLimit-Limit": str(self.archive.log.limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(int(reset)),
        } if self.archive.has_limit else {}  # fmt: skip
        if not accepted:
            wait = max(0, int(reset - self.archive.now()))
            reason = f"Request was throttled. Expected available in {wait} seconds."
            self._error(429, "Throttled", reason, limits)
            return
        fault = self.archive.fault(self.path)
        if self.archive.token and self.headers.get("Authorization") != f"Bearer {self.archive.token}":
            self._error(401, "AuthenticationFailed", "Bearer token is invalid", limits)
        elif fault:
            self._api_fault(fault, limits)
        else:
            self._api_content(limits)

    def _api_content(self, limits: dict[str, str]) -> None:
        digest = self.path.removeprefix("/api/1/content/sha1_git:").removesuffix("/raw/")
        if digest != digest.lower():
            self._send(302, b"", {"Location": self.path.replace(digest, digest.lower()), **limits})
            return
        stored = self.archive.by_sha1_git.get(digest)
        if len(digest) != 40:
            self._error(400, "BadInputExc", f"Invalid checksum query string sha1_git:{digest}", limits)
        elif stored is None or stored.state == "unknown":
            reason = f"Content with sha1_git checksum equals to {digest} not found!"
            self._error(404, "NotFoundExc", reason, limits)
        elif stored.state == "no_bytes":
            reason = f"Bytes of content with sha1_git checksum equals to {digest} are not available!"
            self._error(404, "NotFoundExc", reason, limits)
        elif stored.state == "masked":
            masked = {f"swh:1:cnt:{digest}": [{"request": "a-request", "status": "restricted"}]}
            body = {"exception": "MaskedObjectException", "reason": "masked", "masked": masked}
            self._send(403, json.dumps(body).encode(), {"Content-Type": "application/json", **limits})
        else:
            self.archive.delivered[digest] += 1
            self._send(200, _api_body(stored), {"Content-Type": "application/octet-stream", **limits})

    def _api_fault(self, fault: str, limits: dict[str, str]) -> None:
        digest = self.path.removeprefix("/api/1/content/sha1_git:").removesuffix("/raw/")
        stored = self.archive.by_sha1_git.get(digest)
        body = stored.body if stored else b"x" * 100
        if fault == "500":
            self._error(500, "InternalError", "Something is wrong", limits)
        elif fault == "502":
            self._send(502, b"<html><h1>502 Bad Gateway</h1></html>", {"Content-Type": "text/html"})
        elif fault == "503":
            self._error(503, "StorageDBError", "The storage is away", limits)
        elif fault == "reset":
            self._reset()
        elif fault == "truncated":
            self._send(200, body[: len(body) // 2], limits, length=len(body) + 1)
        elif fault == "wrong":
            self._send(200, bytes([body[0] ^ 1]) + body[1:] if body else b"?", limits)
        elif fault == "gzip":
            self._send(200, GZIP_BOMB, {"Content-Encoding": "gzip", **limits})
        else:
            self._send(200, b"", limits)

    def _s3(self) -> None:
        fault = self.archive.fault(self.path)
        stored = self.archive.by_sha1.get(self.path.removeprefix("/content/"))
        if fault:
            self._s3_fault(fault, stored)
        elif stored is None or stored.state in ("unknown", "no_bytes"):
            self._xml(404, "NoSuchKey", "The specified key does not exist.")
        else:
            self.archive.delivered[self.path] += 1
            self._s3_object(_s3_body(stored))

    def _s3_object(self, body: bytes, *, cut: bool = False) -> None:
        """The object, or the range of it that is asked for: clients resume bodies that were cut off."""
        headers = {"Last-Modified": formatdate(0, usegmt=True), "ETag": '"0"'}
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if first:
            start, end = int(first), min(int(last or len(body)), len(body) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
            status, body = 206, body[start : end + 1]
        else:
            status = 200
        self._send(status, body[: len(body) // 2] if cut else body, headers, length=len(body) if cut else None)

    def _s3_fault(self, fault: str, stored: Stored | None) -> None:
        if fault == "500":
            self._xml(500, "InternalError", "We encountered an internal error. Please try again.")
        elif fault == "slow_down":
            self._xml(503, "SlowDown", "Please reduce your request rate.")
        elif fault == "reset":
            self._reset()
        else:
            self._s3_object(_s3_body(stored) if stored else b"?", cut=True)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _error(self, status: int, exception: str, reason: str, headers: dict[str, str]) -> None:
        body = json.dumps({"exception": exception, "reason": reason}).encode()
        self._send(status, body, {"Content-Type": "application/json", **headers})

    def _xml(self, status: int, code: str, message: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self._send(status, body, {"Content-Type": "application/xml"})

    def _send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if length is not None:
            self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ValueError, OSError):
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (ConnectionError, ValueError, OSError):
            self.close_connection = True


def _api_body(stored: Stored) -> bytes:
    if stored.state == "wrong":
        return bytes([stored.body[0] ^ 1]) + stored.body[1:]
    return stored.body + b"!" * 1_000_000 if stored.state == "bomb" else stored.body


def _s3_body(stored: Stored) -> bytes:
    if stored.state == "nul":
        return bytes(100)
    if stored.state == "bomb":
        return gzip.compress(stored.body + bytes(2_000_000), 9)[: len(stored.body) + 4000]
    if stored.state == "not_gzip":
        return stored.body
    if stored.state == "wrong":
        return gzip.compress(bytes([stored.body[0] ^ 1]) + stored.body[1:])
    return gzip.compress(stored.body, 1)


def make_contents(count: int, *, seed: int = 0, length: int = 300) -> list[Stored]:
    """Contents of pseudo-random text, all different."""
    chance = random.Random(seed)
    return [
        Stored(f"# {seed} {n}\n".encode() + chance.randbytes(16).hex().encode() * chance.randint(0, length // 16))
        for n in range(count)
    ]
