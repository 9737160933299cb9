"""The body of a request as the columns of a table.

JSON: {"records": [{"size": 80, "town": "Bern"}, ...]}, or {"columns": {"size": [80, ...], "town": [...]}}; either may stand alone, without the
outer name. Of a model that was trained on an array, records are lists. CSV: with a header.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from manynets.tables import TableEncoder
from manynets.tables.cells import plain_label
from manynets.tables.columns import DateColumn, NumericColumn
from manynets.tables.missing import is_missing
from manynets.tables.written import read_number

__all__ = ["BadRequest", "RequestRows", "read_rows"]

MOST_NAMED = 20
LONGEST = 10_000
"""Characters of a cell."""


class BadRequest(Exception):
    """A request that cannot be answered: status, what is wrong, and where."""

    def __init__(self, status: int, message: str, *, column: str | None = None, row: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.column, self.row = status, message, column, row

    def to_json(self) -> dict[str, Any]:
        """Return the body of the answer."""
        where = {name: value for name, value in (("column", self.column), ("row", self.row)) if value is not None}
        return {"error": {"message": self.message, **where}}


@dataclasses.dataclass(frozen=True)
class RequestRows:
    """Rows of a request: their number, the cells of each column that the model knows, and the names of other columns."""

    count: int
    columns: dict[str, list[Any]]
    ignored: list[str]


def read_rows(body: bytes, kind: str, encoder: TableEncoder | None, width: int, *, most: int) -> RequestRows:
    """Return the rows of a body; kind: its content type. encoder: of the model, or None where it takes `width` numbers a row."""
    raw = _from_csv(body) if kind.split(";")[0].strip().lower() in ("text/csv", "application/csv") else _from_json(body)
    names = [f"x{j}" for j in range(width)] if encoder is None or encoder.positional else list(encoder.column_names)
    if isinstance(raw, Mapping):
        found = _by_column(raw)
    else:
        found = _by_record(raw, names, positional=encoder is None or encoder.positional)
    count = len(next(iter(found.values()), ()))
    if not 0 < count <= most:
        raise BadRequest(413 if count else 422, f"the request has {count:,} rows, but must have from 1 to {most:,}")
    missing = [name for name in names if name not in found]
    if missing:
        shown = ", ".join(map(repr, missing[:MOST_NAMED])) + (", ..." if len(missing) > MOST_NAMED else "")
        raise BadRequest(422, f"{len(missing)} columns are missing: {shown}; send null where a value is missing", column=missing[0])
    columns = {} if encoder is None else {column.name: column for column in encoder.columns}
    cells = {name: _cells(found[name], name, columns.get(name)) for name in names}
    return RequestRows(count, cells, [name for name in found if name not in cells][:MOST_NAMED])


def _refuse_constant(text: str) -> float:
    raise BadRequest(400, f"the body is not strict JSON: it holds {text}; send null where a value is missing")


def _from_json(body: bytes) -> Any:
    try:
        found = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # of text that is not UTF-8, too
        what = "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {str(error)[:200]}"
        raise BadRequest(400, f"the body {what}") from None
    if isinstance(found, dict) and len(found) == 1:
        for name in ("records", "columns"):
            if name in found and isinstance(found[name], list if name == "records" else dict):
                found = found[name]
    if not isinstance(found, list | dict):
        raise BadRequest(422, 'the body must be {"records": [...]} or {"columns": {...}}')
    return found


def _from_csv(body: bytes) -> dict[str, list[Any]]:
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(400, f"the body is not CSV in UTF-8: {str(error)[:200]}") from None
    lines = [line for line in lines if line]
    if not lines:
        raise BadRequest(422, "the body is empty; CSV needs a header and a row")
    header = [name.strip() for name in lines[0]]
    if len(set(header)) < len(header):
        raise BadRequest(422, "the header names a column twice")
    for row, line in enumerate(lines[1:]):
        if len(line) != len(header):
            raise BadRequest(422, f"row {row} has {len(line)} cells, but the header has {len(header)}", row=row)
    return {name: [line[j] for line in lines[1:]] for j, name in enumerate(header)}


def _by_column(raw: Mapping[str, Any]) -> dict[str, list[Any]]:
    count = None
    for name, cells in raw.items():
        if not isinstance(cells, list):
            raise BadRequest(422, "a column must be a list of cells", column=name)
        if count is not None and len(cells) != count:
            raise BadRequest(422, f"the column has {len(cells)} cells, but others have {count}", column=name)
        count = len(cells)
    return dict(raw)


def _by_record(raw: Sequence[Any], names: list[str], *, positional: bool) -> dict[str, list[Any]]:
    if positional and raw and isinstance(raw[0], list):
        for row, record in enumerate(raw):
            if not isinstance(record, list) or len(record) != len(names):
                raise BadRequest(422, f"a row must be a list of {len(names)} numbers", row=row)
        return {name: [record[j] for record in raw] for j, name in enumerate(names)}
    keys: dict[str, None] = dict.fromkeys(names)
    for row, record in enumerate(raw):
        if not isinstance(record, dict):
            raise BadRequest(422, "a record must be an object of cells by column", row=row)
        if not record.keys() >= keys.keys():
            absent = next(name for name in names if name not in record)
            raise BadRequest(422, f"the column {absent!r} is missing; send null where a value is missing", column=absent, row=row)
    others = dict.fromkeys(name for record in raw[:100] for name in record if name not in keys)
    return {name: [record[name] for record in raw] for name in names} | {name: [None] * len(raw) for name in others}


def _cells(cells: list[Any], name: str, column: Any) -> list[Any]:
    """Return numbers (NaN where missing) of a column of numbers, and texts (None where missing) of any other."""
    if column is None or isinstance(column, NumericColumn):
        return [_number(cell, name, row, column) for row, cell in enumerate(cells)]
    if isinstance(column, DateColumn) and not column.form.as_written:
        return [_number(cell, name, row, None) for row, cell in enumerate(cells)]
    return [_text(cell, name, row) for row, cell in enumerate(cells)]


def _number(cell: Any, name: str, row: int, column: NumericColumn | None) -> float:
    if cell is None:
        if column is None:
            raise BadRequest(422, "a number is missing, and the model has no columns that may have gaps", column=name, row=row)
        return math.nan
    if isinstance(cell, int | float):
        try:
            number = float(cell)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
        raise BadRequest(422, "the number is too large", column=name, row=row)
    if isinstance(cell, str):
        text = cell.strip()
        if is_missing(text) and column is not None:
            return math.nan
        found = None
        if len(text) <= LONGEST:
            found = read_number(text, column.reading) if column is not None else _plain_number(text)
        if found is not None and math.isfinite(found):
            return found
    raise BadRequest(422, f"{str(cell)[:40]!r} is not a number", column=name, row=row)


def _plain_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text(cell: Any, name: str, row: int) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, str | bool | int | float):
        if isinstance(cell, str) and len(cell) <= LONGEST:
            return cell
        if not isinstance(cell, str):
            try:
                return plain_label(cell)
            except ValueError:  # a whole number of thousands of digits
                pass
    raise BadRequest(
        422, f"{type(cell).__name__} is neither text, a number, true, false nor null, or too long", column=name, row=row
    )
