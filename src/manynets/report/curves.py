"""ROC and precision-recall curves of weighted rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from manynets.metrics import counts_above
from manynets.report.parts import Array


@dataclasses.dataclass(frozen=True, eq=False)
class ClassCurves:
    """Rates of one class at each distinct score, from the highest down; the first point is before any row.

    true, false: the share of the rows of the class, and of the others, that are above it. precision: the share of those above it that are of the
    class; 1 before any row.
    """

    true: NDArray[np.float64]
    false: NDArray[np.float64]
    precision: NDArray[np.float64]


def curves_of(positive: Array, scores: Array, *, weight: Array | None = None) -> ClassCurves:
    """Return the curves of a class. positive: whether a row is of the class (N,); both must occur.

    >>> curves = curves_of(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.4, 0.8]))
    >>> curves.true.tolist(), curves.false.tolist()
    ([0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0])
    """
    hits, misses = counts_above(positive, scores, weight=weight)
    above = hits + misses
    precision = np.divide(hits, above, out=np.ones(len(above)), where=above > 0)
    return ClassCurves(hits / hits[-1], misses / misses[-1], precision)


def shares_claimed(positive: Array, scores: Array, shares: Sequence[float], *, weight: Array | None = None) -> list[list[float]]:
    """Return what it means to take so many of the rows with the highest scores for positive: for each share of the rows that share, the lowest
    score, precision, recall and F1. Rows of the same score go together, so there may be more of them than asked for.

    >>> shares_claimed(np.array([False, False, True, True]), np.array([0.1, 0.2, 0.4, 0.8]), [0.2, 0.5])
    [[0.25, 0.8, 1.0, 0.5, 0.6666666666666666], [0.5, 0.4, 1.0, 1.0, 1.0]]
    """
    hits, misses = counts_above(positive, scores, weight=weight)
    claimed, lowest = hits + misses, np.unique(scores)[::-1]
    at = np.unique(np.searchsorted(claimed, np.array(shares) * claimed[-1]).clip(1, len(lowest)))
    return [
        [
            float(value)
            for value in (
                claimed[i] / claimed[-1],
                lowest[i - 1],
                hits[i] / claimed[i],
                hits[i] / hits[-1],
                2 * hits[i] / (claimed[i] + hits[-1]),
            )
        ]
        for i in at
    ]


def roc_area(curves: ClassCurves) -> float:
    """Return the area under the ROC curve."""
    return float(np.trapezoid(curves.true, curves.false))


def average_precision(curves: ClassCurves) -> float:
    """Return the mean of the precision over the recall, as scikit-learn's `average_precision_score` does."""
    return float(np.sum(np.diff(curves.true) * curves.precision[1:]))
