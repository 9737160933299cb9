"""The progress of a sweep: one line for all that it trains."""

from __future__ import annotations

import shutil
import sys
import time

from manynets.training.events import Advanced, Callback, Event, Started

LINES_APART = 5.0  # seconds between two lines where there is no terminal
REFRESH = 0.1


def time_text(seconds: float) -> str:
    """Return a time in one unit.

    >>> time_text(8.2), time_text(89), time_text(100), time_text(5500)
    ('8 s', '89 s', '2 min', '1.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class SweepProgress:
    """A callback for the trainings of a sweep, one after the other: "fold 3 of 5, 42 of 90 networks, 1 min left".

    total: networks to train in all; None where a time limit decides. limit: seconds left until then. best: the best result so far, in
    words. The line is shown on stderr, on a terminal as one that changes, elsewhere every few seconds.
    """

    may_skip = True

    def __init__(self, *, show: bool) -> None:
        self.total: int | None = None
        self.limit: float | None = None
        self.shows = show and sys.stderr is not None
        self.began = self.shown = time.monotonic()
        self.skipped = self.done = self.here = 0  # networks of an earlier process, of trainings that ended, and of this training
        self.share = 0.0  # of this training
        self.steps = 1
        self.words = self.best = ""

    @property
    def callbacks(self) -> list[Callback]:
        """Itself as the callbacks of a training; none where nothing is shown."""
        return [self] if self.shows else []

    def passed(self, networks: int) -> None:
        """Count networks whose results are there already."""
        self.skipped += networks

    def begin(self, networks: int, words: str = "") -> None:
        """A training of so many networks begins."""
        self.done += self.here
        self.here, self.share, self.words = networks, 0.0, words

    def ended(self, networks: int) -> None:
        """So many networks were trained elsewhere."""
        self.done += networks
        self.show()

    def __call__(self, event: Event) -> None:
        """Take an event of the training."""
        if isinstance(event, Started):
            self.steps = max(event.steps, 1)
        elif isinstance(event, Advanced):
            self.share = min(event.step / self.steps, 1.0)
            self.show()

    def text(self) -> str:
        """Return the line."""
        trained = self.skipped + self.done + int(self.share * self.here)
        of = "" if self.total is None else f" of {self.total:,}"
        words = [self.words] if self.words else []
        words.append(f"{trained:,}{of} network{'' if trained == 1 and not of else 's'}")
        left = self.left()
        if left is not None:
            words.append(f"{time_text(left)} left")
        return ", ".join(words) + (f"  best {self.best}" if self.best else "")

    def left(self) -> float | None:
        """Return how many seconds are left, by the networks trained so far and by the limit; None where that is not known."""
        elapsed = time.monotonic() - self.began
        known = [] if self.limit is None else [max(0.0, self.limit - elapsed)]
        made = self.done + self.share * self.here
        if self.total is not None and made > 0.02 * self.total:
            known.append(elapsed / made * max(0.0, self.total - self.skipped - made))
        return min(known, default=None)

    def show(self, *, last: bool = False) -> None:
        """Show the line, unless it was shown just now; at last clear it."""
        if not self.shows:
            return
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if not last and now - self.shown < (REFRESH if terminal else LINES_APART):
            return
        self.shown = now
        try:
            if terminal:
                width = shutil.get_terminal_size().columns - 1
                sys.stderr.write("\r\x1b[K" + ("" if last else self.text()[:width]))
            elif not last:
                sys.stderr.write(self.text() + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            self.shows = False
