"""How many threads torch gets: no more than help.

torch's threads wait for each other by spinning. Where another process keeps a core busy, two threads may take ten times as long as one
thread, and small products are quicker on one thread anywhere. So products of this size are timed before the first step.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import statistics
import time
from collections.abc import Iterator

import torch

from manynets.core import usable_threads
from manynets.nn.products import multiply

SMALL_STEP = 4e7  # multiplications in a step below which a second thread is not worth its risk
SHORT_TRAINING = 1e11  # multiplications in a training below which the timing takes too large a share of it: some four seconds
GAIN = 0.75  # share of one thread's time below which more threads are taken
TIMED = 0.15  # seconds that the timing takes at most: several time slices, so that a core that another process keeps busy shows
SHARE = 0.03  # of the training that it takes at most, where that is enough for FEWEST_ROUNDS
FEWEST_ROUNDS = 4

# torch's threads do not live on in a forked child, which would wait for them for ever. The compiled core starts its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

_fixed: contextvars.ContextVar[int | None] = contextvars.ContextVar("fixed_threads", default=None)


@contextlib.contextmanager
def fixed_threads(count: int | None) -> Iterator[None]:
    """Within: train with so many threads, as an earlier training did, since their number can change the last bits; None: choose."""
    token = _fixed.set(count)
    try:
        yield
    finally:
        _fixed.reset(token)


def most_threads() -> int:
    """Return how many threads may run: the user's own setting, at most as many as this process has processors."""
    return usable_threads(torch.get_num_threads())


def best_threads(matrices: int, rows: int, widest: int, dtype: torch.dtype, *, steps: int) -> int:
    """Return how many threads make a step quickest.

    matrices: numbers in a network's weight matrices; rows: of a step, of all networks together; widest: units of the widest layer;
    steps: of the training.
    """
    most, fixed = most_threads(), _fixed.get()
    if fixed is not None:
        return max(1, min(fixed, most))
    step = 3.0 * rows * matrices
    if most == 1 or step < SMALL_STEP or step * steps < SHORT_TRAINING:
        return 1
    before = torch.get_num_threads()
    left = torch.ones(max(1, min(rows, 512)), max(1, min(widest, 1024)), dtype=dtype)
    right = torch.ones(left.shape[1], max(1, min(1024, matrices // left.shape[1] + 1)), dtype=dtype)
    out = torch.empty(left.shape[0], right.shape[1], dtype=dtype)
    parts = step * steps / (left.numel() * right.shape[1])  # products that the training would be made of
    seconds: dict[int, list[float]] = {1: [], most: []}
    try:
        began = time.perf_counter()
        while len(seconds[most]) < FEWEST_ROUNDS or time.perf_counter() - began < min(TIMED, SHARE * parts * seconds[1][-1]):
            for threads, taken in seconds.items():
                torch.set_num_threads(threads)
                start = time.perf_counter()
                multiply(left, right, out)
                taken.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    # means, of all rounds but the first: a thread that waits for a busy core stalls some of the products for a whole time slice
    one, many = (statistics.fmean(taken[1:]) for taken in (seconds[1], seconds[most]))
    return most if many < GAIN * one else 1
