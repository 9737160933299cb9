"""Pictures of a trained model: its history, and its predictions beside the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from manynets.errors import DataError
from manynets.plots.canvas import Array, panels
from manynets.plots.curves import history
from manynets.plots.scores import confusion, predicted_against_true

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["history_panels", "model_history", "model_predictions"]


def history_panels(model: Any) -> Array:
    """Return the axes (2,) of a model's loss and metric over the epochs, on training and validation rows."""
    past, metric = model.history, model.task.metric
    if not past.get("epoch"):
        raise DataError("the model has no history: it was not trained for a single step")
    axes = panels(1, 2).ravel()
    best = model.info.get("best", -1)
    if isinstance(best, list):  # several networks: one line where they share their best epoch
        best = best[0] if len(set(best)) == 1 else -1
    for ax, name in zip(axes, ("loss", metric), strict=True):
        curves = {
            f"{part} {name}": past[prefix + name]
            for part, prefix in (("train", ""), ("validation", "val_"))
            if prefix + name in past
        }
        validated = f"val_{name}" in past and 0 <= best < len(past["epoch"])
        history(past["epoch"], curves, ylabel=name, best_epoch=past["epoch"][best] if validated else None, ax=ax)
    return axes


def model_history(model: Any) -> Figure:
    """Return a figure of a model's loss and metric over the epochs."""
    figure: Figure = history_panels(model)[0].figure
    figure.suptitle(repr(model).strip("<>").removeprefix("Model: "), fontsize="medium")
    return figure


def model_predictions(model: Any, X: Any, y: Any) -> Figure:
    """Return a figure of how a model predicts rows: a confusion matrix, or predicted against true values."""
    task, names = model.task, getattr(model.task, "classes", None)
    if names is not None:
        matrix = model.evaluate(X, y)["confusion"]
        axes = confusion(matrix, classes=[str(name) for name in names], title="Confusion matrix")
    elif task.name == "multilabel" or task.outputs > 1:
        raise DataError(
            f"the model predicts {task.outputs} columns; draw them one by one with manynets.plots.predicted_against_true"
        )
    else:
        truth = np.asarray(y, dtype=np.float64).ravel()
        axes = predicted_against_true(truth, model.predict(X), title="Predicted against true")
    return axes.figure  # type: ignore[return-value]
