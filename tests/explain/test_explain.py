"""Importance, dependence and contributions, against scikit-learn, by hand, and on tables."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import warnings
from typing import Any

import numpy as np
import polars
import pytest
from sklearn.inspection import partial_dependence as sklearn_dependence
from sklearn.inspection import permutation_importance as sklearn_importance

import manynets as mn
from manynets.display import Records
from manynets.errors import DataError, OptionError
from manynets.explain import Dependence, contributions, partial_dependence, permutation_importance, worst_rows
from manynets.explain.background import background_rows
from manynets.model import Model
from manynets.report.charts import dependence_chart
from manynets.tables import fit_encoder
from tests.export.tables import fitted, target, wide_table
from tests.tolerances import assert_close


def arrays(rows: int = 200) -> tuple[Any, Any]:
    x = np.random.default_rng(0).normal(size=(rows, 4))
    return x, 3 * x[:, 0] + x[:, 1] ** 2


@pytest.fixture(scope="module")
def model() -> Model:
    x, y = arrays()
    return mn.train(
        x,
        y,
        mn.MLP(hidden=(8,), activation="tanh"),
        mn.Recipe(epochs=20, dtype="float64"),
        n_networks=2,
        scaling=False,
        progress=False,
    )


@pytest.fixture(scope="module")
def classifier() -> Model:
    x, y = arrays()
    return mn.train(
        x, np.digitize(y, [-1, 2]), mn.MLP(hidden=(8,)), mn.Recipe(epochs=20, dtype="float64"), scaling=False, progress=False
    )


@pytest.mark.parametrize("metric", ["r2", "rmse", "mae"])
def test_importance_of_numbers_is_that_of_scikit_learn(model: Model, metric: str) -> None:
    x, y = arrays()
    scoring = {"r2": "r2", "rmse": "neg_root_mean_squared_error", "mae": "neg_mean_absolute_error"}[metric]
    wanted = sklearn_importance(model, x, y, n_repeats=4, random_state=3, scoring=scoring)
    found = permutation_importance(model, x, y, metric=metric, n_repeats=4, seed=3)
    assert_close(found.values, wanted.importances, "float64_run")
    assert found.names == ["x0", "x1", "x2", "x3"]
    assert found.ranked()[0][0] == "x0"


def test_importance_of_columns_of_few_values_is_that_of_scikit_learn(model: Model) -> None:
    x, y = arrays()
    x[:, 1], x[:, 2] = np.sign(x[:, 1]), 0.5
    wanted = sklearn_importance(model, x, y, n_repeats=3, random_state=0)
    assert_close(permutation_importance(model, x, y, n_repeats=3).values, wanted.importances, "float64_run")


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_importance_of_classes_is_that_of_scikit_learn(classifier: Model, metric: str) -> None:
    x, y = arrays()
    y = np.digitize(y, [-1, 2])
    weight = np.random.default_rng(1).random(len(y))
    wanted = sklearn_importance(
        classifier,
        x,
        y,
        n_repeats=3,
        random_state=0,
        scoring=metric if metric == "accuracy" else "neg_log_loss",
        sample_weight=weight,
    )
    found = permutation_importance(classifier, x, y, metric=metric, n_repeats=3, sample_weight=weight)
    assert_close(found.values, wanted.importances, "float64_run")


def test_the_threshold_of_two_classes_counts() -> None:
    x, y = arrays()
    model = mn.train(x, y > 2, mn.MLP(hidden=(8,)), mn.Recipe(epochs=20), scaling=False, progress=False)
    before = permutation_importance(model, x, y > 2).score
    model.task = dataclasses.replace(model.task, threshold=0.05)  # type: ignore[type-var]
    for one in worst_rows(model, x, y > 2):
        assert one.probability == pytest.approx(model.predict_proba(x[[one.row]])[0, int(one.predicted)], rel=1e-5)
    found = permutation_importance(model, x, y > 2)
    assert found.score == model.evaluate(x, y > 2)["accuracy"] != before
    with pytest.raises(DataError, match="roc_auc is not defined for these rows"):
        permutation_importance(model, x, [True] * len(x), metric="roc_auc")


def test_columns_that_say_the_same_are_shuffled_together() -> None:
    x, y = arrays()
    x[:, 3] = 2 * x[:, 0] + 0.01 * x[:, 3]
    twice = mn.train(x, y, mn.MLP(hidden=(8,)), mn.Recipe(epochs=20), scaling=False, progress=False)
    found = permutation_importance(twice, x, y)
    assert found.groups == {"x0 + x3": ("x0", "x3"), "x1": ("x1",), "x2": ("x2",)}
    alone = permutation_importance(twice, x, y, group_alike=False)
    assert found.mean[0] > max(alone.mean[0], alone.mean[3])


def test_columns_are_shuffled_together_that_a_third_one_is_like() -> None:
    x, y = arrays()
    x[:, 1] = x[:, 0] + 0.6 * x[:, 1]
    x[:, 3] = x[:, 0] + x[:, 1]  # like both, which are not alike enough
    model = mn.train(x, y, mn.MLP(hidden=(8,)), mn.Recipe(epochs=1), scaling=False, progress=False)
    assert list(permutation_importance(model, x[:, [0, 1, 2, 3]], y).groups) == ["x0 + x1 + x3", "x2"]
    x[:, 3] = -x[:, 2]
    assert list(permutation_importance(model, x, y).groups) == ["x0", "x1", "x2 + x3"]


def test_categories_that_determine_each_other_are_shuffled_together() -> None:
    random = np.random.default_rng(0)
    zone = random.integers(0, 3, 200)
    first_only = np.where(zone == 0, 0, random.integers(1, 3, 200))
    frame = polars.DataFrame(
        {name: np.array(list("abc"))[code] for name, code in (("zone", zone), ("area", (zone + 1) % 3), ("road", first_only))}
    )
    model = mn.train(frame, zone + 0.1 * first_only, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2), task="regression", progress=False)
    assert list(permutation_importance(model, frame, zone).groups) == ["zone + area", "road"]


def test_a_category_that_follows_from_another_is_shuffled_alone() -> None:
    town = np.arange(180) % 6
    frame = polars.DataFrame({"town": np.array(list("abcdef"))[town], "canton": np.array(list("xyz"))[town // 2]})
    y = np.random.default_rng(0).normal(size=180)
    model = mn.train(frame, y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False)
    assert list(permutation_importance(model, frame, y).groups) == ["town", "canton"]


def test_importance_is_by_source_column_and_can_be_stored() -> None:
    frame = wide_table()
    table_model = fitted(frame, target(frame), recipe={})
    found = permutation_importance(table_model, frame, target(frame), n_repeats=2)
    assert set(itertools.chain(*found.groups.values())) == set(frame.columns)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["repeats"] == 2
    assert "town" in found._repr_html_()
    with pytest.raises(OptionError, match="metric is 'auc', but must be one of r2"):
        permutation_importance(table_model, frame, target(frame), metric="auc")
    with pytest.raises(DataError, match="same number"):
        permutation_importance(table_model, frame, target(frame)[1:])


def test_categories_of_one_mean_are_shown_together() -> None:
    frame = polars.DataFrame({"town": ["Bern", "Chur", None, "Bern"] * 10})
    price = np.tile([3.0, 1.0, 2.0, 3.0], 10) + np.random.default_rng(0).normal(size=40)
    model = mn.train(frame, price, mn.MLP(hidden=(4,)), mn.Recipe(epochs=30), progress=False)
    new = polars.DataFrame({"town": ["Chur", "Thun", "Wil", "Zug", None]})
    found = partial_dependence(model, new, "town")
    assert found.grid[0] == ["Chur", "Thun", "Wil", "Zug", None]
    assert found.texts()[0][-1] == "(missing)"
    shown = found.gathered()
    assert shown.grid[0] == ["Chur", "Thun and 2 others", "(missing)"]
    assert found.rows is not None
    assert shown.rows is not None
    assert_close(shown.mean, found.mean[[0, 1, 4]], "bits")
    assert_close(shown.rows, found.rows[:, [0, 1, 4]], "bits")
    assert "Thun and 2 others" in json.dumps(dependence_chart(found))
    assert partial_dependence(model, new.drop_nulls(), "town").gathered().grid[0] == ["Chur", "Thun and 2 others"]


def test_dependence_is_that_of_scikit_learn(model: Model, classifier: Model) -> None:
    x, _ = arrays()
    wanted = sklearn_dependence(model, x, [0], grid_resolution=12, kind="both")
    found = partial_dependence(model, x, "x0", n_grid=12, n_rows=len(x))
    assert_close(np.array(found.grid[0]), wanted["grid_values"][0], "float64")
    assert_close(found.mean, wanted["average"][0], "float64_run")
    assert found.rows is not None
    assert_close(found.rows, wanted["individual"][0], "float64_run")
    pair = sklearn_dependence(model, x, [(0, 2)], grid_resolution=5, kind="average")
    assert_close(partial_dependence(model, x, ["x0", "x2"], n_grid=5).mean, pair["average"][0], "float64_run")
    classes = sklearn_dependence(classifier, x, [1], grid_resolution=6, kind="average", response_method="predict_proba")
    assert_close(partial_dependence(classifier, x, "x1", n_grid=6).mean.T, classes["average"], "float64_run")


def test_dependence_on_a_column_of_mostly_one_value_shows_the_others(model: Model) -> None:
    x, _ = arrays()
    x[: -(len(x) // 40), 0] = 0.0  # both quantiles of the grid are 0, which scikit-learn refuses
    grid = np.array(partial_dependence(model, x, "x0", n_grid=4).grid[0])
    assert len(grid) == 4
    assert np.isin(grid, x[:, 0]).all()
    assert (grid[0], grid[-1]) == (x[:, 0].min(), x[:, 0].max())


def test_dependence_counts_rows_by_their_weight(model: Model) -> None:
    x, _ = arrays()
    weight = np.random.default_rng(1).random(len(x))
    wanted = sklearn_dependence(model, x, [0], grid_resolution=6, kind="average", sample_weight=weight)
    assert_close(partial_dependence(model, x, "x0", n_grid=6, sample_weight=weight).mean, wanted["average"][0], "float64_run")


def test_dependence_on_many_categories_has_the_frequent_ones() -> None:
    frame = polars.DataFrame({"town": [f"t{code:02}" for code in range(60) for _ in range(1 + code)]})
    encoder = fit_encoder(frame, categorical=["town"])
    model = mn.train(frame, np.arange(len(frame)), mn.MLP(hidden=()), mn.Recipe(epochs=1), encoder=encoder, progress=False)
    assert partial_dependence(model, frame, "town").grid[0] == [f"t{code:02}" for code in range(10, 60)]


def test_dependence_on_every_kind_of_column_is_in_its_own_unit() -> None:
    frame = wide_table()
    table_model = fitted(frame, target(frame))
    for name in frame.columns:
        found = partial_dependence(table_model, frame, name, n_grid=6, n_rows=3)
        assert found.mean.shape == (len(found.grid[0]),)
        assert np.isfinite(found.mean).all()
        value = found.grid[0][0]
        same = frame.with_columns(polars.lit(f"{value} kg" if name == "weight" else value).alias(name))
        if name in ("color", "town", "weight", "rooms", "sold"):
            assert found.mean[0] == pytest.approx(float(table_model.predict(same).mean()), rel=1e-5)
    assert partial_dependence(table_model, frame, "color").grid[0] == ["Weiß", "blue", "green", "red", None]
    assert partial_dependence(table_model, frame, "sold", n_grid=3).grid[0][0].startswith("1990-")


def test_dependence_on_dates_of_another_clock() -> None:
    days = polars.DataFrame({"at": [f"2024-01-01T{hour:02}:00+05:00" for hour in range(24)] * 4})
    model = fitted(days, np.arange(96) % 24 + 0.5)
    found = partial_dependence(model, days, "at", n_grid=24)
    assert_close(found.mean, model.predict(days[:24]), "float32")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("x9", "column is 'x9'"),
        (["x0", "x0"], "two different"),
        ([], "one column"),
        (0, "must be names; those of an array are 'x0'"),
    ],
)
def test_dependence_on_what_is_not_there(model: Model, columns: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        partial_dependence(model, arrays()[0], columns)


def shapley_by_hand(model: Model, row: Any, background: Any) -> Any:
    """Return the exact Shapley values of a row, from all orders of its columns and all background rows."""
    count = len(row)
    values = np.zeros(count)
    for order in itertools.permutations(range(count)):
        mixed = background.copy()
        before = model.predict(mixed).mean()
        for j in order:
            mixed[:, j] = row[j]
            after = model.predict(mixed).mean()
            values[j] += after - before
            before = after
    return values / math.factorial(count)


def test_contributions_are_shapley_values_and_add_up(model: Model) -> None:
    x, _ = arrays()
    background = x[:20]
    found = contributions(model, x[:3], background=background, n_orders=400)
    assert_close(found.base + found.values.sum(axis=1), found.prediction, "float64_run")
    assert_close(found.prediction, model.predict(x[:3]), "float64")
    for row in range(3):
        exact = shapley_by_hand(model, x[row], background)
        assert (np.abs(found.values[row] - exact) <= 5 * found.error[row] + 1e-9).all()


def test_an_order_and_its_reverse_are_all_orders_of_two_columns() -> None:
    x, y = arrays()
    two = mn.train(x[:, :2], y, mn.MLP(hidden=(8,)), mn.Recipe(epochs=20, dtype="float64"), scaling=False, progress=False)
    background = x[8:10, :2]
    found = contributions(two, x[:3, :2], background=background, n_orders=2)  # each background row with one order and its reverse
    assert_close(found.values, np.stack([shapley_by_hand(two, row, background) for row in x[:3, :2]]), "float64_run")


def test_the_error_of_contributions_is_their_spread_over_seeds(model: Model) -> None:
    x, _ = arrays()
    found = [contributions(model, x[:1], background=x, n_orders=10, seed=seed) for seed in range(120)]
    spread = np.std([one.values[0] for one in found], axis=0)
    assert np.mean([one.error[0] for one in found], axis=0) == pytest.approx(spread, rel=0.3)


@pytest.mark.parametrize("n_orders", [1, 8])
def test_the_base_is_the_mean_of_all_background_rows(n_orders: int, model: Model) -> None:
    x, _ = arrays()
    found = contributions(model, x[:3], background=x[10:60], n_orders=n_orders)
    assert_close(found.base, np.asarray(model.predict(x[10:60]).mean()), "float32")
    assert_close(found.base + found.values.sum(axis=1), model.predict(x[:3]), "float32_run")


@pytest.mark.parametrize("n_orders", [2, 4, 8])
def test_a_column_that_changes_nothing_contributes_nothing(n_orders: int, model: Model) -> None:
    x = arrays()[0].copy()
    x[:, 2] = x[0, 2]
    found = contributions(model, x[:3], background=x[10:60], n_orders=n_orders)
    np.testing.assert_array_equal(found.values[:, 2], 0.0)
    np.testing.assert_array_equal(found.error[:, 2], 0.0)


def test_contributions_are_right_within_their_error(model: Model) -> None:
    x, _ = arrays()
    wanted = np.stack([shapley_by_hand(model, row, x[10:60]) for row in x[:3]])
    found = [contributions(model, x[:3], background=x[10:60], n_orders=16, seed=seed) for seed in range(20)]
    away = np.stack([one.values - wanted for one in found])
    assert 0.6 < np.sqrt((away**2).mean() / np.mean([one.error**2 for one in found])) < 1.3


def test_contributions_to_classes_add_up(classifier: Model) -> None:
    x, _ = arrays()
    found = contributions(classifier, x[:4], background=x, n_orders=10)
    assert found.values.shape == (4, 4, 3)
    assert_close(found.base + found.values.sum(axis=1), classifier.predict_proba(x[:4]), "float64_run")


def test_contributions_to_a_linear_model_are_exact() -> None:
    x, y = arrays()
    linear = mn.train(
        x, y, mn.MLP(hidden=(), input_scale=True), mn.Recipe(epochs=5, dtype="float64"), n_networks=2, scaling=False, progress=False
    )
    found = contributions(linear, x[:2], background=x[:30])
    assert (found.error == 0).all()
    assert_close(found.values[0], shapley_by_hand(linear, x[0], x[:30]), "float64_run")


def test_contributions_without_a_background_use_what_the_encoder_stores() -> None:
    frame = wide_table()
    table_model = fitted(frame, target(frame))
    found = contributions(table_model, frame[:2], n_orders=4)
    assert found.columns == tuple(frame.columns)
    assert_close(found.base + found.values.sum(axis=1), found.prediction, "float64_run")
    again = contributions(table_model, frame[:2], n_orders=4)
    assert_close(found.values, again.values, "bits")
    assert json.dumps(found.to_json(), allow_nan=False)
    assert "town" in found._repr_html_()
    ensemble = mn.TabularRegressor(preset="fast", n_networks=2).fit(frame, target(frame)).model_
    assert np.isfinite(contributions(ensemble, frame[:1], n_orders=2).values).all()


def test_a_background_is_made_of_an_array_with_categories() -> None:
    x = np.stack([np.arange(60.0), np.arange(60) % 3, np.arange(60) % 7], axis=1)
    encoder = fit_encoder(x, categorical=["x1"], drop=["x0"])
    model = mn.train(x, x[:, 1], mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), encoder=encoder, progress=False)
    levels = background_rows(model, None)[:, :3]
    assert (levels.sum(axis=1) == 1).all()
    assert (levels.sum(axis=0) > 0).all()
    found = contributions(model, x[:2], n_orders=4)
    assert found.columns == ("x1", "x2")
    assert_close(found.base + found.values.sum(axis=1), found.prediction, "float64_run")


def test_a_background_that_is_made_has_the_centre_and_scale_of_training() -> None:
    x = np.random.default_rng(0).normal([5.0, -300.0], [0.01, 40.0], size=(200, 2))
    model = mn.train(x, x[:, 0], mn.MLP(hidden=()), mn.Recipe(epochs=1), scaling="standard", progress=False)
    made = background_rows(model, None)
    assert np.abs(made.mean(axis=0)).max() < 0.3
    assert made.std(axis=0) == pytest.approx(np.ones(2), rel=0.2)


def test_results_show_themselves_as_tables(model: Model, classifier: Model) -> None:
    x, y = arrays()
    one = partial_dependence(model, x, "x0", n_grid=3)
    two = partial_dependence(classifier, x, ["x0", "x1"], n_grid=4)
    assert "<th>x0</th><th>prediction</th>" in one._repr_html_()
    assert one.to_json()["rows"] == one.rows.tolist()  # type: ignore[union-attr]
    assert "Mean probability of 2 over x0 and x1" in two._repr_html_()
    assert two.shown == int(np.ptp(two.mean.reshape(-1, 3), axis=0).argmax()) == 2
    assert two._repr_html_().count("<tr>") == 5
    assert two.to_json()["rows"] is None
    near = Dependence(("a", "b"), ([1.00001, 1.00002], [2e5, 1.0]), np.zeros((2, 2)), None, ("prediction",))
    assert near.texts() == [["1.00001", "1.00002"], ["200000", "1"]]
    assert dataclasses.replace(near, grid=([12.345, 17.891], [1234.4, 1.0])).texts() == [["12.3", "17.9"], ["1234", "1"]]
    targets = Dependence(("a",), ([1.0, 2.0],), np.array([[0.0, 1.0], [9.0, 1.0]]), None, ("0", "1"))
    assert targets.shown == 0  # the second only of two classes
    assert dataclasses.replace(targets, probabilities=True).shown == 0
    assert dataclasses.replace(targets, probabilities=True, two_classes=True).shown == 1
    assert set(dependence_chart(targets)["encoding"]) >= {"color"}
    calibrated = mn.explain.calibration(classifier.predict_proba(x), np.digitize(y, [-1, 2]))
    assert "Expected calibration error" in calibrated._repr_html_()
    for found in (mn.explain.worst_rows(model, x, y), mn.explain.residuals(model, x, y)):
        assert found._repr_html_().startswith("<table>")  # type: ignore[attr-defined]
    assert mn.explain.worst_slices(model, x[:20], y[:20])._repr_html_() == "none"  # type: ignore[attr-defined]
    added = contributions(classifier, x[:1], n_orders=1)
    assert f"contribution to the probability of {added.prediction[0].argmax()}" in added._repr_html_()
    both = mn.explain.WorstRow(3, np.array([1.0, 2.5]), np.array([0.123456, 2000.0]), None, 1.0)
    assert "<td>1.0000, 2.5000</td><td>0.1235, 2,000</td>" in Records([both])._repr_html_()


def test_both_of_two_labels_are_shown_and_the_second_of_two_classes() -> None:
    x, y = arrays()
    recipe = mn.Recipe(epochs=1)
    labels = mn.train(x, np.stack([y > 0, y > 1], axis=1), mn.MLP(hidden=()), recipe, task="multilabel", progress=False)
    classes = mn.train(x, y > 0, mn.MLP(hidden=()), recipe, progress=False)
    for model, shown in ((labels, ["0", "1"]), (classes, ["True"])):
        found = partial_dependence(model, x, "x0", n_grid=3)
        assert found.two_classes == (model is classes)
        assert sorted({point["output"] for point in dependence_chart(found)["data"]["values"]}) == shown


def test_pictures_of_dependence(model: Model, classifier: Model) -> None:
    x, _ = arrays()
    curves = mn.plots.dependence(partial_dependence(model, x, "x0", n_grid=6, n_rows=7))
    assert (len(curves.lines), curves.get_title()) == (8, "Mean prediction over x0")
    found = partial_dependence(classifier, x, ["x0", "x1"], n_grid=5)
    map_of_two = mn.plots.dependence(found, output=0)
    assert_close(np.asarray(map_of_two.images[0].get_array()), found.mean[..., 0].T, "float64")
    with pytest.raises(OptionError, match="output is 3, but must be 0 to 2"):
        mn.plots.dependence(found, output=3)


def test_dates_at_midnight_are_shown_without_a_time() -> None:
    days = ["2023-11-17T00:00:00", "2024-01-02T00:00:00"]
    for values, shown in (
        (days, ["2023-11-17", "2024-01-02"]),
        ([days[0], "2024-01-02T12:30:00"], [days[0], "2024-01-02T12:30:00"]),
    ):
        found = Dependence(columns=("sold",), grid=(values,), mean=np.zeros(2), rows=None, outputs=("prediction",))
        assert found.texts() == [shown]
        assert found.to_json()["grid"] == [values]


@pytest.mark.parametrize(
    "estimator", [mn.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, tol=1.0), mn.TabularRegressor(n_networks=2, preset="fast")]
)
def test_a_fitted_estimator_is_explained_as_its_model(estimator: Any) -> None:
    frame = polars.DataFrame({"x": np.arange(60.0) % 7, "town": ["Bern", "Chur", "Basel"] * 20})
    y = frame["x"].to_numpy() + 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = estimator.fit(frame, y)
    for explain in (
        lambda model: mn.explain.permutation_importance(model, frame, y).values.tolist(),
        lambda model: mn.explain.partial_dependence(model, frame, "x").mean.tolist(),
        lambda model: mn.explain.contributions(model, frame[:3], background=frame).values.tolist(),
        lambda model: mn.explain.worst_rows(model, frame, y),
        lambda model: mn.explain.worst_slices(model, frame, y),
        lambda model: mn.explain.residuals(model, frame, y),
    ):
        assert explain(fitted) == explain(fitted.model_)
