"""Bytes of remote files by range: resumed where a connection breaks, paced where a server asks for it, checked.

The token goes to the endpoint's own host and nowhere else, never by a less protected way, and is in no message.
Documented rules: a server that answers a range with the whole file stops the run, and so does a file that changed; a
rate limit or an outage is waited out, `attempts` times without progress at most.
"""

import functools
import io
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from minicode_assets.blobs.http import retry_after_s
from minicode_assets.errors import SourceError

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_PAUSE_S = 120.0
_MAX_REDIRECTS = 5
_PROGRESS_BYTES = 1 << 16
"""A request that brings fewer, and less than half of what is left, is a failure when it breaks: else a server that
gives a byte each has no end."""
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Those that servers are checked by, read once: they take 20 ms a client."""
    return httpx.create_ssl_context()


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server.

    Attributes:
        url: Where it is asked for.
        name: What messages and record ids call it.
        size: Bytes.
        sha256: Hex, where the server's listing gives it.
    """

    url: str
    name: str
    size: int
    sha256: str | None = None


class _PassingError(Exception):
    """A failure that may pass; `pause_s` is what the server asks for."""

    def __init__(self, told: str, pause_s: float | None = None) -> None:
        super().__init__(told)
        self.pause_s = pause_s


@dataclass
class Web:
    """A client for ranges.

    Attributes:
        token: Bearer token for the endpoint; None asks anonymously.
        host: Host and port that may see the token.
        timeout_s: Longest silence. Unit: seconds.
        attempts: Tries without progress before giving up.
        pause_s: First pause; it doubles. Unit: seconds.
        access: What a person has to do where access is refused.
    """

    token: str | None = field(repr=False)
    host: str
    timeout_s: float
    attempts: int
    pause_s: float
    access: str = "check the address"

    def __post_init__(self) -> None:
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise SourceError(
                f"the token ({len(self.token)} characters) has characters that no token has",
                hint="copy it again, without spaces or line breaks",
            )
        headers = {"User-Agent": "minicode", "Accept-Encoding": "identity"}
        self._etags: dict[tuple[str, str], str] = {}
        self._client = httpx.Client(
            headers=headers, timeout=self.timeout_s, follow_redirects=False, verify=_certificates()
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def stream(self, file: RemoteFile, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from start to stop (the end of the file) as they come.

        Raises:
            SourceError: Access refused, no such file, no ranges, the file changed, or too many failures.
        """
        position, end, failures = start, file.size if stop is None else min(stop, file.size), 0
        while position < end:
            enough = position + max(1, min(_PROGRESS_BYTES, (end - position) // 2))
            try:
                with self._open(file, position, end) as response:
                    for chunk in response.iter_raw():
                        kept = chunk[: end - position]
                        position += len(kept)
                        failures = 0 if position >= enough else failures
                        yield kept
                if position < end:
                    raise _PassingError(f"the connection ended at byte {position} of {end}")
            except (httpx.TransportError, _PassingError) as error:
                failures += 1
                self._pause(file, error, failures)

    def read(self, file: RemoteFile, start: int, stop: int) -> bytes:
        """The bytes from start to stop; see `stream`."""
        return b"".join(self.stream(file, start, stop))

    def size(self, url: str) -> int:
        """The size of a file, asked for with its first byte. Raises as `stream`."""
        file, failures = RemoteFile(url, url, 1), 0
        while True:
            try:
                with self._open(file, 0, 1, check=False) as response:
                    total = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
                    if total:
                        return 0 if total[3] == "*" else int(total[3])
                    return int(response.headers.get("Content-Length", 0))
            except (httpx.TransportError, _PassingError) as error:
                failures += 1
                self._pause(file, error, failures)

    @contextmanager
    def _open(self, file: RemoteFile, start: int, end: int, *, check: bool = True) -> Iterator[httpx.Response]:
        url = file.url
        for _ in range(_MAX_REDIRECTS):
            parts = urlsplit(url)
            own = self.token is not None and parts.netloc == self.host and parts.scheme == urlsplit(file.url).scheme
            headers = {"Range": f"bytes={start}-{end - 1}"} | ({"Authorization": f"Bearer {self.token}"} if own else {})
            with self._client.stream("GET", url, headers=headers) as response:
                self._check_linked(file, response)
                if response.is_redirect:
                    url = _redirected(file, response)
                    continue
                self._check_status(file, response)
                self._check_version(file, parts.netloc, response)
                if check:
                    _check_range(file, response, start)
                yield response
                return
        raise SourceError(f"{file.url}: more than {_MAX_REDIRECTS} redirects", hint="check the address")

    def _check_status(self, file: RemoteFile, response: httpx.Response) -> None:
        status = response.status_code
        if status in _PASSING:
            raise _PassingError(f"status {status}", retry_after_s(response.headers, time.time()))
        if status in (401, 403):
            raise SourceError(f"{file.url}: access refused (status {status})", hint=self.access)
        if status not in (200, 206):
            raise SourceError(f"{file.url}: status {status}, expected 206", hint="check the address and the revision")

    def _check_version(self, file: RemoteFile, host: str, response: httpx.Response) -> None:
        """Raise SourceError where a host gives another version of a file than it gave before."""
        found = response.headers.get("ETag", "")
        before = self._etags.setdefault((file.url, host), found) if found else ""
        if found != before:
            raise SourceError(
                f"{file.url}: found version {found}, before {before}",
                hint="the file changed while it was read: run again",
            )

    def _check_linked(self, file: RemoteFile, response: httpx.Response) -> None:
        linked = response.headers.get("X-Linked-Etag", "").strip('"')
        if file.sha256 and linked and linked != file.sha256:
            raise SourceError(
                f"{file.name}: found sha256 {linked}, expected {file.sha256}", hint="the file changed: pin a revision"
            )

    def _pause(self, file: RemoteFile, error: Exception, failures: int) -> None:
        told = str(error) or type(error).__name__
        if failures >= self.attempts:
            raise SourceError(
                f"{file.url}: {failures} tries without progress, the last with: {told}",
                hint="run again later: what was read stays",
            ) from error
        asked_s = getattr(error, "pause_s", None)
        pause_s = self.pause_s * 2 ** (failures - 1) if asked_s is None else max(asked_s, self.pause_s)
        time.sleep(min(pause_s, _LONGEST_PAUSE_S))


def _redirected(file: RemoteFile, response: httpx.Response) -> str:
    """Where a redirect leads."""
    try:
        return str(response.url.join(response.headers["Location"]))
    except (KeyError, ValueError, httpx.InvalidURL) as error:
        raise SourceError(
            f"{file.url}: a redirect (status {response.status_code}) that leads nowhere", hint="check the address"
        ) from error


def _check_range(file: RemoteFile, response: httpx.Response, start: int) -> None:
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status_code == 200 and start == 0 and int(response.headers.get("Content-Length", -1)) == file.size:
        return
    if not found:
        raise SourceError(
            f"{file.url}: asked for bytes from {start}, found status {response.status_code} without a range",
            hint="this server has no ranges: download the file and serve the folder, or use another endpoint",
        )
    if int(found[1]) != start or (found[3] != "*" and int(found[3]) != file.size):
        raise SourceError(
            f"{file.url}: found range {found[0]!r}, expected bytes from {start} of {file.size}",
            hint="the file changed: pin a revision, and delete the source's folder in .work/",
        )


class RangeFile(io.RawIOBase):
    """A remote file that can be sought: for readers such as Parquet's, which need few ranges of it.

    Args:
        web: The client.
        file: The file.
        read_ahead_bytes: Least length of a request.
    """

    def __init__(self, web: Web, file: RemoteFile, read_ahead_bytes: int) -> None:
        self._web, self._file, self._ahead = web, file, read_ahead_bytes
        self._position, self._start, self._held = 0, 0, b""
        self.num_bytes_read = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.RawIOBase`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Bytes from the position on, from what is held or with one request."""
        left = max(self._file.size - self._position, 0)
        wanted = left if size < 0 else min(size, left)
        first = self._position - self._start
        if not (first >= 0 and first + wanted <= len(self._held)):
            stop = self._position + max(wanted, min(self._ahead, left))
            self._held, self._start, first = self._web.read(self._file, self._position, stop), self._position, 0
            self.num_bytes_read += len(self._held)
        self._position += wanted
        return self._held[first : first + wanted]

    def readall(self) -> bytes:
        """See `read`."""
        return self.read()

    def readinto(self, buffer: object) -> int:
        """See `io.RawIOBase`."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        found = self.read(len(view))
        view[: len(found)] = found
        return len(found)
