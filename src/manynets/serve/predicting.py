"""`POST /v1/models/NAME:predict`, answered ahead of FastAPI, whose routing and dependencies take longer than the prediction of a row."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from manynets.serve.asgi import App, Header, Receive, Scope, Send, send_json
from manynets.serve.batching import Batcher
from manynets.serve.metrics import ServeMetrics
from manynets.serve.rows import BadRequest
from manynets.serve.served import ServedModel
from manynets.serve.settings import ServeSettings

__all__ = ["PredictRoute", "PredictRoutes"]

LOG = logging.getLogger("manynets.serve")


class PredictRoutes:
    """An ASGI application that answers the requests for predictions, and passes the others on to another one. routes: by path."""

    def __init__(self, app: App, routes: Mapping[str, PredictRoute]) -> None:
        self._app, self._routes = app, dict(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
        elif scope["method"] != "POST":
            await send_json(send, 405, {"error": {"message": "Method Not Allowed"}}, [(b"allow", b"POST")])
        else:
            await route(scope, receive, send)


class PredictRoute:
    """The predictions of one model."""

    def __init__(self, served: ServedModel, batcher: Batcher, settings: ServeSettings, metrics: ServeMetrics) -> None:
        self._served, self._batcher, self._settings = served, batcher, settings
        self._counts = metrics.requests
        self._seconds, self._rows = metrics.seconds.labels(served.name), metrics.rows.labels(served.name)
        self._answered = self._counts.labels(served.name, "200")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        began = time.perf_counter()
        try:
            result, count = await self._result(scope, receive)
        except ClientGone:
            return
        except BadRequest as error:
            self._counts.labels(self._served.name, str(error.status)).inc()
            await send_json(send, error.status, error.to_json(), _headers_of(error))
        except Exception:
            LOG.exception("a request failed")
            self._counts.labels(self._served.name, "500").inc()
            await send_json(send, 500, {"error": {"message": "the server failed; its log says why"}})
        else:
            await send_json(send, 200, result)
            self._answered.inc()
            self._rows.inc(count)
            self._seconds.observe(time.perf_counter() - began)

    async def _result(self, scope: Scope, receive: Receive) -> tuple[dict[str, Any], int]:
        """Return the answer to a request, and its number of rows."""
        headers = dict(scope["headers"])
        body = await _body(headers, receive, self._settings)
        kind = headers.get(b"content-type", b"application/json").decode("latin-1")
        question = self._served.question(body, kind, most=self._settings.max_rows)
        try:
            async with asyncio.timeout(self._settings.timeout):
                answer = await self._batcher.answer(question)
        except TimeoutError:
            message = f"there was no answer within {self._settings.timeout:g} seconds; try again"
            raise BadRequest(503, message) from None
        result: dict[str, Any] = {"model": self._served.name, "version": question.loaded.version, "predictions": answer.predictions}
        if answer.probabilities is not None:
            result["probabilities"] = answer.probabilities
            result["classes"] = list(getattr(question.loaded.model.task, "classes", [])) or None
        if question.rows.ignored:
            result["ignored_columns"] = question.rows.ignored
        return result, question.count


class ClientGone(Exception):
    """The connection was closed before the request was there."""


async def _body(headers: Mapping[bytes, bytes], receive: Receive, settings: ServeSettings) -> bytes:
    """Return the body of a request. Errors: BadRequest for one that is too long or comes too slowly."""
    too_long = BadRequest(413, f"the body is larger than {settings.max_bytes:,} bytes")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length[:20]) > settings.max_bytes:
        raise too_long
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.timeout):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > settings.max_bytes:
                    raise too_long
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise BadRequest(408, f"the body did not arrive within {settings.timeout:g} seconds") from None


def _headers_of(error: BadRequest) -> list[Header]:
    if error.status == 503:
        return [(b"retry-after", b"1")]
    return [(b"connection", b"close")] if error.status in (408, 413) else []  # the rest of the body is not read
