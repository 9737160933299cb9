"""Contributions agree with the shap package on three tables, within the error of the sampling."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.explain import contributions
from tests.tolerances import assert_close

pytestmark = pytest.mark.slow
COLUMNS = 6  # few enough for shap to try every subset


def shap_values(predict: Any, background: Any, x: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shap and its own dependencies
        shap = pytest.importorskip(
            "shap", reason="the shap package is not installed (dependency group compare)", exc_type=ImportError
        )
        return shap.KernelExplainer(predict, background).shap_values(x, nsamples=2**COLUMNS, silent=True)


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer", "wine"])
def test_contributions_are_those_of_shap(name: str) -> None:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x = (x - x.mean(axis=0))[:, :COLUMNS] / x.std(axis=0)[:COLUMNS]
    numbers = name == "diabetes"
    task = "regression" if numbers else None
    model = mn.train(x, y, mn.MLP(hidden=(16,)), mn.Recipe(epochs=30, dtype="float64"), task=task, scaling=False, progress=False)
    background, rows = x[::10], x[1:6]
    wanted = shap_values(model.predict if numbers else model.predict_proba, background, rows)
    found = contributions(model, rows, background=background, n_orders=1000, seed=0)
    away = np.abs(found.values - wanted)
    assert (away <= 5 * found.error + 1e-9).all()
    assert (found.error < 0.15 * np.abs(wanted).max()).all()


def test_a_linear_model_has_exactly_those_of_shap() -> None:
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    x = x[:, :COLUMNS]
    model = mn.train(
        x, y, mn.MLP(hidden=()), mn.Recipe(epochs=5, dtype="float64"), task="regression", scaling=False, progress=False
    )
    found = contributions(model, x[:4], background=x[::10])
    assert_close(found.values, shap_values(model.predict, x[::10], x[:4]), "float64_run")
