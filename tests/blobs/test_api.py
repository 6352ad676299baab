"""The web API backend against the archive's server: every status, every fault, and a token that is never shown."""

import contextlib
import logging
import socket
import threading
import time
import traceback
from pathlib import Path

import pytest

from minicode_assets.blobs.backends import Absent, Wanted
from minicode_assets.blobs.http import BearerToken, user_agent
from minicode_assets.blobs.limits import Limiter, SystemClock
from minicode_assets.errors import BlobError
from tests.blobs.archive_server import API_FAULTS, ArchiveServer, Stored, make_contents
from tests.blobs.tables import CONTACT, all_wanted, api
from tests.blobs.test_limits import Simulated

TOKEN = "eyJhbGciOi.SECRET-token_0123456789"


def ask(server: ArchiveServer, tmp_path: Path, wanted: list[Wanted], **options: object) -> dict[int, bytes | Absent]:
    backend = api(server, tmp_path / "log.sqlite", **options)  # type: ignore[arg-type]
    return {answer.wanted.rank: answer.found for answer in backend.fetch(wanted)}


def test_bytes_and_every_final_answer(tmp_path: Path) -> None:
    states = ["ok", "unknown", "no_bytes", "masked", "bomb", "wrong"]
    contents = [Stored(c.body, state) for c, state in zip(make_contents(6), states, strict=True)]
    with ArchiveServer(contents) as server:
        found = ask(server, tmp_path, all_wanted(contents))
    assert found[0] == contents[0].body
    assert found[1] == Absent("missing", "the archive does not know it")
    assert found[2] == Absent("missing", "the archive knows it but has no bytes")
    assert found[3] == Absent("masked", "taken down: restricted")
    assert found[4] == Absent("damaged", f"longer than the expected {len(contents[4].body)} bytes")
    assert isinstance(found[5], bytes), "verifying is the store's work"
    assert server.num_requests == 6, "none of these is worth a second request"


def test_headers(tmp_path: Path) -> None:
    """The header's name is spelt as RFC 9110 spells it; with another spelling the archive sees no token."""
    contents = make_contents(1)
    with ArchiveServer(contents, token=TOKEN) as server:
        assert ask(server, tmp_path, all_wanted(contents), token=TOKEN)[0] == contents[0].body
    (headers,) = server.headers
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Authorisation" not in headers
    assert CONTACT in headers["User-Agent"]
    assert headers["Accept-Encoding"] == "identity"
    assert user_agent("x@y.example").startswith("minicode/")


def test_anonymous_sends_no_authorization(tmp_path: Path) -> None:
    contents = make_contents(1)
    with ArchiveServer(contents) as server:
        ask(server, tmp_path, all_wanted(contents))
    assert "Authorization" not in server.headers[0]


def test_token_is_shown_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Logs of every library at the finest level, the exception with its causes and locals' names, the log file."""
    caplog.set_level(logging.DEBUG)
    contents = make_contents(3)
    with ArchiveServer(contents, token="another") as server, pytest.raises(BlobError) as refused:
        ask(server, tmp_path, all_wanted(contents), token=TOKEN)
    said = "".join(traceback.format_exception(refused.value)) + repr(refused.value) + caplog.text
    said += repr(BearerToken(TOKEN)) + str(vars(BearerToken(TOKEN)))
    assert "401" in said
    assert TOKEN not in said
    assert "SECRET" not in said
    assert all(TOKEN.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f" {TOKEN}", f"{TOKEN}\r\nX: y", "ключ-SECRET"])
def test_unusable_token_is_not_quoted(token: str) -> None:
    with pytest.raises(BlobError) as refused:
        BearerToken(token)
    assert "SECRET" not in str(refused.value) + repr(refused.value)


@pytest.mark.parametrize("fault", API_FAULTS)
def test_every_fault_passes(tmp_path: Path, fault: str) -> None:
    """Half of the requests fail: what the backend can see as a failure is asked for again until it works."""
    contents = make_contents(12)
    clock = Simulated()
    with ArchiveServer(contents, fault_rate=0.5, faults=(fault,)) as server:
        found = ask(server, tmp_path, all_wanted(contents), clock=clock, connections=1, attempts=12)
    if fault in ("wrong", "empty"):
        assert all(isinstance(body, bytes) for body in found.values()), "the store judges by hash and asks again"
        return
    assert found == {rank: stored.body for rank, stored in enumerate(contents)}
    assert server.injected[fault] >= 3
    assert server.num_requests == 12 + server.injected[fault]


def test_always_failing_is_retry_later(tmp_path: Path) -> None:
    contents = make_contents(2)
    with ArchiveServer(contents, fault_rate=1.0, faults=("503",)) as server:
        found = ask(server, tmp_path, all_wanted(contents), clock=Simulated(), connections=1, attempts=3)
    assert found[0] == Absent("retry_later", "HTTP status 503 (3 requests)")
    assert server.num_requests == 6


