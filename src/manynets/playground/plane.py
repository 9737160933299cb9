"""The plane that the page shows, as inputs of the networks on a grid.

Data of two columns is its own plane. Of more columns the plane is a slice, along which the other columns do not change, or that of the first
two principal components.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.errors import OptionError
from manynets.plots.field import Extent, around, grid_points

RESOLUTION, STRIDE = 72, 3
COARSE = RESOLUTION // STRIDE
"""Points along a side of the map of the output, and of the small maps."""
MANY, WALL_STRIDE = 64, 4
"""Up to this many networks have small maps as fine as those of the units; the stride of the maps of more networks."""
MOST_CHOICES, SAMPLE = 30, 2_000


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Plane:
    """A plane and the inputs of the networks on it.

    extent: left, right, bottom, top. names: those of the axes. points: the rows of the data on it (N, 2). grid: the inputs (R^2, D), from
    the bottom up. sliders: the columns that do not change along it, with their ranges or values. sliced: returns the grid for other values.
    """

    extent: Extent
    names: tuple[str, str]
    points: NDArray[np.float32]
    grid: NDArray[np.float32]
    sliders: Sequence[Mapping[str, Any]] = ()
    sliced: Callable[[Mapping[str, Any]], NDArray[np.float32]] | None = None

    @property
    def coarse(self) -> NDArray[np.int64]:
        """The rows of the grid that the small maps show."""
        return _every(STRIDE)

    def wall(self, networks: int) -> NDArray[np.int64]:
        """Return the rows of the grid that the small maps of this many networks show."""
        return _every(STRIDE if networks <= MANY else WALL_STRIDE)

    def at(self, values: Mapping[str, Any]) -> Plane:
        """Return the plane at other values of the sliders. Errors: OptionError for values that do not fit."""
        if self.sliced is None:
            return self
        known = {slider["name"]: slider for slider in self.sliders}
        for name, value in values.items():
            slider = known.get(name)
            if slider is None:
                raise OptionError(f"there is no slider {str(name)[:40]!r}")
            if "values" in slider:
                if value not in slider["values"]:
                    raise OptionError(f"{str(value)[:40]!r} is not a value of {name!r}")
            elif type(value) not in (int, float) or not slider["low"] <= value <= slider["high"]:
                raise OptionError(f"{name!r} must be from {slider['low']:g} to {slider['high']:g}")
        return dataclasses.replace(self, grid=self.sliced(values))


def term_plane(points: NDArray[Any], inputs: Callable[[NDArray[Any]], NDArray[Any]]) -> Plane:
    """Return the plane of two columns, of which `inputs` makes the inputs."""
    points = points.astype(np.float32)
    extent = around(points.astype(np.float64))
    grid = grid_points(extent, resolution=RESOLUTION).astype(np.float32)
    return Plane(extent=extent, names=("x1", "x2"), points=points, grid=inputs(grid).astype(np.float32))


def _every(stride: int) -> NDArray[np.int64]:
    first = stride // 2
    return np.arange(RESOLUTION**2).reshape(RESOLUTION, RESOLUTION)[first::stride, first::stride].ravel()


def component_plane(matrix: NDArray[Any]) -> Plane:
    """Return the plane of the first two principal components of a matrix (N, D)."""
    some = matrix[:: max(1, len(matrix) // SAMPLE)][:SAMPLE].astype(np.float64)
    mean = some.mean(axis=0)
    _, _, rows = np.linalg.svd(some - mean, full_matrices=False)
    axes = np.zeros((2, matrix.shape[1]))
    axes[: min(2, len(rows))] = rows[:2]
    axes *= np.where(axes.sum(axis=1) < 0, -1.0, 1.0)[:, None]  # so that the signs are the same each time
    points = ((matrix - mean) @ axes.T).astype(np.float32)
    extent = around(points.astype(np.float64))
    grid = mean + grid_points(extent, resolution=RESOLUTION) @ axes
    return Plane(
        extent=extent, names=("principal component 1", "principal component 2"), points=points, grid=grid.astype(np.float32)
    )


def slice_plane(frame: Any, x: str, y: str, *, encode: Callable[[Any], NDArray[np.float32]]) -> Plane:
    """Return the plane of two numeric columns of a frame; the others have their median or most frequent value.

    encode: from such a frame to the inputs.
    """
    import polars

    points = np.column_stack([frame[x].cast(polars.Float64).to_numpy(), frame[y].cast(polars.Float64).to_numpy()])
    shown = np.where(np.isfinite(points), points, np.nan)
    finite = shown[np.isfinite(shown).all(axis=1)]
    if not len(finite):
        raise OptionError(f"no row has a number in both {x!r} and {y!r}; choose other axes")
    extent = around(finite)
    sliders = [_slider(frame[name]) for name in frame.columns if name not in (x, y)]
    defaults = {slider["name"]: slider["value"] for slider in sliders}
    whole = grid_points(extent, resolution=RESOLUTION)

    def sliced(values: Mapping[str, Any]) -> NDArray[np.float32]:
        fixed = {**defaults, **values}
        made = {x: whole[:, 0], y: whole[:, 1]}
        columns = [
            polars.Series(name, made[name])
            if name in made
            else polars.Series(name, [fixed[name]] * len(whole), dtype=frame[name].dtype, strict=False)
            for name in frame.columns
        ]
        return encode(polars.DataFrame(columns)).astype(np.float32)

    return Plane(extent=extent, names=(x, y), points=shown.astype(np.float32), grid=sliced({}), sliders=sliders, sliced=sliced)


def _slider(column: Any) -> dict[str, Any]:
    """Return the range and the median of a column of numbers, or the most frequent values of texts, categories and bools."""
    import polars

    present = column.drop_nulls()
    if column.dtype.is_decimal():
        present = present.cast(polars.Float64)
    if present.dtype.is_numeric():
        finite = present.filter(present.is_finite()) if present.dtype.is_float() else present
        if len(finite):
            return {"name": column.name, "low": finite.min(), "high": finite.max(), "value": finite.sort()[len(finite) // 2]}
    elif len(present) and present.dtype in (polars.String, polars.Categorical, polars.Enum, polars.Boolean):
        values = present.value_counts(sort=True)[:MOST_CHOICES][column.name].to_list()
        return {"name": column.name, "values": values, "value": values[0]}
    return {"name": column.name, "values": [None], "value": None}
