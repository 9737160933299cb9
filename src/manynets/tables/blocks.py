"""Tables larger than memory: a block of rows after the other, of a Parquet file or of a text table that needs no cleaning.

A text table is read twice. The first time finds the type of each column, as `read_table` does on all rows at once; the second makes the blocks. Where
that would take what only the whole table shows (lines to be cleaned, words among the numbers of a column that is used), there are no blocks, and the
file is to be read at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manynets.errors import DataError
from manynets.tables.binary import parquet_files
from manynets.tables.dates import DateForm
from manynets.tables.delimited import ends_oddly, kinds_of, repeated_header
from manynets.tables.kinds import Forms
from manynets.tables.lines import delimiters_in_cells, ends_with_open_quote, odd_line
from manynets.tables.numerals import NUMBER, SHORT_WHOLE, NumberFacts, as_numbers
from manynets.tables.settling import is_lenient, odd_cells, without_text_tokens
from manynets.tables.sniffing import Head, read_head
from manynets.tables.source import Source, TextOptions, in_utf8, is_plain_text
from manynets.tables.stored import FileMarks, StoredColumns
from manynets.tables.table import refuse_duplicates
from manynets.tables.written import Reading

if TYPE_CHECKING:
    import polars

STREAM_BYTES = 1 << 25
STREAM_CELLS = 1 << 22
"""Smaller files are read at once: text tables by their bytes, Parquet files by rows times columns."""
PIECE_BYTES = 1 << 23
STORED_ROWS = 1 << 16


class _WholeNeeded(Exception):
    """The blocks of a text table do not show what the whole one would."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Blocks:
    """A table in pieces.

    names: of the columns. rows: how many. written: reads pieces of any size from the start, with cells as they are in the file. typed: makes
    numbers of those that are. notes: for the user.
    """

    names: tuple[str, ...]
    rows: int
    written: Callable[[], Iterator[polars.DataFrame]]
    typed: Callable[[polars.DataFrame], polars.DataFrame]
    notes: tuple[str, ...] = ()

    def pieces(self) -> Iterator[polars.DataFrame]:
        """Return pieces of any size, from the start."""
        return map(self.typed, self.written())

    def frames(self, size: int) -> Iterator[tuple[polars.DataFrame, polars.DataFrame]]:
        """Yield frames of so many rows, each also with its cells as they are in the file; the last one has up to twice as many rows."""
        import polars

        rest = polars.DataFrame()
        for piece in self.written():
            rest = polars.concat([rest, piece]) if rest.height else piece
            while rest.height >= 2 * size:
                part, rest = rest[:size], rest[size:]
                yield self.typed(part), part
        if rest.height:
            yield self.typed(rest), rest


def open_blocks(path: str, *, used: Sequence[str], text: Sequence[str] | Forms = (), **given: Any) -> Blocks | None:
    """Return the blocks of a large file, None where it is small or to be read at once. The arguments are those of `read_table`; a workbook has no blocks.

    used: the columns whose type matters. Other ones may be text where `read_table` finds numbers with units or dates among words.
    """
    options = TextOptions.of(text, **given)
    if path == "-" or options.sheet is not None:
        return None
    files = parquet_files(path)
    if files is not None:
        return _stored(path, files)
    file = Path(path)
    if not is_plain_text(file) or file.stat().st_size <= STREAM_BYTES:
        return None
    source = in_utf8(Source(name=path, file=file), options.encoding)
    if source.content is not None:
        return None
    head = read_head(source, delimiter=options.delimiter, header=options.header)
    if head.unclean or head.notes or source.notes:
        return None
    try:
        return _typed(source, head, options.text, used)
    except _WholeNeeded:
        return None


def _stored(path: str, files: Sequence[Path]) -> Blocks | None:
    stored = StoredColumns(path, files)
    refuse_duplicates(stored.names)
    if stored.nested or stored.rows * len(stored.names) <= STREAM_CELLS:
        return None

    def pieces() -> Iterator[polars.DataFrame]:
        for start in range(0, stored.rows, STORED_ROWS):
            yield stored.read(stored.names, start=start, rows=STORED_ROWS).to_native()

    return Blocks(names=stored.names, rows=stored.rows, written=pieces, typed=lambda piece: piece)


# ------------------------------------------------------------------------------------------------------------- text tables


def text_blocks(source: Source, head: Head) -> Blocks:
    """Return the blocks of a text table in UTF-8, of any size. head: what its first lines show.

    Columns are text where `read_table` finds numbers with units, or dates, among words.

    Errors: DataError for lines that would be cleaned first, which takes the whole table.
    """
    try:
        if head.unclean:
            raise _WholeNeeded
        return _typed(source, head, {}, ())
    except _WholeNeeded:
        why = (
            odd_line(source, head)
            or "it repeats its header, or has lines above it, sums below the rows or a quote that is never closed"
        )
        raise DataError(f"{source.name} cannot be read in parts: {why}; correct the file, or raise the memory limit") from None


