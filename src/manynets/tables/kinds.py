"""What was understood of a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from manynets.tables.dates import DateForm
from manynets.tables.parts import CodePart
from manynets.tables.written import Reading

__all__ = ["Column", "Kind"]

Kind = Literal["numeric", "categorical", "date", "text", "dropped"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """What was understood of one column.

    Attributes:
        name: of the column.
        kind: "numeric", "categorical", "date", "text" (of many words) or "dropped".
        missing: rows without a value.
        distinct: different values, missing not counted.
        example: the first value, as text; empty where all are missing.
        note: why it was dropped, or a remark; empty for none.
        form: how its dates or numbers are written; None for plain numbers.
        part: of its values, by which the categories differ; "" for the whole.
        leak: how it gives the target away; empty if it does not, or no target was given.

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

    @property
    def as_written(self) -> bool:
        """Whether another file's cells are to be left as text, so that they are read as these were."""
        return (
            isinstance(self.form, Reading)
            or self.kind in ("categorical", "text")
            or (self.form is not None and self.form.as_written)
        )
