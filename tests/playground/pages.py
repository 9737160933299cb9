"""A client that behaves as the page does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient

from manynets.playground.app import create_playground
from manynets.playground.files import Files
from manynets.playground.frames import unpack

PORT = 8123
ADDRESS = f"http://127.0.0.1:{PORT}"


class Page:
    """An open WebSocket."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.key = json.loads(socket.receive_text())["page"]

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send_text(json.dumps({"type": kind, **fields}))

    def receive(self, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the next message of a kind, text or binary."""
        while True:
            message = self.socket.receive()
            if message.get("text") is not None:
                found, arrays = json.loads(message["text"]), {}
                found["kind"] = found["type"]
            else:
                found, arrays = unpack(message["bytes"])
            if found["kind"] == "frame":
                self.send("seen", frame=found["frame"])
            if found["kind"] == kind:
                return found, arrays
            assert found["kind"] in ("frame", "page"), found

    def begin(self, **setup: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Send a setup; return the message about its data."""
        self.send("setup", setup=setup)
        return self.receive("data")

    def until(self, done: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the first frame whose header fits."""
        while True:
            header, arrays = self.receive("frame")
            if done(header):
                return header, arrays

    def code(self, language: str) -> str:
        self.send("code", language=language)
        return str(self.receive("code")[0]["text"])


def browser(files: Files | None = None, *, known: bool = True) -> tuple[TestClient, Any]:
    """Return a client and the application; known: it has redeemed the token."""
    app = create_playground(Files() if files is None else files, port=PORT)
    client = TestClient(app, base_url=ADDRESS, follow_redirects=False, raise_server_exceptions=False)
    if known:
        assert client.get("/", params={"token": app.token}).status_code == 303
    return client, app


@contextmanager
def opened(client: TestClient, *, origin: str = ADDRESS, host: str = f"127.0.0.1:{PORT}") -> Iterator[Page]:
    with client.websocket_connect(f"ws://{host}/live", headers={"origin": origin}) as socket:
        yield Page(socket)
