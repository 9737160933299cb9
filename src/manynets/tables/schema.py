"""What the columns of a table are: numbers, categories, dates, or nothing to learn from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from manynets.errors import DataError, OptionError
from manynets.tables.cells import (
    MISSING_TOKENS,
    NUMBER,
    Table,
    bad_number,
    blank_cells,
    number_cells,
    open_table,
    plain_label,
    require,
    text_cells,
)
from manynets.tables.dates import date_cells, find_order, looks_like_dates

__all__ = ["Column", "Kind", "refuse_a_mixture", "understand"]

Kind = Literal["numeric", "categorical", "date", "dropped"]

FEWEST_FOR_AN_ID = 20
"""A column with fewer different values than this is never taken for an id."""

SAMPLE = 1000
"""So many rows are looked at before all of them are."""

_ID_NAME = re.compile(r"(?:^|.*[\W_])(?:id|uuid|guid|key|index|rownum)$", re.IGNORECASE)
_CODE_NAME = re.compile(r".*(?:id|key|code|type|class|zip|category)$", re.IGNORECASE)
_ID_CAMEL = re.compile(r".*[a-z](?:Id|ID|Uuid|Guid|Key)$")


@dataclass(frozen=True, kw_only=True)
class Column:
    """What was understood of one column.

    Attributes:
        name: of the column.
        kind: "numeric", "categorical", "date" or "dropped".
        missing: rows without a value.
        distinct: different values, missing not counted.
        example: the first value, as text; empty where all are missing.
        note: why it was dropped, or what is worth knowing; empty for nothing.
    """

    name: str
    kind: Kind
    missing: int
    distinct: int
    example: str = ""
    note: str = ""


def understand(
    frame: Any, *, categorical: Sequence[str] = (), numeric: Sequence[str] = (), drop: Sequence[str] = ()
) -> tuple[Column, ...]:
    """Say for each column of a frame or array what it is; the overrides win over what is found.

    - Numbers are numeric, and so is text whose every cell is a number or a missing token (see `MISSING_TOKENS`), unless a
      number begins with a zero as in "0171": that is a code.
    - Bool, pandas and polars categoricals and other text are categorical. Numbers only when named in `categorical`.
    - Dates are dates, and so is text in ISO form, or with the year last if only one order of day and month fits all.
    - Dropped: text with more than nine tenths of its values different, or with more different values than half the rows; whole
      numbers all different that fill a range at least by half (row numbers), or that are all different under a name such as
      `customer_id`. Each needs 20 different values. A column of numbers is not dropped where nothing else would remain.

    Errors: DataError for a name in an override that is no column, for a column named in two of them, for one that mixes text
    and numbers as Python objects, for text in a column declared numeric, and for infinite values.

    >>> import polars
    >>> [c.kind for c in understand(polars.DataFrame({"a": [1.5, 2], "b": ["x", "y"], "c": ["2024-01-01", "2024-01-02"]}))]
    ['numeric', 'categorical', 'date']
    """
    table = open_table(frame)
    if not table.rows:
        raise DataError("the table has 0 data rows; at least 1 is needed")
    overrides: dict[str, Kind] = {}
    for kind, names in (("categorical", categorical), ("numeric", numeric), ("dropped", drop)):
        require(names, table.names, what="column")
        for name in names:
            if overrides.get(name, kind) != kind:
                raise OptionError(f"column {name!r} is declared {overrides[name]} and {kind}; choose one")
            overrides[name] = kind  # type: ignore[assignment]
    columns = [_column(table, name, overrides.get(name)) for name in table.names]
    if all(column.kind == "dropped" for column in columns):
        columns = [
            Column(**{**vars(column), "kind": "numeric", "note": "kept, as no other column is left"})
            if column.name not in overrides and _holds_numbers(table, column.name)
            else column
            for column in columns
        ]
    return tuple(columns)


def _column(table: Table, name: str, declared: Kind | None) -> Column:
    storage = table.storage(name)
    if storage == "other":
        dtype = table.series(name).dtype
        if declared in (None, "dropped"):
            return Column(name=name, kind="dropped", missing=0, distinct=0, note=f"values of type {dtype} cannot be used")
        raise DataError(f"column {name!r} is of type {dtype} and cannot be {declared}; drop it")
    if storage == "mixed" and declared != "categorical":
        refuse_a_mixture(table, name)
    if storage in ("number", "bool", "empty") or declared == "numeric":
        return _number_column(table, name, declared)
    if storage == "date":
        return _date_column(table, name, declared)
    return _text_column(table, name, declared)


def _holds_numbers(table: Table, name: str) -> bool:
    return table.storage(name) == "number"


def refuse_a_mixture(table: Table, name: str) -> None:
    """Raise DataError, with the first odd value, if a column of Python objects holds both text and numbers."""
    cells = table.series(name).to_list()
    texts = [index for index, cell in enumerate(cells) if isinstance(cell, str)]
    others = [index for index, cell in enumerate(cells) if isinstance(cell, int | float) and cell == cell]
    if texts and others:
        odd = texts[0] if len(texts) <= len(others) else others[0]
        raise DataError(
            f"column {name!r} mixes text and numbers: {table.row(odd)} holds {cells[odd]!r}; make it one of the two, or declare it"
            " categorical"
        )


def _number_column(table: Table, name: str, declared: Kind | None) -> Column:
    values = number_cells(table, name)
    present = values[~np.isnan(values)]
    exact = _exact_integers(table, name)
    distinct = int(np.unique(present if exact is None else exact).size)
    kind: Kind = declared or ("categorical" if table.storage(name) == "bool" else "numeric")
    note = "left out as asked" if declared == "dropped" else ""
    if not present.size:
        note = note or "all values are missing: it adds nothing"
        kind = declared or "numeric"
    elif distinct == 1:
        note = note or "constant"
    elif declared is None and kind == "numeric":
        why = _why_an_id(name, present if exact is None else exact, distinct)
        kind, note = ("dropped", why) if why else (kind, _code_hint(name, bool(np.all(present == np.floor(present)))))
    example = plain_label(table.series(name)[int(np.argmin(np.isnan(values)))] if table.array is None else present[0])
    missing = table.rows - present.size
    return Column(name=name, kind=kind, missing=missing, distinct=distinct, example=example if present.size else "", note=note)


def _exact_integers(table: Table, name: str) -> np.ndarray[Any, Any] | None:
    """Return the column as integers where it is stored as such, so that ids above 2^53 stay apart."""
    if table.array is not None or not table.series(name).dtype.is_integer() or table.series(name).null_count():
        return None
    return np.asarray(table.series(name).to_numpy())


def _why_an_id(name: str, present: np.ndarray[Any, Any], distinct: int) -> str:
    if distinct < FEWEST_FOR_AN_ID or distinct < present.size or not bool(np.all(present == np.floor(present))):
        return ""
    if float(present.max()) - float(present.min()) + 1 <= 2 * present.size:
        return "a row number: whole numbers, all different, that fill their range"
    return "an id: whole numbers, all different, and the name of an id" if _named_as_id(name) else ""


def _named_as_id(name: str) -> bool:
    return bool(_ID_NAME.match(name) or _ID_CAMEL.match(name))


def _code_hint(name: str, whole: bool) -> str:
    return "taken as a number: declare it categorical if it is a code" if whole and _CODE_NAME.match(name) else ""


def _date_column(table: Table, name: str, declared: Kind | None) -> Column:
    moments = date_cells(table, name, "ymd")
    present = moments[~np.isnat(moments)]
    note = "left out as asked" if declared == "dropped" else "" if present.size else "all values are missing: it adds nothing"
    example = str(present[0]).removesuffix("T00:00:00") if present.size else ""
    kind: Kind = declared or ("date" if present.size else "numeric")
    distinct, missing = int(np.unique(present).size), table.rows - present.size
    return Column(name=name, kind=kind, missing=missing, distinct=distinct, example=example, note=note)


def _text_column(table: Table, name: str, declared: Kind | None) -> Column:
    cells = text_cells(table, name)
    present = cells.filter(~blank_cells(cells))
    missing = table.rows - len(present)
    if not len(present):
        kind: Kind = declared or "numeric"
        return Column(name=name, kind=kind, missing=missing, distinct=0, note="all values are missing: it adds nothing")
    distinct = present.n_unique()
    example = str(present[0])
    example = example if len(example) <= 40 else example[:37] + "..."
    if declared is not None:
        note = "left out as asked" if declared == "dropped" else ""
        return Column(name=name, kind=declared, missing=missing, distinct=distinct, example=example, note=note)
    note = ""
    if table.storage(name) != "category":
        head = present[:SAMPLE]
        numbers = head.filter(head.str.contains(NUMBER))
        if bad_number(head) is None and bad_number(present) is None and (count := _numbers_in(present)):
            if not present.str.contains(r"^[+-]?0[0-9]").any():
                return _number_column(table, name, None)
            note = f"codes: {count} numbers, some with a zero in front"
        elif 2 * len(numbers) > len(head) and (bad := bad_number(cells)) is not None:
            share = _numbers_in(present) / len(present)
            note = f"{share:.1%} of it are numbers; the first other value is {bad[1]!r} in {table.row(bad[0])}"
        elif looks_like_dates(head.unique().to_list()):
            labels = present.unique().to_list()
            if find_order(labels) is not None:
                return Column(name=name, kind="date", missing=missing, distinct=distinct, example=example)
            if looks_like_dates(labels):
                note = "dates in which day and month cannot be told apart, or that do not exist: write 2024-12-31"
        why = _why_dropped(table, name, distinct, len(present))
        if why:
            note = f"{why}; {note}" if note else why
            return Column(name=name, kind="dropped", missing=missing, distinct=distinct, example=example, note=note)
    return Column(name=name, kind="categorical", missing=missing, distinct=distinct, example=example, note=note)


def _numbers_in(cells: Any) -> int:
    tokens = [token for token in MISSING_TOKENS if token]
    return int((cells.str.contains(NUMBER) & ~cells.is_in(tokens)).sum())


def _why_dropped(table: Table, name: str, distinct: int, present: int) -> str:
    if distinct < FEWEST_FOR_AN_ID:
        return ""
    if distinct == present:
        return "an id: text, all values different"
    if distinct > 0.9 * present or distinct > 0.5 * table.rows:
        return f"near-unique text: {distinct} different values in {present} rows"
    if _named_as_id(name) and distinct > 0.5 * present:
        return f"an id by its name: {distinct} different values in {present} rows"
    return ""
