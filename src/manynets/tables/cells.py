"""One view of pandas, polars and pyarrow frames and of NumPy arrays, and what a cell means.

A numeric column may be written as text: a cell is then a number, or missing when it is one of `MISSING_TOKENS` or blank. In a
column of text only an empty or blank cell is missing: "NA" and "?" stay values (Namibia's code is "NA").
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from manynets.errors import DataError

if TYPE_CHECKING:
    import narwhals as nw

    from manynets.tables.stored import StoredColumns

__all__ = [
    "MISSING_TOKENS",
    "Storage",
    "Table",
    "bad_number",
    "blank_cells",
    "factorise",
    "number_cells",
    "open_table",
    "plain_label",
    "refuse_duplicates",
    "require",
    "text_cells",
]

MISSING_TOKENS = ("", "NA", "NaN", "nan", "null", "None", "?")
"""What stands for a missing number in a column of numbers written as text; blanks around a cell do not count."""

NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"

Storage = Literal["number", "bool", "text", "category", "mixed", "date", "other", "empty"]
"""How a column is stored: "mixed" is a pandas column of Python objects, "empty" one without any value or type."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns by name, over a frame, an array or a file: all rows of it, or some of them without a copy.

    Attributes:
        names: of the columns, in order.
        rows: how many.
        first_row: the number of the first row within the table that the user gave; for messages.
        frame: the frame through narwhals, or None.
        array: (N, D) numbers, or None.
        file: the columns of a file, each read when it is asked for, or None.
        taken: which rows of frame, array or file the table has (N,), gathered column by column; None for all.
    """

    names: tuple[str, ...]
    rows: int
    first_row: int = 0
    frame: nw.DataFrame[Any] | None = None
    array: NDArray[Any] | None = None
    file: StoredColumns | None = None
    taken: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, len(self.names)

    def take(self, rows: NDArray[np.int64]) -> Table:
        """Return the table with these of its rows, in this order."""
        return replace(self, rows=len(rows), taken=rows if self.taken is None else self.taken[rows])

    def select(self, names: Sequence[str]) -> Table:
        """Return the table of a frame or file with these columns only."""
        return replace(self, names=tuple(names), frame=None if self.frame is None else self.frame.select(names))

    def loaded(self, names: Sequence[str]) -> Table:
        """Return a table that has these columns in memory."""
        return self if self.file is None else replace(self, names=tuple(names), frame=self.file.read(names), file=None)

    def piece(self, start: int, stop: int) -> Table:
        """Return rows start to stop of what is in memory, without a copy."""
        stop = min(stop, self.rows)
        if self.taken is not None:
            return replace(self, rows=stop - start, taken=self.taken[start:stop])
        return replace(
            self,
            rows=stop - start,
            first_row=self.first_row + start,
            frame=None if self.frame is None else self.frame[start:stop],
            array=None if self.array is None else self.array[start:stop],
        )

    def _stored(self, name: str) -> nw.Series[Any]:
        """Return a column of the frame or file, with the rows that were not taken too."""
        if self.file is not None:
            return self.file.column(name)
        assert self.frame is not None
        return self.frame.get_column(name)

    def series(self, name: str) -> nw.Series[Any]:
        """Return a column of the frame or file."""
        return self._stored(name) if self.taken is None else self._stored(name)[self.taken]

    def numbers(self, name: str) -> NDArray[Any]:
        """Return a column of the array."""
        assert self.array is not None
        values = self.array[:, self.names.index(name)]
        return values if self.taken is None else values[self.taken]

    def storage(self, name: str) -> Storage:
        """Say how a column is stored."""
        return "number" if self.array is not None else _storage(self._stored(name))

    def row(self, index: int) -> str:
        """Name a row in a message."""
        return f"row {self.first_row + index if self.taken is None else self.taken[index]} (counted from 0)"


def _storage(series: nw.Series[Any]) -> Storage:
    import narwhals as nw

    dtype = series.dtype
    if dtype.is_numeric():
        return "number"
    if dtype == nw.Boolean:
        return "bool"
    if dtype == nw.String:
        return "text"
    if dtype == nw.Categorical or dtype == nw.Enum:
        return "category"
    if dtype == nw.Date or dtype == nw.Datetime:
        return "date"
    if series.null_count() == len(series):
        return "empty"
    return "mixed" if dtype == nw.Object else "other"


def open_table(data: Any) -> Table:
    """Return the one view of a pandas, polars or pyarrow frame, or of an array (N, D) whose columns are named x0, x1, ...

    Errors: DataError for anything else, a lazy frame, an array that is not 2-D or holds no numbers, no columns, and column names
    that occur twice.

    >>> open_table(np.zeros((3, 2))).names
    ('x0', 'x1')
    """
    if isinstance(data, Table):
        return data
    if isinstance(data, np.ndarray):
        return _open_array(data)
    import narwhals as nw

    if _is_pandas(data):
        labels = [str(name) for name in data.columns]
        refuse_duplicates(labels)
        if labels != list(data.columns):
            data = data.set_axis(labels, axis=1)
    elif hasattr(data, "column_names"):  # pyarrow allows a name twice
        refuse_duplicates([str(name) for name in data.column_names])
    try:
        frame: nw.DataFrame[Any] = nw.from_native(data, eager_only=True)
    except TypeError as error:
        lazy = " (a lazy frame: call .collect() first)" if hasattr(data, "collect") else ""
        raise DataError(
            f"the table is a {type(data).__module__}.{type(data).__name__}{lazy}, but must be a pandas, polars or pyarrow frame,"
            " or a NumPy array of two dimensions"
        ) from error
    if not isinstance(frame, nw.DataFrame):
        raise DataError(f"the table is a {type(data).__name__}, but must be a frame with columns")
    if not frame.columns:
        raise DataError("the table has no columns")
    return Table(names=tuple(frame.columns), rows=len(frame), frame=frame)


def _is_pandas(data: Any) -> bool:
    return type(data).__module__.split(".")[0] == "pandas" and hasattr(data, "set_axis") and getattr(data, "ndim", 0) == 2


def _open_array(data: NDArray[Any]) -> Table:
    if data.ndim != 2:
        raise DataError(
            f"the array has shape {data.shape}, but must have two dimensions: (rows, columns); use reshape(-1, 1) for one column"
        )
    if data.shape[1] == 0:
        raise DataError(f"the array has shape {data.shape}: no columns")
    if data.dtype.kind not in "fiub":
        data = _numbers_of_objects(data)
    return Table(names=tuple(f"x{j}" for j in range(data.shape[1])), rows=data.shape[0], array=data)


def _numbers_of_objects(data: NDArray[Any]) -> NDArray[np.float64]:
    """Turn an array of objects or text into float64; None and pandas' NA become NaN."""
    numbers = np.empty(data.shape)
    for i, row in enumerate(data):
        for j, cell in enumerate(row):
            try:
                numbers[i, j] = math.nan if _is_missing(cell) else float(cell)
            except (TypeError, ValueError, OverflowError) as error:
                raise DataError(
                    f"column x{j}, row {i} (counted from 0) holds {cell!r}, but an array may hold numbers only;"
                    " give a pandas, polars or pyarrow frame for text"
                ) from error
    return numbers


