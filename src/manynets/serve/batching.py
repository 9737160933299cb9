"""Requests that arrive together become one prediction.

While one prediction runs, requests wait in a queue; the next prediction takes all that wait, up to a number of rows. So a lone request
waits for nothing, and many at once share the cost of one matrix product.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from manynets.serve.rows import BadRequest, RequestRows
from manynets.serve.served import Answer

__all__ = ["Batcher"]

ROWS_AT_ONCE = 4096
Reply = Answer | BadRequest
Predict = Callable[[Sequence[RequestRows]], Sequence[Reply]]


class Batcher:
    """Predictions of one model, one after the other in a thread. most: rows that may wait."""

    def __init__(self, predict: Predict, *, most: int) -> None:
        self._predict, self._most = predict, most
        self._waiting: collections.deque[tuple[RequestRows, asyncio.Future[Reply]]] = collections.deque()
        self.rows_waiting = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._task: asyncio.Task[None] | None = None

    async def answer(self, rows: RequestRows) -> Answer:
        """Return the answer to a request. Errors: BadRequest, with status 503 where too many rows wait already."""
        if self.rows_waiting and self.rows_waiting + rows.count > self._most:
            raise BadRequest(503, "too many requests are waiting; try again in a second")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, future))
        self.rows_waiting += rows.count
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        reply = await future
        if isinstance(reply, BadRequest):
            raise reply
        return reply

    async def _run(self) -> None:
        """Predict until nothing waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._next_batch()
            requests = [rows for rows, _ in batch]
            try:
                replies = await loop.run_in_executor(self._thread, self._predict, requests)
            except Exception as error:  # not the requests' fault; each of them gets the error, and the server goes on
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), reply in zip(batch, replies, strict=True):
                if not future.done():  # it is, where the client has gone
                    future.set_result(reply)

    def _next_batch(self) -> list[tuple[RequestRows, asyncio.Future[Reply]]]:
        batch: list[tuple[RequestRows, asyncio.Future[Reply]]] = []
        count = 0
        while self._waiting and (not batch or count + self._waiting[0][0].count <= ROWS_AT_ONCE):
            rows, future = self._waiting.popleft()
            self.rows_waiting -= rows.count
            if not future.cancelled():
                batch.append((rows, future))
                count += rows.count
        return batch

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False)
