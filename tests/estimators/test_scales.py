"""MLPClassifier and MLPRegressor keep scikit-learn's behaviour on unscaled columns, and warn of them once."""

from __future__ import annotations

import warnings

import numpy as np
import pandas
import pytest
from sklearn.exceptions import ConvergenceWarning

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
