"""The sections of a report: each a title, a sentence, and tables and charts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.display import number_text
from manynets.explain import calibration, partial_dependence, permutation_importance, worst_slices
from manynets.explain.blocks import source_rows
from manynets.explain.calibration import wilson_interval
from manynets.explain.slices import row_losses
from manynets.model import Model
from manynets.report import charts
from manynets.tables.columns import CategoricalColumn, DateColumn, NumericColumn
from manynets.tasks import Regression

__all__ = ["ReportInput", "Section", "sections"]

Array: TypeAlias = NDArray[Any]
Cells: TypeAlias = Sequence[Sequence[object]]

MOST_ROWS = 2000
MOST_POINTS = 2000
MOST_CLASSES = 50
FOLLOWED = 4
WORST = 10


@dataclasses.dataclass(frozen=True, eq=False)
class ReportInput:
    """What a report is about.

    model: trained. title: of the page. part: what the rows are, such as "test". X, y: labelled rows that were held out, as `Model.predict` takes
    them. metrics: of each part, by its name. baselines: the same, of simple models. target: the name of the target. facts: lines on data,
    split and versions, by name. repeat: the command that repeats the run.
    """

    model: Model
    title: str
    part: str
    X: Any
    y: Any
    metrics: Mapping[str, Mapping[str, Any]]
    baselines: Mapping[str, Mapping[str, Any]]
    target: str
    facts: Mapping[str, str]
    repeat: str


@dataclasses.dataclass(frozen=True)
class ReportTable:
    """A table with a caption: names of the columns, and rows of cells."""

    caption: str
    names: Sequence[str]
    rows: Cells


@dataclasses.dataclass(frozen=True)
class ReportFigure:
    """A chart with what it shows, in words."""

    caption: str
    chart: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Section:
    """A title, a text, and tables and figures."""

    title: str
    text: str
    parts: Sequence[ReportTable | ReportFigure]


def sections(given: ReportInput) -> Iterator[Section]:
    """Yield the sections in order."""
    yield _metrics(given)
    yield _data(given)
    yield _model(given)
    y = np.asarray(given.y)
    rng = np.random.default_rng(0)
    some = np.sort(rng.permutation(len(y))[:MOST_ROWS])
    X, y = _taken(given.X, some), y[some]
    logits = given.model.encoded_logits(source_rows(given.model, X).matrix)
    yield from _importance(given, X, y)
    yield _numbers(given, logits, y) if isinstance(given.model.task, Regression) else _classes(given, logits, y)
    yield _slices(given, X, y)
    yield _worst(given, logits, y)
    yield Section(
        "Repeat this run",
        "The same data, versions and seed give the same model.",
        [ReportTable("Command", ["Command"], [[given.repeat]])],
    )


def _taken(X: Any, rows: Array) -> Any:
    from manynets.tables import Table

    return X.take(rows) if isinstance(X, Table) else X[rows]


def _metrics(given: ReportInput) -> Section:
    parts = {**given.baselines, **given.metrics}
    names = [name for name in next(iter(given.metrics.values()), {}) if _is_number(next(iter(given.metrics.values())).get(name))]
    rows = [
        [part, *(_cell(values[name]) if _is_number(values.get(name)) else "" for name in names)] for part, values in parts.items()
    ]
    words = "How good the model is, compared with a trivial prediction and a linear model."
    held_out = given.metrics.get(given.part, {})
    if "accuracy" in held_out and "rows" in held_out:
        low, high = (float(limit) for limit in wilson_interval(held_out["accuracy"] * held_out["rows"], held_out["rows"]))
        words += f" Accuracy on {held_out['rows']:,} {given.part} rows: {held_out['accuracy']:.4f} (95 % interval {low:.4f} to {high:.4f})."
    return Section("Metrics", words, [ReportTable("Metrics by part of the data", ["Part", *names], rows)])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _data(given: ReportInput) -> Section:
    encoder = given.model.encoder
    parts: list[ReportTable | ReportFigure] = [ReportTable("The data", ["", ""], list(given.facts.items()))]
    if encoder is not None:
        rows = [[column.name, column.kind, _understood(column)] for column in encoder.columns]
        parts.append(ReportTable("Columns as understood", ["Column", "Kind", "Values in training"], rows))
        if encoder.dropped:
            parts.append(ReportTable("Columns left out", ["Column", "Why"], [list(pair) for pair in encoder.dropped]))
    return Section("Data", f"The target is {given.target}.", parts)


def _understood(column: Any) -> str:
    gaps = "; some missing" if column.gaps else ""
    if isinstance(column, NumericColumn):
        unit = f" {column.reading.unit}" if column.reading.unit else ""
        if column.fill is None:
            return "all missing"
        return f"median {number_text(column.fill)}{unit}{gaps}"
    if isinstance(column, CategoricalColumn):
        shown = ", ".join(column.levels[:8]) + (", ..." if len(column.levels) > 8 else "")
        return f"{len(column.levels) + len(column.rare)} levels: {shown}{gaps}"
    if isinstance(column, DateColumn):
        return f"dates; {', '.join(part for part, _, _ in column.parts)}{gaps}"
    return f"words{gaps}"


def _model(given: ReportInput) -> Section:
    model = given.model
    best, epochs = model.info.get("best", []), model.history.get("epoch", [])
    at = [epochs[one] for one in (best if isinstance(best, list) else [best]) if 0 <= one < len(epochs)]
    parts: list[ReportTable | ReportFigure] = [ReportTable("Network and training", ["", ""], model.summary_rows())]
    curve = charts.history_chart(model.history, at)
    if curve is not None:
        parts.append(ReportFigure("Loss over the epochs; a dashed line is the best epoch, whose weights the model has", curve))
    return Section("Model", "What was trained, and how the training went.", parts)


def _importance(given: ReportInput, X: Any, y: Array) -> Iterator[Section]:
    found = permutation_importance(given.model, X, y, n_repeats=5)
    rows = [[name, number_text(mean), number_text(std)] for name, mean, std in found.ranked()]
    table = ReportTable("Importance", ["Column", f"{found.metric} lost", "± standard deviation"], rows)
    words = f"How much {found.metric} loses when a column is shuffled among {len(y):,} {given.part} rows. Columns that say the same are shuffled together."
    yield Section(
        "What the model relies on", words, [ReportFigure("Importance of the columns", charts.importance_chart(found)), table]
    )
    names = [column for group in (found.groups[name] for name, _, _ in found.ranked()) for column in group]
    columns = () if given.model.encoder is None else given.model.encoder.columns
    no_order = {column.name for column in columns if column.kind == "text" or (column.kind == "categorical" and column.part)}
    followed = [name for name in names if name not in no_order][:FOLLOWED]
    figures = [
        ReportFigure(
            f"Mean prediction over {name}", charts.dependence_chart(partial_dependence(given.model, X, name, n_grid=20, n_rows=0))
        )
        for name in followed
    ]
    yield Section(
        "How the prediction follows a column", "The mean prediction when all rows have the same value of a column.", figures
    )


def _classes(given: ReportInput, logits: Array, y: Array) -> Section:
    task: Any = given.model.task
    held_out = given.metrics.get(given.part, {})
    parts: list[ReportTable | ReportFigure] = []
    words = "Which classes are taken for which."
    if task.name != "multilabel":
        found = calibration(given.model.probabilities(logits), task.encode(y).astype(np.int64).reshape(-1))
        words = f"Whether probabilities mean what they say: expected calibration error {found.error:.4f} in 15 bins."
        parts.append(
            ReportFigure(
                "Share of right predictions over their probability; on the dashed line both agree", charts.reliability_chart(found)
            )
        )
        if "confusion" in held_out and len(task.classes) <= MOST_CLASSES:
            parts.append(
                ReportFigure("True against predicted classes", charts.confusion_chart(held_out["confusion"], task.classes))
            )
    if held_out.get("per_class"):
        rows = []
        for one in held_out["per_class"][:MOST_CLASSES]:
            low, high = (float(limit) for limit in wilson_interval(one["correct"], one["count"]))
            rows.append([one["class"], one["count"], one["correct"], f"{low:.3f} to {high:.3f}" if one["count"] else ""])
        parts.append(ReportTable("Recall by class", ["Class", "Rows", "Right", "95 % interval of the recall"], rows))
    return Section("Classes", words, parts)


def _numbers(given: ReportInput, logits: Array, y: Array) -> Section:
    task = given.model.task
    assert isinstance(task, Regression)
    truth = task.own_unit(task.encode(y)).reshape(len(y), -1)[:, 0][:MOST_POINTS]
    predicted = np.asarray(given.model.predicted(logits)).reshape(len(y), -1)[:, 0][:MOST_POINTS]
    away = np.abs(predicted - truth)
    shares = [50, 80, 90, 95, 99]
    rows = [[f"{share} %", number_text(float(value))] for share, value in zip(shares, np.percentile(away, shares), strict=True)]
    table = ReportTable("Absolute errors", ["So many rows", "have an error of at most"], rows)
    figure = ReportFigure(
        "Predicted over true values; on the dashed line both agree", charts.predicted_chart(truth, predicted, given.target)
    )
    return Section("Errors", "How far the predictions are from the truth.", [figure, table])


def _slices(given: ReportInput, X: Any, y: Array) -> Section:
    found = worst_slices(given.model, X, y)
    what = "absolute error" if isinstance(given.model.task, Regression) else "share wrong"
    if not found:
        return Section("Groups with larger errors", "No group of rows has a larger error than the others by more than chance.", [])
    rows = [
        [
            one.column,
            one.group,
            one.rows,
            number_text(one.loss),
            f"{number_text(one.low)} to {number_text(one.high)}",
            number_text(one.other_loss),
            f"{one.p:.2g}",
        ]
        for one in found
    ]
    names = ["Column", "Group", "Rows", f"Mean {what}", "95 % interval", "Of the others", "p, corrected"]
    words = "Groups of rows whose error is larger than that of the others by more than chance, corrected for all groups that were looked at."
    return Section("Groups with larger errors", words, [ReportTable("Groups", names, rows)])


def _worst(given: ReportInput, logits: Array, y: Array) -> Section:
    """Return the rows with the largest errors; of classes those that were most confidently wrong."""
    model = given.model
    losses, predicted = row_losses(model, logits, y), model.predicted(logits)
    if isinstance(model.task, Regression) or model.task.name == "multilabel":
        rank, how = losses, ["" for _ in y]
    else:
        sure = model.probabilities(logits).max(axis=1)
        rank, how = losses * sure, [f"{share:.4f}" for share in sure]
    order = [row for row in np.argsort(-rank, kind="stable")[:WORST].tolist() if losses[row] > 0]
    rows = [[row, _cell(y[row]), _cell(predicted[row]), how[row]] for row in order]
    names = [f"Row of the {len(y):,}", "True", "Predicted", "Probability"]
    if isinstance(model.task, Regression):
        names, rows = names[:3], [line[:3] for line in rows]
    return Section(
        "Rows with the largest errors",
        "Worth a look: a wrong label, a special case, or something that the columns do not say.",
        [ReportTable("Rows", names, rows)],
    )


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return number_text(float(value))
    return f"{value:,}" if isinstance(value, int) else str(value)
