"""Training that goes by a metric of its name: the values, and what they decide."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn

import manynets as mn
from manynets.spec import LOWER_IS_BETTER
from manynets.tasks import Binary, Multiclass, Multilabel, Regression
from tests.tolerances import assert_close
from tests.training.problems import data_for

TASKS = {"regression": Regression, "regression2": Regression, "binary": Binary, "multiclass": Multiclass, "multilabel": Multilabel}
CASES = [(task, metric) for task, kind in TASKS.items() for metric in kind.metrics]


def _reference(metric: str, truth: Any, model: mn.Model, x: Any, weight: Any) -> float:
    if metric in ("r2", "rmse", "mae"):
        called = {"r2": "r2_score", "rmse": "mean_squared_error", "mae": "mean_absolute_error"}[metric]
        value = getattr(sklearn, called)(truth, model.predict(x), sample_weight=weight)
        return float(value**0.5 if metric == "rmse" else value)
    if metric == "log_loss":
        return float(sklearn.log_loss(truth, model.predict_proba(x), sample_weight=weight))
    if metric == "roc_auc":
        return float(sklearn.roc_auc_score(truth, model.predict_proba(x)[:, 1], sample_weight=weight))
    if metric == "accuracy":
        return float(sklearn.accuracy_score(truth, model.predict(x), sample_weight=weight))
    average = "binary" if model.task.name == "binary" else "macro"
    return float(sklearn.f1_score(truth, model.predict(x), sample_weight=weight, average=average))


@pytest.mark.parametrize(("task", "metric"), CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_best_weights_are_those_of_the_best_figure(task: str, metric: Any, weighted: bool) -> None:
    x, y = data_for(task, 160, 4)
    x, y, held_x, held_y = x[:100], y[:100], x[100:], y[100:]
    weight = np.random.default_rng(1).uniform(0.5, 2.0, 60) if weighted else None
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.05), epochs=12, batch_size=20, watch=metric, dtype="float64")
    validation = (held_x, held_y) if weight is None else (held_x, held_y, weight)
    model = mn.train(x, y, mn.MLP(hidden=(8,)), recipe, task=TASKS[task].name, validation=validation, scaling=False, progress=False)
    curve = np.array(model.history[f"val_{metric}"])
    best = model.info["best"]
    assert curve[best] == (curve.min() if metric in LOWER_IS_BETTER else curve.max())
    assert_close(np.array(curve[best]), np.array(_reference(metric, held_y, model, held_x, weight)), "float64_run")


def test_the_loss_stays_what_it_was() -> None:
    x, y = data_for("binary", 160, 4)
    recipe = mn.Recipe(epochs=5)
    model = mn.train(x, y, mn.MLP(hidden=(8,)), recipe, validation=0.3, scaling=False, progress=False)
    assert "val_roc_auc" not in model.history
    named = mn.train(x, y, mn.MLP(hidden=(8,)), recipe, validation=0.3, metric="roc_auc", scaling=False, progress=False)
    assert named.recipe.watch == "roc_auc"
    assert named.history["val_loss"] == model.history["val_loss"]


def test_an_undefined_figure_is_no_best() -> None:
    """A fold without positive rows has no area under the curve; the others decide for the ensemble."""
    x, y = data_for("binary", 60, 4)
    y = np.where(np.arange(60) % 20 == 0, 1, 0)
    recipe = mn.Recipe(epochs=4, watch="roc_auc", stopping=mn.EarlyStopping(shared=True))
    model = mn.train(x, y, mn.MLP(hidden=(8,)), recipe, n_networks=4, validation="folds", scaling=False, progress=False)
    assert len(set(model.info["best"])) == 1
    assert model.info["best"][0] >= 0


@pytest.mark.parametrize("metric", ["roc_auc", "f1"])
@pytest.mark.parametrize("shared", [False, True])
def test_where_no_figure_is_defined_the_loss_decides(shared: bool, metric: str) -> None:
    """All validation rows are of one class: the networks are those of the best loss, not the random ones of the start."""
    x, y = data_for("binary", 80, 4)
    order = np.argsort(-y, kind="stable")
    stopping = mn.EarlyStopping(patience=50, shared=shared)
    models = []
    for watch in ("loss", metric):
        recipe = mn.Recipe(optimizer=mn.Adam(lr=0.05), epochs=8, watch=watch, stopping=stopping)  # type: ignore[arg-type]
        options: dict[str, Any] = {"n_networks": 2, "times": np.arange(80), "validation": 0.2, "scaling": False, "progress": False}
        with pytest.warns(UserWarning, match=f"{metric} is not defined") if watch == metric else contextlib.nullcontext():
            models.append(mn.train(x[order], y[order], mn.MLP(hidden=(8,)), recipe, **options))
    assert models[1].info["best"] == models[0].info["best"] != [-1, -1]
    assert (models[1].predict_proba(x) == models[0].predict_proba(x)).all()


def test_networks_whose_fold_is_of_one_class_are_trained() -> None:
    x, y = data_for("binary", 80, 4)
    y = (np.arange(80) < 2).astype(np.int64)
    recipe = mn.Recipe(optimizer=mn.Adam(lr=0.05), epochs=4, watch="roc_auc")
    with pytest.warns(UserWarning, match="roc_auc is not defined on the validation rows of 2 of 4 networks"):
        model = mn.train(x, y, mn.MLP(hidden=(8,)), recipe, n_networks=4, validation="folds", scaling=False, progress=False)
    assert min(model.info["best"]) >= 0


def test_a_search_scores_by_it() -> None:
    x, y = data_for("regression", 80, 3)
    pair = [(mn.MLP(hidden=(8,)), mn.Recipe(epochs=3, watch=watch)) for watch in ("rmse", "loss")]
    held = np.arange(60, 80)
    rmse, loss = mn.train_many(x, y, pair, cv=[(np.arange(60), held)], validation=0.2, scaling=False, progress=False)
    assert (rmse.metric, loss.metric) == ("rmse", "r2")
    assert_close(np.array(rmse.score), np.sqrt(np.mean((rmse.model.predict(x[held]) - y[held]) ** 2)), "float32_run")


def test_refusals() -> None:
    x, y = data_for("binary", 60, 3)
    small = mn.MLP(hidden=(4,))
    with pytest.raises(mn.OptionError, match=r"Recipe\.watch is 'auc', but must be .*'roc_auc'"):
        mn.Recipe(watch="auc")  # type: ignore[arg-type]
    with pytest.raises(mn.OptionError, match="metric of the task 'binary' is 'rmse', but must be"):
        mn.train(x, y, small, mn.Recipe(watch="rmse"), validation=0.2, scaling=False, progress=False)
    with pytest.raises(mn.OptionError, match="the metric 'f1' needs validation rows"):
        mn.train(x, y, small, mn.Recipe(watch="f1"), scaling=False, progress=False)
    with pytest.raises(mn.OptionError, match="metric is 'auc', but must be"):
        mn.train(x, y, small, metric="auc", scaling=False, progress=False)  # type: ignore[arg-type]
    with pytest.raises(mn.OptionError, match="watch is 'f1', but engine='numpy' takes"):
        mn.train(x, y, small, mn.Recipe(watch="f1"), validation=0.2, engine="numpy", scaling=False, progress=False)
    with pytest.raises(mn.OptionError, match="time_limit is 3, but is for the default ensemble"):
        mn.train(x, y, small, time_limit=3, scaling=False, progress=False)
