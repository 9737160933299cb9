"""Numeric columns: the centre and scale, or the map to normal quantiles, that a fit finds. All of it in float64."""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

Scaling = Literal["standard", "robust", "quantile", "smooth", "none"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)

Values = NDArray[np.float64]
MOST_KNOTS = 256
CLIP = 3.0  # of the scaling "smooth": no value is farther than this from 0


class Spread(NamedTuple):
    """How a column is brought to a common size: z = (x - center) / scale, or with `knots` the line through (knots, normal).

    smooth: z is then drawn in to (-3, 3), by z / sqrt(1 + (z / 3)^2). robust: center and scale are median and interquartile range.
    """

    center: float = 0.0
    scale: float = 1.0
    knots: tuple[float, ...] = ()
    normal: tuple[float, ...] = ()
    smooth: bool = False
    robust: bool = False


def fit_spread(values: Values, scaling: Scaling) -> Spread:
    """Find the spread of the values (N,), which must be finite and at least one.

    - standard: mean and standard deviation (ddof 0).
    - robust: median and interquartile range, as scikit-learn's RobustScaler; where that range is 0, because most values are
      one and the same, the standard deviation instead (Differs: RobustScaler takes 1, which leaves the rest unscaled).
    - quantile: a monotone line from quantiles to those of the standard normal, up to 256 knots; values outside of what was seen
      get the outermost. Equal values share the mean of their ranks.
    - smooth: median and interquartile range, where that is 0 half the whole range, then a smooth clip to (-3, 3), so that a value far
      away has little weight. Source: Holzmueller et al. 2024, RealMLP.
    - none: the values as they are.

    A constant column has scale 1 and becomes 0, but for "none".

    >>> fit_spread(np.array([1.0, 3.0]), "standard")
    Spread(center=2.0, scale=1.0, knots=(), normal=(), smooth=False, robust=False)
    """
    if scaling == "none":
        return Spread()
    low, high = float(values.min()), float(values.max())
    if is_constant(low, high):
        return Spread(center=low if low == high else low / 2.0 + high / 2.0)
    size = max(abs(low), abs(high))
    unit = values / size  # so that the squares of 1e300 stay finite
    if scaling == "quantile":
        return _quantiles(values)
    if scaling in ("robust", "smooth"):
        quarter, middle, three = (float(q) for q in np.quantile(unit, [0.25, 0.5, 0.75]))
        center, scale = middle, three - quarter
        if scale == 0.0:
            scale = _deviation(unit, unit.mean()) if scaling == "robust" else float(unit.max() - unit.min()) / 2.0
    else:
        center = float(unit.mean())
        scale = _deviation(unit, center)
    return Spread(center=center * size, scale=scale * size, smooth=scaling == "smooth", robust=scaling == "robust")


def is_constant(low: float, high: float) -> bool:
    """Return whether a column between these values holds one value, but for rounding."""
    if low == high:
        return True
    size = max(abs(low), abs(high))
    return high / size - low / size < 8.0 * float(np.finfo(np.float64).eps)


def _deviation(unit: Values, mean: float) -> float:
    """Return the standard deviation of the values, which are overwritten."""
    unit -= mean
    most = max(float(unit.max()), -float(unit.min()))
    if not most > 0.0:
        return 0.0
    unit /= most
    return most * float(np.sqrt(np.square(unit, out=unit).mean()))


def _quantiles(values: Values) -> Spread:
    count = min(values.size, MOST_KNOTS)
    ranks = (np.arange(count) + 0.5) / count
    heights = np.sort(values)[np.rint(np.linspace(0.0, values.size - 1, count)).astype(np.int64)]
    knots, index = np.unique(heights, return_inverse=True)
    mean_rank = np.bincount(index, weights=ranks) / np.bincount(index)
    inverse = NormalDist().inv_cdf
    return Spread(knots=tuple(knots.tolist()), normal=tuple(inverse(float(p)) for p in mean_rank))


def apply_spread(values: Values, spread: Spread) -> Values:
    """Return the values (N,) scaled; NaN stays NaN."""
    if spread.knots:
        return np.asarray(np.interp(values, spread.knots, spread.normal))
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.asarray((values - spread.center) / spread.scale)
        return scaled / np.hypot(1.0, scaled / CLIP) if spread.smooth else scaled
