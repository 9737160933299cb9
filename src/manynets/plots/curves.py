"""Curves by epoch and curves of functions: history, learning curves, histograms by epoch, activations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manynets.display import counted, epoch_text
from manynets.errors import DataError, one_of
from manynets.plots.canvas import (
    PALETTE,
    SEQUENTIAL,
    Array,
    colour,
    ink,
    line_map,
    new_axes,
    numbers,
    plain,
    same_length,
    separate_thousands,
    several_axes,
    show_legend,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_TICKS = 10  # where each value has one
_ROLE = re.compile(r"^(train|training|validation|valid|val|test)(?=$|[ _\-])[ _\-]*", re.IGNORECASE)


def history(
    epochs: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    title: str | None = None,
    ylabel: str = "loss",
    log: bool = False,
    best_epoch: float | tuple[float, float] | None = None,
    spread: Mapping[str, ArrayLike] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw named curves (E,) over the epochs (E,): training solid, validation dashed and test dotted, in one colour.

    Names belong together if they differ only in a leading "train", "validation" ("val", "valid") or "test". NaN means that an epoch
    was not measured: its neighbours are joined and every measured epoch is marked. Empty curves are left out. `log` makes the
    axis logarithmic if some value is positive. `best_epoch` is marked by a vertical line, the first and last of several by a band.
    `spread` holds, for some of the curves, the standard deviation over an ensemble: a band of that width on both sides.

    >>> import manynets as mn
    >>> ax = mn.plots.history([1, 2, 3], {"train loss": [3.0, 2.0, 1.5], "validation loss": [3.1, 2.4, 2.5]}, best_epoch=2)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('epoch', 'loss')
    """
    at = numbers(epochs, what="epochs", ndim=1)
    drawn = {name: numbers(values, what=f"curve {name!r}", ndim=1) for name, values in curves.items() if np.size(values)}
    if not drawn:
        raise DataError("curves holds no values; there is nothing to draw")
    for name, values in drawn.items():
        same_length(at, values, what=f"epochs and curve {name!r}")
    ax = new_axes(ax)
    families = list(dict.fromkeys(_family(name) for name in drawn))
    for name, values in drawn.items():
        measured = ~np.isnan(values)
        marked = "o" if measured.sum() <= 1 or not measured.all() else None
        ax.plot(
            at[measured],
            values[measured],
            color=colour(families.index(_family(name))),
            linestyle={"tr": "-", "va": "--", "te": ":"}[_role(name)],
            marker=marked,
            markersize=3.5,
            label=plain(name, longest=40),
        )
    for name, widths in (spread or {}).items():
        middle = drawn[one_of(name, drawn, what="the curve of a spread")]
        width = numbers(widths, what=f"spread[{name!r}]", ndim=1)
        same_length(at, width, what=f"epochs and spread[{name!r}]")
        known = np.isfinite(middle) & np.isfinite(width)
        area = (at[known], (middle - width)[known], (middle + width)[known])
        ax.fill_between(*area, color=colour(families.index(_family(name))), alpha=0.15, linewidth=0)
    if best_epoch is not None:
        _mark_best(ax, best_epoch)
    if log and any((values[np.isfinite(values)] > 0).any() for values in drawn.values()):
        ax.set_yscale("log", nonpositive="mask")
    ax.set_xlabel("epoch")
    ax.set_ylabel(plain(ylabel))
    whole_ticks(ax, at)
    separate_thousands(ax.yaxis, np.concatenate(list(drawn.values())))
    write_title(ax, title)
    show_legend(ax)
    return ax


def _mark_best(ax: Axes, best: float | tuple[float, float]) -> None:
    first, last = best if isinstance(best, tuple) else (best, best)
    if first == last:
        ax.axvline(first, color=ink(ax), linestyle=":", linewidth=1, label=f"best epoch {epoch_text(first)}")
    else:
        text = f"best epochs {epoch_text(first)} to {epoch_text(last)}"
        ax.axvspan(first, last, color=ink(ax), alpha=0.1, linewidth=0, label=text)


def whole_ticks(ax: Axes, at: Array) -> None:
    """Put the ticks of the x axis, such as epochs, at whole numbers, unless its values (E,) are all within one or two."""
    from matplotlib.ticker import MaxNLocator

    different = np.unique(at)
    if different.size <= MOST_TICKS and (different == np.round(different)).all():
        ax.set_xticks(different)
    elif np.ptp(different) >= 2:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _role(name: str) -> str:
    found = _ROLE.match(name)
    return found[1].lower()[:2] if found else "tr"


def _family(name: str) -> str:
    return _ROLE.sub("", name).lower()


