"""The losses, written once for arrays of NumPy, JAX and Keras (`xp` is the module), and their derivatives by hand.

z: raw scores (..., O). t: target (..., O), of classes one-hot. A row's loss is the sum or the mean over outputs of value(z, t).

`manynets.tasks.objectives` is the other half: value and derivative on torch tensors, for the losses that are chosen here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.errors import OptionError, one_of
from manynets.spec import METRICS, Recipe
from manynets.spec.own import is_own
from manynets.tasks.base import Task
from manynets.tasks.classification import Multiclass, softmax
from manynets.tasks.regression import Regression

Array: TypeAlias = NDArray[Any]
Value: TypeAlias = Callable[[Any, Any, Any], Any]
Slope: TypeAlias = Callable[[Array, Array], Any]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Loss:
    """A loss on raw scores: its value in any library, its derivative in NumPy, and what the history reports.

    name: in a recipe. total: rows sum over outputs (else: mean). unit (O,), or (K, 1, O) where that of each network is
    its own: turns the loss of a standardised target into the user's unit.
    kind: what the metric counts: "class" and "labels" right rows, "number" squared errors. point: the shares (J,) of several quantiles in the
    prediction, whose squared errors are counted (`Regression.point_weights`); () where each output predicts one number. Quantiles are
    reported in order.
    """

    name: str
    value: Value
    slope: Slope
    total: bool
    unit: NDArray[np.float64]
    kind: str
    exponential: bool = False
    point: tuple[float, ...] = ()

    @property
    def outputs(self) -> int:
        """O, the number of scores per row."""
        return self.unit.shape[-1]

    def expand(self, target: Array, smoothing: float = 0.0) -> NDArray[np.float64]:
        """Return encoded targets, class codes (N,) or floats (N, O), as (N, O), labels smoothed: (1 - s) t + s / C."""
        if self.kind == "number":
            return np.repeat(target.astype(np.float64), max(1, len(self.point)), axis=-1)
        t = np.eye(self.outputs)[target] if self.kind == "class" else target.astype(np.float64)
        level = 1 / self.outputs if self.kind == "class" else 0.5
        return (1 - smoothing) * t + smoothing * level

    def rows(self, xp: Any, z: Any, t: Any) -> Any:
        """Return each row's loss (...), which training makes small."""
        values = self.value(xp, z, t)
        return xp.sum(values, axis=-1) if self.total else xp.mean(values, axis=-1)

    def gradient(self, z: Array, t: Array) -> Array:
        """Return d rows / d z, shape (..., O)."""
        slope = np.asarray(self.slope(z, t))
        return slope if self.total else slope / self.outputs

    def report(self, xp: Any, z: Any, t: Any, unit: Any) -> Any:
        """Return each row's loss (...) in the unit of the user's target; unit: `self.unit` as an array of the library."""
        values = self.value(xp, self.arranged(xp, z), t) * unit
        return xp.sum(values, axis=-1) if self.total else xp.mean(values, axis=-1)

    def arranged(self, xp: Any, z: Any) -> Any:
        """Return scores (..., O), several quantiles of each target in order."""
        step = len(self.point)
        if not step:
            return z
        parts = [xp.sort(z[..., first : first + step], axis=-1) for first in range(0, self.outputs, step)]
        return parts[0] if len(parts) == 1 else xp.concatenate(parts, axis=-1)

    def hits(self, xp: Any, z: Any, t: Any) -> Any:
        """Return per row (..., M) what the metric is made of: 1 where the labels are right (M = 1), or the squared errors of M targets."""
        if self.point:
            step, ordered = len(self.point), self.arranged(xp, z)
            predicted = sum(share * ordered[..., j::step] for j, share in enumerate(self.point) if share)
            return xp.square(predicted - t[..., ::step])
        if self.kind == "number":
            return xp.square((xp.exp(z) if self.exponential else z) - t)
        if self.kind == "class":
            right = xp.argmax(z, axis=-1) == xp.argmax(t, axis=-1)
        else:
            right = xp.all((z > 0) == (t > 0.5), axis=-1)
        return xp.where(right, 1.0, 0.0)[..., None]

    def metric(self, hits: Array, spread: Array) -> NDArray[np.float64]:
        """Return the task's metric (...): the accuracy, or R2 = 1 - mean squared error / variance, from mean hits (..., M)."""
        if self.kind != "number":
            return hits[..., 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = 1 - hits / spread
        if not spread.all():  # a constant target: 1 where it is met, 0 elsewhere
            r2 = np.where(spread > 0, r2, np.where(hits > 0, 0.0, 1.0))
        return np.asarray(r2.mean(axis=-1))

    def means(self, sums: Array, spread: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean loss and metric (...) from the sums of a log (..., 3 + M)."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            means = sums / sums[..., 1:2]
            return means[..., 0], self.metric(means[..., 3:], spread)

    def spread(self, target: Array, weight: Array | None) -> NDArray[np.float64]:
        """Return the variance of each column of a regression target (N, O), which R2 compares with; a one for labels."""
        if self.kind != "number":
            return np.ones(1)
        weight, target = None if weight is None or not weight.any() else weight, target.astype(np.float64)
        centred = target - np.average(target, axis=0, weights=weight)
        with np.errstate(over="ignore"):
            return np.asarray(np.average(centred**2, axis=0, weights=weight))

    def log(self, z: Array, t: Array, weight: Array | None = None, penalty: Array | float = 0.0) -> NDArray[np.float64]:
        """Return (..., 3 + M) for batches z (..., b, O) with target t, weight (..., b) and penalty (...).

        These are sums over the rows of the batch: of the loss in the user's unit, of the weights; the penalty; sums of the M hits.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            z = z.astype(np.float64)
            loss, hits = self.report(np, z, t, self.unit), self.hits(np, z, t)
            weight = np.ones_like(loss) if weight is None else weight
            out = np.empty((*loss.shape[:-1], 3 + hits.shape[-1]))
            out[..., 0], out[..., 1], out[..., 2] = (loss * weight).sum(-1), weight.sum(-1), penalty
            out[..., 3:] = (hits * weight[..., None]).sum(-2)
            return out

    @property
    def hit_count(self) -> int:
        """M, the numbers of each row that the metric is made of."""
        return self.outputs // max(1, len(self.point)) if self.kind == "number" else 1


# Cross-entropy of classes: -sum_c t_c log softmax(z)_c. The t of a row sum to 1, so its derivative is softmax(z) - t.


def _softmax_value(xp: Any, z: Any, t: Any) -> Any:
    low = z - xp.max(z, axis=-1, keepdims=True)
    return -t * (low - xp.log(xp.sum(xp.exp(low), axis=-1, keepdims=True)))


# Cross-entropy of yes and no: log(1 + exp(z)) - t z, written without overflow; its derivative is sigmoid(z) - t.


def _logistic_value(xp: Any, z: Any, t: Any) -> Any:
    size = xp.abs(z)
    return (size + z) / 2 + xp.log1p(xp.exp(-size)) - t * z


def _logistic_slope(z: Array, t: Array) -> Array:
    return 0.5 * (1 + np.tanh(z / 2)) - t


# Half the Poisson deviance of a log-rate z: t log t - t - t z + exp(z).


def _poisson_value(xp: Any, z: Any, t: Any) -> Any:
    return t * xp.log(xp.where(t > 0, t, 1.0)) - t - t * z + xp.exp(z)


def _regression_forms(quantile: float | Array, delta: float) -> dict[str, tuple[Value, Slope, int]]:
    """Return value, derivative, and the power of the target's unit that each loss of a regression is in."""

    def huber(xp: Any, z: Any, t: Any) -> Any:
        near = xp.clip(z - t, -delta, delta)
        return near * (z - t - near / 2)

    return {
        "squared_error": (lambda xp, z, t: xp.square(z - t), lambda z, t: 2 * (z - t), 2),
        "half_squared_error": (lambda xp, z, t: 0.5 * xp.square(z - t), lambda z, t: z - t, 2),
        "absolute_error": (lambda xp, z, t: xp.abs(z - t), lambda z, t: np.sign(z - t), 1),
        "huber": (huber, lambda z, t: np.clip(z - t, -delta, delta), 2),
        "poisson": (_poisson_value, lambda z, t: np.exp(z) - t, 0),
        "quantile": (
            lambda xp, z, t: 0.5 * xp.abs(z - t) + (0.5 - _levels(xp, quantile, z)) * (z - t),
            lambda z, t: (np.sign(z - t) + 1 - 2 * quantile) / 2,
            1,
        ),
    }


def _levels(xp: Any, quantile: float | Array, z: Any) -> Any:
    """Return one quantile as it is, and several (O,) as an array of the library."""
    return quantile if isinstance(quantile, float) else xp.array(quantile, dtype=z.dtype)


def levels_of(task: Regression, recipe: Recipe) -> float | Array:
    """Return the quantile that a recipe asks for, of several that of each output (O,).

    Errors: OptionError where the task predicts others.
    """
    if task.quantiles != recipe.quantiles:
        found, wanted = (f"the quantiles {list(one)}" if one else "one number" for one in (task.quantiles, recipe.quantiles))
        raise OptionError(
            f"the task predicts {found} of each target, but the recipe asks for {wanted}; train a new model for another Recipe.quantile"
        )
    return np.tile(recipe.quantiles, task.targets) if recipe.quantiles else float(recipe.quantile)  # type: ignore[arg-type]


def loss_for(task: Task, recipe: Recipe) -> Loss:
    """Return the loss that a recipe asks of a task, the default in place of a function of the user's own.

    Errors: OptionError for a name that the task does not take.
    """
    if recipe.watch in METRICS:
        one_of(recipe.watch, task.metrics, what=f"metric of the task {task.name!r}")
    asked = None if is_own(recipe.loss) else recipe.loss
    what = f"loss of the task {task.name!r}"
    if asked in Regression.losses and not isinstance(task, Regression):
        raise OptionError(f"{what} is {asked!r}, but must be one of {', '.join(task.losses)}; for numbers use task='regression'")
    name = one_of(asked or task.losses[0], task.losses, what=what)
    ones = np.ones(task.outputs)
    if isinstance(task, Multiclass):
        return Loss(name=name, value=_softmax_value, slope=lambda z, t: softmax(z) - t, total=True, unit=ones, kind="class")
    if not isinstance(task, Regression):
        total = name == "log_loss"
        return Loss(name=name, value=_logistic_value, slope=_logistic_slope, total=total, unit=ones, kind="labels")
    if recipe.label_smoothing:
        raise OptionError(f"label_smoothing is {recipe.label_smoothing}, but a regression target has no labels; leave it at 0")
    if name == "poisson" and (any(task.center) or any(scale != 1 for scale in task.scale) or task.transform):
        raise OptionError(
            "loss='poisson' predicts log-rates and needs the target as it is: use Regression.of(y, standardise=False)"
        )
    value, slope, power = _regression_forms(levels_of(task, recipe), recipe.delta)[name]
    return Loss(
        name=name,
        value=value,
        slope=slope,
        total=name == "half_squared_error",
        unit=np.repeat(task.unit_of_loss(power), max(1, len(task.quantiles))),
        kind="number",
        exponential=name == "poisson",
        point=tuple(task.point_weights.tolist()) if task.quantiles else (),
    )
