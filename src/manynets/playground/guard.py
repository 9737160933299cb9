"""Access: one browser of this machine, first with the token in the printed address, then with its cookie."""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from manynets.serve.asgi import App, Receive, Scope, Send, with_headers
from manynets.serve.guard import SECURITY
from manynets.serve.origin import host_name, host_port, page_refusal

LOOPBACK = ("127.0.0.1", "localhost", "::1")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
PAGE_SECURITY = [
    *SECURITY,
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", POLICY.encode()),
]


class PageGuard:
    """An ASGI application around the playground's. Without token or cookie nothing is answered, not even the page.

    token: the `?token=` of the printed address. It works once: the browser that sends it gets a cookie.
    """

    def __init__(self, app: App, *, port: int, token: str = "") -> None:
        self._app, self._port = app, port
        self.token = token or secrets.token_urlsafe(24)
        self._open = True  # until the token is used
        self._secret = secrets.token_urlsafe(32)
        self.cookie = f"manynets-playground-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        send = with_headers(send, PAGE_SECURITY)
        refused = self._refusal(scope)
        if refused is None and not self._known(scope):
            if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/" and self._redeems(scope):
                cookie = f"{self.cookie}={self._secret}; Path=/; HttpOnly; SameSite=Strict"
                await _reply(send, 303, "", [(b"location", b"/"), (b"set-cookie", cookie.encode())])
                return
            refused = (401, "open the address that `manynets playground` has printed; it works for one browser")
        if refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # the request to connect
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _reply(send, *refused)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and message where Host or Origin are not those of this server."""
        refused = page_refusal(scope, known=lambda host: host_name(host) in LOOPBACK and host_port(host) == str(self._port))
        if refused is None and scope["type"] == "websocket" and not any(name == b"origin" for name, _ in scope["headers"]):
            return 403, "a WebSocket needs an Origin"
        return refused

    def _known(self, scope: Scope) -> bool:
        """Whether a request has the cookie."""
        for name, value in scope["headers"]:
            if name == b"cookie":
                jar = SimpleCookie()
                try:
                    jar.load(value.decode("latin-1"))
                except CookieError:
                    continue
                if self.cookie in jar and hmac.compare_digest(jar[self.cookie].value.encode(), self._secret.encode()):
                    return True
        return False

    def _redeems(self, scope: Scope) -> bool:
        """Whether a request has the token, which then no longer works."""
        try:
            given = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=8).get("token", [""])
        except ValueError:  # more fields than the printed address has
            return False
        if not self._open or not hmac.compare_digest(given[0].encode(), self.token.encode()):
            return False
        self._open = False
        return True


async def _reply(send: Any, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    found = [(b"content-type", b"text/plain; charset=utf-8"), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": found})
    await send({"type": "http.response.body", "body": text.encode()})
