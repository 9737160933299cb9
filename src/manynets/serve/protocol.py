"""uvicorn's HTTP protocol, which also ends a connection that sends no whole header."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HEADER_SECONDS", "PatientProtocol"]

HEADER_SECONDS = 10.0
"""How long a connection may take until its first request is there."""


class PatientProtocol(HttpToolsProtocol):
    """Ends a connection whose first header takes too long."""

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the header."""
        super().connection_made(transport)
        asyncio.get_running_loop().call_later(HEADER_SECONDS, self._end_if_silent)

    def _end_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()
