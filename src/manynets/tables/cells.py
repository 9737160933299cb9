"""What the cells of a column mean: numbers, text, labels.

A numeric column may be written as text: a cell is then a number in the `Reading` of the column, or missing when it is one of
`MISSING_TOKENS`. In a column of text only `TEXT_MISSING` are missing: "NA" and "?" stay values (Namibia's code is "NA").
"""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from manynets.display import counted
from manynets.errors import DataError
from manynets.tables.missing import is_missing, is_missing_text, is_missing_value
from manynets.tables.numerals import NUMBER
from manynets.tables.parts import CodePart, merged
from manynets.tables.table import Table, native_type, storage_of
from manynets.tables.units import conversion, duration_seconds, same_unit
from manynets.tables.written import DECIMAL_COMMA, PLAIN, Reading, is_bound, read_number, reading_for, simple_pattern, unit_of

if TYPE_CHECKING:
    import narwhals as nw

OddKind = Literal["unit", "bound", "word"]
FEW_ROWS = 4096
"""A dict numbers so many texts in less time than a frame's library."""


def text_cells(table: Table, name: str, *, numbers: bool = True) -> nw.Series[Any]:
    """Return a column as a series of text, blanks around each cell taken off, null where missing.

    numbers: whether those among Python objects are written as text; else they are null, as `_number_objects` has them.
    """
    import narwhals as nw

    series = table.series(name)
    storage = storage_of(series)
    if storage == "text":
        return series.str.strip_chars()
    gaps = series.implementation.is_pandas() and series.null_count() > 0  # which its older versions write as "nan"
    if gaps or storage in ("mixed", "empty", "time") or series.dtype.is_float():
        found = series.to_list() if numbers else [None if _is_number(cell) else cell for cell in series.to_list()]
        cells = [None if is_missing_value(cell) else plain_label(cell) for cell in found]
    else:
        try:
            return series.cast(nw.String).str.strip_chars()
        except Exception as error:  # each library has its own for a type without a text
            kind = getattr(series.to_native(), "type", series.dtype)
            raise DataError(
                f"column {name!r} has the type {kind}, which is neither numbers, text nor dates; make it such columns, or leave it out"
            ) from error
    return nw.new_series(name, cells, nw.String, backend=series.implementation).str.strip_chars()


def text_list(cells: nw.Series[Any]) -> list[str | None]:
    """Return a column of text as a list, None where missing (pandas has NaN there)."""
    found = cells.to_list()
    return [cell if isinstance(cell, str) else None for cell in found] if cells.implementation.is_pandas() else found


def number_cells(table: Table, name: str, reading: Reading = PLAIN) -> NDArray[np.float64]:
    """Return a column as float64 (N,), NaN where missing; text is read as `reading` says, dates and other types are refused.

    Errors: DataError with the first value that is not a number and its row, unless the reading is lenient, and for infinite values with
    their count.
    """
    values = _numbers(table, name, reading)
    infinite = np.isinf(values)
    if infinite.any():
        raise DataError(
            f"column {name!r} holds {counted(int(infinite.sum()), 'infinite value')}, the first in {table.row(int(np.argmax(infinite)))} (a number"
            " above 1.8e308 counts as one); replace them by numbers, or leave them empty to count as missing"
        )
    return values


def _numbers(table: Table, name: str, reading: Reading) -> NDArray[np.float64]:
    import narwhals as nw

    if table.array is not None:
        return np.asarray(table.numbers(name), dtype=np.float64)
    storage = table.storage(name)
    series = table.series(name)
    if storage in ("number", "bool"):
        if storage == "bool" or table.dtype(name) == nw.Decimal:
            series = series.cast(nw.Float64)
        # whole numbers with gaps as well: PyArrow does not cast them beyond 2^53
        return np.ascontiguousarray(series.to_numpy(), dtype=np.float64)
    if storage == "empty":
        return np.full(table.rows, math.nan)
    if storage == "duration":
        return _durations(name, series, reading)
    if storage in ("date", "time", "other"):
        raise DataError(
            f"column {name!r} should hold numbers, but is of type {native_type(series)}; give numbers, or drop the column"
        )
    cells = text_cells(table, name, numbers=False)
    values, odd = numbers_in(cells, reading)
    if odd and not reading.lenient:
        raise _no_number(table, name, odd[0], str(cells[odd[0]]), reading)
    return np.where(np.isnan(values), _number_objects(series), values) if storage == "mixed" else values


