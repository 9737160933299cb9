"""Read CSV and its kin.

What the columns hold is found on the first rows, so that polars reads the file once and fast; where a later row does not fit, all
is read as text and turned into numbers after.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast

import numpy as np

from manynets.errors import DataError, OptionError
from manynets.tables.cells import MISSING_TOKENS, NUMBER, refuse_duplicates

if TYPE_CHECKING:
    import polars

__all__ = ["DELIMITERS", "read_delimited"]

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
HEAD_BYTES = 1 << 20
HEAD_ROWS = 1000
SNIFF_ROWS = 100
CHUNK = 1 << 22
SMALL_CHUNK = 1 << 17
"""Bytes that are looked at in the cache of a core."""
MOST_UNZIPPED = 1 << 28
"""A larger .gz file is unzipped twice, where it must be, rather than kept in memory beside its table."""
BYTES_A_CELL = 25
"""A cell of text is stripped in the time that so many bytes of the file are looked at."""

_NUMBER = re.compile(NUMBER, re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_ZERO_IN_FRONT = re.compile(r"[+-]?0[0-9]", re.ASCII)
_COMMA_NUMBER = re.compile(r"^[+-]?[0-9]+(,[0-9]+)?([eE][+-]?[0-9]+)?$", re.ASCII)
_WIDE_BLANKS = (b"\xc2\x85", b"\xc2\xa0", b"\xe1\x9a\x80", b"\xe2\x80", b"\xe2\x81\x9f", b"\xe3\x80\x80")
"""Blanks beyond ASCII in UTF-8; E2 80 begins those of U+2000 to U+202F, and some signs that are none."""


@dataclass(frozen=True, kw_only=True)
class _Head:
    """What the first lines tell: the delimiter, the names, the lines up to the first data row, and some rows."""

    delimiter: str
    names: list[str]
    header_lines: int
    rows: list[list[str]]


def read_delimited(file: Path, *, encoding: str | None, delimiter: str | None, preferred: str | None) -> polars.DataFrame:
    """Return the table in a text file; see `read_table`."""
    import polars

    recoded = _recode(file, encoding)
    head = _read_head(file, recoded, delimiter, preferred)
    if recoded is None and _is_zipped(file) and any(not row[-1] for row in head.rows) and _unzipped_size(file) <= MOST_UNZIPPED:
        recoded = _unzipped(file)  # as its bytes are looked at again after polars, which is the faster to unzip
    refuse_duplicates(head.names)
    cells = [[row[j] for row in head.rows if j < len(row)] for j in range(len(head.names))]
    stripped = [[cell.strip() for cell in column] for column in cells]
    kinds = [_kind_of(column, head.delimiter) for column in stripped]
    types = {"int": polars.Int64, "float": polars.Float64, "text": polars.String, "words": polars.String}

    def read(kinds: list[str]) -> polars.DataFrame:
        return polars.read_csv(
            file if recoded is None else recoded,
            has_header=False,
            skip_lines=head.header_lines,
            separator=head.delimiter,
            schema={name: types[kind] for name, kind in zip(head.names, kinds, strict=True)},
            glob=False,
        )

    try:
        try:
            frame = read(kinds)
        except (polars.exceptions.ComputeError, polars.exceptions.SchemaError):
            _walk(file, recoded, head)  # raises with the line, or the offset, if that is the fault
            frame = read(["text"] * len(kinds))
    except (polars.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read as a text table: {(str(error).splitlines() or ['damaged'])[0]}") from error
    if frame.height and frame.get_column(frame.columns[-1]).null_count():  # only then can a line have been too short, or blank
        frame = _without_blank_lines(file, recoded, head, frame)
    if not frame.height:
        raise DataError(f"{file} holds 0 data rows; at least 1 is needed")
    texts = frame.select(polars.col(polars.String))
    padded = texts.columns if stripped != cells else _padded(file, recoded, head.delimiter, texts)
    if padded:
        texts = texts.with_columns(polars.selectors.by_name(*padded).str.strip_chars())  # all at once: one thread each
    empty = texts.select((polars.all() == "").any()).row(0) if texts.width else ()
    texts = texts.with_columns(cells.set(cells == "", None) for cells, some in zip(texts, empty, strict=True) if some)
    words = {name for name, kind in zip(head.names, kinds, strict=True) if kind == "words"}
    return frame.with_columns(cells if cells.name in words else _settle(cells, head.delimiter) for cells in texts)


def _open(file: Path, recoded: bytes | None) -> IO[bytes]:
    if recoded is not None:
        return io.BytesIO(recoded)
    return cast("IO[bytes]", gzip.open(file)) if _is_zipped(file) else file.open("rb")


def _is_zipped(file: Path) -> bool:
    return file.name.lower().endswith(".gz")


def _unzipped_size(file: Path) -> int:
    """Return the size that the end of a .gz file tells; modulo 2^32, and of its last part only."""
    with file.open("rb") as stream:
        stream.seek(-4, io.SEEK_END)
        return int.from_bytes(stream.read(), "little")


def _unzipped(file: Path) -> bytes:
    try:
        with _open(file, None) as stream:
            return stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read: {error}") from error


def _recode(file: Path, encoding: str | None) -> bytes | None:
    """Return the file in UTF-8 where it is in another encoding, else None."""
    if encoding is None:
        return None
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)
    except LookupError as error:
        raise OptionError(
            f"encoding is {encoding!r}, but must be one that Python knows, such as utf-8, latin-1, cp1252, utf-16"
        ) from error
    if name in ("utf-8", "utf-8-sig"):
        return None
    try:
        return _unzipped(file).decode(name).encode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_in(file, error.start, error.object[error.start], name) from error


def _not_in(file: Path, offset: int, byte: int, encoding: str) -> DataError:
    return DataError(
        f"{file} is not {encoding}: byte 0x{byte:02x} at offset {offset}; give its encoding, for example --encoding latin-1, cp1252"
        " or utf-16"
    )


def _read_head(file: Path, recoded: bytes | None, delimiter: str | None, preferred: str | None) -> _Head:
    try:
        with _open(file, recoded) as stream:
            raw = stream.read(HEAD_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise DataError(
            f"{file} is not utf-8: it starts with the mark of UTF-16 (byte 0x{raw[0]:02x} at offset 0); give --encoding utf-16"
        )
    whole, raw = len(raw) <= HEAD_BYTES, raw[:HEAD_BYTES]
    if b"\0" in raw:
        raise DataError(f"{file} is not a text table: byte 0x00 at offset {raw.index(0)}; if it is UTF-16, give --encoding utf-16")
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(raw, final=whole)
    except UnicodeDecodeError as error:
        raise _not_in(file, error.start, raw[error.start], "utf-8") from error
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise DataError(f"{file} holds 0 data rows: it is empty; a header and at least 1 row are needed")
    chosen = _check_delimiter(delimiter) if delimiter is not None else _find_delimiter(file, text, preferred)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=chosen)
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
                names = [name.strip() or f"unnamed_{j}" for j, name in enumerate(row)]
                header_lines = reader.line_num
            elif len(rows) <= HEAD_ROWS:
                rows.append(row)
            else:
                break
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}") from error
    if not rows and whole:
        raise DataError(f"{file} holds 0 data rows: only a header of {len(names)} columns; at least 1 row is needed")
    complete = rows if whole and len(rows) <= HEAD_ROWS else rows[:-1]  # the last may be cut off
    return _Head(delimiter=chosen, names=names, header_lines=header_lines, rows=complete)


def _check_delimiter(delimiter: str) -> str:
    named = {"tab": "\t", "\\t": "\t", **{name: sign for sign, name in DELIMITERS.items()}}
    sign = named.get(delimiter, delimiter)
    if len(sign) != 1 or not sign.isascii() or sign in '"\r\n':
        raise OptionError(f"delimiter is {delimiter!r}, but must be a single character, such as {', '.join(map(repr, DELIMITERS))}")
    return sign


def _find_delimiter(file: Path, text: str, preferred: str | None) -> str:
    """Return the candidate that splits the first lines into most columns, as many in each line as in the header."""
    even: dict[str, tuple[float, int]] = {}
    for sign in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign)
        try:
            counts = [len(row) for _, row in zip(range(SNIFF_ROWS), reader, strict=False) if row]
        except csv.Error:
            continue
        if counts and counts[0] > 1:
            share = sum(count == counts[0] for count in counts) / len(counts)
            even[sign] = (share, counts[0])
    if preferred in even and even[preferred][0] >= 0.5:
        return preferred
    if even:
        best = max(even, key=lambda sign: even[sign])
        if even[best][0] >= 0.5:
            return best
        found = ", ".join(f"{DELIMITERS[sign]} {share:.0%}" for sign, (share, _) in even.items())
        raise DataError(
            f"{file}: no delimiter among {', '.join(DELIMITERS.values())} splits the lines evenly (lines that agree with the"
            f" header: {found}); give --delimiter"
        )
    body = text.splitlines()[1:SNIFF_ROWS]
    often = [sign for sign in DELIMITERS if sum(sign in line for line in body) > len(body) / 2]
    split = [DELIMITERS[sign] for sign in often if sign != ","]  # a comma may be that of a decimal
    if split:
        raise DataError(
            f"{file}: the header is one field, but the rows are split by {', '.join(split)}; mend the header, or give --delimiter"
        )
    return preferred or ","


def _kind_of(cells: list[str], delimiter: str) -> str:
    """Return as what a column is read: "text" may yet turn out to be numbers, "words" not."""
    present = [cell for cell in cells if cell]
    other = [cell for cell in present if not _NUMBER.match(cell)]
    if any(cell not in MISSING_TOKENS and not (delimiter == ";" and _COMMA_NUMBER.match(cell)) for cell in other):
        return "words"
    if not present or other or any(_ZERO_IN_FRONT.match(cell) for cell in present):
        return "text"
    if all(_INTEGER.fullmatch(cell) for cell in present):
        return "int"
    return "text" if any(len(cell) > 18 and cell.lstrip("+-").isdigit() for cell in present) else "float"


def _settle(cells: polars.Series, delimiter: str) -> polars.Series:
    """Make a column of text numbers if it holds nothing else."""
    import polars

    if not _all_numbers(cells, NUMBER):
        if delimiter != ";" or not _all_numbers(cells, _COMMA_NUMBER.pattern):
            return cells
        cells = cells.str.replace(",", ".", literal=True)
    numbers = cells.set(cells.is_in([*MISSING_TOKENS]), None)
    if numbers.null_count() == len(numbers) or numbers.str.contains(r"^[+-]?0[0-9]").any():
        return cells
    if numbers.str.contains(r"^[+-]?[0-9]{19,}$").any():
        return cells
    whole = numbers.str.contains(r"^[+-]?[0-9]+$").all()
    return numbers.str.strip_prefix("+").cast(polars.Int64 if whole else polars.Float64)


def _all_numbers(cells: polars.Series, pattern: str) -> bool:
    for some in (cells.head(HEAD_ROWS), cells):  # most columns of words show themselves at once
        fine = some.str.contains(pattern) | some.is_in([*MISSING_TOKENS])
        if not fine.fill_null(True).all():
            return False
    return True


def _padded(file: Path, recoded: bytes | None, delimiter: str, texts: polars.DataFrame) -> list[str]:
    """Return the columns of text to strip: those in which a cell begins or ends with a blank, or all where that is faster."""
    if not texts.width:
        return []
    size = file.stat().st_size if recoded is None else len(recoded)
    zipped = recoded is None and _is_zipped(file)
    if zipped or delimiter in " \v\f" or size > BYTES_A_CELL * texts.width * texts.height:
        return texts.columns
    blanks = _blanks(file, recoded, delimiter)
    if blanks == "spaces":
        return [cells.name for cells in texts.get_columns() if (cells.str.starts_with(" ") | cells.str.ends_with(" ")).any()]
    return texts.columns if blanks else []


def _blanks(file: Path, recoded: bytes | None, delimiter: str) -> Literal["", "spaces", "any"]:
    """Say which blanks the file may have at the ends of cells: none, spaces only, or any.

    A delimiter or quote counts as an end also within a cell.
    """
    found: Literal["", "spaces"] = ""
    others = [sign for sign in (b"\t", b"\v", b"\f") if sign != delimiter.encode()]
    last = b"\n"
    with _open(file, recoded) as stream:
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


def _lines(file: Path, recoded: bytes | None) -> Iterator[str]:
    """Yield the lines as they stand. Errors: DataError with the offset of the first byte that is not UTF-8."""
    offset = 0
    with _open(file, recoded) as stream:
        for line in stream:
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise _not_in(file, offset + error.start, line[error.start], "utf-8") from error
            offset += len(line)


def _walk(file: Path, recoded: bytes | None, head: _Head) -> list[int]:
    """Go through all lines and return the numbers of the data rows that are blank lines.

    Errors: DataError for the first line with more or fewer fields than the header has.
    """
    reader = csv.reader(_lines(file, recoded), delimiter=head.delimiter)
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
                raise DataError(
                    f"{file}, line {begins} has {len(row)} fields, but the header has {width}; mend the line, or give the right"
                    " --delimiter"
                )
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}") from error
    return blank


def _without_blank_lines(file: Path, recoded: bytes | None, head: _Head, frame: polars.DataFrame) -> polars.DataFrame:
    """Take out the rows that polars made of blank lines, and refuse lines that are too short.

    Too long a line was refused by polars. So as many delimiters between cells as rows and columns call for prove that none was
    too short either; only else the lines are walked one by one.
    """
    if not head.names[1:]:  # in a single column a blank line is a missing value
        return frame
    if _delimiters(file, recoded, head, frame) == (len(head.names) - 1) * (frame.height + 1):
        return frame
    blank = _walk(file, recoded, head)
    if not blank:
        return frame
    kept = np.ones(frame.height, dtype=bool)
    kept[[index for index in blank if index < frame.height]] = False
    return frame.filter(kept)


def _delimiters(file: Path, recoded: bytes | None, head: _Head, frame: polars.DataFrame) -> int:
    """Count the delimiters in the file that are not part of a cell or name in quotes."""
    import polars

    count, quoted = 0, False
    with _open(file, recoded) as stream:
        while chunk := stream.read(CHUNK):
            quoted = quoted or b'"' in chunk
            count += int(np.count_nonzero(np.frombuffer(chunk, dtype=np.uint8) == ord(head.delimiter)))
    if quoted:
        count -= sum(name.count(head.delimiter) for name in head.names)
        inside = frame.select(polars.col(polars.String).str.count_matches(head.delimiter, literal=True).sum())
        count -= sum(inside.row(0)) if inside.width else 0
    return count
