"""uvicorn's HTTP protocol, which also disconnects clients that send or read too slowly, or send endless headers."""

from __future__ import annotations

import asyncio
import collections
import selectors
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from manynets.serve.ending import ENDING

HEADER_SECONDS = 10.0
"""How long the header of a request may take."""
BODY_SECONDS = 35.0
"""How long its body may take, where the application does not say."""
READ_SECONDS = 30.0
"""How long a client may leave an answer unread."""
PARTING_SECONDS = 1.0
"""How long a server that ends still waits for a request on a connection that it has not said to close."""
UNREAD_SECONDS = 0.01
"""How soon to look again at a connection on which something has arrived that is not read yet."""
MOST_HEADER_BYTES = 1 << 16
CLOSE = (b"connection", b"close")


class PatientProtocol(HttpToolsProtocol):
    """Ends a connection whose request does not arrive in time, whose header is too long, or whose answer is not read.

    When the server ends, answers say `connection: close`, and a connection without a request is closed after a moment. HTTP promises no
    more: a request that reached the server is answered, one that crosses the closing on its way is not, and the client may send it again.
    """

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the header."""
        super().connection_made(transport)
        self._in_header, self._in_request, self._header_bytes = True, False, 0
        self._cycles: collections.deque[Any] = collections.deque()
        self._unread = 0
        self._reading: asyncio.TimerHandle | None = None
        self._waiting: asyncio.TimerHandle | None = self.loop.call_later(HEADER_SECONDS, self._end)
        if self.app_state.get(ENDING):
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        if self._in_header:
            self._header_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            self._stop_waiting()
        elif self._in_header and self._header_bytes > MOST_HEADER_BYTES:
            self.send_400_response("The header is too long.")
        elif self._waiting is None and (self._in_request or self._header_bytes):
            seconds = HEADER_SECONDS if self._in_header else self.app_state.get("body_seconds", BODY_SECONDS)
            self._waiting = self.loop.call_later(seconds, self._end)
        elif self._idle():  # the rest of a request that has had its answer
            self._wait_for_request()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_header, self._in_request = True, True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or after the body a trailer."""
        if not self._in_header:
            self._header_bytes += len(name) + len(value)
            if self._header_bytes > MOST_HEADER_BYTES:
                raise ValueError("the trailers are too long")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the header."""
        self._in_header = False
        self._header_bytes = 0
        self._stop_waiting()
        super().on_headers_complete()
        self._cycles.append(self.cycle)
        if self.app_state.get(ENDING):
            _close_after(self.cycle)

    def on_response_complete(self) -> None:
        """Begin the next request, if it is there."""
        self._cycles.popleft()
        super().on_response_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_header, self._in_request, self._header_bytes = True, False, 0
        self._stop_waiting()
        super().on_message_complete()

    def shutdown(self) -> None:
        """Let the connection end after its next answer, or where no request comes for a moment."""
        self.timeout_keep_alive = PARTING_SECONDS  # type: ignore[assignment]
        if self._cycles and not self._cycles[-1].response_started:
            _close_after(self._cycles[-1])
        elif self._idle():
            self._wait_for_request()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, unless something has arrived that is not read yet."""
        if not self.transport.is_closing() and self._is_unread():
            self.timeout_keep_alive_task = self.loop.call_later(UNREAD_SECONDS, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection."""
        self._stop_waiting()
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)
        for cycle in self._cycles:  # of which uvicorn knows the last one only
            cycle.disconnected = True
            cycle.message_event.set()
        self._cycles.clear()
        self.pipeline.clear()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(READ_SECONDS, self._end_if_unread)

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _idle(self) -> bool:
        """Return whether no request has begun."""
        return not (self._in_request or self._header_bytes or self._cycles)

    def _wait_for_request(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _is_unread(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self.transport.get_extra_info("socket"), selectors.EVENT_READ)
            return bool(selector.select(0))

    def _end_if_unread(self) -> None:
        unread = self.transport.get_write_buffer_size()
        if unread > self._unread - MOST_HEADER_BYTES:
            self.transport.abort()
            return
        self._unread = unread
        self._reading = self.loop.call_later(READ_SECONDS, self._end_if_unread)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _end(self) -> None:
        self._waiting = None
        if not self.transport.is_closing():
            self.transport.close()


def _close_after(cycle: Any) -> None:
    """Let a connection end after an answer that says so, which uvicorn before 0.53 does not do by itself."""
    cycle.keep_alive = False
    cycle.default_headers = [*cycle.default_headers, CLOSE]
