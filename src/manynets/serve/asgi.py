"""The types of ASGI, and what is sent: JSON, further headers, and no body for HEAD."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

LARGE = 1 << 16
_ENCODER = json.JSONEncoder(allow_nan=False)


async def send_json(send: Send, status: int, value: Any, headers: Sequence[Header] = ()) -> None:
    """Send an answer."""
    body = _ENCODER.encode(value).encode()
    found = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": found})
    if len(body) > LARGE:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        body = b""  # the next message waits until the client has read
    await send({"type": "http.response.body", "body": body})


def with_headers(send: Send, headers: Sequence[Header]) -> Send:
    """Return `send` that adds headers to each answer."""

    async def send_all(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *headers]
        await send(message)

    return send_all


def head_as_get(app: App) -> App:
    """Return an application that answers HEAD as `app` answers GET, without the body."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_head(message: MutableMapping[str, Any]) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        if scope["type"] == "http" and scope["method"] == "HEAD":
            await app({**scope, "method": "GET"}, receive, send_head)
        else:
            await app(scope, receive, send)

    return answer
