"""Data sets: arrays for training and testing, with their meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from manynets.display import counted
from manynets.errors import DataError, one_of

TaskHint = Literal["regression", "binary", "multiclass"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Dataset:
    """A named data set. Parts that it lacks are None. Shapes are checked, values are not.

    `X` (N, D) float32 and `y` (N,) are for training, int64 class codes or float32 targets; `X_test`, `y_test` and
    `X_validation`, `y_validation` are further rows of the same kind. Raises DataError if the parts do not fit together.

    >>> import manynets as mn
    >>> data = mn.datasets.load("moons", points=400, seed=0)
    >>> data
    <Dataset moons: 400 rows, 100 validation rows, 100 test rows, 2 columns, binary>
    >>> data.X.shape, data.y.shape, data.class_names
    ((400, 2), (400,), ('upper', 'lower'))
    """

    name: str
    X: NDArray[np.float32]
    y: NDArray[Any]
    task: TaskHint
    """What the target asks for; a hint, the user's choice goes first."""
    source: str
    """One line: where it comes from, and its terms."""
    X_test: NDArray[np.float32] | None = None
    y_test: NDArray[Any] | None = None
    X_validation: NDArray[np.float32] | None = None
    y_validation: NDArray[Any] | None = None
    feature_names: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    """The names of the classes, indexed by class code; None for a regression."""
    image_shape: tuple[int, int] | None = None
    """Height and width, when the D features are the pixels of an image, row by row."""

    def __repr__(self) -> str:
        rows = [f"{len(self.X):,} rows"]
        rows += [
            f"{len(X):,} {part} rows" for part, X in (("validation", self.X_validation), ("test", self.X_test)) if X is not None
        ]
        return f"<Dataset {self.name}: {', '.join(rows)}, {counted(self.X.shape[1], 'column')}, {self.task}>"

    def __post_init__(self) -> None:
        one_of(self.task, get_args(TaskHint), what="task")
        _check_part(self.name, "X", self.X, "y", self.y, columns=None)
        columns = self.X.shape[1]
        for part in ("test", "validation"):
            X, y = getattr(self, f"X_{part}"), getattr(self, f"y_{part}")
            if (X is None) != (y is None):
                given, absent = (f"y_{part}", f"X_{part}") if X is None else (f"X_{part}", f"y_{part}")
                raise DataError(f"data set {self.name!r} has {given} but not {absent}; give both or neither")
            if X is not None:
                _check_part(self.name, f"X_{part}", X, f"y_{part}", y, columns=columns)
        if self.feature_names is not None and len(self.feature_names) != columns:
            raise DataError(f"data set {self.name!r} has {len(self.feature_names)} feature_names for {columns} columns of X")
        if self.image_shape is not None and math.prod(self.image_shape) != columns:
            raise DataError(f"data set {self.name!r} has image_shape {self.image_shape} for {columns} columns of X")
        if (self.class_names is None) != (self.task == "regression"):
            raise DataError(f"data set {self.name!r} has class_names {self.class_names} for a {self.task} task")


def _check_part(name: str, X_name: str, X: NDArray[Any], y_name: str, y: NDArray[Any], *, columns: int | None) -> None:
    if X.ndim != 2 or X.dtype != np.float32 or X.size == 0:
        raise DataError(f"{name!r}: {X_name} is {X.dtype} of shape {X.shape}, but must be float32 of shape (N, D), N and D > 0")
    if columns is not None and X.shape[1] != columns:
        raise DataError(f"{name!r}: {X_name} has {X.shape[1]} columns, but X has {columns}")
    if y.ndim != 1 or len(y) != len(X):
        raise DataError(f"{name!r}: {y_name} has shape {y.shape}, but must be ({len(X)},), a value for each row of {X_name}")
