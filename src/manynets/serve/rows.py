"""The body of a request as the columns of a table.

JSON: {"records": [{"size": 80, "town": "Bern"}, ...]}, or {"columns": {"size": [80, ...], "town": [...]}}; either may stand alone, without the
outer name. Of a model that was trained on an array, records are lists. CSV: with a header, and commas, semicolons or tabs.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import math
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from manynets.display import counted, listed
from manynets.tables import TableEncoder
from manynets.tables.cells import plain_label
from manynets.tables.columns import DateColumn, NumericColumn
from manynets.tables.missing import is_missing
from manynets.tables.written import PLAIN, Reading, read_number, reading_for

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

    def part(self, start: int, stop: int) -> RequestRows:
        """Return some of the rows."""
        return RequestRows(stop - start, {name: cells[start:stop] for name, cells in self.columns.items()}, [])


class RowReader:
    """Reads the rows of requests for one model. encoder: of the model, or None where it takes numbers of at most `largest` in these columns."""

    def __init__(self, encoder: TableEncoder | None, names: Sequence[str], *, largest: float = sys.float_info.max) -> None:
        self._largest = largest
        self._positional = encoder is None or encoder.positional
        self._gaps = encoder is not None
        self._readings: dict[str, Reading | None] = dict.fromkeys(names, PLAIN)
        if encoder is not None and not encoder.positional:
            self._readings = {column.name: reading_of(column) for column in encoder.columns}

    def read(self, body: bytes, kind: str, *, most: int) -> RequestRows:
        """Return the rows of a body; kind: its content type; most: rows. Errors: BadRequest."""
        csv_sent = kind.partition(";")[0].strip().lower() in ("text/csv", "application/csv")
        raw = _from_csv(body, most, self._readings) if csv_sent else _from_json(body, self._readings)
        names = self._readings
        count = len(raw) if isinstance(raw, list) else _cells_of_each(raw)
        if not 0 < count <= most:
            raise BadRequest(413 if count else 422, f"the request has {count:,} rows, but must have from 1 to {most:,}")
        found = raw if isinstance(raw, dict) else _by_record(raw, names, positional=self._positional)
        if not found.keys() >= names.keys():
            raise _lacking([name for name in names if name not in found])
        cells = {
            name: _texts(found[name], name) if reading is None else self._numbers(found[name], name, reading)
            for name, reading in names.items()
        }
        others = _others(raw, names) if isinstance(raw, list) else (name for name in found if name not in cells)
        return RequestRows(count, cells, list(itertools.islice(others, MOST_NAMED)))

    def empty_row(self) -> RequestRows:
        """Return a row without values, or of zeros where the model allows no gaps."""
        number = math.nan if self._gaps else 0.0
        return RequestRows(1, {name: [None if reading is None else number] for name, reading in self._readings.items()}, [])

    def _numbers(self, cells: list[Any], name: str, reading: Reading) -> list[float]:
        """Return the cells of a column of numbers, NaN where missing."""
        reading = reading_for((cell for cell in cells if isinstance(cell, str)), reading)
        return [
            cell if type(cell) is float and -self._largest <= cell <= self._largest else self._number(cell, name, row, reading)
            for row, cell in enumerate(cells)
        ]

    def _number(self, cell: Any, name: str, row: int, reading: Reading) -> float:
        if isinstance(cell, int):
            try:
                cell = float(cell)
            except OverflowError:
                cell = math.inf
        if isinstance(cell, float):
            return self._within(cell, name, row)
        text = cell.strip() if isinstance(cell, str) else None
        if cell is None or (text is not None and is_missing(text)):
            if self._gaps:
                return math.nan
            raise BadRequest(422, "a number is missing, but the columns of this model may not have gaps", column=name, row=row)
        found = read_number(text, reading) if text and len(text) <= LONGEST else None
        if found is None and text and (reading.lenient or reading.digits):
            return math.nan
        if found is None:
            raise BadRequest(422, f"{str(cell)[:40]!r} is not a number", column=name, row=row)
        return self._within(found, name, row)

    def _within(self, number: float, name: str, row: int) -> float:
        """Return a number that the model can take. Errors: BadRequest for any other."""
        if not abs(number) <= self._largest:
            raise BadRequest(422, f"the number is too large: it must be at most {self._largest:.3g}", column=name, row=row)
        return number


def reading_of(column: Any) -> Reading | None:
    """Return how the numbers of a column are written, None for a column of texts."""
    if isinstance(column, NumericColumn):
        return column.reading
    return PLAIN if isinstance(column, DateColumn) and not column.form.as_written else None


def _lacking(names: list[str]) -> BadRequest:
    shown = listed(map(repr, names), MOST_NAMED)
    count = "1 column is" if len(names) == 1 else f"{len(names)} columns are"
    return BadRequest(422, f"{count} missing: {shown}; send null where a value is missing", column=names[0])


def _refuse_constant(text: str) -> float:
    raise BadRequest(400, f"the body is not strict JSON: it holds {text}; send null where a value is missing")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _from_json(body: bytes, names: Container[str]) -> Any:
    try:
        found = _DECODER.decode(body.decode(json.detect_encoding(body)))
    except (ValueError, RecursionError) as error:  # of text that is not UTF-8, too
        deep = isinstance(error, RecursionError)
        what = "is nested too deeply" if deep else f"is not JSON: {str(error)[:200]}; CSV needs the header content-type: text/csv"
        raise BadRequest(400, f"the body {what}") from None
    if isinstance(found, dict) and len(found) == 1:
        for name in ("records", "columns"):
            if name in found and isinstance(found[name], list if name == "records" else dict):
                return found[name]
        [(name, cells)] = found.items()
        if name in ("records", "columns") and name not in names:
            what = "a list of rows" if name == "records" else "an object with a list of cells for each column"
            raise BadRequest(422, f"{name!r} must be {what}")
        if isinstance(cells, list) and cells and isinstance(cells[0], list | dict):
            raise BadRequest(422, f'rows must come as {{"records": [...]}}, not as {{"{name[:40]}": [...]}}')
    elif isinstance(found, dict) and (outer := [name for name in ("records", "columns") if name in found and name not in names]):
        other = next(name for name in found if name != outer[0])
        raise BadRequest(422, f"the body must have nothing beside {outer[0]!r}, but has {other[:40]!r}")
    if not isinstance(found, list | dict):
        raise BadRequest(422, 'the body must be {"records": [...]} or {"columns": {...}}')
    return found


def _from_csv(body: bytes, most: int, names: Iterable[str]) -> dict[str, list[Any]]:
    try:
        text = io.StringIO(body.decode("utf-8-sig"), newline="")
        header_line = next(filter(str.strip, text), "")
        text.seek(0)
        reader = csv.reader(text, delimiter=_delimiter(header_line, set(names)))
        lines = list(itertools.islice((line for line in reader if line), most + 2))  # so that too many rows take no memory
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(400, f"the body is not CSV in UTF-8: {str(error)[:200]}") from None
    if not lines:
        raise BadRequest(422, "the body is empty; CSV needs a header and a row")
    if len(lines) > most + 1:
        raise BadRequest(413, f"the request has more than {most:,} rows")
    bare = {name.strip(): name for name in names}  # in a header, blanks around a name do not count
    header = [bare.get(name.strip(), name.strip()) for name in lines[0]]
    if len(set(header)) < len(header):
        raise BadRequest(422, "the header names a column twice")
    for row, line in enumerate(lines[1:]):
        if len(line) != len(header):
            raise BadRequest(422, f"row {row} has {counted(len(line), 'cell')}, but the header has {len(header)}", row=row)
    return {name: [line[j] for line in lines[1:]] for j, name in enumerate(header)}


def _delimiter(header: str, names: set[str]) -> str:
    """Return the delimiter of a header: the comma, semicolon or tab that splits it into the most names of the model's columns.

    Of two that give as many, it is the first that the header has.
    """

    def found(sign: str) -> tuple[int, bool]:
        cells = next(csv.reader([header], delimiter=sign), [])
        return len({name.strip() for name in names} & {cell.strip() for cell in cells}), sign in header

    return max(",;\t", key=found)


def _cells_of_each(columns: Mapping[str, Any]) -> int:
    """Return how many cells each column has. Errors: BadRequest where they differ."""
    count = None
    for name, cells in columns.items():
        if not isinstance(cells, list):
            raise BadRequest(422, "a column must be a list of cells", column=name)
        if count is not None and len(cells) != count:
            raise BadRequest(422, f"the column has {counted(len(cells), 'cell')}, but others have {count}", column=name)
        count = len(cells)
    return count or 0


def _by_record(raw: Sequence[Any], names: Mapping[str, Any], *, positional: bool) -> dict[str, list[Any]]:
    if positional and raw and isinstance(raw[0], list):
        for row, record in enumerate(raw):
            if not isinstance(record, list) or len(record) != len(names):
                raise BadRequest(422, f"a row must be a list of {len(names)} numbers", row=row)
        return {name: [record[j] for record in raw] for j, name in enumerate(names)}
    for row, record in enumerate(raw):
        if not isinstance(record, dict):
            raise BadRequest(422, "a record must be an object of cells by column", row=row)
        if not record.keys() >= names.keys():
            absent = next(name for name in names if name not in record)
            raise BadRequest(422, f"the column {absent!r} is missing; send null where a value is missing", column=absent, row=row)
    return {name: [record[name] for record in raw] for name in names}


def _others(raw: Sequence[Any], names: Mapping[str, Any]) -> Iterable[str]:
    """Return the names in the first records that the model does not know; they get no columns, which could be larger than the request."""
    return sorted(
        {name for record in raw[:100] if isinstance(record, dict) and len(record) > len(names) for name in record} - names.keys()
    )


def _texts(cells: list[Any], name: str) -> list[str | None]:
    """Return the cells of any other column, None where missing."""
    return [
        cell if type(cell) is str and len(cell) <= LONGEST and cell.isascii() else _text(cell, name, row)
        for row, cell in enumerate(cells)
    ]


def _text(cell: Any, name: str, row: int) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, str) and len(cell) > LONGEST:
        raise BadRequest(422, f"the text has more than {LONGEST:,} characters", column=name, row=row)
    try:
        if isinstance(cell, str):
            cell.encode()  # half of a surrogate pair is no text
            return cell
        if isinstance(cell, bool | int | float):
            return plain_label(cell)
    except (ValueError, OverflowError):  # also for an infinite number, and a whole one of thousands of digits
        raise BadRequest(422, "the cell is neither text nor a number", column=name, row=row) from None
    raise BadRequest(422, f"{type(cell).__name__} is neither text, a number, true, false nor null", column=name, row=row)
