"""The routes of the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any

import torch
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

import manynets
from manynets.serve.batching import Batcher
from manynets.serve.guard import Guard
from manynets.serve.metrics import ServeMetrics
from manynets.serve.rows import BadRequest
from manynets.serve.schema import description_of, openapi_of
from manynets.serve.served import ServedModel
from manynets.serve.settings import ServeSettings

__all__ = ["SETTINGS", "create_app", "from_environment"]

LOG = logging.getLogger("manynets.serve")
SETTINGS = "MANYNETS_SERVE"
"""The environment variable that holds the settings for a worker process."""
RELOAD_SECONDS = 1.0
PAGES = {"/": ("page.html", "text/html"), "/form.js": ("form.js", "text/javascript"), "/form.css": ("form.css", "text/css")}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def from_environment() -> Any:
    """Return the application of a worker process."""
    return create_app(ServeSettings.from_json(os.environ[SETTINGS]))


def create_app(settings: ServeSettings) -> Any:
    """Return the ASGI application that serves these models. Errors: those of `manynets.load` for a model that cannot be read."""
    torch.set_num_threads(1)  # the workers share the cores
    served = {name: ServedModel(name, path) for name, path in settings.models.items()}
    batchers = {name: Batcher(model.predict, most=settings.queue) for name, model in served.items()}
    metrics = ServeMetrics()

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        watching = asyncio.create_task(_watch(served, metrics))
        yield
        watching.cancel()
        for batcher in batchers.values():
            batcher.close()

    app: Any = FastAPI(title="manynets", version=manynets.__version__, lifespan=lifespan, redoc_url=None)
    _add_pages(app, served, metrics)
    for name, model in served.items():
        _add_model(app, model, batchers[name], settings, metrics)
    _add_errors(app)
    return Guard(app, settings)


async def _watch(served: dict[str, ServedModel], metrics: ServeMetrics) -> None:
    """Look for changed files."""
    while True:
        await asyncio.sleep(RELOAD_SECONDS)
        for name, model in served.items():
            try:
                if await asyncio.to_thread(model.reload):
                    metrics.reloads.labels(name).inc()
            except Exception:  # the old model stays; what went wrong is for the log
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
        return JSONResponse({"models": [{"name": name, "version": model.version} for name, model in served.items()]})

    app.add_api_route("/healthz", health, methods=["GET"], summary="Whether the server runs")
    app.add_api_route("/readyz", ready, methods=["GET"], summary="Whether the models are loaded")
    app.add_api_route("/metrics", numbers, methods=["GET"], summary="Numbers for Prometheus")
    app.add_api_route("/v1/models", models, methods=["GET"], summary="The models and their versions")


def _add_model(app: Any, model: ServedModel, batcher: Batcher, settings: ServeSettings, metrics: ServeMetrics) -> None:
    name = model.name
    seconds, counted = metrics.seconds.labels(name), metrics.rows.labels(name)
    answered = metrics.requests.labels(name, "200")

    async def describe() -> JSONResponse:
        return JSONResponse(description_of(model.model, name, model.version))

    async def predict(request: Request) -> Response:
        began = time.perf_counter()
        try:
            body = await _body(request, settings)
            served, version = model.model, model.version
            rows = model.rows(body, request.headers.get("content-type", "application/json"), most=settings.max_rows)
            async with asyncio.timeout(settings.timeout):
                answer = await batcher.answer(rows)
        except TimeoutError:
            metrics.requests.labels(name, "503").inc()
            return _refusal(BadRequest(503, f"there was no answer within {settings.timeout:g} seconds; try again"))
        except BadRequest as error:
            metrics.requests.labels(name, str(error.status)).inc()
            return _refusal(error)
        result: dict[str, Any] = {"model": name, "version": version, "predictions": answer.predictions}
        if answer.probabilities is not None:
            result |= {"probabilities": answer.probabilities, "classes": list(getattr(served.task, "classes", [])) or None}
        if rows.ignored:
            result["ignored_columns"] = rows.ignored
        answered.inc()
        counted.inc(rows.count)
        seconds.observe(time.perf_counter() - began)
        return Response(json.dumps(result, allow_nan=False), media_type="application/json")

    app.add_api_route(f"/v1/models/{name}", describe, methods=["GET"], summary=f"The columns of {name}")
    about = openapi_of(model.model)
    app.add_api_route(
        f"/v1/models/{name}:predict", predict, methods=["POST"], summary=f"Predict with {name}", operation_id=f"predict_{name}",
        openapi_extra=about, responses={200: about["responses"]["200"]},
    )  # fmt: skip


async def _body(request: Request, settings: ServeSettings) -> bytes:
    """Return the body of a request. Errors: BadRequest for one that is too long or comes too slowly."""
    too_long = BadRequest(413, f"the body is larger than {settings.max_bytes:,} bytes")
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > settings.max_bytes:
        raise too_long
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.timeout):
            async for part in request.stream():
                size += len(part)
                if size > settings.max_bytes:
                    raise too_long
                parts.append(part)
    except TimeoutError:
        raise BadRequest(408, f"the body did not arrive within {settings.timeout:g} seconds") from None
    return b"".join(parts)


def _refusal(error: BadRequest) -> Response:
    headers = {"retry-after": "1"} if error.status == 503 else {}
    if error.status in (408, 413):
        headers["connection"] = "close"  # the rest of the body is not read
    return JSONResponse(error.to_json(), status_code=error.status, headers=headers)


def _add_errors(app: Any) -> None:
    from starlette.exceptions import HTTPException

    async def known(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": {"message": str(error.detail)}}, status_code=error.status_code, headers=error.headers)

    async def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return JSONResponse({"error": {"message": "the client has gone"}}, status_code=400)

    async def unknown(_: Request, error: Exception) -> JSONResponse:
        LOG.error("a request failed", exc_info=error)
        return JSONResponse({"error": {"message": "the server failed; its log says why"}}, status_code=500)

    app.add_exception_handler(HTTPException, known)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unknown)
