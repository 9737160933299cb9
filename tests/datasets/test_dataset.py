"""The data set itself: parts must fit together."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from manynets.datasets import Dataset
from manynets.errors import DataError, OptionError

X = np.zeros((6, 4), dtype=np.float32)
Y = np.array([0, 1, 0, 1, 0, 1])
GOOD: dict[str, Any] = {
    "name": "mine",
    "X": X,
    "y": Y,
    "X_test": X[:2],
    "y_test": Y[:2],
    "feature_names": ("a", "b", "c", "d"),
    "class_names": ("no", "yes"),
    "image_shape": (2, 2),
    "task": "binary",
    "source": "made here",
}


def test_a_good_one_is_kept_as_it_is_and_frozen() -> None:
    data = Dataset(**GOOD)
    assert data.X is X
    assert data.X_validation is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "yours"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": X.astype(np.float64)}, "'mine': X is float64 of shape (6, 4), but must be float32 of shape (N, D)"),
        ({"X": X[0]}, "X is float32 of shape (4,), but"),
        ({"X": X[:0], "y": Y[:0]}, "X is float32 of shape (0, 4), but"),
        ({"y": Y[:5]}, "y has shape (5,), but must be (6,), a value for each row of X"),
        ({"y": Y[:, None]}, "y has shape (6, 1), but must be (6,)"),
        ({"y_test": None}, "has X_test but not y_test; give both or neither"),
        ({"y_validation": Y}, "has y_validation but not X_validation; give both or neither"),
        ({"X_test": X[:2, :3]}, "X_test has 3 columns, but X has 4"),
        ({"y_test": Y[:3]}, "y_test has shape (3,), but must be (2,)"),
        ({"feature_names": ("a",)}, "has 1 feature_names for 4 columns of X"),
        ({"image_shape": (2, 3)}, "has image_shape (2, 3) for 4 columns of X"),
        ({"class_names": None}, "has class_names None for a binary task"),
        ({"task": "regression"}, "has class_names ('no', 'yes') for a regression task"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        Dataset(**GOOD | change)
    assert message in str(caught.value)
    assert "'mine'" in str(caught.value)


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(OptionError, match=r"task is 'regresion', but must be one of .*; did you mean 'regression'"):
        Dataset(**GOOD | {"task": "regresion"})
