"""The server's connections, bounded in number and in time: uvicorn alone waits for ever for a client that says nothing.

A connection gets `max_request_s` for the whole of its request, from the moment that it is open or that its last answer
went out, and the same time to take what was written to it. Later than that it is closed, whoever holds it.
"""

import asyncio
import functools
from typing import Any

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from minicode_model.config import Server

_REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"


def http_server(app: Starlette, *, host: str, params: Server, log_level: str = "info") -> uvicorn.Server:
    """A server of `app` that holds every connection to the limits of `params`; `run()` serves until interrupted."""
    config = uvicorn.Config(
        app,
        host=host,
        port=params.port,
        http=functools.partial(BoundedConnection, params),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        timeout_keep_alive=params.max_idle_s,
        h11_max_incomplete_event_size=params.max_header_bytes,
        log_level=log_level,
    )
    return uvicorn.Server(config)


class BoundedConnection(H11Protocol):
    """One connection. The first argument is the limits; uvicorn gives the rest."""

    def __init__(self, params: Server, **uvicorns_own: Any) -> None:
        super().__init__(**uvicorns_own)
        self.params = params
        self._request_clock, self._answer_clock = Clock(), Clock()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock; beyond the largest number of connections, refuse at once."""
        super().connection_made(transport)
        if len(self.connections) > self.params.max_connections:
            transport.write(_REFUSAL)
            transport.close()
        else:
            self._request_clock.start(self)

    def handle_events(self) -> None:
        """As uvicorn does; stop the clock when the request is here as a whole."""
        super().handle_events()
        if self.conn.their_state is not h11.SEND_BODY and self.conn.their_state is not h11.IDLE:
            self._request_clock.stop()

    def on_response_complete(self) -> None:
        """Start the clock of the next request."""
        self._request_clock.start(self)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client reads too slowly: start the clock of the answer."""
        super().pause_writing()
        self._answer_clock.start(self)

    def resume_writing(self) -> None:
        """It read."""
        super().resume_writing()
        self._answer_clock.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._request_clock.stop()
        self._answer_clock.stop()
        super().connection_lost(exc)


class Clock:
    """Closes a connection after `max_request_s`, unless it is stopped before."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def start(self, connection: BoundedConnection) -> None:
        """Count from now on."""
        self.stop()
        self._timer = connection.loop.call_later(connection.params.max_request_s, connection.transport.abort)

    def stop(self) -> None:
        """Count no more."""
        if self._timer is not None:
            self._timer.cancel()
