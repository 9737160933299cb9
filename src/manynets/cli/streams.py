"""Standard output and standard error that never fail a command: what cannot be shown or written does not end a training."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any


class _Steady(io.FileIO):
    """A file descriptor after whose first error all further output is discarded. errors: gets this one, unless a pipe was closed."""

    def __init__(self, number: int, errors: list[OSError]) -> None:
        super().__init__(number, "w", closefd=False)
        self.errors, self.broken = errors, False

    def write(self, data: Any) -> int:
        """Write bytes, or discard them; return how many these are."""
        if not self.broken:
            try:
                return super().write(data)
            except OSError as error:
                self.broken = True
                if not isinstance(error, BrokenPipeError):
                    self.errors.append(error)
        return memoryview(data).nbytes


def _is_descriptor(stream: Any) -> bool:
    """Return whether a text stream writes to a file descriptor, rather than to a test's buffer."""
    buffer = getattr(stream, "buffer", None)
    return isinstance(getattr(buffer, "raw", buffer), io.FileIO)


@contextlib.contextmanager
def steady_streams() -> Iterator[list[OSError]]:
    """Within this context, printing does not fail: characters that the encoding lacks become "?", a closed pipe (`| head -1`)
    discards the rest, and so does any other error. Yields the error of standard output, once it has one."""
    found: list[OSError] = []
    before = sys.stdout, sys.stderr
    for name, stream, errors in (("stdout", sys.stdout, found), ("stderr", sys.stderr, [])):
        if stream is None:  # closed by the shell (>&-): keep its file descriptor from being reused
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif _is_descriptor(stream):
            stream.flush()
            buffer = io.BufferedWriter(_Steady(stream.fileno(), errors))
            at_once = {option: getattr(stream, option) for option in ("line_buffering", "write_through")}
            setattr(sys, name, io.TextIOWrapper(buffer, stream.encoding, errors="replace", **at_once))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        yield found
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError):  # closed
                stream.flush()
        sys.stdout, sys.stderr = (now if old is None else old for now, old in zip((sys.stdout, sys.stderr), before, strict=True))
