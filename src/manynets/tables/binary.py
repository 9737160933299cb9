"""Read Parquet, Arrow and JSON lines."""

from __future__ import annotations

import glob
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from manynets.errors import DataError
from manynets.tables.stored import check_name, first_line, readable, scan

if TYPE_CHECKING:
    import polars

PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")


def parquet_files(path: str | Path) -> list[Path] | None:
    """Return the Parquet files that a path, a folder or a pattern names, or None where it names another file.

    Errors: DataError for a folder without Parquet files, for a pattern that fits no file or another one, and for a name that is not UTF-8.
    """
    file = Path(path)
    if file.is_dir():
        hidden = (".", "_")
        found = sorted(
            inner
            for inner in file.rglob("*")
            if inner.suffix.lower() in PARQUET and not any(part.startswith(hidden) for part in inner.relative_to(file).parts)
        )
        if not found:
            raise DataError(f"{file} is a folder, but holds no Parquet files ({', '.join(PARQUET)}); name a file in it")
    elif any(sign in str(path) for sign in "*?[") and not file.exists():
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
        if not found:
            raise DataError(f"{path}: no file fits this pattern")
        other = [name for name in found if name.suffix.lower() not in PARQUET]
        if other:
            raise DataError(f"{path} fits {other[0]}, but a pattern may fit Parquet files only; name other files one by one")
    elif file.suffix.lower() in PARQUET and file.exists():
        found = [file]
    else:
        return None
    return [check_name(one) for one in found]


def read_parquet(name: str, source: Sequence[Path] | bytes) -> polars.DataFrame:
    """Return the table in Parquet files, or in the bytes of one."""
    import polars

    with readable(name, "Parquet"):
        return polars.read_parquet(io.BytesIO(source)) if isinstance(source, bytes) else scan(source).collect()


def read_arrow(name: str, source: Path | bytes) -> polars.DataFrame:
    """Return the table in an Arrow file or stream."""
    import polars

    try:
        return polars.read_ipc(source)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError) as error:
        try:
            return polars.read_ipc_stream(source)
        except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError):
            raise DataError(f"{name} cannot be read as Arrow: {first_line(error)}") from error


def read_json_lines(name: str, data: bytes) -> polars.DataFrame:
    """Return the table of objects, one a line. Errors: DataError that names the first line that is not an object."""
    import polars

    if not data.strip():
        raise DataError(f"{name} holds 0 data rows: it is empty; at least 1 is needed")
    try:
        return polars.read_ndjson(io.BytesIO(data), infer_schema_length=None)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        for number, line in enumerate(data.splitlines(), start=1):
            try:
                row = json.loads(line) if line.strip() else {}
            except (ValueError, RecursionError) as wrong:
                raise DataError(f"{name}, line {number} is not JSON: {wrong}; each line must be an object") from error
            if not isinstance(row, dict):
                raise DataError(f"{name}, line {number} is a {type(row).__name__}, but must be an object {{...}}") from error
        raise DataError(f"{name} cannot be read as JSON lines: {first_line(error)}") from error
