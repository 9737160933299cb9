"""From the networks of the default ensemble to its model: which settings are kept, out-of-fold scores, temperatures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.prepare import prepare
from manynets.tabular import TabularFit, fit_temperature
from manynets.tabular.finish import TEMPERATURE_OF_MEAN, finish, temperature_of
from manynets.training.trial import Member, Outcome
from tests.tolerances import assert_close

random = np.random.default_rng(0)
ROWS = 80
X = random.standard_normal((ROWS, 3))
LINEAR, RECIPE = mn.MLP(hidden=(), bias=False), mn.Recipe(dtype="float64")
UNIT = mn.Regression((0.0,), (1.0,))
APART = np.array([0.5, -0.5, 0.25])
"""How far the weights of the two networks of a setting are from their mean."""


def finished(
    settings: Any, y: Any, *, weight: Any = None, task: Any = UNIT, metric: str | None = None, calibrate: bool = False
) -> TabularFit:
    """Return the fit of linear networks, two for the weights (3,) of each setting, which are validated on all rows."""
    data = prepare(X, y, RECIPE, task=task, sample_weight=weight, scaling=False)
    members: list[Member] = []
    outcomes: list[Outcome] = []
    for weights in settings:
        for sign in (1, -1):
            parameters = {"output.weight": np.array([weights + sign * APART])}
            members.append(Member(len(members), LINEAR, RECIPE, parameters, validation_rows=np.arange(ROWS)))
            outcomes.append(Outcome(len(outcomes), parameters, {}, 0, "done", None, 0.0))
    return finish(data, members, outcomes, n_networks=2, calibrate=calibrate, metric=metric)


def kept(fit: TabularFit) -> list[list[float]]:
    """Return the weights of the settings of a model."""
    pairs = np.stack([member["output.weight"][0] for member in fit.model.members]).reshape(-1, 2, 3)
    return pairs.mean(axis=1).round(6).tolist()


BAD, GOOD, FAIR = [4.0, 0.0, 12.0], [4.0, 4.0, 0.0], [4.0, -4.8, 0.0]  # the mean of the last two is nearly 4 x0


@pytest.mark.parametrize("metric", [None, "r2", "rmse", "mae"])
def test_settings_of_numbers_are_kept_whose_mean_is_better(metric: Any) -> None:
    fit = finished([BAD, FAIR, GOOD], 4 * X[:, 0], metric=metric)
    assert kept(fit) == [GOOD, FAIR]
    inside = [np.clip(X @ np.array(one), 4 * X[:, 0].min(), 4 * X[:, 0].max()) for one in (GOOD, FAIR)]
    assert_close(fit.out_of_fold, np.mean(inside, axis=0)[:, None], "float32")


@pytest.mark.parametrize("metric", [None, "log_loss", "accuracy", "roc_auc"])
def test_settings_of_classes_are_kept_whose_mean_is_better(metric: Any) -> None:
    fit = finished([BAD, FAIR, GOOD], X[:, 0] > 0, task=None, metric=metric)
    assert sorted(kept(fit)) == sorted([GOOD, FAIR])


def test_where_the_metric_is_not_defined_settings_are_kept_by_the_loss() -> None:
    by_loss, by_area = (
        finished([BAD, GOOD], np.full(ROWS, 1), task=mn.Binary((0, 1)), metric=one) for one in ("log_loss", "roc_auc")
    )
    assert kept(by_area) == kept(by_loss) != [BAD]


def test_rows_count_by_their_weight_where_settings_are_chosen() -> None:
    first, second = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    y = np.where(np.arange(ROWS) < ROWS // 2, X @ first, X @ second)
    assert kept(finished([first, second], y)) in ([first, second], [second, first])
    for best, which in ((first, np.arange(ROWS) < ROWS // 2), (second, np.arange(ROWS) >= ROWS // 2)):
        assert kept(finished([first, second], y, weight=np.where(which, 1.0, 1e-3))) == [best]


def test_the_mean_of_several_networks_gets_a_lower_temperature_than_one() -> None:
    task = mn.Binary((0, 1))
    scores = random.standard_normal((400, 1)) * 3
    target = (random.random((400, 1)) < task.proba(scores / 2)[:, 1:]).astype(float)
    found, one = temperature_of([scores], target, task, None)
    assert found == pytest.approx(2.0, rel=0.4)
    assert one == found == fit_temperature(scores, target, task)
    assert temperature_of([scores], target, task, None, networks=8) == (found, found * TEMPERATURE_OF_MEAN)
    assert temperature_of([scores, scores], target, task, None) == (found, found * TEMPERATURE_OF_MEAN)


def test_scores_out_of_fold_are_divided_by_their_own_temperature_and_the_model_by_that_of_the_mean() -> None:
    y = random.random(ROWS) < mn.Binary((0, 1)).proba(X @ np.array([GOOD]).T / 2)[:, 1]
    plain, cool = (finished([GOOD], y, task=None, calibrate=calibrate) for calibrate in (False, True))
    assert plain.out_of_fold is not None
    found = fit_temperature(plain.out_of_fold, y[:, None].astype(float), mn.Binary((0, 1)))
    assert cool.temperature == found * TEMPERATURE_OF_MEAN != plain.temperature == 1.0
    assert_close(cool.out_of_fold, plain.out_of_fold / found, "float64")
    assert_close(cool.model.logits(X), plain.model.logits(X) / cool.temperature, "float64")


@pytest.mark.parametrize("task", [mn.Binary((0, 1)), mn.Multiclass((0, 1, 2))], ids=lambda task: task.name)
def test_rows_count_by_their_weight_in_the_temperature(task: Any) -> None:
    scores = random.standard_normal((200, task.outputs)) * 2
    if task.name == "binary":
        target = (random.random((200, 1)) < 0.5 + 0.4 * np.sign(scores)).astype(float)
    else:
        target = np.where(random.random(200) < 0.7, scores.argmax(axis=1), 0)
    right = (scores[:, 0] > 0) == (target[:, 0] > 0.5) if task.name == "binary" else scores.argmax(axis=1) == target
    count = np.where(right, 1, 3)  # the wrong rows more often
    repeated = fit_temperature(np.repeat(scores, count, axis=0), np.repeat(target, count, axis=0), task)
    assert fit_temperature(scores, target, task, count.astype(float)) == repeated != fit_temperature(scores, target, task)


@pytest.mark.parametrize("task", [mn.Binary((0, 1)), mn.Multiclass((0, 1, 2))], ids=lambda task: task.name)
def test_rows_that_are_wrong_by_far_have_a_loss_in_the_temperature(task: Any) -> None:
    scores = np.full((200, task.outputs), -30.0)
    scores[:, 0] = 30.0
    target = np.where(np.arange(200) < 20, 0, 1) if task.name == "binary" else (np.arange(200) < 20).astype(int)
    target = target[:, None].astype(float) if task.name == "binary" else target
    found = fit_temperature(scores, target, task)
    assert fit_temperature(scores.astype(np.float32), target, task) == found > 10