def learning_curves(
    curves: Sequence[ArrayLike] | Array,
    *,
    best: int | None = None,
    most: int = 1000,
    title: str | None = None,
    xlabel: str = "epoch",
    ylabel: str = "loss",
    noun: str = "network",
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the curves (E_k,) of many networks as thin lines coloured by their last value, with their median and the best one.

    The curves may differ in length (early stopping) and contain NaN; empty ones are left out. In the median, a curve that has ended
    continues with its last finite value. `best` is the index of the curve to draw bold. At most `most` curves are drawn, spaced
    evenly by the rank of their last value; the median is over all. noun: what a curve is of, for the legend. log: a logarithmic axis,
    and colours if all last values are positive.

    >>> import manynets as mn
    >>> ax = mn.plots.learning_curves([[3.0, 2.0, 1.5], [3.2, 1.9, 1.2]], best=1, title="two seeds")
    >>> ax.get_xlabel()
    'epoch'
    """
    from_all = [numbers(curve, what=f"curve {k}", ndim=1) if np.size(curve) else np.empty(0) for k, curve in enumerate(curves)]
    finite = [curve[np.isfinite(curve)] for curve in from_all]
    shown = [k for k, values in enumerate(finite) if values.size]
    if not shown:
        raise DataError(f"none of the {len(from_all)} curves holds a finite value; there is nothing to draw")
    if best is not None and best not in range(len(from_all)):
        raise DataError(f"best is {best!r}, but there are {len(from_all)} curves; give an index from 0 to {len(from_all) - 1}")
    ax = new_axes(ax)
    from matplotlib.collections import LineCollection

    drawn = [from_all[k] for k in shown]
    last = np.array([finite[k][-1] for k in shown])
    chosen = np.arange(len(drawn))
    if len(drawn) > most:
        chosen = np.sort(np.argsort(last, kind="stable")[np.linspace(0, len(drawn) - 1, most).round().astype(int)])
    lines = LineCollection(
        [np.column_stack([np.arange(1, drawn[k].size + 1), drawn[k]]) for k in chosen],
        array=last[chosen],
        cmap=line_map(ax),
        norm="log" if log and (last[chosen] > 0).all() and np.ptp(last[chosen]) else None,
        linewidths=0.8,
        alpha=float(np.clip(3 / np.sqrt(len(chosen)), 0.15, 0.9)),
        label=f"{most:,} of {len(drawn):,} {noun}s" if len(drawn) > most else counted(len(drawn), noun),
    )
    ax.add_collection(lines, autolim=False)
    longest = max(curve.size for curve in drawn)
    if longest == 1:  # one epoch: points, because there are no lines
        ax.plot(np.ones(len(drawn)), [curve[0] for curve in drawn], "o", color=ink(ax), markersize=3, alpha=0.6)
    if len(drawn) > 2:
        whole = np.stack([_carried(curve, longest) for curve in drawn])
        started = np.isfinite(whole).any(axis=0)
        x = np.arange(1, longest + 1)[started]
        ax.plot(x, np.nanmedian(whole[:, started], axis=0), color=ink(ax), linewidth=2, label="median")
    if best is not None and from_all[best].size:
        ax.plot(np.arange(1, from_all[best].size + 1), from_all[best], color=PALETTE[1], linewidth=2, label=f"best ({noun} {best})")
    values = np.concatenate(finite)
    if log and (values > 0).any():
        ax.set_yscale("log", nonpositive="mask")
        values = np.log10(values[values > 0])
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    limits = (low - margin, high + margin)
    ax.set_ylim(*(10 ** np.array(limits) if ax.get_yscale() == "log" else limits))
    ax.set_xlim(*((0.5, 1.5) if longest == 1 else (1, longest)))
    whole_ticks(ax, np.arange(1, longest + 1))
    ax.set_xlabel(plain(xlabel))
    ax.set_ylabel(plain(ylabel))
    if len(drawn) > 1:
        ax.figure.colorbar(lines, ax=ax, label=f"last {plain(ylabel)}").solids.set_alpha(1)  # type: ignore[union-attr]
    write_title(ax, title)
    show_legend(ax)
    legend = ax.get_legend()
    if legend is not None:
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1)
    return ax


def _carried(curve: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return a curve of `length` in which missing values, and those after its end, are the last finite value before them."""
    finite = np.isfinite(curve)
    last = np.maximum.accumulate(np.where(finite, np.arange(curve.size), -1))
    filled = np.where(last >= 0, curve[last], np.nan)
    return np.concatenate([filled, np.full(length - curve.size, filled[-1])])


def distributions(
    values: Mapping[str, Sequence[ArrayLike] | Array],
    *,
    epochs: ArrayLike | None = None,
    bins: int = 60,
    ax: Axes | Sequence[Axes] | Array | None = None,
) -> Array:
    """Draw, for each name, the distribution of its values (weights, activations, gradients) by epoch, and the median; return axes (P,).

    `values` maps each name to a sequence over E epochs of arrays of any shape; NaN and infinities are left out. The colour
    is the share of an epoch's values in a bin, relative to that epoch's fullest bin. Bins span the 0.1% to 99.9% quantiles.
    `ax` may be an array of one axes per name.

    >>> import manynets as mn
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> axes = mn.plots.distributions({"hidden layer": [random.normal(size=50) for _ in range(3)]})
    >>> len(axes.ravel())
    1
    """
    if not isinstance(values, Mapping):
        raise DataError(
            f"values is a {type(values).__name__}, but must be a dict, such as {{'hidden0.weight': [an array for each epoch]}}"
        )
    if not values:
        raise DataError("values is empty; give at least one name with its arrays")
    tables = {name: [_finite(part) for part in parts] for name, parts in values.items()}
    for name, parts in tables.items():
        if not sum(part.size for part in parts):
            raise DataError(f"values[{name!r}] holds no finite number; there is nothing to draw")
        if epochs is not None:
            same_length(np.atleast_1d(epochs), parts, what=f"epochs and values[{name!r}]")
    axes = several_axes(ax, len(tables))
    for one, (name, parts) in zip(axes, tables.items(), strict=True):
        at = np.arange(1, len(parts) + 1) if epochs is None else numbers(epochs, what="epochs", ndim=1)
        _density(one, at, parts, bins)
        one.set_title(plain(name, longest=32), fontsize="medium")
        one.set_xlabel("epoch")
    return axes


def _finite(part: ArrayLike) -> NDArray[np.float64]:
    flat = np.asarray(part, dtype=np.float64).ravel()
    return flat[np.isfinite(flat)]


def _density(ax: Axes, at: Array, parts: list[NDArray[np.float64]], bins: int) -> None:
    low, high = np.quantile(np.concatenate(parts), [0.001, 0.999])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    counts = np.array([np.histogram(part, edges)[0] for part in parts], dtype=float)  # (E, bins)
    share = counts / np.maximum(counts.max(axis=1, keepdims=True), 1)
    middle = (at[1:] + at[:-1]) / 2
    first, last = (2 * at[0] - middle[0], 2 * at[-1] - middle[-1]) if at.size > 1 else (at[0] - 0.5, at[0] + 0.5)
    ax.pcolormesh(
        np.concatenate([[first], middle, [last]]),
        edges,
        np.ma.masked_equal(share, 0).T,
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=1,
        rasterized=True,
    )
    medians = np.array([np.median(part) if part.size else np.nan for part in parts])
    ax.plot(at, medians, color=PALETTE[1], linewidth=1.5, marker="o" if at.size == 1 else None, label="median")
    ax.set_ylim(low, high)
    whole_ticks(ax, at)


def activations(
    curves: Mapping[str, tuple[Callable[[Array], Any], Callable[[Array], Any]]],
    *,
    derivatives: bool = True,
    extent: tuple[float, float] = (-4.0, 4.0),
    ax: Axes | Sequence[Axes] | Array | None = None,
) -> Array:
    """Draw functions f: (n,) -> (n,) solid and their derivatives dashed over `extent`, one panel per name; return axes (P,).

    `curves` maps a name to the pair (f, f'). `ax` may be an array of one axes per name.

    >>> import manynets as mn
    >>> import numpy as np
    >>> axes = mn.plots.activations({"tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2)})
    >>> len(axes.ravel())
    1
    """
    if not curves:
        raise DataError("curves is empty; give at least one name with its function and derivative")
    axes = several_axes(ax, len(curves))
    x = np.linspace(*extent, 401)
    for one, (name, (function, derivative)) in zip(axes, curves.items(), strict=True):
        one.axhline(0, color=ink(one), linewidth=0.6, alpha=0.4)
        one.axvline(0, color=ink(one), linewidth=0.6, alpha=0.4)
        one.plot(x, numbers(function(x), what=name, ndim=1), color=PALETTE[0], linewidth=2, label="f(x)")
        if derivatives:
            one.plot(x, numbers(derivative(x), what=f"{name}'", ndim=1), color=PALETTE[1], linestyle="--", label="f′(x)")
        one.set_title(plain(name, longest=32), fontsize="medium")
    show_legend(axes[0])
    return axes
