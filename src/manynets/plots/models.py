"""Pictures of a trained model: its history, and its predictions beside the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from manynets.display import networks_text
from manynets.errors import DataError
from manynets.model_tools import best_epochs
from manynets.plots.canvas import Array, panels, write_suptitle
from manynets.plots.curves import history
from manynets.plots.scores import confusion, predicted_against_true
from manynets.training.events import squared_share

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def history_panels(model: Any, *, subtitle: str, unit: str | None = None) -> Array:
    """Return the axes (2,) of a model's loss and metric over the epochs, on training and validation rows.

    Where the loss is the squared error of numbers, the first is its root, the RMSE, in the target's unit.
    """
    past, metric = model.history, model.task.metric
    if not past.get("epoch"):
        raise DataError("the model has no history: it was not trained for a single step")
    axes = panels(1, 2).ravel()
    best = best_epochs(past, model.info)
    squared = squared_share(model.task, model.recipe)
    for ax, name in zip(axes, ("loss", metric), strict=True):
        root = name == "loss" and squared > 0
        shown = "RMSE" if root else "R²" if name == "r2" else name
        curves, spread = {}, {}
        for part, column in (("train", name), ("validation", f"val_{name}")):
            if column not in past:
                continue
            label, curve = f"{part} {shown}", np.asarray(past[column], dtype=np.float64)
            curves[label] = np.sqrt(squared * curve) if root else curve
            if f"{column}_std" in past:
                width = np.asarray(past[f"{column}_std"], dtype=np.float64)
                with np.errstate(divide="ignore", invalid="ignore"):
                    spread[label] = squared * width / (2.0 * curves[label]) if root else width  # the slope of the root
        history(
            past["epoch"],
            curves,
            ylabel=f"RMSE ({unit})" if unit and root else shown,
            best_epoch=(min(best), max(best)) if best and f"val_{name}" in past else None,
            spread=spread,
            title=shown[:1].upper() + shown[1:],
            ax=ax,
        )
    count, linear = model.size, model.info.get("linear", 0)
    head = f"Training of {networks_text(count, linear)}: mean and standard deviation" if count > 1 else "Training"
    write_suptitle(axes[0].figure, f"{head}\n{subtitle}")
    return axes


def _described(model: Any) -> str:
    return repr(model).strip("<>").removeprefix("Model: ")


def model_history(model: Any) -> Figure:
    """Return a figure of a model's loss and metric over the epochs.

    >>> import manynets as mn
    >>> data = mn.datasets.load("moons", points=100, seed=0)
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=3), progress=False)
    >>> figure = mn.plots.model_history(model)  # the same as model.plot()
    >>> type(figure.axes[0]).__name__
    'Axes'
    """
    figure: Figure = history_panels(model, subtitle=_described(model))[0].figure
    return figure


def model_predictions(model: Any, X: Any, y: Any) -> Figure:
    """Return a figure of how a model predicts rows: a confusion matrix, or predicted against true values.

    >>> import manynets as mn
    >>> data = mn.datasets.load("moons", points=100, seed=0)
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=3), progress=False)
    >>> figure = mn.plots.model_predictions(model, data.X_test, data.y_test)  # the same as model.plot(X, y)
    >>> type(figure.axes[0]).__name__
    'Axes'
    """
    task, names = model.task, getattr(model.task, "classes", None)
    if names is not None:
        matrix = model.evaluate(X, y)["confusion"]
        axes = confusion(matrix, classes=[str(name) for name in names], title=f"Confusion matrix\n{_described(model)}")
    elif task.name == "multilabel" or task.targets > 1:
        raise DataError(
            f"the model predicts {task.targets} columns; draw them one by one with manynets.plots.predicted_against_true"
        )
    else:
        truth = np.asarray(y, dtype=np.float64).ravel()
        axes = predicted_against_true(truth, model.predict(X), title=f"Predicted and true values\n{_described(model)}")
    return axes.figure  # type: ignore[return-value]
