"""A text table as a Parquet file beside it, converted once, in parts: so that it can then be read in blocks."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time
from pathlib import Path

from manynets.errors import DataError, OptionError
from manynets.tables.marks import FileMarks, check_name
from manynets.tables.source import TEXT
from manynets.tables.stored import first_line

MARK = "manynets.converted_from"
"""In the metadata of the Parquet file: what it was converted from, and how."""
MOST_ROWS, FEWEST_ROWS = 1 << 16, 1 << 10
"""Of a row group."""
ABANDONED = 3600.0
"""Seconds after which a file that is not written any more is one that a killed process left."""
HEAD_ROWS = 10_000
"""Rows that say what type a column has; a later cell that does not fit is an error."""


def converted(path: str | Path, *, group_bytes: int, delimiter: str | None = None, header: bool = True) -> tuple[Path, bool]:
    """Return the Parquet file of a text table, NAME.parquet beside it, and whether it was written now.

    One that was written from the same text, by size and time, with the same delimiter and header is used again. group_bytes: what a row
    group takes in memory at most, about.

    Errors: DataError for a line or a cell that does not fit the others, and for a NAME.parquet that was not written here; OptionError for
    other formats.
    """
    import polars

    source = check_name(Path(path))
    if source.suffix.lower() not in TEXT:
        raise OptionError(f"{source} cannot be converted in parts: give one of {', '.join(TEXT)}, or a Parquet file")
    target = source.with_name(f"{source.name}.parquet")
    marks = FileMarks([source], form="text")
    separator, found = delimiter or _delimiter(source), source.stat()
    origin = json.dumps({"size": found.st_size, "mtime_ns": found.st_mtime_ns, "delimiter": separator, "header": header})
    if target.exists() and _origin_of(target, source) == origin:
        return target, False
    _remove_abandoned(target)
    own = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        lazy = polars.scan_csv(
            source, separator=separator, has_header=header, infer_schema_length=HEAD_ROWS, try_parse_dates=False, glob=False
        )
        if not header:
            lazy = lazy.rename({name: f"x{j}" for j, name in enumerate(lazy.collect_schema().names())})
        rows = group_bytes // (8 * len(lazy.collect_schema()))
        size = min(max(rows, FEWEST_ROWS), MOST_ROWS)
        lazy.sink_parquet(own, row_group_size=size, maintain_order=True, metadata={MARK: origin})
        marks.check()
        os.replace(own, target)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        raise DataError(f"{source} cannot be converted to Parquet: {first_line(error)}") from error
    except OSError as error:
        raise OSError(error.errno, f"{source} cannot be converted to Parquet: {error.strerror}", str(target)) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            own.unlink()
    return target, True


def _remove_abandoned(target: Path) -> None:
    """Remove what processes that were killed while they converted left: nothing has been written to it for long."""
    for entry in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - entry.stat().st_mtime > ABANDONED:
                entry.unlink()


def _origin_of(target: Path, source: Path) -> str:
    """Return what a Parquet file says that it was converted from; DataError for one that was not written here."""
    import polars

    try:
        mark = polars.read_parquet_metadata(target).get(MARK)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError):
        mark = None
    if mark is None:
        raise DataError(
            f"{target} is in the way: {source} would be converted to it, but manynets did not write it; give that file as the data, or move it"
            " to another name"
        )
    return mark


def _delimiter(source: Path) -> str:
    """Return the delimiter that occurs most often in the first line."""
    with source.open("rb") as file:
        first = file.readline(1 << 20).decode("utf-8", errors="replace")
    return max(",;\t|", key=first.count)
