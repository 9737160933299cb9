"""How training shows itself: a live line on a terminal or in a notebook, plain lines elsewhere, nothing on request."""

from __future__ import annotations

import html
import math
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from manynets.display import HEADINGS, epoch_text, number_text
from manynets.errors import OptionError
from manynets.training.events import Advanced, Callback, Evaluated, Event, Finished, Started

__all__ = ["Show", "in_notebook", "progress_callbacks"]

Show: TypeAlias = Literal["auto"] | bool

_LINES_APART = 5.0  # seconds between two plain lines
_REFRESH = 0.1
_NOTEBOOK_REFRESH = 0.25  # each update is a message to the browser


def progress_callbacks(show: Show) -> list[Callback]:
    """Return the callbacks for "auto" (a live display on a terminal or in a notebook, plain lines elsewhere), True (the same) or False (none)."""
    if show not in ("auto", True, False):
        raise OptionError(f"progress is {show!r}, but must be 'auto', True or False")
    if not show:
        return []
    if in_notebook():
        return [_SafeDisplay(_Notebook())]
    if sys.stderr is None:
        return []
    return [_SafeDisplay(_Live() if sys.stderr.isatty() else _Lines())]


def in_notebook() -> bool:
    """Return whether this code runs in the kernel of a notebook, such as Jupyter's or VS Code's."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None


class _SafeDisplay:
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


class _Entry(NamedTuple):
    """Validation loss and result of a network at an epoch."""

    loss: float
    result: float
    epoch: float


class _Story:
    """What a run shows, from its events: for networks that predict together their pooled results, for others the best."""

    def __init__(self, started: Started) -> None:
        self.started = started
        self.networks = started.n_networks
        self.epochs = started.steps / started.steps_per_epoch
        self.finished = 0
        self.best = -math.inf
        self.now: dict[int, float] = {}  # by network: the validation result of its last evaluation
        self.at_best: dict[int, _Entry] = {}  # and those of its best one

    def text(self, event: Evaluated) -> str:
        """Return the epoch and the results of an evaluation in words."""
        self.finished += len(event.numbers) - event.alive
        if self.networks == 1 or len(self.started.ensembles) == 1:
            words = [self._together(event)]
        else:
            words = [self._of_ensembles(event) if self.started.ensembles else self._apart(event)]
        if self.networks > 1 and self.finished:
            words.append(f"{self.finished:,} of {self.networks:,} networks finished")
        return "  ".join(filter(None, words))

    def _apart(self, event: Evaluated) -> str:
        name = self._prefix(event) + self.started.metric
        self.best = float(np.fmax(self.best, np.fmax.reduce(event.columns[name])))
        return f"best {_words(name)} {number_text(self.best)}"

    def _of_ensembles(self, event: Evaluated) -> str:
        """Return the best results of the ensemble that has the lowest loss so far."""
        self._take(event)
        found = [{n: self.at_best[n] for n in numbers if n in self.at_best} for numbers in self.started.ensembles]
        best = min(
            filter(None, found), key=lambda entries: self._mean({n: entry.loss for n, entry in entries.items()}), default=None
        )
        return "" if best is None else f"best of {len(found)} settings: {self._rows(event)} {self._shown} {self._results(best)}"

    def _together(self, event: Evaluated) -> str:
        """Return the results of one network, or those of several pooled over their rows, with the best so far."""
        self._take(event)
        done = event.step / self.started.steps_per_epoch  # a cool-down may end later than planned
        epoch = f"epoch {epoch_text(done)}/{epoch_text(max(done, self.epochs))}"
        now = self._number(self.now)
        if not self._prefix(event):
            loss = number_text(float(np.mean(event.columns["loss"])))
            return f"{epoch}  {self._rows(event)} loss {loss}  {self._shown} {now}"
        best = f" ({self._best} {self._results(self.at_best, sep=', ')})" if self.at_best else ""
        return f"{epoch}  {self._rows(event)} {self._shown} {now}{best}"

    @property
    def _shown(self) -> str:
        of = " of the logarithm" if self.started.transform == "log" else ""
        return "RMSE" if self.started.squared else _words(self.started.metric) + of

    def _rows(self, event: Evaluated) -> str:
        """Name the rows, and say where the result is a mean over networks that the pooled predictions of all may differ from."""
        if not self._prefix(event):
            return "training"
        together = self.networks > 1 and (
            self.started.shared_rows or not (self.started.squared or self.started.metric == "accuracy")
        )
        return "mean validation" if together else "validation"

    @property
    def _best(self) -> str:
        """Say what the best epoch goes by, where it is not the result that is shown."""
        watched = {recipe.watch for _, recipe in self.started.settings.values()} or {"loss"}
        shown = {"loss", "r2", "rmse", "metric"} if self.started.squared else {"metric", self.started.metric}
        if watched <= shown or len(watched) > 1:
            return "best"
        name = watched.pop()
        return f"best by {HEADINGS.get(name, name)}"

    def _take(self, event: Evaluated) -> None:
        """Remember the results of each network: the last, and those of its best entry."""
        prefix = self._prefix(event)
        column = prefix + ("loss" if self.started.squared else self.started.metric)
        for k, number in enumerate(event.numbers):
            self.now[number] = float(event.columns[column][k])
            self._remember(event, k, number, column, prefix + "loss")

    def _remember(self, event: Evaluated, k: int, number: int, column: str, watched: str) -> None:
        """Remember the best entry of a network: the one whose weights it keeps, or else the one of the lowest loss."""
        if event.best:
            entry = {name: float(values[k]) for name, values in event.best.items()}
        else:
            entry = {name: float(values[k]) for name, values in event.columns.items()}
            if number in self.at_best and not entry[watched] < self.at_best[number].loss:
                return
        if math.isfinite(entry["epoch"]) and not math.isnan(entry[watched]):
            self.at_best[number] = _Entry(entry[watched], entry[column], entry["epoch"])

    def _results(self, entries: Mapping[int, _Entry], sep: str = " at ") -> str:
        """Return the pooled result of some networks at their best epochs, and which these are."""
        epochs = sorted({entry.epoch for entry in entries.values()})
        when = " to ".join(epoch_text(at) for at in dict.fromkeys((epochs[0], epochs[-1])))
        best = self._number({number: entry.result for number, entry in entries.items()})
        return f"{best}{sep}epoch{'s' if len(epochs) > 1 else ''} {when}"

    def _number(self, results: Mapping[int, float]) -> str:
        """Return the pooled results of networks as a text, of squared errors in the target's unit."""
        mean = self._mean(results)
        return number_text(math.sqrt(self.started.squared * mean) if self.started.squared and mean >= 0 else mean)

    def _mean(self, results: Mapping[int, float]) -> float:
        weights = [self.started.pooled.get(number, 1.0) for number in results]
        return float(np.average([*results.values()], weights=weights if sum(weights) else None))

    def _prefix(self, event: Evaluated) -> str:
        return "val_" if "val_loss" in event.columns else ""


