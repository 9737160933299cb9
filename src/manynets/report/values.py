"""The values of the columns that a model reads, as texts and in bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.display import shortened, value_text
from manynets.explain.values import NumberValues, column_values, moment_texts
from manynets.model import Model
from manynets.report.parts import Array

LONGEST = 40


def texts_of(model: Model, X: Any, *, most: int) -> dict[str, list[str]]:
    """Return the cells of the first columns of rows X as texts, by column; those of an array without an encoder are left out."""
    if model.encoder is None:
        return {}
    out: dict[str, list[str]] = {}
    for name, column in column_values(model, X):
        if len(out) == most:
            break
        if isinstance(column, NumberValues):
            numbers = column.values
            out[name] = _moments(numbers) if column.dates else ["" if np.isnan(one) else value_text(one) for one in numbers]
        else:
            out[name] = ["" if code < 0 else shortened(column.labels[code], LONGEST) for code in column.codes.tolist()]
    return out


def _moments(seconds: Array) -> list[str]:
    """Return seconds since 1970 (N,) as texts, "" for NaN."""
    there = np.isfinite(seconds)
    texts = iter(moment_texts([str(np.datetime64(int(one), "s")) for one in seconds[there]]))
    return [next(texts) if one else "" for one in there]


def quantile_bins(values: Array, *, most: int, fewest: int = 1) -> NDArray[np.int64]:
    """Return the number of the bin of each finite value (N,), from 0 on.

    The bins are quantiles, as many as leave at least `fewest` values in each if all differ, or one for each value where there are few.

    >>> quantile_bins(np.array([3.0, 1.0, 1.0]), most=4).tolist()
    [1, 0, 0]
    """
    different, which = np.unique(values, return_inverse=True)
    if len(different) <= most:
        return np.asarray(which, dtype=np.int64)
    count = max(1, min(most, len(values) // (fewest + 1)))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)))
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(0, len(edges) - 2))
