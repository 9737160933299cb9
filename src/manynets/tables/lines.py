"""The lines of a text table, looked at for what polars does not tell: an open quote, blanks around cells, blank and short lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from manynets.display import counted
from manynets.errors import DataError
from manynets.tables.sniffing import Head
from manynets.tables.source import Source, not_in

if TYPE_CHECKING:
    import polars

CHUNK = 1 << 22
SMALL_CHUNK = 1 << 17
"""Bytes that are looked at in the cache of a core."""
_WIDE_BLANKS = (b"\xc2\x85", b"\xc2\xa0", b"\xe1\x9a\x80", b"\xe2\x80", b"\xe2\x81\x9f", b"\xe3\x80\x80")
"""Blanks beyond ASCII in UTF-8; E2 80 begins those of U+2000 to U+202F, and some signs that are none."""


class UncleanLinesError(DataError):
    """The lines are not as polars needs them, but may be once they are cleaned."""


def ends_with_open_quote(source: Source, delimiter: str) -> bool:
    """Return whether the last byte of a text that is not compressed is a quote behind a delimiter or a line's end."""
    if source.zipped or source.size < 2:
        return False
    last = source.end(2)
    return last[1:] == b'"' and last[:1] in (delimiter.encode(), b"\n", b"\r")


def blanks_in(source: Source, delimiter: str) -> Literal["", "spaces", "any"]:
    """Return which blanks the file may have at the ends of cells: none, spaces only, or any.

    A delimiter or quote counts as an end also within a cell.
    """
    found: Literal["", "spaces"] = ""
    others = [sign for sign in (b"\t", b"\v", b"\f") if sign != delimiter.encode()]
    last = b"\n"
    with source.open() as stream:
        while chunk := stream.read(SMALL_CHUNK):
            if any(sign in chunk for sign in others):
                return "any"
            chunk = last + chunk
            if not chunk.isascii() and any(sign[:1] in chunk and sign in chunk for sign in _WIDE_BLANKS):
                return "any"
            signs = np.frombuffer(chunk, dtype=np.uint8)
            feed = signs == ord("\n")
            edge = feed | (signs == ord(delimiter))
            if b'"' in chunk:
                edge |= signs == ord('"')
            if b"\r" in chunk:
                back = signs == ord("\r")
                if (back[:-1] > feed[1:]).any():  # within a line it is a blank
                    return "any"
                edge |= back
            if not found:
                beside = edge[2:] | edge[:-2]
                beside &= signs[1:-1] == ord(" ")
                found = "spaces" if beside.any() else ""
            last = chunk[-2:]
    return "spaces" if last.endswith(b" ") else found


def _lines(source: Source) -> Iterator[str]:
    """Yield the lines as they stand. Errors: UncleanLinesError with the line and offset of the first byte that is not UTF-8."""
    offset = 0
    with source.open() as stream:
        for number, line in enumerate(stream, 1):
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UncleanLinesError(
                    str(not_in(source.name, number, offset + error.start, line[error.start], "utf-8"))
                ) from error
            offset += len(line)


def blank_lines(source: Source, head: Head) -> list[int]:
    """Return the numbers of the data rows that are blank lines.

    Errors: UncleanLinesError for the first line with more or fewer fields than the header has.
    """
    reader = csv.reader(_lines(source), delimiter=head.delimiter)
    blank: list[int] = []
    width = len(head.names)
    index = -1
    line = 0
    try:
        for row in reader:
            begins, line = line + 1, reader.line_num
            if line <= head.header_lines:
                continue
            index += 1
            if not row:
                blank.append(index)
            elif len(row) != width:
                raise UncleanLinesError(
                    f"{source.name}, line {begins} has {counted(len(row), 'field')}, but the header has {width}; correct the line, or give the right"
                    " delimiter"
                )
    except csv.Error as error:
        raise UncleanLinesError(f"{source.name}, line {reader.line_num}: {error}") from error
    return blank


def odd_line(source: Source, head: Head) -> str:
    """Return in words which line is not UTF-8, blank, or not as long as the header; empty where there is none."""
    try:
        blank = blank_lines(source, head)
    except UncleanLinesError as error:
        return str(error).removeprefix(f"{source.name}, ").partition(";")[0]
    return f"data row {blank[0]:,} (counted from 0) is a blank line" if blank else ""


def without_blank_lines(source: Source, head: Head, frame: polars.DataFrame) -> polars.DataFrame:
    """Take out the rows that polars made of blank lines, and refuse lines that are too short.

    Too long a line was refused by polars. So as many delimiters between cells as rows and columns call for prove that none was
    too short either; only else the lines are walked one by one.
    """
    if not head.names[1:]:  # in a single column a blank line is a missing value
        return frame
    if _delimiters(source, head, frame) == (len(head.names) - 1) * (frame.height + 1):
        return frame
    blank = blank_lines(source, head)
    if not blank:
        return frame
    used = np.ones(frame.height, dtype=bool)
    used[[index for index in blank if index < frame.height]] = False
    return frame.filter(used)


def _delimiters(source: Source, head: Head, frame: polars.DataFrame) -> int:
    """Count the delimiters in the file that are not part of a cell or name in quotes."""
    count, quoted = 0, False
    with source.open() as stream:
        while chunk := stream.read(CHUNK):
            quoted = quoted or b'"' in chunk
            count += int(np.count_nonzero(np.frombuffer(chunk, dtype=np.uint8) == ord(head.delimiter)))
    if quoted:
        count -= sum(name.count(head.delimiter) for name in head.names)
        count -= delimiters_in_cells(frame, head.delimiter)
    return count


def delimiters_in_cells(frame: polars.DataFrame, delimiter: str) -> int:
    """Return how many delimiters are part of a cell of text."""
    import polars

    inside = frame.select(polars.col(polars.String).str.count_matches(delimiter, literal=True).sum())
    return sum(inside.row(0)) if inside.width else 0
