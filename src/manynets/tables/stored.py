"""A Parquet file as columns that are read when they are asked for, so that the table never lies in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manynets.errors import DataError

if TYPE_CHECKING:
    import narwhals as nw

__all__ = ["StoredColumns", "first_line", "readable"]


class StoredColumns:
    """The columns of a Parquet file. To read all of them one by one takes about as long as to read the file at once.

    Attributes:
        names: of the columns, in order.
        rows: how many.
    """

    def __init__(self, file: Path) -> None:
        import polars

        self._file, self._mark = file, _mark_of(file)
        self._lazy = polars.scan_parquet(file, glob=False)
        with readable(file, "Parquet"):
            self.names = tuple(self._lazy.collect_schema().names())
            self.rows = int(self._lazy.select(polars.len()).collect().item())
        self._last: tuple[str, nw.Series[Any]] | None = None

    def read(self, names: Sequence[str]) -> nw.DataFrame[Any]:
        """Return these columns, all rows of them."""
        import narwhals as nw
        from polars import selectors

        self._check_unchanged()
        with readable(self._file, "Parquet"):
            frame = self._lazy.select(selectors.by_name(*names)).collect()  # "*" is a name here, not a pattern
        self._check_unchanged()
        return nw.from_native(frame, eager_only=True)

    def column(self, name: str) -> nw.Series[Any]:
        """Return a column; the last one asked for is at hand."""
        if self._last is None or self._last[0] != name:
            self._last = None  # first, so that there are never two
            self._last = name, self.read([name]).get_column(name)
        return self._last[1]

    def _check_unchanged(self) -> None:
        with readable(self._file, "Parquet"):
            changed = _mark_of(self._file) != self._mark
        if changed:
            raise DataError(f"{self._file} changed while it was read; start again, with a file that stays as it is")


def _mark_of(file: Path) -> tuple[int, int, int]:
    stat = file.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


@contextmanager
def readable(file: Path, form: str) -> Iterator[None]:
    """Within: what polars cannot read is a DataError that names the file."""
    import polars

    try:
        yield
    except (polars.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{file} cannot be read as {form}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of a message, or the kind of error where there is none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
