"""The bytes of a text table, in UTF-8: from a file, zipped or not, or from memory."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from manynets.display import short
from manynets.errors import DataError, OptionError
from manynets.tables.dates import DateForm
from manynets.tables.written import Reading

if TYPE_CHECKING:
    from manynets.tables.kinds import Forms

HEAD_BYTES = 1 << 20
_TEXT = "a list of the columns that stay text, such as ['code'], or for new rows the forms of the encoder, as text=encoder.forms"
TEXT = (".csv", ".tsv", ".txt")
"""The endings of text tables."""
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def is_plain_text(path: str | Path) -> bool:
    """Return whether a path names a text table that can be read in parts, as it is not compressed."""
    return str(path).lower().endswith(TEXT) and Path(path).is_file()


@dataclass(frozen=True, kw_only=True)
class Source:
    """A text table before it is read.

    Attributes:
        name: of the file; for messages.
        file: where the bytes are, in UTF-8, or None.
        content: the bytes in UTF-8 where they are in memory, or None.
        notes: remarks on them for the user.
    """

    name: str
    file: Path | None = None
    content: bytes | None = None
    notes: tuple[str, ...] = ()

    @property
    def zipped(self) -> bool:
        """Whether the bytes are unzipped as they are read."""
        return self.content is None and self.name.lower().endswith(".gz")

    @property
    def padded(self) -> bool:
        """Whether a .gz file ends in zeros, as on tapes, which polars cannot read."""
        return self.zipped and self.size >= 8 and not any(self.end(8))

    def open(self) -> IO[bytes]:
        """Return a stream of the bytes, unzipped."""
        if self.content is not None:
            return io.BytesIO(self.content)
        assert self.file is not None
        return cast("IO[bytes]", gzip.open(self.file)) if self.zipped else self.file.open("rb")

    def read(self, most: int = -1) -> bytes:
        """Return the bytes, or so many of them. Errors: DataError for a damaged file."""
        try:
            with self.open() as stream:
                return stream.read(most)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self.name} cannot be read: {error}") from error

    def end(self, count: int) -> bytes:
        """Return so many of the last bytes as they are stored."""
        if self.content is not None:
            return self.content[-count:]
        assert self.file is not None
        with self.file.open("rb") as stream:
            stream.seek(-count, io.SEEK_END)
            return stream.read()

    def loaded(self) -> Source:
        """Return the source with its bytes in memory."""
        return self if self.content is not None else replace(self, content=self.read())

    @property
    def size(self) -> int:
        """Bytes as they are stored."""
        if self.content is not None:
            return len(self.content)
        assert self.file is not None
        return self.file.stat().st_size


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How a text table is to be read; see `read_table`."""

    encoding: str | None = None
    delimiter: str | None = None
    header: bool = True
    sheet: str | None = None
    text: Forms = field(default_factory=dict)
    written: bool = False  # whether the cells are wanted as they are written, too

    @classmethod
    def of(cls, text: Iterable[str] | Forms, **options: Any) -> TextOptions:
        """Return the options; text: columns that stay text, or how each column is read, None for text. Raises OptionError for another."""
        if isinstance(text, str) or not isinstance(text, Iterable):
            raise OptionError(f"text is {short(text)}, but must be {_TEXT}")
        forms = text if isinstance(text, Mapping) else dict.fromkeys(text)
        for name, form in forms.items():
            if not isinstance(form, Reading | DateForm | None):
                raise OptionError(f"text has {short(form)} for the column {name!r}, but must be {_TEXT}")
        return cls(text=forms, **options)


def in_utf8(source: Source, encoding: str | None) -> Source:
    """Return the source in UTF-8: recoded where an encoding is given, or a byte order mark or the first bytes show another.

    Errors: OptionError for an unknown encoding; DataError for bytes that are not in it, with their offset.
    """
    if encoding is not None:
        name = _known(encoding)
        if name in ("utf-8", "utf-8-sig"):
            return source
        return _recoded(source, name)
    head = source.read(HEAD_BYTES)
    for mark, name in _BOMS:
        if head.startswith(mark):
            return _recoded(source, name)
    if b"\0" in head:
        zeros = [head[first::2].count(0) for first in (0, 1)]
        if min(zeros) * 10 < max(zeros) and max(zeros) * 3 > len(head) // 2:
            return _recoded(source, "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le")
        at = head.index(0)
        raise DataError(
            f"{source.name}, line {_line(head, at)} is not text: byte 0x00 at offset {at}; if it is UTF-16,"
            " mn.tables.read_table(path, encoding='utf-16') reads it"
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        text, notes = decoded(source.name, source.read())
        return replace(source, content=text.encode(), notes=(*source.notes, *notes))
    return source


def with_single_blanks(source: Source) -> Source:
    """Return the source with one blank between cells where there are several, and none at the ends of lines, unless it has quotes."""
    data = source.read()
    if b'"' in data:
        return source
    return replace(source, content=b"".join(b" ".join(line.split()) + b"\n" for line in data.splitlines()))


def _known(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)
    except (LookupError, ValueError) as error:
        raise OptionError(
            f"encoding is {encoding!r}, but must be one that Python knows, such as utf-8, latin-1, cp1252, utf-16"
        ) from error
    return name


def _recoded(source: Source, name: str) -> Source:
    data = source.read()
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        offset = min(error.start, len(data) - 1)
        raise not_in(source.name, _line(data, offset, name), offset, data[offset], name) from error
    return replace(source, content=text.removeprefix("\ufeff").encode("utf-8", errors="replace"))


def decoded(name: str, data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return the text of bytes that should be UTF-8, and notes: where none of its letters is, they are read as Windows-1252.

    Errors: DataError with the offset of the first wrong byte where most letters are UTF-8, or one is no letter in Windows-1252.
    """
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        first = error.start
    wide = data.decode("utf-8", errors="surrogateescape")
    wrong = sum("\udc80" <= sign <= "\udcff" for sign in wide)
    right = sum(sign > "\x7f" for sign in wide) - wrong
    if right >= wrong:
        raise not_in(name, _line(data, first), first, data[first], "utf-8")
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise not_in(name, _line(data, first), first, data[first], "utf-8") from error
    note = (
        f"it is not UTF-8 (byte 0x{data[first]:02x} at offset {first}) and is read as cp1252; if that is wrong,"
        " mn.tables.read_table(path, encoding='cp1251') reads Cyrillic text"
    )
    return text, (note,)


def not_in(name: str, line: int, offset: int, byte: int, encoding: str) -> DataError:
    """Return the error for a byte that is not in an encoding."""
    return DataError(
        f"{name}, line {line} is not {encoding}: byte 0x{byte:02x} at offset {offset};"
        " mn.tables.read_table(path, encoding='latin-1') reads Western text, 'cp1251' is for Cyrillic and 'shift_jis' for Japanese"
    )


def _line(data: bytes, offset: int, encoding: str = "utf-8") -> int:
    """Return the line, counted from 1, of the byte at an offset."""
    return 1 + data[:offset].decode(encoding, errors="replace").count("\n")
