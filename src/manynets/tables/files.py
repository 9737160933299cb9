"""Read a table from a file: CSV, TSV, Excel, JSON lines, Parquet, Arrow; from a zip archive, a folder of Parquet files, or standard input.

polars reads; what it would ignore silently is an error or a warning here.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manynets.errors import DataError, missing_file, warn_user
from manynets.tables.binary import ARROW, PARQUET, parquet_files, read_arrow, read_json_lines, read_parquet
from manynets.tables.compressed import COMPRESSED, ZIP, compression_of, decompressed, is_workbook, plain_name, unzipped, zipped_name
from manynets.tables.delimited import TextTable, read_source
from manynets.tables.frames import open_table
from manynets.tables.sheets import SHEETS, read_sheet, sheet_names
from manynets.tables.source import TEXT, Source, TextOptions
from manynets.tables.stored import FileMarks, StoredColumns, check_name
from manynets.tables.table import Table, refuse_duplicates
from manynets.tables.unusual import unnested

if TYPE_CHECKING:
    import polars

    from manynets.tables.kinds import Forms

STANDARD_INPUT = "-"
_JSON = (".jsonl", ".ndjson")
_PLAIN = (*TEXT, *_JSON, *PARQUET, *ARROW, *SHEETS)
TABLE_ENDINGS = (*_PLAIN, *(f"{ending}{more}" for ending in (*TEXT, *_JSON) for more in COMPRESSED), ZIP)
"""The endings by which `read_table` knows a format."""

_PAGE = rb"\s*<(?i:!doctype|html|table|\?xml)"
_MARKS = {
    rb"\x1f\x8b": "a gzip file, whatever its ending; rename it to {stem}.csv.gz",
    rb"PAR1": "a Parquet file, whatever its ending; rename it to {stem}.parquet",
    rb"ARROW1": "an Arrow file, whatever its ending; rename it to {stem}.arrow",
    rb"PK\x03\x04": "a zip archive, whatever its ending; rename it to {stem}.xlsx if it is an Excel sheet, else to {stem}.zip",
    rb"\xd0\xcf\x11\xe0": "a file of Microsoft Office, whatever its ending; rename it to {stem}.xls if it is an Excel sheet",
    rb"BZh[1-9]": "a bzip2 file, whatever its ending; rename it to {stem}.csv.bz2",
    rb"\xfd7zXZ": "an xz file, whatever its ending; rename it to {stem}.csv.xz",
    rb"\x28\xb5\x2f\xfd": "a Zstandard file, whatever its ending; rename it to {stem}.csv.zst",
    _PAGE: "a page of HTML or XML; download the file itself",
    rb'\s*\{[ \t]*"[^\n]*\}\s*(?:\n\s*\{|\Z)': "JSON Lines, whatever its ending; rename it to {stem}.jsonl",
    rb'\s*(?:\{\s*"|\[\s*[{\[])': "JSON; write one object a line and call it {stem}.jsonl",
    rb"version https://git-lfs": "a pointer of Git LFS; get the file itself, with git lfs pull",
}
"""Patterns of how files begin that are no text tables, what they are, and what to do."""
MARKED = 4096
"""Bytes at the start of a file that are searched for them."""
_OTHER_ENDINGS = {
    **dict.fromkeys(("7z", "rar", "tar", "tgz"), "such an archive is not read: unpack it, and name the file in it"),
    **dict.fromkeys(("lz4", "zstd"), "decompress the file, or compress it with gzip (.csv.gz)"),
    "json": "an array of JSON is not read: write one object a line (.jsonl), as pandas' to_json(orient='records', lines=True) does",
}


def read_table(
    path: str | Path,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool = True,
    sheet: str | None = None,
    text: Sequence[str] | Forms = (),
) -> polars.DataFrame:
    """Return the table in a file as a polars frame.

    Args:
        path: a file; a folder of Parquet files, or a pattern with `*`; or "-" for standard input.
        encoding: of a text file, such as latin-1. Else it is UTF-8, or UTF-16 where the first bytes show it, or Windows-1252 where
            no letter is UTF-8, with a warning.
        delimiter: of a text file. Else the one of `,` `;` tab `|` that splits the first lines most evenly.
        header: whether the first line of a text file or sheet holds the names; without them they are x0, x1, ...
        sheet: of a workbook, by its name. Else the first that holds a table, with a warning where others hold something too.
        text: columns of a text file or sheet that stay as they are written. For new rows it is `encoder.forms`: how each column was
            read at fit. Names that the file lacks do not matter.

    Text files: titles and comments above the header, lines below the table, rows of totals, and empty rows and columns at the end
    are left out, and a warning says so. Blanks around cells and names are taken off; an empty cell is missing. A column is made
    numbers if each of its cells is one or one of `MISSING_TOKENS`, in a file with `;` also with a decimal comma; but not if a
    number begins with a zero ("0171"), has more than 18 digits, or may have a point between thousands. Numbers and dates as people
    write them stay text, which `understand` reads. A few words among numbers or dates, one or at most 2% of the cells, become
    missing, and a warning names the first; with `encoder.forms` also what is no number, or date, as at fit. A column without a
    name is called unnamed_0, after its position (a model of a frame finds its "" or "Unnamed: 0" there); a name that occurs twice gets a number.

    Errors: DataError for a path that is not a file or has an unknown ending, for no data rows, for a line with more or fewer fields
    than the header and for a quote that is never closed (the line is named), for bytes that are not in the encoding (with their
    offset), and for a damaged file; MissingExtraError for a sheet without python-calamine.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "houses.csv"
    >>> _ = path.write_text("size;town;price\\n80 m²;Bern;500\\n120 m²;Basel;800\\n", encoding="utf-8")
    >>> frame = read_table(path)
    >>> frame.columns, frame.shape
    (['size', 'town', 'price'], (2, 3))
    """
    return _read(path, TextOptions.of(text, encoding=encoding, delimiter=delimiter, header=header, sheet=sheet)).frame


def read_written(
    path: str | Path, *, text: Sequence[str] | Forms = (), **options: Any
) -> tuple[polars.DataFrame, polars.DataFrame]:
    """Return what `read_table` returns, and the same rows with their cells as they are written in a text file or sheet.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "houses.csv"
    >>> _ = path.write_text("size,town\\n80.50,Bern\\nNA,Basel\\n", encoding="utf-8")
    >>> [frame["size"].to_list() for frame in read_written(path)]
    [[80.5, None], ['80.50', 'NA']]
    """
    found = _read(path, TextOptions.of(text, written=True, **options))
    return found.frame, found.frame if found.written is None else found.written


def open_file(
    path: str | Path,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool = True,
    sheet: str | None = None,
    text: Sequence[str] | Forms = (),
    content: bytes | None = None,
) -> Table:
    """Return the table in a file for the functions of this package; as `read_table`, but Parquet is read column by column.

    So a Parquet file must stay as it is as long as the table is in use. content: what was piped in, where it is already read (see
    `standard_input`) and the path is "-".

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "houses.csv"
    >>> _ = path.write_text("size;town;price\\n80 m²;Bern;500\\n120 m²;Basel;800\\n", encoding="utf-8")
    >>> table = open_file(path)
    >>> table.names, table.rows
    (('size', 'town', 'price'), 2)
    """
    options = TextOptions.of(text, encoding=encoding, delimiter=delimiter, header=header, sheet=sheet)
    files = _parquet(path, options)
    if files is None:
        found = _read(path, options, content)
        return replace(open_table(found.frame), commas=found.commas)
    stored = StoredColumns(str(path), files)
    _check(str(path), stored.names, stored.rows)
    if stored.nested:
        return open_table(stored.read(stored.names).to_native())
    return Table(names=stored.names, rows=stored.rows, file=stored)


def text_options(path: str | Path) -> frozenset[str]:
    """Return which of "encoding", "delimiter", "header" and "sheet" a path takes, by its ending, or that of the table in a zip archive.

    >>> sorted(text_options("a.csv.gz")), sorted(text_options("a.xlsx")), sorted(text_options("a.parquet"))
    (['delimiter', 'encoding', 'header'], ['header', 'sheet'], [])
    """
    name = plain_name(str(path))
    if name.endswith(ZIP) and Path(path).is_file():
        name = zipped_name(str(path), Path(path), _PLAIN)[0].lower()
    if name == STANDARD_INPUT:
        return frozenset(("delimiter", "encoding", "header", "sheet"))
    if name.endswith(TEXT):
        return frozenset(("delimiter", "encoding", "header"))
    return frozenset(("header", "sheet") if name.endswith(SHEETS) else ())


def sheets_of(path: str | Path) -> tuple[str, ...]:
    """Return the names of the sheets in a workbook, also in a zip archive; of another file, and of standard input, none."""
    name, source = str(path), Path(path)
    if name == STANDARD_INPUT or "sheet" not in text_options(path):
        return ()
    if not name.lower().endswith(ZIP):
        return sheet_names(name, source)
    return sheet_names(name, unzipped(name, source, zipped_name(name, source, _PLAIN)[0]))


def standard_input() -> bytes:
    """Return all that is piped in; it can be read once. Errors: DataError where standard input is closed."""
    if sys.stdin is None:
        raise DataError("standard input is closed; pipe a table in, or name a file")
    return sys.stdin.buffer.read()


def _parquet(path: str | Path, options: TextOptions) -> list[Path] | None:
    """Return the Parquet files that a path names, None where it names another file. Errors: DataError for options that they do not have."""
    files = None if str(path) == STANDARD_INPUT else parquet_files(path)
    if files is not None:
        _refuse_text_options(path, options)
        _refuse_text(files)
    return files


def _read(path: str | Path, options: TextOptions, content: bytes | None = None) -> TextTable:
    """Return the table in a file; warn of what was done to read it."""
    name, marks = str(path), None
    if name == STANDARD_INPUT:
        name = "standard input"
        found = _read_bytes(name, standard_input() if content is None else content, options)
    elif (files := _parquet(path, options)) is not None:
        found = TextTable(read_parquet(name, files))
    else:
        file = Path(path)
        name, ending = str(file), _ending(file)
        marks = FileMarks([file], form="a table")
        found = _read_file(file, ending, options)
    found = found._replace(frame=unnested(found.frame))
    _check(name, found.frame.columns, found.frame.height)
    if marks is not None:
        marks.check()
    for note in found.notes:
        warn_user(note, UserWarning)
    return found


def _read_file(file: Path, ending: str, options: TextOptions) -> TextTable:
    """Return the table in a file with one of the known endings, which is not Parquet."""
    name, content = str(file), None
    if ending == ZIP:
        return _read_zip(name, file, options)
    if ending.endswith(COMPRESSED) and not ending.endswith(".gz"):
        content = decompressed(name, file, file.suffix.lower())
    return _read_plain(Source(name=name, file=file, content=content), plain_name(ending), options)


def _read_zip(name: str, archive: Path | bytes, options: TextOptions) -> TextTable:
    """Return the one table in a zip archive."""
    inner, notes = zipped_name(name, archive, _PLAIN)
    source = Source(name=f"{name}/{inner}", content=unzipped(name, archive, inner))
    found = _read_plain(source, Path(inner).suffix.lower(), options)
    return found._replace(notes=(*notes, *found.notes))


def _read_plain(source: Source, ending: str, options: TextOptions) -> TextTable:
    """Return the table in a file with one of the endings of `_PLAIN`, once it is taken out of what it was packed in."""
    _refuse_text_options(source.name, options)
    if ending in TEXT:
        return read_source(source, options)
    stored: Any = source.file if source.content is None else source.content
    if ending in SHEETS:
        return read_sheet(source.name, stored, options)
    if ending in ARROW:
        return TextTable(read_arrow(source.name, stored))
    return TextTable((read_parquet if ending in PARQUET else read_json_lines)(source.name, source.read()))


def _read_bytes(name: str, data: bytes, options: TextOptions) -> TextTable:
    """Return the table in what was piped in; its first bytes show the format."""
    if compression := compression_of(data):
        data = decompressed(name, data, compression)
    if data.startswith(b"PK\x03\x04"):
        return read_sheet(name, data, options) if is_workbook(data) else _read_zip(name, data, options)
    if options.sheet is not None:
        raise DataError(f"{name}: sheet is for workbooks, and this is none; leave it out here")
    if data.startswith(b"PAR1"):
        return TextTable(read_parquet(name, data))
    if data.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return TextTable(read_arrow(name, data))
    if data.lstrip().startswith(b"{"):
        return TextTable(read_json_lines(name, data))
    return read_source(Source(name=name, content=data), options)


def _check(name: str, columns: Sequence[str], rows: int) -> None:
    """Raise DataError for a table without rows, and for names of columns that occur twice."""
    refuse_duplicates(columns)
    if not rows or not columns:
        raise DataError(f"{name} holds 0 data rows; at least 1 is needed")


def _ending(file: Path) -> str:
    """Return the ending of a path, once it is a file that can be read."""
    if not check_name(file).exists():
        raise missing_file(file)
    if not file.is_file() and not file.is_dir():
        raise DataError(f"{file} is a pipe or a device; name a file, or give - to read standard input")
    name = file.name.lower()
    ending = next((ending for ending in TABLE_ENDINGS if name.endswith(ending)), None)
    if ending is None:
        advice = _OTHER_ENDINGS.get(name.rpartition(".")[2], "rename the file to what it holds")
        text, packed = ", ".join((*TEXT, *_JSON)), ", ".join(COMPRESSED)
        others = ", ".join((*PARQUET, *ARROW, *SHEETS, ZIP))
        raise DataError(f"{file}: the ending is not one of {text} (also with {packed} behind), {others}; {advice}")
    if ending in TEXT and file.is_file():
        with file.open("rb") as stream:
            first = stream.read(MARKED).removeprefix(codecs.BOM_UTF8)
        for mark, what in _MARKS.items():
            if re.match(mark, first):
                raise DataError(f"{file} is {what.format(stem=file.stem)}")
    elif file.is_file() and (ending in (*ARROW, *SHEETS) or ending.endswith((*COMPRESSED, ZIP))):
        _refuse_text([file])
    return ending


def _refuse_text(files: Sequence[Path]) -> None:
    """Raise DataError for a file of text with the ending of a binary format."""
    for file in files:
        try:
            with file.open("rb") as stream:
                first = stream.read(MARKED)
        except OSError:
            continue  # told where it is read
        try:
            text = codecs.getincrementaldecoder("utf-8")().decode(first)
        except UnicodeDecodeError:
            continue
        if not text.strip() or "\0" in text:
            continue
        if re.match(_PAGE, first):
            raise DataError(f"{file} is {_MARKS[_PAGE]}")
        line = text.splitlines()[0][:40]
        stem = file.name[: len(plain_name(file.name))].rpartition(".")[0].removesuffix(".csv") or file.name
        raise DataError(f"{file} is text, whatever its ending: it begins with {line!r}; rename it to {stem}.csv if it is a table")


def _refuse_text_options(path: str | Path, options: TextOptions) -> None:
    taken = text_options(path)
    if "delimiter" not in taken and (options.encoding is not None or options.delimiter is not None):
        raise DataError(f"{path}: encoding and delimiter are for text files ({', '.join(TEXT)}); leave them out here")
    if "sheet" not in taken and options.sheet is not None:
        raise DataError(f"{path}: sheet is for workbooks ({', '.join(SHEETS)}); leave it out here")
    if "header" not in taken and not options.header:
        raise DataError(f"{path}: header=False is for text files and sheets; this format stores the names of its columns")
