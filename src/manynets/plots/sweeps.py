"""Plots of sweeps: the score by one hyperparameter, and all hyperparameters as parallel coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manynets.display import counted, is_finite, is_number
from manynets.errors import DataError
from manynets.plots.canvas import (
    PALETTE,
    hide_axis,
    ink,
    line_map,
    new_axes,
    number,
    numbers,
    paper,
    plain,
    same_length,
    separate_thousands,
    show_legend,
    write_title,
)
from manynets.plots.curves import MOST_TICKS, whole_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def score_over(
    values: Sequence[Any] | NDArray[Any],
    scores: ArrayLike,
    *,
    name: str = "value",
    score: str = "score",
    log: bool = False,
    means: bool = True,
    noun: str = "network",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw scores (N,) over the values (N,) of one hyperparameter, and with `means` the mean score of each value.

    Values that are not all finite numbers (names, layer sizes, None) are categories, in their order of appearance. `log` makes the axis
    logarithmic, with a position for zero. Scores that are not finite are left out and counted in the legend. noun: what a score is of, for the
    legend.

    >>> import manynets as mn
    >>> ax = mn.plots.score_over([0.001, 0.01, 0.1], [0.8, 0.9, 0.5], name="learning rate", score="accuracy", log=True)
    >>> ax.get_xlabel()
    'learning rate'
    """
    y = numbers(scores, what="scores", ndim=1)
    given = list(values)
    same_length(given, y, what="values and scores")
    keep = np.isfinite(y)
    if not keep.any():
        raise DataError(f"none of the {len(y)} scores is finite; there is nothing to draw")
    ax = new_axes(ax)
    if all(map(is_finite, given)):
        x = np.array(given, dtype=np.float64)
        if not log:
            _whole_ticks(ax, x)
        if log and (x > 0).any():
            if (x <= 0).any():
                ax.set_xscale("symlog", linthresh=float(x[x > 0].min()))
            else:
                ax.set_xscale("log")
    else:
        levels = list(dict.fromkeys(_level(value) for value in given))
        x = np.array([levels.index(_level(value)) for value in given], dtype=np.float64)
        turned = sum(min(len(level), 24) for level in levels) > 60
        ax.set_xticks(
            range(len(levels)),
            [plain(level, longest=24) for level in levels],
            rotation=30 if turned else 0,
            ha="right" if turned else "center",
        )
        ax.set_xlim(-0.5, len(levels) - 0.5)
    distinct = np.unique(x[keep])
    averages = [float(y[keep & (x == value)].mean()) for value in distinct]
    alpha = float(np.clip((100 / keep.sum()) ** 0.5, 0.2, 0.9))
    lost = int((~keep).sum())
    label = counted(int(keep.sum()), noun) + (f" ({lost:,} without a score left out)" if lost else "")
    ax.scatter(x[keep], y[keep], s=22, alpha=alpha, color=PALETTE[0], linewidths=0, label=label)
    if means and len(distinct) < keep.sum() and len(distinct) <= 30:
        ax.plot(distinct, averages, color=PALETTE[1], marker="D", markersize=5, linewidth=1.5, label="mean")
    ax.set_xlabel(plain(name, longest=50))
    ax.set_ylabel(plain(score, longest=50))
    separate_thousands(ax.yaxis, y)
    write_title(ax, title)
    show_legend(ax)
    return ax


def _whole_ticks(ax: Axes, x: NDArray[np.float64]) -> None:
    """Put the ticks of an axis of whole numbers, such as seeds, at whole numbers."""
    different = np.unique(x)
    if (different == np.round(different)).all():
        whole_ticks(ax, different)
        if len(different) <= MOST_TICKS:
            ax.set_xticks(different, [number(value) for value in different])
        separate_thousands(ax.xaxis, x)


