"""The values of the columns that a model reads, in their own units."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import is_frame
from manynets.explain.blocks import source_rows
from manynets.model import Model
from manynets.tables import Table
from manynets.tables.cells import factorise, number_cells
from manynets.tables.columns import DateColumn, NumericColumn
from manynets.tables.dates import date_cells


def are_times(moments: Iterable[str]) -> bool:
    """Return whether moments are times of day, which are stored as those of the first day of 1970."""
    return all(text.startswith("1970-01-01T") for text in moments)


def moment_texts(moments: Sequence[str]) -> list[str]:
    """Return moments as texts, without a time where all are at midnight, or without a date where they are times of day.

    >>> moment_texts(["2024-01-31T00:00:00"]), moment_texts(["1970-01-01T00:00:00", "1970-01-01T13:15:00"])
    (['2024-01-31'], ['00:00:00', '13:15:00'])
    """
    if all(re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00(\.0+)?", text) for text in moments):
        return [text[:10] for text in moments]
    return [text[11:] for text in moments] if are_times(moments) else list(moments)


@dataclasses.dataclass(frozen=True, eq=False)
class NumberValues:
    """A column of numbers (N,), NaN where missing; of dates seconds since 1970."""

    values: NDArray[np.float64]
    dates: bool = False

    @property
    def there(self) -> NDArray[np.float64]:
        """Those that are not missing."""
        return self.values[~np.isnan(self.values)]


@dataclasses.dataclass(frozen=True, eq=False)
class CategoryValues:
    """A column of categories: labels, and the number of the label of each row (N,), -1 where missing."""

    labels: list[str]
    codes: NDArray[np.int64]

    def frequent(self, most: int) -> list[int]:
        """Return the numbers of the most frequent labels, the most frequent first."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.labels))
        return np.argsort(-counts, kind="stable")[:most].tolist()


def column_values(model: Model, X: Any, names: Sequence[str] | None = None) -> Iterator[tuple[str, NumberValues | CategoryValues]]:
    """Yield name and values of each column of rows X, a frame or (N, D), except text of many words. names: of some columns only."""
    encoder = model.encoder
    if encoder is None:
        matrix = source_rows(model, X).matrix
        for name, values in zip(model.column_names, matrix.T, strict=True):
            yield name, NumberValues(values.astype(np.float64))
        return
    columns = [column for column in encoder.columns if names is None or column.name in names]
    whole = encoder.matched(X if is_frame(X) or isinstance(X, Table) else np.asarray(X))
    table = whole.loaded([column.name for column in columns])
    for column in columns:
        if isinstance(column, NumericColumn):
            yield column.name, NumberValues(number_cells(table, column.name, column.reading))
        elif isinstance(column, DateColumn):
            moments = date_cells(table, column.name, column.form)
            seconds = np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))
            yield column.name, NumberValues(seconds, dates=True)
        elif column.kind == "categorical":
            yield column.name, CategoryValues(*factorise(table, column.name))
