"""Recognise rows that a run was trained or validated on, by hashes of them that are stored in its folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.errors import ModelFileError

MOST_ROWS = 1_000_000
"""Of more rows, no hashes are stored: 8 bytes each."""
CELLS = 1 << 18
"""Hashed at a time, so that the work space takes little memory."""


def row_hashes(X: Any, target: Any) -> NDArray[np.uint64]:
    """Return a hash (N,) of each row of the network's inputs (N, D) and its encoded target (N,) or (N, O).

    A sum of the 32-bit words times odd numbers, mixed at the end: equal rows have equal hashes, and two different ones the same
    with a chance of about 2^-64.

    >>> bool((row_hashes(np.eye(2), [0, 1]) == row_hashes(np.eye(2), [0, 0])).tolist() == [True, False])
    True
    """
    inputs, targets = np.asarray(X), np.asarray(target, dtype=np.float64)
    targets = targets.reshape(len(targets), -1)
    words = inputs.shape[1] + 2 * targets.shape[1]
    factors = np.random.default_rng(0).integers(0, 1 << 63, words, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    out = np.zeros(len(inputs), dtype=np.uint64)
    step = max(1024, CELLS // words)  # of fewer rows, a column takes longer
    for start in range(0, len(inputs), step):
        rows = slice(start, start + step)
        floats = np.ascontiguousarray(inputs[rows], dtype=np.float32) + np.float32(0)  # -0 is 0
        bits = np.concatenate([floats.view(np.uint32), (targets[rows] + 0.0).view(np.uint32)], axis=1)
        for column, factor in zip(bits.T, factors, strict=True):
            out[rows] += (column.astype(np.uint64) + np.uint64(1)) * factor
    out ^= out >> np.uint64(31)
    return out * factors[0]


def hashes_of_parts(task: Any, parts: Iterable[Any]) -> NDArray[np.uint64] | None:
    """Return the distinct hashes of the rows of some parts (None: no rows), sorted; None where there are too many."""
    present = [part for part in parts if part is not None]
    if sum(part.rows for part in present) > MOST_ROWS:
        return None
    return np.unique(np.concatenate([row_hashes(part.X, task.encode(part.y)) for part in present]))


def parts_by_seen(run: Any, part: Any) -> tuple[Any, Any]:
    """Return the rows of a part that are new to a run, and those it has seen; None for none."""
    from manynets.cli.data import taken

    seen = run.seen_rows
    if seen is None or not len(seen):
        return part, None
    if seen.dtype != np.uint64 or seen.ndim != 1:
        raise ModelFileError(f"{run.folder} is damaged: the hashes of its rows are not whole numbers; train again")
    known = np.isin(row_hashes(part.X, run.model.task.encode(part.y)), seen)
    if not known.any():
        return part, None
    return None if known.all() else taken(part, np.flatnonzero(~known)), taken(part, np.flatnonzero(known))
