"""How training shows itself: a live line on a terminal or in a notebook, plain lines elsewhere, nothing on request."""

from __future__ import annotations

import abc
import html
import math
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np

from manynets.display import HEADINGS, epoch_text, number_text
from manynets.errors import OptionError
from manynets.training.events import Advanced, Callback, Evaluated, Event, Finished, Started

Show: TypeAlias = Literal["auto"] | bool


def progress_callbacks(show: Show) -> list[Callback]:
    """Return the callbacks for "auto" (a live display on a terminal or in a notebook, plain lines elsewhere), True (the same) or False (none)."""
    if show not in ("auto", True, False):
        raise OptionError(f"progress is {show!r}, but must be 'auto', True or False")
    if not show:
        return []
    if in_notebook():
        return [_Notebook()]
    if sys.stderr is None:
        return []
    return [_Live() if sys.stderr.isatty() else _Lines()]


def in_notebook() -> bool:
    """Return whether this code runs in the kernel of a notebook, such as Jupyter's or VS Code's."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None


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
        self.undefined: set[str] = set()  # columns that the validation rows do not have: the loss decides

    def text(self, event: Evaluated) -> str:
        """Return the epoch and the results of an evaluation in words."""
        self.finished += len(event.numbers) - event.alive
        if self.networks == 1 or len(self.started.ensembles) == 1:
            words = [self._together(event)]
        elif self.started.ensembles:
            words = [self._of_ensembles(event)]
        else:
            words = [self._apart(event)]
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
        best = ""
        if self.at_best and self._decides:
            best = f" ({self._results(self.at_best)}, best by {self._decides})"
        elif self.at_best:
            best = f" (best {self._results(self.at_best, sep=', ')})"
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
    def _decides(self) -> str:
        """Name what the best epoch goes by, where it is not the result that is shown; else empty."""
        watched = {recipe.watch for _, recipe in self.started.settings.values()} or {"loss"}
        shown = {"loss", "r2", "rmse", "metric"} if self.started.squared else {"metric", self.started.metric}
        if watched <= shown or len(watched) > 1:
            return ""
        name = watched.pop().removesuffix("()")
        return "loss" if f"val_{name}" in self.undefined else HEADINGS.get(name, name)

    def _take(self, event: Evaluated) -> None:
        """Remember the results of each network: the last, and those of the entry whose weights it keeps."""
        if not self.now:
            self.undefined = {name for name, values in event.columns.items() if np.isnan(values).all()}
        loss = self._prefix(event) + "loss"
        result = loss if self.started.squared else self._prefix(event) + self.started.metric
        self.now.update(zip(event.numbers, event.columns[result].tolist(), strict=True))
        for k, number in enumerate(event.numbers if event.best else ()):
            entry = _Entry(*(float(event.best[name][k]) for name in (loss, result, "epoch")))
            if math.isfinite(entry.epoch) and not math.isnan(entry.loss):
                self.at_best[number] = entry

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


class _Display(abc.ABC):
    """A display of a run, which changes at most every `apart` seconds. It is given up where it cannot be written: a closed stream, or one
    that lacks a character.
    """

    may_skip = True
    apart: ClassVar[float]

    def __init__(self) -> None:
        self.broken = False

    def __call__(self, event: Event) -> None:
        try:
            if not self.broken:
                self._take(event)
        except (OSError, ValueError):
            self.broken = True

    def _take(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, Started):
            self.story, self.steps, self.done, self.results = _Story(event), max(event.steps, 1), 0, ""
            self.began = self.shown = now
            self.begin()
        elif isinstance(event, Advanced):
            self.done = event.step
        elif isinstance(event, Evaluated):
            self.results = self.story.text(event)
        last = isinstance(event, Finished)
        if last or now - self.shown > self.apart:
            self.shown = now
            self.show(last=last)

    def line(self, *, last: bool) -> str:
        """Return the results, the time so far, and the time left unless it is the last line."""
        passed = self.shown - self.began
        left = passed * (self.steps - self.done) / self.done if self.done and not last else 0.0
        return f"{self.results}  {passed:.1f} s" + (f", {left:.0f} s left" if left >= 1 else "")

    @abc.abstractmethod
    def begin(self) -> None:
        """Begin to show a run."""

    @abc.abstractmethod
    def show(self, *, last: bool) -> None:
        """Show `results` after `done` of `steps` steps. last: the run is over."""


class _Lines(_Display):
    """Plain lines on stderr, each with new results, and the last."""

    apart = 5.0

    def begin(self) -> None:
        self.written = ""

    def show(self, *, last: bool) -> None:
        if self.results and (last or self.results != self.written):
            self.written = self.results
            sys.stderr.write(f"{self.line(last=last)}\n")


class _Live(_Display):
    """A rich progress bar on stderr with the results and the time left."""

    apart = 0.1

    def begin(self) -> None:
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
        self.bar = self.progress.add_task("", total=self.steps, results="")
        self.progress.start()

    def show(self, *, last: bool) -> None:
        self.progress.update(self.bar, completed=self.done, results=self.results)
        self.progress.refresh()
        if last:
            self.progress.stop()


class _Notebook(_Display):
    """A bar and a line in the output of a notebook's cell: one display, which is updated in place, without terminal codes."""

    apart = 0.25  # each update is a message to the browser

    def begin(self) -> None:
        from IPython.display import display

        self.display: Any = display(self._bundle(last=False), raw=True, display_id=True)

    def show(self, *, last: bool) -> None:
        self.display.update(self._bundle(last=last), raw=True)

    def _bundle(self, *, last: bool) -> dict[str, str]:
        """Return the display as HTML and, for viewers without it, as text."""
        line = self.line(last=last)
        bar = "" if last else f'<progress value="{self.done}" max="{self.steps}" aria-label="steps"></progress> '
        return {"text/plain": line, "text/html": f"<div>{bar}<code>{html.escape(line)}</code></div>"}
