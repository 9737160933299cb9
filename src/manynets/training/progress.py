"""How training shows itself: a live line on a terminal, plain lines where there is none, nothing on request."""

from __future__ import annotations

import math
import sys
import time
from typing import Any, Literal, TypeAlias

import numpy as np

from manynets.errors import OptionError
from manynets.training.events import Advanced, Callback, Evaluated, Event, Finished, Started

__all__ = ["Show", "progress_callbacks"]

Show: TypeAlias = Literal["auto"] | bool

_LINES_APART = 5.0  # seconds between two plain lines
_REFRESH = 0.1


def progress_callbacks(show: Show) -> list[Callback]:
    """Return the callbacks for "auto" (a live display on a terminal, plain lines elsewhere), True (the same) or False (none)."""
    if show not in ("auto", True, False):
        raise OptionError(f"progress is {show!r}, but must be 'auto', True or False")
    if not show or sys.stderr is None:
        return []
    return [_Steady(_Live() if sys.stderr.isatty() else _Lines())]


class _Steady:
    """A display that is given up where it cannot be written: a closed stream, or one that lacks a character."""

    may_skip = True

    def __init__(self, display: Callback) -> None:
        self.display: Callback | None = display

    def __call__(self, event: Event) -> None:
        try:
            if self.display is not None:
                self.display(event)
        except (OSError, ValueError):
            self.display = None


class _Story:
    """What a run shows, from its events: of one network its results, of several how many are alive and the best."""

    def __init__(self, started: Started) -> None:
        self.networks, self.metric = started.n_networks, started.metric
        self.per_epoch, self.epochs = started.steps_per_epoch, started.steps / started.steps_per_epoch
        self.ended = 0
        self.best = -math.inf

    def results(self, event: Evaluated) -> str:
        """Return the results of an evaluation in words."""
        columns = event.columns
        prefix = "val_" if "val_loss" in columns else ""
        name = prefix + self.metric
        if self.networks > 1:
            self.ended += len(event.numbers) - event.alive
            self.best = float(np.fmax(self.best, np.fmax.reduce(columns[name])))
            return f"{self.networks - self.ended} of {self.networks} networks alive  best {name} {self.best:.4f}"
        text = f"loss {columns['loss'][0]:.4f}"
        if prefix:
            text += f"  val_loss {columns['val_loss'][0]:.4f}"
        return f"{text}  {name} {columns[name][0]:.4f}"

    def position(self, event: Evaluated) -> str:
        """Return the epoch; nothing for several networks, of which each may be at its own."""
        return "" if self.networks > 1 else f"epoch {event.step / self.per_epoch:g}/{self.epochs:g}  "


class _Lines:
    """Plain lines on stderr, at most one in a few seconds, and the last."""

    may_skip = True

    def __init__(self) -> None:
        self.story: _Story | None = None
        self.steps, self.done = 1, 0
        self.began = self.shown = 0.0
        self.line = ""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.story, self.steps, self.done = _Story(event), event.steps, 0
            self.began = self.shown = time.monotonic()
        elif isinstance(event, Advanced):
            self.done = event.step
        elif isinstance(event, Evaluated) and self.story is not None:
            now = time.monotonic()
            spent = now - self.began
            self.line = f"{self.story.position(event)}{self.story.results(event)}  {spent:.1f} s"
            if self.story.networks > 1 and 0 < self.done < self.steps:
                self.line += f", {spent * (self.steps - self.done) / self.done:.0f} s left"
            if now - self.shown > _LINES_APART:
                self._print(now)
        elif isinstance(event, Finished) and self.line:
            self._print(time.monotonic())

    def _print(self, now: float) -> None:
        sys.stderr.write(self.line + "\n")
        self.line, self.shown = "", now


class _Live:
    """A rich progress bar on stderr with loss, metric and time left; made when training starts."""

    may_skip = True

    def __init__(self) -> None:
        self.progress: Any = None
        self.story: _Story | None = None
        self.shown = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = (
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%  {task.fields[results]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(compact=True),
            )
            self.progress = Progress(*columns, console=Console(stderr=True), auto_refresh=False)
            self.story = _Story(event)
            self.bar = self.progress.add_task("", total=event.steps, results="")
            self.progress.start()
        elif isinstance(event, Advanced):
            self._show(completed=event.step)
        elif isinstance(event, Evaluated) and self.story is not None:
            self._show(results=self.story.position(event) + self.story.results(event))
        elif isinstance(event, Finished):
            self.progress.refresh()
            self.progress.stop()

    def _show(self, **fields: Any) -> None:
        self.progress.update(self.bar, **fields)
        now = time.monotonic()
        if now - self.shown > _REFRESH:
            self.progress.refresh()
            self.shown = now
