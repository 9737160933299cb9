"""Read CSV and its kin.

What the columns hold is found on the first rows, so that polars reads the file once and fast; where a later row does not fit, all
is read as text and turned into numbers after. Where lines are not as polars needs them, they are cleaned first.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from manynets.display import counted, listed
from manynets.errors import DataError
from manynets.tables.cleaning import SOURCE, TOTAL, cleaned
from manynets.tables.kinds import Forms
from manynets.tables.lines import UncleanLinesError, blank_lines, blanks_in, ends_with_open_quote, without_blank_lines
from manynets.tables.missing import is_missing
from manynets.tables.settling import holds_numbers, settled, settled_as, type_of, without_text_tokens
from manynets.tables.sniffing import Head, read_head
from manynets.tables.source import Source, TextOptions, in_utf8, with_single_blanks
from manynets.tables.stored import first_line
from manynets.tables.written import PLAIN, Reading

if TYPE_CHECKING:
    import polars

MOST_UNZIPPED = 1 << 28
"""A larger .gz file is unzipped twice, where it must be, rather than held in memory beside its table."""
BYTES_A_CELL = 25
"""A cell of text is stripped in the time that so many bytes of the file are looked at."""

_DIGIT = re.compile("[0-9]")
_POWER = re.compile(r"(?:(?<=[a-z])[23]|(?<=[A-Za-z])(?:[-\u2212][1-4]|\^[-\u2212]?[0-9]))(?![^\W_])")  # of a unit: m2, s-1, cm^3


class TextTable(NamedTuple):
    """A table that was read, notes on what was done to read it, and the columns that hold commas in a file with semicolons.

    written: the cells of a text table as they are written there, where the options ask for them.
    """

    frame: polars.DataFrame
    notes: tuple[str, ...] = ()
    commas: tuple[str, ...] = ()
    written: polars.DataFrame | None = None


def read_source(source: Source, options: TextOptions) -> TextTable:
    """Return the table in a text; see `read_table`."""
    source = in_utf8(source.loaded() if source.padded else source, options.encoding)
    if options.delimiter == " ":
        source = with_single_blanks(source)
    head = read_head(source, delimiter=options.delimiter, header=options.header)
    if not head.unclean:
        kinds = kinds_of(head, options.text)
        try:
            frame = _read(source, head, kinds)
        except UncleanLinesError:
            pass
        else:
            if not ends_oddly(frame):
                return _typed(source, head, frame, kinds, options)
    source = cleaned(source, head.delimiter, header=options.header)
    notes = head.notes
    head = read_head(source, delimiter=head.delimiter, header=options.header)
    kinds = kinds_of(head, options.text)
    try:
        frame = _read(source, head, kinds)
    except UncleanLinesError as error:
        raise DataError(str(error)) from None
    return _typed(source, replace(head, notes=head.notes or notes), frame, kinds, options)


def ends_oddly(frame: polars.DataFrame) -> bool:
    """Return whether the last row is empty, or its first value is a word for a sum or a source."""
    if frame.height < 2 or frame.width < 2:
        return False
    last = next((value for value in frame.row(-1) if value is not None and value != ""), None)
    return last is None or (isinstance(last, str) and bool(TOTAL.fullmatch(last.strip()) or SOURCE.fullmatch(last.strip())))


def _read(source: Source, head: Head, kinds: list[str]) -> polars.DataFrame:
    """Return the table as polars reads it. kinds: of its columns, see `kinds_of`; text where a later row does not fit them."""
    import polars

    if source.zipped and any(not row[-1] for row in head.rows):
        size = int.from_bytes(source.end(4), "little")  # modulo 2^32, and of the last part only
        if size <= MOST_UNZIPPED:
            source = source.loaded()  # as its bytes are looked at again after polars, which is the faster to unzip
    types = {"int": polars.Int64, "float": polars.Float64, "text": polars.String, "words": polars.String}

    def read(kinds: list[str]) -> polars.DataFrame:
        return polars.read_csv(
            source.file if source.content is None else source.content,  # type: ignore[arg-type]
            has_header=False,
            skip_lines=head.header_lines,
            separator=head.delimiter,
            schema={name: types[kind] for name, kind in zip(head.names, kinds, strict=True)},
            glob=False,
        )

    if ends_with_open_quote(source, head.delimiter):  # on which polars panics, with a trace on standard error
        raise UncleanLinesError(f'{source.name} ends with a quote (") that opens a cell; close it, or remove it')
    try:
        try:
            frame = read(kinds)
            odd = [cells for cells in frame if cells.dtype.is_float() and not cells.is_finite().all()]
            if any(cells.is_infinite().any() for cells in odd):
                frame = read(["text" if kind == "float" else kind for kind in kinds])  # inf is a word there
            elif odd:
                frame = frame.with_columns(cells.fill_nan(None) for cells in odd)
        except (polars.exceptions.ComputeError, polars.exceptions.SchemaError, polars.exceptions.PanicException):
            blank_lines(source, head)  # raises with the line, or the offset, if that is the fault
            frame = read(["text"] * len(kinds))
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        raise UncleanLinesError(f"{source.name} cannot be read as a text table: {first_line(error)}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{source.name} cannot be read as a text table: {first_line(error)}") from error
    if frame.height and frame.get_column(frame.columns[-1]).null_count():  # only then can a line have been too short, or blank
        frame = without_blank_lines(source, head, frame)
    return frame


def kinds_of(head: Head, text: Forms) -> list[str]:
    """Return the type of each column by the first rows; "words" for those of `text` that are no plain numbers."""

    def kind_of(j: int, name: str) -> str:
        form = text.get(name, PLAIN)
        if not isinstance(form, Reading) or form.strict != PLAIN:
            return "words"
        return type_of([row[j].strip() for row in head.rows if j < len(row)], commas=head.commas)

    return [kind_of(j, name) for j, name in enumerate(head.names)]


def _typed(source: Source, head: Head, frame: polars.DataFrame, kinds: list[str], options: TextOptions) -> TextTable:
    """Return the table with blanks taken off text, and numbers where a column of text holds such."""
    import polars

    words = [name for name, kind in zip(head.names, kinds, strict=True) if kind == "words"]
    written = _read(source, head, ["text"] * frame.width).select(polars.all().str.strip_chars()) if options.written else None
    texts = frame.select(polars.col(polars.String))
    blank = any(cell != cell.strip() for row in head.rows for cell in row)
    padded = texts.columns if blank else _padded(source, head.delimiter, texts)
    if padded:
        texts = texts.with_columns(polars.selectors.by_name(*padded).str.strip_chars())  # all at once: one thread each
    empty = texts.select((polars.all() == "").any()).row(0) if texts.width else ()
    texts = texts.with_columns(cells.set(cells == "", None) for cells, some in zip(texts, empty, strict=True) if some)
    notes = [*source.notes, *head.notes]
    repeated = repeated_header(texts) if texts.width == frame.width > 1 else None
    if repeated is not None:
        notes.append(f"the header is repeated in {counted(int(repeated.sum()), 'row')}, left out")
        texts = frame = texts.filter(~repeated)
        written = None if written is None else written.filter(~repeated)
    if _is_second_header(frame, texts, commas=head.commas):
        first = frame.with_columns(texts).row(0)
        shown = listed((repr(cell or "") for cell in first), 4)
        which, what = ("line below the header", "units or more names") if head.header_lines else ("first line", "names or units")
        notes.append(f"the {which} ({shown}) holds no numbers, and all others do: it is left out, as {what}")
        texts, frame, written = texts[1:], frame[1:], None if written is None else written[1:]
    columns, commas = [], []
    for cells in texts:
        if head.commas and cells.str.contains(",", literal=True).any():
            commas.append(cells.name)
        column, note = (without_text_tokens(cells), "") if cells.name in words else settled(cells, commas=head.commas)
        notes += [note] if note else []
        form = options.text.get(cells.name)
        if form is not None and column.dtype == polars.String:
            column, note = settled_as(column, form)
            notes += [note] if note else []
        columns.append(column)
    remarks = tuple(f"{source.name}: {note}" for note in dict.fromkeys(notes))
    return TextTable(frame.with_columns(columns), remarks, tuple(commas), written)


def repeated_header(texts: polars.DataFrame) -> polars.Series | None:
    """Return which rows hold the names of the columns, or None where none does."""
    same = texts.to_series(0) == texts.columns[0]
    for cells in texts.get_columns()[1:]:
        if not same.any():
            return None
        same = same & (cells == cells.name)
    same = same.fill_null(False)
    return same if same.any() and not same.all() else None


def _is_second_header(frame: polars.DataFrame, texts: polars.DataFrame, *, commas: bool) -> bool:
    """Return whether the first row holds words, such as units, or nothing, in columns that hold numbers otherwise. texts: those of text.

    Some columns may hold other words, if that of the first row is not one of them and two columns hold numbers otherwise.
    """
    if frame.height < 2 or not texts.width or any(cells[0] is not None for cells in frame if cells.name not in texts.columns):
        return False
    first = [cell for cell in texts.row(0) if cell is not None]
    if len(first) < 2 or any(is_missing(cell) or _DIGIT.search(_POWER.sub("", cell)) for cell in first):
        return False
    named = [cells for cells in texts if cells[0] is not None]
    others = [cells for cells in named if not holds_numbers(cells[1:], commas=commas)]
    numbers = len(named) - len(others)
    return not others or (numbers > 1 and not any((cells[1:] == cells[0]).any() for cells in others))


def _padded(source: Source, delimiter: str, texts: polars.DataFrame) -> list[str]:
    """Return the columns of text to strip: those in which a cell begins or ends with a blank, or all where that is faster."""
    if not texts.width:
        return []
    if source.zipped or delimiter in " \v\f" or source.size > BYTES_A_CELL * texts.width * texts.height:
        return texts.columns
    blanks = blanks_in(source, delimiter)
    if blanks == "spaces":
        return [cells.name for cells in texts.get_columns() if (cells.str.starts_with(" ") | cells.str.ends_with(" ")).any()]
    return texts.columns if blanks else []
