"""The values of the columns that a model reads, in their own units."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import is_frame
from manynets.explain.blocks import source_rows
from manynets.model import Model
from manynets.report.parts import Array, cell
from manynets.tables import Table, open_table
from manynets.tables.cells import factorise, number_cells
from manynets.tables.columns import DateColumn, NumericColumn
from manynets.tables.dates import date_cells

__all__ = ["CategoryValues", "NumberValues", "column_values", "quantile_bins", "texts_of"]

LONGEST = 40


@dataclasses.dataclass(frozen=True, eq=False)
class NumberValues:
    """A column of numbers (N,), NaN where missing; of dates seconds since 1970."""

    values: NDArray[np.float64]
    dates: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class CategoryValues:
    """A column of categories: labels, and the number of the label of each row (N,), -1 where missing."""

    labels: list[str]
    codes: NDArray[np.int64]


def column_values(model: Model, X: Any) -> Iterator[tuple[str, NumberValues | CategoryValues]]:
    """Yield name and values of each column of rows X, a frame or (N, D), except text of many words."""
    encoder = model.encoder
    if encoder is None:
        matrix = source_rows(model, X).matrix
        for j in range(matrix.shape[1]):
            yield f"x{j}", NumberValues(matrix[:, j].astype(np.float64))
        return
    table = open_table(X if is_frame(X) or isinstance(X, Table) else np.asarray(X)).loaded(encoder.column_names)
    for column in encoder.columns:
        if isinstance(column, NumericColumn):
            yield column.name, NumberValues(number_cells(table, column.name, column.reading))
        elif isinstance(column, DateColumn):
            moments = date_cells(table, column.name, column.form)
            seconds = np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))
            yield column.name, NumberValues(seconds, dates=True)
        elif column.kind == "categorical":
            yield column.name, CategoryValues(*factorise(table, column.name))


def texts_of(model: Model, X: Any, *, most: int) -> dict[str, list[str]]:
    """Return the cells of the first columns of rows X as texts, by column; those of an array without an encoder are left out."""
    if model.encoder is None:
        return {}
    out: dict[str, list[str]] = {}
    for name, column in column_values(model, X):
        if len(out) == most:
            break
        if isinstance(column, NumberValues):
            out[name] = [_moment(value) if column.dates else _number(value) for value in column.values]
        else:
            out[name] = ["" if code < 0 else _short(column.labels[code]) for code in column.codes.tolist()]
    return out


def _moment(seconds: float) -> str:
    return "" if np.isnan(seconds) else str(np.datetime64(int(seconds), "s")).replace("T00:00:00", "")


def _number(value: float) -> str:
    if np.isnan(value):
        return ""
    return cell(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:,.6g}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def quantile_bins(values: Array, *, most: int) -> NDArray[np.int64]:
    """Return the bin of each finite value (N,), numbered from 0 in order: by quantiles, or where there are few values one for each.

    >>> quantile_bins(np.array([3.0, 1.0, 1.0]), most=4).tolist()
    [1, 0, 0]
    """
    different, which = np.unique(values, return_inverse=True)
    if len(different) <= most:
        return np.asarray(which, dtype=np.int64)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, most + 1)))
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(0, len(edges) - 2))
