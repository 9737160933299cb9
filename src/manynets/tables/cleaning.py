"""Clean the lines of a text table: titles and comments above the header, footers, delimiters at the end, blank rows and columns.

All of it is rare, so it is done in plain Python on the whole file, which is then read as if it had been clean.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from manynets.display import counted, listed
from manynets.errors import DataError
from manynets.tables.missing import is_missing
from manynets.tables.numerals import NUMBER_LIKE
from manynets.tables.sniffing import first_cells_are_numbers, is_comment, plain_lines, unique_names
from manynets.tables.source import Source, decoded

TOTAL = re.compile(
    r"(?:(?:grand |sub-?)?totals?|sum(?:me)?|gesamt|insgesamt|averages?|mean|total général)(?::|:? +[0-9][0-9.,]*)?", re.IGNORECASE
)
SOURCE = re.compile(r"(?:sources?|notes?|quelle|fuente|remarks?|generated|created|exported)\s*:.*", re.IGNORECASE | re.DOTALL)
"""What a last line begins with that is none of the table, however many cells its commas make of it."""
_KEYWORD = re.compile(
    r"(?:sources?|notes?|quelle|fuente|remarks?|total|sum|generated|created|exported|copyright|end of|eof|data as of|as of|rows?)\b.*"
    r"|[*(©].*|--.*|[0-9.,]+ rows?\b.*|n ?= ?[0-9]+",
    re.IGNORECASE | re.DOTALL,
)
"""What a line below the table begins with."""
_SENTENCE = re.compile(r".*:|\S+ \S+ \S+")
_NUMBER = re.compile(NUMBER_LIKE)
MOST_FOOTERS = MOST_TITLES = 10


@dataclass
class _Row:
    line: int
    cells: list[str]
    lines: int = 1

    @property
    def filled(self) -> int:
        """How many cells are not empty."""
        return sum(bool(cell.strip()) for cell in self.cells)

    @property
    def blank(self) -> bool:
        return not any(cell.strip() for cell in self.cells)

    @property
    def comment(self) -> bool:
        """Whether it begins with a sign of comments; "%" may begin the name of a column."""
        start = self.cells[0] if self.cells else ""
        return is_comment(start) or (len(self.cells) == 1 and start.lstrip().startswith("%"))

    @property
    def numbers(self) -> bool:
        return any(_NUMBER.fullmatch(cell.strip()) for cell in self.cells)


def _note(notes: list[str], what: str, rows: Sequence[_Row]) -> None:
    """Add what was done with these rows, if there are any."""
    if rows:
        notes.append(f"{what} (line{'s' if len(rows) > 1 else ''} {listed((row.line for row in rows), 5)})")


def cleaned(source: Source, delimiter: str, *, header: bool) -> Source:
    """Return the source with its lines cleaned, and notes on what was done.

    Errors: DataError that names the line for one with more or fewer fields than the header, and for a quote that is not closed.
    """
    text, more = decoded(source.name, source.read())
    notes = [*source.notes, *more]
    text, separator = plain_lines(text.removeprefix("\ufeff"))
    first = 2 if separator else 1
    rows = _without_blank_lines(list(_rows(source.name, text, delimiter, first)))
    if not rows:
        raise DataError(f"{source.name} holds 0 data rows: it is empty; a header and at least 1 row are needed")
    if header:
        _cut_ends(rows, notes)
    width = _width(rows)
    names, body = _header(rows, width, notes) if header else (None, rows)
    if width > 1:
        body, names = _even(source.name, body, names, width, notes)
        body = _without_total(body, notes)
        names, body = _without_blank_columns(names, body, notes)
    elif (wrong := next((row for row in body if len(row.cells) != 1), None)) is not None:
        raise _ragged(source.name, wrong, 1)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    if names is not None:
        writer.writerow([name.strip() for name in unique_names([name.strip() for name in names])[0]])
    writer.writerows(row.cells if len(row.cells) > 1 or row.cells[0] else [""] for row in body)
    return replace(source, content=out.getvalue().encode(), notes=tuple(dict.fromkeys(notes)))


def _rows(name: str, text: str, delimiter: str, first: int) -> Iterator[_Row]:
    """Yield the rows with the lines on which they begin. Errors: DataError for a quote that is never closed."""
    lines = io.StringIO(text, newline="").readlines()
    reader = csv.reader(iter(lines), delimiter=delimiter)
    end = 0
    try:
        for cells in reader:
            begin, end = end, reader.line_num
            if end - begin > 1 and end == len(lines) and sum(line.count('"') for line in lines[begin:end]) % 2:
                raise DataError(
                    f'{name}, line {begin + first}: a quote (") opens a cell that is never closed; close it, or double it'
                )
            yield _Row(begin + first, cells, end - begin)
    except csv.Error as error:
        raise DataError(f'{name}, line {end + first}: {error}; a quote (") may open a cell that is never closed') from error


def _without_blank_lines(rows: list[_Row]) -> list[_Row]:
    single = all(len(row.cells) <= 1 for row in rows)  # in a single column a blank line is a missing value
    if not single:
        return [row for row in rows if row.cells and not (len(row.cells) == 1 and row.blank)]
    while rows and rows[0].blank:
        rows = rows[1:]
    while rows and rows[-1].blank:
        rows = rows[:-1]
    return [row if row.cells else replace(row, cells=[""]) for row in rows]


def _cut_ends(rows: list[_Row], notes: list[str]) -> None:
    """Leave out the empty cells at the ends of rows that are beyond the last name of the header, where no row has anything there."""
    first = next((row for row in rows if not row.comment and not row.blank), None)
    if first is None:
        return
    width = max(index for index, cell in enumerate(first.cells, start=1) if cell.strip())
    wide = [row for row in rows if len(row.cells) > width]
    if (
        width < 2
        or all(len(row.cells) == len(first.cells) for row in rows)
        or any(cell.strip() for row in wide for cell in row.cells[width:])
    ):
        return
    others = [row for row in rows if row is not first and not row.comment and not row.blank]
    _note_ends(wide, notes, names=len(first.cells) == width and all(len(row.cells) == width + 1 for row in others))
    for row in wide:
        del row.cells[width:]


def _note_ends(rows: Sequence[_Row], notes: list[str], *, names: bool) -> None:
    """Tell of delimiters at the end of rows. names: whether the first cells may be names of the rows, as far as one can tell from the widths."""
    _note(notes, "a delimiter at the end of rows is left out", rows)
    if names and len({row.cells[0] for row in rows}) == len(rows):
        notes.append(
            "the header has one field fewer than the rows, whose last is empty: if their first is the name of the row, name it in the header"
        )


def _width(rows: Sequence[_Row]) -> int:
    """Return how many fields most rows have."""
    counts = Counter(len(row.cells) for row in rows if not (row.comment and len(row.cells) == 1))
    if not counts:
        return 1
    first = len(next(row for row in rows if not (row.comment and len(row.cells) == 1)).cells)
    return max(counts, key=lambda width: (counts[width], width == first, width))


def _header(rows: list[_Row], width: int, notes: list[str]) -> tuple[list[str], list[_Row]]:
    """Return the names and the rows below them; what stands above is a title or a comment."""
    widths = (width, width - 1) if width > 2 else (width,)
    fits = [index for index, row in enumerate(rows) if len(row.cells) in widths and not row.blank]
    index = next(
        (
            index
            for index in fits
            if not (_is_title(rows, index, width) or rows[index].comment or _is_split_title(rows, index, width))
        ),
        fits[0] if fits else 0,
    )
    if index > 0 and rows[index - 1].comment and len(rows[index - 1].cells) == width:
        below = rows[index + 1] if index + 1 < len(rows) else None
        if rows[index].numbers or below is None or not below.numbers:  # "# a,b" over the data
            index -= 1
            rows[index].cells[0] = rows[index].cells[0].lstrip().lstrip("#/").strip()
    above = [row for row in rows[:index] if not row.blank]
    _note(notes, "lines above the header are left out", above)
    return rows[index].cells, rows[index + 1 :]


def _is_title(rows: list[_Row], index: int, width: int) -> bool:
    """Return whether a row stands above the header: a single cell, or one of several rows, of which at most half of the cells are filled."""
    below = [row for row in rows[index + 1 : index + 2 + MOST_TITLES] if not row.blank]
    if not below or width < 3 or 2 * rows[index].filled > width:
        return False
    if rows[index].filled == 1 and below[0].filled > 1 and len(below[0].cells) == width:
        return True
    end = next((number for number, row in enumerate(below) if 2 * row.filled > width), len(below))
    single = all(row.filled == 1 for row in (rows[index], *below[:end]))
    return end + 1 < len(below) and _are_names(below[end], width) and (single or below[end + 1].numbers)


def _is_split_title(rows: list[_Row], index: int, width: int) -> bool:
    """Return whether a row has a cell too few, and the next is the header: as many words as there are columns, above numbers."""
    if len(rows[index].cells) != width - 1 or index + 2 >= len(rows):
        return False
    header, first = rows[index + 1], rows[index + 2]
    return _are_names(header, width) and header.filled == width == len(first.cells) and first.numbers


def _are_names(row: _Row, width: int) -> bool:
    """Return whether the filled cells of a row as wide as the table are words that differ."""
    names = [cell.strip() for cell in row.cells if cell.strip()]
    return len(row.cells) == width and len(set(names)) == len(names) and not row.numbers and not any(map(is_missing, names))


def _even(
    name: str, body: list[_Row], names: list[str] | None, width: int, notes: list[str]
) -> tuple[list[_Row], list[str] | None]:
    """Return rows that all have as many cells as there are names."""
    among_numbers = first_cells_are_numbers([row.cells for row in body if not row.comment])
    comments = [row for row in body if row.comment and (len(row.cells) != width or among_numbers)]
    body = [row for row in body if not (row.comment and (len(row.cells) != width or among_numbers))]
    _note(notes, "comments are left out", comments)
    body = _without_footers(body, width, notes)
    if names is not None and len(names) == width - 1:
        wide = [row for row in body if len(row.cells) == width]
        if all(not row.cells[-1].strip() for row in wide):
            _note_ends(wide, notes, names=True)
            width -= 1
        else:
            notes.append("the rows have one field more than the header: the first is taken for the names of the rows")
            names = ["", *names]
    elif names is not None and len(names) > width:
        width = len(names)
    for row in body:
        while len(row.cells) > width and not row.cells[-1].strip():
            row.cells.pop()
        if len(row.cells) != width:
            raise _ragged(name, row, width)
    end = len(body)
    while end > 1 and body[end - 1].blank:
        end -= 1
    _note(notes, "empty rows at the end are left out", body[end:])
    return body[:end], names


def _ragged(name: str, row: _Row, width: int) -> DataError:
    quote = '; a quote (") may open a cell that is never closed' if row.lines > 1 else ""
    return DataError(
        f"{name}, line {row.line} has {counted(len(row.cells), 'field')}, but the header has {width}{quote}; correct the line, or give the right"
        " delimiter"
    )


def _without_footers(body: list[_Row], width: int, notes: list[str]) -> list[_Row]:
    """Return the rows but the last ones that are words on their own, such as "Source: ..."."""
    end = _start_of_notes(body, width)
    while end > 1 and len(body) - end < MOST_FOOTERS and _is_footer(body, end, width):
        end -= 1
    _note(notes, "lines below the table are left out", body[end:])
    return body[:end]


def _start_of_notes(body: list[_Row], width: int) -> int:
    """Return where notes begin that have fewer cells than the table: with a word such as "Notes:", or after a blank line."""
    start = len(body)
    while start > 1 and len(body) - start < MOST_FOOTERS and _is_note(body[start - 1], width):
        start -= 1
    for index in range(start, len(body)):
        row, before = body[index], body[index - 1]
        if _KEYWORD.fullmatch(row.cells[0].strip()) or row.line > before.line + before.lines:
            return index
    return len(body)


def _is_note(row: _Row, width: int) -> bool:
    first = row.cells[0].strip()
    return len(row.cells) < width and bool(first) and _NUMBER.fullmatch(first) is None


def _is_footer(body: list[_Row], end: int, width: int) -> bool:
    """Return whether row end - 1 stands below the table: a single cell of words, or a sentence that its commas have split."""
    row, before = body[end - 1], body[end - 2]
    filled = [cell.strip() for cell in row.cells if cell.strip()]
    if not filled or not row.cells[0].strip() or _NUMBER.fullmatch(filled[0]):
        return False
    keyword = _KEYWORD.fullmatch(filled[0]) is not None
    if len(row.cells) == width:
        sentence = SOURCE.fullmatch(filled[0]) is not None and first_cells_are_numbers([one.cells for one in body[: end - 1]])
        return sentence or (keyword and len(filled) == 1 and width > 2)
    spaced = end < len(body) or row.line > before.line + before.lines
    sentence = _SENTENCE.match(filled[0]) is not None
    return keyword or sentence or (spaced and len(filled) == 1 and len(row.cells) < width)


def _without_total(body: list[_Row], notes: list[str]) -> list[_Row]:
    """Return the rows but a last one that sums up the others."""
    if len(body) < 3:
        return body
    filled = [(index, cell.strip()) for index, cell in enumerate(body[-1].cells) if cell.strip()]
    if not filled or not TOTAL.fullmatch(filled[0][1]):
        return body
    index = filled[0][0]
    if any(TOTAL.fullmatch(row.cells[index].strip()) for row in body[:-1]):
        return body
    _note(notes, "a row of totals is left out", body[-1:])
    return body[:-1]


def _without_blank_columns(names: list[str] | None, body: list[_Row], notes: list[str]) -> tuple[list[str] | None, list[_Row]]:
    if names is None or all(name.strip() for name in names) or not body:
        return names, body
    used = [index for index, name in enumerate(names) if name.strip() or any(row.cells[index].strip() for row in body)]
    if len(used) == len(names) or not used:
        return names, body
    gone = [str(index) for index in range(len(names)) if index not in used]
    notes.append(f"columns without a name and without a value are left out (counted from 0: {', '.join(gone)})")
    for row in body:
        row.cells = [row.cells[index] for index in used]
    return [names[index] for index in used], body
