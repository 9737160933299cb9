"""The training rows of a stream, shown to the steppers window by window.

An epoch visits the blocks of the files (row groups) in an order of its own. Their training rows, one after the other, are cut into
windows of equally many rows. A window is in memory as a whole, and each network visits its rows in an order of its own. All orders are
functions of seed and epoch, so that any window can be shown again, and a resumed run continues exactly.

While the networks train on a window, a thread reads and encodes the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manynets.errors import OptionError
from manynets.rng import permutation
from manynets.steps import steps_per_epoch


class Encoded(NamedTuple):
    """Rows as networks take them: x (N, D), target (N,) codes or (N, O), weight (N,) or None."""

    x: NDArray[Any]
    target: NDArray[Any]
    weight: NDArray[Any] | None


class Layout:
    """Where the windows of an epoch are.

    counts: training rows of each block. window: rows of a window at most. batch_size: rows of a step. seed: of the order of blocks; None
    for that of the files. rank, world_size: of several processes, each of which reads its own part of the rows of an epoch: as many as
    its shares of all batches (`share`), which it adds to each step. All numbers of rows but `total`, `batch_size` and `whole` are those of
    this process; all processes have the same steps and windows.

    total: rows of an epoch; steps: of an epoch; windows: how many; window_steps: of all windows but the last. rows: of an epoch;
    size: of a batch; capacity: of the largest window.

    >>> layout = Layout(np.array([5, 5, 5]), window=8, batch_size=4, seed=0)
    >>> layout.windows, [layout.span(number) for number in range(layout.windows)]
    (2, [(0, 8), (8, 15)])
    """

    def __init__(
        self,
        counts: NDArray[np.int64],
        *,
        window: int,
        batch_size: int,
        seed: int | None,
        merge_single: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not 0 <= rank < world_size:
            raise OptionError(f"rank is {rank}, but must be at least 0 and below world_size, which is {world_size}")
        if batch_size < world_size:
            raise OptionError(f"batch_size is {batch_size}, but {world_size} processes share each batch; use at least {world_size}")
        self.counts, self.seed, self.rank, self.world_size = counts, seed, rank, world_size
        self.total, self.batch_size = int(counts.sum()), batch_size
        self.steps = steps_per_epoch(self.total, batch_size, merge_single=merge_single)
        most = max(1, window // -(-batch_size // world_size))  # steps of a window, the same in all processes
        self.windows = -(-self.steps // most)
        self.window_steps = -(-self.steps // self.windows)
        self.windows = -(-self.steps // self.window_steps)
        last, full = self.whole(self.steps - 1), self.steps - 1
        self.size = self.share(batch_size)
        self.rows = full * self.size + self.share(last)
        self.start = full * (batch_size * rank // world_size) + last * rank // world_size
        self.capacity = max(1, *(stop - start for start, stop in map(self.span, range(self.windows))))

    def described(self) -> dict[str, int]:
        """Return the rows of an epoch, and the windows in which this process reads its part of them."""
        return {"rows": self.total, "windows": self.windows, "window_rows": self.capacity}

    def whole(self, step: int) -> int:
        """Return the rows of a step of an epoch, over all processes."""
        return self.total - step * self.batch_size if step == self.steps - 1 else self.batch_size

    def share(self, size: int) -> int:
        """Return how many rows of a batch are this process's: as many as any other's, one row more or less."""
        return size * (self.rank + 1) // self.world_size - size * self.rank // self.world_size

    def span(self, number: int) -> tuple[int, int]:
        """Return where the rows of a window of an epoch start and stop, among those of this process."""
        start = number * self.window_steps * self.size
        return start, self.rows if number == self.windows - 1 else start + self.window_steps * self.size

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order of the blocks in an epoch. Where one window has all rows, it is that of the files."""
        if self.seed is None or (self.windows == 1 and self.rows == self.total):
            return np.arange(len(self.counts))
        return permutation(self.seed, epoch, len(self.counts))


class WindowReader:
    """Fills windows, the next one ahead of time.

    read(block) returns the encoded training rows of a block, in memory that the next call may write over. Only the thread that trains
    calls `fill` and `close`.
    """

    def __init__(self, layout: Layout, read: Callable[[int], Encoded]) -> None:
        self.layout, self.read = layout, read
        self._ahead: Encoded | None = None  # the memory of the next window
        self._stop, self._next = threading.Event(), -1  # the window that is read ahead, counted through all epochs
        self._thread: ThreadPoolExecutor | None = None

    def fill(self, number: int, out: Encoded) -> int:
        """Write window `number`, counted through all epochs, into the rows of `out`; return how many it has.

        Errors: what reading and encoding raise.
        """
        if number != self._next or self._thread is None:
            self.close()
            if self._ahead is None:
                self._ahead = Encoded(*(None if part is None else np.zeros_like(part) for part in out))  # type: ignore[arg-type]
            self._stop.clear()
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="window reader")
            self._filled = self._windows(number, self._ahead)
            self._next, self._rows = number, self._thread.submit(next, self._filled)
        assert self._ahead is not None
        try:
            rows = self._rows.result()
        except Exception:
            self.close()
            raise
        _copy(out, 0, _cut(self._ahead, 0, rows))
        self._next, self._rows = number + 1, self._thread.submit(next, self._filled)
        return rows

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.shutdown()
        self._thread, self._next = None, -1

    def _windows(self, number: int, ahead: Encoded) -> Iterator[int]:
        """Fill `ahead` with window `number`, the one after it and so on; yield the rows of each."""
        layout = self.layout
        epoch, first = divmod(number, layout.windows)
        while True:
            pieces = self._pieces(epoch, layout.start + layout.span(first)[0])
            rest: Encoded | None = None
            for window in range(first, layout.windows):
                start, end = layout.span(window)
                rows = 0
                while rows < end - start:
                    piece = rest if rest is not None else next(pieces, None)
                    if piece is None:
                        return  # a stop was asked for
                    count = min(len(piece.x), end - start - rows)
                    _copy(ahead, rows, _cut(piece, 0, count))
                    rest = _cut(piece, count, len(piece.x)) if count < len(piece.x) else None
                    rows += count
                yield rows
            epoch, first = epoch + 1, 0

    def _pieces(self, epoch: int, position: int) -> Iterator[Encoded]:
        """Yield the encoded rows of an epoch from a position on, block by block."""
        order = self.layout.order(epoch)
        ends = np.cumsum(self.layout.counts[order])
        for place in range(int(np.searchsorted(ends, position, side="right")), len(order)):
            if self._stop.is_set():
                return
            block = int(order[place])
            if not self.layout.counts[block]:
                continue
            found = self.read(block)
            before = int(ends[place] - self.layout.counts[block])
            yield _cut(found, max(0, position - before), len(found.x))


def _cut(rows: Encoded, start: int, stop: int) -> Encoded:
    return Encoded(rows.x[start:stop], rows.target[start:stop], None if rows.weight is None else rows.weight[start:stop])


def _copy(out: Encoded, at: int, rows: Encoded) -> None:
    """Copy rows into others, from row `at` on."""
    for target, source in zip(out, rows, strict=True):
        if target is not None and source is not None:
            target[at : at + len(rows.x)] = source
