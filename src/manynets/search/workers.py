"""Call a function on many inputs in other processes: those of joblib's backend, on this machine or on the workers of a cluster.

Inputs share arrays, such as the rows to train on. A shared array is sent as an argument of its own, however many inputs have it:
joblib's processes map it into their memory, and it is scattered to the workers of a dask cluster once. If a worker dies, its calls are
made again; each input has one result.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import math
import pickle
import time
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from joblib import effective_n_jobs, parallel
from numpy.typing import NDArray

from manynets.errors import WorkerError

SENT_BYTES = 1 << 24
"""Bytes of an array up to which each process is sent a copy; joblib takes a tenth of a second to remove the file of a shared one."""
LARGE = 1 << 14  # bytes from which an array is sent by itself
ATTEMPTS = 4  # in a row without a result, until an error of the workers is that of the whole
PATIENCE = 300.0  # seconds to wait for a cluster that has no worker
AHEAD = 1  # calls that a worker of a cluster is given beyond the one it makes

Array = NDArray[Any]
Packed = tuple[bytes, list[Array]]


def worker_count(n_jobs: int | None) -> int:
    """Return how many processes joblib's backend has for n_jobs (None, -1, ...: as in scikit-learn); 0 if all is done in this one.

    That is so where joblib would use threads, which would wait for each other.
    """
    backend = parallel.get_active_backend()[0]
    if _dask_client() is not None:
        return max(1, effective_n_jobs(n_jobs))
    jobs = effective_n_jobs(n_jobs)
    return 0 if jobs <= 1 or getattr(backend, "uses_threads", False) else jobs


def on_this_machine() -> bool:
    """Return whether joblib's backend is its usual one, which starts processes on this machine."""
    return type(parallel.get_active_backend()[0]).__name__ == "LokyBackend"


def run_calls(
    function: Callable[..., Any],
    inputs: Iterable[tuple[Any, ...]],
    *,
    shared: Callable[..., Iterable[Array | torch.Tensor | None]],
    n_jobs: int | None = None,
) -> Iterator[tuple[int, Any]]:
    """Yield (number of an input, function(*input)) as the calls return.

    function: of a module that the workers can import. inputs: are taken as workers get free. shared(*input): its arrays, and tensors on
    the CPU, that other inputs may have too.
    What the function raises is raised, and what `inputs` raises, once the calls before it have ended.
    Raises WorkerError if workers die, or cannot be reached, again and again.
    """
    known: dict[int, tuple[Any, Array]] = {}

    def pack(one: tuple[Any, ...]) -> Packed:
        for value in shared(*one):
            if value is not None and value.nbytes >= LARGE and id(value) not in known:
                known[id(value)] = value, value.numpy() if isinstance(value, torch.Tensor) else value
        file = io.BytesIO()
        pickler = _Pickler(file, known)
        pickler.dump(one)
        return file.getvalue(), [known[key][1] for key in pickler.used]

    errors: list[Exception] = []  # of the function and of `inputs`
    open_calls: dict[int, Packed] = {}

    def pack_all() -> Iterator[tuple[int, Packed]]:
        """Keep an error for later: joblib would lose it in one of its threads, or it would seem to be one of the workers."""
        try:
            for number, one in enumerate(inputs):
                open_calls[number] = pack(one)
                yield number, open_calls[number]
        except Exception as error:
            errors.append(error)

    client = _dask_client()
    waiting = pack_all()
    failed = 0
    while True:
        calls = itertools.chain(list(open_calls.items()), waiting)
        try:
            for number, packed in _joblib(function, calls, n_jobs) if client is None else _dask(client, function, calls):
                del open_calls[number]
                failed = 0
                result, raised = pickle.loads(packed)
                if raised is not None:
                    errors.insert(0, raised)
                    break
                yield number, result
        except Exception as error:  # of the workers
            failed += 1
            if failed == ATTEMPTS:
                raise WorkerError(f"workers failed {ATTEMPTS} times in a row, the last time with {error!r}") from error
            continue
        if errors:
            raise errors[0]
        return


# ------------------------------------------------------------------------------------------------------------------- backends


