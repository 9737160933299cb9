"""The losses on arrays, with which the other engines train and `train` reports: as those on tensors, and metrics by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import manynets as mn
from manynets.tasks.base import Task
from manynets.tasks.losses import loss_for
from manynets.tasks.objectives import objective_for
from tests.tolerances import assert_close

ROWS = 7
RANDOM = np.random.default_rng(3)
SCORES = RANDOM.normal(size=(ROWS, 3))
NUMBERS = mn.Regression(center=(0.0, 1.0, 2.0), scale=(2.0, 0.5, 1.0), flat=False)
RATES = mn.Regression(center=(0.0,) * 3, scale=(1.0,) * 3, flat=False)
CASES: list[tuple[Task, dict[str, Any], Any]] = [
    (mn.Multiclass(classes=("a", "b", "c")), {}, np.arange(ROWS) % 3),
    (mn.Multilabel(count=3), {}, (SCORES[::-1] > 0).astype(float)),
    (mn.Multilabel(count=3), {"loss": "log_loss"}, (SCORES[::-1] > 0).astype(float)),
    *(
        (NUMBERS, {"loss": name}, RANDOM.normal(size=(ROWS, 3)))
        for name in ("squared_error", "half_squared_error", "absolute_error")
    ),
    (NUMBERS, {"loss": "huber", "delta": 0.4}, RANDOM.normal(size=(ROWS, 3))),
    (NUMBERS, {"loss": "quantile", "quantile": 0.2}, RANDOM.normal(size=(ROWS, 3))),
    (RATES, {"loss": "poisson"}, RANDOM.poisson(1.0, (ROWS, 3)).astype(float)),
]


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize(("task", "options", "target"), CASES)
def test_arrays_are_as_tensors(task: Task, options: dict[str, Any], target: Any, smoothing: float) -> None:
    """Target, value, derivative, and the line of the log with weights and a penalty."""
    recipe = mn.Recipe(**options)
    loss, objective = loss_for(task, recipe), objective_for(task, recipe)
    t = loss.expand(target, smoothing)
    scores, expanded = torch.from_numpy(SCORES), objective.expand(torch.from_numpy(target), smoothing, torch.float64)
    assert_close(torch.from_numpy(t), expanded, "float64", what="target")
    assert_close(torch.from_numpy(loss.rows(np, SCORES, t)), objective.rows(scores, expanded), "float64", what="value")
    gradient = torch.empty_like(scores)
    objective.gradient(scores, expanded, out=gradient)
    assert_close(torch.from_numpy(loss.gradient(SCORES, t)), gradient, "float64", what="derivative")
    weight = np.arange(ROWS) / 2
    line = objective.log(scores, expanded, torch.from_numpy(weight), 0.7)
    assert_close(torch.from_numpy(loss.log(SCORES, t, weight, 0.7)), line, "float64", what="log")


def test_labels_are_smoothed_towards_the_mean() -> None:
    """(1 - s) t + s / C of C classes, (1 - s) t + s / 2 of yes and no."""
    three = loss_for(mn.Multiclass(classes=(0, 1, 2)), mn.Recipe())
    np.testing.assert_allclose(three.expand(np.array([2]), 0.3), [[0.1, 0.1, 0.8]])
    labels = loss_for(mn.Multilabel(count=2), mn.Recipe())
    np.testing.assert_allclose(labels.expand(np.array([[1.0, 0.0]]), 0.3), [[0.85, 0.15]])


def test_means_of_a_log_are_the_loss_and_the_metric() -> None:
    """R2 of two outputs, of which the second is constant: 1 where it is met, else 0."""
    loss = loss_for(mn.Regression(center=(0.0, 0.0), scale=(1.0, 1.0), flat=False), mn.Recipe())
    spread = loss.spread(np.array([[1.0, 5.0], [3.0, 5.0]]), None)
    assert spread.tolist() == [1.0, 0.0]
    mean, r2 = loss.means(np.array([[6.0, 4.0, 0.0, 1.0, 0.0], [6.0, 4.0, 0.0, 1.0, 2.0]]), spread)
    assert mean.tolist() == [1.5, 1.5]
    assert r2.tolist() == [(0.75 + 1) / 2, (0.75 + 0) / 2]
    classes = loss_for(mn.Binary(classes=("no", "yes")), mn.Recipe())
    assert [float(value) for value in classes.means(np.array([2.0, 8.0, 0.0, 6.0]), np.ones(1))] == [0.25, 0.75]
