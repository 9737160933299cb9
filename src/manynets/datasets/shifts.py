"""More images to train on: copies that are moved by a pixel or more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.errors import DataError, OptionError, check_rows


def with_shifts(
    X: NDArray[Any], y: NDArray[Any], image_shape: Sequence[int], *, pixels: int = 1
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return images and targets, followed by four copies of them: moved up, down, left and right by so many pixels.

    X: (N, h w), row by row; y: (N,) or (N, O). Pixels that leave the image are lost, and those that enter it are 0. The result has
    5 N rows; row N k + n is copy k of row n. Split off validation rows before, not after, so that no copy of them is trained on.

    Raises DataError where X and image_shape, (h, w), or X and y do not fit together, and OptionError for a shift that is not at least
    one pixel and less than the image. Source: Simard, Steinkraus & Platt 2003.

    >>> X, y = with_shifts(np.array([[1, 2, 3, 4]]), np.array([7]), (2, 2))
    >>> X.tolist()
    [[1, 2, 3, 4], [3, 4, 0, 0], [0, 0, 1, 2], [2, 0, 4, 0], [0, 1, 0, 3]]
    >>> y.tolist()
    [7, 7, 7, 7, 7]
    """
    shape = tuple(int(side) for side in image_shape)
    if len(shape) != 2 or X.ndim != 2 or math.prod(shape) != X.shape[1]:
        raise DataError(
            f"image_shape is {shape}, but X has the shape {X.shape}; give (height, width) with height * width = columns"
        )
    check_rows(len(X), len(y))
    if not 1 <= pixels < min(shape):
        raise OptionError(f"pixels is {pixels}, but must be at least 1 and below {min(shape)}, the smaller side of the images")
    out = np.zeros((5, len(X), *shape), dtype=X.dtype)
    images = X.reshape(-1, *shape)
    out[0] = images
    out[1, :, :-pixels] = images[:, pixels:]
    out[2, :, pixels:] = images[:, :-pixels]
    out[3, :, :, :-pixels] = images[:, :, pixels:]
    out[4, :, :, pixels:] = images[:, :, :-pixels]
    return out.reshape(-1, X.shape[1]), np.concatenate([y] * 5)
