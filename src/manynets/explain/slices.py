"""The groups of rows that a model serves worst: values of a category, bins of a number.

The loss of the rows in a group is compared with that of all others (Welch's t-test). Because many groups are looked at, p-values are corrected for
that (Holm 1979), and a group is only named where the corrected one is small.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from manynets.display import Records
from manynets.errors import check_count
from manynets.explain.blocks import encoded_target, model_of, source_rows
from manynets.explain.values import CategoryValues, column_values
from manynets.metrics import wilson_interval
from manynets.model import Model
from manynets.tasks import Binary, Multiclass, Regression, Task

Array: TypeAlias = NDArray[Any]

FEWEST_ROWS = 20
BINS = 4
MOST_LEVELS = 30
LARGEST_P = 0.05


@dataclasses.dataclass(frozen=True)
class Slice:
    """A group of rows whose error is larger than that of the others.

    column, group: which rows, such as "age" and "61 to 80". rows: how many. loss, other_loss: the mean loss of these rows, and of all others: wrong
    predictions of classes, absolute errors of numbers (of several targets as in `WorstRow`). low, high: a 95% interval of `loss`, of classes
    Wilson's. p: corrected for all groups that were looked at.

    >>> one = Slice(column="town", group="Chur", rows=40, loss=0.9, other_loss=0.3, low=0.2, high=1.0, p=0.001)
    >>> round(one.loss / one.other_loss, 1)
    3.0
    """

    column: str
    group: str
    rows: int
    loss: float
    other_loss: float
    low: float
    high: float
    p: float


def several_numbers(task: Task) -> bool:
    """Return whether a task predicts several numbers a row. Their errors are given in standard deviations, as their units differ."""
    return isinstance(task, Regression) and task.targets > 1


def row_losses(model: Model, logits: Array, y: Any) -> NDArray[np.float64]:
    """Return the loss of each row (N,): 1 for a wrong class and 0 for the right one, or the absolute error of a number.

    Of several targets, which have units of their own, it is the mean of their errors, each in standard deviations of the target in these rows.
    """
    target, predicted = encoded_target(model, y, rows=logits.shape[1]), model.predicted(logits)
    if isinstance(model.task, Regression):
        truth = model.task.own_unit(target)
        away = np.abs(np.asarray(predicted, dtype=np.float64) - truth)
        if several_numbers(model.task):
            spread = truth.std(axis=0)
            away = away / np.where(spread > 0, spread, 1.0)
    else:
        away = (model.task.encode(predicted) != target).astype(np.float64)
    return np.asarray(away.reshape(len(away), -1).mean(axis=1))


def worst_slices(model: Model, X: Any, y: Any, *, most: int = 10) -> list[Slice]:
    """Return the groups of rows X, a frame or (N, D), whose loss is larger than that of the others by more than chance, the worst first.

    Groups of fewer than 20 rows are not looked at. Errors: DataError for rows that do not fit.

    >>> import manynets as mn
    >>> import numpy as np
    >>> x = np.linspace(-3, 3, 300)[:, None]
    >>> y = np.where(x[:, 0] > 1, np.sin(20 * x[:, 0]), 0.0)
    >>> model = mn.train(x, y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=5), progress=False)
    >>> [(one.column, one.rows) for one in mn.explain.worst_slices(model, x, y, most=1)]
    [('x0', 75)]
    """
    check_count(most, what="most")
    model = model_of(model)
    X, y, _ = model.read_given(X, y)
    losses = row_losses(model, model.encoded_logits(source_rows(model, X).matrix), y)
    found: list[Slice] = []
    for name, group, chosen in groups_of(model, X):
        one, other = losses[chosen], losses[~chosen]
        if min(len(one), len(other)) < FEWEST_ROWS:
            continue
        mean, other_mean = float(one.mean()), float(other.mean())
        if one.std() == other.std() == 0:
            p = float(mean <= other_mean)
        else:
            with warnings.catch_warnings(action="ignore"):  # of a group in which all losses are the same
                p = float(stats.ttest_ind(one, other, equal_var=False, alternative="greater").pvalue)
        if isinstance(model.task, Binary | Multiclass):
            low, high = wilson_interval(one.sum(), len(one))
        else:
            half = 1.96 * float(one.std(ddof=1)) / len(one) ** 0.5
            low, high = mean - half, mean + half
        found.append(Slice(name, group, len(one), mean, other_mean, low, high, p))
    return Records([one for one in _corrected(found) if one.p <= LARGEST_P][:most])


def _corrected(found: list[Slice]) -> list[Slice]:
    """Return the groups with Holm's p-values, the largest loss above that of the others first."""
    out, largest = [], 0.0
    for rank, one in enumerate(sorted(found, key=lambda one: one.p)):
        largest = max(largest, min(1.0, one.p * (len(found) - rank)))
        out.append(dataclasses.replace(one, p=largest))
    return sorted(out, key=lambda one: one.other_loss - one.loss)


Group: TypeAlias = tuple[str, str, NDArray[np.bool_]]
"""A column, the group by its values, and which rows belong to it (N,)."""


def groups_of(model: Model, X: Any, *, predicted: Array | None = None, bins: int = BINS) -> Iterator[Group]:
    """Yield the groups of the rows of X by each column of numbers or categories; first by the predictions (N,), if they are given."""
    if predicted is not None:
        yield from _bins("prediction", predicted, bins)
    for name, column in column_values(model, X):
        if isinstance(column, CategoryValues):
            for code in column.frequent(MOST_LEVELS):
                yield name, column.labels[code], column.codes == code
            yield name, "(missing)", column.codes < 0
        elif not column.dates:
            yield from _bins(name, column.values, bins)


def _bins(name: str, values: NDArray[np.float64], bins: int) -> Iterator[Group]:
    """Yield the rows without a value, and those of each bin between quantiles; the last bin has its upper end, too."""
    gone = np.isnan(values)
    yield name, "(missing)", gone
    present = values[~gone]
    edges = np.unique(np.quantile(present, np.linspace(0, 1, bins + 1))) if present.size else np.empty(0)
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        last = i == len(edges) - 2
        yield name, f"{low:g} to {high:g}", (values >= low) & ((values <= high) if last else (values < high))
