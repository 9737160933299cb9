"""Access to the server: Host and Origin, against web pages that try to reach a server on the user's own machine, and a bearer token."""

from __future__ import annotations

import hmac

from manynets.serve.asgi import App, Header, Receive, Scope, Send, send_json, with_headers
from manynets.serve.origin import host_name, page_refusal
from manynets.serve.pages import PAGES
from manynets.serve.settings import ServeSettings, is_loopback

OPEN = ("/healthz", "/readyz", *PAGES)
"""Paths that need no token: they say nothing about a model."""
SECURITY: list[Header] = [
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
        send = with_headers(send, SECURITY)
        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, send)
            return
        status, message = refused
        challenge = [(b"www-authenticate", b"Bearer")] if status == 401 else []
        await send_json(send, status, {"error": {"message": message}}, challenge)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and message for a request that is refused."""
        remedy = "; start it with --allowed-host to allow it"
        refused = page_refusal(scope, known=lambda host: self._any_host or host_name(host) in self._hosts, remedy=remedy)
        if refused is not None:
            return refused
        token = self._settings.token
        if token and scope["path"] not in OPEN:
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(given, b"Bearer " + token.encode()):
                return 401, "send the token of this server as 'Authorization: Bearer TOKEN'"
        return None