def _is_number(cell: Any) -> bool:
    """Return whether a Python object is a number, True and False included."""
    return isinstance(cell, int | float | Decimal | np.number | np.bool_) and not isinstance(cell, np.timedelta64)


def _number_objects(series: nw.Series[Any]) -> NDArray[np.float64]:
    """Return the numbers among Python objects (N,) as they are, True as 1, and NaN for all else."""

    def number(cell: Any) -> float:
        try:
            return float(cell) if _is_number(cell) else math.nan
        except OverflowError:
            return math.inf

    return np.array([number(cell) for cell in series.to_list()])


def numbers_in(cells: nw.Series[Any], reading: Reading) -> tuple[NDArray[np.float64], list[int]]:
    """Return the numbers in a column of text (N,), NaN where there is none, and where that is neither a number nor missing.

    The usual ones are read all at once, the others one by one. A code without digits is missing.
    """
    import narwhals as nw

    values, reading = np.full(len(cells), math.nan), reading.strict
    reading = reading_for(text_list(cells), reading) if reading == DECIMAL_COMMA else reading
    pattern = _usual_pattern(reading)
    usual = np.zeros(len(cells), dtype=bool)
    if pattern is not None:
        found = ~cells.is_null() & cells.str.contains(pattern).fill_null(False)
        usual = np.asarray(found.to_numpy(), dtype=bool)
        digits = cells.filter(found)
        for sign in (reading.unit, reading.thousands, " "):
            digits = digits.str.replace_all(sign, "", literal=True) if sign and reading != PLAIN else digits
        if reading.decimal == ",":
            digits = digits.str.replace_all(",", ".", literal=True)
        values[usual] = digits.cast(nw.Float64).to_numpy()
    rest = np.flatnonzero(~usual & ~np.asarray(cells.is_null().to_numpy(), dtype=bool))
    known: dict[str, float | None] = {}
    odd = []
    for index, text in zip(rest.tolist(), text_list(cells[rest]), strict=True):
        if text is None or is_missing(text):
            continue
        if text not in known:
            known[text] = read_number(text, reading)
        number = known[text]
        if number is not None:
            values[index] = number
        elif not reading.digits:
            odd.append(index)
    return values, odd


def odd_numbers(table: Table, name: str, reading: Reading) -> Counter[tuple[OddKind, str]]:
    """Return what is to be told of the cells of a column of numbers, each with how often it occurs.

    Units that are converted, bounds such as "<5", which are read as the number, and words that count as missing, as the reading is lenient.
    """
    found: Counter[tuple[OddKind, str]] = Counter()
    if table.array is not None or table.storage(name) not in ("text", "mixed", "category"):
        return found
    cells = text_cells(table, name, numbers=False)
    reading = reading_for(text_list(cells), reading)
    pattern = _usual_pattern(reading.strict)
    if pattern is not None:
        cells = cells.filter(~cells.str.contains(pattern).fill_null(True))
    for text, count in Counter(text_list(cells)).items():
        if text is None or is_missing(text):
            continue
        if read_number(text, reading) is None:
            if reading.lenient:
                found["word", text] += count
        elif not (reading.duration or reading.digits):
            if (unit := unit_of(text)) and not same_unit(unit, reading.unit):
                found["unit", unit] += count
            if is_bound(text):
                found["bound", text] += count
    return found


def _usual_pattern(reading: Reading) -> str | None:
    return NUMBER if reading == PLAIN else simple_pattern(reading)


