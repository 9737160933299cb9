"""Metrics of predictions. Each docstring says whether higher or lower is better. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "accuracy",
    "confusion_matrix",
    "log_loss",
    "mean_absolute_error",
    "per_class",
    "precision_recall_f1",
    "r2_score",
    "roc_auc",
    "root_mean_squared_error",
]

Array = NDArray[Any]


def accuracy(truth: Array, predicted: Array, *, weight: Array | None = None) -> float:
    """Return the fraction of rows (N,), or of whole rows (N, O), that are predicted exactly. Higher is better.

    >>> accuracy(np.array([1, 0, 1, 1]), np.array([1, 0, 0, 1]))
    0.75
    """
    right = truth == predicted
    if right.ndim == 2:
        right = right.all(axis=1)
    return float(np.average(right, weights=weight))


def confusion_matrix(truth: Array, predicted: Array, *, classes: int) -> NDArray[np.int64]:
    """Return counts (C, C): row = true class code, column = predicted class code.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    flat = truth.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def per_class(truth: Array, predicted: Array, *, classes: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return the label, rows, correct rows and accuracy (recall; None without rows) of each class, from class codes (N,).

    >>> per_class(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=("a", "b"))[0]
    {'class': 'a', 'correct': 1, 'count': 2, 'accuracy': 0.5}
    """
    counts = np.bincount(truth, minlength=len(classes)).tolist()
    correct = np.bincount(truth[truth == predicted], minlength=len(classes)).tolist()
    return [
        {"class": label, "correct": right, "count": count, "accuracy": right / count if count else None}
        for label, right, count in zip(classes, correct, counts, strict=True)
    ]


def precision_recall_f1(truth: Array, predicted: Array, *, weight: Array | None = None) -> dict[str, float]:
    """Return precision, recall and F1 of the rows (N,) with the code 1, 0 where there is none. Higher is better.

    >>> precision_recall_f1(np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]))
    {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666}
    """
    count = np.ones(len(truth)) if weight is None else weight
    true, found = truth == 1, predicted == 1
    right, positive, claimed = (float(count[rows].sum()) for rows in (true & found, true, found))
    precision, recall = right / claimed if claimed else 0.0, right / positive if positive else 0.0
    return {"precision": precision, "recall": recall, "f1": 2 * right / (positive + claimed) if positive + claimed else 0.0}


def log_loss(shares: Array, *, weight: Array | None = None) -> float:
    """Return the mean of -log p for the probabilities (N,) of the true classes. Lower is better.

    >>> log_loss(np.array([1.0, 1.0]))
    0.0
    """
    return float(np.average(-np.log(np.maximum(shares, np.finfo(np.float64).tiny)), weights=weight)) + 0.0


def roc_auc(positive: Array, scores: Array, *, weight: Array | None = None) -> float | None:
    """Return the area under the ROC curve: P(score of a positive > score of a negative), ties count one half. Higher is better.

    None where all rows are positive, or none is.

    >>> roc_auc(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    count = np.ones(len(scores)) if weight is None else np.asarray(weight, dtype=np.float64)
    _, which = np.unique(scores, return_inverse=True)
    true, false = (np.bincount(which, weights=count * mask) for mask in (positive, ~positive))
    if not true.sum() or not false.sum():
        return None
    below = np.cumsum(false) - false
    return float(np.sum(true * (below + false / 2)) / (true.sum() * false.sum()))


def root_mean_squared_error(truth: Array, predicted: Array, *, weight: Array | None = None) -> float:
    """Return sqrt(mean((truth - predicted)^2)), outputs averaged before the root. Lower is better.

    >>> root_mean_squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0])).__round__(3)
    1.414
    """
    error = np.average((truth - predicted) ** 2, axis=0, weights=weight)
    return float(np.sqrt(np.mean(error)))


def mean_absolute_error(truth: Array, predicted: Array, *, weight: Array | None = None) -> float:
    """Return mean(|truth - predicted|). Lower is better.

    >>> mean_absolute_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """
    return float(np.mean(np.average(np.abs(truth - predicted), axis=0, weights=weight)))


def r2_score(truth: Array, predicted: Array, *, weight: Array | None = None) -> float:
    """Return 1 - sum((truth - predicted)^2) / sum((truth - mean)^2), averaged over outputs. Higher is better, 1 is perfect.

    A constant output gives 1 if it is predicted exactly, else 0, as in scikit-learn.

    >>> r2_score(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0]))
    0.5
    """
    centre = np.average(truth, axis=0, weights=weight)
    rest = np.atleast_1d(np.average((truth - predicted) ** 2, axis=0, weights=weight))
    total = np.atleast_1d(np.average((truth - centre) ** 2, axis=0, weights=weight))
    scores = np.where(total > 0, 1 - rest / np.where(total > 0, total, 1), np.where(rest > 0, 0.0, 1.0))
    return float(scores.mean())