def _typed(source: Source, head: Head, text: Forms, used: Sequence[str]) -> Blocks:
    if ends_with_open_quote(source, head.delimiter):
        raise _WholeNeeded
    refuse_duplicates(head.names)
    assert source.file is not None
    marks = FileMarks([source.file], form="text")
    columns = [
        _Facts(name, kind, text.get(name), commas=head.commas) for name, kind in zip(head.names, kinds_of(head, text), strict=True)
    ]
    rows, last = 0, None
    for piece in _pieces(source, head):
        for facts, cells in zip(columns, piece, strict=True):
            facts.add(cells)
        if piece.width > 1 and repeated_header(piece) is not None:
            raise _WholeNeeded
        rows += piece.height
        last = piece
    if last is None or ends_oddly(last):
        raise _WholeNeeded
    fits = all(facts.fits for facts in columns)
    types = [facts.type(fits=fits, used=facts.name in used) for facts in columns]

    def written() -> Iterator[polars.DataFrame]:
        for piece in _pieces(source, head):
            marks.check()
            yield piece
        marks.check()

    def typed(piece: polars.DataFrame) -> polars.DataFrame:
        return piece.with_columns(_as(cells, kind) for cells, kind in zip(piece, types, strict=True))

    return Blocks(names=tuple(head.names), rows=rows, written=written, typed=typed, notes=head.notes)


def _pieces(source: Source, head: Head) -> Iterator[polars.DataFrame]:
    """Yield some rows of a text table after the other, all cells as text without blanks around, null where empty."""
    with source.open() as stream:
        for _ in range(head.header_lines):
            stream.readline()
        held = b""
        while chunk := stream.read(PIECE_BYTES):
            held += chunk
            end = _end_of_rows(held)
            if end:
                yield _parsed(held[:end], head)
                held = held[end:]
            elif len(held) > 8 * PIECE_BYTES:  # a quote that is never closed, perhaps
                raise _WholeNeeded
        if held:
            yield _parsed(held, head)


def _end_of_rows(text: bytes) -> int:
    """Return where the last line ends that no quotes go on beyond, 0 for none."""
    at = text.rfind(b"\n")
    quotes = text.count(b'"', 0, at) if at >= 0 else 0
    while at >= 0 and quotes % 2:
        before = text.rfind(b"\n", 0, at)
        quotes -= text.count(b'"', max(before, 0), at)
        at = before
    return at + 1


def _parsed(text: bytes, head: Head) -> polars.DataFrame:
    import polars

    try:
        frame = polars.read_csv(
            text, has_header=False, separator=head.delimiter, schema=dict.fromkeys(head.names, polars.String), glob=False
        )
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException):
        raise _WholeNeeded from None
    delimiters = text.count(head.delimiter.encode())
    if b'"' in text:
        delimiters -= delimiters_in_cells(frame, head.delimiter)
    if frame.width > 1 and delimiters != (frame.width - 1) * frame.height:  # a line is blank, or too short
        raise _WholeNeeded
    frame = frame.with_columns(polars.all().str.strip_chars())
    return frame.with_columns(polars.when(polars.all() != "").then(polars.all()))


class _Facts:
    """What all cells of a column have in common, found block by block.

    kind: of its first rows, see `kinds_of`. form: in which training read it, if it had one. commas:
    whether numbers may have a decimal comma, as in files with semicolons.
    """

    def __init__(self, name: str, kind: str, form: Reading | DateForm | None, *, commas: bool) -> None:
        self.name, self.kind, self.form = name, kind, form
        self.fits = True  # all cells so far are as the first rows show
        self._numbers = NumberFacts(commas=commas)

    def add(self, cells: polars.Series) -> None:
        """Look at some more cells."""
        if self.kind == "words":
            if self.form is not None and not is_lenient(self.form) and odd_cells(cells, self.form):
                raise _WholeNeeded  # which shows whether they are few
            return
        if self.kind in ("int", "float"):
            pattern = SHORT_WHOLE if self.kind == "int" else NUMBER
            self.fits = self.fits and bool(cells.str.contains(pattern).fill_null(True).all())
        self._numbers.add(cells)

    def type(self, *, fits: bool, used: bool) -> str:
        """Return "words", "text" or the type of the numbers in the whole column. fits: whether all columns are as their first rows show."""
        if self.kind == "words" or (fits and self.kind != "text"):
            return self.kind
        found = self._numbers.kind()
        if found is None and used and not is_lenient(self.form):
            raise _WholeNeeded
        return found or "text"


def _as(cells: polars.Series, kind: str) -> polars.Series:
    if kind in ("int", "float", "comma"):
        return as_numbers(cells, kind)  # type: ignore[arg-type]
    return without_text_tokens(cells) if kind == "words" else cells