def _words(name: str) -> str:
    """Return the name of a column as a text shows it."""
    return name.replace("val_", "validation ").replace("r2", "R2")


class _Lines:
    """Plain lines on stderr, at most one in a few seconds, and the last."""

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
            self.line = f"{self.story.text(event)}  {now - self.began:.1f} s"
            if now - self.shown > _LINES_APART:
                left = (now - self.began) * (self.steps - self.done) / self.done if self.done else 0.0
                sys.stderr.write(f"{self.line}{f', {left:.0f} s left' if left >= 1 else ''}\n")
                self.shown = now
                if left < 1:
                    self.line = ""
        elif isinstance(event, Finished) and self.line:  # the last line may have said how long it would take
            sys.stderr.write(f"{self.line}\n")


class _Live:
    """A rich progress bar on stderr with loss, metric and time left; made when training starts."""

    def __init__(self) -> None:
        self.progress: Any = None
        self.story: _Story | None = None
        self.shown = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = (
                BarColumn(bar_width=12),
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
            self._show(results=self.story.text(event))
        elif isinstance(event, Finished):
            self.progress.refresh()
            self.progress.stop()

    def _show(self, **fields: Any) -> None:
        self.progress.update(self.bar, **fields)
        now = time.monotonic()
        if now - self.shown > _REFRESH:
            self.progress.refresh()
            self.shown = now


class _Notebook:
    """A bar and a line in the output of a notebook's cell: one display, which is updated in place, without terminal codes."""

    def __init__(self) -> None:
        self.story: _Story | None = None
        self.display: Any = None
        self.steps, self.done = 1, 0
        self.began = self.shown = 0.0
        self.results = ""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            from IPython.display import display

            self.story, self.steps, self.done, self.results = _Story(event), max(event.steps, 1), 0, ""
            self.began = self.shown = time.monotonic()
            self.display = display(self._bundle(), raw=True, display_id=True)
        elif isinstance(event, Advanced):
            self.done = event.step
            self._show()
        elif isinstance(event, Evaluated) and self.story is not None:
            self.results = self.story.text(event)
            self._show()
        elif isinstance(event, Finished):
            self._show(last=True)

    def _show(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if self.display is not None and (last or now - self.shown > _NOTEBOOK_REFRESH):
            self.shown = now
            self.display.update(self._bundle(last=last), raw=True)

    def _bundle(self, *, last: bool = False) -> dict[str, str]:
        """Return the display as HTML and, for viewers without it, as text."""
        passed = time.monotonic() - self.began
        left = passed * (self.steps - self.done) / self.done if self.done else 0.0
        line = f"{self.results}  {passed:.1f} s" + (f", {left:.0f} s left" if left >= 1 and not last else "")
        bar = "" if last else f'<progress value="{self.done}" max="{self.steps}" aria-label="steps"></progress> '
        return {"text/plain": line, "text/html": f"<div>{bar}<code>{html.escape(line)}</code></div>"}
