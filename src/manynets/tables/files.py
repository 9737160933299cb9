"""Read a table from a file: CSV, TSV, Parquet, Arrow. polars reads; what it would pass over in silence is an error here."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from manynets.errors import DataError, MissingExtraError
from manynets.tables.delimited import read_delimited
from manynets.tables.frames import open_table
from manynets.tables.stored import StoredColumns, first_line, readable
from manynets.tables.table import Table, refuse_duplicates

if TYPE_CHECKING:
    import polars

__all__ = ["TABLE_ENDINGS", "open_file", "read_table"]

_DELIMITED = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".pq")
_ARROW = (".arrow", ".feather", ".ipc")
TABLE_ENDINGS = (*_DELIMITED, *(f"{ending}.gz" for ending in _DELIMITED), *_PARQUET, *_ARROW)
"""The endings by which `read_table` knows a format."""


def read_table(
    path: str | Path, *, encoding: str | None = None, delimiter: str | None = None, header: bool = True
) -> polars.DataFrame:
    """Return the table in a file as a polars frame; needs the extra `tables`.

    Text files: UTF-8 with or without a byte order mark, or the encoding given (such as latin-1, utf-16). The delimiter is the one
    of `,` `;` tab `|` that splits the first lines most evenly, unless given. Blanks around cells and names are taken off; an
    empty cell is missing. A column is made numbers if each of its cells is one or one of `MISSING_TOKENS`, in a file with `;` also
    with a decimal comma; but not if a number begins with a zero ("0171"), or has more than 18 digits. All else stays text.
    Blank lines are passed over. A column without a name is called unnamed_0, with its place.

    Errors: DataError for a path that is no file or has an unknown ending, for no data rows, for names that occur twice, for a line
    with more or fewer fields than the header (it is named), for bytes that are not in the encoding (with their offset), and for a
    damaged file; MissingExtraError without polars.
    """
    file, ending = _found(path)
    if ending.removesuffix(".gz") in _DELIMITED:
        preferred = "\t" if ending.startswith(".tsv") else None
        frame, notes = read_delimited(file, encoding=encoding, delimiter=delimiter, preferred=preferred, header=header)
        for note in notes:
            warnings.warn(note, UserWarning, stacklevel=2)
        return frame
    _refuse_text_options(file, ending, encoding, delimiter)
    frame = _read_parquet(file) if ending in _PARQUET else _read_arrow(file)
    refuse_duplicates(frame.columns)
    if not frame.height or not frame.width:
        raise _no_rows(file)
    return frame


def open_file(path: str | Path, *, encoding: str | None = None, delimiter: str | None = None) -> Table:
    """Return the table in a file for the functions of this package; as `read_table`, but Parquet is read column by column.

    So a Parquet file must stay as it is as long as the table is in use.
    """
    file, ending = _found(path)
    if ending not in _PARQUET:
        return open_table(read_table(file, encoding=encoding, delimiter=delimiter))
    _refuse_text_options(file, ending, encoding, delimiter)
    stored = StoredColumns(file)
    refuse_duplicates(stored.names)
    if not stored.rows or not stored.names:
        raise _no_rows(file)
    return Table(names=stored.names, rows=stored.rows, file=stored)


def _found(path: str | Path) -> tuple[Path, str]:
    """Return the path and its ending, once it is a file that polars can be asked to read."""
    file = Path(path)
    if not file.exists():
        raise DataError(f"{file}: there is no such file")
    if not file.is_file():
        raise DataError(f"{file} is a folder, but must be a file; name the file in it")
    name = file.name.lower()
    ending = next((ending for ending in TABLE_ENDINGS if name.endswith(ending)), None)
    if ending is None:
        raise DataError(f"{file}: the ending is not one of {', '.join(TABLE_ENDINGS)}; rename the file to what it holds")
    try:
        import polars  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("polars", extra="tables", purpose="reading a table file") from error
    return file, ending


def _refuse_text_options(file: Path, ending: str, encoding: str | None, delimiter: str | None) -> None:
    if encoding is not None or delimiter is not None:
        raise DataError(f"{file}: encoding and delimiter are for text files ({', '.join(_DELIMITED)}); leave them out for {ending}")


def _no_rows(file: Path) -> DataError:
    return DataError(f"{file} holds 0 data rows; at least 1 is needed")


def _read_parquet(file: Path) -> polars.DataFrame:
    import polars

    with readable(file, "Parquet"):
        return polars.read_parquet(file, glob=False)


def _read_arrow(file: Path) -> polars.DataFrame:
    import polars

    try:
        return polars.read_ipc(file)
    except (polars.exceptions.PolarsError, OSError) as error:
        try:
            return polars.read_ipc_stream(file)
        except (polars.exceptions.PolarsError, OSError):
            raise DataError(f"{file} cannot be read as Arrow: {first_line(error)}") from error
