"""Rows that stand for "not known": the user's own, or made from what the encoder stores."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.explain.blocks import source_rows
from manynets.model import Model
from manynets.tables import TableEncoder
from manynets.tables.columns import CategoricalColumn, DateColumn, NumericColumn

Array: TypeAlias = NDArray[Any]

MADE = 200


def background_rows(model: Model, background: Any) -> Array:
    """Return encoded background rows (B, D): of `background`, or rows made from the encoder, or a row of zeros for a model without one.

    Made rows draw each column for itself: numbers between the quantiles that the encoder stores, or from a normal distribution with its centre and
    scale, levels with equal chances.
    """
    if background is not None:
        return source_rows(model, background).matrix
    encoder = model.encoder
    if encoder is None:
        return np.zeros((1, model.in_features), dtype=np.float32)
    random = np.random.default_rng(0)
    if encoder.positional:
        made = np.zeros((MADE, encoder.array_width))
        for column in encoder.columns:
            assert isinstance(column, NumericColumn)
            made[:, int(column.name[1:])] = _numbers(column, random)
        return encoder.transform(made)
    return encoder.transform(_frame(encoder, random))


def _frame(encoder: TableEncoder, random: np.random.Generator) -> Any:
    import polars

    cells: dict[str, Any] = {}
    for column in encoder.columns:
        if isinstance(column, NumericColumn):
            cells[column.name] = _numbers(column, random)
        elif isinstance(column, DateColumn):
            cells[column.name] = _dates(column, random)
        elif isinstance(column, CategoricalColumn):
            levels = np.array([*column.levels, *column.rare[:1]], dtype=object)
            cells[column.name] = levels[random.integers(len(levels), size=MADE)].tolist() if len(levels) else [None] * MADE
        else:
            cells[column.name] = [""] * MADE
    return polars.DataFrame(cells)


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
    spread = next((spread for part, spread, _ in column.parts if part == "year"), None)
    years = np.full(MADE, 2000) if spread is None else random.normal(spread.center, spread.scale, MADE).round()
    days = (years - 1970).astype("datetime64[Y]").astype("datetime64[D]") + random.integers(0, 365, size=MADE)
    return polars.Series((days.astype("datetime64[s]") + seconds).astype("datetime64[us]"))
