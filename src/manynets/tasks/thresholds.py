"""The probability above which the second of two classes is predicted: a number, the best for a metric, or what errors cost."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.errors import DataError, OptionError

__all__ = ["THRESHOLD_METRICS", "best_threshold", "cost_threshold", "threshold_of"]

Array: TypeAlias = NDArray[Any]

THRESHOLD_METRICS = ("f1", "accuracy")
"""What a threshold can be best for."""


def best_threshold(probability: Array, positive: Array, weight: Array | None = None, *, metric: str = "f1") -> float:
    """Return the threshold with the highest F1 or accuracy, for probabilities (N,) of rows that are positive (N,) or not: halfway between
    two of them.

    >>> best_threshold(np.array([0.1, 0.2, 0.4, 0.9]), np.array([False, False, True, True]))
    0.3
    """
    count = np.ones(len(probability)) if weight is None else weight
    values, which = np.unique(probability, return_inverse=True)
    found = np.bincount(which, weights=count * positive)[::-1].cumsum()[::-1]  # positives at or above each value
    claimed = np.bincount(which, weights=count)[::-1].cumsum()[::-1]
    score = (
        2 * found / (found[0] + claimed) if metric == "f1" else 2 * found - claimed
    )  # of accuracy, what depends on the threshold
    best = int(score.argmax())
    below = values[best - 1] if best else 0.0
    return float(np.clip(round((below + values[best]) / 2, 6), 1e-6, 1 - 1e-6))


def cost_threshold(costs: Any) -> float:
    """Return the probability above which predicting the second class costs less, for costs [true class][predicted class].

    With p the probability of the second class, its prediction costs less where p > a / (a + b), with a = costs[0][1] - costs[0][0] and
    b = costs[1][0] - costs[1][1]: what the two kinds of errors cost more than being right. Source: Elkan 2001, "The Foundations of Cost-Sensitive
    Learning".

    >>> cost_threshold([[0, 1], [4, 0]])
    0.2
    """
    try:
        matrix = np.asarray(costs, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (2, 2) or not np.isfinite(matrix).all():
        raise OptionError(
            f"costs are {costs!r}, but must be two rows of two numbers, [true class][predicted class], such as [[0, 1], [5, 0]]"
        )
    first, second = float(matrix[0, 1] - matrix[0, 0]), float(matrix[1, 0] - matrix[1, 1])
    if not (first > 0 and second > 0):
        raise OptionError(f"costs are {costs!r}, but each error must cost more than being right about that class")
    return first / (first + second)


def threshold_of(wanted: Any, probability: Array | None, positive: Array | None, weight: Array | None = None) -> float:
    """Return a threshold: a number as it is, that of costs (2, 2), or for "f1" and "accuracy" the best for probabilities (N,) of rows.

    probability, positive: of rows that were not trained on; None without any. Errors: OptionError for anything else, DataError where a metric
    lacks rows.
    """
    if isinstance(wanted, str):
        if wanted not in THRESHOLD_METRICS:
            raise OptionError(
                f"threshold is {wanted!r}, but must be a number above 0 and below 1, costs, or {' or '.join(THRESHOLD_METRICS)}"
            )
        if probability is None or positive is None or not len(probability):
            raise DataError(f"the threshold for {wanted} is found on rows that were not trained on; give X and y, or validate")
        return best_threshold(probability, positive, weight, metric=wanted)
    if isinstance(wanted, int | float | np.floating) and not isinstance(wanted, bool):
        if not (math.isfinite(wanted) and 0 < wanted < 1):
            raise OptionError(f"threshold is {wanted!r}, but must be above 0 and below 1")
        return float(wanted)
    return cost_threshold(wanted)
