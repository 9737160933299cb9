"""Metrics: hand values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss, precision_recall_fscore_support, roc_auc_score

import manynets as mn
from manynets import metrics


def test_accuracy() -> None:
    truth, predicted = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])
    assert metrics.accuracy(truth, predicted) == 0.75
    assert metrics.accuracy(truth, predicted, weight=np.array([1.0, 1.0, 2.0, 0.0])) == 0.5
    assert metrics.accuracy(np.array([[0, 1], [1, 1]]), np.array([[0, 1], [1, 0]])) == 0.5  # whole rows
    assert metrics.accuracy(np.array(["a", "b"]), np.array(["a", "c"])) == 0.5


def test_confusion_matrix_has_a_row_for_each_true_class() -> None:
    matrix = metrics.confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 0]), classes=4)
    assert matrix.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_per_class_of_a_class_without_rows_is_none() -> None:
    x, y = metrics.per_class(np.array([0, 0, 0, 0]), np.array([0, 0, 1, 0]), classes=("x", "y"))
    assert (x["correct"], x["count"], x["accuracy"], x["predicted"], x["precision"]) == (3, 4, 0.75, 3, 1.0)
    assert (y["correct"], y["count"], y["accuracy"], y["predicted"], y["precision"], y["f1"]) == (0, 0, None, 1, 0.0, 0.0)
    assert y["intervals"]["recall"] == [0.0, 1.0]


def test_the_intervals_of_a_class_are_wilsons() -> None:
    truth, predicted = np.repeat([0, 1, 0, 1], [40, 30, 20, 10]), np.repeat([0, 1, 1, 0], [40, 30, 20, 10])
    found = metrics.per_class(truth, predicted, classes=("x", "y"))[0]
    for name, right, count in (("recall", 40, 60), ("precision", 40, 50), ("f1", 40, 70)):
        wanted = np.array(stats.binomtest(right, count).proportion_ci(0.95, method="wilson"))
        wanted = 2 * wanted / (1 + wanted) if name == "f1" else wanted
        assert found["intervals"][name] == pytest.approx(wanted, abs=1e-4)
    assert found["f1"] == pytest.approx(80 / 110)


def test_a_share_is_inside_its_interval() -> None:
    count = np.arange(1, 300)
    assert (metrics.wilson_interval(count, count)[1] == 1).all()
    assert (metrics.wilson_interval(0 * count, count)[0] == 0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_by_class_are_those_of_each_class_against_the_rest(weighted: bool) -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 7, 200) * 2, random.integers(0, 9, 200) * 2
    weight = random.uniform(0.1, 2, 200) if weighted else None
    each = [metrics.precision_recall_f1(truth == c, predicted == c, weight=weight) for c in np.union1d(truth, predicted)]
    found = metrics.scores_by_class(truth, predicted, weight=weight)
    assert found == (each if not weighted else [pytest.approx(one) for one in each])


def test_errors() -> None:
    truth, predicted = np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 2.0])
    assert metrics.root_mean_squared_error(truth, predicted) == pytest.approx(np.sqrt(5 / 3))
    assert metrics.mean_absolute_error(truth, predicted) == 1.0
    weight = np.array([1.0, 0.0, 1.0])
    assert metrics.root_mean_squared_error(truth, predicted, weight=weight) == pytest.approx(np.sqrt(0.5))
    assert metrics.mean_absolute_error(truth, predicted, weight=weight) == 0.5
    two, other = np.array([[0.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 3.0], [1.0, 3.0]])
    assert metrics.root_mean_squared_error(two, other) == pytest.approx(np.sqrt(5))
    assert metrics.mean_absolute_error(two, other) == 2.0


def test_errors_beyond_float64_warn_of_nothing() -> None:
    y = np.array([1e200, 2e200, 4e200])
    assert metrics.root_mean_squared_error(y, 2 * y) == np.inf
    assert not np.isfinite(metrics.r2_score(y, 2 * y))


def test_r2_is_that_of_scikit_learn() -> None:
    score = pytest.importorskip("sklearn.metrics").r2_score
    random = np.random.default_rng(0)
    truth, weight = random.normal(size=(20, 3)), random.uniform(0.1, 2, 20)
    predicted = truth + random.normal(size=(20, 3))
    assert metrics.r2_score(truth, predicted) == pytest.approx(score(truth, predicted))
    assert metrics.r2_score(truth, predicted, weight=weight) == pytest.approx(score(truth, predicted, sample_weight=weight))
    assert metrics.r2_score(truth[:, 0], predicted[:, 0]) == pytest.approx(score(truth[:, 0], predicted[:, 0]))
    for guess in (np.ones(4), np.zeros(4)):
        assert metrics.r2_score(np.ones(4), guess) == score(np.ones(4), guess)
    assert np.isnan(metrics.r2_score(np.ones(1), np.zeros(1)))
    assert np.isnan(metrics.r2_score(np.ones((1, 2)), np.zeros((3, 1, 2)))).tolist() == [True] * 3


@pytest.mark.parametrize("weighted", [False, True])
def test_the_metrics_of_classes_are_scikit_learns(weighted: bool) -> None:
    random = np.random.default_rng(0)
    weight = random.uniform(0.5, 2.0, 80) if weighted else None
    for classes in (2, 4):
        truth, logits = random.integers(classes, size=80), random.normal(size=(80, classes)).round(1)
        task: mn.Binary | mn.Multiclass = mn.Binary((0, 1)) if classes == 2 else mn.Multiclass(tuple(range(classes)))
        scores = logits[:, 1:] - logits[:, :1] if classes == 2 else logits
        found = task.evaluate(scores, truth, weight=weight)
        predicted, proba = task.predict(scores), task.proba(scores)
        average = "binary" if classes == 2 else "macro"
        expected = precision_recall_fscore_support(truth, predicted, average=average, sample_weight=weight)[:3]
        assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(list(expected))
        assert found["log_loss"] == pytest.approx(log_loss(truth, proba, sample_weight=weight))
        if classes == 2:
            assert found["auc"] == pytest.approx(roc_auc_score(truth, scores[:, 0], sample_weight=weight))


def test_the_area_of_one_class_only_is_none() -> None:
    assert metrics.roc_auc(np.array([True, True]), np.array([0.1, 0.2])) is None
    assert "auc" not in mn.Binary((0, 1)).evaluate(np.array([[0.1], [0.2]]), np.array([1, 1]))
