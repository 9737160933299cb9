"""What users of the estimators and the search get wrong is answered with what to write instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import manynets as mn
from manynets.estimators.inputs import weights

X = np.random.default_rng(0).normal(size=(24, 3))
FRAME = pl.DataFrame(X, schema=["a", "b", "c"])
TEXT = np.array([[1.0, "town"]] * 24, dtype=object)
Y = np.arange(24) % 2
KINDS: list[Any] = [mn.MLPClassifier, mn.MLPRegressor, mn.TabularClassifier, mn.TabularRegressor]

MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {  # parameters, arguments of fit, message
    "callbacks": ({"callbacks": print}, {}, r"callbacks is <built-in function print>, but must be several functions, such as \[print\]"),
    "weights": ({}, {"sample_weight": "w"}, r"sample_weight must be \(24,\) numbers, one for each row"),
    "lazy y": ({}, {"y": FRAME.lazy()}, r"y is .*LazyFrame.*; give y.collect\(\)"),
    "y a number": ({}, {"y": 3.0}, "y is 3.0, but must be the values to predict, one for each row of X"),
    "no columns": ({}, {"X": pd.DataFrame(X)[[]]}, "the table .*no columns"),
    "text": ({}, {"X": TEXT}, r"X holds text, .* give a frame, such as pandas.DataFrame\(X\), whose columns of text are encoded"),
    "validation columns": ({}, {"X_val": X[:, :2], "y_val": Y}, "X_val cannot be used: X has 2 features, but "),
    "lazy validation": ({}, {"X_val": FRAME.lazy(), "y_val": Y}, r"X_val cannot be used: X is a LazyFrame, .*; give X.collect\(\)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("case", MISTAKES)
def test_fit(case: str, kind: Any) -> None:
    parameters, given, message = MISTAKES[case]
    with pytest.raises(ValueError, match=message) as caught:
        kind(**parameters).fit(**{"X": X, "y": Y, **given})
    assert isinstance(caught.value, mn.ManynetsError)


@pytest.mark.parametrize("weight", [2, np.float32(2), np.array(2.0)])
def test_a_single_number_is_the_weight_of_every_row(weight: Any) -> None:
    assert np.array_equal(np.asarray(weights(weight, 3)), [2.0, 2.0, 2.0])


def test_prediction_of_no_rows_has_the_columns_of_the_frame() -> None:
    model = mn.TabularRegressor(preset="fast", n_networks=1, random_state=0).fit(FRAME, X[:, 0])
    for predict in (model.predict, model.model_.predict):
        with pytest.raises(mn.DataError, match=r"X is empty: it has shape \(0, 3\)"):
            predict(FRAME.head(0))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_search() -> None:
    net = mn.MLPClassifier(4, max_iter=2, tol=0.0, n_iter_no_change=np.inf, random_state=0)
    with pytest.raises(mn.DataError, match=r"X is a LazyFrame, .*; give X.collect\(\)"):
        mn.MLPSearchCV(net, {"alpha": [0.0]}).fit(FRAME.lazy(), Y)
    with pytest.raises(
        mn.OptionError, match=r"estimator is an MLP, .*: mn.MLPClassifier\(hidden_layer_sizes=\(8,\)\).*mn.train_many"
    ):
        mn.MLPSearchCV(mn.MLP(hidden=(8,)), {"alpha": [0.0]}).fit(X, Y)
    with pytest.raises(mn.OptionError, match="memory_limit is '2 cups', but must be at least 1 MB, such as '500MB'"):
        mn.MLPSearchCV(net, {"alpha": [0.0]}, memory_limit="2 cups").fit(X, Y)
    found = mn.MLPSearchCV(net, {"alpha": [0.0]}, cv=2, memory_limit="1GB").fit(X, Y)
    assert np.isfinite(found.best_score_)
