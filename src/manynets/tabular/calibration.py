"""Calibration of the default ensemble: how its scores are scaled, and shrunk towards the prior, so that it is as sure as it is right.

    s' = s / T + c pi,        pi = the scores that predict the mean of the target, or the class frequencies (`manynets.tasks.prior`)

T and c are found on rows that were not trained on. For classes they minimise the log loss: T alone is temperature scaling (Guo et al. 2017). For
numbers 1 / T is the slope of the line through the mean that fits the target best, and c = 1 - 1 / T. Where the columns say little about the target, a
network still finds something in them, and T is large: without c, classes would then become equally likely, however rare some are. c is used where it
lowers the log loss by at least 2% of that of the class frequencies alone, or where the slope is below 0.7; short of that, averaging the networks
corrects enough.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.tasks import Regression, Task
from manynets.tasks.prior import prior_scores
from manynets.tasks.temperature import probability_of_truth
from manynets.training.trial import Outcome

Array = NDArray[Any]

TEMPERATURE_OF_MEAN, TEMPERATURES = 0.9, (0.2, 5.0)
TEMPERATURE_OF_WEAK_MEAN = 0.85  # where c is used
GAIN, STEEPEST = 0.02, 0.7  # see above: the share of the log loss, and the slope
FLATTEST = 0.05  # the least 1 / T where c is used, so that scores keep their order
MOST_ROWS = 20_000  # with more, networks hardly overfit to noise


@dataclasses.dataclass(frozen=True, eq=False)
class Calibrator:
    """What is done to scores (N, O). temperature: T, of all outputs or of each (O,). share: c, likewise. prior: pi (O,)."""

    temperature: float | Array = 1.0
    share: float | Array = 0.0
    prior: float | Array = 0.0

    def scores(self, scores: Array) -> Array:
        """Return the calibrated scores (N, O)."""
        return np.asarray(scores / self.temperature + self.share * self.prior)

    def networks(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Return networks that give the calibrated scores, which takes a change of their output layers."""
        return [dataclasses.replace(outcome, parameters=self._parameters(outcome.parameters)) for outcome in outcomes]

    def _parameters(self, parameters: dict[str, Array]) -> dict[str, Array]:
        weight, bias = parameters["output.weight"], parameters.get("output.bias")
        temperature = np.reshape(self.temperature, (-1, 1))
        out = {**parameters, "output.weight": (weight / temperature).astype(weight.dtype)}
        if bias is not None:
            out["output.bias"] = self.scores(bias).astype(bias.dtype)
        return out


def calibrators_of(
    scores: Sequence[Array], target: Array, task: Task, weight: Array | None, *, networks: int | None = None
) -> tuple[Calibrator, Calibrator]:
    """Return the calibrator of scores (N, O) of rows that were not trained on, by one network or by each of several; and that of so many
    networks whose mean is taken (None: as many as there are scores), which is less sure than each of them."""
    several = (len(scores) if networks is None else networks) > 1
    weight = None if weight is None else np.tile(weight, len(scores))
    pooled, target = np.concatenate(scores).astype(np.float64), np.concatenate([target] * len(scores))
    if isinstance(task, Regression):
        shrunk = _shrunk_to_mean(pooled, target, task, weight)
        return shrunk, shrunk
    found = fit_temperature(pooled, target, task, weight)
    if len(target) <= MOST_ROWS * len(scores):
        factor = TEMPERATURE_OF_WEAK_MEAN if several else 1.0
        if (both := _shrunk_to_shares(pooled, target, task, weight, found, factor)) is not None:
            return both
    return Calibrator(found), Calibrator(float(np.clip(found * (TEMPERATURE_OF_MEAN if several else 1.0), *TEMPERATURES)))


def log_losses(probability: Array, target: Array, task: Task) -> Array:
    """Return the log loss (N,) of each row: -log of the probability of its class, of several labels the mean."""
    right = probability_of_truth(task, probability, target)
    return np.asarray(-np.log(np.maximum(right, 1e-300)).reshape(len(target), -1).mean(axis=1))


def _log_loss(scores: Array, target: Array, task: Task, weight: Array | None) -> float:
    return float(np.average(log_losses(task.proba(scores), target, task), weights=weight))


def calibrated_loss(scores: Array, target: Array, task: Task, weight: Array | None) -> float:
    """Return the mean squared error of scores (N, O), or the log loss of classes after their temperature."""
    if isinstance(task, Regression):
        return float(np.average(((scores - target) ** 2).mean(axis=1), weights=weight))
    return _log_loss(scores / fit_temperature(scores, target, task, weight), target, task, weight)


def fit_temperature(scores: Array, target: Array, task: Task, weight: Array | None = None) -> float:
    """Return the T that minimises the (weighted) mean log loss of scores / T, for scores (N, O) of rows that were not trained on."""
    scores = scores.astype(np.float64)  # in float32, the probability of a class is 0 where its score is 17 behind

    def loss(temperature: float) -> float:
        return _log_loss(scores / temperature, target, task, weight)

    candidates = np.exp(np.linspace(-3, 3, 241)).tolist()
    coarse = min(range(0, 241, 10), key=lambda i: loss(candidates[i]))  # the loss is convex in 1 / T, so the least is near
    return min(candidates[max(coarse - 10, 0) : coarse + 11], key=loss)


def _shrunk_to_shares(
    scores: Array, target: Array, task: Task, weight: Array | None, temperature: float, factor: float
) -> tuple[Calibrator, Calibrator] | None:
    """Return the T and c with the least log loss, and the c with the least for this T times a factor; None if the temperature alone will do."""
    from scipy.optimize import minimize, minimize_scalar

    prior = prior_scores(task, target, weight)

    def loss(sharpness_and_share: Array) -> float:
        sharpness, share = sharpness_and_share
        return _log_loss(scores * sharpness + share * prior, target, task, weight)

    start, bounds = np.array([1 / temperature, 0.0]), [(FLATTEST, 1 / FLATTEST), (0.0, 1.0)]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    if loss(start) - found.fun < GAIN * loss(np.array([0.0, 1.0])):
        return None
    sharpness, share = found.x.tolist()
    sharper = sharpness / factor
    of_mean = float(minimize_scalar(lambda share: loss(np.array([sharper, share])), bounds=(0.0, 1.0), method="bounded").x)
    return Calibrator(1 / sharpness, share, prior), Calibrator(1 / sharper, of_mean, prior)


def _shrunk_to_mean(scores: Array, target: Array, task: Regression, weight: Array | None) -> Calibrator:
    """Return the calibrator of numbers, of each output on its own."""
    mean = np.average(target, axis=0, weights=weight)
    gap = task.clamped(scores) - mean
    along, squares = (np.average(one, axis=0, weights=weight) for one in ((target - mean) * gap, gap**2))
    slope = np.divide(along, squares, out=np.ones_like(along), where=squares > 0)
    slope = np.where(slope < STEEPEST, np.maximum(slope, FLATTEST), 1.0)
    return Calibrator(1 / slope, 1 - slope, mean)
