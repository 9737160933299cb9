"""Piecewise-linear columns: a number as how far it is through each of several ranges, so that a network can bend at their ends.

For edges e_0 < e_1 < ... < e_P, range t of a value x is

    p_t(x) = clip((x - e_{t-1}) / (e_t - e_{t-1}), 0, 1)

The edges are quantiles, or the splits of a decision tree that predicts the target from this column alone.

Source: Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning". Differs: the first and the last range are
clipped on both sides, and the columns are centred and made small (SIZE), which acts as a smaller learning rate beside the plain column.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manynets.spec import PiecewiseLinear

Values = NDArray[np.float64]

SIZE = 0.25
FEWEST_BINS, MOST_BINS, ROWS_PER_BIN = 4, 48, 150
MOST_EDGES = 256
AT_ONCE = 1 << 12  # values of a column that are looked at together
LEAF_ROWS, LEAF_GAIN = 64, 1e-4  # of a tree: rows of a bin, and what a split must gain of the impurity


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

    def features(self, name: str) -> list[str]:
        """Return the names of these columns, for a column of this name."""
        return [f"{name} {low:g}..{high:g}" for low, high in itertools.pairwise(self.edges)]


def bins_for(rows: int) -> int:
    """Return how many bins a column gets at most where there are so many training rows.

    >>> bins_for(100), bins_for(4_000), bins_for(1_000_000)
    (4, 26, 48)
    """
    return int(np.clip(rows // ROWS_PER_BIN, FEWEST_BINS, MOST_BINS))


def bins_of(embedding: PiecewiseLinear | None, rows: int) -> int:
    """Return how many bins an embedding gives each column at most where there are so many training rows; 0 without one."""
    return 0 if embedding is None else embedding.bins or bins_for(rows)


def fit_pieces(values: Values, bins: int, target: NDArray[Any] | None = None) -> Pieces | None:
    """Return the bins of finite values (N,), at most so many: between quantiles, or between the values themselves where there are few.

    Where quantiles coincide, because some values are frequent, the bins that are left go to the other values. None for fewer than
    three different values, and where the target asks for no inner edge: such a column has nothing to bend at.

    target: whole numbers for classes (N,), or numbers (N,) or (N, O); the edges are then those at which a decision tree splits the values.
    """
    edges = _quantile_edges(values, bins) if target is None else _tree_edges(values, bins, target)
    if edges.size < 3:
        return None
    return Pieces(tuple(edges.tolist()), tuple(_mean_through(values, edges).tolist()))


def _quantile_edges(values: Values, bins: int) -> Values:
    different, counts = np.unique(values, return_counts=True)
    if different.size <= bins + 1:
        return different
    quantiles = np.unique(np.quantile(values, np.linspace(0.0, 1.0, bins + 1)))
    if quantiles.size == bins + 1:
        return quantiles
    frequent = counts > values.size / bins
    others = np.repeat(different[~frequent], counts[~frequent])
    left = max(bins + 1 - int(frequent.sum()), 2)
    return np.unique(np.concatenate([different[frequent], np.quantile(others, np.linspace(0.0, 1.0, left))]))


def _tree_edges(values: Values, bins: int, target: NDArray[Any]) -> Values:
    """Return the least and the largest value, and between them the splits of a tree with at most so many leaves.

    As in rtdl_num_embeddings, by the impurity of classes, or the variance of numbers as a share of the whole; a leaf has at least 64 rows,
    or a bin's share where that is less. Differs: the tree sees the ranks of the values, so that their size does not matter to its float32.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    different, ranks = np.unique(values, return_inverse=True)
    kind: Any = DecisionTreeClassifier if target.dtype.kind in "iub" else DecisionTreeRegressor
    if target.dtype.kind == "f":
        spread = target.std(axis=0)
        target = target / np.where(spread > 0, spread, 1.0)
    least = max(1, min(LEAF_ROWS, values.size // bins))
    tree = kind(max_leaf_nodes=bins, min_samples_leaf=least, min_impurity_decrease=LEAF_GAIN, random_state=0)
    found = tree.fit(ranks.reshape(-1, 1).astype(np.float32), target).tree_
    splits = np.sort(found.threshold[found.feature >= 0])  # between two ranks, which float32 holds up to 2^24
    below, above = different[np.floor(splits).astype(np.int64)], different[np.ceil(splits).astype(np.int64)]
    inner = below / 2.0 + above / 2.0
    return np.unique(np.concatenate([different[:1], inner, different[-1:]]))


def _mean_through(values: Values, edges: Values) -> Values:
    """Return the mean of `_through` over all values (P,): a few at a time, which stay in the cache, added up in their order."""
    total = np.zeros((1, len(edges) - 1))
    for start in range(0, len(values), AT_ONCE):
        total = np.concatenate([total, _through(values[start : start + AT_ONCE], edges)]).sum(axis=0, keepdims=True)
    return np.asarray(total[0] / len(values))


def _through(values: Values, edges: Values) -> Values:
    """Return how far each value is through each range, from 0 to 1: (N, P)."""
    scale = max(float(np.abs(edges).max()), 1e-300)  # so that the width of a range of 1e308 is finite
    low, width = edges[:-1] / scale, np.diff(edges / scale)
    return np.asarray(np.clip((values[:, None] / scale - low) / width, 0.0, 1.0))
