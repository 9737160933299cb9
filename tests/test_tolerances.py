"""The comparison helper fails where it must."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tolerances import TOLERANCES, assert_close

VALUES = np.array([[1.0, -2.0], [0.0, 1e6]])


@pytest.mark.parametrize("kind", TOLERANCES)
def test_equal_values_pass(kind: str) -> None:
    assert_close(VALUES.copy(), VALUES, kind)
    assert_close({"a": torch.ones(2), "b": [1.0]}, {"a": torch.ones(2), "b": [1.0]}, kind)


@pytest.mark.parametrize("kind", TOLERANCES)
@pytest.mark.parametrize("place", list(np.ndindex(2, 2)))
def test_a_perturbed_value_fails(kind: str, place: tuple[int, int]) -> None:
    tolerance = TOLERANCES[kind]
    wrong = VALUES.copy()
    step = 1.5 * (tolerance.absolute + tolerance.relative * abs(VALUES[place])) or np.spacing(VALUES[place])
    wrong[place] += step
    with pytest.raises(AssertionError, match="instead of"):
        assert_close(wrong, VALUES, kind)
    with pytest.raises(AssertionError, match=r"\['deep'\]"):
        assert_close({"deep": wrong}, {"deep": VALUES}, kind)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_fails_on_either_side_and_on_both(bad: float) -> None:
    wrong = VALUES.copy()
    wrong[0, 0] = bad
    for a, b in ((wrong, VALUES), (VALUES, wrong), (wrong, wrong)):
        with pytest.raises(AssertionError, match="not all finite"):
            assert_close(a, b, "float64")


def test_another_shape_type_or_key_fails() -> None:
    with pytest.raises(AssertionError, match="shape"):
        assert_close(np.ones((1, 2)), np.ones(2), "float64")
    with pytest.raises(AssertionError, match="shape"):
        assert_close(np.ones(1), 1.0, "float64")
    with pytest.raises(AssertionError, match="type float32"):
        assert_close(np.ones(2, dtype=np.float32), np.ones(2), "float64")
    with pytest.raises(AssertionError, match="instead of"):
        assert_close({"a": 1.0}, {"a": 1.0, "b": 1.0}, "float64")
    with pytest.raises(AssertionError, match="mapping"):
        assert_close([1.0], {"a": 1.0}, "float64")
