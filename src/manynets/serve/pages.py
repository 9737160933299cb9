"""The files of web pages, here and in the playground: read once, and served by their paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources.abc import Traversable
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
PAGES = {
    "/": "page.html",
    "/docs": "api.html",
    "/common.js": "common.js",
    "/form.js": "form.js",
    "/api.js": "api.js",
    "/form.css": "form.css",
}
"""The files of the form and of the page about the API."""


def add_files(app: FastAPI, files: Mapping[str, Traversable], headers: Mapping[str, str] | None = None) -> None:
    """Serve files by their paths. They are read now, so that a request can name no others."""

    def show(file: Traversable) -> Callable[[], Any]:
        content, kind = file.read_bytes(), KINDS[file.name.rpartition(".")[2]]

        async def answer() -> Response:
            return Response(content, media_type=kind, headers=headers)

        return answer

    for path, file in files.items():
        app.add_api_route(path, show(file), methods=["GET"], include_in_schema=False)
