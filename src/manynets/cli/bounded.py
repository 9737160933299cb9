"""Metrics, cut to what can be read, and what metrics.json can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 100
"""With more classes or labels than this, only the worst are listed."""
LISTED = 50


def bounded(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics whose size does not grow with classes x classes.

    With more than `MOST` classes, `per_class` has the 50 of the lowest recall (of equal ones, those with the most rows), `classes` is
    their number, and there is no confusion matrix. With more labels, `per_label` is {label: accuracy} of the 50 lowest.

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
    return out


def scalars(metrics: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the metrics that are single numbers; None for None."""
    return None if metrics is None else {name: value for name, value in metrics.items() if not isinstance(value, list | dict)}


def epochs_of(model: Any) -> float:
    """Return the number of epochs that were trained, as an int where it is whole."""
    epochs = model.history["epoch"][-1] if model.history.get("epoch") else 0.0
    return int(epochs) if epochs == int(epochs) else float(epochs)


def described(model: Any) -> dict[str, Any]:
    """Return what the JSON line says of a model besides its metrics."""
    return {
        "task": model.task.name,
        "epochs": epochs_of(model),
        "diverged": model.info["stopped"].count("diverged"),
        "seconds": model.info["seconds"],
        "networks": model.size,
        "parameters": model.parameters,
    }
