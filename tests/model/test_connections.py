"""Attacks on the server's sockets: silence, trickles, floods, clients that don't read; each ends, others are served."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from minicode_model.config import Server
from minicode_model.connections import http_server

LIMITS = Server(max_connections=4, max_idle_s=1, max_request_s=0.4, max_header_bytes=2048)
GET = b"GET /quick HTTP/1.1\r\nhost: a\r\n\r\n"
ENDED: list[str] = []


async def quick(request: Request) -> Response:
    return Response("quick")


async def take(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def flood(request: Request) -> Response:
    async def parts():
        try:
            for _ in range(1000):
                yield b"x" * 100_000
        finally:
            ENDED.append("flood")

    return StreamingResponse(parts())


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = Starlette(routes=[Route(f"/{f.__name__}", f, methods=["GET", "POST"]) for f in (quick, take, flood)])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    server = http_server(app, host="127.0.0.1", params=replace(LIMITS, port=number), log_level="critical")
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield number
    server.should_exit = True
    thread.join()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def heard(connection: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    parts = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(1 << 16):
            parts += part
    return parts


def test_silence_is_closed(port: int) -> None:
    with connect(port) as connection:
        started = time.monotonic()
        assert heard(connection) == b""
        assert 0.2 < time.monotonic() - started < 3


@pytest.mark.parametrize(
    "beginning", [b"GET /quick HTTP/1.1\r\n", b"POST /take HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\n"]
)
def test_a_trickle_is_closed_although_bytes_keep_coming(port: int, beginning: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(beginning)
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started < 4:
                connection.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - started < 3


def test_the_clock_starts_again_for_the_next_request(port: int) -> None:
    with connect(port) as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert connection.recv(1 << 16).endswith(b"quick")
            time.sleep(0.25)
        connection.sendall(b"G")  # ends uvicorn's own clock of an idle connection
        started = time.monotonic()
        assert heard(connection) == b""
        assert time.monotonic() - started < 3


def test_long_headers_are_refused(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /quick HTTP/1.1\r\nx: " + b"y" * 4000)
        assert b" 400 " in heard(connection)


def test_more_connections_than_the_limit_are_refused_and_later_ones_served(port: int) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(port)) for _ in range(LIMITS.max_connections)]
        with connect(port) as further:
            refusal = heard(further)
            assert b" 503 " in refusal
            assert b"\r\nretry-after: 1\r\n" in refusal
        assert [heard(connection) for connection in silent] == [b""] * len(silent)
    with connect(port) as connection:
        connection.sendall(GET)
        assert connection.recv(1 << 16).endswith(b"quick")


def test_who_does_not_read_is_closed_and_the_work_for_him_ends(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /flood HTTP/1.1\r\nhost: a\r\n\r\n")
        deadline = time.monotonic() + 5
        while "flood" not in ENDED and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "flood" in ENDED
        assert len(heard(connection)) < 100_000_000