def test_nobody_listens(tmp_path: Path) -> None:
    contents = make_contents(1)
    with ArchiveServer(contents) as server:
        pass
    found = ask(server, tmp_path, all_wanted(contents), clock=Simulated(), attempts=2)
    assert isinstance(found[0], Absent)
    assert found[0].status == "retry_later"


def test_quota_of_another_makes_us_wait_for_a_slot(tmp_path: Path) -> None:
    """The server's log is full with strangers' requests: one 429, then asleep until a slot frees, then on."""
    clock = Simulated()
    contents = make_contents(5)
    with ArchiveServer(contents, limit=20, now=clock.now) as server:
        for _ in range(20):
            server.log.hit()
            clock.time += 10
        started = clock.time
        found = ask(server, tmp_path, all_wanted(contents), clock=clock, connections=1, limit=20)
    assert found == {rank: stored.body for rank, stored in enumerate(contents)}
    assert server.log.num_refused == 1
    assert 3400 <= clock.time - started <= 3600 + 900
    assert server.log.most <= 20


class Replies:
    """A server that sends prepared bytes, one connection each, and remembers what was asked."""

    def __init__(self, *replies: str, drip_s: float = 0) -> None:
        self._drip_s = drip_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.asked: list[bytes] = []
        self._replies = [reply.replace("\n", "\r\n").replace("PORT", str(self.port)).encode() for reply in replies]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for reply in self._replies:
            connection, _ = self._listener.accept()
            with connection:
                self.asked.append(connection.recv(65_536))
                with contextlib.suppress(ConnectionError):
                    self._send(connection, reply)

    def _send(self, connection: socket.socket, reply: bytes) -> None:
        head, end, body = reply.partition(b"\r\n\r\n")
        connection.sendall(head + end)
        for byte in body:
            time.sleep(self._drip_s)
            connection.sendall(bytes([byte]))

    def ask(self, tmp_path: Path, *, length: int = 4, **options: object) -> bytes | Absent:
        with ArchiveServer([]) as server:
            backend = api(server, tmp_path / "log.sqlite", clock=Simulated(), **options)  # type: ignore[arg-type]
            backend._url = backend._url.copy_with(port=self.port)
            (answer,) = backend.fetch([Wanted(0, bytes(20), bytes(20), length)])
        self._thread.join(0.2)
        self._listener.close()
        return answer.found


OK = "HTTP/1.1 200 OK\nContent-Length: 4\nConnection: close\n\nbody"


def test_redirect_is_followed_on_this_server(tmp_path: Path) -> None:
    redirect = "HTTP/1.1 302 Found\nLocation: /api/1/elsewhere/\nContent-Length: 0\nConnection: close\n\n"
    replies = Replies(redirect, OK)
    assert replies.ask(tmp_path, token=TOKEN) == b"body"
    assert replies.asked[1].startswith(b"GET /api/1/elsewhere/ ")
    assert TOKEN.encode() in replies.asked[1]


def test_redirect_to_another_server_does_not_get_the_token(tmp_path: Path) -> None:
    redirect = "HTTP/1.1 302 Found\nLocation: http://localhost:PORT/\nContent-Length: 0\nConnection: close\n\n"
    replies = Replies(redirect, redirect)
    found = replies.ask(tmp_path, token=TOKEN, attempts=2)
    assert found == Absent("retry_later", "redirected to another server (2 requests)")
    assert len(replies.asked) == 2


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("HTTP/1.1 403 Forbidden\nContent-Length: 9\nConnection: close\n\n<html>no!", "HTTP status 403"),
        ("HTTP/1.1 404 Not Found\nContent-Length: 9\nConnection: close\n\n<html>no!", "HTTP status 404"),
        ("HTTP/1.1 404 Not Found\nContent-Length: 2\nConnection: close\n\n[]", "HTTP status 404"),
        ("nonsense\n\n", "RemoteProtocolError"),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nConnection: close\n\n4\nbo", "RemoteProtocolError"),
    ],
)
def test_what_the_archive_did_not_say_is_not_believed(tmp_path: Path, reply: str, problem: str) -> None:
    """A proxy's error page says nothing about the content."""
    found = Replies(reply, reply).ask(tmp_path, attempts=2)
    assert isinstance(found, Absent)
    assert found.status == "retry_later"
    assert problem in found.problem


