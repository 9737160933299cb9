"""Large categories as numbers: the mean of the target over the rows of a level, as far as there are such rows.

For a level with n training rows, whose target sums to s, and the mean of all training rows p,

    m(level) = (s + 10 p) / (n + 10)

A level not seen at fit has p. A network that trained on means with a row's own target in them would trust them too much: the rows that
it is trained on get the means of the other four of five folds instead (`other_folds`; `fold_means` of a stream).

Source: Micci-Barreca 2001, "A Preprocessing Scheme for High-Cardinality Categorical Attributes"; scikit-learn's TargetEncoder.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manynets import rng
from manynets.tables.piecewise import Pieces, fit_pieces
from manynets.tables.scaling import Scaling, Spread, apply_spread, fit_spread

Values = NDArray[np.float64]

PRIOR_ROWS = 10.0  # the weight of the mean of all rows
FOLDS = 5
MOST_WITHOUT = 50  # levels of a column without means
MOST_OUTPUTS = 16  # of a target with more there are no means


class LevelMeans(NamedTuple):
    """The means of one output of the target.

    values: of each level; missing: of rows without a value; prior: of all rows. spread, pieces: as of a numeric column.
    """

    values: tuple[float, ...]
    missing: float
    prior: float
    spread: Spread
    pieces: Pieces | None

    @property
    def width(self) -> int:
        """Output columns."""
        return 1 if self.pieces is None else len(self.pieces.edges)

    def fill_in(self, means: Values, out: NDArray[np.float32]) -> None:
        """Write means (N,) of rows into out (N, width)."""
        out[:, 0] = apply_spread(means, self.spread)
        if self.pieces is not None:
            out[:, 1:] = self.pieces.columns(means)


def targets_of(target: NDArray[Any], classes: int | None = None) -> Values | None:
    """Return what means are taken of, (N, O): numbers as they are, of classes (whole numbers) whether a row is of each; None for too many.

    classes: how many there are; None: as many as the target shows.

    >>> targets_of(np.array([0, 2, 1])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    if target.dtype.kind in "iu" and target.ndim == 1:
        classes = int(target.max()) + 1 if classes is None else classes
        return None if classes > MOST_OUTPUTS else (target[:, None] == np.arange(classes)).astype(np.float64)
    columns = target.reshape(len(target), -1).astype(np.float64)
    return None if columns.shape[1] > MOST_OUTPUTS else columns


def is_large(levels: int, max_levels: int) -> bool:
    """Return whether a column of this many levels, of which at most `max_levels` have an output of their own, gets means.

    >>> is_large(50, 256), is_large(51, 256), is_large(21, 20)
    (False, True, True)
    """
    return levels > min(max_levels, MOST_WITHOUT)


def _means(codes: NDArray[np.int64], target: Values, levels: int) -> tuple[Values, float]:
    """Return the mean of each level (L,), and of all rows, of a target (N,)."""
    prior = float(target.mean())
    counts, sums = np.bincount(codes, minlength=levels), np.bincount(codes, weights=target, minlength=levels)
    return (sums + PRIOR_ROWS * prior) / (counts + PRIOR_ROWS), prior


def other_folds(codes: NDArray[np.int64], target: Values) -> Values:
    """Return for each row the mean of its level over the rows of the other folds, (N,). codes: its level (N,); target: (N,).

    >>> other_folds(np.array([0, 0, 0, 0, 1]), np.array([1.0, 1.0, 1.0, 1.0, 0.0])).round(2).tolist()
    [0.81, 0.81, 0.81, 0.81, 1.0]
    """
    folds = rng.generator(0, "split", FOLDS).permutation(len(codes)) % FOLDS
    out, levels = np.full(len(codes), float(target.mean())), int(codes.max()) + 1
    for fold in range(FOLDS):
        own = folds == fold
        if own.any() and not own.all():
            out[own] = _means(codes[~own], target[~own], levels)[0][codes[own]]
    return out


def fit_means(codes: NDArray[np.int64], levels: int, target: Values, scaling: Scaling, bins: int) -> LevelMeans:
    """Return the means of a target (N,) over the levels of a column, whose codes (N,) are `levels` where a value is missing."""
    values, prior = _means(codes, target, levels + 1)
    return level_means(np.append(values, prior), other_folds(codes, target), scaling, bins)


def level_means(values: Values, seen: Values, scaling: Scaling, bins: int) -> LevelMeans:
    """Return the means of a column. values: of its levels, of missing and of unseen values; seen: the means that the training rows get."""
    pieces = fit_pieces(seen, bins) if bins else None
    return LevelMeans(tuple(values[:-2].tolist()), float(values[-2]), float(values[-1]), fit_spread(seen, scaling), pieces)


# ------------------------------------------------------------------------------------------- of rows that come part by part


def add_rows(sums: Values, folds: NDArray[np.int64], codes: NDArray[np.int64], target: Values) -> None:
    """Add rows to how many there are of each fold and level, and to the sums of their target: (1 + O, FOLDS, L), of which L - 1 is unseen.

    folds, codes (N,): of each row, the latter as `CategoricalColumn.codes` has them; target: (N, O).
    """
    for part, weights in zip(sums, (None, *target.T), strict=True):
        part += np.bincount(folds * part.shape[1] + codes, weights=weights, minlength=part.size).reshape(part.shape)


def fold_means(sums: Values) -> Values:
    """Return the mean of each level over the rows of the other folds, and last over all rows, (O, FOLDS + 1, L), from `add_rows`.

    >>> sums = np.zeros((2, FOLDS, 3))
    >>> add_rows(sums, np.array([0, 1, 2]), np.array([0, 0, 0]), np.array([[1.0], [1.0], [4.0]]))
    >>> fold_means(sums)[0, :, 0].tolist()
    [2.5, 2.5, 1.0, 2.0, 2.0, 2.0]
    """
    others = [np.delete(sums, fold, axis=1).sum(axis=1) for fold in range(FOLDS)]
    rows, *targets = np.stack([*others, sums.sum(axis=1)], axis=1)
    total = np.array(targets)
    prior = total.sum(axis=2, keepdims=True) / rows.sum(axis=1, keepdims=True)
    means = (total + PRIOR_ROWS * prior) / (rows + PRIOR_ROWS)
    means[:, :, -1:] = prior
    return np.asarray(means)
