"""Prediction intervals from rows that were held out (conformal prediction).

With f the mean of the K networks, s(x) their standard deviation at x, and m its median over the held-out rows, the score of a held-out row i with the
target y_i, which the networks that did not train on it predict as f_i, is

    r_i = (y_i - f_i) / (s(x_i) + m)

and the interval for a new row is f(x) + c (s(x) + m) times the quantiles (1 - coverage) / 2 and (1 + coverage) / 2 of the r_i. The factor c corrects for
the mean of all networks being nearer to the truth than the mean of the M that did not train on a row:

    c^2 = 1 - (1 / M - 1 / K) V / E

with E the mean of (y_i - f_i)^2 and V the variance of the networks. A single network, and networks that all validate on the same rows, have M = K and c = 1.
One network has s = 0 and m = 1: that is split conformal prediction.

The scores are of a standardised target, or of its logarithm, and the interval is brought into the unit of the target at the end. What is stored are up to
401 quantiles of the scores.

Sources: Vovk 2015, "Cross-conformal predictors"; Lei et al. 2018, "Distribution-Free Predictive Inference for Regression".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.errors import DataError, OptionError
from manynets.tasks.regression import Regression

__all__ = ["Residuals", "check_coverage", "interval_of", "residuals_from_json", "residuals_of", "standardised"]

Array: TypeAlias = NDArray[Any]

QUANTILES = 401
FEWEST_ROWS = 10
MOST_OUTPUTS = 64
"""Targets of which a model stores residuals."""


def check_coverage(coverage: float, *, what: str = "coverage") -> float:
    """Return the coverage. Errors: OptionError where it is not between 0 and 1."""
    if isinstance(coverage, bool) or not isinstance(coverage, int | float) or not 0 < coverage < 1:
        raise OptionError(f"{what} is {coverage!r}, but must be a number above 0 and below 1, such as 0.9")
    return float(coverage)


@dataclasses.dataclass(frozen=True)
class Residuals:
    """What a model stores of its errors on held-out rows, for one target.

    quantiles: of the scores r, evenly spaced from 0 to 1. rows: how many scores there were. floor: m. factor: c.
    """

    quantiles: tuple[float, ...]
    rows: int
    floor: float
    factor: float

    @classmethod
    def of(cls, errors: Array, spread: Array, *, gain: Array | None = None, weight: Array | None = None) -> Residuals | None:
        """Return the residuals of errors y - f_i (n,) of held-out rows; None for fewer than 10 of them.

        spread: s of the same rows (n,), 0 for a single network. gain: (1 / M - 1 / K) V of each row (n,); None for 0. weight: how often
        each row counts (n,).
        """
        counted = np.isfinite(errors) if weight is None else np.isfinite(errors) & (weight > 0)
        errors, spread = errors[counted].astype(np.float64), spread[counted].astype(np.float64)
        if len(errors) < FEWEST_ROWS:
            return None
        floor = float(np.median(spread)) or 1.0
        squares = float(np.mean(errors**2))
        less = 0.0 if gain is None else float(np.mean(gain[counted]))
        factor = math.sqrt(max(1.0 - less / squares, 0.25)) if squares > 0 else 1.0
        scores = errors / (spread + floor)
        at = np.linspace(0, 1, min(len(scores), QUANTILES))
        if weight is None:
            quantiles = np.quantile(scores, at)
        else:
            quantiles = np.quantile(scores, at, weights=weight[counted], method="inverted_cdf")
        return cls(tuple(quantiles.tolist()), len(scores), floor, factor)

    def limits(self, mean: Array, spread: Array, coverage: float) -> Array:
        """Return the lower and the upper limit (N, 2) for the mean (N,) and the spread (N,) of the predictions of new rows.

        Errors: OptionError for a coverage that so few held-out rows do not support.
        """
        share = check_coverage(coverage)
        if (1 - share) / 2 * (self.rows + 1) < 1:
            most = math.floor((1 - 2 / (self.rows + 1)) * 1000) / 1000
            raise OptionError(f"coverage is {coverage!r}, but {self.rows} held-out rows support at most {most:g}; ask for less")
        # of n scores, the limit is the one of rank (n + 1) times the share, so that a new row is as likely as any to lie beyond
        low = ((1 - share) / 2 * (self.rows + 1) - 1) / (self.rows - 1)
        scores = np.interp([low, 1 - low], np.linspace(0, 1, len(self.quantiles)), self.quantiles)
        width = self.factor * (spread + self.floor)
        return np.asarray(mean[:, None] + width[:, None] * scores)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON types."""
        return {"quantiles": list(self.quantiles), "rows": self.rows, "floor": self.floor, "factor": self.factor}


