"""The section on classes or labels: calibration, ROC and precision-recall curves, precision, recall and F1 of each, confusions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from manynets.display import cell_text, number_text
from manynets.explain import calibration
from manynets.metrics import wilson_interval
from manynets.report import charts
from manynets.report.curves import average_precision, curves_of, roc_area, shares_claimed
from manynets.report.parts import Array, LabelledRows, Part, ReportFigure, ReportInput, ReportTable, Section, between

MOST_CLASSES = 50
MOST_CURVES, MOST_COMPUTED = 10, 100
SHARES = ("Rows", "Precision", "Interval of precision", "Recall", "Interval of recall", "F1")
BINS_OF_ONE = 10
"""Bins of the calibration of the second of two classes."""
CLAIMED = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the rows that are taken for the second of two classes in the table of other thresholds."""


def classes_section(given: ReportInput, rows: LabelledRows) -> Section:
    """Return the section on classes, or on several labels a row."""
    if given.model.task.name == "multilabel":
        return _labels(given, rows)
    task: Any = given.model.task
    two = len(task.classes) == 2
    how: dict[str, Any] = {"positive": 1, "bins": BINS_OF_ONE} if two else {}
    found = calibration(rows.probabilities, rows.codes, sample_weight=rows.weight, **how)
    words = "Whether probabilities mean what they say, and which classes are taken for which. Expected calibration error: "
    words += f"{found.error:.4f}, in {BINS_OF_ONE} bins of equally many rows." if two else f"{found.error:.4f}, in 15 bins."
    if given.model.info.get("calibration"):
        words += f" The probabilities were calibrated with the temperature {given.model.info['calibration']:.4g}."
    if getattr(task, "threshold", 0.5) != 0.5:
        words += f" {given.class_name(1)} is predicted above the probability {task.threshold:.4g}."
    costs = getattr(task, "costs", None)
    if costs is not None and len(costs) > 2:
        words += " The class is predicted that is expected to cost least."
    chart = charts.class_reliability_chart(found, given.class_name(1)) if two else charts.reliability_chart(found)
    of_what = f"Share of {given.class_name(1)} over its" if two else "Share of right predictions over their"
    parts: list[Part] = [ReportFigure(f"{of_what} probability; on the dashed line both agree", chart, small=True)]
    parts += _class_curves(given, rows)
    if two and parts[1:]:
        parts.append(_thresholds(given, rows))
    return Section("Classes", words, [*parts, *class_tables(given)])


def class_tables(given: ReportInput) -> list[Part]:
    """Return the metrics of each class, what predictions cost, and the confusion matrix: what the metrics of the part have."""
    task: Any = given.model.task
    held_out, costs = given.metrics.get(given.part, {}), getattr(task, "costs", None)
    parts: list[Part] = []
    if entries := _entries(held_out)[:MOST_CLASSES]:
        names = [str(one["class"]) if "classes" in held_out else given.class_name(code) for code, one in enumerate(entries)]
        lines = [[name, *shares_of(one)] for name, one in zip(names, entries, strict=True)]
        parts.append(ReportTable("Precision, recall and F1 of each class, with 95% intervals", ["Class", *SHARES], lines))
    if costs is not None and len(costs) <= MOST_CLASSES:
        shown = [given.class_name(code) for code in range(len(costs))]
        lines = [[name, *(f"{cost:g}" for cost in row)] for name, row in zip(shown, costs, strict=True)]
        parts.append(
            ReportTable("What predictions cost: true classes (rows) and predicted ones (columns)", ["True", *shown], lines)
        )
    if "confusion" in held_out and len(task.classes) <= MOST_CLASSES:
        shown = [given.class_name(code) for code in range(len(task.classes))]
        parts.append(ReportFigure("True against predicted classes, in rows", charts.confusion_chart(held_out["confusion"], shown)))
    return parts


def _entries(held_out: Any) -> list[Any]:
    """Return the metrics of each class. For runs of version 0.1, the predictions of each class are counted in the confusion matrix."""
    entries = list(held_out.get("per_class", ()))
    if "confusion" not in held_out:
        return entries
    totals = np.sum(held_out["confusion"], axis=0).tolist()
    return [{"predicted": count, **one} for count, one in zip(totals, entries, strict=True)]


def _class_curves(given: ReportInput, rows: LabelledRows) -> list[ReportFigure]:
    """Return the curves of two classes for the second, of more for each against the others."""
    task: Any = given.model.task
    codes = [1] if len(task.classes) == 2 else list(range(len(task.classes)))
    ranked = {given.class_name(code): (rows.codes == code, rows.probabilities[:, code]) for code in codes[:MOST_COMPUTED]}
    return _curves(ranked, rows.weight, what="Class", each=", each class against the others")


