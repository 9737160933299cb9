"""`POST /v1/models/NAME:predict`, answered ahead of FastAPI, whose routing and dependencies take longer than the prediction of a row."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Mapping
from typing import Any

from manynets.serve.asgi import App, Header, Receive, Scope, Send, send_json
from manynets.serve.batching import Batcher
from manynets.serve.extras import Extras, contributions_of, extras_of, limits_of, rows_to_explain
from manynets.serve.metrics import ServeMetrics
from manynets.serve.rows import BadRequest
from manynets.serve.served import Answer, Question, ServedModel
from manynets.serve.settings import ServeSettings

LOG = logging.getLogger("manynets.serve")

NO_EXTRAS = Extras()
MOST_HELD = 1 << 28
"""Bytes of all bodies that may be in memory at once."""
LARGE = 1 << 18
"""Bytes from which on a body is parsed in the thread, so that other requests need not wait for it."""


class BodyBytes:
    """Counts the bytes of the bodies of all requests in memory."""

    def __init__(self) -> None:
        self.count = 0


class BodyShare:
    """The bytes of one body, which the end of a `with` block takes from the total."""

    def __init__(self, total: BodyBytes) -> None:
        self._total, self.count = total, 0

    def add(self, count: int) -> None:
        """Count more bytes. Errors: BadRequest with status 503 where all bodies together are too large."""
        if self._total.count + count > MOST_HELD:
            raise BadRequest(503, "too many large requests are being answered; try again in a second")
        self._total.count += count
        self.count += count

    def __enter__(self) -> BodyShare:
        return self

    def __exit__(self, *_: object) -> None:
        self._total.count -= self.count


class PredictRoutes:
    """An ASGI application that answers the requests for predictions, and passes all others on to `app`. routes: by path."""

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

    def __init__(
        self, served: ServedModel, batcher: Batcher, settings: ServeSettings, *, metrics: ServeMetrics, bodies: BodyBytes
    ) -> None:
        self._served, self._batcher, self._settings, self._bodies = served, batcher, settings, bodies
        self._counts = metrics.requests
        self._seconds, self._rows = metrics.seconds.labels(served.name), metrics.rows.labels(served.name)
        self._answered = self._counts.labels(served.name, "200")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        began = time.perf_counter()
        with BodyShare(self._bodies) as share:
            try:
                result, count = await self._result(scope, receive, share)
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

    async def _result(self, scope: Scope, receive: Receive, share: BodyShare) -> tuple[dict[str, Any], int]:
        """Return the answer to a request, and its number of rows."""
        headers, settings, extras = dict(scope["headers"]), self._settings, extras_of(scope["query_string"])
        packed = headers.get(b"content-encoding", b"identity").decode("latin-1")
        if packed.strip().lower() not in ("", "identity"):
            raise BadRequest(415, f"the body is compressed (content-encoding: {packed[:40]}); send it as it is")
        body = await _body(headers, receive, settings, share=share)
        kind = headers.get(b"content-type", b"application/json").decode("latin-1")
        read = functools.partial(self._served.question, body, kind, most=settings.max_rows)
        try:
            async with asyncio.timeout(settings.timeout):
                question = read() if len(body) < LARGE else await self._batcher.in_thread(read)
                answer = await self._batcher.answer(question)
                more = {} if extras == NO_EXTRAS else await self._extras(question, answer, extras)
        except TimeoutError:
            raise BadRequest(503, f"there was no answer within {settings.timeout:g} seconds; try again") from None
        result: dict[str, Any] = {"model": self._served.name, "version": question.loaded.version, "predictions": answer.predictions}
        if answer.probabilities is not None:
            result["probabilities"] = answer.probabilities
            result["classes"] = list(getattr(question.loaded.model.task, "classes", [])) or None
        if targets := question.loaded.model.target_names:
            result["targets"] = list(targets)  # in the order of the values of a row
        if levels := getattr(question.loaded.model.task, "quantiles", ()):
            found = question.loaded.model.quantiles(answer.logits)
            result["quantiles"] = {"levels": list(levels), "values": found.tolist()}
        if question.rows.ignored:
            result["ignored_columns"] = question.rows.ignored
        return result | more, question.count

    async def _extras(self, question: Question, answer: Answer, extras: Extras) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if extras.interval is not None:
            found["interval"] = limits_of(question, answer, extras.interval)
        if extras.contributions:
            most = rows_to_explain(question.loaded)
            if question.count > most:
                raise BadRequest(
                    422,
                    f"the request asks for contributions to {question.count:,} rows, but this model gives them for at most {most:,}",
                )
            found["contributions"] = await self._batcher.explained(functools.partial(contributions_of, question))
        return found


class ClientGone(Exception):
    """The connection was closed before the whole request had arrived."""


async def _body(headers: Mapping[bytes, bytes], receive: Receive, settings: ServeSettings, *, share: BodyShare) -> bytes:
    """Return the body of a request. Errors: BadRequest for one that is too long or comes too slowly."""
    too_long = BadRequest(413, f"the body is larger than {settings.max_bytes:,} bytes")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length[:20]) > settings.max_bytes:
        raise too_long
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(settings.timeout):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                parts.append(message.get("body", b""))
                share.add(len(parts[-1]))
                if share.count > settings.max_bytes:
                    raise too_long
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise BadRequest(408, f"the body did not arrive within {settings.timeout:g} seconds") from None


def _headers_of(error: BadRequest) -> list[Header]:
    retry = [(b"retry-after", b"1")] if error.status == 503 else []
    return [*retry, (b"connection", b"close")] if error.status in (408, 413, 503) else retry  # the rest of the body is not read
