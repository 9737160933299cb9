"""Metrics of predictions. Each docstring says whether higher or lower is better. NumPy only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["accuracy", "confusion_matrix", "mean_absolute_error", "per_class", "r2_score", "root_mean_squared_error"]

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
    """Return counts (C, C): row = true class code, column = predicted class code."""
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


def root_mean_squared_error(truth: Array, predicted: Array, *, weight: Array | None = None) -> float:
    """Return sqrt(mean((truth - predicted)^2)), outputs averaged before the root. Lower is better."""
    error = np.average((truth - predicted) ** 2, axis=0, weights=weight)
    return float(np.sqrt(np.mean(error)))


def mean_absolute_error(truth: Array, predicted: Array, *, weight: Array | None = None) -> float:
    """Return mean(|truth - predicted|). Lower is better."""
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
