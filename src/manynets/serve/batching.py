"""Requests that arrive together become one prediction.

While one prediction runs, requests wait in a queue; the next prediction takes all that wait, up to a number of rows. So a lone request
does not wait, and many at once share the cost of one matrix product.
"""

from __future__ import annotations

import asyncio
import collections
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from manynets.serve.rows import BadRequest
from manynets.serve.served import Answer, Question, Reply, answers, quick_answers

ROWS_AT_ONCE = 4096
MOST_EXPLANATIONS = 16
Result = TypeVar("Result")


class Batcher:
    """The predictions of one model, one after the other; long ones in a thread. most: rows that may wait."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._waiting: collections.deque[tuple[Question, asyncio.Future[Reply]]] = collections.deque()
        self.rows_waiting = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._explaining = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explain")
        self._explanations = 0
        self._task: asyncio.Task[None] | None = None

    async def answer(self, question: Question) -> Answer:
        """Return the answer to a request. Errors: BadRequest, with status 503 where too many rows wait already."""
        if self.rows_waiting and self.rows_waiting + question.count > self._most:
            raise BadRequest(503, "too many requests are waiting; try again in a second")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        self.rows_waiting += question.count
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        reply = await future
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def in_thread(self, function: Callable[[], Result]) -> Result:
        """Call a function in the thread, after the predictions that wait there, and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def explained(self, function: Callable[[], Result]) -> Result:
        """Call a function in the thread for contributions, and return its result. Errors: BadRequest where many wait for it already."""
        if self._explanations >= MOST_EXPLANATIONS:
            raise BadRequest(503, "too many requests for contributions are waiting; try again in a second")
        self._explanations += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._explaining, function)
        finally:
            self._explanations -= 1

    async def _run(self) -> None:
        """Predict until nothing waits."""
        while self._waiting:
            batch = self._next_batch()
            replies = await self._replies([question for question, _ in batch])
            for (_, future), reply in zip(batch, replies, strict=True):
                if not future.done():  # it is, where the client has gone
                    future.set_result(reply)

    async def _replies(self, questions: Sequence[Question]) -> Sequence[Reply]:
        found = quick_answers(questions)  # where changing threads would take longer
        return await self.in_thread(functools.partial(answers, questions)) if found is None else found

    def _next_batch(self) -> list[tuple[Question, asyncio.Future[Reply]]]:
        batch: list[tuple[Question, asyncio.Future[Reply]]] = []
        count = 0
        while self._waiting and (not batch or count + self._waiting[0][0].count <= ROWS_AT_ONCE):
            question, future = self._waiting.popleft()
            self.rows_waiting -= question.count
            if not future.cancelled():
                batch.append((question, future))
                count += question.count
        return batch

    def close(self) -> None:
        """Let the threads end."""
        self._thread.shutdown(wait=False)
        self._explaining.shutdown(wait=False)
