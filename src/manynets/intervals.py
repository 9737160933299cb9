"""Prediction intervals from rows that were held out (conformal prediction).

With f the mean of the K networks and s(x) their standard deviation at x, the score of a held-out row i with the target y_i, which the M networks that
did not train on it predict as f_i, is

    r_i = (y_i - f_i) / (u s_i + m)

where s_i is the standard deviation of the networks that trained on the row: with the others among them, it would be large wherever the error is. The
interval for a new row is f(x) + c (s(x) + m) times the quantiles (1 - coverage) / 2 and (1 + coverage) / 2 of the r_i. The factor u makes the s_i as
large as they are where the others are among them, which is as large as for a new row: u^2 is the mean of s(x_i)^2 by the mean of s_i^2. m is four times
the median of u s_i, so that networks that agree by chance do not make an interval too short. The factor c corrects for the mean of all networks being
nearer to the truth than the mean of M:

    c^2 = 1 - (1 / M - 1 / K) V / E

with E the mean of (y_i - f_i)^2 and V the variance of the networks. Networks that all validate on the same rows have M = K, c = 1, u = 1 and s_i = s(x_i). With
fewer than two networks to take s_i from, the width is the same for all rows; of one network, that is split conformal prediction.

Where the networks predict several quantiles, f and s give way to these (conformalized quantile regression). The lower limit starts from the fitted
quantile q_a(x) whose level a is nearest to (1 - coverage) / 2, the upper limit from the one nearest to (1 + coverage) / 2, each the mean of the
networks. With w(x) the distance of the outermost quantiles, and m a quarter of the median of the w_i, the scores of a held-out row and the limits are

    r_i = (y_i - q_a,i) / (w_i + m),        q_a(x) + (w(x) + m) times the quantile (1 - coverage) / 2, or (1 + coverage) / 2, of the r_i

so that a limit at the level of a fitted quantile is moved little, and one at another level by more where the quantiles lie far apart. Each limit
has its own scores, as in Theorem 2 of Romano et al. 2019, so that it has its share of the rows beyond it on its own. q_a,i is of the networks that did not
train on the row; w_i is of those that did, by a factor that makes the mean of the w_i that of the others: it is a mean of more networks, as w(x) is, and
thus as steady as that. The scores do not lie around 0, so it is their distances from their mean that are multiplied by c, with

    c^2 = 1 - (1 / M - 1 / K) V / E,        V the mean of v_i / (w_i + m)^2,        E the variance of the r_i

and v_i the variance of q_a at x_i among the networks. A target that is equal to the quantile, as many are at the end of a range to which predictions are
clamped, counts as a little beyond it, and its score is not multiplied: the limit for such rows does not fall short of the end of the range.

An interval that would lie beside the prediction is extended to it: at the end of the range of the target, for example, where predictions are clamped, or
where most rows have the same target and the errors are skewed. Where the target was at least 0 in all n rows of training, such as a
count or a price, a lower limit below 0 becomes 0, if the model knows the range of the target, as one whose predictions are clamped does. That loses
none of the held-out rows, and of new rows at most one in n + 1, the share that is expected to be below all n.

The scores are of a standardised target, or of its logarithm, and the interval is brought into the unit of the target at the end. What is stored are up to
401 quantiles of the scores.

Sources: Vovk 2015, "Cross-conformal predictors"; Lei et al. 2018, "Distribution-Free Predictive Inference for Regression"; Romano,
Patterson and Candes 2019, "Conformalized Quantile Regression"; for scores that are divided by the distance of the quantiles, Sesia and Candes 2020, "A
Comparison of Some Conformal Quantile Regression Methods".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.errors import DataError, OptionError
from manynets.spec.schedules import INSIDE
from manynets.tasks.regression import Regression

Array: TypeAlias = NDArray[Any]

QUANTILES = 401
FLOOR = 4.0
QUANTILE_FLOOR = 0.25
"""Of several quantiles: m in medians of w."""
TIE = 1e-5
"""Mean absolute deviations of the target by which it may differ from a quantile that it is equal to but for float32."""
FEWEST_ROWS = 10
MOST_OUTPUTS = 64
"""Targets, or quantiles of several targets, of which a model stores residuals."""


def _factor(errors: Array, gain: Array, weights: Array | None) -> float:
    """Return c for errors (n,) and what their squares lose (n,) in the mean of all networks."""
    squares, less = (float(np.average(one, weights=weights)) for one in (errors**2, gain))
    return math.sqrt(max(1.0 - less / squares, 0.25)) if squares > 0 else 1.0


def check_coverage(coverage: float, *, what: str = "coverage") -> float:
    """Return the coverage. Errors: OptionError where it is not between 0 and 1."""
    if coverage not in INSIDE:
        raise OptionError(f"{what} is {coverage!r}, but must be a number above 0 and below 1, such as 0.9")
    return float(coverage)


@dataclasses.dataclass(frozen=True)
class Residuals:
    """What a model stores of its errors on held-out rows, for one target, or one quantile of it.

    quantiles: of the scores r, evenly spaced from 0 to 1. rows: how many scores there were. floor: m. factor: c. scaled: whether the width
    follows s(x), of several quantiles w(x); where not, that counts as 0.
    """

    quantiles: tuple[float, ...]
    rows: int
    floor: float
    factor: float
    scaled: bool

    @classmethod
    def of(
        cls,
        errors: Array,
        spread: Array | None = None,
        *,
        gain: Array | None = None,
        weight: Array | None = None,
        medians: float = FLOOR,
        level: float | None = None,
        tie: float = 0.0,
    ) -> Residuals | None:
        """Return the residuals of errors y - f_i (n,) of held-out rows; None for fewer than 10 of them.

        spread: u s_i (n,), None for the same width everywhere. gain: (1 / M - 1 / K) V of each row (n,), None for 0. weight: how often each row
        counts (n,). medians: m in medians of the spread. level: that of the quantile whose errors they are, None for those of the mean. tie: errors
        below it count as 0.
        """
        counted = np.isfinite(errors) if weight is None else np.isfinite(errors) & (weight > 0)
        errors = errors[counted].astype(np.float64)
        if len(errors) < FEWEST_ROWS:
            return None
        floor = 0.0 if spread is None else medians * float(np.median(spread[counted]))
        scaled = floor > 0
        width = spread[counted] + floor if spread is not None and scaled else np.ones(len(errors))
        weights = None if weight is None else weight[counted]
        if level is not None:
            tied = np.abs(errors) < tie
            errors[tied] = tie if level > 0.5 else -tie
        scores, factor = errors / width, 1.0
        if gain is not None and level is not None:
            middle = np.average(scores, weights=weights)
            moved = middle + _factor(scores - middle, gain[counted] / width**2, weights) * (scores - middle)
            scores = np.where(tied, scores, moved)
        elif gain is not None:
            factor = _factor(errors, gain[counted], weights)
        at = np.linspace(0, 1, min(len(scores), QUANTILES))
        quantiles = np.quantile(scores, at, weights=weights, method="linear" if weights is None else "inverted_cdf")
        return cls(tuple(quantiles.tolist()), len(scores), floor if scaled else 1.0, factor, scaled)

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
        width = self.factor * (spread * self.scaled + self.floor)
        return np.asarray(mean[:, None] + width[:, None] * scores)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON types."""
        return dataclasses.asdict(self) | {"quantiles": list(self.quantiles)}


