"""Plots of the plane: points, predicted regions, output surfaces, the spread of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from manynets.display import short
from manynets.errors import DataError, OptionError, one_of
from manynets.plots.canvas import (
    DRAWING,
    PALETTE,
    SEQUENTIAL,
    ink,
    names_of,
    new_axes,
    numbers,
    paper,
    plain,
    separate_thousands,
    show_legend,
    two_columns,
    write_title,
)
from manynets.plots.field import (
    Extent,
    area_of,
    boundaries,
    classes_of,
    frame,
    grid_points,
    marker_size,
    paint_regions,
    scatter_classes,
    six_ticks,
    target_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Predict: TypeAlias = Callable[[NDArray[np.float64]], ArrayLike]


def _function_of(predict: Any, *methods: str) -> Predict:
    """Return the function that predicts: the first of these methods that a model or an estimator has for its task, or what was given."""
    if callable(predict):
        return predict
    numbers = not hasattr(predict, "classes_")
    for name in methods:
        if hasattr(predict, name) and not (numbers and "proba" in name):
            return getattr(predict, name)
    raise OptionError(f"predict is {short(predict)}, but must be a function of points, such as model.{methods[-1]}, or a Model")


def points(
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    task: Literal["classification", "regression"] = "classification",
    names: Sequence[str] = ("x₁", "x₂"),
    classes: Sequence[Any] | None = None,
    label: str = "y",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw rows X (N, 2), coloured and marked by their class y (N,), or coloured by their value y (N,) with a colour bar.

    `names` are the names of the two columns, `label` is that of the values. `classes` lists the classes in the order of their colours
    (default: the sorted labels in y), as for `regions`.

    >>> import manynets as mn
    >>> data = mn.datasets.load("moons", points=100, seed=0)
    >>> ax = mn.plots.points(data.X, data.y, title="moons")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('x₁', 'x₂')
    """
    one_of(task, ["classification", "regression"], what="task")
    rows = two_columns(X)
    labels = names_of(names, 2, what="names")
    target = np.zeros(len(rows)) if y is None else target_of(rows, y)
    ax = new_axes(ax)
    if y is None or task == "classification":
        found, codes = classes_of(target, classes)
        handles = scatter_classes(ax, rows, codes, found)
        if y is not None:
            show_legend(ax, handles, title="class")
    else:
        shown = ax.scatter(
            rows[:, 0],
            rows[:, 1],
            c=numbers(target, what="y"),
            cmap=SEQUENTIAL,
            s=marker_size(rows),
            edgecolors=ink(ax),
            linewidths=0.3,
        )
        bar = ax.figure.colorbar(shown, ax=ax, label=plain(label, longest=50))
        separate_thousands(bar.ax.yaxis, target)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(six_ticks())
    ax.set_xlabel(plain(labels[0], longest=40))
    ax.set_ylabel(plain(labels[1], longest=40))
    write_title(ax, title)
    return ax


