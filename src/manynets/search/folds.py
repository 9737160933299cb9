"""Folds as pairs of row numbers, from whatever a user calls folds. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.data.split import deal_rows
from manynets.errors import DataError, OptionError

__all__ = ["Fold", "folds_of"]

Rows: TypeAlias = NDArray[np.int64]
Fold: TypeAlias = tuple[Rows | None, Rows | None]
"""Rows to train on (None: all) and rows to test on (None: none)."""


def folds_of(cv: Any, X: Any, y: Any, groups: Any, *, total: int, strata: NDArray[Any] | None, seed: int = 0) -> list[Fold]:
    """Return folds: None is one of all rows without a test, a number deals the rows, else a splitter or pairs of rows or masks.

    The order of the rows is kept, and rows may occur twice in training (a bootstrap).
    """
    if cv is None:
        return [(None, None)]
    if isinstance(cv, int | np.integer):
        return list(deal_rows(total, int(cv), strata=strata, seed=seed, what="cv"))
    if hasattr(cv, "split"):
        cv = cv.split(X, y, groups)
    if not isinstance(cv, Iterable):
        raise OptionError(f"cv is {cv!r}, but must be None, a number, a splitter, or pairs (training rows, test rows)")
    out: list[Fold] = []
    for number, pair in enumerate(cv):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise OptionError(f"fold {number} is {pair!r}, but must be a pair (training rows, test rows)")
        train, test = (_rows(part, total, f"fold {number}") for part in pair)
        if len(train) == 0:
            raise DataError(f"fold {number} has no training rows")
        out.append((train, test if len(test) else None))
    if not out:
        raise OptionError("cv is empty; give at least one pair (training rows, test rows)")
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
