"""What was understood of a column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from manynets.tables.dates import DateForm
from manynets.tables.parts import CodePart
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
