"""Files that are read in parts: whether they are still those that were opened, and Parquet files column by column.

So the table is never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manynets.errors import DataError
from manynets.tables.unusual import unnested, usual_integers

if TYPE_CHECKING:
    import narwhals as nw


def check_name(file: Path) -> Path:
    """Return a path. Errors: DataError where it holds bytes that are not UTF-8, as polars opens no such file."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        raise DataError(f"{str(file)!a}: the name is not UTF-8, and a table with such a name cannot be opened; rename it") from None
    return file


class FileMarks:
    """Inode, size and time of files when they were opened. form: of the files. Errors: DataError for a file that cannot be read."""

    def __init__(self, files: Sequence[Path], *, form: str) -> None:
        self.files, self.form = tuple(files), form
        self._marks = [self._mark(file) for file in self.files]

    def check(self, number: int | None = None) -> None:
        """Raise DataError if a file has changed since it was opened; number: look at this one only."""
        for k in range(len(self.files)) if number is None else [number]:
            if self._mark(self.files[k]) != self._marks[k]:
                raise DataError(f"{self.files[k]} changed while it was read; start again, with a file that stays as it is")

    def _mark(self, file: Path) -> tuple[int, int, int]:
        try:
            stat = file.stat()
        except OSError as error:
            raise DataError(f"{file} cannot be read as {self.form}: {error.strerror}") from error
        return stat.st_ino, stat.st_size, stat.st_mtime_ns


class StoredColumns:
    """The columns of a Parquet file, or of several with the same columns, one below the other.

    To read all of them one by one takes about as long as to read the file at once. `manynets.tables.rowgroups` reads the other way, all
    columns of some rows: it opens each file by itself, as it needs to know where row groups begin and which file is damaged.

    Attributes:
        names: of the columns, in order.
        rows: how many.
        nested: whether a column holds lists or arrays.
    """

    def __init__(self, name: str, files: Sequence[Path]) -> None:
        import polars

        self._name, self._marks = name, FileMarks(files, form="Parquet")
        with readable(name, "Parquet"):
            self._lazy = scan(files)
            schema = self._lazy.collect_schema()
            self.names = tuple(schema.names())
            self.rows = int(self._lazy.select(polars.len()).collect().item())
        self.nested = any(isinstance(dtype, polars.List | polars.Array) for dtype in schema.dtypes())
        self._last: tuple[str, nw.Series[Any]] | None = None

    def read(self, names: Sequence[str], *, start: int = 0, rows: int | None = None) -> nw.DataFrame[Any]:
        """Return these columns; of all rows, or of so many from `start` on."""
        import narwhals as nw
        from polars import selectors

        self._marks.check()
        with readable(self._name, "Parquet"):
            lazy = self._lazy.select(selectors.by_name(*names))  # "*" is a name here, not a pattern
            frame = (lazy if rows is None else lazy.slice(start, rows)).collect()
        self._marks.check()
        return nw.from_native(usual_integers(frame), eager_only=True)

    def column(self, name: str) -> nw.Series[Any]:
        """Return a column; the last one is cached."""
        if self._last is None or self._last[0] != name:
            self._last = None  # first, so that there are never two
            self._last = name, self.read([name]).get_column(name)
        return self._last[1]


def scan(files: Sequence[Path]) -> Any:
    """Return Parquet files as a lazy frame of polars, without structs; folders such as `color=red` are a column."""
    import polars

    return unnested(polars.scan_parquet(list(files), glob=False, hive_partitioning=_has_keys(files)))


def keys_of(files: Sequence[Path]) -> dict[str, Any]:
    """Return the columns that the names of folders give, such as `color=red`, with their types in polars."""
    if not _has_keys(files):
        return {}
    names = {part.partition("=")[0] for file in files for part in file.parts[:-1] if "=" in part}
    return {name: kind for name, kind in scan(files).collect_schema().items() if name in names}


def _has_keys(files: Sequence[Path]) -> bool:
    return any("=" in part for file in files for part in file.parts[:-1]) and len(files) > 1


@contextmanager
def readable(name: object, form: str) -> Iterator[None]:
    """Within: what polars cannot read is a DataError that names the file, or which rows of it."""
    import polars

    try:
        yield
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError) as error:
        fix = "" if isinstance(error, FileNotFoundError) else "; write the file anew"
        raise DataError(f"{name} cannot be read as {form}: {first_line(error)}{fix}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of a message, or the kind of error where there is none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
