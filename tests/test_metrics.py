"""Metrics: hand values."""

from __future__ import annotations

import numpy as np
import pytest

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
    rows = metrics.per_class(np.array([0, 0, 0, 0]), np.array([0, 0, 1, 0]), classes=("x", "y"))
    assert rows == [
        {"class": "x", "correct": 3, "count": 4, "accuracy": 0.75},
        {"class": "y", "correct": 0, "count": 0, "accuracy": None},
    ]


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
