"""Train networks in several processes, by joblib: each gets a share of the networks, and all the data."""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from joblib import effective_n_jobs, parallel
from numpy.typing import NDArray
from sklearn.utils.parallel import Parallel, delayed

from manynets.data.batches import Rows
from manynets.nn.shape import Shape
from manynets.spec import MLP
from manynets.tasks import Task
from manynets.training.events import Advanced, Callback, Event, Finished, Started
from manynets.training.groups import Failure, check_limits, groups_of, memory_at_hand, train_what_can
from manynets.training.trial import Member, Outcome, Problem

__all__ = ["shares_of", "train_in_processes", "train_share"]

SENT_BYTES = 1 << 24
"""Bytes of an array up to which each process is sent a copy; joblib takes a tenth of a second to remove the file of a shared one."""


def train_in_processes(
    problem: Problem,
    members: Sequence[Member],
    *,
    n_jobs: int | None,
    callbacks: Sequence[Callback] = (),
    memory_limit: int | None = None,
) -> list[Outcome | Failure]:
    """Train members without validation sets as `train_what_can` does, in n_jobs processes (None, -1, ...: as in scikit-learn).

    Callbacks are called when a process has finished its share, not for the events in between. Networks on a GPU are trained in
    this process, and so are all where joblib would use threads, which would wait for each other.
    """
    check_limits(memory_limit=memory_limit)
    jobs, device = min(effective_n_jobs(n_jobs), len(members)), problem.rows.x.device
    threads = getattr(parallel.get_active_backend()[0], "uses_threads", False)
    if jobs <= 1 or threads or device.type != "cpu":
        return train_what_can(problem, members, callbacks=callbacks, memory_limit=memory_limit)
    began = time.perf_counter()
    found: dict[int, Outcome | Failure] = {}

    def tell(event: Event) -> None:
        for callback in callbacks:
            callback(event)

    settings = {member.number: member.settings for member in members}
    tell(Started(len(members), len(members), 1, problem.task.metric, settings=settings))
    limit = max(1, (memory_at_hand(device) if memory_limit is None else int(memory_limit)) // jobs)
    arrays = problem.rows.x.numpy(), problem.rows.target.numpy()
    parts = Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes=SENT_BYTES)(
        delayed(train_share)(problem.task, arrays, pickle.dumps(share, pickle.HIGHEST_PROTOCOL), limit)
        for share in shares_of(problem, members, jobs)
        if share
    )
    for part in parts:
        found |= {result.number: result for result in pickle.loads(part)}
        tell(Advanced(len(found)))
    lost = tuple(n for n, result in found.items() if isinstance(result, Outcome) and result.divergence is not None)
    tell(Finished(time.perf_counter() - began, lost))
    return [found[member.number] for member in members]


def train_share(task: Task, arrays: tuple[NDArray[Any], NDArray[Any]], members: bytes, memory_limit: int) -> bytes:
    """Train pickled members on arrays (x, target), in the process that calls it; return their pickled results.

    joblib would inspect each of the many small arrays of the networks.
    """
    with warnings.catch_warnings(action="ignore"):  # large arrays are in read-only memory, which all processes share
        rows = Rows(torch.from_numpy(arrays[0]), torch.from_numpy(arrays[1]), None)
    results = train_what_can(Problem(task, rows), pickle.loads(members), memory_limit=memory_limit)
    return pickle.dumps(results, pickle.HIGHEST_PROTOCOL)


def shares_of(problem: Problem, members: Sequence[Member], count: int) -> Iterator[list[Member]]:
    """Divide members into shares of about the same work; those that can share their steps stay together."""
    ordered = [member for group in groups_of(problem, members) for member in group]
    done = np.cumsum([_work(member, problem) for member in ordered])
    share_of = np.minimum((done - 0.5 * np.diff(done, prepend=0.0)) / done[-1] * count, count - 1).astype(int)
    for share in range(count):
        yield [ordered[i] for i in np.flatnonzero(share_of == share)]


def _work(member: Member, problem: Problem) -> float:
    """Return roughly how many multiplications the training of a member takes."""
    rows = len(problem.rows) if member.rows is None else len(member.rows)
    assert isinstance(member.spec, MLP)
    shape = Shape.of(member.spec, problem.rows.x.shape[1], problem.task.outputs)
    return float(rows * (member.recipe.epochs or 1) * shape.multiplications)
