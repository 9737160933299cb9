"""What every task offers, and the checks of y that they share."""

from __future__ import annotations

import abc
import datetime
import decimal
import math
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.display import listed
from manynets.errors import DataError

Values: TypeAlias = NDArray[Any]


class Task(abc.ABC):
    """What y means. Its four final classes are Regression, Binary, Multiclass and Multilabel.

    name: the task's name. outputs: O, the logits (raw scores) that a network gives per row. losses: the names of the losses it takes, the default
    first. metric: the name of the value that the history shows beside the loss; `higher_is_better` says which way it points.
    metrics: the names of those that a training may go by (`Recipe.watch`).

    >>> from manynets.tasks import find_task
    >>> task = find_task(np.array(["no", "yes", "no"]))
    >>> task
    Binary(classes=('no', 'yes'), threshold=0.5)
    >>> task.outputs
    1
    """

    name: str
    losses: tuple[str, ...]
    metric: str
    metrics: tuple[str, ...]
    higher_is_better: bool = True

    @property
    @abc.abstractmethod
    def outputs(self) -> int:
        """O, the number of logits per row."""

    @property
    def targets(self) -> int:
        """How many values it predicts a row: the outputs, but where several of them are quantiles of one target."""
        return self.outputs

    @abc.abstractmethod
    def encode(self, y: Any) -> Values:
        """Return y as a network's target: (N, O) floats, or (N,) class codes; raise DataError for what does not fit."""

    @abc.abstractmethod
    def proba(self, logits: Values) -> Values:
        """Return probabilities (..., N, C) of logits (raw scores) (..., N, O); raise DataError where there are none."""

    @abc.abstractmethod
    def predict(self, logits: Values, *, loss: str | None = None) -> Values:
        """Return predictions in the user's own values for logits (raw scores) (N, O)."""

    def evaluate(self, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> dict[str, Any]:
        """Return the metrics of logits (raw scores) (N, O) against an encoded target, weighted by row where weights are given: `scores` and `details`."""
        return self.scores(logits, target, loss=loss, weight=weight) | self.details(logits, target, loss=loss, weight=weight)

    @abc.abstractmethod
    def scores(self, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> dict[str, float]:
        """Return the metrics that are single numbers."""

    def details(self, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> dict[str, Any]:
        """Return the metrics of each class, label or target."""
        return {}

    def measure(self, metric: str, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> Any:
        """Return one of `metrics` of logits (N, O) against an encoded target, NaN where it is not defined; an array (...) of logits (..., N, O)."""
        key = metric_key(metric)
        each = logits.reshape(-1, *logits.shape[-2:])
        found = [float(self.scores(one, target, loss=loss, weight=weight).get(key, math.nan)) for one in each]
        return found[0] if logits.ndim == 2 else np.array(found).reshape(logits.shape[:-2])

    def strata(self, target: Values) -> Values | None:
        """Return class codes (N,) for stratified splits, or None where there are no classes."""
        return None

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the task as JSON types; `task_from_json` reads it back."""


def metric_key(metric: str) -> str:
    """Return the key under which `Task.evaluate` has one of `Task.metrics`.

    >>> metric_key("roc_auc"), metric_key("f1")
    ('auc', 'f1')
    """
    return "auc" if metric == "roc_auc" else metric


def as_target(y: Any) -> Values:
    """Return y as an array of shape (N,) or (N, O > 1): lists, tensors, frames and series too; (N, 1) is flattened."""
    if hasattr(y, "detach"):
        y = y.detach().cpu().numpy()
    array = as_array(y)
    if isinstance(y, np.ma.MaskedArray) and np.ma.is_masked(y):
        hidden = np.ma.getmaskarray(y).reshape(len(array), -1).any(axis=1)
        raise DataError(f"y is masked in {int(hidden.sum())} of {len(array)} rows; remove those rows or fill them in")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
        raise DataError(f"y has shape {array.shape}, but must be (N,), (N, 1) or (N, O)")
    if array.shape[0] == 0:
        raise DataError("y is empty: 0 rows")
    if array.dtype.kind == "c":
        raise DataError("y holds complex numbers; targets must be real numbers or labels")
    if array.dtype.kind in "fmMO":
        missing = missing_in(array)
        if missing.any():
            rows = np.flatnonzero(missing if missing.ndim == 1 else missing.any(axis=1))
            shown = listed(rows, 5)
            raise DataError(f"y is missing in {len(rows)} of {len(array)} rows (first: {shown}); remove those rows or fill them in")
    return _numeric_columns(array) if array.dtype.kind == "O" and array.ndim == 2 else array


def _numeric_columns(array: Values) -> Values:
    """Return objects (N, O) as numbers where all of them are, such as columns of pandas' nullable types, or of bools beside whole numbers."""
    if not all(isinstance(value, int | float | np.number | np.bool_) for value in array.ravel().tolist()):
        return array
    numbers = np.array(array.tolist())
    return numbers if numbers.dtype.kind in "biuf" else array


def as_array(y: Any, *, what: str = "y") -> Values:
    """Return `np.asarray(y)`, but objects for a list of texts and NaN, in which NumPy would turn NaN into the text "nan"; and decimals
    as floats.

    >>> as_array(["a", float("nan")]).tolist()
    ['a', nan]
    """
    if str(getattr(y, "dtype", "")) in ("Int128", "UInt128"):  # which NumPy lacks; polars 1 panics where it is asked for them
        y = y.to_list()
    try:
        array = np.asarray(y)
    except ValueError as error:
        raise DataError(f"{what} must be one value for each row, or as many for each: {error}") from error
    except Exception:  # of a series of another type that NumPy lacks, such as pyarrow's unions
        listed = getattr(y, "to_list", None) or getattr(y, "to_pylist", None)
        if listed is None:
            raise
        array = np.asarray(listed())
    if array.dtype.kind == "O" and array.ndim == 1:
        found = next(((row, value) for row, value in enumerate(array.tolist()) if _is_several(value)), None)
        if found is not None:
            kind = type(found[1]).__name__
            raise DataError(f"{what} holds values of type {kind}, the first in row {found[0]}; it must be one value for each row")
    if array.dtype.kind == "O" and any(isinstance(value, decimal.Decimal) for value in array.ravel().tolist()):
        plain = [float(value) if isinstance(value, decimal.Decimal) else value for value in array.ravel().tolist()]
        array = np.array(plain, dtype=None if all(isinstance(value, float) for value in plain) else object).reshape(array.shape)
    if array.dtype.kind == "U" and isinstance(y, list | tuple) and any(isinstance(value, float) and value != value for value in y):
        return np.array(y, dtype=object)
    return array


def _is_several(value: object) -> bool:
    """Return whether this is a list, an array, a series or the like, and no single value."""
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def missing_in(array: Values) -> NDArray[np.bool_]:
    """Return which of floats, dates, durations or objects are missing.

    >>> missing_in(np.array(["a", None, float("nan")], dtype=object)).tolist()
    [False, True, True]
    """
    if array.dtype.kind in "fmM":
        return np.isnan(array) if array.dtype.kind == "f" else np.isnat(array)
    flat = [value is None or value is getattr(value, "NA", _NEVER) or value != value for value in array.ravel().tolist()]
    return np.array([bool(item) if isinstance(item, bool | np.bool_) else True for item in flat]).reshape(array.shape)


_NEVER = object()


def finite_target(array: Values) -> NDArray[np.float64]:
    """Return y as float64, or raise DataError with the first value that is not a finite number."""
    if array.dtype.kind in "mM":
        raise DataError(f"y has the type {array.dtype}, but a regression target must be numbers; make it days or seconds first")
    try:
        numbers = array.astype(np.float64)
    except (TypeError, ValueError):
        bad = next(value for value in array.ravel().tolist() if not isinstance(value, int | float))
        when = isinstance(bad, datetime.date | datetime.timedelta)
        fix = "make it days or seconds first" if when else "for classes use task='multiclass', or task='binary' for two"
        raise DataError(f"y holds {bad!r}, but a regression target must be numbers; {fix}") from None
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers.reshape(len(numbers), -1)).all(axis=1))[0])
        raise DataError(f"y holds an infinite value in row {row}; a target must be finite")
    return numbers


def labels_of(array: Values) -> Values:
    """Return the sorted distinct labels of y (N,); labels of mixed types are a DataError."""
    try:
        return np.unique(array)
    except TypeError:
        kinds = {type(value).__name__: value for value in array.tolist()}
        shown = ", ".join(f"{value!r} ({kind})" for kind, value in kinds.items())
        raise DataError(f"y mixes labels of several types: {shown}; make them all text or all numbers") from None


def plain_labels(labels: Iterable[Any]) -> tuple[Any, ...]:
    """Return labels as Python values; any but text, numbers and bools are a DataError."""
    classes = tuple(plain(label) for label in labels)
    strange = next((label for label in classes if not isinstance(label, str | bool | int | float)), None)
    if strange is not None:
        moments = isinstance(strange, datetime.date | datetime.time | datetime.timedelta)
        fix = "make them numbers, such as days, to predict them, or text to have classes" if moments else "make them text"
        raise DataError(f"y holds {strange!r} ({type(strange).__name__}), but labels are text, numbers or bools; {fix}")
    return classes


def plain(label: Any) -> Any:
    """Return a NumPy scalar as the Python value that JSON can hold."""
    return label.item() if isinstance(label, np.generic) else label