def _durations(name: str, series: nw.Series[Any], reading: Reading) -> NDArray[np.float64]:
    """Return durations (N,) in the unit of the column, or where it has none in seconds."""
    import narwhals as nw

    unit = duration_seconds(f"1 {reading.unit}") if reading.unit else 1.0
    if unit is None:
        raise DataError(f"column {name!r} is in {reading.unit!r}, but holds durations; convert it to {reading.unit!r}")
    missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
    values = np.asarray(series.dt.total_microseconds().cast(nw.Float64).to_numpy(), dtype=np.float64) / 1e6
    return np.where(missing, math.nan, values / unit)


def _no_number(table: Table, name: str, index: int, value: str, reading: Reading) -> DataError:
    unit = unit_of(value)
    if unit and reading.unit and conversion(unit, reading.unit) is None:
        return DataError(
            f"column {name!r} is in {reading.unit!r}, but {table.row(index)} holds {value!r}; convert it to {reading.unit!r}"
        )
    written = "" if reading == PLAIN else f" ({reading})"
    return DataError(
        f"column {name!r} should hold numbers{written}, but {table.row(index)} holds {value!r}; correct the cell, leave it empty to"
        " count as missing, or declare the column numeric or categorical before fitting"
    )


def plain_label(value: Any) -> str:
    """Write a category the same way whatever type the column came in: 1.0 as 1, true as True, no blanks around it.

    >>> [plain_label(value) for value in (1.0, 2.5, True, " true ", "a b ")]
    ['1', '2.5', 'True', 'True', 'a b']
    """
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    label = str(value).strip()
    return label.capitalize() if label.lower() in {"true", "false"} else label


def numbered(cells: nw.Series[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the different texts of a column as they first occur, and for each row the number of its text (N,), -1 where missing."""
    import narwhals as nw

    if len(cells) <= FEW_ROWS:
        numbers: dict[str | None, int] = {}
        codes = [-1 if text is None else numbers.setdefault(text, len(numbers)) for text in text_list(cells)]
        return list(numbers), np.array(codes, dtype=np.int64)
    raw = cells.drop_nulls().unique(maintain_order=True).to_list()
    if not raw:
        return [], np.full(len(cells), -1)
    numbered = cells.replace_strict(raw, list(range(len(raw))), return_dtype=nw.Int64)
    return raw, numbered.fill_null(-1).to_numpy().astype(np.int64)


def factorise(table: Table, name: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the labels of a column, each once, and for each row the number of its label (N,), -1 where missing."""
    storage = table.storage(name)
    if storage in ("number", "bool"):
        if table.array is None and (series := table.series(name)).dtype.is_integer():  # floats would merge long numbers
            present = ~np.asarray(series.is_null().to_numpy(), dtype=bool)
            values = np.asarray(series.fill_null(0).to_numpy())
        else:
            values = number_cells(table, name)
            present = ~np.isnan(values)
        found, inverse = np.unique(values[present], return_inverse=True)
        raw: list[Any] = list(found.astype(bool) if storage == "bool" else found)
        codes = np.full(table.rows, -1)
        codes[present] = inverse
    else:
        series = table.series(name)
        raw, codes = numbered(series if storage == "text" else text_cells(table, name))
    number: dict[str, int] = {}  # of the plain labels: several raw values may share one
    merged = np.empty(len(raw) + 1, dtype=np.int64)  # the last entry, which code -1 finds, is "missing"
    merged[-1] = -1
    for code, value in enumerate(raw):
        label = plain_label(value)
        merged[code] = -1 if is_missing_text(label) else number.setdefault(label, len(number))
    return list(number), merged[codes]


def part_codes(table: Table, name: str, part: CodePart) -> tuple[list[str], NDArray[np.int64]]:
    """Return the different parts of the labels of a column, and for each row the number of its part (N,), -1 where missing."""
    return merged(*factorise(table, name), part)


def counts_of(labels: list[str], codes: NDArray[np.int64]) -> dict[str, int]:
    """Return how often each label occurs, from what `factorise` returns."""
    return dict(zip(labels, np.bincount(codes[codes >= 0], minlength=len(labels)).tolist(), strict=True))
