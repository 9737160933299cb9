"""A text table as a Parquet file beside it, converted once, in parts: so that it can then be read in blocks."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import secrets
import time
from pathlib import Path

from manynets.errors import DataError, OptionError, warn_user
from manynets.tables.blocks import text_blocks
from manynets.tables.sniffing import read_head
from manynets.tables.source import TEXT, Source
from manynets.tables.stored import FileMarks, check_name, first_line

MARK = "manynets.converted_from"
"""In the metadata of the Parquet file: what it was converted from, and how."""
MOST_ROWS, FEWEST_ROWS = 1 << 16, 1 << 10
"""Of a row group."""
ABANDONED = 3600.0
"""Seconds after which a file that is not written any more is one that a killed process left."""
VERSION = 2
"""Of what is written; a file of another version is written again."""


def converted(path: str | Path, *, group_bytes: int, delimiter: str | None = None, header: bool = True) -> tuple[Path, bool]:
    """Return the Parquet file of a text table, NAME.parquet beside it, and whether it was written now.

    One that was written from the same text, by size and time, with the same delimiter and header is used again. group_bytes: what a row
    group takes in memory at most, about.

    Errors: DataError for a line or a cell that does not fit the others, and for a NAME.parquet that was not written here; OptionError for
    other formats.
    """
    import polars
    from polars.io.plugins import register_io_source

    file = check_name(Path(path))
    if file.suffix.lower() not in TEXT:
        raise OptionError(f"{file} cannot be converted in parts: give one of {', '.join(TEXT)}, or a Parquet file")
    target = file.with_name(f"{file.name}.parquet")
    marks, found = FileMarks([file], form="text"), file.stat()
    source = Source(name=str(file), file=file)
    head = read_head(source, delimiter=delimiter, header=header)
    reading = {"delimiter": head.delimiter, "header": header, "version": VERSION}
    origin = json.dumps({"size": found.st_size, "mtime_ns": found.st_mtime_ns, **reading})
    if target.exists() and _written_from(target, file) == origin:
        return target, False
    _remove_abandoned(target)
    own = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    blocks = text_blocks(source, head)
    rows = min(max(group_bytes // (8 * len(blocks.names)), FEWEST_ROWS), MOST_ROWS)
    try:
        schema = next(blocks.pieces()).schema
        lazy = register_io_source(lambda *_: blocks.pieces(), schema=schema)
        lazy.sink_parquet(own, row_group_size=rows, maintain_order=True, metadata={MARK: origin})
        marks.check()
        if target.exists() and _written_from(target, file) == origin:  # by another process, which may be reading it
            return target, False
        os.replace(own, target)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        raise DataError(f"{file} cannot be converted to Parquet: {first_line(error)}") from error
    except OSError as error:
        raise OSError(
            error.errno, f"{file} cannot be converted to Parquet: {error.strerror or first_line(error)}", str(target)
        ) from error
    finally:
        with contextlib.suppress(OSError):  # not there, or of a folder that cannot be written
            own.unlink()
    if blocks.notes:
        warn_user("; ".join(f"{file}: {note}" for note in blocks.notes), UserWarning)
    return target, True


def _remove_abandoned(target: Path) -> None:
    """Remove what processes that were killed while they converted left: nothing has been written to it for long."""
    for entry in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - entry.stat().st_mtime > ABANDONED:
                entry.unlink()


def origin_of(file: Path) -> str:
    """Return what a Parquet file says that it was converted from; empty for one that was not written here."""
    import polars

    try:
        return polars.read_parquet_metadata(file).get(MARK, "")
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError):
        return ""


def _written_from(target: Path, source: Path) -> str:
    """Return what a Parquet file says that it was converted from; DataError for one that was not written here."""
    mark = origin_of(target)
    if not mark:
        raise DataError(
            f"{target} is in the way: {source} would be converted to it, but manynets did not write it; give that file as the data, or move it"
            " to another name"
        )
    return mark
