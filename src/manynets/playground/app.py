"""The routes of the playground, and starting its server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable
from importlib import resources
from typing import Any
from urllib.parse import unquote

import torch
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from manynets.errors import ManynetsError, OptionError
from manynets.playground.files import MOST_BYTES, Files
from manynets.playground.guard import PageGuard
from manynets.playground.messages import MOST_MESSAGE
from manynets.playground.options import option_table
from manynets.playground.session import PageGone, PageSession
from manynets.playground.setup import IMAGES, MOST_NETWORKS, TOYS, PlaygroundSetup
from manynets.playground.terms import TERMS
from manynets.runs import plain_json
from manynets.serve.asgi import head_as_get
from manynets.serve.pages import KINDS, add_files
from manynets.serve.running import port_of

LOG = logging.getLogger("manynets.playground")
MOST_PAGES = 8
"""Pages that may be open at a time; each has a training."""
PING_SECONDS, PONG_SECONDS, UPLOAD_SECONDS = 1.0, 4.0, 60


def create_playground(files: Files, *, port: int, token: str = "", target: str = "") -> PageGuard:
    """Return the ASGI application. files: the tables that pages may use; target: the target of the table named on the command line."""
    torch.set_num_threads(1)  # the trainings share the cores
    sessions: dict[str, PageSession] = {}

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        for session in list(sessions.values()):
            session.close()

    app = FastAPI(
        title="manynets playground", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    folder = resources.files("manynets.playground").joinpath("page")
    of_page = {f"/{file.name}": file for file in folder.iterdir() if file.name.rpartition(".")[2] in KINDS}
    add_files(app, {"/": folder.joinpath("index.html")} | of_page)
    _add_data(app, files, sessions, target)
    _add_socket(app, files, sessions)

    @app.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> JSONResponse:
        LOG.error("a request failed", exc_info=error)
        return JSONResponse({"message": "the server failed; its log says why"}, status_code=500)

    return PageGuard(head_as_get(app), port=port, token=token)


def _add_data(app: FastAPI, files: Files, sessions: dict[str, PageSession], target: str) -> None:
    @app.get("/about")
    async def about() -> JSONResponse:
        from manynets import datasets

        here = [one.name for one in datasets.describe() if one.here]
        first = None
        if files.first:
            first = {"file": files.first, "target": target, "about": await asyncio.to_thread(files.get(files.first).about)}
        found = {
            "options": option_table(), "toys": list(TOYS), "terms": list(TERMS), "first": first, "defaults": PlaygroundSetup().to_json(),
            "images": [name for name in IMAGES if name in here], "most_networks": MOST_NETWORKS,
        }  # fmt: skip
        return JSONResponse(plain_json(found))

    @app.post("/upload")
    async def upload(request: Request) -> JSONResponse:
        name = unquote(request.headers.get("x-file-name", ""))
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                content = await _body(request)
            key = await asyncio.to_thread(files.add, name, content)
            return JSONResponse(plain_json({"file": key, "about": await asyncio.to_thread(files.get(key).about)}))
        except ManynetsError as error:
            return JSONResponse({"message": str(error)}, status_code=422)
        except (TimeoutError, ClientDisconnect):
            return JSONResponse({"message": "the file did not arrive"}, status_code=408)

    @app.get("/picture/{page}")
    async def picture(page: str) -> Response:
        session = sessions.get(page)
        try:
            if session is None:
                raise OptionError("this page has no training")
            return Response(await session.picture(), media_type="image/gif")
        except ManynetsError as error:
            return JSONResponse({"message": str(error)}, status_code=422)


async def _body(request: Request) -> bytes:
    too_long = OptionError(
        f"the file is larger than {MOST_BYTES >> 20} MB; train on it with manynets train, which has no such limit"
    )
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MOST_BYTES:
        raise too_long
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise too_long
        parts.append(part)
    return b"".join(parts)


def _add_socket(app: FastAPI, files: Files, sessions: dict[str, PageSession]) -> None:
    @app.websocket("/live")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        if len(sessions) >= MOST_PAGES:
            await socket.send_text(
                json.dumps({"type": "full", "message": f"{MOST_PAGES} pages are open already; close one of them"})
            )
            await socket.close(1013)
            return
        key = f"p{id(socket):x}"

        async def send(message: str | bytes) -> None:
            try:
                await (socket.send_text(message) if isinstance(message, str) else socket.send_bytes(message))
            except (RuntimeError, WebSocketDisconnect):
                raise PageGone from None

        session = sessions[key] = PageSession(files, send)
        frames, work = asyncio.create_task(session.send_frames()), asyncio.create_task(session.work())
        try:
            await send(json.dumps({"type": "page", "page": key}))
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await session.put(message.get("text") or "")
        except PageGone:
            return
        finally:
            frames.cancel()
            session.close()
            try:
                await work  # which may still be preparing a training, and then ends it
            finally:
                del sessions[key]


# ----------------------------------------------------------------------------------------------------------------------- start


def free_port(port: int) -> int:
    """Return this port, or for 0 any free one, of 127.0.0.1. Errors: OptionError where it cannot be listened on."""
    if not 0 <= port <= 65535:
        raise OptionError(f"port is {port}, but must be from 0 (any free one) to 65535")
    return port_of("127.0.0.1", port, remedy="give another --port, or 0 for any free one")


def run_playground(files: Files, *, port: int, target: str = "", browser: bool = True, tell: Callable[[str], None] = print) -> None:
    """Serve the playground on this machine until Ctrl-C. tell: called with the address of the page."""
    import uvicorn
    from uvicorn.config import WS_PROTOCOLS

    from manynets.serve.ending import run_server

    own = "websockets-sansio"  # which the older versions of uvicorn lack
    app = create_playground(files, port=port, target=target)
    address = f"http://127.0.0.1:{port}/?token={app.token}"
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", access_log=False, server_header=False, date_header=False, ws=own if own in WS_PROTOCOLS else "auto",
        ws_max_size=MOST_MESSAGE, ws_ping_interval=PING_SECONDS, ws_ping_timeout=PONG_SECONDS, timeout_graceful_shutdown=2,
        ws_per_message_deflate=False, limit_concurrency=64,
    )  # fmt: skip
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(128)  # a browser that comes before the server has started waits
        tell(address)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        run_server(config, [listening])