def parallel_coordinates(
    rows: Sequence[Mapping[str, Any]],
    *,
    score: str,
    higher_is_better: bool = True,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw each row as a line across one vertical scale per entry, the score last; coloured by score, the best on top.

    Numbers are on a linear scale, or on a logarithmic one if they are positive and span a factor of 50 or more; other values are
    categories in order of appearance. A missing entry (or None among numbers) is at the bottom, as "none". Rows without a finite
    score are thin and end before it. Entries that never vary are left out.

    >>> import manynets as mn
    >>> rows = [{"units": 8, "lr": 0.01, "accuracy": 0.8}, {"units": 16, "lr": 0.001, "accuracy": 0.9}]
    >>> ax = mn.plots.parallel_coordinates(rows, score="accuracy")
    >>> type(ax).__name__
    'Axes'
    """
    table = [dict(row) for row in rows]
    if not table:
        raise DataError("rows is empty; there is nothing to draw")
    if not all(score in row for row in table):
        raise DataError(f"score is {score!r}, but not every row has it; the entries are {', '.join(map(repr, table[0]))}")
    scores = np.array([row[score] if is_number(row[score]) else np.nan for row in table], dtype=np.float64)
    known = np.isfinite(scores)
    if not known.any():
        raise DataError(f"none of the {len(table)} rows has a finite {score!r}; there is nothing to draw")
    names = list(dict.fromkeys(name for row in table for name in row if name != score))
    if len(table) > 1:
        names = [name for name in names if len({_exact(row.get(name)) for row in table}) > 1]
    scales = [_scale([row.get(name) for row in table]) for name in names]
    heights = np.full(len(table), np.nan)
    heights[known], ticks = _scale(scores[known].tolist())
    scales.append((heights, ticks))
    positions = np.column_stack([scale[0] for scale in scales])  # (rows, scales), heights in 0..1
    ax = new_axes(ax, size=(float(np.clip(1.7 * len(scales) + 1, 4.5, 18)), 4.8))
    from matplotlib.collections import LineCollection

    order = np.argsort(np.where(known, scores if higher_is_better else -scores, -np.inf), kind="stable")
    good = [i for i in order if known[i]]
    columns = np.arange(len(scales), dtype=np.float64)
    lines = [np.column_stack([columns, positions[i]]) for i in good]
    alpha = float(np.clip((60 / len(good)) ** 0.5, 0.25, 0.9))
    lost = [np.column_stack([columns[:-1], positions[i][:-1]]) for i in order if not known[i]]
    if lost and len(scales) > 1:
        ax.add_collection(LineCollection(lost, colors=[ink(ax)], linewidths=0.5, alpha=0.25, linestyles="dotted"))
    ax.add_collection(LineCollection(lines, array=scores[good], cmap=line_map(ax), linewidths=1.2, alpha=alpha))
    best = good[-1]
    ax.plot(columns, positions[best], color=PALETTE[1], linewidth=2.5, label=f"best: {number(scores[best])}", zorder=3)
    _write_scales(ax, [*names, score], scales)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), fontsize="small", frameon=False)
    write_title(ax, title, above=30.0)  # of the names, on up to two lines
    return ax


Scale = tuple[NDArray[np.float64], list[tuple[float, str]]]


def _write_scales(ax: Axes, names: list[str], scales: list[Scale]) -> None:
    """Draw the vertical scales with their ticks and names."""
    from matplotlib.patheffects import AbstractPathEffect, withStroke

    halo: list[AbstractPathEffect] = [withStroke(linewidth=2.5, foreground=paper(ax))]
    for x, (_, ticks) in enumerate(scales):
        ax.axvline(x, ymin=0, ymax=1, color=ink(ax), linewidth=1, zorder=2)
        for height, text in ticks:
            ax.plot([x - 0.02, x + 0.02], [height, height], color=ink(ax), linewidth=1, zorder=2)
            said = ax.text(
                x + 0.04, height, plain(text, longest=14), ha="left", va="center", fontsize="small", color=ink(ax), zorder=4
            )
            said.set_path_effects(halo)
    hide_axis(ax)
    ax.set_xticks(range(len(names)), [_broken(name) for name in names])
    ax.xaxis.tick_top()
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.1, len(names) - 1 + 0.5)
    ax.set_ylim(-0.12 if any(height < 0 for _, ticks in scales for height, _ in ticks) else -0.03, 1.03)


def _broken(name: str) -> str:
    """Return a name on up to two lines, broken at an underscore or blank, so that neighbours do not overlap."""
    text = plain(name, longest=28)
    cuts = [i for i, letter in enumerate(text) if letter in "_ "]
    if len(text) <= 13 or not cuts:
        return text
    cut = min(cuts, key=lambda i: abs(i - len(text) // 2))
    return f"{text[: cut + 1].rstrip()}\n{text[cut + 1 :]}"


def _scale(values: list[Any]) -> Scale:
    """Return the heights (N,) of values on a scale 0..1 and its ticks (height, text); missing values are at -0.08."""
    there = [value for value in values if value is not None]
    if not all(map(is_finite, there)):
        levels = list(dict.fromkeys(_level(value) for value in values))
        height = {level: (i + 0.5) / len(levels) for i, level in enumerate(levels)}
        return np.array([height[_level(value)] for value in values]), [(h, level) for level, h in height.items()]
    known = np.array(there, dtype=np.float64)
    logarithmic = bool(known.min() > 0 and known.max() / known.min() >= 50)
    forward = np.log10 if logarithmic else np.asarray
    low, high = float(forward(known.min())), float(forward(known.max()))
    width = (high - low) or 1.0
    shift = 0.5 if high == low else 0.0
    heights = np.array([-0.08 if value is None else (float(forward(float(value))) - low) / width + shift for value in values])
    distinct = np.unique(known)
    if len(distinct) <= 5:
        at = distinct
    elif logarithmic:
        at = 10 ** np.linspace(low, high, 5)
    else:
        at = np.linspace(low, high, 5)
        if (known == np.round(known)).all():  # seeds, units
            at = np.unique(np.round(at))
    ticks = [((float(forward(value)) - low) / width + shift, number(float(f"{value:.3g}"))) for value in at]
    if len(there) < len(values):
        ticks.append((-0.08, "none"))
    return heights, ticks


def _exact(value: Any) -> object:
    return float(value) if is_number(value) else _level(value)


def _level(value: Any) -> str:
    """Return how a value that is not a number is written on a scale; layer sizes as 64-32.

    >>> _level((64, 32)), _level(None)
    ('64-32', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, (tuple, list)):
        return "-".join(map(str, value)) or "none"
    return number(value)
