"""One temperature for the scores of an ensemble, so that its probabilities mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.tasks import Task
from manynets.tasks.temperature import probability_of_truth

Array = NDArray[Any]


def log_losses(probability: Array, target: Array, task: Task) -> Array:
    """Return the log loss (N,) of each row: -log of the probability of its class, of several labels the mean."""
    right = probability_of_truth(task, probability, target)
    return np.asarray(-np.log(np.maximum(right, 1e-300)).reshape(len(target), -1).mean(axis=1))


def fit_temperature(scores: Array, target: Array, task: Task, weight: Array | None = None) -> float:
    """Return the T that minimises the (weighted) mean log loss of scores / T, for scores (N, O) of rows that were not trained on."""
    scores = scores.astype(np.float64)  # in float32, the probability of a class is 0 where its score is 17 behind

    def loss(temperature: float) -> float:
        return float(np.average(log_losses(task.proba(scores / temperature), target, task), weights=weight))

    candidates = np.exp(np.linspace(-3, 3, 241)).tolist()
    coarse = min(range(0, 241, 10), key=lambda i: loss(candidates[i]))  # the loss is convex in 1 / T, so the least is near
    return min(candidates[max(coarse - 10, 0) : coarse + 11], key=loss)
