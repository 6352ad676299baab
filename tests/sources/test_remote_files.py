"""Ranges from a server that lies: what comes is the file or an error, soon, and the token stays where it belongs."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from minicode_assets.errors import SourceError
from minicode_assets.sources.web import RemoteFile, Web

DATA = bytes(range(256)) * 1000
TOKEN = "hf_secretsecretsecret"
Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body. `Content-Length` is added unless it is there."""


def ranged(start: int, **headers: str) -> Answer:
    return 206, {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}", **headers}, DATA[start:]


class Handler(BaseHTTPRequestHandler):
    answers: Callable[[str, int, int], Answer]
    seen: list[tuple[str, str | None]]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.seen.append((f"{self.headers['Host']}{self.path}", self.headers.get("Authorization")))
        start = int(self.headers["Range"].removeprefix("bytes=").partition("-")[0])
        status, headers, body = type(self).answers(self.path, start, len(self.seen))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    handler = type("Bound", (Handler,), {"seen": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def read(server: Any, answers: Callable[[str, int, int], Answer], path: str = "/file") -> bytes:
    server.RequestHandlerClass.answers = staticmethod(answers)
    host = f"127.0.0.1:{server.server_address[1]}"
    web = Web(token=TOKEN, host=host, timeout_s=5, attempts=3, pause_s=0.001)
    try:
        return b"".join(web.stream(RemoteFile(f"http://{host}{path}", "file", len(DATA))))
    finally:
        web.close()


def half(start: int, **headers: str) -> Answer:
    """Half of what is left, under a length that promises all."""
    status, named, body = ranged(start, **headers)
    return status, {**named, "Content-Length": str(len(body))}, body[: len(body) // 2 + 1]


@pytest.mark.parametrize(
    "answers",
    [
        lambda _, start, n: half(start, ETag='"one"') if n == 1 else ranged(start, ETag='"one"'),
        lambda _, start, n: (429, {"Retry-After": "-5"}, b"") if n < 3 else ranged(start),
        lambda _, start, n: (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"") if n < 3 else ranged(start),
        lambda _, start, n: (ranged(start)[0], ranged(start)[1], ranged(start)[2] + b"more than was asked for"),
    ],
)
def test_what_can_be_read_is_the_file(server: Any, answers: Callable[[str, int, int], Answer]) -> None:
    assert read(server, answers) == DATA


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (lambda _, start, n: half(start, ETag=f'"{n}"'), "found version .2., before .1."),
        (lambda _, start, n: (206, ranged(start)[1], b"a crumb"), "3 tries without progress"),
        (lambda _, start, n: (206, ranged(start)[1], b""), "3 tries without progress"),
        (lambda _, start, n: (206, {"Content-Range": f"bytes {'9' * 5000}-{'9' * 5001}/5"}, b"x"), "without a range"),
        (lambda _, start, n: (206, {"Content-Encoding": "gzip", **ranged(start)[1]}, b"x" * 99), "without progress"),
        (lambda _, start, n: (416, {"Content-Range": "bytes */5"}, b""), "status 416"),
        (lambda _, start, n: (302, {"Location": "/file"}, b""), "more than 5 redirects"),
        (lambda _, start, n: (302, {"Location": "file:///etc/passwd"}, b""), "without progress"),
        (lambda _, start, n: (403, {"X-Error-Message": "no"}, b"no"), "access refused"),
        (lambda _, start, n: (200, {"Content-Type": "text/html"}, b"<html>Log in</html>"), "without a range"),
    ],
)
def test_what_can_not_be_read_stops_soon(server: Any, answers: Callable[[str, int, int], Answer], message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read(server, answers)
    assert "hint:" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert len(server.RequestHandlerClass.seen) < 9


@pytest.mark.parametrize("target", ["http://localhost:{port}/there", "http://user:word@127.0.0.1:{port}/there"])
def test_the_token_follows_no_redirect_to_another_host(server: Any, target: str) -> None:
    location = target.format(port=server.server_address[1])
    assert read(server, lambda p, s, n: (302, {"Location": location}, b"") if p == "/file" else ranged(s)) == DATA
    (_, first), (_, second) = server.RequestHandlerClass.seen
    assert first == f"Bearer {TOKEN}"
    assert TOKEN not in (second or "")
