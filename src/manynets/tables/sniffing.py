"""What the first lines of a text table show: the delimiter, the header, some rows, and whether lines must be cleaned first."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from manynets.display import counted, listed
from manynets.errors import DataError, OptionError
from manynets.tables.compressed import plain_name
from manynets.tables.missing import is_missing
from manynets.tables.numerals import NUMBER_LIKE
from manynets.tables.source import HEAD_BYTES, Source
from manynets.tables.table import refuse_patterns

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
HEAD_ROWS = 1000
SNIFF_ROWS = 100

_SEP = re.compile(r'\s*"?sep=(.)"?[,;\t|]*\s*(?:\r\n|\r|\n|$)', re.IGNORECASE)
_NUMBER = re.compile(NUMBER_LIKE)
COMMENTS = ("#", "//", "%")


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the first lines show.

    Attributes:
        delimiter: between cells.
        names: of the columns.
        header_lines: lines up to the first data row.
        rows: some rows.
        unclean: whether lines are to be cleaned before polars can read them.
        notes: remarks for the user.
    """

    delimiter: str
    names: list[str]
    header_lines: int
    rows: list[list[str]]
    unclean: bool
    notes: tuple[str, ...] = ()

    @property
    def commas(self) -> bool:
        """Whether numbers may have a decimal comma, which they often have where semicolons are between cells."""
        return self.delimiter == ";"


def read_head(source: Source, *, delimiter: str | None, header: bool) -> Head:
    """Look at the first lines. Where several delimiters would do, that of a .tsv file is a tab.

    Errors: DataError for no data rows, and where no delimiter splits the lines evenly; OptionError for the delimiter.
    """
    raw = source.read(HEAD_BYTES + 1)
    whole, raw = len(raw) <= HEAD_BYTES, raw[:HEAD_BYTES]
    text = codecs.getincrementaldecoder("utf-8")(errors="replace").decode(raw, final=whole).removeprefix("\ufeff")
    if not text.strip():
        raise DataError(f"{source.name} holds 0 data rows: it is empty; a header and at least 1 row are needed")
    chosen = None if delimiter is None else _check_delimiter(delimiter)
    lines, separator = plain_lines(text)
    if separator and chosen is None and not _is_delimiter(separator):
        raise DataError(
            f"{source.name}, line 1 gives {separator!r} as the delimiter, which must be a single ASCII character; correct the line, or"
            " give the right delimiter"
        )
    chosen = chosen or separator or _find_delimiter(source.name, lines)
    names, header_lines, rows = _first_rows(source.name, lines, chosen, header)
    unclean = lines != text
    if not rows and whole and not unclean:
        raise DataError(
            f"{source.name} holds 0 data rows: only a header of {counted(len(names), 'column')}; at least 1 row is needed"
        )
    complete = rows if whole and len(rows) <= HEAD_ROWS else rows[:-1]  # the last may be cut off
    unclean = unclean or _uneven(names, complete)
    if not header:
        return Head(delimiter=chosen, names=[f"x{j}" for j in range(len(names))], header_lines=0, rows=complete, unclean=unclean)
    named, notes = unique_names(names)
    refuse_patterns(named)
    if delimiter is None and (count := _words_in_a_line(names, complete)):
        notes += (
            f"each line is one cell of {count} words: if blanks are between the columns, mn.tables.read_table(path, delimiter=' ') reads them",
        )
    if _looks_like_data(names, complete):
        shown = listed(map(repr, names), 4)
        how = "if the file has no header, mn.tables.read_table(path, header=False) reads it"
        notes += (f"the names of the columns look like values ({shown}): {how}",)
    return Head(delimiter=chosen, names=named, header_lines=header_lines, rows=complete, unclean=unclean, notes=notes)


def plain_lines(text: str) -> tuple[str, str]:
    """Return the text without Excel's first line `sep=;`, all lines ended by newlines if some end in a carriage return alone.

    Then the delimiter that the first line gives, empty where there is none.
    """
    found = _SEP.match(text)
    if found is not None:
        text = text[found.end() :]
    return _with_newlines(text) if _has_lone_returns(text) else text, "" if found is None else found[1]


def _has_lone_returns(text: str) -> bool:
    """Return whether lines end in a carriage return alone; one within a quoted cell, or at the very end, does not count."""
    if "\r" not in text.replace("\r\n", ""):
        return False
    outside = "".join(text.removesuffix("\r").split('"')[::2])
    return "\r" in outside.replace("\r\n", "")


