"""Fingerprints of data: their hash and size, to notice a change."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any


def fingerprint_of(path: str, shape: tuple[int, int], content: bytes | None = None) -> dict[str, Any]:
    """Return the hash and sizes of a file; those of a folder or pattern cover its files in order, with their names.

    shape: rows and columns that were read. content: the bytes of standard input.
    """
    from manynets.tables.binary import parquet_files

    sizes = {"rows": shape[0], "columns": shape[1]}
    if content is not None:
        return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), **sizes}
    if Path(path).is_file():
        return {"sha256": _digest(Path(path)).hex(), "bytes": Path(path).stat().st_size, **sizes}
    files = parquet_files(path) or []
    base = os.path.commonpath([file.parent.absolute() for file in files])
    mark = hashlib.sha256()
    for file in files:
        mark.update(os.path.relpath(file, base).encode() + b"\0" + _digest(file))
    return {"sha256": mark.hexdigest(), "bytes": sum(file.stat().st_size for file in files), "files": len(files), **sizes}


def fingerprint_of_arrays(arrays: Iterable[Any], shape: tuple[int, int]) -> dict[str, Any]:
    """Return the hash and sizes of contiguous arrays; None stands for one that is missing."""
    mark = hashlib.sha256()
    for array in arrays:
        if array is not None:
            mark.update(array.data)
    return {"sha256": mark.hexdigest(), "rows": shape[0], "columns": shape[1]}


def same_data(now: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    """Return whether two fingerprints have the same hashes."""
    return {name: mark["sha256"] for name, mark in now.items()} == {name: mark["sha256"] for name, mark in then.items()}


@contextlib.contextmanager
def unchanged(*paths: str | None) -> Iterator[None]:
    """Raise DataError at the end of this context if a file has changed within it: its fingerprint may not be that of the rows read."""
    from manynets.tables.binary import parquet_files
    from manynets.tables.stored import FileMarks

    files = [file for path in paths if path not in (None, "-") for file in parquet_files(path) or [Path(path)]]
    marks = FileMarks([file for file in files if file.is_file()], form="data")
    yield
    marks.check()


def _digest(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
