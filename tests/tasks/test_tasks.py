"""Finding a task, encoding, predicting, and reading a task back from JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas
import pytest
import torch

import manynets as mn
from manynets.tasks import find_task, task_from_json
from tests.tolerances import assert_close

FOUND: list[tuple[Any, str, int]] = [
    ([0, 1, 0], "binary", 1),
    ([[0], [1], [0]], "binary", 1),
    (np.array([0, 1, 2]), "multiclass", 3),
    (np.array([0.0, 1.0, 2.0]), "multiclass", 3),
    (np.array([5, 9, 5], dtype=np.uint8), "binary", 1),
    (["x", "y", "z"], "multiclass", 3),
    (np.array(["x", "y"], dtype=object), "binary", 1),
    ([True, False, True], "binary", 1),
    (np.array([True, False]), "binary", 1),
    (torch.tensor([0, 1, 2]), "multiclass", 3),
    (torch.tensor([[0.5], [1.5]], requires_grad=True), "regression", 1),
    ([0.5, 1.5, 2.5], "regression", 1),
    (np.array([0.5, 1.0], dtype=np.float16), "regression", 1),
    (np.arange(32), "multiclass", 32),
    (np.arange(33), "regression", 1),
    (np.arange(33).astype(object), "regression", 1),
    (np.array([1, 2.5, 3], dtype=object), "regression", 1),
    (np.array([1, 2, 3], dtype=object), "multiclass", 3),
    (np.array([0.5, 1.5], dtype=object), "regression", 1),
    (np.array([[0, 1], [1, 1]]), "multilabel", 2),
    (np.array([[False, True], [True, True]]), "multilabel", 2),
    (np.array([[False, 1], [True, 1.0]], dtype=object), "multilabel", 2),
    (pandas.DataFrame({"p": [False, True], "q": [True, True]}, dtype="boolean"), "multilabel", 2),
    (np.array([[0.5, 1.0], [1.0, 1.0]]), "regression", 2),
    (np.array([[0, 2], [1, 1]]), "regression", 2),
]


@pytest.mark.parametrize(("y", "name", "outputs"), FOUND, ids=lambda value: repr(value)[:40])
def test_find_task(y: Any, name: str, outputs: int) -> None:
    task = find_task(y)
    assert (task.name, task.outputs) == (name, outputs)
    assert len(task.encode(y)) == len(y)
    back = task_from_json(json.loads(json.dumps(task.to_json(), allow_nan=False)))
    assert back == task
    assert type(back) is type(task)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([], r"y is empty: 0 rows"),
        (5, r"y has shape \(\), but must be \(N,\), \(N, 1\) or \(N, O\)"),
        (np.zeros((2, 2, 2)), r"y has shape \(2, 2, 2\)"),
        (np.zeros((3, 0)), r"y has shape \(3, 0\)"),
        ([1 + 2j, 3], r"y holds complex numbers"),
        ([1.0, np.nan, 2.0, np.nan], r"y is missing in 2 of 4 rows \(first: 1, 3\); remove those rows or fill them in"),
        (["a", None], r"y is missing in 1 of 2 rows \(first: 1\)"),
        ([1.5, np.inf], r"y holds an infinite value in row 1; a target must be finite"),
        (np.array(["a", 1], dtype=object), r"y mixes labels of several types: 'a' \(str\), 1 \(int\); make them all"),
        (["a", "a"], r"y holds one class only, 'a'; a classifier needs at least two"),
        ([3, 3, 3], r"y holds one class only, 3; .*; for numbers use task='regression'"),
    ],
)
def test_what_is_no_target(y: Any, message: str) -> None:
    with pytest.raises(mn.DataError, match=message):
        find_task(y)


@pytest.mark.parametrize(
    ("y", "name", "message"),
    [
        ([0, 1, 2], "binary", "y holds 3 classes, but the task 'binary' has two classes; use task='multiclass'"),
        (["a", "b"], "regression", "y holds 'a', but a regression target must be numbers; for classes use task='multiclass'"),
        ([[0, 2], [1, 1]], "multiclass", r"y has shape \(2, 2\), but classes are one label a row"),
    ],
)
def test_a_named_task_that_does_not_fit(y: Any, name: str, message: str) -> None:
    with pytest.raises(mn.DataError, match=message):
        find_task(y, name=name)


def test_a_multilabel_target_is_zero_or_one() -> None:
    with pytest.raises(mn.DataError, match="y holds 2, but a multilabel target is 0 or 1 in each column"):
        find_task([[0, 2], [1, 1]], name="multilabel").encode([[0, 2], [1, 1]])
    with pytest.raises(mn.DataError, match="y has 3 columns, but this model has 2 labels"):
        mn.Multilabel(count=2).encode(np.zeros((4, 3)))


def test_an_unknown_task_name_is_answered_with_the_valid_ones() -> None:
    with pytest.raises(mn.OptionError, match=r"task is 'binry', but must be one of regression, .*did you mean 'binary'"):
        find_task([0, 1], name="binry")
    with pytest.raises(
        mn.OptionError, match=r"task is 'classification', but must be binary for two classes, multiclass for more, "
    ):
        find_task([0, 1], name="classification")


def test_codes_and_labels() -> None:
    task = mn.Multiclass.of(["b", "a", "c", "a"])
    assert task.classes == ("a", "b", "c")
    assert task.encode(["c", "a", "b"]).tolist() == [2, 0, 1]
    assert task.predict(np.eye(3)).tolist() == ["a", "b", "c"]
    with pytest.raises(
        mn.DataError, match=r"does not know: 'd', 'e'; its classes are 'a', 'b', 'c'; .* 2 rows of 3 \(counted from 0: 1, 2\)"
    ):
        task.encode(["a", "d", "e"])
    with pytest.raises(mn.DataError, match="does not know: 1"):
        task.encode([1, 1])
    binary = mn.Binary.of([7, 3, 7])
    assert binary.encode([7, 3]).tolist() == [[1.0], [0.0]]
    assert binary.predict(np.array([[-0.1], [0.1]])).tolist() == [3, 7]
    with pytest.raises(mn.DataError, match="does not know: 'a'; its classes are 3, 7"):
        binary.encode(["a"])


def test_probabilities_by_hand() -> None:
    assert_close(mn.Binary(classes=(0, 1)).proba(np.array([[np.log(3)]])), np.array([[0.25, 0.75]]), "float64")
    proba = mn.Multiclass(classes=(0, 1, 2)).proba(np.log(np.array([[1.0, 2.0, 5.0]])))
    assert_close(proba, np.array([[0.125, 0.25, 0.625]]), "float64")
    assert_close(mn.Multilabel(count=2).proba(np.array([[0.0, np.log(3)]])), np.array([[0.5, 0.75]]), "float64")
    with pytest.raises(mn.DataError, match="regression has no probabilities; use predict"):
        mn.Regression.of([1.0, 2.0]).proba(np.zeros((1, 1)))


def test_small_probabilities_keep_their_digits_in_float32() -> None:
    proba = mn.Binary(classes=(0, 1)).proba(np.array([[-12.0], [-30.0]], dtype=np.float32))
    assert_close(proba[:, 1], (1 / (1 + np.exp([12.0, 30.0]))).astype(np.float32), "float32")
    assert proba[1, 1] > 0


def test_regression_is_standardised_inside_and_in_the_users_unit_outside() -> None:
    y = np.array([1.0, 3.0, 5.0, 7.0])
    task = mn.Regression.of(y)
    assert_close(np.array([*task.center, *task.scale]), np.array([4.0, np.sqrt(5.0)]), "float64")
    encoded = task.encode(y)
    assert encoded.shape == (4, 1)
    assert_close(task.predict(encoded), y, "float64")
    columns = np.stack([y, np.full(4, 2.5)], axis=1)
    pair = mn.Regression.of(columns)
    assert pair.scale[1] == 1.0  # a constant column
    assert_close(pair.predict(pair.encode(columns)), columns, "float64")
    assert mn.Regression.of(y, standardise=False) == mn.Regression((0.0,), (1.0,))
    with pytest.raises(mn.DataError, match="y has 1 column, but this model predicts 2 targets"):
        pair.encode(y)


@pytest.mark.parametrize(("y", "name", "outputs"), FOUND[:-1:5], ids=lambda value: repr(value)[:40])
def test_one_metric_of_several_predictions_is_that_of_each(y: Any, name: str, outputs: int) -> None:
    task, target = find_task(y), find_task(y).encode(y)
    logits = np.random.default_rng(0).normal(size=(2, 3, len(target), outputs))
    weight = np.arange(1.0, len(target) + 1)
    for metric in task.metrics:
        found = task.measure(metric, logits, target, weight=weight)
        assert found.shape == (2, 3)
        one = task.evaluate(logits[1, 2], target, weight=weight)["auc" if metric == "roc_auc" else metric]
        assert task.measure(metric, logits[1, 2], target, weight=weight) == one == pytest.approx(found[1, 2], rel=1e-12)


def test_evaluate_by_hand() -> None:
    task = mn.Multiclass(classes=("a", "b"))
    figures = task.evaluate(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 1, 1]))
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["confusion"] == [[1, 0], [1, 1]]
    assert (figures["precision"], figures["recall"], figures["f1"]) == (1.0, 0.5, pytest.approx(2 / 3))
    assert figures["log_loss"] == pytest.approx(np.mean([np.log1p(np.exp(-1)), np.log1p(np.exp(1)), np.log1p(np.exp(-1))]))
    second = figures["per_class"][1]
    assert (second["class"], second["correct"], second["count"], second["accuracy"]) == ("b", 1, 2, 0.5)
    labels = mn.Multilabel(count=2).evaluate(np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    first, second = labels.pop("label_metrics")
    assert labels == {"accuracy": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5, "per_label": [1.0, 0.5]}
    assert {name: first[name] for name in ("correct", "count", "predicted", "recall", "precision", "auc")} == {
        "correct": 2, "count": 2, "predicted": 2, "recall": 1.0, "precision": 1.0, "auc": None,
    }  # fmt: skip
    assert (second["label"], second["count"], second["predicted"], second["recall"], second["precision"]) == (1, 0, 1, None, 0.0)
    target, weight = np.array([[1.0], [0.0], [0.0], [1.0]]), np.array([1.0, 1.0, 3.0, 1.0])
    ranked = mn.Multilabel(count=1).evaluate(np.array([[2.0], [1.0], [-1.0], [0.5]]), target, weight=weight)["label_metrics"][0]
    assert (ranked["auc"], ranked["accuracy"]) == (pytest.approx(1 - 1 / 8), pytest.approx(5 / 6))
    assert (ranked["correct"], ranked["predicted"], ranked["f1"]) == (2, 3, pytest.approx(0.8))
    regression = mn.Regression((0.0,), (1.0,)).evaluate(np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]]))
    assert regression == {"r2": 0.5, "rmse": pytest.approx(np.sqrt(0.5)), "mae": 0.5}


def test_each_of_several_targets_has_metrics_of_its_own() -> None:
    task, weight = mn.Regression((0.0, 0.0), (1.0, 1.0), flat=False), np.array([1.0, 3.0])
    predicted, truth = np.array([[1.0, 900.0], [2.0, 700.0]]), np.array([[1.0, 1000.0], [3.0, 500.0]])
    each = task.evaluate(predicted, truth, weight=weight)["per_target"]
    assert each[0] == {"target": 0, "r2": pytest.approx(0.0), "rmse": pytest.approx(np.sqrt(0.75)), "mae": 0.75}
    assert (each[1]["rmse"], each[1]["mae"]) == (pytest.approx(np.sqrt(130_000 / 4)), 175.0)
    assert each[1] == {"target": 1, **mn.Regression((0.0,), (1.0,)).evaluate(predicted[:, 1:], truth[:, 1:], weight=weight)}


HOSTILE: list[Any] = [
    None,
    [],
    "binary",
    {},
    {"name": "ranking"},
    {"name": ["binary"]},
    {"name": {}, "classes": [0, 1]},
    {"name": "binary"},
    {"name": "binary", "classes": [0]},
    {"name": "binary", "classes": [0, 1, 2]},
    {"name": "binary", "classes": "ab"},
    {"name": "binary", "classes": {"a": 1, "b": 2}},
    {"name": "binary", "classes": [0, 0]},
    {"name": "binary", "classes": [1, 1.0]},
    {"name": "binary", "classes": [1, True]},
    {"name": "binary", "classes": ["a", 1]},
    {"name": "binary", "classes": [None, 1]},
    {"name": "binary", "classes": [[1], 2]},
    {"name": "binary", "classes": [float("nan"), 1]},
    {"name": "binary", "classes": [0, 10**400]},
    {"name": "binary", "classes": [0, 1], "extra": 1},
    {"name": "multilabel", "count": 0},
    {"name": "multilabel", "count": True},
    {"name": "multilabel", "count": 2.0},
    {"name": "regression", "center": [0.0], "scale": [0.0], "flat": True},
    {"name": "regression", "center": [0.0], "scale": [-1.0], "flat": True},
    {"name": "regression", "center": [0.0], "scale": [1.0, 1.0], "flat": True},
    {"name": "regression", "center": [], "scale": [], "flat": True},
    {"name": "regression", "center": [float("inf")], "scale": [1.0], "flat": True},
    {"name": "regression", "center": ["0"], "scale": [1.0], "flat": True},
    {"name": "regression", "center": [0.0], "scale": [1.0], "flat": 1},
    {"name": "regression", "center": [0.0, 0.0], "scale": [1.0, 1.0], "flat": True},
]


@pytest.mark.parametrize("data", HOSTILE, ids=lambda value: repr(value)[:50])
def test_hostile_json_is_an_option_error(data: Any) -> None:
    with pytest.raises(mn.OptionError):
        task_from_json(data)