def _with_newlines(text: str) -> str:
    """Return the text with each line ended by a newline; quoted cells stay as they are."""
    parts = text.split('"')
    parts[::2] = [part.replace("\r\n", "\n").replace("\r", "\n") for part in parts[::2]]
    return '"'.join(parts)


def _first_rows(name: str, text: str, delimiter: str, header: bool) -> tuple[list[str], int, list[list[str]]]:
    """Return the names, the number of the line that ends them, and the first rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names: list[str] = []
    header_lines = 0
    rows: list[list[str]] = []
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip() and not names):
                if len(names) > 1 and not rows:  # polars counts the columns in the first line that it reads
                    header_lines = reader.line_num
                continue
            if not names:
                names = [name.strip() for name in row]
                header_lines = reader.line_num
                if not header:
                    rows.append(row)
            elif len(rows) <= HEAD_ROWS:
                rows.append(row)
            else:
                break
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: {error}; a quote may open a cell that is never closed") from error
    return names, header_lines, rows


def unique_names(names: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the names without gaps and twins, and notes: a column without a name is called after its position, a twin numbered.

    >>> unique_names(["a", "", "a"])[0]
    ['a', 'unnamed_1', 'a_2']
    """
    taken = {name for name in names if name}
    found: list[str] = []
    twins: list[str] = []
    for index, name in enumerate(names):
        wanted = new = name or f"unnamed_{index}"
        number = 1
        while new in found or (new != name and new in taken):
            number += 1
            new = f"{wanted}_{number}"
        if new != wanted:
            twins.append(f"{wanted!r} is called {new!r}")
        found.append(new)
    return found, (f"column names occur twice: {', '.join(twins)}",) if twins else ()


def _looks_like_data(names: list[str], rows: list[list[str]]) -> bool:
    """Return whether half of the names are numbers that do not rise from column to column, or all other ones occur in their columns."""
    numbers = {j: float(name) for j, name in enumerate(names) if re.fullmatch(r"[+-]?[0-9]+(?:\.[0-9]+)?", name, re.ASCII)}
    if len(numbers) > 1 and 2 * len(numbers) >= len(names) and any(a >= b for a, b in itertools.pairwise(numbers.values())):
        return True
    words = [j for j, name in enumerate(names) if name and j not in numbers]
    others = [row for row in rows if row != names]  # a header that is repeated does not count
    found = (any(j < len(row) and row[j].strip() == names[j] for row in others) for j in words)
    return bool(words) and len(names) > 1 and all(found)


def _words_in_a_line(names: list[str], rows: list[list[str]]) -> int:
    """Return how many words header and rows of a single column have, 0 where not all have as many, or a row holds no number."""
    if len(names) != 1:
        return 0
    count, lines = len(names[0].split()), [row[0].split() for row in rows if row and row[0].strip()]
    if count < 2 or len(lines) < 2 or any(len(words) != count for words in lines):
        return 0
    return count if all(any(re.fullmatch(r"[+-]?[0-9.]+", word, re.ASCII) for word in words) for words in lines) else 0