def refuse_duplicates(names: Sequence[str]) -> None:
    """Raise DataError that lists the column names that occur more than once."""
    twice = [f"{name!r} ({count} times)" for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"column names must be unique, but these are not: {', '.join(twice)}; rename or remove columns")


def require(names: Iterable[str], known: Sequence[str], *, what: str) -> None:
    """Raise DataError if one of the names is no column, with the nearest name there is.

    >>> require(["prise"], ["rooms", "price"], what="target")
    Traceback (most recent call last):
        ...
    manynets.errors.DataError: target 'prise' is not a column; did you mean 'price'? The columns are: rooms, price
    """
    if isinstance(names, str):
        raise DataError(f"{what} is the text {names!r}, but must be a list of column names; write [{names!r}]")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            shown = ", ".join(known[:20]) + (f", ... ({len(known)} columns)" if len(known) > 20 else "")
            raise DataError(f"{what} {name!r} is not a column{hint} The columns are: {shown}")


def _is_missing(cell: Any) -> bool:
    return cell is None or type(cell).__name__ in {"NAType", "NaTType"} or (isinstance(cell, float) and math.isnan(cell))


def text_cells(table: Table, name: str) -> nw.Series[Any]:
    """Return a column that is not stored as numbers as a series of text, blanks around each cell taken off, null where missing."""
    import narwhals as nw

    series = table.series(name)
    if series.dtype == nw.String:
        return series.str.strip_chars()
    if _storage(series) in ("mixed", "empty"):
        cells = [None if _is_missing(cell) else plain_label(cell) for cell in series.to_list()]
    elif series.null_count() and series.implementation.is_pandas():  # whose older versions write a missing value as "nan"
        missing = series.is_null().to_list()
        cells = [None if gone else str(cell) for cell, gone in zip(series.to_list(), missing, strict=True)]
    else:
        return series.cast(nw.String).str.strip_chars()
    return nw.new_series(name, cells, nw.String, backend=series.implementation).str.strip_chars()


