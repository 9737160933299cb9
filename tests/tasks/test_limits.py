"""Predictions that stay within the range of the target seen in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.tasks import Regression, task_from_json
from tests.tolerances import assert_close

Y = np.array([10.0, 20.0, 60.0])


def _task() -> Regression:
    task = Regression.of(Y)
    return task.clamped_to(task.encode(Y))


def test_predictions_are_clamped_to_the_range_of_the_target() -> None:
    far = np.array([[-9.0], [0.0], [9.0]])
    assert_close(_task().predict(far), np.array([10.0, 30.0, 60.0]), "float64")


def test_each_network_is_clamped_before_the_mean() -> None:
    model = mn.train([[0.0], [1.0], [2.0]], Y, mn.MLP(hidden=()), mn.Recipe(epochs=1), n_networks=2, scaling=False, progress=False)
    model.task = _task()
    far = [[1e4]]
    each = [model.task.predict(one) for one in model.logits(far)]
    assert set(np.round(np.concatenate(each), 5).tolist()) <= {10.0, 60.0}
    assert_close(model.predict(far), np.mean(each, axis=0), "float64")
    assert_close(model.task.own_unit(model.mean_logits(model.logits(far))), np.mean(each, axis=0), "float32")


def test_limits_survive_json() -> None:
    assert task_from_json(_task().to_json()) == _task()
    assert task_from_json(Regression.of(Y).to_json()).limits is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("limits", [[], [[1.0]], [[2.0, 1.0]], [[0.0, "x"]], [[0.0, float("nan")]], "x", [[0.0, 1.0], [0.0, 1.0]]])
def test_limits_that_do_not_fit_are_refused(limits: Any) -> None:
    with pytest.raises(mn.OptionError, match="'limits' of two finite numbers"):
        task_from_json({**_task().to_json(), "limits": limits})
