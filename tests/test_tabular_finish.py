"""From the networks of the default ensemble to its model: which settings are kept, out-of-fold scores, temperatures."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.prepare import prepare
from manynets.tabular import TabularFit, fit_temperature, train_tabular
from manynets.tabular.calibration import TEMPERATURE_OF_MEAN, TEMPERATURE_OF_WEAK_MEAN, Calibrator, calibrators_of, log_losses
from manynets.tabular.finish import finish
from manynets.training.trial import Member, Outcome
from tests.tolerances import assert_close

random = np.random.default_rng(0)
ROWS, NAN = 80, float("nan")
X = random.standard_normal((ROWS, 3))
LINEAR, RECIPE = mn.MLP(hidden=(), bias=False), mn.Recipe(dtype="float64")
UNIT = mn.Regression((0.0,), (1.0,))
APART = np.array([0.5, -0.5, 0.25])
"""How far the weights of the two networks of a setting are from their mean."""


def finished(
    settings: Any,
    y: Any,
    *,
    weight: Any = None,
    task: Any = UNIT,
    metric: str | None = None,
    calibrate: bool = False,
    losses: Any = None,
    watched: Any = None,
    validated: int = ROWS,
) -> TabularFit:
    """Return the fit of linear networks, two for the weights (3,) of each setting, which are validated on all rows, or on the first.

    losses: of each network (S, 2), by which settings beyond the first count only where they are better than it; None: all do. watched: the same
    of the metric, which they watch instead.
    """
    recipe = dataclasses.replace(RECIPE, watch="loss" if watched is None else metric)
    figures = {name: np.zeros((len(settings), 2)) for name in ("loss", "r2", "val_r2")}
    figures |= {"val_loss": np.ones((len(settings), 2)) if losses is None else np.array(losses)}
    figures |= {} if watched is None else {f"val_{metric}": np.array(watched)}
    data = prepare(X, y, RECIPE, task=task, sample_weight=weight, scaling=False)
    members: list[Member] = []
    outcomes: list[Outcome] = []
    for team, weights in enumerate(settings):
        for network, sign in enumerate((1, -1)):
            history = {name: [float(values[team, network])] for name, values in figures.items()}
            parameters = {"output.weight": np.array([weights + sign * APART])}
            members.append(Member(len(members), LINEAR, recipe, parameters, validation_rows=np.arange(validated), team=team))
            outcomes.append(Outcome(len(outcomes), parameters, history, 0, "done", None, 0.0))
    if_better = () if losses is None else range(1, len(settings))
    return finish(data, members, outcomes, n_networks=2, calibrate=calibrate, metric=metric, if_better=if_better)


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


@pytest.mark.parametrize(("loss", "validated", "expected"), [
    (0.9, ROWS, [GOOD, FAIR]), (0.97, ROWS, [FAIR]), (1.0, ROWS, [FAIR]), (1.1, ROWS, [FAIR]), (0.9, ROWS // 8, [FAIR]),
])  # fmt: skip
def test_a_setting_may_have_to_be_clearly_better_than_the_first_one_by_itself(loss: float, validated: int, expected: Any) -> None:
    fit = finished([FAIR, GOOD], 4 * X[:, 0], losses=[[1.0, 1.0], [loss + 0.1, loss - 0.1]], validated=validated)
    assert sorted(kept(fit)) == sorted(expected)


@pytest.mark.parametrize(("share", "expected"), [(0.6, [GOOD, FAIR]), (0.51, [FAIR]), (0.4, [FAIR])])
def test_a_metric_that_is_at_most_1_has_to_be_clearly_better_too(share: float, expected: Any) -> None:
    fit = finished([FAIR, GOOD], 4 * X[:, 0], metric="r2", losses=[[1.0, 1.0], [0.5, 0.5]], watched=[[0.5, 0.5], [share, share]])
    assert sorted(kept(fit)) == sorted(expected)


@pytest.mark.parametrize(("errors", "losses", "expected"), [
    ([[1.0, NAN], [NAN, 0.5]], [[1.0, 1.0], [1.0, 1.0]], [GOOD, FAIR]),
    ([[1.0, NAN], [NAN, 1.1]], [[1.0, 1.0], [0.5, 0.5]], [FAIR]),
    ([[NAN, NAN], [NAN, NAN]], [[1.0, 1.0], [0.5, 0.5]], [GOOD, FAIR]),
    ([[NAN, NAN], [NAN, NAN]], [[1.0, 1.0], [1.0, 1.0]], [FAIR]),
])  # fmt: skip
def test_a_metric_counts_where_it_is_defined_and_the_loss_where_it_never_is(errors: Any, losses: Any, expected: Any) -> None:
    fit = finished([FAIR, GOOD], 4 * X[:, 0], metric="rmse", losses=losses, watched=errors)
    assert sorted(kept(fit)) == sorted(expected)


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
    found, one = calibrators_of([scores], target, task, None)
    assert found.temperature == pytest.approx(2.0, rel=0.4)
    assert one.temperature == found.temperature == fit_temperature(scores, target, task)
    for several in (
        calibrators_of([scores], target, task, None, networks=8),
        calibrators_of([scores, scores], target, task, None),
    ):
        assert [some.temperature for some in several] == [one.temperature, one.temperature * TEMPERATURE_OF_MEAN]
        assert [some.share for some in several] == [0.0, 0.0]


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


def mean_loss(task: Any, scores: Any, target: Any, weight: Any = None) -> float:
    return float(np.average(log_losses(task.proba(scores), target, task), weights=weight))


RARE = [(mn.Binary((0, 1)), (0.95, 0.05)), (mn.Multiclass((0, 1, 2)), (0.8, 0.15, 0.05)), (mn.Multilabel(2), (0.9, 0.1))]


@pytest.mark.parametrize(("task", "shares"), RARE, ids=["binary", "multiclass", "multilabel"])
def test_classes_about_which_the_scores_say_nothing_get_their_shares(task: Any, shares: Any) -> None:
    source = np.random.default_rng(1)
    codes = source.choice(len(shares), size=2000, p=shares)
    target = codes if task.name == "multiclass" else np.repeat(codes[:, None], task.outputs, axis=1).astype(float)
    scores = source.standard_normal((2000, task.outputs))
    drawn, of_mean = calibrators_of([scores], target, task, None, networks=8)
    of_shares = Calibrator(1e9, 1.0, of_mean.prior)
    known = mean_loss(task, of_shares.scores(scores), target)
    for found in (drawn, of_mean):
        assert found.share > 0.9
        assert mean_loss(task, found.scores(scores), target) < known * 1.003
    assert of_mean.temperature == pytest.approx(TEMPERATURE_OF_WEAK_MEAN * drawn.temperature)
    assert mean_loss(task, scores / fit_temperature(scores, target, task), target) > known * 1.1  # equally likely classes


def test_scores_that_say_much_get_a_temperature_only() -> None:
    task, source = mn.Binary((0, 1)), np.random.default_rng(1)
    scores = source.standard_normal((1000, 1)) * 3 - 3
    target = (source.random((1000, 1)) < task.proba(scores / 2)[:, 1:]).astype(float)
    drawn, of_mean = calibrators_of([scores], target, task, None, networks=8)
    assert (drawn.share, of_mean.share) == (0.0, 0.0)
    assert drawn.temperature == fit_temperature(scores, target, task)


def test_rows_count_by_their_weight_in_the_share_of_the_prior() -> None:
    task, source = mn.Binary((0, 1)), np.random.default_rng(1)
    scores, target = source.standard_normal((300, 1)), (source.random((300, 1)) < 0.1).astype(float)
    count = source.integers(0, 4, 300)
    weighted = calibrators_of([scores], target, task, count.astype(float))[0]
    repeated = calibrators_of([np.repeat(scores, count, axis=0)], np.repeat(target, count, axis=0), task, None)[0]
    assert_close(weighted.scores(scores), repeated.scores(scores), "numeric")


def test_numbers_about_which_the_scores_say_little_are_shrunk_towards_their_mean() -> None:
    source = np.random.default_rng(1)
    scores = source.standard_normal((2000, 3))
    target = 5 + np.stack([source.standard_normal(2000), 0.5 * scores[:, 1], 0.8 * scores[:, 2]], axis=1)
    scores += 5
    found, of_mean = calibrators_of([scores], target, mn.Regression((0.0,) * 3, (1.0,) * 3), None, networks=8)
    assert found is of_mean
    slope = 1 / np.asarray(found.temperature)
    assert_close(slope[2], 1.0, "bits")  # 0.8 is near enough
    assert 0.05 <= slope[0] < 0.1
    assert_close(found.scores(scores)[:, 2], scores[:, 2], "float64")
    assert slope[1] == pytest.approx(0.5, abs=0.01)
    assert_close(found.scores(scores)[:, 1].mean(), target[:, 1].mean(), "sampled")


def test_a_wild_score_does_not_draw_all_numbers_to_the_mean() -> None:
    source = np.random.default_rng(1)
    target = source.standard_normal((200, 1))
    scores = target.copy()
    scores[0] = 1e4  # unclamped, the slope would be 0.0
    task = UNIT.clamped_to(target)
    assert calibrators_of([scores], target, task, None)[0].share == 0.0


@pytest.mark.parametrize("metric", [None, "f1"])
def test_the_model_and_the_scores_out_of_fold_are_shrunk_towards_the_shares_alike(metric: Any) -> None:
    y = np.random.default_rng(3).random(ROWS) < 0.2
    spec = mn.MLP(hidden=())
    data = prepare(X, y, RECIPE, scaling=False)
    members, outcomes = [], []
    for number, sign in enumerate((1, -1)):
        parameters = {"output.weight": np.array([[0.5, sign, 1.0]]), "output.bias": np.array([0.3])}
        members.append(Member(number, spec, RECIPE, parameters, validation_rows=np.arange(ROWS)))
        outcomes.append(Outcome(number, parameters, {}, 0, "done", None, 0.0))
    plain, drawn = (
        finish(data, members, outcomes, n_networks=2, calibrate=calibrate, metric=metric) for calibrate in (False, True)
    )
    assert plain.out_of_fold is not None
    task, target = mn.Binary((False, True)), y[:, None].astype(float)
    own, of_mean = calibrators_of([plain.out_of_fold], target, task, None, networks=2)
    assert own.share > 0.3
    assert_close(drawn.out_of_fold, own.scores(plain.out_of_fold), "float64")
    assert_close(drawn.model.logits(X), of_mean.scores(plain.model.logits(X)), "float64")
    assert drawn.model.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), abs=0.02)


def test_numbers_of_a_model_are_shrunk_towards_their_mean_unless_medians_are_asked_for() -> None:
    y = np.random.default_rng(3).standard_normal(ROWS) + 7
    model = mn.TabularRegressor(n_networks=4, preset="fast", random_state=0).fit(X, y).model_
    assert model.predict(X).std() < 0.1 * y.std()
    other = train_tabular(X, y, task="regression", n_networks=4, changes={"loss": "absolute_error"}, progress=False).model
    assert other.predict(X).std() > 0.1 * y.std()
