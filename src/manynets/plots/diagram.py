"""Network diagrams: nodes in columns, edges coloured and sized by their weight."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manynets.errors import DataError, OptionError
from manynets.plots.canvas import (
    NEGATIVE,
    POSITIVE,
    hide_axis,
    ink,
    names_of,
    new_axes,
    numbers,
    paper,
    plain,
    same_length,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def network(
    weights: Sequence[ArrayLike],
    biases: Sequence[ArrayLike] | None = None,
    *,
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    max_nodes: int = 12,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a network of layers with weights (H_l, H_{l-1}), rows = outputs as in PyTorch's Linear, and biases (H_l,).

    Edges are orange for positive and blue for negative weights; their width and opacity scale with |w|, relative to the largest
    of the layer. Nodes are filled by their bias in the same way. A layer of more than `max_nodes` nodes shows its first and last
    ones with three dots between; every column says how many there are.

    >>> import manynets as mn
    >>> import numpy as np
    >>> ax = mn.plots.network([np.ones((3, 2)), np.ones((1, 3))], feature_names=("size", "rooms"), class_names=("price",))
    >>> type(ax).__name__
    'Axes'
    """
    matrices = [numbers(w, what=f"weights[{i}]", ndim=2, finite=True) for i, w in enumerate(weights)]
    if not matrices:
        raise DataError("weights is empty; give one array (outputs, inputs) for each layer")
    for i, (before, after) in enumerate(itertools.pairwise(matrices), start=1):
        if after.shape[1] != before.shape[0]:
            raise DataError(
                f"weights[{i}] has shape {after.shape}, but the layer before it has {before.shape[0]} outputs; "
                f"shapes must be (outputs, inputs): transpose scikit-learn's coefs_"
            )
    sizes = [matrices[0].shape[1], *(matrix.shape[0] for matrix in matrices)]
    if max_nodes < 2:
        raise OptionError(f"max_nodes is {max_nodes}, but must be 2 or more")
    offsets = _offsets(biases, sizes)
    inputs = None if feature_names is None else names_of(feature_names, sizes[0], what="feature_names")
    outputs = None if class_names is None else names_of(class_names, sizes[-1], what="class_names")
    shown = [_shown(size, max_nodes) for size in sizes]
    heights = [_heights(size, nodes) for size, nodes in zip(sizes, shown, strict=True)]
    tallest = max(float(np.ptp(height)) for height in heights)
    ax = new_axes(ax, size=(2.0 + 1.7 * len(sizes), max(3.2, 1.6 + 0.36 * tallest)))
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    positive, negative = np.array(to_rgba(POSITIVE)), np.array(to_rgba(NEGATIVE))
    for l, matrix in enumerate(matrices):
        part = matrix[np.ix_(shown[l + 1], shown[l])]
        strength = np.abs(part).ravel() / (np.abs(matrix).max() or 1.0)
        order = np.argsort(strength)  # strong edges above weak ones
        row, column = np.divmod(order, part.shape[1])
        ends = np.stack([np.full(len(order), l), heights[l][column], np.full(len(order), l + 1), heights[l + 1][row]], axis=1)
        colours = np.where(part.ravel()[order, None] >= 0, positive, negative)
        colours[:, 3] = 0.08 + 0.92 * strength[order]
        ax.add_collection(
            LineCollection(list(ends.reshape(-1, 2, 2)), colors=colours, linewidths=0.4 + 2.2 * strength[order], zorder=1)
        )
    size = float(np.clip(420 / (tallest + 1) ** 0.5, 60, 260))
    for l, (nodes, height) in enumerate(zip(shown, heights, strict=True)):
        fill = np.tile(to_rgba(paper(ax)), (len(nodes), 1))
        if l and offsets is not None:
            share = offsets[l - 1][nodes] / (np.abs(offsets[l - 1]).max() or 1.0)
            towards = np.where(share[:, None] >= 0, positive, negative)
            fill = fill + np.abs(share[:, None]) * (towards - fill)
            fill[:, 3] = 1.0
        ax.scatter(np.full(len(nodes), l), height, s=size, c=fill, edgecolors=ink(ax), linewidths=1.0, zorder=2)
        if len(nodes) < sizes[l]:
            ax.text(l, 0.0, "⋮", ha="center", va="center", color=ink(ax), fontsize="xx-large", zorder=3)
        role = "input" if l == 0 else "output" if l == len(matrices) else f"hidden {l}"
        ax.text(l, tallest / 2 + 0.75, f"{role}\n{sizes[l]:,}", ha="center", va="bottom", color=ink(ax), fontsize="small")
    away = 0.13
    for names, layer, side in ((inputs, 0, -1), (outputs, len(sizes) - 1, 1)):
        if names is not None:
            for node, height in zip(shown[layer], heights[layer], strict=True):
                text = plain(names[node], longest=18)
                align = "right" if side < 0 else "left"
                ax.text(layer + side * away, height, text, ha=align, va="center", color=ink(ax), fontsize="small")
    hide_axis(ax)
    ax.set_xlim(-0.35 - _room(inputs), len(sizes) - 0.65 + _room(outputs))
    ax.set_ylim(-tallest / 2 - 0.8, tallest / 2 + 2.0)
    _key(ax, offsets is not None)
    write_title(ax, title)
    return ax


def _offsets(biases: Sequence[ArrayLike] | None, sizes: list[int]) -> list[NDArray[np.float64]] | None:
    if biases is None:
        return None
    same_length(sizes[1:], biases, what="weights and biases")
    arrays = [numbers(b, what=f"biases[{i}]", ndim=1, finite=True) for i, b in enumerate(biases)]
    for i, (array, size) in enumerate(zip(arrays, sizes[1:], strict=True)):
        if array.size != size:
            raise DataError(f"biases[{i}] has shape {array.shape}, but weights[{i}] has {size} outputs")
    return arrays


def _shown(size: int, most: int) -> NDArray[np.intp]:
    """Return the indices of the nodes to draw: all, or the first and last ones."""
    if size <= most:
        return np.arange(size)
    last = most // 2
    return np.concatenate([np.arange(most - last), np.arange(size - last, size)])


def _heights(size: int, nodes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the heights of the drawn nodes, the first at the top, centred at 0; the three dots take the space of two."""
    rank = np.arange(len(nodes), dtype=np.float64)
    if len(nodes) < size:
        cut = len(nodes) - len(nodes) // 2
        rank = np.where(rank < cut, rank - cut, rank - cut + 1)  # ..., -2, -1, (dots at 0), 1, 2, ...
        return -rank
    return (len(nodes) - 1) / 2 - rank


def _room(names: list[str] | None) -> float:
    """Return the width of the names beside a column, in columns."""
    return 0.0 if names is None else 0.055 * min(max(map(len, names)), 18)


def _key(ax: Axes, with_biases: bool) -> None:
    from matplotlib.lines import Line2D

    what = "weight, bias" if with_biases else "weight"
    lines = [
        Line2D([], [], color=c, linewidth=2.5, label=f"{sign} {what}")
        for c, sign in ((POSITIVE, "positive"), (NEGATIVE, "negative"))
    ]
    ax.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, 0.03), ncols=2, fontsize="small", frameon=False)