def first_cells_are_numbers(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first cell of each row is a number or empty, and one is a number."""
    cells = [row[0].strip() for row in rows if row]
    return any(cells) and all(not cell or _NUMBER.fullmatch(cell) for cell in cells)


def is_comment(cell: str) -> bool:
    """Return whether the first cell of a line begins a comment; "#N/A" is a missing value.

    >>> is_comment("# as of May"), is_comment("#N/A"), is_comment("1")
    (True, False, False)
    """
    return cell.lstrip().startswith(COMMENTS[:2]) and not is_missing(cell.strip())


def _has_comments(rows: list[list[str]]) -> bool:
    """Return whether rows begin with a sign of comments where all others begin with a number."""
    comments = [row for row in rows if row and is_comment(row[0])]
    return bool(comments) and first_cells_are_numbers([row for row in rows if row not in comments])


def _uneven(names: list[str], rows: list[list[str]]) -> bool:
    """Return whether a title, a comment or a row of another width is among the first lines, or a last column is empty."""
    if len(names) == 1:
        return names[0].startswith(COMMENTS[:2]) or any(len(row) > 1 for row in rows)
    if names[0].startswith(COMMENTS[:2]) or any(len(row) != len(names) for row in rows) or _has_comments(rows):
        return True
    if 2 * sum(map(bool, names)) <= len(names) and len(names) > 2:  # a title, and delimiters up to the width of the table
        return True
    blank = [index for index, name in enumerate(names) if not name]
    return any(all(not row[index].strip() for row in rows) for index in blank)


def _is_delimiter(sign: str) -> bool:
    return len(sign) == 1 and sign.isascii() and sign not in '"\r\n'


def _check_delimiter(delimiter: str) -> str:
    named = {"tab": "\t", "\\t": "\t", **{name: sign for sign, name in DELIMITERS.items()}}
    sign = named.get(delimiter, delimiter)
    if not _is_delimiter(sign):
        raise OptionError(f"delimiter is {delimiter!r}, but must be a single character, such as {', '.join(map(repr, DELIMITERS))}")
    return sign


def _find_delimiter(name: str, text: str) -> str:
    """Return the candidate that splits the first lines into most columns, as many in each line as in the header.

    Where none does, as a title or comments stand above the header, the one that splits most lines alike.
    """
    tabs = plain_name(name).endswith(".tsv")
    even: dict[str, tuple[float, int]] = {}
    usual: dict[str, tuple[float, int]] = {}
    for sign in DELIMITERS:
        counts = [len(row) for row in _sniffed(text, sign)]
        if not counts:
            continue
        if counts[0] > 1:
            even[sign] = sum(count == counts[0] for count in counts) / len(counts), counts[0]
        width, most = Counter(counts).most_common(1)[0]
        if width > 1 and most > 1:
            usual[sign] = most / len(counts), width
    if tabs and "\t" in even and even["\t"][0] >= 0.5:
        return "\t"
    for found in (even, usual):
        best = max(found, key=lambda sign: found[sign], default="")
        if best and found[best][0] >= 0.5 and (found is even or _may_have_a_header(text, best, found[best][1])):
            return best
    for sign in usual:
        if _widths_agree(text, sign):
            return sign
    if even:
        _refuse_header(name, text, usual)
        found_text = ", ".join(f"{DELIMITERS[sign]} {share:.0%}" for sign, (share, _) in even.items())
        raise DataError(
            f"{name}: no delimiter among {', '.join(DELIMITERS.values())} splits the lines evenly (lines that agree with the"
            f" header: {found_text}); give delimiter"
        )
    body = text.splitlines()[1:SNIFF_ROWS]
    often = [sign for sign in DELIMITERS if sum(sign in line for line in body) > len(body) / 2]
    split = [DELIMITERS[sign] for sign in often if sign != ","]  # a comma may be that of a decimal
    if split:
        raise DataError(
            f"{name}: the header is one field, but the rows are split by {', '.join(split)}; correct the header, or give delimiter"
        )
    return "\t" if tabs else ","


def _refuse_header(name: str, text: str, usual: dict[str, tuple[float, int]]) -> None:
    """Raise DataError where most lines have as many fields, but not the first one."""
    sign = max(usual, key=lambda sign: usual[sign], default="")
    if not sign or usual[sign][0] < 0.5:
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign)
    header = next(row for row in reader if row and not (len(row) == 1 and row[0].startswith(COMMENTS)))
    raise DataError(
        f"{name}, line {reader.line_num}: the header has {counted(len(header), 'field')}, but most rows have {usual[sign][1]} (split by"
        f" {DELIMITERS[sign]}); correct the header, or give delimiter"
    )


def _widths_agree(text: str, delimiter: str) -> bool:
    """Return whether half of the rows have as many fields as the header, if empty ones beyond its last name do not count."""
    rows = _sniffed(text, delimiter)
    names = [index for index, cell in enumerate(rows[0], start=1) if cell.strip()] if rows else []
    if not names or names[-1] < 2:
        return False
    width = names[-1]
    fitting = [row for row in rows if len(row) >= width and not any(cell.strip() for cell in row[width:])]
    return 2 * len(fitting) >= len(rows) and all(len(row) <= width or row in fitting for row in rows)


def _sniffed(text: str, delimiter: str) -> list[list[str]]:
    """Return the first lines that are neither blank nor comments of one field."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = [row for _, row in zip(range(SNIFF_ROWS), reader, strict=False) if row]
    except csv.Error:
        return []
    return [row for row in rows if not (len(row) == 1 and row[0].startswith(COMMENTS))]


def _may_have_a_header(text: str, delimiter: str, width: int) -> bool:
    """Return whether the first line has one field fewer than the rows, or the first line as wide as they are holds no number."""
    first = True
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
        if first and len(row) == width - 1 > 1:
            return True
        if len(row) == width:
            return not any(re.fullmatch(r"[+-]?[0-9.,]+", cell.strip()) for cell in row)
        first = first and not row
    return False
