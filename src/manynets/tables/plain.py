"""Numeric columns that need no more than centre and scale, encoded together: the same bits as one by one, in a third of the time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manynets.tables.columns import FLOAT32_MAX, ColumnEncoder, NumericColumn
from manynets.tables.table import Table

if TYPE_CHECKING:
    from manynets.tables.encoder import Block

ROWS = 2000
"""Encoded at a time, so that the work space stays in the cache; no power of two, whose columns would share lines of the cache."""
CELLS = 1 << 16
"""Of an array, encoded at a time."""


class PlainArray:
    """The columns of an array, encoded together where each needs no more than limits, centre and scale."""

    def __init__(self, columns: Sequence[NumericColumn]) -> None:
        self.center, self.scale, self.low, self.high = _lines(columns)
        with np.errstate(over="ignore"):
            reach = np.maximum(self.center - self.low, self.high - self.center) / self.scale
        self.within_limits = bool((reach <= FLOAT32_MAX).all())

    @classmethod
    def of(cls, columns: Sequence[ColumnEncoder]) -> PlainArray | None:
        """Return the columns of an array, None where one has gaps, quantiles, a smooth clip or piecewise-linear columns."""
        numeric = [column for column in columns if isinstance(column, NumericColumn) and _is_scaled(column) and not column.gaps]
        return cls(numeric) if numeric and len(numeric) == len(columns) else None

    def transform(self, array: Any, out: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        """Return an array (N, D) of numbers encoded, in out if that is given.

        None for anything else, and for what has a gap, an infinite value or one too large.
        """
        width = len(self.center)
        if not isinstance(array, np.ndarray) or array.shape[1:] != (width,) or array.dtype.kind not in "fiu":
            return None
        out = np.empty(array.shape, dtype=np.float32) if out is None else out
        step = max(1, CELLS // width)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(array), step):
                work = array[start : start + step].astype(np.float64)
                if not math.isfinite(work.sum()):
                    return None
                np.maximum(work, self.low, out=work)
                np.minimum(work, self.high, out=work)
                work -= self.center
                work /= self.scale
                if not self.within_limits and not max(work.max(), -work.min()) <= FLOAT32_MAX:
                    return None
                out[start : start + step] = work
        return out


class PlainNumbers:
    """The columns of a table in memory that hold numbers and are neither text, quantiles nor piecewise linear.

    A part of the rows in which such a column has a gap or an infinite value is left to its encoder.
    """

    def __init__(self, table: Table, columns: Sequence[ColumnEncoder], blocks: Sequence[Block]) -> None:
        chosen = []
        if table.frame is not None and table.taken is None and not table.frame.implementation.is_pyarrow():
            chosen = [pair for pair in zip(columns, blocks, strict=False) if _is_plain(table, pair[0])]
        numeric = [column for column, _ in chosen if isinstance(column, NumericColumn)]
        self.names = [column.name for column in numeric]
        self.values = [table.series(name).to_numpy() for name in self.names]
        self.at = np.array([block.start for _, block in chosen], dtype=np.int64)
        self.center, self.scale, self.low, self.high = _lines(numeric)
        self.work = np.empty((len(numeric), ROWS))
        self.narrow = np.empty((len(numeric), ROWS), dtype=np.float32)

    def fill_in(self, start: int, stop: int, out: NDArray[np.float32]) -> set[str]:
        """Write the columns of rows `start` to `stop` into out (N, D), all columns of the output; return the names of those done."""
        if not self.names:
            return set()
        done = np.ones(len(self.names), dtype=bool)
        for first in range(start, stop, ROWS):
            last = min(first + ROWS, stop)
            done &= self._fill_in(first, last, out[first - start : last - start])
        return {name for name, whole in zip(self.names, done.tolist(), strict=True) if whole}

    def _fill_in(self, first: int, last: int, out: NDArray[np.float32]) -> NDArray[np.bool_]:
        work = self.work[:, : last - first]
        for line, values in zip(work, self.values, strict=True):
            line[:] = values[first:last]
        low, high = work.min(axis=1), work.max(axis=1)  # NaN where there is one
        sound = np.isfinite(low) & np.isfinite(high)
        if not (low >= self.low).all() or not (high <= self.high).all():
            np.clip(work, self.low[:, None], self.high[:, None], out=work)
            low, high = work.min(axis=1), work.max(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            work -= self.center[:, None]
            work /= self.scale[:, None]
            reach = np.maximum(np.abs(low - self.center), np.abs(high - self.center)) / self.scale
            sound &= reach <= FLOAT32_MAX
            narrow = self.narrow[:, : last - first]
            narrow[:] = work
            if sound.all() and len(self.at) == out.shape[1]:
                out[:] = narrow.T
            else:
                out[:, self.at[sound]] = narrow[sound].T
        return sound


def _lines(columns: Sequence[NumericColumn]) -> NDArray[np.float64]:
    """Return centre, scale and limits of columns, (4, D)."""
    unlimited = (-np.inf, np.inf)
    lines = [(column.spread.center, column.spread.scale, *(column.limits or unlimited)) for column in columns]
    return np.array(lines, dtype=np.float64).reshape(-1, 4).T.copy()


def _is_plain(table: Table, column: ColumnEncoder) -> bool:
    if not isinstance(column, NumericColumn) or not _is_scaled(column):
        return False
    if 0.0 in (column.limits or ()) and not table.series(column.name).implementation.is_polars():
        return False  # clipped together with others, -0.0 becomes 0.0
    dtype: Any = table.series(column.name).dtype
    return bool(dtype.is_float() or dtype.is_integer())


def _is_scaled(column: NumericColumn) -> bool:
    """Return whether a number needs no more than limits, centre and scale."""
    return column.fill is not None and column.pieces is None and not column.spread.knots and not column.spread.smooth
