"""Ctrl-C and SIGTERM: both end a command with one line that says what was saved."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

AGAIN = 0.01  # seconds after which a signal that was lost is sent again

_raised: list[Stopped] = []  # since the signals are handled


class Stopped(BaseException):
    """A signal stopped the command; the text says what was saved. Not an Exception, so that no handler swallows it."""

    def __init__(self, number: int, text: str = "") -> None:
        super().__init__(text)
        self.number = number
        self.text = "terminated" if number == signal.SIGTERM else "interrupted"
        self.text += f"; {text}" if text else ""


@contextlib.contextmanager
def handled_signals() -> Iterator[None]:
    """Within this context, Ctrl-C and SIGTERM raise Stopped; threads other than the main one cannot handle signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    _raised.clear()
    report = sys.unraisablehook
    sys.unraisablehook = functools.partial(_send_lost_again, report=report)
    try:
        with stops_kept():
            yield
    finally:
        sys.unraisablehook = report
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def stops_kept() -> Iterator[None]:
    """Within this context, raise Stopped again where compiled code, such as that of a plot, has replaced it by an error of its own."""
    try:
        yield
    except Exception:
        if _raised:
            raise _raised[-1] from None
        raise


def _send_lost_again(lost: sys.UnraisableHookArgs, *, report: Callable[[sys.UnraisableHookArgs], object]) -> None:
    """Send the signal of a Stopped again; other exceptions are reported."""
    if isinstance(lost.exc_value, Stopped):
        _send_again(lost.exc_value.number)
    else:
        report(lost)


def _is_in_hook(frame: FrameType | None) -> bool:
    """Return whether a frame is within `_send_lost_again`, where what is raised would be dropped as well."""
    while frame is not None and frame.f_code is not _send_lost_again.__code__:
        frame = frame.f_back
    return frame is not None


def _send_again(number: int) -> None:
    """Send a signal to the main thread a little later: Python drops what is raised in a destructor or a weak reference's callback.

    Once `handled_signals` is over, none is sent: it would have its usual effect, and end a process that is ending already without a word.
    """

    def send() -> None:
        if signal.getsignal(number) is not _stop:
            return
        if hasattr(signal, "pthread_kill") and (main := threading.main_thread().ident) is not None:
            signal.pthread_kill(main, number)  # which also wakes it up
        else:
            signal.raise_signal(number)

    timer = threading.Timer(AGAIN, send)
    timer.daemon = True
    timer.start()


def _stop(number: int, frame: FrameType | None) -> None:
    if _is_in_hook(frame):
        _send_again(number)
        return
    torch = sys.modules.get("torch")
    if torch is not None and getattr(torch.__spec__, "_initializing", False):  # its libraries do not survive an exception here
        os.write(2, f"{Stopped(number).text}\n".encode())
        os._exit(128 + number)
    _raised.append(Stopped(number))
    raise _raised[-1]
