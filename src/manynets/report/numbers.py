"""The sections on predicted numbers: errors against the prediction and each column, and intervals."""

from __future__ import annotations

import numpy as np

from manynets.display import number_text
from manynets.report import error_charts
from manynets.report.parts import Array, LabelledRows, ReportFigure, ReportInput, ReportPicture, ReportTable, Section
from manynets.report.values import CategoryValues, NumberValues, column_values
from manynets.tasks import Regression

__all__ = ["numbers_section"]

MOST_POINTS = 2000
MOST_COLUMNS = 24
MOST_OUTPUTS = 4
SHARES = (50, 80, 90, 95, 99)


def numbers_section(given: ReportInput, rows: LabelledRows) -> Section:
    """Return the section on errors."""
    truth, predicted = _columns(rows.model.task, rows)
    names = [name.strip() for name in given.target.split(",")]
    if len(names) != truth.shape[1]:
        names = [given.target] if truth.shape[1] == 1 else [f"target {j}" for j in range(truth.shape[1])]
    shown = np.sort(np.random.default_rng(0).permutation(len(truth))[:MOST_POINTS])
    parts: list[ReportTable | ReportFigure | ReportPicture] = []
    for j, name in enumerate(names[:MOST_OUTPUTS]):
        away = predicted[:, j] - truth[:, j]
        few = "" if len(shown) == len(truth) else f" ({len(shown):,} of {len(truth):,} rows)"
        pair = truth[shown, j], predicted[shown, j]
        parts += [
            ReportFigure(
                f"Predicted over true {name}; on the dashed line both agree{few}",
                error_charts.predicted_chart(*pair, name),
                small=True,
            ),
            ReportFigure(
                f"Error (predicted − true) over predicted {name}{few}",
                error_charts.error_points_chart(pair[1], away[shown], f"Predicted {name}"),
                small=True,
            ),
        ]
        lines = [
            [f"{share} %", number_text(float(value))]
            for share, value in zip(SHARES, np.percentile(np.abs(away), SHARES), strict=True)
        ]
        of = "" if len(names) == 1 else f" of {name}"
        parts.append(ReportTable(f"Absolute errors{of}", ["Share of the rows", "Error of at most"], lines))
    words = "How far the predictions are from the truth."
    if len(names) > MOST_OUTPUTS:
        words += f" Of {len(names)} targets the first {MOST_OUTPUTS} are shown."
    figures, more = _by_column(given, rows, predicted[:, 0] - truth[:, 0], names[0])
    return Section("Errors", words + more, [*parts, *figures])


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
        chart = None
        if isinstance(column, NumberValues):
            chart = error_charts.error_by_number_chart(column.values, away, name, dates=column.dates)
        elif isinstance(column, CategoryValues):
            chart = error_charts.error_by_category_chart(column.labels, column.codes, away)
        if chart is not None:
            figures.append(ReportFigure(f"Error of {target} over {name}", chart, small=True))
    words = " Over each column, the line or bar is the mean error, and the band or line holds 80 % of the errors; a mean away from 0 is a pattern that the model missed."
    return figures, words + (f" The last {left} columns are left out." if left else "") if figures else ""
