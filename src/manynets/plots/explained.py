"""Plots of what `manynets.explain` returns: partial dependence as curves over one column, as a heat map over two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from manynets.errors import OptionError
from manynets.plots.canvas import PALETTE, SEQUENTIAL, TURNED, ink, new_axes, plain, separate_thousands, size_in_points, write_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMES = 12
"""Values that are written along an axis."""
LONGEST_NAME = 40
"""Letters of a column beside an axis; the title has all of them."""


def dependence(found: Any, *, output: int | None = None, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw what `mn.explain.partial_dependence` returned: over one column the mean with the curves of single rows, over two a heat map.

    output: which class or target, from 0; None: of two classes the second, else the one that changes most.

    >>> import manynets as mn
    >>> data = mn.datasets.load("xor", points=100, seed=0)
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False)
    >>> ax = mn.plots.dependence(mn.explain.partial_dependence(model, data.X, ["x0", "x1"], n_grid=5))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('x0', 'x1')
    """
    chosen = found.shown if output is None else output
    if not 0 <= chosen < len(found.outputs):
        raise OptionError(f"output is {output}, but must be 0 to {len(found.outputs) - 1}")
    means, ax = found.by_output()[..., chosen], new_axes(ax)
    if len(found.columns) == 2:
        _heat_map(ax, found, means)
    else:
        _curves(ax, found, means, chosen)
    write_title(ax, found.title(chosen) if title is None else title)
    return ax


def _heat_map(ax: Axes, found: Any, means: Any) -> None:
    across, down = found.texts()
    shown = ax.imshow(means.T, cmap=SEQUENTIAL, aspect="auto", origin="lower", interpolation="nearest")
    bar = ax.figure.colorbar(shown, ax=ax, label=f"mean {found.what}")
    separate_thousands(bar.ax.yaxis, means)
    _name_values(ax, ax.xaxis, across)
    _name_values(ax, ax.yaxis, down)
    ax.set_xlabel(plain(found.columns[0], longest=LONGEST_NAME))
    ax.set_ylabel(plain(found.columns[1], longest=LONGEST_NAME))


def _curves(ax: Axes, found: Any, means: Any, output: int) -> None:
    at: Any = found.grid[0]
    of_rows: Any = {"linewidth": 0.7}
    of_mean: Any = {"linewidth": 2.5, "marker": "o", "markersize": 4}
    if found.kinds[0] != "number":
        at = np.arange(len(at))
        _name_values(ax, ax.xaxis, found.texts()[0])
    if found.kinds[0] == "category":  # which have no order
        of_rows, of_mean = {"linestyle": "none", "marker": "_"}, {"linestyle": "none", "marker": "o"}
    if found.rows is not None and found.rows.size:
        rows = found.rows.reshape(len(found.rows), len(at), -1)[..., output]
        ax.plot(at, rows.T, color=ink(ax), alpha=0.2, **of_rows)
    ax.plot(at, means, color=PALETTE[0], **of_mean)
    separate_thousands(ax.yaxis, means)
    ax.set_xlabel(plain(found.columns[0], longest=LONGEST_NAME))
    ax.set_ylabel(found.what)


def _name_values(ax: Axes, axis: Any, texts: list[str]) -> None:
    """Write the values along an axis of which each has one step; of many every other, and so on."""
    step = -(-len(texts) // MOST_NAMES)
    shown = [plain(text, longest=20) for text in texts[::step]]
    turned = axis is ax.xaxis and 8 * max(map(len, shown)) > size_in_points(ax)[0] / len(texts) * step
    axis.set_ticks(range(0, len(texts), step), shown, **(TURNED if turned else {}))
