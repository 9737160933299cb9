"""The section on classes: calibration, ROC and precision-recall curves, precision, recall and F1 of each class, confusions."""

from __future__ import annotations

from typing import Any

import numpy as np

from manynets.display import cell_text, number_text
from manynets.explain import calibration
from manynets.metrics import accuracy, precision_recall_f1, roc_auc, wilson_interval
from manynets.report import charts
from manynets.report.curves import average_precision, curves_of, roc_area, shares_claimed
from manynets.report.parts import LabelledRows, Part, ReportFigure, ReportInput, ReportTable, Section, between

MOST_CLASSES = 50
MOST_CURVES, MOST_COMPUTED = 10, 100
BINS_OF_ONE = 10
"""Bins of the calibration of the second of two classes."""
CLAIMED = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the rows that are taken for the second of two classes in the table of other thresholds."""


def classes_section(given: ReportInput, rows: LabelledRows) -> Section:
    """Return the section on classes, or on several labels a row."""
    held_out = given.metrics.get(given.part, {})
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
    parts += _curves(given, rows, held_out)
    if two and parts[1:]:
        parts.append(_thresholds(given, rows))
    if held_out.get("per_class"):
        names = ["Class", "Rows", "Precision", "Interval of precision", "Recall", "Interval of recall", "F1"]
        parts.append(
            ReportTable("Precision, recall and F1 of each class, with 95% intervals", names, per_class_rows(given, held_out))
        )
    if costs is not None and len(costs) <= MOST_CLASSES:
        shown = [given.class_name(code) for code in range(len(costs))]
        lines = [[name, *(f"{cost:g}" for cost in row)] for name, row in zip(shown, costs, strict=True)]
        parts.append(
            ReportTable("What predictions cost: true classes (rows) and predicted ones (columns)", ["True", *shown], lines)
        )
    if "confusion" in held_out and len(task.classes) <= MOST_CLASSES:
        shown = [given.class_name(code) for code in range(len(task.classes))]
        parts.append(ReportFigure("True against predicted classes, in rows", charts.confusion_chart(held_out["confusion"], shown)))
    return Section("Classes", words, parts)


def _curves(given: ReportInput, rows: LabelledRows, held_out: Any) -> list[ReportFigure]:
    """Return the ROC and the precision-recall curve: of two classes for the second, of more for each against the others."""
    task: Any = given.model.task
    codes = [1] if len(task.classes) == 2 else list(range(len(task.classes)))
    found = {}
    for code in codes[:MOST_COMPUTED]:
        positive = rows.codes == code
        if positive.any() and not positive.all():
            found[given.class_name(code)] = curves_of(positive, rows.probabilities[:, code], weight=rows.weight)
    if not found:
        return []
    if len(codes) == 1:
        name, curves = next(iter(found.items()))
        area = held_out.get("auc", roc_area(curves))
        first = f"ROC curve of {name}; the area under it is {number_text(area)}"
        second = f"Precision over recall of {name}; the average precision is {number_text(average_precision(curves))}"
    else:
        few = "" if len(found) <= MOST_CURVES else f"; drawn are those {MOST_CURVES} of {len(found)} with the smallest area"
        areas = np.mean([roc_area(curves) for curves in found.values()])
        first = f"ROC curves, each class against the others; the mean area under them is {number_text(float(areas))}{few}"
        precision = np.mean([average_precision(curves) for curves in found.values()])
        second = f"Precision over recall, each class against the others; the mean average precision is {number_text(float(precision))}{few}"
    drawn = sorted(found, key=lambda name: roc_area(found[name]))[:MOST_CURVES]
    found = {name: found[name] for name in found if name in drawn}
    return [
        ReportFigure(first, charts.roc_chart(found), small=True),
        ReportFigure(second, charts.precision_chart(found), small=True),
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


def per_class_rows(given: ReportInput, held_out: Any) -> list[list[str]]:
    """Return the lines of the table of classes."""
    matrix = None if "confusion" not in held_out else np.asarray(held_out["confusion"])
    lines = []
    for number, one in enumerate(held_out["per_class"][:MOST_CLASSES]):
        named = given.class_name(number) if "classes" not in held_out else str(one["class"])
        line = [named, cell_text(one["count"])]
        right, count = one["correct"], one["count"]
        predicted = None if matrix is None else int(matrix[:, number].sum())
        line += ["", ""] if predicted is None else _share(right, predicted)
        line += _share(right, count)
        line.append("" if predicted is None or not predicted + count else number_text(2 * right / (predicted + count)))
        lines.append(line)
    return lines


def _share(right: int, count: int) -> list[str]:
    """Return a share and its interval in words."""
    if not count:
        return ["", ""]
    return [number_text(right / count), between(*wilson_interval(right, count))]


def _labels(given: ReportInput, rows: LabelledRows) -> Section:
    """Return the section on several labels a row, each of which is judged by itself."""
    lines = []
    for label, (truth, shares) in enumerate(zip(rows.target.T, rows.probabilities.T, strict=True)):
        if label == MOST_CLASSES:
            break
        positive, predicted = truth > 0.5, shares > 0.5
        found: dict[str, Any] = {"accuracy": accuracy(positive, predicted, weight=rows.weight)}
        found |= precision_recall_f1(positive, predicted, weight=rows.weight)
        found["auc"] = roc_auc(positive, shares, weight=rows.weight)
        name = given.model.target_names[label] if given.model.target_names else str(label)
        lines.append(
            [name, cell_text(int(positive.sum())), *("" if value is None else number_text(value) for value in found.values())]
        )
    words = "How well each label is predicted. A label that few rows have is predicted right in most rows by never predicting it: look at its AUC."
    if rows.target.shape[1] > MOST_CLASSES:
        words += f" The first {MOST_CLASSES} of {rows.target.shape[1]} labels are shown."
    names = ["Label", "Rows with it", "Accuracy", "Precision", "Recall", "F1", "AUC"]
    return Section("Labels", words, [ReportTable("Metrics of each label", names, lines)])
