"""Piecewise-linear columns: a number as how far it is through each of several ranges, so that a network can bend at their ends.

For edges e_0 < e_1 < ... < e_P, range t of a value x is

    p_t(x) = clip((x - e_{t-1}) / (e_t - e_{t-1}), 0, 1)

Source: Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning". Differs: the first and the last range are
clipped on both sides, and the columns are centred and made small (SIZE), which acts as a smaller learning rate beside the plain column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pieces", "fit_pieces", "ranges_for"]

Values = NDArray[np.float64]

SIZE = 0.25
FEWEST, MOST, ROWS_PER_RANGE = 4, 48, 150


class Pieces(NamedTuple):
    """The ranges of a column. edges: P + 1 increasing numbers in the column's own units; centers: what is taken off each of P columns."""

    edges: tuple[float, ...]
    centers: tuple[float, ...]

    def columns(self, values: Values) -> Values:
        """Return the columns (N, P) of values (N,), which must not be missing.

        >>> Pieces((0.0, 1.0, 2.0), (0.5, 0.0)).columns(np.array([0.0, 1.0, 1.5])).tolist()
        [[-0.125, 0.0], [0.125, 0.0], [0.125, 0.125]]
        """
        return np.asarray((_through(values, np.array(self.edges)) - self.centers) * SIZE)


def ranges_for(rows: int) -> int:
    """Return how many ranges a column gets at most where there are so many training rows.

    >>> ranges_for(100), ranges_for(4_000), ranges_for(1_000_000)
    (4, 26, 48)
    """
    return int(np.clip(rows // ROWS_PER_RANGE, FEWEST, MOST))


def fit_pieces(values: Values, ranges: int) -> Pieces | None:
    """Return the ranges of finite values (N,): between quantiles, or between the values themselves where there are few.

    Where quantiles coincide, because some values are frequent, the ranges that are left go to the other values. None for fewer than
    three different values: such a column has no inner edge to bend at.
    """
    edges = _edges(values, ranges)
    if edges.size < 3:
        return None
    centers = _through(values, edges).mean(axis=0)
    return Pieces(tuple(edges.tolist()), tuple(centers.tolist()))


def _edges(values: Values, ranges: int) -> Values:
    different, counts = np.unique(values, return_counts=True)
    if different.size <= ranges + 1:
        return different
    quantiles = np.unique(np.quantile(values, np.linspace(0.0, 1.0, ranges + 1)))
    if quantiles.size == ranges + 1:
        return quantiles
    frequent = counts > values.size / ranges
    others = np.repeat(different[~frequent], counts[~frequent])
    left = max(ranges + 1 - int(frequent.sum()), 2)
    return np.unique(np.concatenate([different[frequent], np.quantile(others, np.linspace(0.0, 1.0, left))]))


def _through(values: Values, edges: Values) -> Values:
    """Return how far each value is through each range, from 0 to 1: (N, P)."""
    scale = max(float(np.abs(edges).max()), 1e-300)  # so that the width of a range of 1e308 is finite
    low, width = edges[:-1] / scale, np.diff(edges / scale)
    return np.asarray(np.clip((values[:, None] / scale - low) / width, 0.0, 1.0))
