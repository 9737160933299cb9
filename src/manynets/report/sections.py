"""The sections of a report, in their order; those on the data, the model and how to repeat it are here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from manynets.display import cell_text
from manynets.model_tools import best_epochs
from manynets.report import charts
from manynets.report.classes import class_tables, classes_section, label_tables
from manynets.report.failures import slices_section, worst_section
from manynets.report.numbers import intervals_section, numbers_section, target_tables
from manynets.report.parts import LabelledRows, Part, ReportFigure, ReportInput, ReportTable, Section
from manynets.report.quality import metrics_section
from manynets.report.reliance import reliance_sections
from manynets.spec.flat import described_settings
from manynets.tables.encoder import UNDERSTOOD_NAMES, understood_columns
from manynets.tasks import Regression
from manynets.training.events import squared_share

MOST_ROWS, FEWEST_ROWS = 2000, 200
"""Rows that importance and dependence are computed on."""
MOST_PREDICTED = 200_000
"""Columns x rows of these: so many predictions are made for each shuffle."""
MANY = 40
"""Columns, above which their table is folded."""


def sections(given: ReportInput) -> Iterator[Section]:
    """Yield the sections in order."""
    rows = None if given.X is None else LabelledRows.of(given)
    yield metrics_section(given, rows)
    yield _data(given)
    if given.split:
        yield Section("Split", "Which rows the model was trained, validated and tested on.", [_facts("The split", given.split)])
    yield _model(given)
    if rows is not None:
        count = min(MOST_ROWS, max(FEWEST_ROWS, MOST_PREDICTED // given.model.n_features_in_))
        yield from reliance_sections(given, rows.some(count))
        if isinstance(given.model.task, Regression):
            yield numbers_section(given, rows)
            yield intervals_section(given, rows)
        else:
            yield classes_section(given, rows)
        yield slices_section(given, rows)
        yield worst_section(given, rows)
    else:
        yield from _without_rows(given)
    yield _repeat(given)


def _without_rows(given: ReportInput) -> Iterator[Section]:
    """Yield a section with what the metrics of the part say of each class, label or target, if they do."""
    task = given.model.task
    if isinstance(task, Regression):
        title, parts = "Errors", target_tables(given)
    elif task.name == "multilabel":
        title, parts = "Labels", label_tables(given)
    else:
        title, parts = "Classes", class_tables(given)
    if parts:
        words = f"On the {given.part} rows." + (f" These are {given.part_words}." if given.part_words else "")
        yield Section(title, words, parts)


def _facts(caption: str, facts: Any) -> ReportTable:
    return ReportTable(caption, ["", ""], list(facts.items()))


def _data(given: ReportInput) -> Section:
    encoder = given.model.encoder
    parts: list[Part] = [_facts("The data", given.data)] if given.data else []
    if encoder is not None:
        rows = understood_columns(encoder)
        parts.append(ReportTable("Columns as understood", UNDERSTOOD_NAMES, rows, folded=len(rows) > MANY))
        if encoder.dropped:
            parts.append(ReportTable("Columns left out", ["Column", "Why"], [list(pair) for pair in encoder.dropped]))
    several = len(given.model.target_names) > 1
    words = f"The targets are {given.target}." if several else f"The target is {given.target}."
    if getattr(given.model.task, "transform", None) == "log":
        words += " The networks were trained on its logarithm, to which losses refer."
    return Section("Data", words, parts)


def _model(given: ReportInput) -> Section:
    model = given.model
    at = best_epochs(model.history, model.info)
    parts: list[Part] = [_facts("Network and training", dict(model.summary_rows()))]
    lines = [[cell_text(value) for value in line] for line in model.layer_rows()]
    parts.append(ReportTable("Layers", list(map(str.capitalize, model.layer_names)), lines))
    squared = squared_share(model.task, model.recipe)
    curve = charts.history_chart(model.history, at, squared=squared)
    if curve is not None:
        words = f"{'RMSE' if squared else 'Loss'} over the epochs"
        words += "; dashed lines are the best epochs, whose weights the networks have" if at else ""
        parts.append(ReportFigure(words, curve))
    settings = [
        [name, "none" if value is None else str(value), words]
        for name, value, words in described_settings(model.spec, model.recipe)
    ]
    parts.append(
        ReportTable("All settings of the network and the recipe", ["Option", "Value", "What it is"], settings, folded=True)
    )
    return Section("Model", "What was trained, and how the training went.", parts)


def _repeat(given: ReportInput) -> Section:
    parts = [_facts("Command", {"Command": given.repeat})]
    if given.versions:
        parts.append(_facts("Versions", given.versions))
    return Section("Repeat this run", "The same data, versions and seed give the same model.", parts)
