"""Metrics of a model, cut to what can be read, and what metrics.json can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manynets.cli.data import Part

MOST = 100
"""With more classes, labels or targets than this, only the worst are listed."""
LISTED = 50


def bounded(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics whose size does not grow with classes x classes.

    With more than `MOST` classes, `per_class` has the 50 of the lowest recall (of equal ones, those with the most rows), `classes` is
    their number, and there is no confusion matrix. With more labels, `per_label` is {label: accuracy} of the 50 lowest, and
    `label_metrics` has the 50 of the lowest F1 (of equal ones, those with the most rows). With more targets, `per_target` has the 50 of
    the lowest R2.

    >>> few = bounded({"per_class": [{"class": i, "count": 1, "correct": 1, "accuracy": 1.0} for i in range(5000)], "confusion": []})
    >>> few["classes"], len(few["per_class"]), "confusion" in few
    (5000, 50, False)
    """
    out = dict(metrics)
    if len(out.get("per_class", ())) > MOST:
        found = [entry for entry in out["per_class"] if entry["count"]]
        out["classes"] = len(out["per_class"])
        out["per_class"] = sorted(found, key=lambda entry: (entry["accuracy"], -entry["count"]))[:LISTED]
        out.pop("confusion", None)
    if len(out.get("per_label", ())) > MOST:
        shares = sorted(enumerate(out["per_label"]), key=lambda item: item[1])
        out["labels"] = len(shares)
        out["per_label"] = {str(label): share for label, share in shares[:LISTED]}
        judged = [entry for entry in out["label_metrics"] if entry["f1"] is not None]  # it is None for a label of no row
        out["label_metrics"] = sorted(judged, key=lambda entry: (entry["f1"], -entry["count"]))[:LISTED]
    if len(out.get("per_target", ())) > MOST:
        out["targets"] = len(out["per_target"])
        out["per_target"] = sorted(out["per_target"], key=lambda entry: entry["r2"])[:LISTED]
    return out


def metrics_of(model: Any, part: Part) -> dict[str, Any]:
    """Return the number of rows, loss and metrics of a model on some rows."""
    return metrics_of_scores(model, model.mean_logits(model.logits(part.X)), part)


def metrics_of_scores(model: Any, scores: Any, part: Part) -> dict[str, Any]:
    """Return the number of rows, loss and metrics of a model whose scores (N, O) of some rows are there already."""
    return bounded({"rows": part.rows, **model.figures(scores, part.y, sample_weight=part.weight)})


def scalars(metrics: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the metrics that are single numbers; None for None."""
    return None if metrics is None else {name: value for name, value in metrics.items() if not isinstance(value, list | dict)}
