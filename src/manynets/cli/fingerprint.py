"""Hashes of data: of files and arrays, to notice a change, and of rows, to recognise those that a run was trained or validated on."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.data import duplicates

MOST_ROWS = 1_000_000
"""Of more rows, no hashes are stored: 8 bytes each."""


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


def row_hashes(X: Any, target: Any) -> NDArray[np.uint64]:
    """Return a hash (N,) of each row and its encoded target, (N,) or (N, O). X: the network's inputs (N, D), or hashes of them (N,).

    >>> bool((row_hashes(np.eye(2), [0, 1]) == row_hashes(np.eye(2), [0, 0])).tolist() == [True, False])
    True
    """
    return duplicates.row_hashes(
        X if X.dtype == np.uint64 else np.asarray(X, dtype=np.float32), np.asarray(target, dtype=np.float64)
    )


def hashes_of_parts(task: Any, parts: Iterable[Any]) -> NDArray[np.uint64] | None:
    """Return the distinct hashes of the rows of some parts (None: no rows), sorted; None where there are too many."""
    present = [part for part in parts if part is not None]
    if sum(part.rows for part in present) > MOST_ROWS:
        return None
    return np.unique(np.concatenate([row_hashes(part.identity, task.encode(part.y)) for part in present]))