def standardised(task: Regression, logits: Array, loss: str | None) -> Array:
    """Return what the networks predict, (K, N, O) in float64, in the unit of the encoded target."""
    scores = logits.astype(np.float64)
    return np.exp(scores) if loss == "poisson" else task.clamped(scores)


def residuals_of(
    task: Regression,
    logits: Array,
    target: Array,
    *,
    held_out: Array | None = None,
    loss: str | None = None,
    weight: Array | None = None,
) -> tuple[Residuals, ...] | None:
    """Return the residuals of each target; None where there are too few rows, or more than 64 targets.

    logits: raw scores (K, N, O). target: encoded (N, O). held_out: whether each network did not train on each row, (K, N), at least one for
    every row; None: none trained on any. loss: the recipe's. weight: of the rows (N,).
    """
    size, rows, outputs = logits.shape
    if outputs > MOST_OUTPUTS or rows < FEWEST_ROWS:
        return None
    each, spread, gain = standardised(task, logits, loss), np.zeros((rows, outputs)), None
    if held_out is None:
        center = each.mean(axis=0)
    else:
        many = held_out.sum(axis=0)[:, None]
        center = np.where(held_out[..., None], each, 0.0).sum(axis=0) / many
        gain = (1 / many - 1 / size) * each.var(axis=0, ddof=1) if size > 1 else None
    if size > 1:
        spread = each.std(axis=0)
    errors, found = target - center, []
    for j in range(outputs):
        one = Residuals.of(errors[:, j], spread[:, j], gain=None if gain is None else gain[:, j], weight=weight)
        if one is None:
            return None
        found.append(one)
    return tuple(found)


def interval_of(
    task: Regression, residuals: Sequence[Residuals] | None, logits: Array, *, coverage: float, loss: str | None = None
) -> Array:
    """Return lower and upper limits (N, 2), of several targets (N, O, 2), in the unit of the target, for logits (K, N, O) of new rows.

    Errors: DataError for a model without residuals.
    """
    check_coverage(coverage)
    if residuals is None:
        raise DataError(
            "the model stores no errors on held-out rows, which intervals are made from; train with validation rows (validation=0.2, or"
            " 'folds' for several networks; the default ensemble does so), or use model.calibrated(X, y) with rows it was not trained on"
        )
    each = standardised(task, logits, loss)
    mean, spread = each.mean(axis=0), each.std(axis=0)
    limits = [one.limits(mean[:, j], spread[:, j], coverage) for j, one in enumerate(residuals)]
    both = np.stack(limits, axis=1)  # (N, O, 2)
    if loss == "poisson":
        both = np.maximum(both, 0.0)
    return np.stack([task.own_unit(both[..., end]) for end in (0, 1)], axis=-1)


def residuals_from_json(state: Any, outputs: int) -> tuple[Residuals, ...]:
    """Return the residuals of each target. Errors: OptionError for what `Residuals.to_json` does not write."""
    if not isinstance(state, list) or len(state) != outputs:
        raise OptionError(f"residuals must be a list of {outputs}, one for each target")
    return tuple(map(_from_json, state))


def _from_json(state: Any) -> Residuals:
    fields = {"quantiles", "rows", "floor", "factor"}
    if not isinstance(state, Mapping) or set(state) != fields:
        raise OptionError(f"residuals must have the fields {', '.join(sorted(fields))}")
    quantiles, rows = state["quantiles"], state["rows"]
    fine = isinstance(quantiles, list) and 2 <= len(quantiles) <= QUANTILES and all(map(_is_number, quantiles))
    if not fine or sorted(quantiles) != quantiles or type(rows) is not int or not len(quantiles) <= rows < 1 << 62:
        raise OptionError("residuals must have increasing quantiles of at least as many rows")
    if not all(_is_number(state[name]) and state[name] > 0 for name in ("floor", "factor")):
        raise OptionError("residuals must have a floor and a factor above 0")
    return Residuals(tuple(map(float, quantiles)), rows, float(state["floor"]), float(state["factor"]))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
