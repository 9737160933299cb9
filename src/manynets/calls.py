"""Calls that are listed once, and then made as one from C: however long the list, it costs no frame of Python.

Who takes part in a step lists what it does: `call(function, *arguments, **options)`. Where `operator.call` is `call`, it is done
at once. In closed form all functions are torch's own: one that is written in Python, as autograd's way through a network is, has a
frame again.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

__all__ = ["Call", "Caller", "run_calls"]

Call: TypeAlias = Callable[[], object]
Caller: TypeAlias = Callable[..., object]


def run_calls(calls: Sequence[Call]) -> None:
    """Make all calls, in order."""
    deque(map(operator.call, calls), maxlen=0)
