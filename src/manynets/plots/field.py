"""Helpers for plots of the plane: grid, regions with boundaries, points, classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manynets.display import listed
from manynets.errors import DataError, OptionError
from manynets.plots.canvas import Array, colour, ink, marker, numbers, paper, plain, same_length

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Extent: TypeAlias = tuple[float, float, float, float]


def grid_points(extent: Extent, *, resolution: int = 200) -> NDArray[np.float64]:
    """Return the points (resolution^2, 2) of a square grid over `extent` (left, right, bottom, top), row by row from the bottom.

    >>> grid_points((0, 1, 0, 2), resolution=2).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 2.0]]
    """
    left, right, bottom, top = checked_extent(extent)
    if resolution < 2:
        raise OptionError(f"resolution is {resolution}, but must be 2 or more")
    xx, yy = np.meshgrid(np.linspace(left, right, resolution), np.linspace(bottom, top, resolution))
    return np.column_stack([xx.ravel(), yy.ravel()])


def around(rows: NDArray[np.float64]) -> Extent:
    """Return the extent (left, right, bottom, top) of rows (N, 2) with a margin of a tenth, or 0.5 if they do not vary."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    pad = np.where(high > low, 0.1 * (high - low), 0.5)
    (left, bottom), (right, top) = low - pad, high + pad
    return float(left), float(right), float(bottom), float(top)


def paint_regions(ax: Axes, prediction: ArrayLike, area: Extent, classes: list[Any]) -> list[Artist]:
    """Draw predictions on `grid_points` as coloured regions with boundaries; return the artists."""
    from matplotlib.colors import to_rgb

    scores = _probabilities(prediction, classes)
    side = round(len(scores) ** 0.5)
    if side * side != len(scores):
        raise DataError(f"the prediction has {len(scores)} rows, which is not the square of a resolution; predict on grid_points")
    field = scores.reshape(side, side, -1)
    pixels = np.empty((side, side, 4))
    pixels[..., :3] = np.array([to_rgb(colour(c)) for c in range(len(classes))])[field.argmax(axis=2)]
    chance = 1 / max(len(classes), 2)
    pixels[..., 3] = 0.1 + 0.4 * np.clip((field.max(axis=2) - chance) / (1 - chance), 0, 1)
    half_x, half_y = (area[1] - area[0]) / (side - 1) / 2, (area[3] - area[2]) / (side - 1) / 2
    cells = (area[0] - half_x, area[1] + half_x, area[2] - half_y, area[3] + half_y)  # a pixel is centred on its point
    image = ax.imshow(pixels, extent=cells, origin="lower", aspect="auto", interpolation="nearest", zorder=0)
    return [image, *boundaries(ax, field, area, color=ink(ax), width=1)]


def boundaries(ax: Axes, field: Array, area: Extent, *, color: Any, width: float) -> list[Artist]:
    """Draw, for each class, where its score (R, R, C) equals the highest of the others."""
    side, count = field.shape[0], field.shape[2]
    x, y = np.linspace(*area[:2], side), np.linspace(*area[2:], side)
    lines: list[Artist] = []
    for c in range(count if count > 2 else count - 1):
        margin = field[..., c] - np.delete(field, c, axis=2).max(axis=2)
        if margin.min() < 0 < margin.max():
            lines.append(ax.contour(x, y, margin, levels=[0.0], colors=[color], linewidths=width, linestyles="solid", zorder=1))
    return lines


def _probabilities(prediction: ArrayLike, classes: list[Any]) -> NDArray[np.float64]:
    """Return scores (M, C) for labels (M,), probabilities (M, C), or the probability of the second class (M, 1)."""
    given = np.asarray(prediction)
    if given.ndim == 1:
        return np.eye(len(classes))[_codes(given, classes, what="the prediction")]
    scores = numbers(given, what="the prediction", ndim=2, finite=True)
    if scores.shape[1] == 1 and len(classes) == 2:
        scores = np.hstack([1 - scores, scores])
    if scores.shape[1] != len(classes):
        raise DataError(
            f"predict gave {scores.shape[1]} columns, but there are {len(classes)} classes ({listed(map(repr, classes))}); "
            "give `classes` in the order of the columns"
        )
    return scores


def classes_of(y: Array, classes: Sequence[Any] | None = None, *, what: str = "y") -> tuple[list[Any], NDArray[np.intp]]:
    """Return the class labels and the code of each row; y holds labels, or codes if not all of it are labels."""
    try:
        labels = list(np.unique(y).tolist() if classes is None else np.asarray(classes).tolist())
    except TypeError as error:
        raise DataError(
            f"{what} holds labels of several types, which have no order ({error}); give `classes` with all labels"
        ) from None
    return labels, _codes(y, labels, what=what)


def _codes(y: Array, labels: list[Any], *, what: str) -> NDArray[np.intp]:
    codes = {label: code for code, label in enumerate(labels)}
    values = y.tolist()
    if all(value in codes for value in values):
        return np.array([codes[value] for value in values], dtype=np.intp)
    if np.issubdtype(y.dtype, np.integer) and y.min() >= 0 and y.max() < len(labels):
        return y.astype(np.intp)
    strange = next(value for value in values if value not in codes)
    raise DataError(
        f"{what} holds {strange!r}, which is none of the classes {listed(map(repr, labels))}; give `classes` with all labels"
    )


def target_of(rows: Array, y: ArrayLike) -> Array:
    target = np.asarray(y)
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    if target.ndim != 1:
        raise DataError(f"y has shape {target.shape}, but must hold one value a row, ({len(rows)},); choose one column")
    same_length(rows, target, what="X and y")
    return target


def scatter_classes(ax: Axes, rows: Array, codes: Array, classes: list[Any], *, edge: Any = None) -> list[Artist]:
    """Draw each class with its colour and marker; return one handle per class that has rows."""
    edge = paper(ax) if edge is None else edge
    return [
        ax.scatter(
            rows[codes == code, 0],
            rows[codes == code, 1],
            color=colour(code),
            marker=marker(code),
            s=marker_size(rows),
            edgecolors=[edge],
            linewidths=0.5,
            label=plain(label, longest=24),
        )
        for code, label in enumerate(classes)
        if (codes == code).any()
    ]


def marker_size(rows: Array) -> float:
    """Return the area of a marker in square points: 36 for few rows, 4 for many."""
    return float(np.clip(36 * (200 / len(rows)) ** 0.5, 4, 36))


def area_of(rows: NDArray[np.float64] | None, extent: Extent | None) -> Extent:
    if extent is not None:
        return checked_extent(extent)
    if rows is None:
        raise OptionError("neither extent nor X is given; give one of them, so that the picture has limits")
    return around(rows)


def checked_extent(extent: Extent) -> Extent:
    if len(extent) != 4 or not np.isfinite(extent).all() or extent[0] >= extent[1] or extent[2] >= extent[3]:
        raise OptionError(f"extent is {extent!r}, but must be (left, right, bottom, top) with left < right and bottom < top")
    return extent


def frame(ax: Axes, area: Extent) -> None:
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(six_ticks())
    ax.set_xlim(area[0], area[1])
    ax.set_ylim(area[2], area[3])
    ax.set_xlabel("x₁")
    ax.set_ylabel("x₂")


def six_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])
