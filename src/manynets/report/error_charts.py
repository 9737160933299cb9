"""The charts on errors of predicted numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from manynets.explain.values import CategoryValues
from manynets.report.charts import (
    BLUE,
    DASHED,
    ORANGE,
    Chart,
    data_of,
    diagonal,
    moment_axis,
    moment_tooltip,
    number_axis,
    require_report,
    rounded,
    sized,
)  # fmt: skip
from manynets.report.parts import Array
from manynets.report.values import quantile_bins

BINS = 15
MOST_LEVELS = 15
FEWEST = 5
"""Rows of a bin or category that is drawn."""


def predicted_chart(truth: Array, predicted: Array, target: str) -> Chart:
    """Return predicted against true values (N,), and the diagonal."""
    alt = require_report()
    low, high = float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))
    points = alt.Chart(data_of(true=rounded(truth), predicted=rounded(predicted))).mark_circle(color=BLUE, opacity=0.4, size=14)
    points = points.encode(
        x=alt.X("true:Q", title=f"True {target}", scale=alt.Scale(zero=False)),
        y=alt.Y("predicted:Q", title=f"Predicted {target}", scale=alt.Scale(zero=False)),
        tooltip=["true:Q", "predicted:Q"],
    )
    return sized(points + diagonal("true", "predicted", (low, high)), height=260)


def error_points_chart(values: Array, away: Array, title: str) -> Chart:
    """Return errors against values (N,), with the line of no error."""
    alt = require_report()
    points = alt.Chart(data_of(value=rounded(values), error=rounded(away))).mark_circle(color=BLUE, opacity=0.4, size=14)
    points = points.encode(
        x=alt.X("value:Q", title=title, scale=alt.Scale(zero=False)),
        y=alt.Y("error:Q", title="Error"),
        tooltip=["value:Q", "error:Q"],
    )
    return sized(points + _zero(alt), height=260)


def error_by_number_chart(values: Array, away: Array, name: str, *, dates: bool = False) -> Chart | None:
    """Return the mean error, and the middle 80% of the errors, over bins of a column of numbers (N,); None for a constant."""
    there = np.isfinite(values)
    if there.sum() < FEWEST:
        return None
    alt, values, away = require_report(), values[there], away[there]
    bins = quantile_bins(values, most=BINS, fewest=FEWEST)
    groups = [bins == b for b in range(int(bins.max()) + 1)]
    groups = [chosen for chosen in groups if chosen.sum() >= FEWEST]
    if len(groups) < 2:
        return None
    centers = [float(values[chosen].mean()) for chosen in groups]
    shown = [str(np.datetime64(int(center), "s")) for center in centers] if dates else rounded(centers)
    data = _summary(shown, groups, away)
    kind = "T" if dates else "Q"
    axis = moment_axis(shown) if dates else number_axis(values)
    x = alt.X(f"value:{kind}", title=name, axis=axis, **({} if dates else {"scale": alt.Scale(zero=False)}))
    base = alt.Chart(data)
    band = base.mark_area(color=BLUE, opacity=0.25).encode(x=x, y=alt.Y("low:Q", title="Error"), y2="high:Q")
    line = base.mark_line(color=BLUE, point=True).encode(
        x=x, y="error:Q", tooltip=[moment_tooltip(shown) if dates else "value:Q", "error:Q", "low:Q", "high:Q", "rows:Q"]
    )
    return sized(band + line + _zero(alt), height=180)


def error_by_category_chart(column: CategoryValues, away: Array) -> Chart | None:
    """Return the mean error, and the middle 80% of the errors, of the most frequent categories; None for one alone."""
    alt = require_report()
    codes = [*column.frequent(MOST_LEVELS), -1]
    groups = {code: chosen for code in codes if (chosen := column.codes == code).sum() >= FEWEST}
    if len(groups) < 2:
        return None
    shown = ["(missing)" if code < 0 else column.labels[code] for code in groups]
    base = alt.Chart(_summary(shown, list(groups.values()), away))
    y = alt.Y("value:N", sort=shown, title=None, axis=alt.Axis(labelLimit=110))
    bars = base.mark_bar(color=BLUE).encode(
        y=y, x=alt.X("error:Q", title="Error"), tooltip=["value:N", "error:Q", "low:Q", "high:Q", "rows:Q"]
    )
    spread = base.mark_rule(color=ORANGE, strokeWidth=2).encode(y=y, x="low:Q", x2="high:Q")
    return sized(bars + spread, height=max(40, 18 * len(shown)))


def _summary(shown: Sequence[Any], groups: Sequence[Array], away: Array) -> Any:
    limits = [np.quantile(away[chosen], [0.1, 0.9]) for chosen in groups]
    return data_of(
        value=list(shown),
        error=rounded([away[chosen].mean() for chosen in groups]),
        low=rounded([low for low, _ in limits]),
        high=rounded([high for _, high in limits]),
        rows=[int(chosen.sum()) for chosen in groups],
    )


def _zero(alt: Any) -> Any:
    return alt.Chart(data_of(error=[0])).mark_rule(**DASHED).encode(y="error:Q")
