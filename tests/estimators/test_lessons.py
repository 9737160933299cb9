"""Calls in the style of other libraries: the error says what to write."""

from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.feature_selection import RFE, SelectFromModel

import manynets as mn
from manynets.estimators.lessons import OF_FIT, OF_MLP, OF_MLP_FIT, OF_TABULAR

X = np.random.default_rng(0).normal(size=(40, 2))
Y = (X[:, 0] > 0).astype(int)
TABULAR = (mn.TabularClassifier, mn.TabularRegressor)
MLPS = (mn.MLPClassifier, mn.MLPRegressor)


@pytest.mark.parametrize("kind", [*TABULAR, *MLPS])
def test_no_lesson_is_about_an_argument_that_exists(kind):
    own = set(inspect.signature(kind).parameters)
    assert not own & set(OF_TABULAR if kind in TABULAR else OF_MLP)
    assert not set(inspect.signature(kind.fit).parameters) & set(OF_FIT if kind in TABULAR else OF_MLP_FIT)


@pytest.mark.parametrize(
    ("kind", "given", "advice"),
    [
        (mn.TabularClassifier, {"n_estimators": 4}, "write n_networks=4"),
        (mn.TabularClassifier, {"epochs": 4}, "preset='fast' or 'best'"),
        (mn.TabularClassifier, {"cat_features": [0]}, "astype('category')"),
        (mn.TabularClassifier, {"hidden": (8,)}, "use mn.MLPClassifier, or mn.train(X, y, mn.MLP("),
        (mn.TabularRegressor, {"learning_rate": 0.1}, "use mn.MLPRegressor, or mn.train(X, y, mn.MLP("),
        (mn.TabularRegressor, {"n_network": 4}, "did you mean 'n_networks'?"),
        (mn.TabularRegressor, {"color": 4}, "it has n_networks, preset, metric, "),
        (mn.TabularRegressor, {"quantiles": (0.1, 0.9)}, "write mn.MLPRegressor(loss='quantile', quantile=(0.1, 0.9))"),
        (mn.MLPRegressor, {"quantiles": (0.1, 0.9)}, "write mn.MLPRegressor(loss='quantile', quantile=(0.1, 0.9))"),
        (mn.MLPClassifier, {"epochs": 4}, "write max_iter=4"),
        (mn.MLPRegressor, {"hidden": (8, 8)}, "write hidden_layer_sizes=(8, 8)"),
    ],
)
def test_an_unknown_parameter(kind, given, advice):
    with pytest.raises(TypeError) as caught:
        kind(**given)
    assert str(caught.value).startswith(f"{kind.__name__}() has no argument {next(iter(given))!r}; ")
    assert advice in str(caught.value)


@pytest.mark.parametrize("kind", [*TABULAR, *MLPS])
@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"eval_set": (X, Y)}, "write X_val=X_val, y_val=y_val"),
        ({"sample_weights": 1}, "write sample_weight=1"),
        ({"sample_weights": X}, "write sample_weight=..."),
    ],
)
def test_an_unknown_argument_of_fit(kind, given, advice):
    with pytest.raises(TypeError) as caught:
        kind().fit(X, Y, **given)
    assert str(caught.value) == f"{kind.__name__}.fit() has no argument {next(iter(given))!r}; {advice}"


@pytest.mark.parametrize("kind", [*TABULAR, *MLPS])
def test_an_argument_of_fit_that_is_one_of_the_estimator(kind):
    for given, shown in (({"callbacks": [print, len, X.sum]}, "callbacks=..."), ({"verbose": 1}, "verbose=1")):
        with pytest.raises(TypeError) as caught:
            kind().fit(X, Y, **given)
        name = next(iter(given))
        wanted = f"{kind.__name__}.fit() has no argument {name!r}; write it in the estimator, as {kind.__name__}({shown})"
        assert str(caught.value) == wanted


def test_early_stopping_is_a_parameter_of_one_estimator_and_the_way_of_the_other():
    for kind, advice in (
        (mn.TabularClassifier, "training stops early by itself"),
        (mn.MLPClassifier, "early_stopping=True, n_iter_no_change=5"),
    ):
        with pytest.raises(TypeError, match=advice):
            kind().fit(X, Y, early_stopping_rounds=5)


def test_clones_and_signatures_are_those_of_the_class():
    assert clone(mn.TabularClassifier(n_networks=2)).n_networks == 2
    assert list(inspect.signature(mn.TabularRegressor).parameters)[:2] == ["n_networks", "preset"]


@pytest.mark.parametrize("kind", [*TABULAR, *MLPS])
@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"a": [1.0], "b": [2.0]}, "X is a dict, but"),
        ([{"a": 1.0, "b": 2.0}], "X is a list of dicts, but"),
        ("rows.csv", "X is 'rows.csv', but"),
    ],
)
def test_rows_in_other_containers(kind, given, what):
    with pytest.raises(mn.DataError, match=what):
        kind().fit(given, [0])


@pytest.mark.parametrize("kind", [*TABULAR, *MLPS])
def test_the_importances_of_trees(kind):
    estimator = kind()
    with pytest.raises(AttributeError, match=r"has no attribute 'feature_importances_'; mn\.explain\.permutation_importance\("):
        _ = estimator.feature_importances_
    assert not hasattr(estimator, "feature_importances_")
    assert "feature_importances_" not in dir(estimator)
    for other in (clone(estimator), copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        assert other.get_params() == estimator.get_params()
    with pytest.raises(AttributeError, match=f"^'{kind.__name__}' object has no attribute 'feature_importance'$"):
        _ = estimator.feature_importance


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_advice_on_importances_is_a_call_that_works():
    estimator = mn.MLPClassifier((4,), max_iter=2).fit(X, Y)
    assert mn.explain.permutation_importance(estimator.model_, X, Y).names == ["x0", "x1"]
    for selector in (SelectFromModel(estimator), RFE(estimator)):  # which ask hasattr
        with pytest.raises(ValueError, match="should have `coef_` or `feature_importances_`"):
            selector.fit(X, Y).transform(X)
    for selector in (SelectFromModel, RFE):
        with pytest.raises(AttributeError, match=r"mn\.explain\.permutation_importance\("):
            selector(estimator, importance_getter="feature_importances_").fit(X, Y).transform(X)


def test_the_reasons_why_a_method_is_missing_are_told():
    with pytest.raises(AttributeError, match="lbfgs is not stochastic"):
        _ = mn.MLPClassifier(solver="lbfgs").partial_fit
