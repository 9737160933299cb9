"""How training shows itself: a live line on a terminal, plain lines where there is none, nothing on request."""

from __future__ import annotations

import sys
import time
from typing import Any, Literal, TypeAlias

import numpy as np

from manynets.training.events import Advanced, Evaluated, Event, Finished, Observer, Started

__all__ = ["Show", "progress_observers"]

Show: TypeAlias = Literal["auto"] | bool

_LINES_APART = 5.0  # seconds between two plain lines
_REFRESH = 0.1


def progress_observers(show: Show) -> list[Observer]:
    """Return the observers for "auto" (a live display on a terminal, plain lines elsewhere), True (the same) or False (none)."""
    if show is False:
        return []
    return [_Live()] if sys.stderr.isatty() else [_Lines()]


def _figures(event: Evaluated, metric: str) -> str:
    columns = event.columns
    prefix = "val_" if "val_loss" in columns else ""
    if len(event.numbers) == 1:
        text = f"loss {columns['loss'][0]:.4f}"
        if prefix:
            text += f"  val_loss {columns['val_loss'][0]:.4f}"
        return f"{text}  {prefix}{metric} {columns[prefix + metric][0]:.4f}"
    return f"{event.alive} of {len(event.numbers)} networks alive  best {prefix}{metric} {np.fmax.reduce(columns[prefix + metric]):.4f}"


class _Lines:
    """Plain lines on stderr, at most one in a few seconds, and the last."""

    def __init__(self) -> None:
        self.metric, self.per_epoch, self.steps = "", 1, 0
        self.began = self.shown = 0.0
        self.line = ""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.metric, self.per_epoch, self.steps = event.metric, event.steps_per_epoch, event.steps
            self.began = self.shown = time.monotonic()
        elif isinstance(event, Evaluated):
            epochs = f"epoch {event.step / self.per_epoch:g}/{self.steps / self.per_epoch:g}"
            now = time.monotonic()
            self.line = f"{epochs}  {_figures(event, self.metric)}  {now - self.began:.1f} s"
            if now - self.shown > _LINES_APART:
                self._print(now)
        elif isinstance(event, Finished) and self.line:
            self._print(time.monotonic())

    def _print(self, now: float) -> None:
        sys.stderr.write(self.line + "\n")
        self.line, self.shown = "", now


class _Live:
    """A rich progress bar on stderr with loss, metric and time left; made when training starts."""

    def __init__(self) -> None:
        self.progress: Any = None
        self.metric, self.shown = "", 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = (
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%  epoch {task.fields[epoch]}"),
                TextColumn("{task.fields[figures]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(compact=True),
            )
            self.progress = Progress(*columns, console=Console(stderr=True), auto_refresh=False)
            self.per_epoch, self.epochs = event.steps_per_epoch, event.steps / event.steps_per_epoch
            self.metric = event.metric
            self.bar = self.progress.add_task("", total=event.steps, figures="", epoch=f"0/{self.epochs:g}")
            self.progress.start()
        elif isinstance(event, Advanced):
            self._show(completed=event.step)
        elif isinstance(event, Evaluated):
            epoch = f"{event.step / self.per_epoch:g}/{self.epochs:g}"
            self._show(completed=event.step, figures=_figures(event, self.metric), epoch=epoch)
        elif isinstance(event, Finished):
            self.progress.refresh()
            self.progress.stop()

    def _show(self, **fields: Any) -> None:
        self.progress.update(self.bar, **fields)
        now = time.monotonic()
        if now - self.shown > _REFRESH:
            self.progress.refresh()
            self.shown = now
