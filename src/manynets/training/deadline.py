"""A time by which training is to end, whatever else runs on the machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

MEMORY = 0.5  # weight of the pace before, next to that since the last evaluation


class Deadline:
    """Says how many steps still fit until `end`, a time of `clock`, by the pace of those that were made, evaluations included.

    >>> times = iter([0.0, 10.0])
    >>> deadline = Deadline(25.0, clock=lambda: next(times))
    >>> deadline.steps_left(0), deadline.steps_left(100)
    (inf, 150.0)
    """

    def __init__(self, end: float, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.end, self.clock = end, clock
        self._step, self._time, self._pace = -1, 0.0, 0.0

    @property
    def left(self) -> float:
        """The seconds that are left, below 0 once it is over."""
        return self.end - self.clock()

    @property
    def over(self) -> bool:
        """Whether it is over."""
        return self.left <= 0

    def share(self, part: float) -> Callable[[], bool]:
        """Return a function that says whether this part of the time that is left now is over; never, where none is left."""
        until = self.clock() + part * self.left if self.left > 0 else math.inf
        return lambda: self.clock() > until

    def steps_left(self, step: int) -> float:
        """Return how many steps fit, after `step` steps; inf at the first call, from which the pace is measured."""
        now, before = self.clock(), self._step
        pace = (now - self._time) / max(step - before, 1)
        self._step, self._time = step, now
        if before < 0:
            return float("inf")
        self._pace = MEMORY * self._pace + (1 - MEMORY) * pace if self._pace else pace
        return max(0.0, (self.end - now) / self._pace) if self._pace > 0 else float("inf")
