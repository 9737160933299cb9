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
from manynets.serve.pages import PAGES, add_files
from manynets.serve.predicting import BodyBytes, PredictRoute, PredictRoutes
from manynets.serve.schema import description_of, operation_of
from manynets.serve.served import ServedModel
from manynets.serve.settings import ServeSettings

LOG = logging.getLogger("manynets.serve")
SETTINGS = "MANYNETS_SERVE"
"""The environment variable that holds the settings for a worker process."""
RELOAD_SECONDS = 1.0
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

    app = FastAPI(title="manynets", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
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


def _add_pages(app: FastAPI, served: dict[str, ServedModel], metrics: ServeMetrics) -> None:
    folder = resources.files("manynets.serve")
    add_files(app, {path: folder.joinpath(name) for path, name in PAGES.items()}, {"content-security-policy": POLICY})

    @app.get("/healthz", summary="Whether the server runs")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", summary="Whether the models are loaded")
    async def ready() -> JSONResponse:
        return JSONResponse({"status": "ready", "models": len(served)})

    @app.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse)
    async def numbers() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models", summary="The models and their versions")
    async def models() -> JSONResponse:
        return JSONResponse({"models": [{"name": name, "version": model.loaded.version} for name, model in served.items()]})


def _add_models(app: FastAPI, served: dict[str, ServedModel]) -> None:
    """Add the descriptions of the models, and to the OpenAPI document the predictions, which `PredictRoutes` answers."""

    def description(name: str) -> Any:
        async def describe() -> JSONResponse:
            return JSONResponse(description_of(served[name].loaded, name))

        return describe

    for name in served:
        app.add_api_route(f"/v1/models/{name}", description(name), methods=["GET"], summary=f"The columns of {name}")

    @app.api_route("/v1/models/{name}", methods=["GET", "POST"], include_in_schema=False)
    async def unknown(name: str) -> JSONResponse:
        message = f"there is no model {name.removesuffix(':predict')[:64]!r}; GET /v1/models lists those that there are"
        return JSONResponse({"error": {"message": message}}, status_code=404)

    plain = app.openapi

    def document() -> dict[str, Any]:
        found = plain()
        for name, model in served.items():
            found["paths"][predict_path(name)] = {"post": operation_of(model.loaded.model, name)}
        return found

    app.openapi = document  # type: ignore[method-assign]


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def known(request: Request, error: HTTPException) -> JSONResponse:
        message = str(error.detail)
        if error.status_code == 404:
            path = request.url.path
            hint = "leave out the slash at its end" if path.endswith("/") else "GET /openapi.json lists the paths"
            message = f"there is nothing at {path[:64]!r}; {hint}"
        return JSONResponse({"error": {"message": message}}, status_code=error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> JSONResponse:
        LOG.error("a request failed", exc_info=error)
        return JSONResponse({"error": {"message": "the server failed; its log says why"}}, status_code=500)
