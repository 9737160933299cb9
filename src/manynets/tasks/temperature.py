"""One temperature for the scores of a classifier, so that its probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from manynets import metrics
from manynets.tasks.base import Task, Values
from manynets.tasks.classification import Multiclass

LARGEST = 20.0  # from a twentieth to this
STEPS, STRIDE = 240, 20


def probability_of_truth(task: Task, probability: Values, target: Values) -> Values:
    """Return the probability that was given to the true class (N,), or to each true label (N, O); those of two classes are (N, 1).

    probability: of all classes (N, C) or labels (N, O); target: encoded.
    """
    if isinstance(task, Multiclass):
        return probability[np.arange(len(target)), target]
    positive = probability[:, 1:] if task.name == "binary" else probability
    return np.where(target > 0.5, positive, 1 - positive)


def best_temperature(task: Task, logits: Values, target: Values, weight: Values | None = None) -> float:
    """Return the T with the least (weighted) mean log loss of mean_k p(s_k / T), for scores s (K, N, O) and an encoded target.

    T is one of 241 from 1/20 to 20, each 2.5% above the one before. Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".

    >>> from manynets.tasks import Binary
    >>> sure, right = np.full((1, 100, 1), 9.0), np.array([1.0] * 80 + [0.0] * 20)[:, None]
    >>> round(9.0 / best_temperature(Binary(("no", "yes")), sure, right), 1)  # log(0.8 / 0.2)
    1.4
    """

    def loss(temperature: float) -> float:
        shares = probability_of_truth(task, task.proba(logits.astype(np.float64) / temperature).mean(axis=0), target)
        return float(np.mean([metrics.log_loss(column, weight=weight) for column in shares.reshape(len(target), -1).T]))

    candidates = np.exp(np.linspace(-np.log(LARGEST), np.log(LARGEST), STEPS + 1)).tolist()
    coarse = min(range(0, STEPS + 1, STRIDE), key=lambda i: loss(candidates[i]))  # one network's loss is convex in 1 / T
    return float(min(candidates[max(coarse - STRIDE, 0) : coarse + STRIDE + 1], key=loss))


def cooled_parameters(parameters: Mapping[str, Values], temperature: float) -> dict[str, Values]:
    """Return the parameters of a network with all scores divided by a temperature."""
    return {
        name: (value / temperature).astype(value.dtype) if name.startswith("output.") else value
        for name, value in parameters.items()
    }
