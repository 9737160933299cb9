"""Who may ask: Host and Origin, against web pages that reach for a server on the reader's own machine, and a bearer token."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from manynets.serve.origin import host_name, page_refusal
from manynets.serve.settings import ServeSettings, is_loopback

__all__ = ["Guard"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/healthz", "/readyz", "/", "/form.js", "/form.css")
"""Paths that need no token: they say nothing about a model."""
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """An ASGI application around another one, which refuses requests before they reach it."""

    def __init__(self, app: App, settings: ServeSettings) -> None:
        self._app, self._settings = app, settings
        own = {settings.host, *settings.allowed_hosts}
        self._hosts = {host.lower() for host in own | ({"localhost", "127.0.0.1", "::1"} if is_loopback(settings.host) else set())}
        self._any_host = settings.host in ("0.0.0.0", "::") and not settings.allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        refused = self._refusal(scope)
        if refused is not None:
            await _answer(send, *refused)
            return

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *SECURITY]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and message for a request that is refused."""
        remedy = "; start it with --allowed-host to allow it"
        refused = page_refusal(scope, known=lambda host: self._any_host or host_name(host) in self._hosts, remedy=remedy)
        if refused is not None:
            return refused
        token = self._settings.token
        if token and scope["path"] not in OPEN:
            given = next((value for name, value in scope["headers"] if name.lower() == b"authorization"), b"")
            if not hmac.compare_digest(given, b"Bearer " + token.encode()):
                return 401, "send the token of this server as 'Authorization: Bearer TOKEN'"
        return None


async def _answer(send: Send, status: int, message: str) -> None:
    body = json.dumps({"error": {"message": message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *SECURITY]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
