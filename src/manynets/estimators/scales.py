"""Whether the columns of a matrix, and a target, have sizes that a network can learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.display import listed, value_text
from manynets.errors import DataScaleWarning, warn_user

LARGE = 1e2
"""A column of this size or more outweighs all others in the first layer, or saturates it."""
SMALL = 1e-2
"""Columns all smaller than this hardly move the first layer."""
APART = 1e3
"""Columns whose sizes differ by more than this cannot share a learning rate."""
SAMPLE = 10_000
"""So many rows are looked at, spread evenly."""
SHOWN = 5


def column_sizes(X: NDArray[Any]) -> NDArray[np.float64]:
    """Return the size of each column (D,): the root of the mean square of its values that are not 0; NaN where all are 0.

    >>> column_sizes(np.array([[3.0, 0.0], [0.0, 0.0]])).tolist()
    [3.0, nan]
    """
    step = max(1, len(X) // SAMPLE)
    values = np.abs(np.asarray(X[::step], dtype=np.float64))
    most = values.max(axis=0, initial=0.0)
    unit = values / np.where(most > 0, most, 1.0)
    counts = np.count_nonzero(values, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(most * np.sqrt(np.square(unit).sum(axis=0) / counts))


def scale_problem(X: NDArray[Any], names: Sequence[str] | None = None) -> str:
    """Say which columns of a matrix (N, D) of finite numbers ruin a network by their size, or nothing.

    These are columns of size 100 or more, columns that differ in size by more than a factor 1000, and columns all below 0.01; see
    `column_sizes`.
    """
    sizes = column_sizes(X)
    known = np.flatnonzero(~np.isnan(sizes))
    if not len(known):
        return ""
    large, small = float(sizes[known].max()), float(sizes[known].min())
    apart = large > APART * small
    if not apart and SMALL < large < LARGE:
        return ""
    if large >= LARGE:
        far = known[sizes[known] >= LARGE]
    else:
        far = known[(sizes[known] * APART < large) | (sizes[known] == large)] if apart else known
    far = far[np.argsort(-np.abs(np.log10(sizes[far])), kind="stable")]
    shown = listed((f"{names[j] if names is not None else f'column {j}'} ({_text(sizes[j])})" for j in far.tolist()), SHOWN)
    return f"{shown}; the columns of X have sizes from {_text(small)} to {_text(large)}"


def _text(size: float) -> str:
    return value_text(float(f"{size:.2g}"))


def warn_of_scales(X: NDArray[Any], names: Sequence[str] | None = None, *, estimator: str = "MLPClassifier") -> None:
    """Warn with DataScaleWarning of columns whose size ruins a network, and name the two ways out."""
    problem = scale_problem(X, names)
    if problem:
        tabular = f"Tabular{estimator.removeprefix('MLP')}"
        warn_user(
            f"{estimator} does not scale its input, and a network learns badly from columns of very different size, or far from 1:"
            f" {problem}. Scale them with make_pipeline(StandardScaler(), {estimator}(...)), or use {tabular} or manynets.train,"
            " which scale by themselves",
            DataScaleWarning,
            same=estimator,
        )


def warn_of_target_scale(y: NDArray[Any], *, large: float = LARGE) -> None:
    """Warn with DataScaleWarning of a target (N,) or (N, O) whose size ruins a network that does not standardise it, and name the ways out."""
    sizes = column_sizes(y.reshape(len(y), -1))
    far = [float(size) for size in sizes if size >= large or size <= SMALL]
    if far:
        small = min(far) <= SMALL  # where standardise_target alone stops too early, as the loss and tol are in the unit of y
        remedy = "Multiply it, so that it is near 1" if small else "Write standardise_target=True (False if it is meant so)"
        warn_user(
            "MLPRegressor does not scale the target, and a network learns badly one whose size is far from 1: that of y is"
            f" {', '.join(f'{size:.2g}' for size in far[:SHOWN])}. {remedy}, or use TabularRegressor or manynets.train, which scale it"
            " by themselves",
            DataScaleWarning,
        )
