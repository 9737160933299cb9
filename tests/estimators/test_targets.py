"""y in the forms that users have it in: `score` takes what `fit` takes, and a frame's targets are found by name."""

from __future__ import annotations

import decimal
import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse

import manynets as mn

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stochastic Optimizer", "ignore:A column-vector", "ignore::manynets.errors.LeakWarning"
)

X = np.random.default_rng(0).normal(size=(60, 3))
TRUE = X[:, 0] > 0
NUMBERS = pd.DataFrame({"u": X[:, 0] - X[:, 1], "v": X[:, 2] * 3 + 10})
LABELS = pd.DataFrame({"u": TRUE, "v": X[:, 1] > 0}).astype(int)
MLP: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_iter": 5, "learning_rate_init": 0.1, "random_state": 0}
TABULAR: dict[str, Any] = {"preset": "fast", "n_networks": 2, "random_state": 0}


@pytest.mark.parametrize("net", [mn.MLPClassifier(**MLP), mn.TabularClassifier(**TABULAR)], ids=lambda net: type(net).__name__)
@pytest.mark.parametrize(
    "y",
    [
        pd.Series(TRUE.astype(object)),  # a column that once had gaps
        pd.Series(TRUE.astype(int).astype(object)),
        np.array([decimal.Decimal(int(value)) for value in TRUE]),
        sparse.csr_array(TRUE.astype(int)[:, None]),
        torch.tensor(TRUE.astype(np.float32), requires_grad=True),
        torch.tensor(TRUE.astype(np.float32)).bfloat16(),
    ],
    ids=["bools", "whole numbers", "decimals", "sparse", "gradient", "bfloat16"],
)
def test_labels_that_fit_takes_are_scored(net: Any, y: Any) -> None:
    wanted = net.fit(X, TRUE).score(X, TRUE)
    assert wanted > 0.5
    assert net.fit(X, y).score(X, y) == wanted
    with pytest.raises(mn.DataError, match="y is missing in 30 of 60 rows"):
        net.score(X, [None, True] * 30)


@pytest.mark.parametrize("net", [mn.MLPRegressor(**MLP), mn.TabularRegressor(**TABULAR)], ids=lambda net: type(net).__name__)
@pytest.mark.parametrize(
    "form",
    [
        lambda y: sparse.csr_array(y[:, None]),
        lambda y: torch.tensor(y, requires_grad=True),
        lambda y: torch.tensor(y).bfloat16(),
        lambda y: np.array([decimal.Decimal(value) for value in y.tolist()]),
    ],
    ids=["sparse", "gradient", "bfloat16", "decimals"],
)
def test_numbers_that_fit_takes_are_scored(net: Any, form: Any) -> None:
    y = np.round(X[:, 0] * 8) / 4  # which bfloat16 holds
    wanted = net.fit(X, y).score(X, y)
    assert net.fit(X, form(y)).score(X, form(y)) == pytest.approx(wanted, rel=1e-6)
    with pytest.raises(mn.DataError, match=r"y holds 'a', but .*Regressor predicts numbers; use .*Classifier for classes"):
        net.score(X, ["a", "b"] * 30)


@pytest.mark.parametrize(
    ("net", "y", "predict"),
    [
        (mn.MLPRegressor(**MLP, early_stopping=True), NUMBERS, "predict"),
        (mn.TabularRegressor(**TABULAR), NUMBERS, "predict"),
        (mn.MLPClassifier(**MLP, early_stopping=True), LABELS, "predict_proba"),
        (mn.TabularClassifier(**TABULAR), LABELS, "predict_proba"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_columns_of_several_targets_to_validate_on_are_found_by_name(net: Any, y: pd.DataFrame, predict: str) -> None:
    def fitted(y_val: Any) -> Any:
        return getattr(net.fit(X[:40], y[:40], X_val=X[40:], y_val=y_val), predict)(X)

    wanted = fitted(y[40:])
    for other in (y[40:][["v", "u"]], pl.from_pandas(y[40:][["v", "u"]])):
        assert np.array_equal(fitted(other), wanted)
    with pytest.raises(mn.DataError, match="y_val has the columns u, w, but the model predicts u, v; give these columns"):
        fitted(y[40:].rename(columns={"v": "w"}))


@pytest.mark.parametrize(
    ("net", "y"),
    [
        (mn.MLPRegressor(**MLP), NUMBERS),
        (mn.TabularRegressor(**TABULAR), NUMBERS),
        (mn.MLPClassifier(**MLP), LABELS),
        (mn.TabularClassifier(**TABULAR), LABELS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_columns_of_several_targets_that_are_scored_are_found_by_name(net: Any, y: pd.DataFrame) -> None:
    fitted = net.fit(X, y)
    assert fitted.model_.target_names == ("u", "v")
    wanted = fitted.score(X, y.to_numpy())
    for judge in (fitted, mn.estimator(fitted.model_), pickle.loads(pickle.dumps(fitted))):
        for other in (y, y[["v", "u"]], pl.from_pandas(y[["v", "u"]]), y.rename(columns={"u": "a", "v": "b"})):
            assert judge.score(X, other) == wanted
        with pytest.raises(mn.DataError, match="y has the columns u, w, but the model predicts u, v; give these columns"):
            judge.score(X, y.rename(columns={"v": "w"}))
    assert net.fit(X, y.to_numpy()).model_.target_names == ()
    assert net.score(X, y[["v", "u"]]) != wanted  # by position


@pytest.mark.parametrize(("net", "y"), [(mn.MLPRegressor, NUMBERS), (mn.MLPClassifier, LABELS)])
def test_a_training_that_goes_on_finds_the_columns_by_name(net: Any, y: pd.DataFrame) -> None:
    once, other = net(**MLP), net(**MLP)
    classes: dict[str, Any] = {"classes": [0, 1]} if net is mn.MLPClassifier else {}
    for part in (y, y[["v", "u"]], y):
        other.partial_fit(X, part, **classes)
        once.partial_fit(X, y, **classes)
    assert np.array_equal(once.coefs_[0], other.coefs_[0])
    assert other.model_.target_names == ("u", "v")
    with pytest.raises(mn.DataError, match="y has the columns u, w, but the model predicts u, v"):
        other.partial_fit(X, y.rename(columns={"v": "w"}))
    twice, again = (net(**MLP, warm_start=True).fit(X, y).fit(X, part) for part in (y, y[["v", "u"]]))
    assert np.array_equal(twice.coefs_[0], again.coefs_[0])
    assert net(**MLP).fit(X, y).fit(X, y[["v", "u"]]).model_.target_names == ("v", "u")


@pytest.mark.filterwarnings("default::manynets.errors.LeakWarning")
@pytest.mark.parametrize("net", [mn.MLPRegressor(**MLP), mn.TabularRegressor(**TABULAR)], ids=lambda net: type(net).__name__)
def test_a_leak_names_its_target(net: Any) -> None:
    rows = np.random.default_rng(1).normal(size=(200, 2))
    frame = pd.DataFrame({"a": rows[:, 0], "town": ["x", "y"] * 100})
    with pytest.warns(mn.LeakWarning, match="it predicts the target 'v' perfectly alone"):
        net.fit(frame, pd.DataFrame({"u": rows[:, 1], "v": 3 * rows[:, 0]}))