def regions(
    X: ArrayLike,
    y: ArrayLike,
    *,
    predict: Predict | Any,
    extent: Extent | None = None,
    classes: Sequence[Any] | None = None,
    resolution: int = 200,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the regions in which a model predicts each class, their boundaries, and the points X (N, 2) of classes y (N,).

    `predict` is a model or an estimator, or a function that maps (M, 2) to labels (M,), or to probabilities (M, C) with columns in the order
    of `classes` (default: the sorted labels in y), or (M, 1) for the second of two classes. With probabilities, the colour is fainter where the
    model is less sure.
    `extent` (left, right, bottom, top) defaults to that of the points plus a margin. y may hold labels or their codes 0..C-1.

    >>> import manynets as mn
    >>> data = mn.datasets.load("moons", points=100, seed=0)
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=3), progress=False)
    >>> ax = mn.plots.regions(data.X, data.y, predict=model, resolution=30)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('x₁', 'x₂')
    """
    rows = two_columns(X)
    target = target_of(rows, y)
    if target.dtype.kind == "f" and classes is None and (np.isfinite(target) & (target % 1 != 0)).any():
        raise DataError(
            "y holds numbers that are not whole, and regions are those of classes; draw the output with mn.plots.surface"
        )
    function = _function_of(predict, "predict_proba", "predict")
    labels, codes = classes_of(target, getattr(predict, "classes_", None) if classes is None else classes)
    area = area_of(rows, extent)
    ax = new_axes(ax)
    paint_regions(ax, function(grid_points(area, resolution=resolution)), area, labels)
    handles = scatter_classes(ax, rows, codes, labels)
    frame(ax, area)
    show_legend(ax, handles, title="class")
    write_title(ax, title)
    return ax


def surface(
    predict: Predict | Any,
    *,
    X: ArrayLike | None = None,
    y: ArrayLike | None = None,
    extent: Extent | None = None,
    three_d: bool = False,
    resolution: int = 100,
    label: str = "output",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the output of a model, or of a function (M, 2) -> (M,) or (M, 1), over the plane, as filled contours or as a 3-D surface.

    The points X (N, 2), if given, are coloured by their y (N,). Give `extent` or X. Axes for a 3-D surface must have
    projection="3d".

    >>> import manynets as mn
    >>> def product(points):
    ...     return points[:, 0] * points[:, 1]
    >>> ax = mn.plots.surface(product, extent=(-1, 1, -1, 1), resolution=20)
    >>> ax.get_xlabel()
    'x₁'
    """
    rows = None if X is None else two_columns(X)
    target = None if y is None or rows is None else numbers(target_of(rows, y), what="y", finite=True)
    area = area_of(rows, extent)
    grid = grid_points(area, resolution=resolution)
    output = numbers(_function_of(predict, "predict")(grid), what="the prediction")
    if output.size != len(grid):
        raise DataError(f"predict gave shape {output.shape} for {len(grid)} points; this picture needs one output, (M,) or (M, 1)")
    shape = (resolution, resolution)
    field = np.ma.masked_invalid(output.reshape(shape))
    if not field.count():
        raise DataError("the prediction is nowhere finite; there is nothing to draw")
    three_d = three_d or (ax is not None and ax.name == "3d")
    if three_d and ax is not None and ax.name != "3d":
        raise OptionError(f"three_d=True on axes of projection {ax.name!r}; make them with add_subplot(projection='3d')")
    ax = new_axes(ax, projection="3d" if three_d else None)
    known = field.compressed() if target is None else np.concatenate([field.compressed(), target])
    low, high = float(known.min()), float(known.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    xx, yy = grid[:, 0].reshape(shape), grid[:, 1].reshape(shape)
    if three_d:
        solid: Any = ax
        step = max(resolution // 60, 1)
        solid.plot_surface(
            xx, yy, field.filled(np.nan), cmap=SEQUENTIAL, vmin=low, vmax=high, alpha=0.85, rstride=step, cstride=step, linewidth=0
        )
        if rows is not None and target is not None:
            solid.scatter(rows[:, 0], rows[:, 1], target, c=ink(ax), s=8, depthshade=False)
        solid.set_zlabel(plain(label))
        separate_thousands(solid.zaxis, known)
        solid.set_box_aspect(None, zoom=0.9)  # otherwise the label of the third axis is cut off
        for axis in (solid.xaxis, solid.yaxis, solid.zaxis):
            axis.set_pane_color((0, 0, 0, 0))  # grey in every style
            axis.labelpad = 8
    else:
        shown = ax.contourf(xx, yy, field, levels=np.linspace(low, high, 21), cmap=SEQUENTIAL)
        if rows is not None:
            fill: Any = {"c": target, "cmap": SEQUENTIAL, "vmin": low, "vmax": high} if target is not None else {"color": paper(ax)}
            size = 0.6 * marker_size(rows)  # small and with a thin edge, so that the surface shows between them
            ax.scatter(rows[:, 0], rows[:, 1], s=size, edgecolors="white", linewidths=0.4, **fill)
        bar = ax.figure.colorbar(shown, ax=ax, label=plain(label), ticks=six_ticks())
        separate_thousands(bar.ax.yaxis, known)
    frame(ax, area)
    if three_d:  # the ticks of two axes meet in a corner
        ax.locator_params(axis="both", nbins=4)
    write_title(ax, title)
    return ax


def spread(
    predict: Predict | Any,
    *,
    X: ArrayLike | None = None,
    y: ArrayLike | None = None,
    extent: Extent | None = None,
    resolution: int = 100,
    most_lines: int = 30,
    classes: Sequence[Any] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how much the K members of an ensemble disagree over the plane, and for classes each member's boundary as a thin line.

    `predict` is a Model of several networks, or maps (M, 2) to the members' outputs (K, M), or to their probabilities (K, M, C). The colour is the standard
    deviation over the members, for classes sqrt(sum_c var_k p_kc); the contours are the members' mean (outputs), or the
    boundaries of the first `most_lines` members and, bold, of their mean. Give `extent` or X; y (N,) marks classes, which `classes` lists
    in the order of the columns (default: sorted).

    >>> import manynets as mn
    >>> data = mn.datasets.load("moons", points=100, seed=0)
    >>> model = mn.train(data.X, data.y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2), n_networks=3, progress=False)
    >>> ax = mn.plots.spread(model, X=data.X, y=data.y, resolution=20)
    >>> ax.get_xlabel()
    'x₁'
    """
    rows = None if X is None else two_columns(X)
    area = area_of(rows, extent)
    grid = grid_points(area, resolution=resolution)
    members = numbers(
        _function_of(predict, "predict_proba_each", "predict_each")(grid), what="the members' predictions", finite=True
    )
    if members.ndim not in (2, 3) or members.shape[1] != len(grid):
        raise DataError(
            f"predict gave shape {members.shape} for {len(grid)} points; spread needs the outputs of K members (K, {len(grid)}), "
            f"or their probabilities (K, {len(grid)}, C)"
        )
    shape = (resolution, resolution)
    deviation = members.std(axis=0) if members.ndim == 2 else np.sqrt(members.var(axis=0).sum(axis=1))
    xx, yy = grid[:, 0].reshape(shape), grid[:, 1].reshape(shape)
    ax = new_axes(ax)
    high = float(deviation.max()) or 1.0
    shown = ax.contourf(xx, yy, deviation.reshape(shape), levels=np.linspace(0, high, 21), cmap=SEQUENTIAL)
    ax.figure.colorbar(shown, ax=ax, label=f"standard deviation\nover {len(members)} members", ticks=six_ticks())
    if members.ndim == 2:
        mean = members.mean(axis=0).reshape(shape)
        if mean.min() < mean.max():
            lines = ax.contour(xx, yy, mean, levels=6, colors="white", linewidths=0.8)
            with DRAWING:  # the texts are measured
                ax.clabel(lines, fontsize="small")
    else:
        for member in members[:most_lines]:
            boundaries(ax, member.reshape(*shape, -1), area, color="white", width=0.5)
        boundaries(ax, members.mean(axis=0).reshape(*shape, -1), area, color="white", width=2)
    if rows is not None:
        if y is None or members.ndim == 2:
            ax.scatter(rows[:, 0], rows[:, 1], s=marker_size(rows), color=PALETTE[1], edgecolors="white", linewidths=0.5)
        else:
            found, codes = classes_of(target_of(rows, y), classes)
            show_legend(ax, scatter_classes(ax, rows, codes, found, edge="white"), title="class")
    frame(ax, area)
    write_title(ax, title)
    return ax
