"""How much two models differ on the same rows: checked by hand, by the paired t-test, by DeLong's formula and by a bootstrap."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import manynets as mn
from manynets.errors import DataError, OptionError
from manynets.explain.differences import differences_between, influences_of, matched_interval

DRAW = np.random.default_rng(0)
N = 400
X = DRAW.normal(size=(N, 3))
NUMBERS = X[:, 0] + np.square(X[:, 1]) + DRAW.normal(scale=0.5, size=N)
LABELS = np.where(NUMBERS > 1.0, "yes", "no")
WEIGHT = DRAW.integers(0, 4, size=N).astype(float)


def trained(y: Any, hidden: int, **more: Any) -> mn.Model:
    recipe = mn.Recipe(epochs=4 if hidden == 2 else 20, seed=hidden)
    return mn.train(X, y, mn.MLP(hidden=(hidden,)), recipe, progress=False, **more)


PAIRS = {
    "numbers": (NUMBERS, trained(NUMBERS, 2), trained(NUMBERS, 8)),
    "two numbers": (two := np.stack([NUMBERS, 100 * X[:, 2]], axis=1), trained(two, 2), trained(two, 8)),
    "two classes": (LABELS, trained(LABELS, 2), trained(LABELS, 8)),
    "three classes": (three := np.digitize(NUMBERS, [0.0, 2.0]), trained(three, 2), trained(three, 8)),
    "labels": (several := np.stack([NUMBERS > 1, X[:, 2] > 0], axis=1), trained(several, 2), trained(several, 8)),
}
METRICS = {
    "numbers": ["r2", "rmse", "mae"], "two numbers": ["r2", "rmse", "mae"], "two classes": ["accuracy", "log_loss", "f1", "auc"],
    "three classes": ["accuracy", "log_loss"], "labels": ["accuracy"],
}  # fmt: skip


def differences(kind: str, rows: Any = slice(None), weight: Any = None) -> dict[str, Any]:
    y, first, second = PAIRS[kind]
    return {one.metric: one for one in mn.explain.paired_differences(first, second, X[rows], y[rows], sample_weight=weight)}


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("kind", PAIRS)
def test_the_metrics_are_those_of_evaluate(kind: str, weight: Any) -> None:
    y, first, second = PAIRS[kind]
    found = differences(kind, weight=weight)
    assert list(found) == METRICS[kind]
    for name, one in found.items():
        values = [model.evaluate(X, y, sample_weight=weight)[name] for model in (first, second)]
        assert [one.first, one.second] == pytest.approx(values)
        assert one.difference == pytest.approx(values[1] - values[0])
        assert one.low < one.difference < one.high


def test_of_a_mean_it_is_the_paired_t_test() -> None:
    y, *models = PAIRS["numbers"]
    errors = [np.abs(np.asarray(model.predict(X), dtype=np.float64) - y) for model in models]
    expected = stats.ttest_rel(errors[1], errors[0]).confidence_interval()
    one = differences("numbers")["mae"]
    assert [one.low, one.high] == pytest.approx(list(expected), rel=1e-5)


def test_accuracy_by_hand() -> None:
    """Of 10 rows the second model alone is right in 3, and the first in none: 3.5, 0.5, and 12 rows with a half in each of four cells."""
    low, high = matched_interval(0, 3, 10)
    middle, half = 3 / 12, 1.96 * math.sqrt(4.0 - 9 / 12) / 12
    assert [low, high] == pytest.approx([middle - half, middle + half])
    assert matched_interval(0, 0, 10)[1] > 0.05  # no row speaks for either, which is no proof that they are equal
    assert matched_interval(0, 1, 1)[1] == 1.0
    y, *models = PAIRS["two classes"]
    first, second = (model.predict(X) == y for model in models)
    one = differences("two classes")["accuracy"]
    assert (one.low, one.high) == matched_interval((first & ~second).sum(), (second & ~first).sum(), N)


def test_the_area_under_the_curve_is_that_of_delong() -> None:
    y, *models = PAIRS["two classes"]
    shares = [model.predict_proba(X)[:, 1] for model in models]
    up = y == "yes"
    above = [(one[up][:, None] > one[~up]) + 0.5 * (one[up][:, None] == one[~up]) for one in shares]
    away = above[1] - above[0]
    variance = away.mean(axis=1).var(ddof=1) / up.sum() + away.mean(axis=0).var(ddof=1) / (~up).sum()
    one = differences("two classes")["auc"]
    assert one.difference == pytest.approx(away.mean(), abs=1e-6)
    assert one.high - one.low == pytest.approx(2 * stats.t.ppf(0.975, N - 1) * math.sqrt(variance), rel=0.01)


@pytest.mark.parametrize("kind", ["numbers", "two numbers", "two classes"])
def test_the_intervals_are_those_of_a_bootstrap(kind: str) -> None:
    y, *models = PAIRS[kind]
    draws = np.random.default_rng(1)
    encoded = [(model.task.encode(y), model.mean_logits(model.logits(X)).astype(np.float64)) for model in models]
    found: dict[str, list[float]] = {}
    for _ in range(1000):
        rows = draws.integers(0, N, size=N)
        each = [model.task.scores(scores[rows], target[rows]) for model, (target, scores) in zip(models, encoded, strict=True)]
        for name in METRICS[kind]:
            found.setdefault(name, []).append(each[1][name] - each[0][name])
    for name, one in differences(kind).items():
        assert one.high - one.low == pytest.approx(2 * 1.96 * np.std(found[name]), rel=0.12), name


def test_weights() -> None:
    for kind in PAIRS:
        some = WEIGHT > 0
        by_weight, without = differences(kind, weight=WEIGHT), differences(kind, some, WEIGHT[some])
        equal, plain = differences(kind, weight=np.full(N, 3.0)), differences(kind)
        for name, one in by_weight.items():
            assert [one.low, one.high] == pytest.approx([without[name].low, without[name].high])
            if name != "accuracy":
                assert [equal[name].low, equal[name].high] == pytest.approx([plain[name].low, plain[name].high])
            else:
                assert [equal[name].low, equal[name].high] == pytest.approx([plain[name].low, plain[name].high], abs=0.01)


def test_what_is_not_defined_is_left_out() -> None:
    rows = np.flatnonzero(LABELS == "no")[:20]
    assert "auc" not in differences("two classes", rows)
    y, first, second = PAIRS["numbers"]
    assert "r2" not in {one.metric for one in mn.explain.paired_differences(first, second, X[:9], np.ones(9))}
    with pytest.raises(DataError, match="there is 1 row"):
        mn.explain.paired_differences(first, second, X[:1], y[:1])
    with pytest.raises(DataError, match="sample_weight is zero for all 400 rows"):
        mn.explain.paired_differences(first, second, X, y, sample_weight=np.zeros(N))
    with pytest.raises(OptionError, match="different tasks, regression and binary"):
        mn.explain.paired_differences(first, PAIRS["two classes"][1], X, y)


def test_classes_in_another_order_have_no_common_curve() -> None:
    y, first, _ = PAIRS["two classes"]
    other = mn.train(X, y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2), positive="no", progress=False)
    influences = [influences_of(model, model.mean_logits(model.logits(X)), y, None) for model in (first, other)]
    assert [one.metric for one in differences_between((first, other), influences, None)] == ["accuracy", "log_loss"]


def test_which_is_better() -> None:
    def better(metric: str, low: float, high: float) -> str:
        return mn.explain.Difference(metric=metric, first=0.5, second=0.6, difference=(low + high) / 2, low=low, high=high).better

    assert [better("accuracy", 0.1, 0.2), better("accuracy", -0.2, -0.1), better("accuracy", -0.1, 0.2)] == ["second", "first", ""]
    assert [better(name, 0.1, 0.2) for name in ("log_loss", "rmse", "mae", "cost")] == ["first"] * 4
