"""Copies of images, moved by a pixel."""

from __future__ import annotations

import numpy as np
import pytest

from manynets import DataError, OptionError
from manynets.datasets import with_shifts


@pytest.mark.parametrize("pixels", [1, 2])
def test_copies_are_those_of_numpys_roll_with_zeros_where_pixels_enter(pixels: int) -> None:
    random = np.random.default_rng(0)
    X, y = random.random((7, 30), dtype=np.float32), random.random((7, 2))
    more, targets = with_shifts(X, y, (5, 6), pixels=pixels)
    assert (more.shape, more.dtype, targets.shape) == ((35, 30), np.float32, (35, 2))
    images = more.reshape(5, 7, 5, 6)
    for k, (axis, by) in enumerate([(1, 0), (1, -pixels), (1, pixels), (2, -pixels), (2, pixels)]):
        moved = np.roll(X.reshape(7, 5, 6), by, axis=axis)
        entering = [slice(None)] * 3
        entering[axis] = slice(0, by) if by > 0 else slice(5 + axis - 1 + by, None) if by else slice(0, 0)
        moved[tuple(entering)] = 0
        assert (images[k] == moved).all(), k
        assert (targets[7 * k : 7 * k + 7] == y).all()


def test_what_does_not_fit_is_refused() -> None:
    X, y = np.zeros((3, 6)), np.zeros(3)
    for image_shape in ((2, 4), (6,), (1, 2, 3)):
        with pytest.raises(DataError, match=r"but X has the shape \(3, 6\)"):
            with_shifts(X, y, image_shape)
    with pytest.raises(DataError, match="X has 3 rows and y has 2"):
        with_shifts(X, y[:2], (2, 3))
    for pixels in (0, 2):
        with pytest.raises(OptionError, match=f"pixels is {pixels}, but must be at least 1 and below 2"):
            with_shifts(X, y, (2, 3), pixels=pixels)