def standardised(task: Regression, logits: Array, loss: str | None) -> Array:
    """Return the predictions of the networks (K, N, O), float64, in the unit of the encoded target."""
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
    """Return the residuals of each target, or each of its quantiles; None where there are too few rows, or more than 64 targets.

    logits: raw scores (K, N, O). target: encoded (N, O). held_out: whether each network did not train on each row, (K, N), at least one for
    every row; None: none trained on any. loss: the recipe's. weight: of the rows (N,).
    """
    _, rows, outputs = logits.shape
    if outputs > max(MOST_OUTPUTS, len(task.quantiles)) or rows < FEWEST_ROWS:
        return None
    each, medians = standardised(task, logits, loss), FLOOR
    center, spread, gain = _held_out(each, held_out)
    if several := len(task.quantiles):
        spread, medians = np.repeat(_held_out_widths(each, held_out, center, several), several, axis=1), QUANTILE_FLOOR
        target = np.repeat(target, several, axis=1)
    errors, ties, found = target - center, TIE * np.abs(target - target.mean(axis=0)).mean(axis=0), []
    for j in range(outputs):
        one = Residuals.of(
            errors[:, j],
            None if spread is None else spread[:, j],
            gain=None if gain is None else gain[:, j],
            weight=weight,
            medians=medians,
            level=task.quantiles[j % several] if several else None,
            tie=float(ties[j]),
        )
        if one is None:
            return None
        found.append(one)
    return tuple(found)


