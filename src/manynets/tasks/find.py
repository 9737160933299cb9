"""Find the task that a target asks for, by name or by its values; and read a task back from JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from manynets.display import is_number
from manynets.errors import OptionError, one_of, warn_user
from manynets.tasks.base import Task, as_target, labels_of
from manynets.tasks.classification import MOST_INFERRED_CLASSES, Binary, Multiclass, Multilabel, is_one_hot
from manynets.tasks.regression import Regression, TargetTransform
from manynets.tasks.thresholds import cost_matrix

_MAKERS: dict[str, Callable[[Any], Task]] = {
    "regression": Regression.of,
    "binary": Binary.of,
    "multiclass": Multiclass.of,
    "multilabel": Multilabel.of,
}
TASK_NAMES = tuple(_MAKERS)
_FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "regression": ({"center", "scale", "flat"}, {"limits", "transform", "quantiles"}),
    "binary": ({"classes"}, {"threshold", "costs"}),
    "multiclass": ({"classes"}, {"costs"}),
    "multilabel": ({"count"}, set()),
}
"""The fields of a task in JSON: those that it must have, and those that it may have."""


def find_task(y: Any, *, name: str | None = None, target_transform: TargetTransform | Literal["auto"] | None = None) -> Task:
    """Return the task for y, named or found from its values.

    Text and bools are classes. Whole numbers with at most 32 distinct values are classes (two: binary), other numbers
    regression. Several columns of 0 and 1 are multilabel, other columns regression; but a one-hot matrix, each row of which has
    exactly one 1, is multiclass with the classes 0, 1, ..., and a warning says so.

    target_transform: of a regression, see `Regression.of`; with it, numbers are a regression target, however few are different.

    >>> find_task(["a", "b", "a"]).name, find_task([0.5, 1.5]).name, find_task([0, 1, 2]).name
    ('binary', 'regression', 'multiclass')
    """
    array = as_target(y)
    if name is None:
        name = "regression" if target_transform is not None and array.dtype.kind in "iuf" else _infer(array)
    if name in ("classes", "classification", "classifier"):
        raise OptionError(
            f"task is {name!r}, but must be binary for two classes, multiclass for more, or multilabel for columns of 0 and 1; left out,"
            " it is found from the target"
        )
    one_of(name, _MAKERS, what="task")
    if target_transform is None:
        return _MAKERS[name](array)
    if name != "regression":
        raise OptionError(
            f"target_transform is {target_transform!r}, but the task is {name!r}: it is for a regression; leave it out"
        )
    return Regression.of(array, transform=target_transform)


def with_positive(y: Any, positive: Any, *, task: str | Task | None = None) -> Binary:
    """Return the task for y of two classes, of which `positive` is the second: precision, recall, F1 and threshold are about it.

    positive: a class, or as text how it is written. task: "binary" or None.

    >>> with_positive(["yes", "no", "no"], "no").classes
    ('yes', 'no')
    """
    if task not in (None, "binary"):
        raise OptionError(f"positive is {positive!r}, but is for two classes, and the task is {task!r}; leave one out")
    found = find_task(y, name=task)
    if not isinstance(found, Binary):
        count = f", which has {len(found.classes)} classes" if isinstance(found, Multiclass) else ""
        raise OptionError(f"positive is {positive!r}, but is for two classes, and the target is {found.name}{count}; leave it out")
    classes = found.classes
    chosen = [label for label in classes if label == positive] or [label for label in classes if str(label) == positive]
    if not chosen:
        raise OptionError(f"positive is {positive!r}, but must be one of the classes, {classes[0]!r} or {classes[1]!r}")
    return found if chosen[0] == classes[1] else Binary((classes[1], classes[0]))


def _infer(array: np.ndarray[Any, Any]) -> str:
    if array.ndim == 2 and is_one_hot(array):
        warn_user(
            f"y is a one-hot matrix of {array.shape[1]} columns: it is taken as {array.shape[1]} classes, 0 to {array.shape[1] - 1}; if"
            " each column is a label of its own, say so with task='multilabel'",
            UserWarning,
        )
        return "multiclass"
    if array.ndim == 2:
        return "multilabel" if array.dtype.kind in "biuf" and np.isin(array, (0, 1)).all() else "regression"
    if array.dtype.kind == "O" and all(map(is_number, array.tolist())):
        array = array.astype(np.float64)
    if array.dtype.kind in "iuf":
        whole = bool(np.isfinite(array).all()) and not np.any(array % 1)
        if not whole or len(np.unique(array)) > MOST_INFERRED_CLASSES:
            return "regression"
    return "binary" if len(labels_of(array)) == 2 else "multiclass"


def with_quantiles(task: Task, quantiles: tuple[float, ...]) -> Task:
    """Return the task of networks that predict these quantiles (`Recipe.quantiles`), where it is a regression without quantiles of its own.

    >>> with_quantiles(Regression((0.0,), (1.0,)), (0.1, 0.9)).outputs
    2
    """
    return task.with_quantiles(quantiles) if quantiles and isinstance(task, Regression) and not task.quantiles else task


def task_from_json(data: Mapping[str, Any]) -> Task:
    """Return the task that `Task.to_json` wrote; what does not fit is an OptionError.

    >>> task_from_json({"name": "binary", "classes": ["no", "yes"]})
    Binary(classes=('no', 'yes'), threshold=0.5)
    """
    if not isinstance(data, Mapping):
        raise OptionError(f"a task is {data!r}, but must be a JSON object")
    name = one_of(data.get("name"), _MAKERS, what="task")
    expected, optional = _FIELDS[name]
    fields = set(data) - {"name"}
    _need(fields - optional == expected, f"{name!r} has the fields {sorted(fields)}, but must have {sorted(expected)}")
    if name == "regression":
        return _regression(data)
    if name == "multilabel":
        count = data["count"]
        whole = isinstance(count, int) and not isinstance(count, bool) and count >= 1
        _need(whole, f"'multilabel' has count {count!r}, but needs a whole number of at least 1")
        return Multilabel(count)
    classes = data["classes"]
    sound = isinstance(classes, list) and len(classes) >= 1  # of one class only: what a classifier is trained on may have no other
    sound = sound and (all(isinstance(c, str) for c in classes) or all(isinstance(c, bool) or _finite(c) for c in classes))
    _need(sound, f"{name!r} needs a list 'classes' of texts or numbers")
    _need(len(set(classes)) == len(classes), f"{name!r} lists a class twice")
    _need(name != "binary" or len(classes) == 2, f"'binary' has {len(classes)} classes, but needs two")
    costs = None if data.get("costs") is None else cost_matrix(data["costs"], len(classes))
    if name == "multiclass":
        return Multiclass(tuple(classes), costs)
    threshold = data.get("threshold", 0.5)
    sound = _finite(threshold) and 0 < threshold < 1
    _need(sound, f"'binary' has the threshold {threshold!r}, but needs a number above 0 and below 1")
    return Binary(tuple(classes), float(threshold), costs)


def _regression(data: Mapping[str, Any]) -> Regression:
    center, scale, flat, transform = data["center"], data["scale"], data["flat"], data.get("transform")
    sound = isinstance(center, list) and isinstance(scale, list) and len(center) == len(scale) > 0 and isinstance(flat, bool)
    sound = sound and all(map(_finite, center + scale)) and min(scale) > 0
    lists = "equally long lists of finite numbers 'center' and 'scale' (above 0)"
    _need(sound, f"'regression' needs {lists} and a bool 'flat'")
    _need(not flat or len(center) == 1, f"'regression' is flat, but has {len(center)} outputs; a flat target has one")
    _need(transform in (None, "log"), f"'regression' has the transform {transform!r}, but must have 'log' or none")
    limits = data.get("limits")
    if limits is not None:
        pairs = limits if isinstance(limits, list) else []
        sound = all(isinstance(pair, list) and len(pair) == 2 and all(map(_finite, pair)) and pair[0] <= pair[1] for pair in pairs)
        sound = sound and len(pairs) == len(center)
        _need(sound, "'regression' needs 'limits' of two finite numbers, the least first, for each output")
        limits = tuple((float(low), float(high)) for low, high in pairs)
    levels = data.get("quantiles", [])
    sound = isinstance(levels, list) and len(levels) != 1 and all(_finite(level) and 0 < level < 1 for level in levels)
    sound = sound and all(low < high for low, high in pairwise(levels))
    _need(sound, "'regression' needs 'quantiles' of several increasing numbers above 0 and below 1")
    return Regression(tuple(map(float, center)), tuple(map(float, scale)), flat, transform, limits, tuple(map(float, levels)))


def _need(sound: bool, text: str) -> None:
    if not sound:
        raise OptionError(f"task {text}")


def _finite(value: object) -> bool:
    return is_number(value) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
