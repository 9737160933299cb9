"""Plots of prediction quality: confusion matrix, ROC curves, predicted against true values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manynets import metrics
from manynets.display import counted, number_text
from manynets.errors import DataError, one_of
from manynets.plots.canvas import (
    PALETTE,
    TURNED,
    colour,
    fading_map,
    ink,
    names_of,
    new_axes,
    number,
    numbers,
    plain,
    readable_on,
    same_length,
    separate_thousands,
    size_in_points,
    write_title,
)
from manynets.plots.field import classes_of, six_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CURVES = 200  # of a ROC plot: those with the lowest areas
MOST_POINTS = 2000  # of a ROC curve that is drawn
_DASHES = ("-", "--", ":", "-.")
Normalise = Literal["none", "true", "predicted", "all"]


def confusion(
    matrix: ArrayLike,
    *,
    classes: Sequence[object] | None = None,
    normalise: Normalise = "none",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a confusion matrix (C, C), rows = true class, with the number in each cell. Its colour is the share of the row, by which a rare class
    is seen as well as others.

    `normalise` shows percentages of the row ("true"), of the column ("predicted") or of all rows, in numbers and colours; 0 if there are none.
    Above 12 classes, numbers have no decimals, and those that round to zero are left blank.

    >>> import manynets as mn
    >>> ax = mn.plots.confusion([[50, 3], [4, 43]], classes=("no", "yes"))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('predicted', 'true')
    """
    axes: dict[str, int | tuple[int, int]] = {"none": 1, "true": 1, "predicted": 0, "all": (0, 1)}
    axis = axes[one_of(normalise, axes, what="normalise")]
    counts = numbers(matrix, what="matrix", ndim=2, finite=True)
    size = len(counts)
    if counts.shape != (size, size):
        raise DataError(f"matrix has shape {counts.shape}, but a confusion matrix is square, (C, C)")
    if counts.min() < 0:
        raise DataError(f"matrix holds {number(counts.min())}, but counts are 0 or more")
    texts = [plain(name, longest=20) for name in names_of(classes, size, what="classes")]
    total = counts.sum(axis=axis, keepdims=True)
    shares = 100 * np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    width = float(np.clip(1.8 + 0.42 * size, 4.4, 16))
    ax = new_axes(ax, size=(width + 0.8, width))
    shown = ax.imshow(shares, cmap=fading_map(ax, PALETTE[0]), vmin=0, vmax=100, interpolation="nearest")
    ax.figure.colorbar(shown, ax=ax, shrink=0.8, label=f"% of {_SHARE[normalise]}")
    _write_cells(ax, counts if normalise == "none" else shares, readable_on(shown.to_rgba(shares)))
    small = "medium" if size <= 30 else "small"
    step = max(size // 40, 1)  # with more than eighty classes there is room for every other name only
    turned = 6.5 * max(map(len, texts)) > size_in_points(ax)[0] / size * step
    words = {} if not turned else TURNED if size <= 12 else {"rotation": 90}
    ax.set_xticks(range(0, size, step), texts[::step], fontsize=small, **words)
    ax.set_yticks(range(0, size, step), texts[::step], fontsize=small)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    write_title(ax, title)
    return ax


_SHARE = {"none": "the true class", "true": "the true class", "predicted": "the predicted class", "all": "all rows"}


def _write_cells(ax: Axes, values: NDArray[np.float64], light: NDArray[np.bool_]) -> None:
    """Write the values into the cells in a size that fits, or not at all if they would be unreadable."""
    whole = bool((values == np.round(values)).all())
    size = len(values)
    texts = [[f"{value:.0f}" if whole or size > 12 else f"{value:.1f}" if value else "0" for value in row] for row in values]
    longest = max(len(text) for row in texts for text in row)
    cell = 0.9 * min(size_in_points(ax)) / size
    points = min(cell / (0.64 * max(longest, 2)), 0.7 * cell, 11.0)
    if points < 3:
        return
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            if text != "0" or size <= 12:
                ax.text(j, i, text, ha="center", va="center", fontsize=points, color="white" if light[i, j] else "black")


def predicted_against_true(
    y_true: ArrayLike, y_pred: ArrayLike, *, name: str = "y", title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw predictions (N,) against true values (N,), with the diagonal on which they are equal, R² and RMSE.

    R² = 1 - sum (y - p)^2 / sum (y - mean y)^2, left out if y does not vary; RMSE = sqrt(mean (y - p)^2), in units of y.

    >>> import manynets as mn
    >>> ax = mn.plots.predicted_against_true([1.0, 2.0, 3.0], [1.1, 1.9, 3.2], name="price")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('true price', 'predicted price')
    """
    truth, predicted = _column(y_true, "y_true"), _column(y_pred, "y_pred")
    same_length(truth, predicted, what="y_true and y_pred")
    ax = new_axes(ax, size=(5.2, 5.0))
    both = np.concatenate([truth, predicted])
    low, high = float(both.min()), float(both.max())
    margin = 0.04 * (high - low) or 0.5
    limits = (low - margin, high + margin)
    ax.plot(limits, limits, color=ink(ax), linewidth=1, linestyle="--", label="predicted = true", zorder=1)
    many = len(truth)
    ax.scatter(
        truth,
        predicted,
        s=float(np.clip(30 * (200 / many) ** 0.5, 3, 30)),
        alpha=float(np.clip((500 / many) ** 0.5, 0.08, 0.8)),
        color=PALETTE[0],
        linewidths=0,
        rasterized=True,
    )
    squares = float(np.mean((truth - predicted) ** 2))
    variance = float(np.var(truth))
    said = [f"R² {1 - squares / variance:.3f}"] if variance > 0 else []
    said += [f"RMSE {number_text(squares**0.5)}", counted(many, "row")]
    box = {"facecolor": ax.get_facecolor(), "edgecolor": "none", "alpha": 0.7}
    ax.text(0.97, 0.03, "\n".join(said), transform=ax.transAxes, ha="right", va="bottom", color=ink(ax), bbox=box)
    ax.set_xlim(*limits)
    ax.set_ylim(*limits)
    ax.set_aspect("equal")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(six_ticks())
        separate_thousands(axis, both)
    if any(len(f"{value:,.0f}") > 6 for value in (low, high)):  # long numbers side by side would touch
        ax.tick_params(axis="x", rotation=30)
    ax.set_xlabel(plain(f"true {name}", longest=50))
    ax.set_ylabel(plain(f"predicted {name}", longest=50))
    write_title(ax, title)
    return ax


def _column(values: ArrayLike, what: str) -> NDArray[np.float64]:
    column = numbers(values, what=what, finite=True)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise DataError(f"{what} has shape {column.shape}, but one output is drawn at a time, (N,); choose a column")
    return column


def roc_curve(positive: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (false, true) positive rates from (0, 0) to (1, 1), one point for each distinct score, from the highest down.

    `positive` (N,) marks the rows of the class; rows with equal scores enter together, so ties give a slanted line.
    Source: T. Fawcett, Pattern Recognition Letters 27:861, 2006, algorithm 1.

    >>> roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    (array([0. , 0. , 0.5, 1. ]), array([0. , 0.5, 1. , 1. ]))
    """
    hits = np.asarray(positive).astype(bool).ravel()
    values = numbers(scores, what="scores", ndim=1, finite=True)
    same_length(hits, values, what="positive and scores")
    if hits.all() or not hits.any():
        raise DataError(f"all {len(hits)} rows are {'positive' if hits.all() else 'negative'}; a ROC curve needs both")
    true, false = metrics.counts_above(hits, values)
    return false / false[-1], true / true[-1]


def roc_auc(positive: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve: P(score of a positive > score of a negative), ties count one half. Higher is better.

    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    false, true = roc_curve(positive, scores)
    return float(np.trapezoid(true, false))


def roc(
    y_true: ArrayLike, scores: ArrayLike, *, classes: Sequence[Any] | None = None, title: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the ROC curve of two classes, or one curve for each class against the rest, with the areas under them (AUC).

    y_true (N,) holds labels; `classes` lists them in the order of the columns of scores (N, C), sorted by default; y_true may also
    hold their codes 0..C-1. For two classes, scores are (N,), (N, 1) or (N, 2), high for the second class. A class without rows,
    or with all rows, has no curve. With more than 7 classes, the 7 with the lowest AUC are coloured; of more than 200, the 200 with the
    lowest are drawn.

    >>> import manynets as mn
    >>> ax = mn.plots.roc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> ax.get_xlabel()
    'false positive rate'
    """
    truth = np.asarray(y_true).ravel()
    table = numbers(scores, what="scores", finite=True)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2:
        raise DataError(f"scores has shape {table.shape}, but must be (N,) or (N, C)")
    same_length(truth, table, what="y_true and scores")
    labels, codes = classes_of(truth, classes, what="y_true")
    two = table.shape[1] <= 2
    if len(labels) != max(table.shape[1], 2):
        raise DataError(
            f"scores has {table.shape[1]} columns, but there are {len(labels)} classes; give `classes` in the order of the columns"
        )
    found = []
    for code, column in [(1, table[:, -1])] if two else list(enumerate(table.T)):
        hits = codes == code
        if hits.any() and not hits.all():
            false, true = roc_curve(hits, column)
            found.append((labels[code], false, true, float(np.trapezoid(true, false)), code))
    if not found:
        raise DataError("all rows are of one class; a ROC curve needs rows of two")
    ax = new_axes(ax, size=(5.4, 5.0))
    ax.plot([0, 1], [0, 1], color=ink(ax), linewidth=1, linestyle=":")
    found.sort(key=lambda one: one[3])
    for rank, (label, false, true, area, code) in reversed(list(enumerate(found[:MOST_CURVES]))):
        at = metrics.points_along(false + true, most=MOST_POINTS)
        if rank < len(PALETTE):
            said = f"AUC {area:.3f}" if two else f"{plain(label, longest=20)}  {area:.3f}"
            dash = _DASHES[code // len(PALETTE) % len(_DASHES)]  # classes of one colour differ in their dashes
            ax.plot(false[at], true[at], color=colour(code), linestyle=dash, linewidth=1.8, label=said, zorder=3)
        else:
            ax.plot(false[at], true[at], color=ink(ax), linewidth=0.6, alpha=0.35)
    mean = float(np.mean([one[3] for one in found]))
    head = None if two else f"AUC, mean {mean:.3f}" + (f"\nthe lowest {len(PALETTE)}" if len(found) > len(PALETTE) else "")
    ax.set_xlim(-0.01, 1.01)
    ax.set_ylim(-0.01, 1.01)
    ax.set_aspect("equal")
    ax.set_xlabel("false positive rate")
    ax.set_ylabel("true positive rate")
    write_title(ax, title)
    where: dict[str, Any] = {"loc": "lower right"} if two else {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0)}
    ax.legend(title=head, fontsize="small", title_fontsize="small", framealpha=0.8, **where)
    return ax