def _widths(values: Array, several: int) -> Array:
    """Return the distance (N, T) of the outermost of several quantiles (N, O) of each target."""
    return np.asarray(values[:, several - 1 :: several] - values[:, ::several])


def _held_out_widths(each: Array, held_out: Array | None, center: Array, several: int) -> Array:
    """Return the w_i (N, T) of what the networks predict (K, N, O), from f_i (N, O) where no network trained on a row."""
    own = _widths(center, several)
    if held_out is None or held_out.all(axis=0).any():
        return own
    out = held_out[..., None]
    others = _widths(np.where(out, 0.0, each).sum(axis=0) / (~out).sum(axis=0), several)
    mean = others.mean(axis=0)
    return np.asarray(others * np.divide(own.mean(axis=0), mean, out=np.ones_like(mean), where=mean > 0))


def _held_out(each: Array, held_out: Array | None) -> tuple[Array, Array | None, Array | None]:
    """Return f_i (N, O), u s_i and (1 / M - 1 / K) V, of what the networks predict (K, N, O); None where there are too few networks."""
    size = len(each)
    if held_out is None or held_out.all():
        return each.mean(axis=0), each.std(axis=0) if size > 1 else None, None
    out = held_out[..., None]
    many, others = out.sum(axis=0), size - out.sum(axis=0)
    center = np.where(out, each, 0.0).sum(axis=0) / many
    gain = (1 / many - 1 / size) * each.var(axis=0, ddof=1)
    if others.min() < 2:
        return center, None, gain
    middle = np.where(out, 0.0, each).sum(axis=0) / others
    squares = np.where(out, 0.0, (each - middle) ** 2).sum(axis=0) / others  # s_i^2
    mean = squares.mean(axis=0)
    larger = np.divide(each.var(axis=0).mean(axis=0), mean, out=np.ones_like(mean), where=mean > 0)  # u^2
    return center, np.sqrt(larger * squares), gain


def interval_of(
    task: Regression,
    residuals: Sequence[Residuals] | None,
    logits: Array,
    *,
    coverage: float,
    loss: str | None = None,
    held_out_rows: int | None = None,
) -> Array:
    """Return lower and upper limits (N, 2), of several targets (N, T, 2), in the unit of the target, for logits (K, N, O) of new rows.

    The prediction, the mean of the networks, is never outside of them. Errors: DataError for a model without residuals; held_out_rows: how many rows
    it held out, and yet has none.
    """
    check_coverage(coverage)
    if residuals is None:
        raise DataError(f"{_missing(held_out_rows)}, or use model.calibrated(X, y) with rows it was not trained on")
    each = standardised(task, logits, loss)
    mean, spread = each.mean(axis=0), each.std(axis=0)
    if task.quantiles:
        both = _from_quantiles(task, residuals, mean, coverage)
    else:
        both = np.stack([one.limits(mean[:, j], spread[:, j], coverage) for j, one in enumerate(residuals)], axis=1)
    if loss == "poisson":
        both = np.maximum(both, 0.0)
    predicted = task.predict_mean(logits, loss=loss)
    lower, upper = (task.own_unit(both[..., end]) for end in (0, 1))
    lower = np.maximum(lower, task.least[0] if task.flat else task.least)
    return np.stack([np.minimum(lower, predicted), np.maximum(upper, predicted)], axis=-1)


