"""The sections on metrics: of each part of the data, with intervals, beside baselines."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manynets.display import COUNTS, HEADINGS, cell_text, is_finite, repeats_loss
from manynets.metrics import wilson_interval
from manynets.report.parts import LabelledRows, ReportInput, ReportTable, Section, between

RESAMPLES = 200
MOST_RESAMPLED = 10_000
"""Rows of a resample. Of more rows, the interval of so many is narrowed by the root of the ratio."""
MOST_OUTPUTS = 200
"""With more outputs, such as classes, resampling would take minutes."""


def metrics_section(given: ReportInput, rows: LabelledRows | None) -> Section:
    """Return the section on metrics."""
    held_out = given.metrics.get(given.part, {})
    names = _names(held_out or next(iter(given.metrics.values()), {}))
    if all(map(repeats_loss, filter(None, given.metrics.values()))):
        names = [name for name in names if name != "loss"]
    parts = []
    before = f"{given.part}: "
    baselines = {name.removeprefix(before): values for name, values in given.baselines.items() if name.startswith(before)}
    if held_out:
        columns = {"Metric": [HEADINGS.get(name, name) for name in names], "Model": [cell_text(held_out[name]) for name in names]}
        if rows is not None:
            limits = metric_intervals(rows, names)
            columns["95% interval"] = [limits.get(name, "") for name in names]
        columns |= {key.capitalize(): [cell_text(one.get(name)) for name in names] for key, one in baselines.items()}
        caption = f"Metrics on the {given.part} rows ({cell_text(held_out.get('rows'))})"
        parts.append(ReportTable(caption, list(columns), list(zip(*columns.values(), strict=True))))
    lines = [
        [part, cell_text(values.get("rows")), *(cell_text(values.get(name)) for name in names)]
        for part, values in given.metrics.items()
    ]
    parts.append(ReportTable("Metrics by part of the data", ["Part", "Rows", *(HEADINGS.get(name, name) for name in names)], lines))
    words = f"How good the model is on the {given.part} rows" if given.part_words else "How good the model is"
    words += ", compared with a trivial prediction and a linear model." if held_out and baselines else "."
    if given.part_words:
        words += f" These are {given.part_words}."
    if rows is not None:
        words += " Intervals say how far chance in the choice of these rows may have moved a metric: they are from resampled rows (bootstrap)"
        words += ", those of shares of rows are Wilson's." if "accuracy" in names and rows.weight is None else "."
        if rows.weight is not None:
            words += " Rows count by their weights in the metrics, the calibration, ROC and precision-recall curves, other thresholds, the"
            words += " AUC and accuracy of each label, the importance of columns and their partial dependence; all else counts each row once."
    else:
        words += f" There are no rows to look at more closely: {given.without_rows}."
    return Section("Metrics", words, parts)


def _names(values: Mapping[str, Any]) -> list[str]:
    """Return the metrics that are single numbers."""
    return [name for name, value in values.items() if name not in ("rows", *COUNTS) and is_finite(value)]


def _of_shares(found: Mapping[str, Any], rows: int) -> dict[str, Sequence[float]]:
    """Return Wilson's intervals of the accuracy, and of two classes of precision, recall and F1, as the table of the classes has them."""
    if "accuracy" not in found:
        return {}
    classes = found.get("per_class", ())
    own = dict(classes[1]["intervals"]) if len(classes) == 2 and classes[1]["count"] else {}
    if own and not classes[1]["predicted"]:
        del own["precision"]
    return {"accuracy": wilson_interval(found["accuracy"] * rows, rows), **own}


def metric_intervals(rows: LabelledRows, names: Sequence[str]) -> dict[str, str]:
    """Return 95% intervals in words: of shares of rows by Wilson's formula, of other metrics from resampled rows, unless there are many classes.

    Where all resamples agree, as on a recall of 0, they say nothing about chance: there is no interval.
    """
    model, out = rows.model, {}
    logits = model.mean_logits(rows.logits)
    found = model.task.evaluate(logits, rows.target, loss=model.recipe.loss, weight=rows.weight)
    if rows.weight is None:
        out = {name: between(*limits) for name, limits in _of_shares(found, len(rows)).items() if name in names}
    rng, size = np.random.default_rng(0), min(len(rows), MOST_RESAMPLED)
    wanted = (
        [name for name in names if name not in out and name in found] if logits.shape[1] <= MOST_OUTPUTS and len(rows) > 1 else []
    )
    values: dict[str, list[float]] = {name: [] for name in wanted}
    with warnings.catch_warnings(action="ignore"):  # of a resample in which a class is missing
        for _ in range(RESAMPLES if wanted else 0):
            some = rng.integers(len(rows), size=size)
            weight = None if rows.weight is None else rows.weight[some]
            again = model.task.scores(logits[some], rows.target[some], loss=model.recipe.loss, weight=weight)
            for name in wanted:
                if again.get(name) is not None and math.isfinite(again[name]):
                    values[name].append(again[name])
    for name in wanted:
        if len(values[name]) >= RESAMPLES // 2:
            low, high = (
                found[name] + (limit - found[name]) * math.sqrt(size / len(rows))
                for limit in np.quantile(values[name], [0.025, 0.975])
            )
            if low < high:
                out[name] = between(float(low), float(high))
    return out
