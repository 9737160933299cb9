"""The tables that were dropped on the page, or named on the command line."""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manynets.errors import DataError, OptionError

if TYPE_CHECKING:
    import polars

ENDINGS = (".csv", ".tsv", ".txt", ".parquet")
MOST_BYTES, MOST_FILES, MOST_ROWS = 64 << 20, 4, 200_000
_WARNINGS = threading.Lock()


@contextlib.contextmanager
def caught_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Collect the warnings within. Warning filters belong to the process, so the pages' threads take turns."""
    with _WARNINGS, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


class StoredTable:
    """A table, the name of its file, and the warnings while it was read. shown: its path in programs, and sheet: that of a workbook; it is never opened again."""

    def __init__(self, name: str, frame: polars.DataFrame, notes: list[str], *, shown: str = "", sheet: str | None = None) -> None:
        self.name, self.frame, self.notes, self.shown, self.sheet = name, frame, notes, shown or name, sheet
        self.described: dict[str | None, dict[str, Any]] = {}

    def about(self, target: str | None = None) -> dict[str, Any]:
        """Return how the columns are read, as JSON types."""
        known = self.described.get(target)  # the threads of other pages may replace it meanwhile
        if known is None:
            from manynets.tables import inspect_table

            with caught_warnings():  # the page shows the result itself
                found = inspect_table(self.frame, target).to_json()
            known = {"name": self.name, "rows": len(self.frame), "columns": list(self.frame.columns), "schema": found}
            self.described = {target: known}
        return known


class Files:
    """The tables of a server by their ids; the oldest is deleted when there are too many. A page sends an id, never a path."""

    def __init__(self) -> None:
        self._tables: OrderedDict[str, StoredTable] = OrderedDict()
        self._lock = threading.Lock()
        self._count = 0
        self.first = ""

    def open(self, path: str, *, sheet: str | None = None) -> str:
        """Read the file of the command line; return its id. sheet: of a workbook. Errors: those of `read_table`."""
        from manynets.tables import read_table

        self.first = self._add(StoredTable(Path(path).name, read_table(path, sheet=sheet), [], shown=path, sheet=sheet))
        return self.first

    def add(self, name: str, content: bytes) -> str:
        """Read a dropped file; return its id. Errors: DataError and OptionError for what cannot be read."""
        from manynets.tables import read_table

        plain = re.sub(r"[^\w. -]+", "_", name)[-80:] or "table.csv"
        ending = next((end for end in ENDINGS if plain.lower().endswith(end)), None)
        if ending is None:
            raise OptionError(
                f"{plain!r} is not a kind of table that the page reads; drop a file that ends in {', '.join(ENDINGS)}"
            )
        with tempfile.TemporaryDirectory() as folder, caught_warnings() as caught:
            path = Path(folder, f"table{ending}")
            path.write_bytes(content)
            try:
                frame = read_table(path)
            except DataError as error:
                raise DataError(str(error).replace(str(path), plain)) from None
        if len(frame) > MOST_ROWS:
            raise DataError(f"{plain} has {len(frame):,} rows, but the page takes at most {MOST_ROWS:,}")
        notes = [str(one.message).replace(str(path), plain) for one in caught]
        return self._add(StoredTable(plain, frame, notes))

    def _add(self, table: StoredTable) -> str:
        with self._lock:
            self._count += 1
            key = f"t{self._count}"
            self._tables[key] = table
            removable = [known for known in self._tables if known != self.first]
            if len(removable) > MOST_FILES:
                del self._tables[removable[0]]
        return key

    def get(self, key: str) -> StoredTable:
        """Return a table. Errors: OptionError where the server has none with this id."""
        table = self._tables.get(key)
        if table is None:
            raise OptionError("this table is no longer on the server; drop its file on the page again")
        return table
