"""Ctrl-C and SIGTERM while a network is trained: they ask for a stop, which the loop makes between two calls of a stepper."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

CALL_SECONDS = 0.025  # that a call of a stepper may take, or one step if that is longer: a stop waits for it
CALLS = 4  # of which the slowest says how long a step takes


class Halt:
    """Whether a stop was asked for, and by which signal (None: by a callback)."""

    __slots__ = ("_seen", "asked", "signal")

    def __init__(self) -> None:
        self.asked = False
        self.signal: int | None = None
        self._seen = 0.0

    @property
    def word(self) -> str:
        """What `Outcome.stopped` says of networks that it ends."""
        return "callback" if self.signal is None else "interrupted"

    def overdue(self) -> bool:
        """Return whether a stop was asked for, and first seen here so long ago that an evaluation is not to go on."""
        if not self.asked:
            return False
        self._seen = self._seen or time.perf_counter()
        return time.perf_counter() - self._seen > CALL_SECONDS


class Pace:
    """How many steps a stepper may make in one call: one in the first, before it is known how long a step takes.

    On a busy machine a call may be several times as fast as the next: what counts is the slowest of the last calls.
    """

    def __init__(self) -> None:
        self.taken: deque[float] = deque(maxlen=CALLS)  # seconds per step of the last calls

    def add(self, steps: int, seconds: float) -> None:
        """Take into account a call that made so many steps in so many seconds."""
        self.taken.append(seconds / steps)

    @property
    def steps(self) -> int:
        """How many steps the next call may make."""
        slowest = max(self.taken, default=0.0) or CALL_SECONDS
        return max(1, int(CALL_SECONDS / slowest))


@contextmanager
def listening(halt: Halt, numbers: Sequence[int]) -> Iterator[None]:
    """Within: the first of these signals asks for a stop; a second one takes its usual course at once.

    Signals that the process ignores, or that come to another than the main thread, are left as they are. The handlers that were
    there before come back at the end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    def ask(number: int, _frame: FrameType | None) -> None:
        halt.asked, halt.signal = True, number
        for each, handler in before.items():
            signal.signal(each, handler)

    try:
        for number in before:
            signal.signal(number, ask)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
