"""ROC and precision-recall curves of weighted rows."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from manynets.report.parts import Array

__all__ = ["ClassCurves", "average_precision", "curves_of", "roc_area", "thinned"]

MOST_POINTS = 150


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

    Source: Fawcett 2006, "An introduction to ROC analysis", algorithm 1.

    >>> curves = curves_of(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.4, 0.8]))
    >>> curves.true.tolist(), curves.false.tolist()
    ([0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0])
    """
    count = np.ones(len(scores)) if weight is None else np.asarray(weight, dtype=np.float64)
    _, which = np.unique(-scores, return_inverse=True)
    hits = np.concatenate([[0.0], np.cumsum(np.bincount(which, weights=count * positive))])
    misses = np.concatenate([[0.0], np.cumsum(np.bincount(which, weights=count * ~positive))])
    above = hits + misses
    precision = np.divide(hits, above, out=np.ones(len(above)), where=above > 0)
    return ClassCurves(hits / hits[-1], misses / misses[-1], precision)


def roc_area(curves: ClassCurves) -> float:
    """Return the area under the ROC curve."""
    return float(np.sum(np.diff(curves.false) * (curves.true[1:] + curves.true[:-1]) / 2))


def average_precision(curves: ClassCurves) -> float:
    """Return the mean of the precision over the recall, as scikit-learn's `average_precision_score` does."""
    return float(np.sum(np.diff(curves.true) * curves.precision[1:]))


def thinned(along: Array) -> NDArray[np.int64]:
    """Return the points of a curve to draw: at most 150, evenly spaced along it, with its ends."""
    if len(along) <= MOST_POINTS:
        return np.arange(len(along))
    wanted = np.linspace(along[0], along[-1], MOST_POINTS)
    return np.unique(np.concatenate([[0], np.searchsorted(along, wanted).clip(max=len(along) - 1), [len(along) - 1]]))
