"""Read a sheet of Excel or OpenDocument: its cells as text, which is then read as a text table is."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from manynets.errors import DataError, optional_module
from manynets.tables.delimited import TextTable, read_source
from manynets.tables.source import Source, TextOptions
from manynets.tables.stored import first_line

SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def read_sheet(name: str, source: Path | bytes, options: TextOptions) -> TextTable:
    """Return the table in the first sheet that holds one; see `read_table`.

    Errors: MissingExtraError without the package python-calamine; DataError for a damaged file, and one without cells.
    """
    purpose = "reading an Excel or OpenDocument sheet"
    python_calamine = optional_module("python_calamine", package="python-calamine", extra="excel", purpose=purpose)
    try:
        book = python_calamine.load_workbook(source if isinstance(source, Path) else io.BytesIO(source))
        sheets = [(title, _cells(book.get_sheet_by_name(title).to_python())) for title in book.sheet_names]
    except (python_calamine.CalamineError, OSError) as error:
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


def _cells(rows: list[list[Any]]) -> list[list[str]]:
    """Return the rows of a sheet as text, without empty rows below and empty columns beside them."""
    texts = [[_text(cell) for cell in row] for row in rows]
    while texts and not any(texts[-1]):
        texts.pop()
    used = [j for j in range(len(texts[0]) if texts else 0) if any(row[j] for row in texts)]
    return [[row[j] for j in used] for row in texts]


def _text(cell: Any) -> str:
    """Return a cell as text: a whole number without a point, a moment at midnight as a day."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return cell.strip() if isinstance(cell, str) else str(cell).removesuffix(" 00:00:00")
