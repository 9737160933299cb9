"""Plots: functions that take arrays, or a trained model, and draw on matplotlib axes. They import matplotlib when they are called.

Every function takes `ax=`, the axes to draw on. Without it, the function makes a new figure that pyplot does not know: backend and
rcParams stay as they are, and the figure is freed with its last reference. Colours come from Okabe and Ito's palette or from
perceptually uniform maps; text and lines take the colours of the current style (`plt.style.context("dark_background")`).

    ax = history(epochs, {"train loss": [...], "validation loss": [...]}, title="manynets · 64-32 relu · adam lr 0.001")
    save(ax, "history.png")
"""

from manynets.plots.animation import animate_regions
from manynets.plots.canvas import panels, save
from manynets.plots.columns import column_distributions
from manynets.plots.curves import activations, distributions, history, learning_curves
from manynets.plots.diagram import network
from manynets.plots.explained import dependence
from manynets.plots.field import grid_points
from manynets.plots.images import first_layer, image_grid, image_values
from manynets.plots.models import model_history, model_predictions
from manynets.plots.plane import points, regions, spread, surface
from manynets.plots.scores import confusion, predicted_against_true, roc, roc_auc, roc_curve
from manynets.plots.sweeps import parallel_coordinates, score_over

__all__ = [
    "activations", "animate_regions", "column_distributions", "confusion", "dependence", "distributions", "first_layer",
    "grid_points", "history", "image_grid", "image_values", "learning_curves", "model_history", "model_predictions", "network",
    "panels", "parallel_coordinates", "points", "predicted_against_true", "regions", "roc", "roc_auc", "roc_curve", "save",
    "score_over", "spread", "surface",
]  # fmt: skip
