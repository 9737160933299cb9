"""The values of a column as it was understood: as numbers where it has such, else as labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.tables.cells import number_cells, part_codes
from manynets.tables.dates import DAY_SECONDS, DateForm, date_cells
from manynets.tables.frames import open_table
from manynets.tables.kinds import Column
from manynets.tables.table import Table
from manynets.tables.written import PLAIN, Reading


def holds_dates(column: Column) -> bool:
    """Return whether the values of a column are dates, and not times of day."""
    return column.kind == "date" and not (isinstance(column.form, DateForm) and column.form.order == "time")


def numbers_of(table: Table, column: Column) -> NDArray[np.float64] | None:
    """Return the numbers of a column (N,), those of dates in days, or None where it holds no numbers."""
    if not column.distinct:
        return None
    if column.kind == "date" and isinstance(column.form, DateForm):
        moments = date_cells(table, column.name, column.form)
        days = moments.astype("M8[s]").astype(np.int64) / DAY_SECONDS
        return np.where(np.isnat(moments), np.nan, days)
    numeric = column.kind == "numeric" or (column.kind == "dropped" and table.storage(column.name) in ("number", "duration"))
    return number_cells(table, column.name, column.form if isinstance(column.form, Reading) else PLAIN) if numeric else None


def plain_values(frame: Any, column: Column) -> NDArray[Any]:
    """Return the values of a column (N,) as they are read: numbers with NaN where missing, of dates the year and its part, or labels
    with None where missing."""
    table = open_table(frame)
    values = numbers_of(table, column)
    if values is not None:
        return 1970.0 + values / 365.2425 if holds_dates(column) else values * (24.0 if column.kind == "date" else 1.0)
    labels, codes = part_codes(table, column.name, column.part)
    return np.array([*labels, None], dtype=object)[codes]
