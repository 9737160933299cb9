"""The sections on where the model fails: groups of rows, and single rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from manynets.display import cell_text, labels_text, number_text, shortened, value_text
from manynets.explain import worst_slices
from manynets.explain.prediction_errors import worst_first
from manynets.explain.slices import several_numbers
from manynets.explain.values import NumberValues, column_values, moment_texts
from manynets.model import Model
from manynets.report.parts import Array, LabelledRows, ReportInput, ReportPicture, ReportTable, Section, between
from manynets.tables import Table
from manynets.tasks import Multilabel, Regression, Task

WORST = 10
MOST_COLUMNS = 12
LONGEST = 40
"""Letters of a cell."""


def slices_section(given: ReportInput, rows: LabelledRows) -> Section:
    """Return the section on groups of rows that are served worst."""
    title, what = "Groups with larger errors", _loss_name(given.model.task)
    found = worst_slices(given.model, rows.X, rows.y)
    if not found:
        return Section(title, "No group of rows has a larger error than the others by more than chance.")
    lines = [
        [
            one.column,
            one.group,
            cell_text(one.rows),
            number_text(one.loss),
            between(one.low, one.high),
            number_text(one.other_loss),
            f"{one.p:.2g}",
        ]
        for one in found
    ]
    names = ["Column", "Group", "Rows", f"Mean {what}", "95% interval", "Of the others", "p, corrected"]
    words = "Groups of rows whose error is larger than that of the others by more than chance, corrected for all groups that were looked at."
    return Section(title, words, [ReportTable("Groups", names, lines)])


def _loss_name(task: Task) -> str:
    """Return a description of `row_losses`."""
    if several_numbers(task):
        return "error in standard deviations"
    return "absolute error" if isinstance(task, Regression) else "share wrong"


def worst_section(given: ReportInput, rows: LabelledRows) -> Section:
    """Return the section on the rows with the largest errors; of classes those that were most confidently wrong."""
    model = given.model
    worst, losses, sure = worst_first(model, rows.logits, rows.y, most=WORST)
    title = "Rows with the largest errors" if sure is None else "Rows that were most confidently wrong"
    if not len(worst):
        return Section(title, "No row is predicted wrong.")
    what = "Probability" if sure is not None else _loss_name(model.task).capitalize()
    names = ["Row", "True", "Predicted", what]
    numbered = isinstance(rows.X, Table)
    words = (
        "Worth a look: a wrong label, a special case, or something that the columns do not say."
        f" Rows are numbered from 0, as in {'the table' if numbered else f'the {given.part} rows'}."
    )
    numbers = rows.X.row_numbers[worst] if numbered else worst
    truth, predicted = _labels(given, rows.y[worst]), _labels(given, rows.predicted[worst])
    lines: list[Sequence[Any]] = [
        [cell_text(int(number)), one, other, number_text(float(size))]
        for number, one, other, size in zip(numbers, truth, predicted, losses if sure is None else sure, strict=True)
    ]
    if given.image_shape is not None:
        return Section(title, words, [ReportTable("Rows", names, lines), *_pictures(given, rows, worst, truth, predicted)])
    columns = texts_of(model, rows.take(worst).X, most=MOST_COLUMNS)
    lines = [[*line, *(values[i] for values in columns.values())] for i, line in enumerate(lines)]
    if model.encoder is not None and len(model.encoder.column_names) > len(columns):
        words += f" {len(columns)} of {len(model.encoder.column_names)} columns are shown."
    return Section(title, words, [ReportTable("Rows", [*names, *columns], lines)])


def texts_of(model: Model, X: Any, *, most: int) -> dict[str, list[str]]:
    """Return the cells of the first columns of rows X as texts, by column; those of an array without an encoder are left out."""
    if model.encoder is None:
        return {}
    out: dict[str, list[str]] = {}
    for name, column in column_values(model, X):
        if len(out) == most:
            break
        if isinstance(column, NumberValues):
            numbers = column.values
            out[name] = _moments(numbers) if column.dates else ["" if np.isnan(one) else value_text(one) for one in numbers]
        else:
            out[name] = ["" if code < 0 else shortened(column.labels[code], LONGEST) for code in column.codes.tolist()]
    return out


def _moments(seconds: Array) -> list[str]:
    """Return seconds since 1970 (N,) as texts, "" for NaN."""
    there = np.isfinite(seconds)
    texts = iter(moment_texts([str(np.datetime64(int(one), "s")) for one in seconds[there]]))
    return [next(texts) if one else "" for one in there]


def _labels(given: ReportInput, values: Any) -> list[str]:
    """Return labels or numbers as texts, classes by their names, and of several labels the names of those that a row has."""
    if hasattr(given.model.task, "classes"):
        return [given.class_name(code) for code in given.model.task.encode(values).astype(np.int64).ravel().tolist()]
    listed, names = np.asarray(values), given.model.target_names
    if names and isinstance(given.model.task, Multilabel):
        return [labels_text(row, names) for row in listed.tolist()]
    return [cell_text(one) if listed.ndim == 1 else ", ".join(map(cell_text, one)) for one in listed.tolist()]


def _pictures(
    given: ReportInput, rows: LabelledRows, worst: Any, truth: Sequence[str], predicted: Sequence[str]
) -> list[ReportPicture]:
    images = np.asarray(rows.take(worst).X, dtype=np.float64).reshape(len(worst), *(given.image_shape or ()))
    low, high = float(images.min()), float(images.max())
    scaled = (images - low) / (high - low) if high > low else images * 0.0
    pairs = zip(worst.tolist(), truth, predicted, scaled, strict=True)
    return [ReportPicture(f"Row {row:,}: true {one}, predicted {other}", image) for row, one, other, image in pairs]
