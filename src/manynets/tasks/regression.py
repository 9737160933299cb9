"""Regression: one or several real numbers per row."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, final

import numpy as np

from manynets import metrics
from manynets.display import counted
from manynets.errors import DataError, one_of
from manynets.tasks.base import Task, Values, as_target, finite_target

TargetTransform = Literal["log"]
TARGET_TRANSFORMS = ("log", "auto")

_MOST = float(np.finfo(np.float64).max)
_LARGE = 1e140
"""The squares of numbers up to this, and their sums, are within float64."""
_NEAR = 16.0
"""Standard deviations from 0, within which float32 has all digits of what a network computes in it."""
_SMALL32, _LARGE32 = float(np.finfo(np.float32).tiny ** 0.5), float(np.finfo(np.float32).max ** 0.5)
"""The squares of numbers between these are within float32."""
NEAR_ZERO = 1e-5
"""Standard deviations below 0 that count as 0: the limits may be those of a target in float32."""
_SKEWED = 1.0
"""The skewness above which a target is heavy-tailed."""


_METRICS = {"r2": metrics.r2_score, "rmse": metrics.root_mean_squared_error, "mae": metrics.mean_absolute_error}


@final
@dataclasses.dataclass(frozen=True)
class Regression(Task):
    """Real targets y (N,) or (N, O). Inside, a network predicts (y - center) / scale; outside all is in y's own unit.

    With transform="log", y is positive and a network predicts (log y - center) / scale. So the loss, its delta and the history are on
    the log scale, where an error of 10% counts the same for small and large y; predictions and the metrics of `evaluate` are in y's own
    unit. Quantiles and medians (loss="quantile", "absolute_error") stay what they are, as the logarithm keeps the order. With
    "squared_error" the prediction is the geometric mean, which is below the mean: it is near the median of a skewed y.

    center, scale: (O,) each; 0 and 1 leave the target as it is (always so for loss="poisson", whose score is a log-rate).
    flat: whether y was (N,) or (N, 1), so that predictions are (N,).
    transform: "log", or None for none.
    limits: the least and the largest prediction of each target, as a network predicts them; None for any.
    quantiles: the levels of several quantiles, in increasing order, that a network predicts of each target (`Recipe.quantile`); () for one
    number. O then counts a target once for each of its quantiles, one target after the other.

    Quantiles never cross: the scores z of a row and target are sorted, q = sort(z), for every prediction, metric and reported loss. Training
    minimizes the mean pinball loss of the unsorted scores, where score j belongs to level j,

        (1 / J) sum_j max(a_j (y - z_j), (a_j - 1) (y - z_j))

    with a_j the levels. Sorting never makes this loss larger (Chernozhukov, Fernandez-Val and Galichon 2010, "Quantile and Probability Curves
    Without Crossing"). The loss is that of Koenker and Bassett 1978, "Regression Quantiles".

    >>> task = Regression(center=(10.0,), scale=(2.0,))
    >>> task.encode(np.array([10.0, 14.0])).ravel().tolist()
    [0.0, 2.0]
    >>> task.with_quantiles((0.1, 0.5, 0.9)).predict_quantiles(np.array([[1.0, -1.0, 0.5]])).tolist()
    [[8.0, 11.0, 12.0]]
    """

    center: tuple[float, ...]
    scale: tuple[float, ...]
    flat: bool = True
    transform: TargetTransform | None = None
    limits: tuple[tuple[float, float], ...] | None = None
    quantiles: tuple[float, ...] = ()

    name = "regression"
    losses = ("squared_error", "half_squared_error", "absolute_error", "huber", "poisson", "quantile")
    metric = "r2"
    metrics = tuple(_METRICS)

    @classmethod
    def of(
        cls, y: Any, *, standardise: bool = True, transform: TargetTransform | Literal["auto"] | None = None, clamp: bool = False
    ) -> Regression:
        """Return the task for y; with standardise, center and scale are its mean and standard deviation (1 where that is 0).

        transform: "log", which needs a positive y, or "auto": "log" where y is positive and heavy-tailed (its skewness is above 1,
        and that of log y less than half as large). clamp: predictions stay within the range of y: min(max(f(x), min y), max y), as in
        Holzmueller et al. 2024 (RealMLP); not for loss="poisson".

        >>> Regression.of([1.0, 2.0, 3.0], clamp=True).predict(np.array([[0.0], [9.0]])).tolist()
        [2.0, 3.0]
        """
        if transform is not None:
            one_of(transform, TARGET_TRANSFORMS, what="target_transform")
        numbers = finite_target(as_target(y))
        columns = numbers.reshape(len(numbers), -1)
        if transform == "auto":
            transform = "log" if all(map(_heavy_tailed, columns.T)) else None
        if transform == "log":
            columns = _logarithm(columns)
        center, scale = np.zeros(columns.shape[1]), np.ones(columns.shape[1])
        if standardise:
            center, spread = _moments(columns)
            flat = spread <= 1e-12 * np.maximum(np.abs(center), 1e-300)
            scale = np.where(flat, 1.0, spread)
        task = cls(tuple(center.tolist()), tuple(scale.tolist()), numbers.ndim == 1, transform)
        return task.clamped_to(task.encode(y)) if clamp else task

    def clamped_to(self, target: Values) -> Regression:
        """Return the task whose predictions stay within the range of an encoded target (N, O)."""
        limits = zip(target.min(axis=0).tolist(), target.max(axis=0).tolist(), strict=True)
        return dataclasses.replace(self, limits=tuple(limits))

    @property
    def least(self) -> Values:
        """0 for each target (T,) that was never below it in training, as far as `limits` say so, -inf for the others.

        >>> Regression.of([0.0, 1.0, 5.0], clamp=True).least.tolist(), Regression.of([-1.0, 2.0], clamp=True).least.tolist()
        ([0.0], [-inf])
        """
        if self.limits is None:
            return np.full(self.targets, -np.inf)
        low = np.array(self.limits)[:, 0] + np.divide(self.center, self.scale)
        return np.where(low >= -NEAR_ZERO, 0.0, -np.inf)

    def with_quantiles(self, quantiles: tuple[float, ...]) -> Regression:
        """Return the task of which a network predicts these quantiles, () for one number."""
        return dataclasses.replace(self, quantiles=quantiles)

    def clamped(self, logits: Values) -> Values:
        """Return logits (..., O) within `limits`, several quantiles in order."""
        out = logits
        if self.limits is not None:
            low, high = np.repeat(np.array(self.limits, dtype=logits.dtype), max(1, len(self.quantiles)), axis=0).T
            out = np.clip(logits, low, high)
        return np.sort(self._split(out), axis=-1).reshape(out.shape) if self.quantiles else out

    def mean_logits(self, logits: Values) -> Values:
        """Return, of logits (K, ..., O) of several networks, those (..., O) of the mean of what they predict, which is no mean of logarithms.

        >>> task = Regression((0.0,), (1.0,), transform="log")
        >>> task.predict(task.mean_logits(np.log([[[1.0]], [[3.0]]]))).round(6).tolist()
        [2.0]
        """
        each = self.clamped(logits)
        if self.transform != "log":
            return np.asarray(each.mean(axis=0))
        scale, largest = np.repeat(self.scale, max(1, len(self.quantiles))), each.max(axis=0)
        shares = np.exp((each - largest) * scale)  # of the largest prediction
        return np.asarray(largest + np.log(shares.mean(axis=0)) / scale).astype(logits.dtype, copy=False)

    def _split(self, values: Values) -> Values:
        """Return values (..., O) by target and quantile, (..., T, J)."""
        return values.reshape(*values.shape[:-1], self.targets, len(self.quantiles))

    @property
    def targets(self) -> int:
        """T, the numbers of a row."""
        return len(self.center)

    @property
    def outputs(self) -> int:
        return self.targets * max(1, len(self.quantiles))

    @property
    def point_weights(self) -> Values:
        """The shares (J,) of the quantiles in the prediction: the median, between two levels in proportion, beyond all of them the nearest.

        >>> Regression((0.0,), (1.0,), quantiles=(0.05, 0.5, 0.95)).point_weights.tolist()
        [0.0, 1.0, 0.0]
        >>> Regression((0.0,), (1.0,), quantiles=(0.25, 0.75)).point_weights.tolist()
        [0.5, 0.5]
        """
        levels = np.array(self.quantiles)
        return np.array([np.interp(0.5, levels, one) for one in np.eye(len(levels))])

    def encode(self, y: Any) -> Values:
        numbers = finite_target(as_target(y))
        columns = numbers.reshape(len(numbers), -1)
        if columns.shape[1] != self.targets:
            raise DataError(
                f"y has {counted(columns.shape[1], 'column')}, but this model predicts {counted(self.targets, 'target')}"
            )
        columns = _logarithm(columns) if self.transform == "log" else columns
        with np.errstate(over="ignore"):
            away = columns - self.center
        if not np.isfinite(away).all():
            return columns / self.scale - np.divide(self.center, self.scale)
        return away / self.scale

    def own_unit(self, values: Values) -> Values:
        """Return standardised values (..., N, T) in y's unit and shape."""
        with np.errstate(over="ignore"):
            out = values.astype(np.float64, copy=False) * self.scale + self.center
            out = np.exp(out) if self.transform == "log" else out
        if self.transform == "log" or max(self.scale) > _LARGE:
            out = np.clip(out, -_MOST, _MOST)
        return out[..., 0] if self.flat else out

    def unit_of_loss(self, power: int) -> Values:
        """Return (T,): what turns a loss on standardised targets, in this power of their unit, into that of y (or of its logarithm).

        1 where that is beyond float64: the loss then stays on standardised targets.
        """
        with np.errstate(over="ignore", under="ignore"):
            unit = np.asarray(self.scale) ** power
        return np.where((unit > 1.0 / _LARGE**2) & (unit < _LARGE**2), unit, 1.0)

    def proba(self, logits: Values) -> Values:
        raise DataError("regression has no probabilities; use predict")

    def predict(self, logits: Values, *, loss: str | None = None) -> Values:
        values = np.exp(logits) if loss == "poisson" else self.clamped(logits)
        return self.own_unit(self._split(values) @ self.point_weights.astype(values.dtype) if self.quantiles else values)

    def predict_mean(self, logits: Values, *, loss: str | None = None) -> Values:
        """Return the mean of what several networks predict, for logits (K, ..., O).

        Of quantiles without the median it is the point between the means of the two around it, on the logarithm if the target is on it.
        """
        if len(logits) > 1 and self.transform == "log" and self.quantiles and self.point_weights.max() < 1.0:
            return self.predict(self.mean_logits(logits.astype(np.float64)), loss=loss)
        return np.mean([self.predict(one, loss=loss) for one in logits], axis=0)

    def in_type_of(self, logits: Values, predictions: Values) -> Values:
        """Return predictions in the type in which a network computed the logits, or as they are where that would lose digits.

        >>> year = Regression(center=(2000.0,), scale=(10.0,))
        >>> year.in_type_of(np.zeros(1, dtype=np.float32), np.array([2000.25])).dtype
        dtype('float64')
        """
        scale = np.array(self.scale)
        near = np.abs(self.center) <= _NEAR * scale
        if self.transform is not None or not (near & (scale > _SMALL32) & (scale < _LARGE32)).all():
            return predictions
        return predictions.astype(logits.dtype, copy=False)

    def predict_quantiles(self, logits: Values) -> Values:
        """Return the quantiles (N, J) of logits (N, O) in y's unit, in increasing order; of several targets (N, T, J)."""
        each = np.moveaxis(self._split(self.clamped(logits)), -1, 0)
        return np.stack([self.own_unit(one) for one in each], axis=-1)

    def scores(self, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> dict[str, float]:
        return _measured(self.metrics, self.own_unit(target), self.predict(logits, loss=loss), weight)

    def details(self, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> dict[str, Any]:
        if self.targets == 1:
            return {}
        columns = zip(self.own_unit(target).T, self.predict(logits, loss=loss).T, strict=True)
        return {"per_target": [{"target": j, **_measured(self.metrics, *pair, weight)} for j, pair in enumerate(columns)]}

    def measure(self, metric: str, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> Any:
        return _measured((metric,), self.own_unit(target), self.predict(logits, loss=loss), weight)[metric]

    def to_json(self) -> dict[str, Any]:
        state: dict[str, Any] = {"name": self.name, "center": list(self.center), "scale": list(self.scale), "flat": self.flat}
        if self.transform is not None:
            state["transform"] = self.transform
        if self.limits is not None:
            state["limits"] = [list(pair) for pair in self.limits]
        if self.quantiles:
            state["quantiles"] = list(self.quantiles)
        return state


def _measured(names: tuple[str, ...], truth: Values, predicted: Values, weight: Values | None) -> dict[str, float]:
    """Return metrics by name, for numbers (N,) or (N, O)."""
    size, largest = 1.0, max(float(np.abs(truth).max()), float(np.abs(predicted).max()))
    if largest > 0.0 and not 1.0 / _LARGE < largest < _LARGE:  # so that the squares stay within float64
        truth, predicted, size = truth / largest, predicted / largest, largest
    found = {name: _METRICS[name](truth, predicted, weight=weight) for name in names}
    return {name: value if name == "r2" else size * value for name, value in found.items()}


def _moments(columns: Values) -> tuple[Values, Values]:
    """Return mean and standard deviation (O,) of columns (N, O), also of numbers whose squares are beyond float64 or below it."""
    with np.errstate(over="ignore", invalid="ignore"):
        center, spread = columns.mean(axis=0), columns.std(axis=0)
    beyond = ~(np.isfinite(center) & np.isfinite(spread) & (spread > 1.0 / _LARGE))
    if beyond.any():
        size = np.abs(columns).max(axis=0)
        size = np.where(beyond & (size > 0.0), size, 1.0)
        unit = columns / size
        center = np.where(beyond, unit.mean(axis=0) * size, center)
        spread = np.where(beyond, unit.std(axis=0) * size, spread)
    return center, spread


def _logarithm(columns: Values) -> Values:
    if not (columns > 0).all():
        row = int(np.flatnonzero(~(columns > 0).all(axis=1))[0])
        raise DataError(
            f"y holds {columns[row].min():g} in row {row}, but target_transform='log' needs a target above 0; leave it out, or add a"
            " constant to the target"
        )
    return np.asarray(np.log(columns))


def _heavy_tailed(y: Values) -> bool:
    return bool((y > 0).all()) and (skew := _skewness(y)) > _SKEWED and abs(_skewness(np.log(y))) < skew / 2


def _skewness(values: Values) -> float:
    """Return the mean cube of the standardised values (N,), 0 for constant ones."""
    center, spread = _moments(values[:, None])
    scaled = (values / spread[0] - center[0] / spread[0]) if spread[0] > 0 else np.zeros(1)
    return float(np.mean(scaled**3))
