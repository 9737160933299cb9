"""MLPClassifier and MLPRegressor keep scikit-learn's behaviour on unscaled columns, and warn of them once."""

from __future__ import annotations

import warnings

import numpy as np
import pandas
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score

import manynets as mn

random = np.random.default_rng(0)
X = random.standard_normal((60, 3)) * [1.0, 1e5, 1.0]
Y = X[:, 0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_unscaled_columns_are_named_with_the_two_ways_out() -> None:
    frame = pandas.DataFrame(X, columns=["age", "income", "rooms"])
    with pytest.warns(mn.DataScaleWarning, match=r"income \(.*StandardScaler.*TabularRegressor") as caught:
        mn.MLPRegressor(max_iter=2).fit(frame, Y)
    found = [warning for warning in caught if warning.category is mn.DataScaleWarning]
    assert len(found) == 1
    assert found[0].filename == __file__


def test_scaled_columns_and_later_fits_are_silent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        mn.MLPRegressor(max_iter=2).fit(X / X.std(axis=0), Y)
        mn.MLPRegressor().partial_fit(X, Y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_folds_whose_columns_differ_warn_once() -> None:
    far = X * np.where(np.arange(len(X)) < 30, 1.0, 1e-3)[:, None]
    far[:30, 2] *= 1e5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cross_val_score(mn.MLPRegressor(max_iter=2), far, Y, cv=2)
    assert [warning.category for warning in caught].count(mn.DataScaleWarning) == 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_a_target_near_the_ends_of_float64_is_standardised_and_scored(size: float) -> None:
    x = X / X.std(axis=0)
    for net in (
        mn.MLPRegressor(max_iter=60, standardise_target=True, learning_rate_init=0.02, random_state=0),
        mn.TabularRegressor(preset="fast", n_networks=2, random_state=0),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            found = net.fit(x, x[:, 0] * size).score(x, x[:, 0] * size)
        assert found > 0.9
        assert found == pytest.approx(net.fit(x, x[:, 0]).score(x, x[:, 0]), abs=0.01)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("unit", "advice", "factor", "options"),
    [(1e8, "Write standardise_target=True", 1, {"standardise_target": True}), (1e-4, "Multiply it", 1e4, {})],
)
def test_a_target_far_from_1_is_named_and_the_advice_helps(
    unit: float, advice: str, factor: float, options: dict[str, bool]
) -> None:
    x = X / X.std(axis=0)
    y = x[:, 0] * unit
    with pytest.warns(mn.DataScaleWarning, match=rf"that of y is .*{advice}.*TabularRegressor") as caught:
        plain = mn.MLPRegressor(random_state=0).fit(x, y)
    found = [warning for warning in caught if warning.category is mn.DataScaleWarning]
    assert len(found) == 1
    assert found[0].filename == __file__
    advised = mn.MLPRegressor(random_state=0, **options).fit(x, y * factor)
    assert plain.score(x, y) < 0.1 < 0.9 < advised.score(x, y * factor)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_targets_that_are_learnt_well_or_meant_so_are_silent() -> None:
    x = X / X.std(axis=0)
    y = np.round(np.abs(x[:, 0]) * 1000)
    few = {"max_iter": 2, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error", mn.DataScaleWarning)
        mn.MLPRegressor(**few).fit(x, y / 1000)
        mn.MLPRegressor(**few).fit(x, y > 500)
        mn.MLPRegressor(**few, standardise_target=False).fit(x, y)
        mn.MLPRegressor(**few, loss="poisson").fit(x, y)
        mn.MLPRegressor(**few, solver="lbfgs").fit(x, y)
        mn.MLPRegressor(**few).fit(pandas.DataFrame(x, columns=["a", "b", "c"]).assign(kind="a"), y)
        mn.MLPRegressor(**few).partial_fit(x, y)
