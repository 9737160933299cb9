"""Ctrl-C and SIGTERM while a network is trained: they ask for a stop, which the loop makes between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

__all__ = ["Halt", "listening"]


class Halt:
    """Whether a stop was asked for, and by which signal (None: by a call)."""

    __slots__ = ("asked", "signal")

    def __init__(self) -> None:
        self.asked = False
        self.signal: int | None = None


@contextmanager
def listening(halt: Halt, numbers: Sequence[int] = (signal.SIGINT,)) -> Iterator[None]:
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