def _curves(ranked: Mapping[str, tuple[Array, Array]], weight: Array | None, *, what: str, each: str) -> list[ReportFigure]:
    """Return the ROC and the precision-recall curves of some names.

    ranked: which rows are of each, and how probable that is, both (N,). what: of what each curve is. each: the same in words.
    """
    found = {
        name: curves_of(positive, shares, weight=weight)
        for name, (positive, shares) in ranked.items()
        if positive.any() and not positive.all()
    }
    if not found:
        return []
    areas = {name: roc_area(curves) for name, curves in found.items()}
    area, precision = float(np.mean([*areas.values()])), float(np.mean([average_precision(curves) for curves in found.values()]))
    if len(ranked) == 1:
        name = next(iter(found))
        first = f"ROC curve of {name}; the area under it is {number_text(area)}"
        second = f"Precision over recall of {name}; the average precision is {number_text(precision)}"
    else:
        few = "" if len(found) <= MOST_CURVES else f"; drawn are those {MOST_CURVES} of {len(found)} with the smallest area"
        first = f"ROC curves{each}; the mean area under them is {number_text(area)}{few}"
        second = f"Precision over recall{each}; the mean average precision is {number_text(precision)}{few}"
    drawn = sorted(found, key=lambda name: areas[name])[:MOST_CURVES]
    found = {name: found[name] for name in found if name in drawn}
    return [
        ReportFigure(first, charts.roc_chart(found, what=what), small=True),
        ReportFigure(second, charts.precision_chart(found, what=what), small=True),
    ]


def _thresholds(given: ReportInput, rows: LabelledRows) -> ReportTable:
    """Return the table of what other thresholds would give."""
    lines = shares_claimed(rows.codes == 1, rows.probabilities[:, 1], CLAIMED, weight=rows.weight)
    name = given.class_name(1)
    names = [f"Predicted {name}", "Probability of at least", "Precision", "Recall", "F1"]
    texts = [[f"{100 * share:.1f}%", *map(number_text, others)] for share, *others in lines]
    costs = getattr(given.model.task, "costs", None)
    if costs is not None:
        names.append("Cost of a row")
        share = float(np.average(rows.codes == 1, weights=rows.weight))
        for text, (claimed, _, _, recall, _) in zip(texts, lines, strict=True):
            found = recall * share
            alarms, missed = claimed - found, share - found
            counts = np.array([[1 - share - alarms, alarms], [missed, found]])  # shares of the rows: true and predicted class
            text.append(number_text(float((counts * np.array(costs)).sum())))
    return ReportTable(f"If the rows with the highest probability of {name} were predicted {name}", names, texts)


def _labels(given: ReportInput, rows: LabelledRows) -> Section:
    """Return the section on several labels a row."""
    count, names = given.model.task.outputs, _label_names(given)
    ranked = {names[i]: (rows.target[:, i] == 1, rows.probabilities[:, i]) for i in range(min(count, MOST_COMPUTED))}
    curves = _curves(ranked, rows.weight, what="Label", each=" of each label")
    return Section("Labels", "How well the rows with each label are found.", [*curves, *label_tables(given)])


def label_tables(given: ReportInput) -> list[Part]:
    """Return the table of the metrics of each label, if the metrics of the part have them."""
    names, entries = _label_names(given), given.metrics.get(given.part, {}).get("label_metrics", ())[:MOST_CLASSES]
    lines = [[names[one["label"]], *shares_of(one), cell_text(one["auc"]), cell_text(one["accuracy"])] for one in entries]
    title = "Precision, recall and F1 of each label, with 95% intervals"
    return [ReportTable(title, ["Label", *SHARES, "AUC", "Accuracy"], lines)] if lines else []


def _label_names(given: ReportInput) -> tuple[str, ...]:
    return given.model.target_names or tuple(map(str, range(given.model.task.outputs)))


def shares_of(entry: Any) -> list[str]:
    """Return the cells of the columns SHARES, of a class or a label."""
    right, count, predicted = entry["correct"], entry["count"], entry.get("predicted")
    line = [cell_text(count), *(["", ""] if predicted is None else _share(right, predicted)), *_share(right, count)]
    return [*line, "" if predicted is None or not predicted + count else number_text(2 * right / (predicted + count))]


def _share(right: int, count: int) -> list[str]:
    """Return a share and its interval in words."""
    if not count:
        return ["", ""]
    return [number_text(right / count), between(*wilson_interval(right, count))]
