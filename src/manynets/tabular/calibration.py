"""One temperature for the scores of an ensemble, so that its probabilities mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.tasks import Multiclass, Task

__all__ = ["fit_temperature"]

Array = NDArray[Any]


def fit_temperature(scores: Array, target: Array, task: Task, weight: Array | None = None) -> float:
    """Return the T that minimises the (weighted) mean log loss of scores / T, for scores (N, O) of rows that were not trained on."""

    def loss(temperature: float) -> float:
        probability = task.proba(scores / temperature)
        if isinstance(task, Multiclass):
            right = probability[np.arange(len(target)), target]
        else:
            positive = probability[:, 1:] if task.name == "binary" else probability
            right = np.where(target > 0.5, positive, 1 - positive)
        losses = -np.log(np.maximum(right, 1e-300)).reshape(len(target), -1).mean(axis=1)
        return float(np.average(losses, weights=weight))

    return float(min(np.exp(np.linspace(-3, 3, 241)), key=loss))
