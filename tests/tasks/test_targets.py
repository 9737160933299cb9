"""Targets that are more than a column of ordinary numbers: one-hot matrices, heavy tails, huge numbers."""

from __future__ import annotations

import json
import warnings
from fractions import Fraction

import numpy as np
import pytest
import torch

import manynets as mn
from manynets.tasks import find_task, task_from_json
from manynets.tasks.losses import loss_for
from manynets.tasks.objectives import objective_for
from tests.tolerances import assert_close

ONE_HOT = np.eye(3, dtype=int)[[0, 2, 1, 2]]
HEAVY = np.exp(np.random.default_rng(0).normal(10, 1.5, 500))


@pytest.mark.parametrize("kind", [int, float, bool])
def test_a_one_hot_matrix_is_classes(kind: type) -> None:
    y = ONE_HOT.astype(kind)
    with pytest.warns(UserWarning, match=r"a one-hot matrix of 3 columns: it is taken as 3 classes, 0 to 2; .* task='multilabel'"):
        task = find_task(y)
    assert task == mn.Multiclass((0, 1, 2))
    assert task.encode(y).tolist() == [0, 2, 1, 2]
    assert task.encode([2, 0]).tolist() == [2, 0]
    with pytest.warns(UserWarning, match="one-hot"):
        assert find_task(torch.tensor(ONE_HOT)) == task


def test_other_matrices_are_no_classes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_task(np.array([[0, 1], [1, 1]])) == mn.Multilabel(2)
        assert find_task(np.array([[0, 1], [0, 0]])) == mn.Multilabel(2)
        assert find_task(ONE_HOT, name="multilabel") == mn.Multilabel(3)
        assert find_task(ONE_HOT, name="multiclass") == mn.Multiclass((0, 1, 2))
        assert find_task(ONE_HOT[:, :1]).name == "binary"
        assert find_task(ONE_HOT * 1.5).name == "regression"
    with pytest.raises(mn.DataError, match="classes are one label a row"):
        mn.Multiclass((0, 1, 2)).encode([[1, 1, 0]])


def test_fractions_are_numbers() -> None:
    y = np.array([Fraction(i, 3) for i in range(60)])
    task = find_task(y)
    assert task == find_task(y.astype(float))
    assert_close(task.encode(y), task.encode(y.astype(float)), "bits")


def test_training_on_a_one_hot_matrix() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    y = np.eye(3)[x.argmax(axis=1)]
    with pytest.warns(UserWarning, match="one-hot"):
        model = mn.train(
            x,
            y,
            mn.MLP(hidden=(8,)),
            mn.Recipe(epochs=60, batch_size=10, optimizer=mn.Adam(lr=0.02)),
            scaling=False,
            progress=False,
        )
    assert model.predict(x).shape == (60,)
    assert model.evaluate(x, y)["accuracy"] > 0.9


def test_a_target_on_a_log_scale() -> None:
    y = np.array([1.0, 10.0, 100.0])
    task = find_task(y, target_transform="log")
    assert isinstance(task, mn.Regression)
    assert_close(np.array(task.center), np.array([np.log(10)]), "float64")
    assert_close(task.encode(y)[:, 0], np.array([-1.0, 0.0, 1.0]) * np.sqrt(1.5), "float64")
    assert_close(task.predict(task.encode(y)), y, "float64")
    assert task.evaluate(task.encode(y), task.encode(y)) == {"r2": 1.0, "rmse": 0.0, "mae": 0.0}
    figures = task.evaluate(np.zeros((3, 1)), task.encode(y))
    assert_close(figures["mae"], 33.0, "float64")  # (9 + 0 + 90) / 3, in the unit of y
    assert task_from_json(json.loads(json.dumps(task.to_json()))) == task
    assert task.predict(np.array([[1e6], [-1e6]])).tolist() == [np.finfo(np.float64).max, 0.0]


def test_automatic_logarithm() -> None:
    def transform(y: object) -> str | None:
        return find_task(y, name="regression", target_transform="auto").transform  # type: ignore[attr-defined, no-any-return]

    assert transform(HEAVY) == "log"
    assert transform(HEAVY - HEAVY.max()) is None
    assert transform(np.random.default_rng(0).normal(100, 1, 500)) is None
    assert transform(np.random.default_rng(0).uniform(1, 2, 500)) is None
    assert transform(1000 + np.random.default_rng(0).exponential(1, 500)) is None  # as skewed on the log scale
    assert transform(np.ones(5)) is None
    assert transform(np.stack([HEAVY, HEAVY], axis=1)) == "log"


def test_what_the_logarithm_is_not_for() -> None:
    with pytest.raises(mn.DataError, match=r"y holds -1 in row 1, but target_transform='log' needs a target above 0"):
        find_task([0.5, -1.0], target_transform="log")
    with pytest.raises(mn.OptionError, match="the task is 'binary': it is for a regression"):
        find_task(["a", "b"], target_transform="log")
    with pytest.raises(mn.OptionError, match="target_transform is 'sqrt', but must be one of log, auto"):
        find_task([0.5, 1.5], target_transform="sqrt")  # type: ignore[arg-type]
    with pytest.raises(mn.OptionError, match="has the transform 'exp'"):
        task_from_json({"name": "regression", "center": [0.0], "scale": [1.0], "flat": True, "transform": "exp"})
    task = mn.Regression.of([1.0, 2.0], standardise=False, transform="log")
    for objective in (objective_for, loss_for):
        with pytest.raises(mn.OptionError, match="loss='poisson' predicts log-rates"):
            objective(task, mn.Recipe(loss="poisson"))


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "quantile"])
def test_a_model_of_a_target_on_a_log_scale(loss: str, tmp_path: object) -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(300, 2))
    y = np.exp(8 + 2 * x[:, 0])
    recipe = mn.Recipe(epochs=30, batch_size=30, optimizer=mn.Adam(lr=0.02), loss=loss)  # type: ignore[arg-type]
    model = mn.train(x, y, mn.MLP(hidden=(16,)), recipe, task=find_task(y, target_transform="log"), scaling=False, progress=False)
    error = np.abs(np.log(model.predict(x)) - np.log(y))
    assert np.median(error) < 0.3
    model.save(f"{tmp_path}/m.model")
    assert mn.load(f"{tmp_path}/m.model").predict(x).tolist() == model.predict(x).tolist()


@pytest.mark.parametrize("size", [1e300, 1.7e308, 1e-300])
def test_huge_and_tiny_targets(size: float) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 2))
    y = x[:, 0] / np.abs(x[:, 0]).max() * size
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = mn.Regression.of(y)
        assert_close(task.predict(task.encode(y)) / size, y / size, "float64")
        model = mn.train(
            x,
            y,
            mn.MLP(hidden=(8,)),
            mn.Recipe(epochs=40, batch_size=10, optimizer=mn.Adam(lr=0.02)),
            scaling=False,
            progress=False,
        )
        figures = model.evaluate(x, y)
    assert figures["r2"] > 0.9
    assert np.isfinite(list(figures.values())).all()
    assert np.isfinite(model.history["loss"]).all()


def test_the_estimator_keeps_the_meaning_of_scikit_learn() -> None:
    x = np.random.default_rng(0).normal(size=(40, 2))
    y = np.eye(2, dtype=int)[(x[:, 0] > 0).astype(int)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = mn.MLPClassifier(hidden_layer_sizes=(4,), max_iter=300, tol=1e-2).fit(x, y)
    assert model.predict(x).shape == (40, 2)  # two labels, as in scikit-learn
