"""Compressed text, and zip archives with one table in them.

.gz is not decompressed here where a file is read: polars does that as it reads (see `Source`).
"""

from __future__ import annotations

import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from manynets.display import listed
from manynets.errors import DataError
from manynets.tables.stored import first_line

ZIP = ".zip"
_FIRST_BYTES = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
COMPRESSED = tuple(_FIRST_BYTES.values())
"""The endings of compressed text."""
_OF_A_WORKBOOK = frozenset(("[Content_Types].xml", "mimetype"))


def plain_name(name: str) -> str:
    """Return the name of a file in lower case, without the ending of a compression.

    >>> plain_name("houses.CSV.gz")
    'houses.csv'
    """
    name = name.lower()
    return next((name.removesuffix(ending) for ending in COMPRESSED if name.endswith(ending)), name)


def compression_of(data: bytes) -> str:
    """Return the ending for the compression that the first bytes show, "" for none."""
    return next((ending for first, ending in _FIRST_BYTES.items() if data.startswith(first)), "")


def decompressed(name: str, source: Path | bytes, ending: str) -> bytes:
    """Return what a file, or its bytes, hold decompressed. Errors: DataError for what is damaged, and for .zst with text that is not UTF-8."""
    import bz2  # not above: a Python may lack them
    import gzip
    import lzma

    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        if ending == ".zst":
            return _zstandard(name, data)
        return {".gz": gzip, ".bz2": bz2, ".xz": lzma}[ending].decompress(data)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name} cannot be decompressed: {first_line(error)}") from error


def _zstandard(name: str, data: bytes) -> bytes:
    """Return text that is compressed with Zstandard, which Python has from version 3.14 on; polars decompresses lines of UTF-8."""
    import polars

    if compression_of(data) != ".zst":  # polars would read it as it is
        raise ValueError("not a Zstandard file")
    try:
        return "\n".join(polars.read_lines(io.BytesIO(data)).to_series()).encode()
    except polars.exceptions.PolarsError as error:
        raise DataError(
            f"{name} is not UTF-8, and other text is not read from .zst; decompress it, with zstd -d, or compress it with gzip (.csv.gz)"
        ) from error


def is_workbook(data: bytes) -> bool:
    """Return whether a zip archive is a workbook of Excel or OpenDocument."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return not _OF_A_WORKBOOK.isdisjoint(archive.namelist())
    except zipfile.BadZipFile:
        return False


def zipped_name(name: str, source: Path | bytes, endings: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the name of the one table in a zip archive, and notes. endings: of tables.

    Folders, hidden files and what macOS adds do not count; neither do .txt files beside a table in another format.

    Errors: DataError for no table, for several, and for an archive that is damaged.
    """
    with _opened(name, source) as archive:
        files = [one for one in archive.namelist() if not _is_hidden(one)]
    return _chosen(name, files, endings)


def unzipped(name: str, source: Path | bytes, inner: str) -> bytes:
    """Return the bytes of a file in a zip archive. Errors: DataError for an archive that is damaged or encrypted."""
    with _opened(name, source) as archive:
        return archive.read(inner)


@contextlib.contextmanager
def _opened(name: str, source: Path | bytes) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(source if isinstance(source, Path) else io.BytesIO(source)) as archive:
            yield archive
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        encrypted = isinstance(error, RuntimeError) and "encrypted" in str(error)
        why = "it is encrypted; unpack it, and name the table in it" if encrypted else first_line(error)
        raise DataError(f"{name} cannot be read as a zip archive: {why}") from error


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return not parts[-1] or any(part.startswith((".", "__MACOSX")) and part != "." for part in parts)


def _chosen(name: str, files: Sequence[str], endings: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return which file of an archive is the table, and notes."""
    if not _OF_A_WORKBOOK.isdisjoint(files):
        raise DataError(f"{name} is a workbook, whatever its ending; rename it to {Path(name).stem}.xlsx or .ods")
    tables = [one for one in files if one.lower().endswith(tuple(endings))]
    texts = [one for one in tables if one.lower().endswith(".txt")]
    if len(tables) - len(texts) == 1:
        found = next(one for one in tables if one not in texts)
        return found, (f"{name}: {found} is read, and not {listed(texts, 5)}",) if texts else ()
    if len(tables) != 1:
        has = f"{len(tables)} tables: {listed(tables, 10)}" if tables else f"no table, but {listed(files, 10) or 'no file at all'}"
        advice = "unpack it, and name one of them" if tables else f"a table ends in {', '.join(endings)}"
        raise DataError(f"{name} holds {has}; {advice}")
    return tables[0], ()
