"""The sections on what the model relies on: importance of the columns, and how the prediction follows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from manynets.display import listed, mean_texts
from manynets.errors import DataError
from manynets.explain import Dependence, partial_dependence, permutation_importance
from manynets.report import charts
from manynets.report.parts import LabelledRows, ReportFigure, ReportInput, ReportTable, Section
from manynets.tasks import Regression

FOLLOWED = 6
MOST_CURVES = 12
"""Curves in all, where each of several targets has its own."""
MANY = 30
PAIR_ROWS = 500
"""Rows that a heat map of two columns is the mean of."""
MOST_SCORES, FEWEST_ROWS = 2_000_000, 50
"""Classes x rows that a curve is the mean of: so many probabilities are computed for each of its points."""


def reliance_sections(given: ReportInput, rows: LabelledRows) -> Iterator[Section]:
    """Yield the sections; of images only the first, as a single pixel says little."""
    model, title = given.model, "What the model relies on"
    try:
        found = permutation_importance(model, rows.X, rows.y, n_repeats=5, sample_weight=rows.weight)
    except DataError as error:
        yield Section(title, f"Importance cannot be computed: {error}.")
        return
    ranked = found.ranked()
    lines = [[name, *mean_texts(mean, std)] for name, mean, std in ranked]
    table = ReportTable(
        "Importance of each column", ["Column", charts.loss_title(found), "± standard deviation"], lines, folded=len(lines) > MANY
    )
    words = (
        f"How much {found.heading} the model loses when a column is shuffled among {len(rows):,} {given.part} rows."
        " Columns that hold nearly the same information are shuffled together."
    )
    if given.image_shape is not None:
        figure = ReportFigure("Importance of the pixels", charts.pixels_chart(found, given.image_shape))
    else:
        few = "" if len(ranked) <= charts.MOST_BARS else f": the {charts.MOST_BARS} most important"
        figure = ReportFigure(f"Importance of the columns{few}; lines are the standard deviation", charts.importance_chart(found))
    yield Section(title, words, [figure, table])
    if given.image_shape is not None:
        return
    names = [column for group in (found.groups[name] for name, _, _ in ranked) for column in group]
    columns = () if model.encoder is None else model.encoder.columns
    no_order = {column.name for column in columns if column.kind == "text" or (column.kind == "categorical" and column.part)}
    targets = model.task.targets if isinstance(model.task, Regression) else 1
    followed = [name for name in names if name not in no_order][: min(FOLLOWED, max(2, MOST_CURVES // targets))]
    some = rows.some(max(FEWEST_ROWS, MOST_SCORES // model.task.outputs))
    curves = {name: _dependence(some, name, n_grid=20, n_rows=0) for name in followed}
    figures = [
        ReportFigure(one.title(0) if targets > 1 else f"Mean prediction over {name}", charts.dependence_chart(one), small=True)
        for name, curve in curves.items()
        if curve is not None
        for one in curve.by_target()[: charts.MOST_OUTPUTS]
    ]
    words = f"The mean prediction when all of {len(some):,} rows have the same value of a column, for the most important columns."
    if targets > charts.MOST_OUTPUTS:
        words += f" Of {targets} targets the first {charts.MOST_OUTPUTS} are shown."
    if model.task.outputs > charts.MOST_OUTPUTS and not isinstance(model.task, Regression):
        words += f" Of {model.task.outputs} classes, those {charts.MOST_OUTPUTS} are shown that change most."
    pairs = _pairs(some, followed)
    words += " The last picture has the two most important ones together." if pairs else ""
    empty = [name for name, curve in curves.items() if curve is None]
    words += f" Left out, with fewer than two values in these rows: {', '.join(empty)}." if empty else ""
    words += (
        f" Left out, as words and parts of codes have no order: {listed(name for name in names if name in no_order)}."
        if no_order
        else ""
    )
    yield Section("How the prediction follows a column", words, figures + pairs)


def _dependence(rows: LabelledRows, columns: str | list[str], **options: Any) -> Dependence | None:
    """Return how the prediction follows one column or two; None where one of them has fewer than two values in the rows."""
    try:
        found = partial_dependence(rows.model, rows.X, columns, sample_weight=rows.weight, **options)
    except DataError:
        return None
    return found if min(map(len, found.grid)) > 1 else None


def _pairs(rows: LabelledRows, followed: list[str]) -> list[ReportFigure]:
    """Return how the prediction follows the two most important columns together; nothing where there is one only."""
    if len(followed) < 2:
        return []
    some = rows.some(PAIR_ROWS)
    found = _dependence(some, followed[:2], n_grid=10)
    return [] if found is None else [ReportFigure(f"{found.title(found.shown)}, of {len(some):,} rows", charts.pair_chart(found))]
