"""How much two models differ on the same rows, with 95% intervals.

The rows that both models find hard or easy cancel out, so that the interval of a difference is much narrower than those of the two metrics.

Each metric is a smooth function of means over the rows. To first order, its error is the mean of the influences of the rows, the infinitesimal
jackknife (Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans", chapter 6). With a_i and b_i the influences of row i on the
metrics of the two models, and t the quantile of Student's distribution,

    difference ± t sqrt(sum_i (b_i - a_i)^2 / (n (n - 1)))

Of log loss and mean absolute error this is the interval of the paired t-test, and of the area under the ROC curve that of DeLong, DeLong and
Clarke-Pearson 1988. Accuracies follow the counts of McNemar's test: the rows that one model alone gets right. Their interval is that of Agresti
and Min 2005, "Simple improved confidence intervals for comparing matched proportions", which holds for few such rows, too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from manynets.data.check import as_weights
from manynets.display import Records
from manynets.errors import DataError, OptionError, check_rows
from manynets.explain.blocks import encoded_target, model_of, source_rows
from manynets.metrics import QUANTILE
from manynets.model import Model
from manynets.spec import LOWER_IS_BETTER
from manynets.tasks import Binary, Multiclass, Regression

Array: TypeAlias = NDArray[np.float64]

FEWEST_ROWS = 2


@dataclasses.dataclass(frozen=True)
class Difference:
    """A metric of two models on the same rows, and how much larger it is for the second.

    low, high: a 95% interval of the difference, of rows like these.

    >>> one = Difference(metric="rmse", first=5.0, second=4.0, difference=-1.0, low=-1.5, high=-0.5)
    >>> one.better
    'second'
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float

    @property
    def better(self) -> str:
        """The model that is better, "first" or "second"; "" where the interval includes 0."""
        if self.low <= 0.0 <= self.high:
            return ""
        return "second" if (self.difference < 0.0) == (self.metric in (*LOWER_IS_BETTER, "cost")) else "first"


@dataclasses.dataclass(frozen=True, eq=False)
class Influence:
    """A metric, and the influence of each row (N,) on it, whose mean is 0. right: which rows (N,) are predicted exactly, of an accuracy."""

    value: float
    rows: Array
    right: NDArray[np.bool_] | None = None


def paired_differences(first: Any, second: Any, X: Any, y: Any, *, sample_weight: Any = None) -> list[Difference]:
    """Return how much the metrics of two models (or fitted estimators) for the same target differ on rows that neither has seen.

    X: a frame or (N, D). y: the target. sample_weight: (N,), how much each row counts. Method and sources: `manynets.explain.differences`.
    Metrics that are not defined on these rows are left out, and of classes that only one of the models knows F1 and the area under the ROC curve.
    Each interval is of one difference: of twenty comparisons of equal models, one is expected to miss 0.

    Errors: OptionError for models of different tasks; DataError for rows that do not fit.

    >>> import manynets as mn
    >>> import numpy as np
    >>> x = np.linspace(-3, 3, 200)[:, None]
    >>> small, large = (mn.train(x, x[:, 0] ** 2, mn.MLP(hidden=(n,)), mn.Recipe(epochs=40), progress=False) for n in (1, 32))
    >>> [(one.metric, one.better) for one in mn.explain.paired_differences(small, large, x, x[:, 0] ** 2)]
    [('r2', 'second'), ('rmse', 'second'), ('mae', 'second')]
    """
    models = model_of(first), model_of(second)
    kinds = [model.task.name for model in models]
    if kinds[0] != kinds[1]:
        raise OptionError(f"the models are for different tasks, {' and '.join(kinds)}; give two for the same target")
    given = [model.read_given(X, y, sample_weight) for model in models]
    logits = [
        model.mean_logits(model.encoded_logits(source_rows(model, x).matrix))
        for model, (x, _, _) in zip(models, given, strict=True)
    ]
    weight = as_weights(given[0][2], len(logits[0]))
    influences = [influences_of(model, scores, y, weight) for model, scores, (_, y, _) in zip(models, logits, given, strict=True)]
    return differences_between(models, influences, weight)


def differences_between(
    models: tuple[Model, Model], influences: Sequence[Mapping[str, Influence]], weight: Array | None
) -> list[Difference]:
    """Return the differences of two models for which `influences_of` has been called with the same rows."""
    first, second = (getattr(model.task, "classes", None) for model in models)
    unlike = () if first == second else ("f1", "auc")
    one, other = influences
    found = [_difference(name, one[name], other[name], weight) for name in one if name in other and name not in unlike]
    return Records([each for each in found if math.isfinite(each.low) and math.isfinite(each.high)])