def _joblib(function: Any, calls: Iterable[tuple[int, Packed]], n_jobs: int | None) -> Iterator[tuple[int, bytes]]:
    from sklearn.utils.parallel import Parallel, delayed  # loads SciPy, which a search in this process does without

    at_once = getattr(parallel.get_active_backend()[0], "supports_return_generator", False)  # Ray's returns all at the end
    way = "generator_unordered" if at_once else "list"
    run = Parallel(n_jobs=n_jobs, return_as=way, max_nbytes=SENT_BYTES, batch_size=1)
    yield from run(delayed(call_packed)(function, number, head, *arrays) for number, (head, arrays) in calls)


def _dask_client() -> Any:
    """Return the client of joblib's backend "dask", None for another backend."""
    backend = parallel.get_active_backend()[0]
    return backend.client if type(backend).__name__ == "DaskDistributedBackend" else None


def _dask(client: Any, function: Any, calls: Iterable[tuple[int, Packed]]) -> Iterator[tuple[int, bytes]]:
    """Make calls by the client itself: joblib's backend waits for ever where a worker dies repeatedly, or with the only copy of data."""
    from distributed import as_completed

    scattered: dict[int, Any] = {}
    lost: list[BaseException] = []
    calls, counted, threads = iter(calls), -math.inf, 1

    def submit(count: int) -> list[Any]:
        futures = []
        for number, (head, arrays) in itertools.islice(calls, count):
            for array in arrays:
                if id(array) not in scattered:
                    scattered[id(array)] = client.scatter(array, hash=False)
            data = [scattered[id(array)] for array in arrays]
            futures.append(client.submit(call_packed, function, number, head, *data, pure=False))
        return futures

    def room() -> int:
        """Return how many calls may be open, by the threads of the workers there are, which are counted once a second."""
        nonlocal counted, threads
        if time.monotonic() - counted > 1.0:
            threads = max(1, sum(client.ncores().values()))
            counted = time.monotonic()
        return (1 + AHEAD) * threads

    client.wait_for_workers(1, timeout=PATIENCE)
    running = set(submit(room()))
    done: Any = as_completed(running, loop=client.loop)  # type: ignore[no-untyped-call]
    try:
        for future in done:
            running.discard(future)
            try:
                result = future.result()
            except (Exception, asyncio.CancelledError) as error:  # KilledWorker, or cancelled with the data of a worker that died
                lost.append(error)
            else:
                yield result
            future.release()
            if lost:  # the others may need the same data, which are scattered anew with the next attempt
                continue
            more = submit(max(0, room() - len(running)))
            running.update(more)
            done.update(more)
        if lost:
            raise lost[-1]
    finally:
        with contextlib.suppress(Exception):
            client.cancel(list(running))


def call_packed(function: Callable[..., Any], number: int, head: bytes, *arrays: Array) -> tuple[int, bytes]:
    """Call a function in a worker; return the number of the call and the pickled result, or the error.

    joblib would inspect each of the many small arrays of the networks.
    """
    try:
        result: tuple[Any, Exception | None] = function(*_Unpickler(io.BytesIO(head), arrays).load()), None
    except Exception as error:
        result = None, error
    return number, pickle.dumps(result, pickle.HIGHEST_PROTOCOL)


# -------------------------------------------------------------------------------------------------------------------- pickles


class _Pickler(pickle.Pickler):
    """Leaves shared arrays out, which are known by their id; `used` has these in the order in which the _Unpickler is given them."""

    def __init__(self, file: io.BytesIO, known: Container[int]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.known, self.used = known, dict[int, int]()

    def persistent_id(self, value: Any) -> tuple[int, bool] | None:
        if id(value) not in self.known:
            return None
        return self.used.setdefault(id(value), len(self.used)), isinstance(value, torch.Tensor)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: Sequence[Array]) -> None:
        super().__init__(file)
        self.arrays = arrays
        self.tensors: dict[int, torch.Tensor] = {}

    def persistent_load(self, pid: tuple[int, bool]) -> Any:
        position, is_tensor = pid
        if not is_tensor:
            return self.arrays[position]
        if position not in self.tensors:
            with warnings.catch_warnings(action="ignore"):  # large arrays are in read-only memory, which all processes share
                self.tensors[position] = torch.from_numpy(np.asarray(self.arrays[position]))
        return self.tensors[position]
