"""Metrics of the user's own, by which a training stops and chooses its best weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sklearn

import manynets as mn
from manynets.errors import OptionError
from manynets.tasks.own_metric import own_metric
from tests.tolerances import assert_close
from tests.training.problems import TASKS, data_for

SPEC = mn.MLP(hidden=(8,))
RECIPE = mn.Recipe(epochs=30, batch_size=32, optimizer=mn.AdamW(lr=0.03), stopping=mn.EarlyStopping(patience=3))
X, Y = data_for("binary", 160, 4)
WEIGHT = np.random.default_rng(1).uniform(0.5, 2.0, 60)


def area(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    return float(sklearn.roc_auc_score(y_true, y_pred, sample_weight=sample_weight))


def distance(y_true: Any, y_pred: Any) -> float:
    return float(np.sqrt(np.mean(np.square(np.subtract(y_true, y_pred)))))


AREA, DISTANCE = mn.Metric(area, higher_is_better=True, proba=True), mn.Metric(distance, higher_is_better=False)


def trained(metric: Any, *, recipe: mn.Recipe = RECIPE, X: Any = X, y: Any = Y, **options: Any) -> mn.Model:
    return mn.train(X, y, SPEC, recipe, metric=metric, progress=False, **{"validation": 0.3} | options)


def same(one: mn.Model, other: mn.Model) -> None:
    for mine, theirs in zip(one.members, other.members, strict=True):
        assert_close(mine, theirs, "bits")
    assert {n: c for n, c in one.history.items() if n != "seconds"} == {n: c for n, c in other.history.items() if n != "seconds"}


HELD_OUT: dict[str, Any] = {"X": X[:100], "y": Y[:100], "validation": (X[100:], Y[100:], WEIGHT)}


@pytest.mark.parametrize("options", [{"validation": 0.3}, HELD_OUT])
@pytest.mark.parametrize("n_networks", [1, 3])
def test_it_decides_as_the_metric_of_that_formula_does(options: dict[str, Any], n_networks: int) -> None:
    model, known = (trained(metric, n_networks=n_networks, **options) for metric in (AREA, "roc_auc"))
    for one, other in zip(model.members, known.members, strict=True):
        assert_close(one, other, "bits")
    assert (model.info["best"], model.info["stopped"]) == (known.info["best"], known.info["stopped"])
    assert "early" in model.info["stopped"]
    assert_close(np.array(model.history["val_area"]), np.array(known.history["val_roc_auc"]), "float64")
    assert model.recipe == dataclasses.replace(RECIPE, watch="area()")


def test_lower_is_better_where_it_is_told_so() -> None:
    x, y = data_for("regression", 160, 4)
    model, known, wrong = (trained(one, X=x, y=y) for one in (DISTANCE, "rmse", mn.Metric(distance, higher_is_better=True)))
    assert model.info["best"] == known.info["best"] == int(np.argmin(model.history["val_distance"]))
    assert_close(np.array(model.history["val_distance"]), np.array(known.history["val_rmse"]), "float64")
    assert wrong.info["best"] == int(np.argmax(wrong.history["val_distance"]))


@pytest.mark.parametrize("task", TASKS)
def test_it_gets_what_the_user_gave_and_what_the_model_predicts(task: str) -> None:
    x, y = data_for(task, 90, 4)
    if task in ("binary", "multiclass"):
        y = np.array(["one", "two", "three"])[y]
    held_out, seen = (x[60:], y[60:]), list[tuple[NDArray[Any], NDArray[Any]]]()

    def noted(y_true: Any, y_pred: Any) -> float:
        seen.append((y_true, y_pred))
        return 0.0

    recipe = dataclasses.replace(RECIPE, epochs=1, dtype="float64")
    options: dict[str, Any] = {"recipe": recipe, "X": x[:60], "y": y[:60], "validation": held_out}
    model = trained(mn.Metric(noted, higher_is_better=True), **options)
    truth, predicted = seen[0]
    assert truth.dtype.kind == held_out[1].dtype.kind
    assert np.array_equal(truth, held_out[1]) if truth.dtype.kind in "iU" else np.allclose(truth, held_out[1], rtol=1e-12)
    wanted = model.predict(held_out[0])
    assert np.array_equal(predicted, wanted) if wanted.dtype.kind in "iU" else np.allclose(predicted, wanted, rtol=1e-10)
    if "regression" not in task:
        model = trained(mn.Metric(noted, higher_is_better=True, proba=True), **options)
        wanted = model.predict_proba(held_out[0])
        assert_close(seen[-1][1], wanted[:, 1] if task == "binary" else wanted, "float64")


def test_weights_of_rows_are_given_to_those_that_take_them() -> None:
    seen = []

    def with_weights(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        seen.append(sample_weight)
        return 0.0

    metric = mn.Metric(with_weights, higher_is_better=True)
    trained(metric, recipe=mn.Recipe(epochs=1), **HELD_OUT)
    assert_close(seen[0], WEIGHT.astype(np.float32).astype(np.float64), "bits")
    trained(metric, recipe=mn.Recipe(epochs=1))
    assert seen[1] is None
    trained(DISTANCE, recipe=mn.Recipe(epochs=1), **HELD_OUT)  # which takes none


def test_functions_are_called_as_in_scikit_learn() -> None:
    found = own_metric(sklearn.balanced_accuracy_score)
    assert found == mn.Metric(sklearn.balanced_accuracy_score, higher_is_better=True)
    assert own_metric(sklearn.mean_absolute_percentage_error) == mn.Metric(
        sklearn.mean_absolute_percentage_error, higher_is_better=False
    )
    assert own_metric(sklearn.average_precision_score) == mn.Metric(
        sklearn.average_precision_score, higher_is_better=True, proba=True
    )
    assert own_metric(sklearn.hinge_loss) == mn.Metric(sklearn.hinge_loss, higher_is_better=False)
    assert own_metric("r2") is own_metric(None) is None
    model = trained(sklearn.average_precision_score)
    held = model.history["val_average_precision_score"]
    assert model.info["best"] == int(np.argmax(held))


class Stop:
    def __call__(self, event: mn.Event) -> None:
        if isinstance(event, mn.Advanced) and event.step >= 7:
            raise StopIteration


def test_a_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = trained(AREA)
    trained(AREA, checkpoint=mn.Checkpoint(folder=tmp_path, every_steps=3), callbacks=[Stop()])
    same(trained(AREA, resume=tmp_path), whole)
    with pytest.raises(OptionError, match=r"recipe.watch is 'loss', in the checkpoint 'area\(\)'"):
        trained(None, resume=tmp_path)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (distance, r"metric is distance, a function .*; write metric=mn.Metric\(distance, higher_is_better=...\)"),
        (sklearn.log_loss, "is called 'log_loss', as a metric of manynets is; .* write metric='log_loss'"),
        (3, "metric is 3, but must be one of accuracy"),
        ("area()", r"Recipe.watch is 'area\(\)', a function of your own, .* as metric=area"),
        (mn.Metric(lambda t, p: "good", higher_is_better=True), "the metric <lambda> returned 'good', but must return a number"),
    ],
)
def test_what_is_no_metric(metric: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        trained(metric)


ITSELF = r"metric is the class mn\.Metric itself; give it a function: metric=mn\.Metric\(function, higher_is_better=True\)"
NO_METRIC = "but must be one of accuracy, f1, .*, a function of y_true and y_pred, or an mn.Metric of one"


@pytest.mark.parametrize(
    ("metric", "message"),
    [(mn.Metric, ITSELF), (5, f"metric is 5, {NO_METRIC}"), (dict, f"metric is <class 'dict'>, {NO_METRIC}")],
)
def test_every_training_refuses_what_is_no_metric(metric: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        mn.train(X, Y, metric=metric, time_limit=0.1, progress=False)
    with pytest.raises(OptionError, match=message):
        trained(metric)
    with pytest.raises(OptionError, match=message):
        mn.TabularClassifier(metric=metric, time_limit=0.1).fit(X, Y)


@pytest.mark.parametrize(("metric", "name"), [(AREA, "area"), (area, "area"), (mn.Metric, "Metric")])
def test_importance_and_recipes_refuse_metrics_of_your_own(metric: Any, name: str) -> None:
    model = trained(None)
    told = f"metric is {name}, but must be one of the names accuracy, f1, log_loss, roc_auc; a metric of your own is for trainings"
    with pytest.raises(OptionError, match=told):
        mn.explain.permutation_importance(model, X, Y, metric=metric)
    with pytest.raises(OptionError, match=r"give a function of your own to mn\.train, as metric="):
        mn.Recipe(watch=metric)


def test_a_metric_checks_itself() -> None:
    with pytest.raises(OptionError, match=r"Metric.function is 'f1', but must be a function"):
        mn.Metric("f1", higher_is_better=True)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"Metric.proba is 'yes', but must be True or False"):
        mn.Metric(distance, higher_is_better=True, proba="yes")  # type: ignore[arg-type]


def test_it_needs_validation_rows_and_torch() -> None:
    with pytest.raises(OptionError, match="the metric 'area\\(\\)' needs validation rows"):
        trained(AREA, validation=None)
    with pytest.raises(OptionError, match=r"watch is 'area\(\)', but engine='numpy' takes"):
        trained(AREA, engine="numpy")


def test_a_recipe_has_its_name_only(tmp_path: Path) -> None:
    model = trained(AREA)
    model.save(tmp_path / "model.safetensors")
    loaded = mn.load(tmp_path / "model.safetensors")
    assert loaded.recipe == model.recipe
    calls: list[Any] = [
        lambda: trained(None, recipe=loaded.recipe),
        lambda: trained(None, recipe=loaded.recipe, validation=None),
        lambda: mn.train_many(X, Y, [(SPEC, loaded.recipe)]),
    ]
    for again in calls:
        with pytest.raises(OptionError, match=r"Recipe.watch is 'area\(\)', a function of your own"):
            again()


def test_where_it_is_not_defined_the_loss_decides() -> None:
    with pytest.warns(
        UserWarning, match="never is not defined on the validation rows: the loss decides there .*; watch another metric"
    ):
        model = trained(mn.Metric(never, higher_is_better=True))
    assert model.info["best"] == int(np.argmin(model.history["val_loss"]))


def never(y_true: Any, y_pred: Any) -> float:
    return float("nan")


@pytest.mark.parametrize("metric", [AREA, sklearn.average_precision_score])
def test_the_default_ensemble(metric: Any) -> None:
    model = mn.train(X, Y, preset="fast", n_networks=2, metric=metric, progress=False)
    found = mn.TabularClassifier(preset="fast", n_networks=2, metric=metric, random_state=0).fit(X, Y)
    same(found.model_, model)
    name = own_metric(metric).name  # type: ignore[union-attr]
    assert (model.recipe.watch, f"val_{name}" in model.history) == (f"{name}()", True)
    for again in (lambda: mn.estimator(model), lambda: model.fit(X, Y)):
        with pytest.raises(
            OptionError, match=rf"trained with metric={name}\(\), a function of your own.*train anew with mn.train and metric="
        ):
            again()


def test_the_default_ensemble_goes_by_it_as_by_a_name() -> None:
    options: dict[str, Any] = {"preset": "fast", "n_networks": 4, "progress": False}
    wrong = dataclasses.replace(AREA, higher_is_better=False)
    own, known, other = (mn.train(X, Y, metric=metric, **options) for metric in (AREA, "roc_auc", wrong))
    for one, two in zip(own.members, known.members, strict=True):
        assert_close(one, two, "bits")
    assert any((one["output.bias"] != two["output.bias"]).any() for one, two in zip(own.members, other.members, strict=False))


def test_rows_larger_than_memory(tmp_path: Path) -> None:
    x, y = data_for("binary", 13_000, 12)
    polars.DataFrame({f"x{j}": x[:, j] for j in range(12)} | {"y": y}).write_parquet(tmp_path / "rows.parquet", row_group_size=300)
    options: dict[str, Any] = {"target": "y", "memory_limit": "1MB", "validation": 0.03, "progress": False}
    recipe = mn.Recipe(epochs=2, batch_size=100)
    models = [mn.train(str(tmp_path / "rows.parquet"), None, SPEC, recipe, metric=one, **options) for one in (AREA, "roc_auc")]
    assert "stream" in models[0].info
    assert_close(np.array(models[0].history["val_area"]), np.array(models[1].history["val_roc_auc"]), "float64")
    with pytest.raises(
        OptionError, match="metric is area, a function of your own, which takes a spec or recipe where rows are streamed"
    ):
        mn.train(str(tmp_path / "rows.parquet"), metric=AREA, **options)
