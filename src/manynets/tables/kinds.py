"""What was understood of a column, and its values: as numbers where it has such, else as labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.tables.cells import number_cells, part_codes
from manynets.tables.dates import DAY_SECONDS, DateForm, date_cells
from manynets.tables.frames import open_table
from manynets.tables.parts import CodePart
from manynets.tables.table import Table
from manynets.tables.written import PLAIN, Reading

if TYPE_CHECKING:
    from manynets.tables.columns import ColumnEncoder

Forms: TypeAlias = Mapping[str, Reading | DateForm | None]
"""How the cells of columns are read in another file, by name: as numbers or dates of a form, or None for text."""
Kind = Literal["numeric", "categorical", "date", "text", "dropped"]
LEFT_OUT = "left out as asked"
"""The note of a column that the user drops."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """What was understood of one column.

    Attributes:
        name: name of the column.
        kind: "numeric", "categorical", "date", "text" (of many words) or "dropped".
        missing: number of rows without a value.
        distinct: number of different values, not counting missing ones.
        example: the first value, as text; "" if all are missing.
        note: why the column was dropped, or another remark; "" if there is none.
        form: how its dates or numbers are written; None for plain numbers.
        part: the part of a value that is its category, such as the first characters of a code; "" for the whole value.
        leak: how the column gives the target away; "" if it does not, or if no target was given.

    >>> Column(name="town", kind="categorical", missing=0, distinct=3, example="Bern").kind
    'categorical'
    """

    name: str
    kind: Kind
    missing: int
    distinct: int
    example: str = ""
    note: str = ""
    form: Reading | DateForm | None = None
    part: CodePart = ""
    leak: str = ""


def forms_of(columns: Iterable[Column | ColumnEncoder]) -> Forms:
    """Return how these columns are read in another file: as here. Dates that are numbers have no form there."""
    used = [column for column in columns if column.kind != "dropped"]
    forms = {column.name: column.form or (PLAIN if column.kind == "numeric" else None) for column in used}
    return {name: form for name, form in forms.items() if not isinstance(form, DateForm) or form.as_written}


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