def _missing(held_out_rows: int | None) -> str:
    """Return why a model stores no residuals."""
    if held_out_rows is not None and held_out_rows < FEWEST_ROWS:
        return (
            f"the model held out {held_out_rows} row{'s' if held_out_rows != 1 else ''} that count{'s' if held_out_rows == 1 else ''},"
            f" and intervals need the errors on at least {FEWEST_ROWS}; train with more rows of weight above 0 to validate on"
        )
    if held_out_rows is not None:
        return f"the model stores no errors on held-out rows, as it has more than {MOST_OUTPUTS} targets, or they were not finite; train again"
    return (
        "the model stores no errors on held-out rows, which intervals are made from (models of train_many never do); train with validation"
        f" rows (validation=0.2, or 'folds' for several networks; the default ensemble does so from {FEWEST_ROWS} rows on)"
    )


def _from_quantiles(task: Regression, residuals: Sequence[Residuals], mean: Array, coverage: float) -> Array:
    """Return the limits (N, T, 2) of quantiles (N, O), in the unit of the encoded target."""
    several, (low, high) = len(task.quantiles), nearest_levels(task.quantiles, coverage)
    widths, limits = _widths(mean, several), []
    for t in range(task.targets):
        ends = [
            residuals[j].limits(mean[:, j], widths[:, t], coverage)[:, end]
            for end, j in enumerate((t * several + low, t * several + high))
        ]
        limits.append(np.stack(ends, axis=1))
    return np.sort(np.stack(limits, axis=1), axis=-1)


def nearest_levels(quantiles: Sequence[float], coverage: float) -> tuple[int, int]:
    """Return the indices of the quantiles nearest to the levels of the lower and the upper limit.

    >>> nearest_levels((0.05, 0.5, 0.95), 0.8)
    (0, 2)
    """
    away = [np.abs(np.array(quantiles) - (1 + sign * coverage) / 2) for sign in (-1, 1)]
    return int(away[0].argmin()), int(away[1].argmin())


def residuals_from_json(state: Any, outputs: int) -> tuple[Residuals, ...]:
    """Return the residuals of each target. Errors: OptionError for what `Residuals.to_json` does not write."""
    if not isinstance(state, list) or len(state) != outputs:
        raise OptionError(f"residuals must be a list of {outputs}, one for each target")
    return tuple(map(_from_json, state))


def _from_json(state: Any) -> Residuals:
    fields = {field.name for field in dataclasses.fields(Residuals)}
    if not isinstance(state, Mapping) or set(state) != fields:
        raise OptionError(f"residuals must have the fields {', '.join(sorted(fields))}")
    quantiles, rows = state["quantiles"], state["rows"]
    fine = isinstance(quantiles, list) and 2 <= len(quantiles) <= QUANTILES and all(map(_is_number, quantiles))
    if not fine or sorted(quantiles) != quantiles or type(rows) is not int or not len(quantiles) <= rows < 1 << 62:
        raise OptionError("residuals must have increasing quantiles of at least as many rows")
    if not all(_is_number(state[name]) and state[name] > 0 for name in ("floor", "factor")):
        raise OptionError("residuals must have a floor and a factor above 0")
    if type(state["scaled"]) is not bool:
        raise OptionError("residuals must say whether they are scaled")
    return Residuals(tuple(map(float, quantiles)), rows, float(state["floor"]), float(state["factor"]), state["scaled"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