def test_body_that_drips_is_given_up(tmp_path: Path) -> None:
    """Every read is quick enough; the whole is not."""
    drip = "HTTP/1.1 200 OK\nContent-Length: 4\nConnection: close\n\nbody"
    found = Replies(drip, drip_s=0.15).ask(tmp_path, attempts=1, timeout_s=0.25)
    assert found == Absent("retry_later", "body not complete after 0.25 s (1 requests)")


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ("Retry-After: 77", 78),
        ("Date: Thu, 01 Jan 2026 00:00:00 GMT\nRetry-After: Thu, 01 Jan 2026 00:01:17 GMT", 78),
        ("Date: Thu, 01 Jan 2026 00:00:00 GMT\nRetry-After: Wed, 31 Dec 2025 00:00:00 GMT", 1),
        ("Retry-After: Thu, 99 Jan 2026 00:01:17 GMT", 61),
    ],
)
def test_refusal_with_retry_after(tmp_path: Path, caplog, headers: str, pause_s: int) -> None:
    refusal = f"HTTP/1.1 429 Too Many\n{headers}\nContent-Length: 0\nConnection: close\n\n"
    assert Replies(refusal, OK).ask(tmp_path) == b"body"
    assert f"nobody asks for {pause_s} s" in caplog.text


def test_bad_request_ends_the_run(tmp_path: Path) -> None:
    reply = 'HTTP/1.1 400 Bad\nContent-Length: 46\nConnection: close\n\n{"exception": "BadInputExc", "reason": "hash"}'
    with pytest.raises(BlobError, match="400"):
        Replies(reply).ask(tmp_path)


def test_closing_ends_requests_at_once(tmp_path: Path) -> None:
    """A run that is cancelled while it waits for its quota doesn't wait for it."""
    contents = make_contents(40)
    with ArchiveServer(contents, limit=2) as server:
        backend = api(server, tmp_path / "log.sqlite", limit=2)
        answers = backend.fetch(all_wanted(contents))
        next(answers)
        answers.close()  # type: ignore[attr-defined]
    assert server.num_requests <= 4


@pytest.mark.parametrize(
    "headers",
    [
        "Retry-After: nan", "Retry-After: -5", "Retry-After: inf", "Retry-After: soon",
        f"X-RateLimit-Limit: {'9' * 30}\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 5",
        "X-RateLimit-Limit: 1000000000\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: nan",
        "X-RateLimit-Limit: -1\nX-RateLimit-Remaining: -1\nX-RateLimit-Reset: -1",
    ],
)  # fmt: skip
def test_odd_limits_neither_stop_nor_hurry_anybody(tmp_path: Path, headers: str) -> None:
    refusal = f"HTTP/1.1 429 Too Many\n{headers}\nContent-Length: 0\nConnection: close\n\n"
    answer = OK.replace("Connection", f"{headers}\nConnection")
    assert Replies(refusal, answer).ask(tmp_path) == b"body"
    limiter = Limiter(tmp_path / "log.sqlite", limit=9, window_s=9, burst_fraction=1, timeout_s=9, clock=SystemClock())
    assert limiter.limit == 9
    assert limiter.figures()["refused"] == 1


@pytest.mark.parametrize("masked", ['{"swh": 5}', '{"swh": [5]}', '{"swh": null}', "{}"])
def test_odd_takedown_is_a_takedown(tmp_path: Path, masked: str) -> None:
    body = f'{{"exception": "MaskedObjectException", "masked": {masked}}}'
    reply = f"HTTP/1.1 403 Forbidden\nContent-Length: {len(body)}\nConnection: close\n\n{body}"
    assert Replies(reply).ask(tmp_path) == Absent("masked", "taken down: no known state")


@pytest.mark.parametrize(
    "reply",
    [
        f'HTTP/1.1 400 Bad\nContent-Length: LENGTH\n\n{{"exception": "BadInputExc", "reason": "{TOKEN}"}}',
        f'HTTP/1.1 403 No\nContent-Length: LENGTH\n\n{{"masked": {{"x": [{{"status": "{TOKEN}"}}]}}}}',
        f"HTTP/1.1 302 Found\nLocation: http://{TOKEN}.example/{TOKEN}\nContent-Length: 0\n\n",
        f"HTTP/1.1 200 OK\nContent-Length: LENGTH\n\n{TOKEN}",
        f"HTTP/1.1 200 OK\n{TOKEN}\nContent-Length: 4\n\nbody",
    ],
)
def test_token_that_a_server_sends_back_is_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reply: str
) -> None:
    caplog.set_level(logging.DEBUG, "minicode")
    length = str(len(reply.partition("\n\n")[2]))
    replies = Replies(*[reply.replace("LENGTH", length).replace("Content-", "Connection: close\nContent-")] * 2)
    try:
        told = repr(replies.ask(tmp_path, token=TOKEN, attempts=2, length=len(TOKEN)))
    except BlobError as error:
        told = "".join(traceback.format_exception(error))
    assert "SECRET" not in told + caplog.text
    assert all(b"SECRET" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
