"""Serving in this process until a signal, and ending without losing a request that has arrived."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn

ENDING = "ending"
"""The key in the state of the application that tells `PatientProtocol` that the server ends."""
STARTUP_FAILED = 3
"""The exit status where uvicorn could not start."""
HANDSHAKE_SECONDS = 5.0
"""How long the TLS handshake may take with those that were accepted last."""


def run_server(config: Any, sockets: list[socket.socket] | None = None) -> None:
    """Serve with uvicorn in this process until SIGTERM or Ctrl-C, which has its usual effect once the server has ended.

    uvicorn itself raises the signal again while its event loop still runs, where a second signal would interrupt the closing of the loop.
    """
    server, came = PatientServer(config), list[int]()

    def end(number: int, _frame: object) -> None:
        came.append(number)
        server.should_exit = True

    def wanted(_record: logging.LogRecord) -> bool:
        return not server.force_exit  # a second Ctrl-C cancels what still runs, which is no error

    with contextlib.ExitStack() as stack:
        log = logging.getLogger("uvicorn.error")
        log.addFilter(wanted)
        stack.callback(log.removeFilter, wanted)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.callback(signal.signal, number, signal.signal(number, end))
        server.run(sockets)
    if came:
        signal.raise_signal(came[0])
    if not server.started:
        raise SystemExit(STARTUP_FAILED)  # uvicorn has printed why


class PatientServer(uvicorn.Server):
    """Accepts, before it closes the sockets on which it listens, all who have connected to them: their requests may have arrived too."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the server."""
        self.lifespan.state[ENDING] = True
        own = [socket.fromfd(found.fileno(), found.family, found.type) for server in self.servers for found in server.sockets or ()]
        for server in self.servers:
            server.close()  # while `own` keeps the sockets open
        opening = [asyncio.create_task(self._open(found)) for listening in own for found in self._last(listening)]
        if opening:
            await asyncio.wait(opening, timeout=HANDSHAKE_SECONDS)
        await super().shutdown(sockets)

    def _last(self, listening: socket.socket) -> list[socket.socket]:
        """Return the connections that wait to be accepted, and close the socket at once: one that comes in between is reset."""
        with listening:
            listening.setblocking(False)
            return list(itertools.islice(_accepted(listening), self.config.backlog))

    async def _open(self, connection: socket.socket) -> None:
        config, loop = self.config, asyncio.get_running_loop()

        def protocol() -> Any:
            kind: Any = config.http_protocol_class
            return kind(config=config, server_state=self.server_state, app_state=self.lifespan.state, _loop=loop)

        connection.setblocking(False)
        with contextlib.suppress(OSError):  # it has gone, or its handshake failed
            await loop.connect_accepted_socket(protocol, connection, ssl=config.ssl)


def _accepted(listening: socket.socket) -> Iterator[socket.socket]:
    with contextlib.suppress(OSError):  # above all that none waits
        while True:
            yield listening.accept()[0]
