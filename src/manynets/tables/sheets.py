"""Read a sheet of Excel or OpenDocument: its cells as text, which is then read as a text table is."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from manynets.errors import DataError, nearest, optional_module
from manynets.tables.delimited import TextTable, read_source
from manynets.tables.source import Source, TextOptions
from manynets.tables.stored import first_line

SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def read_sheet(name: str, source: Path | bytes, options: TextOptions) -> TextTable:
    """Return the table in the sheet that the options name, or in the first that holds one; see `read_table`.

    Errors: MissingExtraError without the package python-calamine; DataError for a damaged file, for one without cells, and for a sheet that it
    does not have.
    """
    with _opened(name, source) as book:
        titles = book.sheet_names if options.sheet is None else [_known(name, options.sheet, book.sheet_names)]
        sheets = [(title, _cells(book.get_sheet_by_name(title).to_python())) for title in titles]
    filled = [(title, rows) for title, rows in sheets if rows]
    if not filled:
        which = "its sheets are empty" if options.sheet is None else f"its sheet {options.sheet!r} is empty"
        raise DataError(f"{name} holds 0 data rows: {which}; a header and at least 1 row are needed")
    title, rows = max(filled, key=_looks_like_a_table)  # the first of several
    more = [other for other, _ in filled if other != title]
    notes = []
    if more:
        how = f"mn.tables.read_table(path, sheet={more[-1]!r}) reads another"
        notes.append(f"the sheet {title!r} is read, and not {', '.join(map(repr, more))}; {how}")
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    text = Source(name=name, content=out.getvalue().encode(), notes=tuple(notes))
    return read_source(text, replace(options, encoding="utf-8", delimiter=","))


def sheet_names(name: str, source: Path | bytes) -> tuple[str, ...]:
    """Return the names of the sheets in a workbook. Errors: those of `read_sheet`."""
    with _opened(name, source) as book:
        return tuple(book.sheet_names)


@contextlib.contextmanager
def _opened(name: str, source: Path | bytes) -> Iterator[Any]:
    purpose = "reading an Excel or OpenDocument sheet"
    python_calamine = optional_module("python_calamine", package="python-calamine", extra="excel", purpose=purpose)
    try:
        yield python_calamine.load_workbook(source if isinstance(source, Path) else io.BytesIO(source))
    except (python_calamine.CalamineError, OSError) as error:
        raise DataError(f"{name} cannot be read as a sheet: {first_line(error)}") from error


def _looks_like_a_table(sheet: tuple[str, list[list[str]]]) -> tuple[bool, bool]:
    """Return whether a sheet has more than one row and more than one column, which a cover with a title does not have."""
    _, rows = sheet
    return len(rows) > 1, len(rows[0]) > 1


def _known(name: str, sheet: str, titles: Sequence[str]) -> str:
    if sheet in titles:
        return sheet
    near = nearest(str(sheet), titles)
    hint = f"; did you mean {near!r}?" if near else "."
    raise DataError(f"{name} has no sheet {sheet!r}{hint} Its sheets are: {', '.join(map(repr, titles))}")


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
