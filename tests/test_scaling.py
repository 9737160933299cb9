"""An array whose columns would ruin a network by their size is scaled as a frame is, and says so."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import manynets as mn
from tests.tolerances import assert_close

SPEC, RECIPE = mn.MLP(hidden=(6,)), mn.Recipe(epochs=3, seed=1)


def rows(factor: float = 1000.0) -> tuple[Any, Any]:
    X = np.random.default_rng(0).normal(size=(60, 3)) * [factor, 1.0, 1.0]
    return X, X[:, 0] / factor + X[:, 1]


def fit(X: Any, y: Any, **options: Any) -> mn.Model:
    return mn.train(X, y, SPEC, RECIPE, progress=False, **options)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_columns_far_apart_are_scaled_with_a_warning(kind: Any) -> None:
    X, y = rows()
    with pytest.warns(mn.DataScaleWarning, match=r"column 0 \(.*scaling=False leaves them"):
        model = fit(kind(X), y)
    as_frame = fit(pl.DataFrame(X, schema=list("abc")), y)
    assert_close(model.members[0], as_frame.members[0], "bits")
    assert_close(model.predict(X), as_frame.predict(pl.DataFrame(X, schema=list("abc"))), "bits")


def test_false_leaves_them_and_a_name_scales_without_a_warning() -> None:
    X, y = rows()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(X, y, scaling=False).encoder is None
        assert fit(X, y, scaling="standard").encoder is not None
        assert fit(*rows(1.0)).encoder is None
        assert fit(pl.DataFrame(X, schema=list("abc")), y, scaling=False).encoder is not None


def test_train_many_scales_by_fold() -> None:
    X, y = rows()
    with pytest.warns(mn.DataScaleWarning) as caught:
        found = mn.train_many(X, y, [(SPEC, RECIPE)], cv=2, progress=False)
    assert len(caught) == 1
    assert all(result.model.encoder is not None for result in found)
    left = mn.train_many(X, y, [(SPEC, RECIPE)], cv=2, scaling=False, progress=False)
    assert all(result.model.encoder is None for result in left)


def test_a_module_of_your_own_gets_the_array_as_it_is() -> None:
    X, y = rows()
    module = torch.nn.Linear(3, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mn.train(X, y, module, RECIPE, progress=False).encoder is None
