"""The pictures of a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from manynets import plots
from manynets.cli.data import Part
from manynets.model import Model
from manynets.plots.models import history_panels

MOST_IMAGES = 48
MOST_CLASSES = 40
MOST_POINTS = 5000
MOST_ROC = 10_000_000  # classes x rows: some seconds


def name_of_target(columns: Sequence[str], unit: str | None) -> str:
    """Return what an axis of the target is called.

    >>> name_of_target(["price"], "CHF")
    'price (CHF)'
    """
    name = ", ".join(columns) or "y"
    return f"{name} ({unit})" if unit else name


def pictures_of(
    model: Model,
    part: Part | None,
    metrics: dict[str, Any] | None,
    *,
    title: str,
    class_names: Sequence[str] | None = None,
    image_shape: Sequence[int] | None = None,
    target: str = "y",
    unit: str | None = None,
) -> dict[str, Any]:
    """Return the axes of the pictures that fit the task by file name: the history, and for the test rows confusion matrix, ROC curve,
    predictions, images and regions.

    part: test rows, X encoded; metrics: those of the model on them. title: a description of the model. target: the name
    of what is predicted, with its unit. unit: the unit alone.
    """
    out: dict[str, Any] = {}
    if model.history.get("epoch"):
        out["history.png"] = history_panels(model, subtitle=title, unit=unit)
    if part is None or metrics is None:
        return out
    names = [str(name) for name in class_names or getattr(model.task, "classes", None) or ()]
    if "confusion" in metrics and len(names) <= MOST_CLASSES:
        out["confusion.png"] = plots.confusion(
            metrics["confusion"], classes=names, title=f"Confusion matrix of the test rows\n{title}"
        )
    if model.task.name in ("binary", "multiclass"):
        codes = model.task.strata(model.task.encode(part.y))
        assert codes is not None
        if len(np.unique(codes)) > 1 and len(names) * len(codes) <= MOST_ROC:
            head = f"ROC curve of the test rows\n{title}"
            out["roc.png"] = plots.roc(np.array(names)[codes], model.probabilities(model.logits(part.X)), classes=names, title=head)
        if image_shape is not None:
            out |= _images(model, part, codes, names, image_shape, title)
        if model.in_features == 2 and model.encoder is None:
            shown = slice(None, MOST_POINTS)
            labels, head = np.array(names)[codes[shown]], f"Predicted class, and the test rows\n{title}"
            out["regions.png"] = plots.regions(part.X[shown], labels, predict=model.predict_proba, classes=names, title=head)
    elif model.task.name == "regression" and model.task.targets == 1:
        predicted = model.predicted(model.logits(part.X))
        head = f"Predicted and true values of the test rows\n{title}"
        out["predicted.png"] = plots.predicted_against_true(part.y, predicted, name=target, title=head)
        if model.in_features == 2 and model.encoder is None:
            X, y, head = part.X[:MOST_POINTS], np.asarray(part.y)[:MOST_POINTS], f"Predicted {target}, and the test rows\n{title}"
            out["surface.png"] = plots.surface(model.predict, X=X, y=y, label=target, title=head)
    return out


def _images(model: Model, part: Part, codes: Any, names: Sequence[str], image_shape: Sequence[int], title: str) -> dict[str, Any]:
    codes_of = {label: i for i, label in enumerate(model.task.classes)}  # type: ignore[attr-defined]
    predicted = np.array([codes_of[label] for label in model.predicted(model.logits(part.X)).tolist()])
    out = {}
    wrong = np.flatnonzero(predicted != codes)
    for file, rows in (("images.png", np.arange(len(codes))), ("mistakes.png", wrong)):
        shown = rows[:MOST_IMAGES]
        if len(shown):
            out[file] = plots.image_grid(
                part.X[shown],
                image_shape=image_shape,
                titles=[f"{names[predicted[i]]} ({names[codes[i]]})" for i in shown],
                correct=predicted[shown] == codes[shown],
                columns=8,
                title=(
                    f"Test images: predicted (true)\n{title}"
                    if file == "images.png"
                    else f"{len(wrong):,} of {len(codes):,} test images are wrong: predicted (true)\n{title}"
                ),
            )
    return out
