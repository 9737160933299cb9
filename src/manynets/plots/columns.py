"""Plots of the columns of a table: histograms of numbers, bars of labels, coloured by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manynets.errors import DataError
from manynets.plots.canvas import (
    PALETTE,
    Array,
    colour,
    names_of,
    plain,
    same_length,
    separate_thousands,
    several_axes,
    show_legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_SEPARATED = 10_000
"""From here on the ticks of numbers have separators: 1990 may be a year."""


def column_distributions(
    values: Mapping[str, ArrayLike],
    *,
    classes: ArrayLike | None = None,
    class_names: Sequence[object] | None = None,
    bins: int = 30,
    levels: int = 8,
    ax: Axes | Sequence[Axes] | Array | None = None,
) -> Array:
    """Draw how the values of each column (N,) are distributed, one panel per name; return axes (P,).

    Numbers get a histogram between their quantiles 0.005 and 0.995; what is beyond counts in the outermost bars. Text gets a bar for
    each of the `levels` most frequent values, and one for the others. NaN and None are missing: their share is in the title.

    classes: codes (N,) from 0; each class has its colour, stacked. With more than seven, all have one.

    >>> import manynets as mn
    >>> axes = mn.plots.column_distributions({"size": [1.0, 2.0, 2.5], "town": ["Bern", "Basel", "Bern"]})
    >>> len(axes.ravel())
    2
    """
    if not values:
        raise DataError("values is empty; give at least one name with its column")
    columns = {name: np.asarray(column) for name, column in values.items()}
    codes = np.zeros(len(next(iter(columns.values()))), dtype=np.int64) if classes is None else np.asarray(classes).astype(np.int64)
    count = int(codes.max(initial=0)) + 1
    if count > len(PALETTE):
        codes, count, class_names = np.zeros_like(codes), 1, None
    axes = several_axes(ax, len(columns))
    for one, (name, column) in zip(axes, columns.items(), strict=True):
        same_length(codes, column, what=f"classes and values[{name!r}]")
        missing = np.array([value is None or value != value for value in column.tolist()], dtype=bool)
        present, own = column[~missing], codes[~missing]
        title = plain(name, longest=28)
        if missing.any():
            title += f" ({missing.mean():.0%} missing)" if missing.mean() >= 0.01 else " (<1% missing)"
        one.set_title(title, fontsize="medium")
        if not len(present):
            one.set_yticks([])
        elif column.dtype.kind in "biuf" and np.isfinite(present).any():
            _histogram(one, present.astype(np.float64), own, count, bins)
        else:
            _bars(one, present, own, count, levels)
    if count > 1:
        names = names_of(class_names, count, what="class_names")
        for index, name in enumerate(names):
            axes[0].bar([0], [0], color=colour(index), label=plain(name, longest=20))
        show_legend(axes[0])
    return axes


def _histogram(ax: Axes, values: NDArray[np.float64], codes: Array, count: int, bins: int) -> None:
    finite = values[np.isfinite(values)]
    low, high = (float(q) for q in np.quantile(finite, [0.005, 0.995]))
    different = np.unique(finite)
    if len(different) <= bins and bool(np.all(different == np.floor(different))) and different[-1] - different[0] <= 2 * bins:
        edges = np.arange(different[0] - 0.5, different[-1] + 1.0)  # a bar for each whole number
    else:
        low, high = (low, high) if low < high else (float(finite.min()), float(finite.max()))
        edges = np.linspace(low, high, bins + 1) if low < high else np.array([low - 0.5, low + 0.5])
    inside = np.clip(values, edges[0], edges[-1])
    bottom = np.zeros(len(edges) - 1)
    for index in range(count):
        heights = np.histogram(inside[codes == index], edges)[0]
        ax.bar(edges[:-1], heights, np.diff(edges), bottom=bottom, align="edge", color=colour(index), linewidth=0)
        bottom += heights
    ax.set_ylabel("rows")
    ax.locator_params(axis="y", integer=True)
    ax.ticklabel_format(axis="x", useOffset=False)  # 1998.5 for a date, not 0.5 and +1.998e3 at the end of the axis
    if float(np.abs(different).max()) >= LEAST_SEPARATED:
        separate_thousands(ax.xaxis, values)
    ax.locator_params(axis="x", nbins=5, integer=bool(np.all(different == np.floor(different))))


def _bars(ax: Axes, values: Array, codes: Array, count: int, levels: int) -> None:
    labels = [str(value) for value in values.tolist()]
    found = [label for label, _ in Counter(labels).most_common(levels)]
    position = {label: index for index, label in enumerate(found)}
    others = len(set(labels)) - len(found)
    at = np.array([position.get(label, len(found)) for label in labels])
    left = np.zeros(len(found) + bool(others))
    for index in range(count):
        widths = np.bincount(at[codes == index], minlength=len(left))
        ax.barh(np.arange(len(left)), widths, left=left, color=colour(index), linewidth=0)
        left += widths
    names = [plain(label, longest=18) for label in found] + ([f"{others} others"] if others else [])
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.invert_yaxis()
    ax.set_xlabel("rows")
    ax.locator_params(axis="x", nbins=4, integer=True)
