"""The routes of the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any

import torch
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from manynets import __version__
from manynets.serve.asgi import head_as_get
from manynets.serve.batching import Batcher
from manynets.serve.guard import Guard
from manynets.serve.metrics import ServeMetrics
from manynets.serve.predicting import BodyBytes, PredictRoute, PredictRoutes
from manynets.serve.schema import description_of, operation_of
from manynets.serve.served import ServedModel
from manynets.serve.settings import ServeSettings

LOG = logging.getLogger("manynets.serve")
SETTINGS = "MANYNETS_SERVE"
"""The environment variable that holds the settings for a worker process."""
RELOAD_SECONDS = 1.0
PAGES = {
    "/": ("page.html", "text/html"),
    "/docs": ("api.html", "text/html"),
    "/common.js": ("common.js", "text/javascript"),
    "/form.js": ("form.js", "text/javascript"),
    "/api.js": ("api.js", "text/javascript"),
    "/form.css": ("form.css", "text/css"),
}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def from_environment() -> Any:
    """Return the application of a worker process."""
    return create_app(ServeSettings.from_json(os.environ[SETTINGS]))


def create_app(settings: ServeSettings) -> Any:
    """Return the ASGI application that serves these models. Errors: those of `manynets.load` for a model that cannot be read."""
    torch.set_num_threads(1)  # the workers share the cores
    served = {name: ServedModel(name, path) for name, path in settings.models.items()}
    batchers = {name: Batcher(most=settings.queue) for name in served}
    metrics = ServeMetrics()

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[dict[str, Any]]:
        watching = asyncio.create_task(_watch(served, metrics))
        yield {"body_seconds": settings.timeout + 5}  # for PatientProtocol: later than the error that this server sends
        watching.cancel()
        for batcher in batchers.values():
            batcher.close()

    app: Any = FastAPI(title="manynets", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    _add_pages(app, served, metrics)
    _add_models(app, served)
    _add_errors(app)
    bodies = BodyBytes()
    routes = {
        predict_path(name): PredictRoute(model, batchers[name], settings, metrics=metrics, bodies=bodies)
        for name, model in served.items()
    }
    return Guard(PredictRoutes(head_as_get(app), routes), settings)


def predict_path(name: str) -> str:
    """Return the path to which the rows for a model are sent."""
    return f"/v1/models/{name}:predict"


async def _watch(served: dict[str, ServedModel], metrics: ServeMetrics) -> None:
    """Load the models again whose files have changed."""
    while True:
        await asyncio.sleep(RELOAD_SECONDS)
        for name, model in served.items():
            try:
                if await asyncio.to_thread(model.reload):
                    metrics.reloads.labels(name).inc()
            except Exception:  # the old model stays; the log says what went wrong
                LOG.exception("%s: looking for a changed file failed", name)


def _add_pages(app: Any, served: dict[str, ServedModel], metrics: ServeMetrics) -> None:
    texts = {
        path: resources.files("manynets.serve").joinpath(file).read_text(encoding="utf-8") for path, (file, _) in PAGES.items()
    }

    def page(path: str) -> Any:
        async def show() -> Response:
            return Response(texts[path], media_type=PAGES[path][1], headers={"content-security-policy": POLICY})

        return show

    for path in PAGES:
        app.add_api_route(path, page(path), methods=["GET"], include_in_schema=False)

    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def ready() -> JSONResponse:
        return JSONResponse({"status": "ready", "models": len(served)})

    async def numbers() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    async def models() -> JSONResponse:
        return JSONResponse({"models": [{"name": name, "version": model.loaded.version} for name, model in served.items()]})

    app.add_api_route("/healthz", health, methods=["GET"], summary="Whether the server runs")
    app.add_api_route("/readyz", ready, methods=["GET"], summary="Whether the models are loaded")
    app.add_api_route("/metrics", numbers, methods=["GET"], summary="Numbers for Prometheus", response_class=PlainTextResponse)
    app.add_api_route("/v1/models", models, methods=["GET"], summary="The models and their versions")


def _add_models(app: Any, served: dict[str, ServedModel]) -> None:
    """Add the descriptions of the models, and to the OpenAPI document the predictions, which `PredictRoutes` answers."""

    def description(name: str) -> Any:
        async def describe() -> JSONResponse:
            return JSONResponse(description_of(served[name].loaded, name))

        return describe

    async def unknown(name: str) -> JSONResponse:
        message = f"there is no model {name.removesuffix(':predict')[:64]!r}; GET /v1/models lists those that there are"
        return JSONResponse({"error": {"message": message}}, status_code=404)

    for name in served:
        app.add_api_route(f"/v1/models/{name}", description(name), methods=["GET"], summary=f"The columns of {name}")
    app.add_api_route("/v1/models/{name}", unknown, methods=["GET", "POST"], include_in_schema=False)
    plain = app.openapi

    def document() -> dict[str, Any]:
        found: dict[str, Any] = plain()
        for name, model in served.items():
            found["paths"][predict_path(name)] = {"post": operation_of(model.loaded.model, name)}
        return found

    app.openapi = document


def _add_errors(app: Any) -> None:
    async def known(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": {"message": str(error.detail)}}, status_code=error.status_code, headers=error.headers)

    async def unknown(_: Request, error: Exception) -> JSONResponse:
        LOG.error("a request failed", exc_info=error)
        return JSONResponse({"error": {"message": "the server failed; its log says why"}}, status_code=500)

    app.add_exception_handler(HTTPException, known)
    app.add_exception_handler(Exception, unknown)
