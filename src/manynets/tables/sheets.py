"""Read a sheet of Excel or OpenDocument: its cells as text, which is then read as a text table is."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manynets.errors import DataError, MissingExtraError
from manynets.tables.delimited import read_source
from manynets.tables.source import Source, TextOptions
from manynets.tables.stored import first_line

if TYPE_CHECKING:
    import polars

__all__ = ["SHEETS", "read_sheet"]

SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def read_sheet(name: str, source: Path | bytes, options: TextOptions) -> tuple[polars.DataFrame, tuple[str, ...]]:
    """Return the table in the first sheet that holds one, and notes; see `read_table`.

    Errors: MissingExtraError without the package fastexcel; DataError for a damaged file, and one without cells.
    """
    try:
        import fastexcel  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("fastexcel", extra="excel", purpose="reading an Excel or OpenDocument sheet") from error
    try:
        book = fastexcel.read_excel(source)
        sheets = [(title, _cells(book, title)) for title in book.sheet_names]
    except Exception as error:  # its errors share no base
        raise DataError(f"{name} cannot be read as a sheet: {first_line(error)}") from error
    filled = [(title, rows) for title, rows in sheets if rows]
    if not filled:
        raise DataError(f"{name} holds 0 data rows: its sheets are empty; a header and at least 1 row are needed")
    title, rows = filled[0]
    more = [other for other, _ in filled[1:]]
    notes = (
        (f"the sheet {title!r} is read, and not {', '.join(map(repr, more))}; save another on its own to read it",) if more else ()
    )
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    text = Source(name=name, content=out.getvalue().encode(), notes=notes)
    return read_source(text, replace(options, encoding="utf-8", delimiter=","))


def _cells(book: Any, title: str) -> list[list[str]]:
    """Return the rows of a sheet as text, without empty rows and columns around them."""
    sheet = book.load_sheet(title, header_row=None, dtypes="string").to_polars()
    rows = [[_text(cell) for cell in row] for row in sheet.iter_rows()]
    while rows and not any(rows[-1]):
        rows.pop()
    used = [place for place in range(sheet.width) if any(row[place] for row in rows)]
    return [[row[place] for place in used] for row in rows]


def _text(cell: str | None) -> str:
    """Return a cell as text; a moment at midnight is a day."""
    return "" if cell is None else cell.strip().removesuffix(" 00:00:00")
