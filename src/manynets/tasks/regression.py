"""Regression: one or several real numbers per row."""

from __future__ import annotations

import dataclasses
from typing import Any, final

import numpy as np

from manynets import metrics
from manynets.errors import DataError
from manynets.tasks.base import Task, Values, as_target, finite_target

__all__ = ["Regression"]


@final
@dataclasses.dataclass(frozen=True)
class Regression(Task):
    """Real targets y (N,) or (N, O). Inside, a network predicts (y - center) / scale; outside all is in y's own unit.

    center, scale: (O,) each; 0 and 1 leave the target as it is (always so for loss="poisson", whose score is a log-rate).
    flat: whether y was (N,) or (N, 1), so that predictions are (N,).
    limits: the least and the largest prediction of each output, in units of (y - center) / scale; None for any.
    """

    center: tuple[float, ...]
    scale: tuple[float, ...]
    flat: bool = True
    limits: tuple[tuple[float, float], ...] | None = None

    name = "regression"
    losses = ("squared_error", "half_squared_error", "absolute_error", "huber", "poisson", "quantile")
    metric = "r2"

    @classmethod
    def of(cls, y: Any, *, standardise: bool = True) -> Regression:
        """Return the task for y; with standardise, center and scale are its mean and standard deviation (1 where that is 0)."""
        numbers = finite_target(as_target(y))
        columns = numbers.reshape(len(numbers), -1)
        center, scale = np.zeros(columns.shape[1]), np.ones(columns.shape[1])
        if standardise:
            with np.errstate(over="ignore", invalid="ignore"):
                center, spread = columns.mean(axis=0), columns.std(axis=0)
            if not (np.isfinite(center).all() and np.isfinite(spread).all()):
                raise DataError(f"y reaches {np.abs(columns).max():g}: its spread is beyond what float64 can hold; scale it")
            flat = spread <= 1e-12 * np.maximum(np.abs(center), 1e-300)
            scale = np.where(flat, 1.0, spread)
        return cls(tuple(center.tolist()), tuple(scale.tolist()), numbers.ndim == 1)

    def clamped_to(self, target: Values) -> Regression:
        """Return the task whose predictions stay within the range of an encoded target (N, O)."""
        limits = zip(target.min(axis=0).tolist(), target.max(axis=0).tolist(), strict=True)
        return dataclasses.replace(self, limits=tuple(limits))

    def clamped(self, logits: Values) -> Values:
        """Return logits (..., N, O) within `limits`."""
        if self.limits is None:
            return logits
        low, high = np.array(self.limits, dtype=logits.dtype).T
        return np.clip(logits, low, high)

    @property
    def outputs(self) -> int:
        return len(self.center)

    def encode(self, y: Any) -> Values:
        numbers = finite_target(as_target(y))
        columns = numbers.reshape(len(numbers), -1)
        if columns.shape[1] != self.outputs:
            raise DataError(f"y has {columns.shape[1]} columns, but this model predicts {self.outputs}")
        return (columns - self.center) / self.scale

    def own_unit(self, values: Values) -> Values:
        """Return standardised values (N, O) in y's unit and shape."""
        out = values.astype(np.float64) * self.scale + self.center
        return out[:, 0] if self.flat else out

    def proba(self, logits: Values) -> Values:
        raise DataError("regression has no probabilities; use predict")

    def predict(self, logits: Values, *, loss: str | None = None) -> Values:
        return self.own_unit(np.exp(logits) if loss == "poisson" else self.clamped(logits))

    def evaluate(self, logits: Values, target: Values, *, loss: str | None = None, weight: Values | None = None) -> dict[str, Any]:
        truth, predicted = self.own_unit(target), self.predict(logits, loss=loss)
        return {
            "r2": metrics.r2_score(truth, predicted, weight=weight),
            "rmse": metrics.root_mean_squared_error(truth, predicted, weight=weight),
            "mae": metrics.mean_absolute_error(truth, predicted, weight=weight),
        }

    def strata(self, target: Values) -> Values | None:
        return None

    def to_json(self) -> dict[str, Any]:
        out = {"name": self.name, "center": list(self.center), "scale": list(self.scale), "flat": self.flat}
        return out if self.limits is None else out | {"limits": [list(pair) for pair in self.limits]}
