"""Several processes that serve on one socket."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import signal
import socket
import threading
import time
from collections import deque
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import uvicorn

from manynets.errors import WorkerError
from manynets.serve.ending import STARTUP_FAILED, run_server

FACTORY = "manynets.serve.app:from_environment"
LOOK_SECONDS = 0.2
MOST_ENDS, END_SECONDS = 5, 300.0
"""The server ends where its workers end so often, each of them, in so many seconds: what ends them would end the next ones too."""
_CONTEXT = multiprocessing.get_context("spawn")


def run_workers(count: int, options: dict[str, Any]) -> int:
    """Serve with this many processes and replace those that end by themselves; return the signal, SIGTERM or that of Ctrl-C, that ended it.

    Errors: WorkerError where one after the other ends.
    """
    listening = uvicorn.Config(FACTORY, factory=True, **options).bind_socket()
    workers: list[tuple[SpawnProcess, Connection]] = []
    came, ends = list[int](), deque[float](maxlen=MOST_ENDS * count)
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, lambda number, _: came.append(number)))
        stack.callback(_end, listening, workers)
        while not came:
            codes = [process.exitcode for process, _ in workers if process.exitcode is not None]
            if STARTUP_FAILED in codes:
                raise SystemExit(STARTUP_FAILED)  # the worker has printed why
            ends += [time.monotonic()] * len(codes)
            if codes and len(ends) == ends.maxlen and ends[-1] - ends[0] < END_SECONDS:
                killed = " (killed, perhaps as memory ran out: try fewer --workers)" if codes[-1] == -signal.SIGKILL else ""
                raise WorkerError(
                    f"workers ended {len(ends)} times in {ends[-1] - ends[0]:.0f} s, the last with exit code {codes[-1]}{killed}"
                )
            workers[:] = [found for found in workers if found[0].exitcode is None]
            workers += [_started(listening, options) for _ in range(count - len(workers))]
            multiprocessing.connection.wait([process.sentinel for process, _ in workers], LOOK_SECONDS)
    return came[0]


def _end(listening: socket.socket, workers: list[tuple[SpawnProcess, Connection]]) -> None:
    listening.close()  # or those who connect after the workers have closed it would wait for nobody
    for _, lifeline in workers:
        lifeline.close()
    for process, _ in workers:
        process.join()


def _started(listening: socket.socket, options: dict[str, Any]) -> tuple[SpawnProcess, Connection]:
    """Return a process that serves, and the pipe whose end ends it."""
    theirs, ours = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_work, args=(listening, options, theirs))
    process.start()
    theirs.close()
    return process, ours


def _work(listening: socket.socket, options: dict[str, Any], lifeline: Connection) -> None:
    """Serve until a signal, or until the parent closes its end of the pipe, as it also does when it dies."""

    def wait() -> None:
        multiprocessing.connection.wait([lifeline])
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        run_server(uvicorn.Config(FACTORY, factory=True, **options), [listening])
