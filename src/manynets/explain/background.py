"""Rows that stand for "not known": the user's own, or made from what the encoder stores."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.explain.blocks import source_rows
from manynets.model import Model
from manynets.tables.columns import CategoricalColumn, ColumnEncoder, DateColumn, NumericColumn

Array: TypeAlias = NDArray[Any]

MADE = 200


def background_rows(model: Model, background: Any) -> Array:
    """Return encoded background rows (B, D): of `background`, or rows made from the encoder, or a row of zeros for a model without one.

    Made rows draw each column for itself: numbers between the quantiles that the encoder stores, or from a normal distribution with its centre and
    scale, levels with equal chances.
    """
    if background is not None:
        return source_rows(model, background).matrix
    import polars

    encoder = model.encoder
    if encoder is None:
        return np.zeros((1, model.in_features), dtype=np.float32)
    random = np.random.default_rng(0)
    cells = {column.name: _cells(column, random) for column in encoder.columns}
    if encoder.positional:  # it reads the columns that are left out, too
        cells = {name: cells.get(name, [None] * MADE) for name in (f"x{j}" for j in range(encoder.array_width))}
    return encoder.transform(polars.DataFrame(cells))


def _cells(column: ColumnEncoder, random: np.random.Generator) -> Any:
    """Return MADE cells of a column."""
    if isinstance(column, NumericColumn):
        return _numbers(column, random)
    if isinstance(column, DateColumn):
        return _dates(column, random)
    if not isinstance(column, CategoricalColumn):
        return [""] * MADE
    levels = np.array([*column.levels, *column.rare[:1]], dtype=object)
    return levels[random.integers(len(levels), size=MADE)].tolist() if len(levels) else [None] * MADE


def _numbers(column: NumericColumn, random: np.random.Generator) -> Array:
    quantiles = column.spread.knots or (() if column.pieces is None else column.pieces.edges)
    if quantiles:
        return np.interp(random.random(MADE), np.linspace(0, 1, len(quantiles)), quantiles)
    values = random.normal(column.spread.center, column.spread.scale, MADE)
    return np.clip(values, *column.limits) if column.limits is not None else values


def _dates(column: DateColumn, random: np.random.Generator) -> Any:
    """Return moments whose years have the mean and spread of training, with any month, day and time."""
    import polars

    seconds = random.integers(0, 86400, size=MADE)
    if column.form.order == "time":
        return [f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}" for second in seconds.tolist()]
    spread = next((one.spread for one in column.parts if one.part == "year"), None)
    years = np.full(MADE, 2000) if spread is None else random.normal(spread.center, spread.scale, MADE).round()
    days = (years - 1970).astype("datetime64[Y]").astype("datetime64[D]") + random.integers(0, 365, size=MADE)
    return polars.Series((days.astype("datetime64[s]") + seconds).astype("datetime64[us]"))
