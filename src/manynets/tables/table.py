"""One view of pandas, polars and pyarrow frames, of NumPy arrays and of files."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from manynets.display import listed
from manynets.errors import DataError, nearest
from manynets.tables.missing import is_missing_value

if TYPE_CHECKING:
    import narwhals as nw

    from manynets.tables.stored import StoredColumns

_SURROGATE = re.compile("[\ud800-\udfff]")
MOST_UNKNOWN = 10
"""So many names that are no columns are listed in an error."""
TOGETHER, MOST_CELLS, AT_ONCE = 16, 1 << 22, 512
"""Columns of an array are gathered by so many, and at most so many cells; and of so many rows at a time."""
Storage = Literal["number", "bool", "text", "category", "mixed", "date", "time", "duration", "other", "empty"]
"""How a column is stored: "mixed" is a pandas column of Python objects, "empty" one without any value, whatever its type."""


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
        commas: the columns of a text file with semicolons that hold commas: those are likely before decimals.

    >>> import polars
    >>> from manynets.tables import open_table
    >>> table = open_table(polars.DataFrame({"size": [80.0, 120.0], "town": ["Bern", "Basel"]}))
    >>> table.names, table.rows
    (('size', 'town'), 2)
    """

    names: tuple[str, ...]
    rows: int
    first_row: int = 0
    frame: nw.DataFrame[Any] | None = None
    array: NDArray[Any] | None = None
    file: StoredColumns | None = None
    taken: NDArray[np.int64] | None = None
    commas: tuple[str, ...] = ()
    # caches: the columns of the array next to the one that was last asked for; of the frame, those that were, and how each is stored
    _neighbours: dict[int, NDArray[Any]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _columns: dict[str, nw.Series[Any]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _storage: dict[str, Storage] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return self.rows

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, len(self.names)

    @property
    def row_numbers(self) -> NDArray[np.int64]:
        """The numbers (N,) of the rows within the table that the user gave, from 0."""
        return np.arange(self.first_row, self.first_row + self.rows) if self.taken is None else self.taken

    def whole(self) -> Table:
        """Return the table with all rows of its frame, array or file."""
        if self.taken is None:
            return self
        rows = self.file.rows if self.file is not None else len(self.frame if self.array is None else self.array)  # type: ignore[arg-type]
        return replace(self, rows=rows, taken=None)

    def take(self, rows: NDArray[np.int64]) -> Table:
        """Return the table with these of its rows, in this order."""
        return replace(self, rows=len(rows), taken=rows if self.taken is None else self.taken[rows])

    def select(self, names: Sequence[str]) -> Table:
        """Return the table of a frame or file with these columns only."""
        frame = None if self.frame is None else self.frame[list(names)]  # to select(), "*" is a pattern
        return replace(self, names=tuple(names), frame=frame)

    def renamed(self, names: Mapping[str, str]) -> Table:
        """Return the table of a frame with new names for some of its columns."""
        assert self.frame is not None
        new, commas = (tuple(names.get(name, name) for name in old) for old in (self.names, self.commas))
        return replace(self, names=new, frame=self.frame.rename(dict(names)), commas=commas)

    def loaded(self, names: Sequence[str]) -> Table:
        """Return a table that has these columns in memory."""
        return self if self.file is None else replace(self, names=tuple(names), frame=self.file.read(names), file=None)

    def as_frame(self) -> nw.DataFrame[Any]:
        """Return the rows of the table, of a frame or file, as a frame in memory."""
        frame = self.loaded(self.names).frame
        assert frame is not None
        return frame if self.taken is None else frame[self.taken]

    def piece(self, start: int, stop: int) -> Table:
        """Return rows start to stop of what is in memory, without a copy."""
        stop = min(stop, self.rows)
        if (start, stop) == (0, self.rows):
            return self
        if self.taken is not None:
            return replace(self, rows=stop - start, taken=self.taken[start:stop])
        return replace(
            self,
            rows=stop - start,
            first_row=self.first_row + start,
            frame=None if self.frame is None else self.frame[start:stop],
            array=None if self.array is None else self.array[start:stop],
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        """Where the columns of the array are."""
        return {name: place for place, name in enumerate(self.names)}

    def _stored(self, name: str) -> nw.Series[Any]:
        """Return a column of the frame or file, with the rows that were not taken too."""
        if self.file is not None:
            return self.file.column(name)
        if name not in self._columns:  # which narwhals takes longer to make than many columns to be read
            assert self.frame is not None
            self._columns[name] = self.frame.get_column(name)
        return self._columns[name]

    def series(self, name: str) -> nw.Series[Any]:
        """Return a column of the frame or file."""
        return self._stored(name) if self.taken is None else self._stored(name)[self.taken]

    def numbers(self, name: str) -> NDArray[Any]:
        """Return a column of the array."""
        together = max(1, min(TOGETHER, MOST_CELLS // max(1, self.rows)))
        block, at = divmod(self._places[name], together)
        found = self._neighbours.get(block)
        if found is None:
            found = self._gathered(slice(block * together, (block + 1) * together))
            self._neighbours.clear()
            self._neighbours[block] = found
        return found[at]

    def _gathered(self, columns: slice) -> NDArray[Any]:
        """Return columns of the array, one after the other (D, N): of so few rows at a time that they stay in the cache."""
        assert self.array is not None
        part = self.array[:, columns]
        if self.taken is None and part.flags.f_contiguous:
            return part.T
        out = np.empty((part.shape[1], self.rows), dtype=part.dtype)
        for start in range(0, self.rows, AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            out[:, rows] = part[rows if self.taken is None else self.taken[rows]].T
        return out

    def storage(self, name: str) -> Storage:
        """Say how a column is stored."""
        if self.array is not None:
            return "number"
        if name not in self._storage:
            self._storage[name] = storage_of(self._stored(name))
        return self._storage[name]

    def dtype(self, name: str) -> Any:
        """Return the type of a column of the frame or file, as narwhals has it."""
        return self._stored(name).dtype

    def row(self, index: int) -> str:
        """Return how messages name a row."""
        return f"row {self.first_row + index if self.taken is None else self.taken[index]} (counted from 0)"


def storage_of(series: nw.Series[Any]) -> Storage:
    """Say how a column is stored."""
    import narwhals as nw

    dtype = series.dtype
    if dtype.is_numeric() and len(series) and not is_missing_value(series[0]):
        return "number"
    if series.null_count() == len(series):
        return "empty"
    if dtype.is_float() and is_missing_value(series[0]) and (series.is_null() | series.is_nan()).all():
        return "empty"
    if dtype.is_numeric():
        return "number"
    if dtype == nw.Boolean:
        return "bool"
    if dtype == nw.String:
        return "text" if _all_text(series) else "mixed"
    if dtype == nw.Categorical or dtype == nw.Enum:
        return "category"
    if dtype == nw.Date or dtype == nw.Datetime:
        return "date"
    if dtype == nw.Time:
        return "time"
    if dtype == nw.Duration:
        return "duration"
    return "mixed" if dtype == nw.Object else "other"


def _all_text(series: nw.Series[Any]) -> bool:
    """Return whether a column is text throughout: of Python objects narwhals looks at the first hundred."""
    if not series.implementation.is_pandas() or series.to_native().dtype != object:
        return True
    from pandas.api.types import infer_dtype

    return infer_dtype(series.to_native(), skipna=True) in ("string", "empty")


def native_type(series: nw.Series[Any]) -> str:
    """Return the type of a column as it is called in a message: its library's name where narwhals has none."""
    import narwhals as nw

    return str(series.to_native().dtype if series.dtype == nw.Unknown and hasattr(series.to_native(), "dtype") else series.dtype)


def refuse_patterns(names: Iterable[str], known: Collection[str] = ()) -> None:
    """Raise DataError for a column name that polars takes for a pattern, or that is no text; not for those of a model that is there."""
    for name in names:
        pattern = name.startswith("^") and name.endswith("$")
        if (pattern or (not name.isascii() and _SURROGATE.search(name))) and name not in known:
            why = "which polars takes for a pattern" if pattern else "which holds half of a surrogate pair"
            raise DataError(f"a column is called {name!r}, {why}; rename it")


def refuse_duplicates(names: Sequence[str], known: Collection[str] = ()) -> None:
    """Raise DataError that lists the column names that occur more than once, and for one that `refuse_patterns` refuses."""
    refuse_patterns(names, known)
    twice = [f"{name!r} ({count} times)" for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"column names must be unique, but these are not: {', '.join(twice)}; rename or remove columns")
    forms = Counter(unicodedata.normalize("NFC", str(name)) for name in names if not str(name).isascii())
    alike = next((form for form, count in forms.items() if count > 1), None)
    if alike is not None:
        raise DataError(f"two columns are called {alike!r}, in different Unicode characters (NFC and NFD); rename or remove one")


def look_alike(name: object, names: Iterable[object]) -> str | None:
    """Return the one of the names that looks like `name` but is written in other Unicode characters, None where there is none.

    >>> look_alike("caf\\u00e9", ["cafe", "cafe\\u0301"]) == "cafe\\u0301"
    True
    """
    if not isinstance(name, str):
        return None
    form = unicodedata.normalize("NFC", name)
    found = (other for other in names if isinstance(other, str) and other != name)
    return next((other for other in found if unicodedata.normalize("NFC", other) == form), None)


def require(names: Iterable[str], known: Sequence[str], *, what: str) -> None:
    """Raise DataError that lists the names that are not columns, each with the nearest column.

    >>> require(["prise"], ["rooms", "price"], what="target")
    Traceback (most recent call last):
        ...
    manynets.errors.DataError: target 'prise' is not a column; did you mean 'price'? The columns are: rooms, price
    """
    if isinstance(names, str):
        raise DataError(f"{what} is the text {names!r}, but must be a list of column names; write [{names!r}]")
    columns = frozenset(known)
    hints = {name: _hint(name, known) for name in names if name not in columns}
    if not hints:
        return
    exist = what.startswith("column")
    if len(hints) == 1:
        ((name, hint),) = hints.items()
        end = f"; {hint}" if hint.endswith("?") else f", but {hint}." if hint else "."
        problem = f"{what} {name!r} {'does not exist' if exist else 'is not a column'}{end}"
    else:
        shown = listed((f"{name!r} ({hint})" if hint else repr(name) for name, hint in hints.items()), MOST_UNKNOWN)
        several = what if what.startswith("--") else re.sub(r"^\w+", r"\g<0>s", what)
        problem = f"{several} {shown} {'do not exist' if exist else 'are not columns'}."
    raise DataError(f"{problem} The columns are: {listed(known, 20)}")


def _hint(name: object, known: Sequence[str]) -> str:
    """Return which column may be meant by a name that is none; empty where none is spelled alike."""
    if look_alike(name, known):
        return "one is called the same in other Unicode characters (NFC and NFD): copy its name from there"
    near = nearest(str(name), known)
    return f"did you mean {near!r}?" if near else ""