def influences_of(model: Model, scores: NDArray[Any], y: Any, weight: Array | None) -> dict[str, Influence]:
    """Return the metrics of the scores (N, O) of a model by name, with the influence of each row; those that are not defined are left out.

    Errors: DataError for a single row, and for a target that does not fit.
    """
    if weight is not None and not weight.any():
        raise DataError(f"sample_weight is zero for all {len(weight)} rows; at least one must count")
    check_rows(len(scores), len(y))
    if len(scores) < FEWEST_ROWS:
        raise DataError(f"there is {len(scores)} row, but the spread of a difference needs at least {FEWEST_ROWS}")
    target, task = encoded_target(model, y, rows=len(scores)), model.task
    if isinstance(task, Regression):
        predicted = task.predict(scores.astype(np.float64), loss=model.recipe.loss)
        return _of_numbers(task.own_unit(target), predicted, weight)
    if not isinstance(task, Binary | Multiclass):
        return {"accuracy": _share((target == task.predict(scores)).all(axis=1), weight)}
    truth, codes = target.astype(np.int64).reshape(-1), task.codes(scores)
    out = {"accuracy": _share(truth == codes, weight)}
    chance = task.proba(scores)[np.arange(len(truth)), truth]
    out["log_loss"] = _mean(-np.log(np.maximum(chance, np.finfo(np.float64).tiny)), weight)
    if isinstance(task, Binary):
        out |= _of_two_classes(truth == 1, codes == 1, scores[:, 0], weight)
    if task.costs is not None:
        out["cost"] = _mean(np.array(task.costs)[truth, codes], weight)
    return out


# --------------------------------------------------------------------------------------------------------------- influences


def _mean(values: NDArray[Any], weight: Array | None) -> Influence:
    mean = float(np.average(values, weights=weight))
    return Influence(mean, values - mean)


def _share(right: NDArray[np.bool_], weight: Array | None) -> Influence:
    found = _mean(right.astype(np.float64), weight)
    return dataclasses.replace(found, right=right)


def _of_numbers(truth: Array, predicted: Array, weight: Array | None) -> dict[str, Influence]:
    """Return R2, RMSE and mean absolute error of numbers (N,) or (N, T), as `manynets.metrics` has them."""
    truth, predicted = truth.reshape(len(truth), -1), predicted.reshape(len(predicted), -1)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what is not finite is left out
        errors, center = np.square(truth - predicted), np.average(truth, axis=0, weights=weight)
        away = np.square(truth - center)
        rest, total = np.average(errors, axis=0, weights=weight), np.average(away, axis=0, weights=weight)
        share = rest / total
        r2 = Influence(float(np.mean(1 - share)), -((errors - share * away) / total).mean(axis=1))
        squares = _mean(errors.mean(axis=1), weight)
        root = math.sqrt(squares.value)
        rmse = Influence(root, squares.rows / (2 * root) if root else squares.rows)
        found = {"r2": r2, "rmse": rmse, "mae": _mean(np.abs(truth - predicted).mean(axis=1), weight)}
    return {name: one for name, one in found.items() if np.isfinite(one.value) and np.isfinite(one.rows).all()}


def _of_two_classes(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], scores: NDArray[Any], weight: Array | None
) -> dict[str, Influence]:
    """Return F1 of the second class and the area under the ROC curve, where they are defined."""
    out = {}
    found, either = _mean(truth & predicted, weight), _mean(truth.astype(np.float64) + predicted, weight)
    if either.value:
        f1 = 2 * found.value / either.value
        out["f1"] = Influence(f1, (2 * found.rows - f1 * either.rows) / either.value)
    count = np.ones(len(truth)) if weight is None else weight
    positive, negative = float(count[truth].sum()), float(count[~truth].sum())
    if positive and negative:
        _, which = np.unique(scores, return_inverse=True)
        ups, downs = (
            np.bincount(which, weights=count * rows) for rows in (truth, ~truth)
        )  # by distinct score, in increasing order
        below, above = np.cumsum(downs) - downs / 2, positive - np.cumsum(ups) + ups / 2
        share = np.where(
            truth, below[which] / negative, above[which] / positive
        )  # of the other class, on the right side of the row
        area = float(np.average(share[truth], weights=count[truth]))
        total = positive + negative
        out["auc"] = Influence(area, (share - area) * np.where(truth, total / positive, total / negative))
    return out


# ---------------------------------------------------------------------------------------------------------------- intervals


def _difference(metric: str, one: Influence, other: Influence, weight: Array | None) -> Difference:
    away = other.value - one.value
    if one.right is not None and other.right is not None and weight is None:
        low, high = matched_interval(int((one.right & ~other.right).sum()), int((other.right & ~one.right).sum()), len(one.right))
    else:
        low, high = _interval(away, other.rows - one.rows, weight)
    return Difference(metric, one.value, other.value, away, low, high)


def _interval(difference: float, rows: Array, weight: Array | None) -> tuple[float, float]:
    """Return the 95% interval of a difference on which the rows have these influences (N,)."""
    parts = rows / len(rows) if weight is None else rows * (weight / weight.sum())
    counted = len(rows) if weight is None else int(np.count_nonzero(weight))
    if counted < FEWEST_ROWS:
        return math.nan, math.nan
    error = math.sqrt(float(np.square(parts).sum()) * counted / (counted - 1))
    half = float(special.stdtrit(counted - 1, 0.975)) * error
    return difference - half, difference + half


def matched_interval(first: int, second: int, rows: int) -> tuple[float, float]:
    """Return the 95% interval of (second - first) / rows, where so many rows are right for the first or the second model alone.

    A half is added to each of the four counts of rows that both, one or none of the models get right (Agresti and Min 2005).

    >>> [round(limit, 3) for limit in matched_interval(5, 15, 100)]
    [0.012, 0.184]
    """
    total, alone, others = rows + 2, first + 0.5, second + 0.5
    middle = (others - alone) / total
    half = QUANTILE * math.sqrt((alone + others) - (others - alone) ** 2 / total) / total
    return max(-1.0, middle - half), min(1.0, middle + half)
