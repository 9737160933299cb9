"""The sections on predicted numbers: errors against the prediction and each column, and intervals."""

from __future__ import annotations

import numpy as np

from manynets.display import HEADINGS, cell_text, number_text
from manynets.errors import DataError, OptionError
from manynets.explain.blocks import some_rows
from manynets.explain.values import NumberValues, column_values
from manynets.metrics import wilson_interval
from manynets.report import charts
from manynets.report.parts import Array, LabelledRows, Part, ReportFigure, ReportInput, ReportTable, Section
from manynets.tasks import Regression

MOST_POINTS = 2000
MOST_COLUMNS = 24
MOST_OUTPUTS = 4
SHARES = (50, 80, 90, 95, 99)
COVERAGES = (0.8, 0.9, 0.95)


def numbers_section(given: ReportInput, rows: LabelledRows) -> Section:
    """Return the section on errors."""
    truth, predicted = _columns(rows.model.task, rows)
    names = _names(given, truth.shape[1])
    shown = some_rows(len(truth), MOST_POINTS)
    parts = target_tables(given)
    for j, name in enumerate(names[:MOST_OUTPUTS]):
        away = truth[:, j] - predicted[:, j]
        few = "" if len(shown) == len(truth) else f" ({len(shown):,} of {len(truth):,} rows)"
        pair = truth[shown, j], predicted[shown, j]
        parts += [
            ReportFigure(
                f"Predicted over true {name}; on the dashed line both agree{few}",
                charts.predicted_chart(*pair, name),
                small=True,
            ),
            ReportFigure(
                f"Error (true − predicted) over predicted {name}{few}",
                charts.error_points_chart(pair[1], away[shown], f"Predicted {name}"),
                small=True,
            ),
        ]
        lines = [
            [f"{share}%", number_text(float(value))]
            for share, value in zip(SHARES, np.percentile(np.abs(away), SHARES), strict=True)
        ]
        of = "" if len(names) == 1 else f" of {name}"
        parts.append(ReportTable(f"Absolute errors{of}", ["Share of the rows", "Error of at most"], lines))
    words = "How far the predictions are from the truth."
    if len(names) > MOST_OUTPUTS:
        words += f" Of {len(names)} targets the first {MOST_OUTPUTS} are shown."
    figures, more = _by_column(given, rows, truth[:, 0] - predicted[:, 0], names[0])
    return Section("Errors", words + more, [*parts, *figures])


def target_tables(given: ReportInput) -> list[Part]:
    """Return the table of the metrics of each target; none if there is a single target, or the run is of an older version."""
    names = _names(given, given.model.task.targets)
    found = given.metrics.get(given.part, {}).get("per_target", [])
    lines = [[names[entry["target"]], *(cell_text(entry[name]) for name in Regression.metrics)] for entry in found]
    heads = ["Target", *(HEADINGS[name] for name in Regression.metrics)]
    return [ReportTable(f"Metrics by target on the {given.part} rows", heads, lines)] if lines else []


def _names(given: ReportInput, outputs: int) -> list[str]:
    """Return the names of the targets."""
    unnamed = [given.target] if outputs == 1 else [f"target {j}" for j in range(outputs)]
    return list(given.model.target_names) or unnamed


def intervals_section(given: ReportInput, rows: LabelledRows) -> Section:
    """Return the section on intervals: how many of the rows are within them, and how wide they are."""
    title = "Prediction intervals"
    truth, _ = _columns(rows.model.task, rows)
    names = _names(given, truth.shape[1])
    lines = []
    for coverage in COVERAGES:
        try:
            limits = rows.model.interval(rows.logits, coverage).reshape(len(rows), -1, 2)
        except (DataError, OptionError) as error:
            return Section(title, f"There are none: {error}.")
        inside = ((limits[..., 0] <= truth) & (truth <= limits[..., 1])).sum(axis=0)
        width = np.median(limits[..., 1] - limits[..., 0], axis=0)
        for name, count, wide in list(zip(names, inside.tolist(), width.tolist(), strict=True))[:MOST_OUTPUTS]:
            lines.append([f"{coverage * 100:g}%", name, *_percentage(count, len(rows)), number_text(wide)])
    words = f"How many of the {len(rows):,} {given.part} rows are within the limits that are to hold a share of new rows, and how wide these are."
    heads = ["Coverage", "Target", "Rows within", "95% interval, in %", "Median width"]
    tables = [ReportTable("Coverage and width of the intervals", heads, lines)]
    return Section(title, words, [*tables, *_quantile_tables(rows, truth, names)])


def _quantile_tables(rows: LabelledRows, truth: Array, names: list[str]) -> list[ReportTable]:
    """Return a table of how many rows are below each quantile that the model predicts, () where it predicts one number."""
    levels: tuple[float, ...] = getattr(rows.model.task, "quantiles", ())
    if not levels:
        return []
    found = rows.model.quantiles(rows.logits).reshape(len(rows), -1, len(levels))
    lines = []
    for j, level in enumerate(levels):
        for t, name in enumerate(names[:MOST_OUTPUTS]):
            count = int((truth[:, t] <= found[:, t, j]).sum())
            lines.append([f"{level:g}", name, *_percentage(count, len(rows))])
    return [ReportTable("Rows below each predicted quantile", ["Quantile", "Target", "Rows below", "95% interval, in %"], lines)]


def _percentage(count: int, rows: int) -> list[str]:
    """Return a share of the rows, and its interval, in percent."""
    low, high = wilson_interval(count, rows)
    return [f"{100 * count / rows:.1f}%", f"{100 * low:.1f} to {100 * high:.1f}"]


def _columns(task: object, rows: LabelledRows) -> tuple[Array, Array]:
    """Return true and predicted values (N, O) in the unit of the target."""
    assert isinstance(task, Regression)
    truth = np.asarray(task.own_unit(rows.target), dtype=np.float64).reshape(len(rows), -1)
    return truth, rows.predicted.astype(np.float64).reshape(truth.shape)


def _by_column(given: ReportInput, rows: LabelledRows, away: Array, target: str) -> tuple[list[ReportFigure], str]:
    """Return a chart of the errors over each column, and what to say where columns are left out."""
    if given.image_shape is not None:
        return [], ""
    figures: list[ReportFigure] = []
    left = 0
    for name, column in column_values(given.model, rows.X):
        if len(figures) == MOST_COLUMNS:
            left += 1
            continue
        if isinstance(column, NumberValues):
            chart = charts.error_by_number_chart(column.values, away, name, dates=column.dates)
        else:
            chart = charts.error_by_category_chart(column, away)
        if chart is not None:
            figures.append(ReportFigure(f"Error of {target} over {name}", chart, small=True))
    words = " Over each column, the line or bar is the mean error, and the band or line holds 80% of the errors; a mean away from 0 is a pattern that the model missed."
    return figures, words + (f" The last {left} columns are left out." if left else "") if figures else ""
