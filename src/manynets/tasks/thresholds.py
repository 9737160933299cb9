"""By what rule a class is predicted: above which probability the second of two, or at the least expected cost.

The threshold of two classes is a number, the best for a metric, or follows from what errors cost. Costs of more classes stay a matrix.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from manynets.errors import DataError, OptionError
from manynets.spec.schedules import INSIDE
from manynets.tasks.base import Task, Values
from manynets.tasks.classification import Binary, Multiclass

THRESHOLD_METRICS = ("f1", "accuracy")
"""What a threshold can be best for."""
SMALLEST = 1e-12
"""The smallest threshold that is found, and how far the largest is from 1."""


def best_threshold(probability: Values, positive: Values, weight: Values | None = None, *, metric: str = "f1") -> float:
    """Return the threshold with the highest F1 or accuracy, for probabilities (N,) of rows that are positive (N,) or not: halfway between
    two of them, or above all; 0.5 for the F1 of rows of which none is positive.

    >>> best_threshold(np.array([0.1, 0.2, 0.4, 0.9]), np.array([False, False, True, True]))
    0.3
    """
    count = np.ones(len(probability)) if weight is None else weight
    values, which = np.unique(probability, return_inverse=True)
    found = np.bincount(which, weights=count * positive)[::-1].cumsum()[::-1]  # positives at or above each value
    claimed = np.bincount(which, weights=count)[::-1].cumsum()[::-1]
    if metric == "f1" and not found[0]:
        return 0.5
    # of accuracy, what depends on the threshold
    score = 2 * found / (found[0] + claimed) if metric == "f1" else 2 * found - claimed
    if values[0] <= SMALLEST and len(values) > 1:  # no threshold is below it
        score[0] = -np.inf
    best = int(score.argmax())
    below, above = (float(values[best - 1]) if best else 0.0), float(values[best])
    if metric == "accuracy" and score[best] < 0 and values[-1] < 1:  # no row is best taken for positive
        below, above = float(values[-1]), 1.0
    middle = (below + above) / 2
    short = round(middle, 6)
    return float(np.clip(short if below < short < above else middle, SMALLEST, 1 - SMALLEST))


def cost_matrix(costs: Any, count: int) -> tuple[tuple[float, ...], ...]:
    """Return costs [true class][predicted class] of `count` classes, checked; OptionError for anything else.

    >>> cost_matrix([[0, 1, 1], [1, 0, 1], [5, 5, 0]], 3)[2]
    (5.0, 5.0, 0.0)
    """
    try:
        matrix = np.asarray(costs, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (count, count) or not np.isfinite(matrix).all():
        example = np.ones((count, count), dtype=int) - np.eye(count, dtype=int)
        example[-1, :-1] = 5
        shown = f", such as {example.tolist()}" if count <= 4 else ""
        raise OptionError(
            f"costs are {costs!r}, but must be {count} rows of {count} finite numbers, [true class][predicted class]{shown}"
        )
    more = matrix - matrix.diagonal()[:, None]  # than being right about the class costs
    wrong = more[~np.eye(count, dtype=bool)]
    if not (wrong > 0).all():
        raise OptionError(f"costs are {costs!r}, but each error must cost more than being right about that class")
    return tuple(map(tuple, matrix.tolist()))


def _in_order(costs: Any, classes: Sequence[Any]) -> Any:
    """Return the costs of a pandas frame in the order of the classes that name its rows and columns; other costs as they are."""
    if not hasattr(costs, "reindex") or not hasattr(costs, "columns"):
        return costs
    rows, columns, names = list(costs.index), list(costs.columns), list(classes)
    if rows == columns == list(range(len(rows))) and set(rows) != set(names):  # a frame without names
        return costs.to_numpy()
    for what, given in (("rows", rows), ("columns", columns)):
        if len(given) != len(names) or set(given) != set(names):
            raise OptionError(f"costs have the {what} {given}, but must have one for each of the classes {names}")
    order = np.ix_([rows.index(name) for name in names], [columns.index(name) for name in names])
    return costs.to_numpy()[order]  # .loc would take bools for a mask


def cost_threshold(costs: Any) -> float:
    """Return the probability above which predicting the second class costs less, for costs [true class][predicted class].

    With p the probability of the second class, its prediction costs less where p > a / (a + b), with a = costs[0][1] - costs[0][0] and
    b = costs[1][0] - costs[1][1]: what the two kinds of errors cost more than being right. Source: Elkan 2001, "The Foundations of Cost-Sensitive
    Learning".

    >>> cost_threshold([[0, 1], [4, 0]])
    0.2
    """
    (right, alarm), (missed, found) = cost_matrix(costs, 2)
    return (alarm - right) / (alarm - right + missed - found)


def threshold_of(wanted: Any, probability: Values | None, positive: Values | None, weight: Values | None = None) -> float:
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
    if isinstance(wanted, int | float | np.number) and not isinstance(wanted, bool):
        if wanted not in INSIDE:
            raise OptionError(f"threshold is {wanted!r}, but must be above 0 and below 1")
        return float(wanted)
    return cost_threshold(wanted)


def with_threshold(
    task: Task, wanted: Any, probability: Values | None = None, positive: Values | None = None, weight: Values | None = None
) -> Binary | Multiclass:
    """Return a task like this one that predicts by another threshold; see `threshold_of`. Of more than two classes `wanted` is costs (C, C).

    Errors: OptionError for a threshold that does not fit the task.

    >>> with_threshold(Binary(("no", "yes")), [[0, 1], [4, 0]])
    Binary(classes=('no', 'yes'), threshold=0.2)
    """
    if isinstance(task, Binary | Multiclass):
        wanted = _in_order(wanted, task.classes)
    by_costs = not isinstance(wanted, str | int | float | np.number)
    if isinstance(task, Binary):
        if isinstance(wanted, str) and wanted == "f1" and positive is not None and len(positive):
            counted = positive if weight is None else positive & (np.asarray(weight) > 0)
            if not counted.any():
                raise DataError(f"y holds no {task.classes[1]!r} that counts, which F1 is about; give rows of both classes")
        threshold = threshold_of(wanted, probability, positive, weight)
        return dataclasses.replace(task, threshold=threshold, costs=cost_matrix(wanted, 2) if by_costs else None)
    if not isinstance(task, Multiclass):
        raise OptionError(f"threshold is {wanted!r}, but thresholds are for one class per row, and this is a {task.name} model")
    if not by_costs:
        raise OptionError(
            f"threshold is {wanted!r}, but is for two classes; for {len(task.classes)} give what each prediction costs, [true class][predicted class]"
        )
    return dataclasses.replace(task, costs=cost_matrix(wanted, len(task.classes)))
