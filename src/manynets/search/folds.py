"""Folds as pairs of row numbers, from whatever a user calls folds. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets import rng
from manynets.errors import DataError, OptionError

__all__ = ["Fold", "deal_rows", "folds_of"]

Rows: TypeAlias = NDArray[np.int64]
Fold: TypeAlias = tuple[Rows | None, Rows | None]
"""Rows to train on (None: all) and rows to test on (None: none)."""


def deal_rows(total: int, folds: int, *, strata: NDArray[Any] | None = None, seed: int = 0) -> list[tuple[Rows, Rows]]:
    """Return (training rows, test rows) of so many folds, dealt at random; with strata (N,) each class is dealt evenly.

    >>> [test.tolist() for _, test in deal_rows(4, 2, strata=np.array([0, 0, 1, 1]))]
    [[0, 2], [1, 3]]
    """
    if isinstance(folds, bool) or not 2 <= folds <= total:
        raise OptionError(f"folds is {folds!r}, but must be a whole number from 2 to {total}, the number of rows")
    order = rng.generator(seed, "split").permutation(total)
    if strata is not None:
        order = order[np.argsort(strata[order], kind="stable")]
    fold = np.empty(total, dtype=np.int64)
    fold[order] = np.arange(total) % folds
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]


def folds_of(folds: Any, X: Any, y: Any, groups: Any, *, total: int, strata: NDArray[Any] | None, seed: int = 0) -> list[Fold]:
    """Return folds: None is one of all rows without a test, a number deals the rows, else a splitter or pairs of rows or masks.

    The order of the rows is kept, and rows may occur twice in training (a bootstrap).
    """
    if folds is None:
        return [(None, None)]
    if isinstance(folds, int | np.integer):
        return list(deal_rows(total, int(folds), strata=strata, seed=seed))
    if hasattr(folds, "split"):
        folds = folds.split(X, y, groups)
    if not isinstance(folds, Iterable):
        raise OptionError(f"folds is {folds!r}, but must be None, a number, a splitter, or pairs (training rows, test rows)")
    out: list[Fold] = []
    for number, pair in enumerate(folds):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise OptionError(f"fold {number} is {pair!r}, but must be a pair (training rows, test rows)")
        train, test = (_rows(part, total, f"fold {number}") for part in pair)
        if len(train) == 0:
            raise DataError(f"fold {number} has no training rows")
        out.append((train, test if len(test) else None))
    if not out:
        raise OptionError("folds is empty; give at least one pair (training rows, test rows)")
    return out


def _rows(given: Any, total: int, what: str) -> Rows:
    rows = np.asarray(given)
    if rows.size == 0:
        return np.empty(0, dtype=np.int64)
    if rows.dtype == bool and rows.shape == (total,):
        return np.flatnonzero(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise DataError(
            f"{what} has rows of shape {rows.shape} and type {rows.dtype}; they must be row numbers or masks of {total} bools"
        )
    bad = rows[(rows < 0) | (rows >= total)]
    if len(bad):
        raise DataError(f"{what} lists row {bad[0]}, but rows are numbered 0 to {total - 1}")
    return rows.astype(np.int64)
