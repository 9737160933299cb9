"""Metrics of predictions. Each docstring says whether higher or lower is better. NumPy only.

Where a metric takes several predictions (..., N) of the same rows, it returns an array (...) instead of a number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "accuracy", "confusion_matrix", "counts_above", "log_loss", "mean_absolute_error", "per_class", "points_along",
    "precision_recall_f1", "r2_score", "roc_auc", "root_mean_squared_error", "scores_by_class", "wilson_interval",
]  # fmt: skip

Array = NDArray[Any]
QUANTILE = 1.96  # of the normal distribution, for 95%


def _number(found: Any) -> Any:
    """Return a number as a float, an array as it is."""
    return float(found) if np.ndim(found) == 0 else found


def _over_outputs(found: Array, truth: Array) -> Any:
    """Return the mean of values (..., O) over the outputs; those of one output (...) as they are."""
    return _number(found.mean(axis=-1) if truth.ndim == 2 else found)


def accuracy(truth: Array, predicted: Array, *, weight: Array | None = None) -> Any:
    """Return the fraction of rows (N,), or of whole rows (N, O), that are predicted exactly; of several predictions (..., N) an array. Higher is better.

    >>> accuracy(np.array([1, 0, 1, 1]), np.array([1, 0, 0, 1]))
    0.75
    >>> accuracy(np.array([1, 0]), np.array([[1, 0], [1, 1]])).tolist()
    [1.0, 0.5]
    """
    right = truth == predicted
    if truth.ndim == 2:
        right = right.all(axis=-1)
    return _number(np.average(right, axis=-1, weights=weight))


def confusion_matrix(truth: Array, predicted: Array, *, classes: int) -> NDArray[np.int64]:
    """Return counts (C, C): row = true class code, column = predicted class code.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    flat = truth.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def per_class(truth: Array, predicted: Array, *, classes: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return for each class, from class codes (N,): its label, rows, correct rows, recall (by the name "accuracy"), rows that were predicted to be of
    it, precision, F1, and 95% intervals of recall, precision and F1.

    None stands for a share of no rows. The intervals are Wilson's; that of F1 = 2 J / (1 + J) follows from that of J = correct / (count + predicted
    - correct), the share of the rows of either kind that are of both.

    >>> first = per_class(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=("a", "b"))[0]
    >>> first["accuracy"], first["precision"], round(first["f1"], 3), [round(limit, 2) for limit in first["intervals"]["recall"]]
    (0.5, 1.0, 0.667, [0.09, 0.91])
    """
    count, claimed = np.bincount(truth, minlength=len(classes)), np.bincount(predicted, minlength=len(classes))
    correct = np.bincount(truth[truth == predicted], minlength=len(classes))
    either = count + claimed - correct
    limits = {"recall": wilson_interval(correct, count), "precision": wilson_interval(correct, claimed)}
    low, high = wilson_interval(correct, either)
    limits["f1"] = (2 * low / (1 + low), 2 * high / (1 + high))
    found = []
    for code, label in enumerate(classes):
        right, rows, given = int(correct[code]), int(count[code]), int(claimed[code])
        entry = {"class": label, "correct": right, "count": rows, "accuracy": right / rows if rows else None, "predicted": given}
        entry |= {"precision": right / given if given else None, "f1": 2 * right / (rows + given) if rows + given else None}
        found.append(entry | {"intervals": {name: [float(both[0][code]), float(both[1][code])] for name, both in limits.items()}})
    return found


def wilson_interval(right: Any, count: Any) -> tuple[Any, Any]:
    """Return the lower and the upper limit of a share, right of count, with 95% confidence (Wilson 1927); 0 and 1 where there are no rows.

    >>> [round(limit, 3) for limit in wilson_interval(8, 10)]
    [0.49, 0.943]
    """
    n, k, z = np.asarray(count, dtype=np.float64), np.asarray(right, dtype=np.float64), QUANTILE
    safe = np.maximum(n, 1)
    share = k / safe
    middle = (share + z**2 / (2 * safe)) / (1 + z**2 / safe)
    half = z / (1 + z**2 / safe) * np.sqrt(share * (1 - share) / safe + z**2 / (4 * safe**2))
    low, high = np.clip(middle - half, 0.0, share), np.clip(middle + half, share, 1.0)  # rounding may put all of 99 outside
    return _number(np.where(n > 0, low, 0.0)), _number(np.where(n > 0, high, 1.0))


def precision_recall_f1(truth: Array, predicted: Array, *, weight: Array | None = None) -> dict[str, float]:
    """Return precision, recall and F1 of the rows (N,) with the code 1, 0 where there is none. Higher is better.

    >>> precision_recall_f1(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]))
    {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666}
    """
    count = np.ones(len(truth)) if weight is None else weight
    true, found = truth == 1, predicted == 1
    return _of_counts(*(float(count[rows].sum()) for rows in (true & found, true, found)))


def _of_counts(right: float, positive: float, claimed: float) -> dict[str, float]:
    precision, recall = right / claimed if claimed else 0.0, right / positive if positive else 0.0
    return {"precision": precision, "recall": recall, "f1": 2 * right / (positive + claimed) if positive + claimed else 0.0}


def scores_by_class(truth: Array, predicted: Array, *, weight: Array | None = None) -> list[dict[str, float]]:
    """Return precision, recall and F1 of each class that occurs in the class codes (N,), in one pass over the rows.

    >>> [round(found["f1"], 3) for found in scores_by_class(np.array([0, 0, 2]), np.array([0, 2, 2]))]
    [0.667, 0.667]
    """
    size = int(max(truth.max(initial=0), predicted.max(initial=0))) + 1
    right, positive, claimed = (
        np.bincount(codes[rows], None if weight is None else weight[rows], minlength=size)
        for codes, rows in ((truth, truth == predicted), (truth, slice(None)), (predicted, slice(None)))
    )
    occur = (np.bincount(truth, minlength=size) + np.bincount(predicted, minlength=size)).nonzero()[0]
    return [_of_counts(float(right[code]), float(positive[code]), float(claimed[code])) for code in occur]


def log_loss(shares: Array, *, weight: Array | None = None) -> Any:
    """Return the mean of -log p for the probabilities (N,) of the true classes; of several predictions (..., N) an array. Lower is better.

    >>> log_loss(np.array([1.0, 1.0]))
    0.0
    """
    return _number(np.average(-np.log(np.maximum(shares, np.finfo(np.float64).tiny)), axis=-1, weights=weight) + 0.0)


def roc_auc(positive: Array, scores: Array, *, weight: Array | None = None) -> float | None:
    """Return the area under the ROC curve: P(score of a positive > score of a negative), ties count one half. Higher is better.

    None where all rows are positive, or none is.

    >>> roc_auc(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    hits, misses = counts_above(positive, scores, weight=weight)
    if not hits[-1] or not misses[-1]:
        return None
    return float(np.sum(np.diff(misses) * (hits[1:] + hits[:-1])) / (2 * hits[-1] * misses[-1]))


def counts_above(positive: Array, scores: Array, *, weight: Array | None = None) -> tuple[Array, Array]:
    """Return how many (or what weight) of the positive rows, and of the others, have at least each distinct score, from the highest down.

    Both begin with 0. Their shares are the points of a ROC curve. Source: Fawcett 2006, "An introduction to ROC analysis", algorithm 1.

    >>> [counts.tolist() for counts in counts_above(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.4, 0.8]))]
    [[0.0, 1.0, 2.0, 2.0], [0.0, 0.0, 1.0, 2.0]]
    """
    count = np.ones(len(scores)) if weight is None else np.asarray(weight, dtype=np.float64)
    _, which = np.unique(-scores, return_inverse=True)
    hits, misses = (np.concatenate([[0.0], np.cumsum(np.bincount(which, weights=count * rows))]) for rows in (positive, ~positive))
    return hits, misses


def points_along(along: Array, *, most: int) -> NDArray[np.int64]:
    """Return the indices of at most so many points of a curve to draw: evenly spaced along it, with both ends. along: increasing, (P,).

    >>> points_along(np.array([0.0, 0.1, 0.2, 0.3, 1.0]), most=3).tolist()
    [0, 4]
    """
    if len(along) <= most:
        return np.arange(len(along))
    found = np.searchsorted(along, np.linspace(along[0], along[-1], most)).clip(max=len(along) - 1)
    return np.unique(np.concatenate([[0], found, [len(along) - 1]]))


def root_mean_squared_error(truth: Array, predicted: Array, *, weight: Array | None = None) -> Any:
    """Return sqrt(mean((truth - predicted)^2)), outputs averaged before the root; of several predictions an array. Lower is better.

    >>> root_mean_squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0])).__round__(3)
    1.414
    """
    with np.errstate(over="ignore"):  # beyond float64 the result is inf
        error = np.average((truth - predicted) ** 2, axis=-truth.ndim, weights=weight)
    return _number(np.sqrt(_over_outputs(error, truth)))


def mean_absolute_error(truth: Array, predicted: Array, *, weight: Array | None = None) -> Any:
    """Return mean(|truth - predicted|); of several predictions an array. Lower is better.

    >>> mean_absolute_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """
    return _over_outputs(np.average(np.abs(truth - predicted), axis=-truth.ndim, weights=weight), truth)


def r2_score(truth: Array, predicted: Array, *, weight: Array | None = None) -> Any:
    """Return 1 - sum((truth - predicted)^2) / sum((truth - mean)^2), averaged over outputs; of several predictions an array. Higher is better, 1 is
    perfect.

    A constant output gives 1 if it is predicted exactly, else 0, and a single row NaN, as in scikit-learn.

    >>> r2_score(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0]))
    0.5
    """
    centre = np.average(truth, axis=0, weights=weight)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float64 the result is not finite
        rest = np.average((truth - predicted) ** 2, axis=-truth.ndim, weights=weight)
        total = np.average((truth - centre) ** 2, axis=0, weights=weight)
        scores = np.where(total > 0, 1 - rest / np.where(total > 0, total, 1), np.where(rest > 0, 0.0, 1.0))
    if len(truth) < 2:
        scores = np.full_like(scores, np.nan)
    return _over_outputs(scores, truth)
