"""What y means: its task, y as that encodes it, and how much each row counts."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import as_weights, moderate_weights
from manynets.display import short
from manynets.errors import DataError, OptionError
from manynets.tasks import Regression, Task, find_task, with_quantiles
from manynets.tasks.base import as_target

ClassWeight: TypeAlias = Literal["balanced"] | Mapping[Any, float] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """What y means, and y as the task encodes it, (N,) or (N, O)."""

    task: Task
    encoded: NDArray[Any]

    def __len__(self) -> int:
        return len(self.encoded)

    @property
    def class_names(self) -> tuple[Any, ...] | None:
        """The classes, or None."""
        return getattr(self.task, "classes", None)


def find_target(
    y: Any,
    task: str | Task | None,
    *,
    loss: str | None = None,
    target_transform: Literal["log", "auto"] | None = None,
    quantiles: tuple[float, ...] = (),
) -> Target:
    """Return y encoded for its task, which is found from y where it is not given; `loss` and `quantiles` are the recipe's."""
    if target_transform is not None and (isinstance(task, Task) or loss == "poisson"):
        other = f"loss={loss!r}, whose scores are log-rates" if loss == "poisson" else f"a task of its own, {task!r}"
        raise OptionError(f"target_transform is {target_transform!r}, but does not go with {other}; leave it out")
    if not isinstance(task, Task):
        task = find_task(y, name=task, target_transform=target_transform)
        if isinstance(task, Regression) and loss == "poisson":
            task = Regression.of(y, standardise=False)
    task = with_quantiles(task, quantiles)
    encoded = task.encode(y)
    if loss == "poisson" and (encoded < 0).any():
        raise DataError(f"y holds {encoded.min():g}, but loss='poisson' is for counts and rates, which are not negative")
    return Target(task, encoded)


def standardised_by(target: Target, y: Any, rows: NDArray[np.int64] | None, *, loss: str | None = None) -> Target:
    """Return a regression target with the mean and standard deviation of some rows only (None: of all, as it is); any other as it is."""
    if rows is None or loss == "poisson" or not isinstance(target.task, Regression):
        return target
    own = Regression.of(as_target(y)[rows], transform=target.task.transform)
    task = dataclasses.replace(target.task, center=own.center, scale=own.scale)
    return Target(task, task.encode(y))


def row_weights(
    task: Task, encoded: NDArray[Any], rows: int, sample_weight: Any, class_weight: str | Mapping[Any, float] | None
) -> NDArray[np.float64] | None:
    """Return the weights (N,) of the rows times those of their classes; None where all rows count the same."""
    weight = as_weights(sample_weight, rows)
    if class_weight is None:
        return weight
    codes = task.strata(encoded)
    if codes is None:
        raise OptionError(
            f"class_weight is {class_weight!r}, but the task {task.name!r} has no single class per row; use sample_weight"
        )
    classes: tuple[Any, ...] = task.classes  # type: ignore[attr-defined]
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(codes, weights=weight, minlength=len(classes))
        by_class = counts.sum() / (len(classes) * np.where(counts > 0, counts, 1))
    elif isinstance(class_weight, Mapping):
        by_class = _class_weights(class_weight, classes)
    else:
        raise no_class_weight(class_weight)
    return as_weights(by_class[codes] * (1.0 if weight is None else weight), rows)


def no_class_weight(value: Any) -> OptionError:
    """Return the error for a class_weight that is neither "balanced" nor a dict.

    >>> print(no_class_weight("even"))
    class_weight is 'even', but must be 'balanced' or a dict from class to weight
    """
    hint = "; write class_weight.to_dict()" if hasattr(value, "to_dict") else ""
    return OptionError(f"class_weight is {short(value)}, but must be 'balanced' or a dict from class to weight{hint}")


def _class_weights(given: Mapping[Any, float], classes: tuple[Any, ...]) -> NDArray[np.float64]:
    unknown = [label for label in given if label not in classes]
    if unknown:
        raise OptionError(f"class_weight names {unknown[0]!r}, but the classes are {', '.join(map(repr, classes))}")
    strange = [value for value in given.values() if not isinstance(value, numbers.Real)]
    if strange:
        raise OptionError(f"class_weight is {dict(given)!r}, but {strange[0]!r} is not a number")
    weights = np.array([float(given.get(label, 1.0)) for label in classes])
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise OptionError(f"class_weight is {dict(given)!r}, but weights must be finite and not negative")
    return moderate_weights(weights)