def blank_cells(cells: nw.Series[Any]) -> nw.Series[Any]:
    """Return which cells of a column of text are missing."""
    return cells.is_null() | (cells == "").fill_null(True)


def bad_number(cells: nw.Series[Any]) -> tuple[int, str] | None:
    """Return index and value of the first cell that is neither a number nor a missing token, or None."""
    fine = cells.is_null() | cells.str.contains(NUMBER).fill_null(True) | cells.is_in(list(MISSING_TOKENS)).fill_null(True)
    bad = ~np.asarray(fine.to_numpy(), dtype=bool)
    if not bad.any():
        return None
    index = int(np.argmax(bad))
    return index, str(cells[index])


def number_cells(table: Table, name: str) -> NDArray[np.float64]:
    """Return a column as float64 (N,), NaN where missing; text is parsed, dates and other types are refused.

    Errors: DataError with the first value that is no number and its row, and for infinite values with their count.
    """
    values = _numbers(table, name)
    infinite = np.isinf(values)
    if infinite.any():
        raise DataError(
            f"column {name!r} holds {int(infinite.sum())} infinite values, the first in {table.row(int(np.argmax(infinite)))};"
            " replace them by numbers, or leave them empty to count as missing"
        )
    return values


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    import narwhals as nw

    if table.array is not None:
        return np.asarray(table.numbers(name), dtype=np.float64)
    storage = table.storage(name)
    series = table.series(name)
    if storage in ("number", "bool"):
        if storage == "bool" or series.dtype == nw.Decimal or series.null_count():
            series = series.cast(nw.Float64)
        return np.asarray(series.to_numpy(), dtype=np.float64)
    if storage == "empty":
        return np.full(table.rows, math.nan)
    if storage in ("date", "other"):
        raise DataError(f"column {name!r} should hold numbers, but is of type {series.dtype}; give numbers, or drop the column")
    cells = text_cells(table, name)
    bad = bad_number(cells)
    if bad is not None:
        raise DataError(
            f"column {name!r} should hold numbers, but {table.row(bad[0])} holds {bad[1]!r}; mend the cell, leave it empty to"
            " count as missing, or declare the column categorical before fitting"
        )
    found = ~cells.is_null() & cells.str.contains(NUMBER).fill_null(False)
    values = np.full(table.rows, math.nan)
    values[np.asarray(found.to_numpy(), dtype=bool)] = cells.filter(found).cast(nw.Float64).to_numpy()
    return values


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


def factorise(table: Table, name: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the labels of a column, each once, and for each row the number of its label (N,), -1 where missing."""
    import narwhals as nw

    if table.storage(name) == "empty":
        return [], np.full(table.rows, -1)
    if table.storage(name) in ("number", "bool"):
        whole = table.array is None and table.series(name).dtype.is_integer() and not table.series(name).null_count()
        values = np.asarray(table.series(name).to_numpy()) if whole else number_cells(table, name)
        present = ~np.isnan(values)
        found, inverse = np.unique(values[present], return_inverse=True)
        raw: list[Any] = list(found.astype(bool) if table.storage(name) == "bool" else found)
        codes = np.full(table.rows, -1)
        codes[present] = inverse
    else:
        series = table.series(name)
        cells = series if series.dtype == nw.String else text_cells(table, name)
        raw = cells.drop_nulls().unique().to_list()
        if not raw:
            return [], np.full(table.rows, -1)
        numbered = cells.replace_strict(raw, list(range(len(raw))), return_dtype=nw.Int64)
        codes = numbered.fill_null(-1).to_numpy().astype(np.int64)
    number: dict[str, int] = {}  # of the plain labels: several raw values may share one
    merged = np.empty(len(raw) + 1, dtype=np.int64)  # its last place, which code -1 finds, is "missing"
    merged[-1] = -1
    for code, value in enumerate(raw):
        label = plain_label(value)
        merged[code] = number.setdefault(label, len(number)) if label else -1
    return list(number), merged[codes]
