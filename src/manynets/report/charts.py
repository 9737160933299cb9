"""The charts of a report, as Vega-Lite specifications. Colours of axes and texts are set in the page, as they depend on dark and light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.errors import optional_module
from manynets.explain import Calibration, Dependence, Importance
from manynets.explain.values import CategoryValues, are_times
from manynets.metrics import points_along
from manynets.report.curves import ClassCurves
from manynets.report.parts import Array

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#888888"
DASHED: dict[str, Any] = {"color": GREY, "strokeDash": [4, 4]}
WIDTH = 560
MOST_BARS, MOST_OUTPUTS, MOST_MARKS = 25, 6, 10
FEW_COLOURS, MOST_COLOURS = 10, 20
"""The sizes of the colour schemes tableau10 and tableau20."""
MOST_POINTS = 150
"""Points of a curve."""
MOST_LETTERS = 36
"""Letters that fit side by side below the narrowest chart."""
SYMBOL_LETTERS = 3
"""Letters that would fit where the symbol of a legend is."""
LONGEST_LABEL, LONGEST_TITLE = 120, 280
"""Pixels; what is longer ends in dots."""
BINS, MOST_LEVELS = 15, 15
"""Bins of a column of numbers, and categories, over which errors are drawn."""
FEWEST = 5
"""Rows of a bin or category that is drawn."""
TIME = "%H:%M"
_DATES = ((3650, "%Y"), (200, "%Y-%m"), (10, "%Y-%m-%d"), (0, "%m-%d %H:%M"))
"""How marks are written, by the days from the first to the last moment: no two alike, as a chart has at most 13 of them."""
Chart = dict[str, Any]


def require_report() -> Any:
    """Return the module altair. Errors: MissingExtraError where a package of the extra `report` is missing."""
    altair = optional_module("altair", extra="report", purpose="manynets report")
    optional_module("vl_convert", package="vl-convert-python", extra="report", purpose="manynets report")
    return altair


def data_of(**columns: Sequence[Any]) -> Any:
    """Return columns as the data of a chart."""
    alt = require_report()
    return alt.Data(values=[dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])


def rounded(values: Any) -> list[Any]:
    """Return numbers with six digits; those that are not finite are None."""
    return [None if not np.isfinite(value) else float(f"{value:.6g}") for value in np.asarray(values, dtype=np.float64).ravel()]


def number_axis(values: Any, **options: Any) -> Any:
    """Return the axis of a column with these values: whole numbers have whole marks, and those of four digits, such as years, no comma."""
    numbers = np.asarray(values, dtype=np.float64).ravel()
    numbers = numbers[np.isfinite(numbers)]
    largest, spread = (float(np.abs(numbers).max()), float(np.ptp(numbers))) if len(numbers) else (0.0, 0.0)
    marked = len(numbers) > 0 and spread <= MOST_MARKS and bool((numbers == np.round(numbers)).all())
    if marked:
        options["values"] = list(range(int(numbers.min()), int(numbers.max()) + 1))
    if largest < 10_000 and (marked or (largest >= 1000 and spread >= MOST_MARKS)):
        options["format"] = "d"
    return require_report().Axis(**options)


def moment_axis(moments: Sequence[str]) -> Any:
    """Return the axis of moments; times of day have no date, and each mark has a year where the moments are further apart."""
    days = np.ptp(np.array(moments, dtype="datetime64[s]")) / np.timedelta64(1, "D")
    form = TIME if are_times(moments) else next(form for least, form in _DATES if days >= least)
    return require_report().Axis(labelOverlap=True, format=form)


def moment_tooltip(moments: Sequence[str]) -> Any:
    """Return the format of moments under the pointer; times of day have no date."""
    return require_report().Tooltip("value:T", **({"format": TIME} if are_times(moments) else {}))


def category_axis(names: Sequence[str]) -> Any:
    """Return the horizontal axis of categories; names that fit are written side by side, others upwards."""
    level = {"labelAngle": 0} if len(names) * max(map(len, names)) <= MOST_LETTERS else {}
    return require_report().Axis(labelLimit=LONGEST_LABEL, labelOverlap=True, **level)


def _legend(names: Sequence[str], **more: Any) -> Any:
    """Return the legend of outputs, with as many of them side by side as fit below the narrowest chart."""
    fit = MOST_LETTERS // (max(map(len, names)) + SYMBOL_LETTERS)
    return require_report().Legend(columns=min(5, max(1, fit)), labelLimit=LONGEST_LABEL, **more)


def history_chart(history: Mapping[str, Sequence[float]], best: Sequence[float], *, squared: float = 0.0) -> Chart | None:
    """Return training and validation loss over the epochs, with the best epochs; None without a history.

    squared: what turns the loss into the mean squared error, whose root, the RMSE, is then drawn; 0 for the loss.
    """
    alt = require_report()
    epochs = list(history.get("epoch", []))
    curves = {part: history[name] for part, name in (("training", "loss"), ("validation", "val_loss")) if name in history}
    if not epochs or not curves:
        return None
    values = np.array(list(curves.values()))
    data = data_of(
        epoch=rounded(epochs) * len(curves),
        part=np.repeat(list(curves), len(epochs)).tolist(),
        loss=rounded(np.sqrt(squared * values) if squared else values),
    )
    lines = alt.Chart(data).mark_line(point=len(epochs) < 40)
    lines = lines.encode(
        x=alt.X("epoch:Q", title="Epoch"),
        y=alt.Y("loss:Q", title="RMSE" if squared else "Loss", scale=alt.Scale(zero=False)),
        color=alt.Color("part:N", title=None, scale=alt.Scale(domain=["training", "validation"], range=[BLUE, ORANGE])),
        tooltip=["part:N", "epoch:Q", "loss:Q"],
    )
    if best:
        lines += alt.Chart(data_of(epoch=rounded(sorted(set(best))))).mark_rule(**DASHED).encode(x="epoch:Q")
    return sized(lines, height=260)


def loss_title(importance: Importance) -> str:
    """Return the heading for the loss by shuffling a column, such as "Accuracy lost"."""
    return f"{importance.heading[:1].upper()}{importance.heading[1:]} lost"


def importance_chart(importance: Importance) -> Chart:
    """Return the importance of the columns with their spread, the most important first."""
    alt = require_report()
    ranked = importance.ranked()[:MOST_BARS]
    names, mean, std = (list(values) for values in zip(*ranked, strict=True))
    data = data_of(column=names, lost=rounded(mean), low=rounded(np.subtract(mean, std)), high=rounded(np.add(mean, std)))
    title = f"{loss_title(importance)} without the column"
    order = alt.Y("column:N", sort=names, title=None, axis=alt.Axis(labelLimit=220))
    bars = (
        alt.Chart(data)
        .mark_bar(color=BLUE)
        .encode(y=order, x=alt.X("lost:Q", title=title, axis=alt.Axis(titleAnchor="end")), tooltip=["column:N", "lost:Q"])
    )
    spread = alt.Chart(data).mark_rule(color=ORANGE, strokeWidth=2).encode(y=order, x="low:Q", x2="high:Q")
    return sized(bars + spread, height=20 * len(names))


def dependence_chart(found: Dependence) -> Chart:
    """Return the mean prediction over the values of a column; for classes the probabilities of at most six, those that change most."""
    alt, found = require_report(), found.gathered()
    means, outputs = found.by_output(), list(found.outputs[1:] if found.two_classes else found.outputs)
    means = means[:, -len(outputs) :]
    if len(outputs) > MOST_OUTPUTS:
        moved = np.sort(np.argsort(-np.ptp(means, axis=0), kind="stable")[:MOST_OUTPUTS])
        outputs, means = [outputs[code] for code in moved], means[:, moved]
    kind = {"number": "Q", "date": "T", "category": "N"}[found.kinds[0]]
    # a browser reads a date without a time as UTC, and draws local time
    values = rounded(found.grid[0]) if kind == "Q" else found.grid[0] if kind == "T" else found.texts()[0]
    count = len(values)
    data = data_of(value=values * len(outputs), output=np.repeat(outputs, count).tolist(), prediction=rounded(means.T))
    chart = alt.Chart(data)
    chart = chart.mark_line(point=True, color=BLUE) if kind != "N" else chart.mark_bar(color=BLUE)
    what = found.what.capitalize()
    if len(outputs) == 1 and found.outputs != ("prediction",):
        what += f" of {outputs[0]}"
    axis = number_axis(found.grid[0]) if kind == "Q" else category_axis(values) if kind == "N" else moment_axis(values)
    encoding: dict[str, Any] = {
        "x": alt.X(f"value:{kind}", title=found.columns[0], sort=None, axis=axis),
        "y": alt.Y("prediction:Q", title=what, scale=alt.Scale(zero=kind == "N")),
        "tooltip": [moment_tooltip(values) if kind == "T" else f"value:{kind}", "output:N", "prediction:Q"],
    }
    if len(outputs) > 1:
        title = found.output_kind.capitalize()
        encoding["color"] = alt.Color("output:N", title=title, sort=outputs, legend=_legend(outputs, values=outputs))
        if len(outputs) < len(found.outputs) <= MOST_COLOURS:  # each chart may show others, but in the same colours
            scheme = "tableau20" if len(found.outputs) > FEW_COLOURS else "tableau10"
            encoding["color"].scale = alt.Scale(domain=list(found.outputs), scheme=scheme)
        if kind == "N":
            encoding["xOffset"] = "output:N"
    return sized(chart.encode(**encoding), height=200)


def pair_chart(found: Dependence) -> Chart:
    """Return the mean prediction over the values of two columns as a heat map; of classes the probability of `Dependence.shown`."""
    alt = require_report()
    (across, down), means = found.texts(), found.by_output()[..., found.shown].T
    data = data_of(one=np.repeat(down, len(across)).tolist(), other=across * len(down), mean=rounded(means))
    horizontal, vertical = found.columns
    what = found.what.capitalize() + ("" if found.outputs == ("prediction",) else f" of {found.outputs[found.shown]}")
    chart = alt.Chart(data).mark_rect()
    chart = chart.encode(
        x=alt.X("other:O", title=horizontal, sort=across, axis=category_axis(across)),
        y=alt.Y(
            "one:O",
            title=vertical,
            sort=down[::-1] if found.kinds[1] == "number" else down,
            axis=alt.Axis(labelLimit=LONGEST_LABEL, labelOverlap=True),
        ),
        color=alt.Color("mean:Q", title=what, scale=alt.Scale(scheme="viridis")),
        tooltip=[alt.Tooltip("one:O", title=vertical), alt.Tooltip("other:O", title=horizontal), alt.Tooltip("mean:Q", title=what)],
    )
    return sized(chart, height=max(120, min(480, 26 * len(down))))


def class_reliability_chart(found: Calibration, name: str) -> Chart:
    """Return the share of one class over its probability, beside the diagonal."""
    alt = require_report()
    data = data_of(probability=rounded(found.probability), share=rounded(found.right), rows=found.count.tolist())
    largest = float(max(found.probability.max(), found.right.max()))
    within = alt.Scale(domain=[0, min(1.0, 1.1 * largest)])
    line = alt.Chart(data).mark_line(color=BLUE, point=alt.OverlayMarkDef(color=BLUE, filled=True))
    line = line.encode(
        x=alt.X("probability:Q", title=f"Probability of {name}", scale=within),
        y=alt.Y("share:Q", title=f"Share of {name}", scale=within),
        tooltip=["probability:Q", "share:Q", "rows:Q"],
    )
    return sized(diagonal("probability", "share", (0, largest)) + line, height=260)


def reliability_chart(found: Calibration) -> Chart:
    """Return the share of right predictions over their probability, beside the diagonal."""
    alt = require_report()
    data = data_of(probability=rounded(found.probability), right=rounded(found.right), rows=found.count.tolist())
    square = alt.Scale(domain=[0, 1])
    points = alt.Chart(data).mark_point(filled=True, color=BLUE, opacity=1)
    points = points.encode(
        x=alt.X("probability:Q", title="Probability of the predicted class", scale=square),
        y=alt.Y("right:Q", title="Share that is right", scale=square),
        size=alt.Size("rows:Q", title="Rows", legend=alt.Legend(columns=6, tickCount=4)),
        tooltip=["probability:Q", "right:Q", "rows:Q"],
    )
    return sized(diagonal("probability", "right") + points, height=300)


def diagonal(x: str, y: str, ends: Sequence[float] = (0, 1)) -> Any:
    """Return the dashed line on which two columns are equal."""
    return require_report().Chart(data_of(**{x: ends, y: ends})).mark_line(**DASHED).encode(x=f"{x}:Q", y=f"{y}:Q")


def confusion_chart(matrix: Sequence[Sequence[int]], classes: Sequence[Any]) -> Chart:
    """Return true against predicted classes."""
    alt = require_report()
    names = [str(name) for name in classes]
    counts = np.asarray(matrix)
    data = data_of(
        true=np.repeat(names, len(names)).tolist(),
        predicted=names * len(names),
        rows=counts.ravel().tolist(),
        share=rounded(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)),
    )
    base = alt.Chart(data).encode(
        x=alt.X("predicted:N", title="Predicted", sort=None, axis=category_axis(names)),
        y=alt.Y("true:N", title="True", sort=None, axis=alt.Axis(labelLimit=LONGEST_LABEL, labelOverlap=True)),
        tooltip=["true:N", "predicted:N", "rows:Q"],
    )
    boxes = base.mark_rect().encode(
        color=alt.Color("share:Q", title="Share of the row", scale=alt.Scale(scheme="blues", domain=[0, 1]))
    )
    light = alt.condition("datum.share > 0.5", alt.value("white"), alt.value("black"))
    text = base.mark_text(fontSize=12).encode(text=alt.Text("rows:Q", format=","), color=light) if len(names) <= 15 else boxes
    return sized(boxes + text, height=max(120, min(480, 36 * len(names))))


def roc_chart(found: Mapping[str, ClassCurves], *, what: str = "Class") -> Chart:
    """Return true over false positive rates of classes or labels, by their names. what: which of the two they are."""
    lines = {name: (one.false, one.true, one.false + one.true) for name, one in found.items()}
    return sized(diagonal("x", "y") + _curves(lines, ("False positive rate", "True positive rate"), what), height=260)


def precision_chart(found: Mapping[str, ClassCurves], *, what: str = "Class") -> Chart:
    """Return precision over recall of classes or labels, by their names. what: which of the two they are."""
    lines = {name: (one.true, one.precision, one.true) for name, one in found.items()}
    return sized(_curves(lines, ("Recall", "Precision"), what), height=260)


def _curves(lines: Mapping[str, tuple[Any, Any, Any]], titles: tuple[str, str], what: str) -> Any:
    """Return the curves of some names. lines: x, y, and values that increase along the curve."""
    alt = require_report()
    x, y, names, order = [], [], [], []
    for name, (across, up, along) in lines.items():
        at = points_along(along, most=MOST_POINTS)
        x += rounded(across[at])
        y += rounded(up[at])
        names += [name] * len(at)
        order += list(range(len(at)))
    square = alt.Scale(domain=[0, 1])
    encoding: dict[str, Any] = {
        "x": alt.X("x:Q", title=titles[0], scale=square),
        "y": alt.Y("y:Q", title=titles[1], scale=square),
        "order": alt.Order("order:Q"),
        "tooltip": [alt.Tooltip("name:N", title=what), alt.Tooltip("x:Q", title=titles[0]), alt.Tooltip("y:Q", title=titles[1])],
    }
    mark: dict[str, Any] = {"color": BLUE}
    if len(lines) > 1:
        mark, encoding["color"] = {}, alt.Color("name:N", title=what, sort=list(lines), legend=_legend(list(lines)))
    return alt.Chart(data_of(x=x, y=y, name=names, order=order)).mark_line(**mark).encode(**encoding)


def pixels_chart(importance: Importance, shape: Sequence[int]) -> Chart:
    """Return the importance of the pixels of images as an image of (height, width)."""
    alt = require_report()
    pixels = np.zeros(int(np.prod(shape)))
    for mean, names in zip(importance.mean, importance.groups.values(), strict=True):
        for column in names:
            pixels[int(column.removeprefix("x"))] = mean
    height, width = int(shape[0]), int(shape[1])
    rows, columns = np.divmod(np.arange(height * width), width)
    data = data_of(row=rows.tolist(), column=columns.tolist(), lost=rounded(pixels))
    chart = (
        alt.Chart(data)
        .mark_rect()
        .encode(
            x=alt.X("column:O", title=None, axis=None),
            y=alt.Y("row:O", title=None, axis=None),
            color=alt.Color("lost:Q", title=loss_title(importance), scale=alt.Scale(scheme="blues")),
            tooltip=["row:Q", "column:Q", "lost:Q"],
        )
    )
    return dict(chart.properties(width=280, height=round(280 * height / width), usermeta={"fixed": True}).to_dict(validate=False))


def sized(chart: Any, *, height: Any) -> Chart:
    """Return the specification of a chart; the page makes it as wide as there is room. A title that is longer than its axis ends in dots."""
    found: Chart = chart.properties(width=WIDTH, height=height).to_dict(validate=False)
    for part in (found, *found.get("layer", [])):
        for channel, limit in (("x", LONGEST_TITLE), ("y", height)):
            encoded = part.get("encoding", {}).get(channel, {})
            if encoded.get("title"):
                encoded["axis"] = {**encoded.get("axis", {}), "titleLimit": limit}
    return found


# ---------------------------------------------------------------------------------------------- errors of predicted numbers


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


def quantile_bins(values: Array, *, most: int, fewest: int = 1) -> NDArray[np.int64]:
    """Return the number of the bin of each finite value (N,), from 0 on.

    The bins are quantiles, as many as leave at least `fewest` values in each if all differ, or one for each value where there are few.

    >>> quantile_bins(np.array([3.0, 1.0, 1.0]), most=4).tolist()
    [1, 0, 0]
    """
    different, which = np.unique(values, return_inverse=True)
    if len(different) <= most:
        return np.asarray(which, dtype=np.int64)
    count = max(1, min(most, len(values) // (fewest + 1)))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)))
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(0, len(edges) - 2))
