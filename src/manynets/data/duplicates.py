"""Identical rows: how many of one table occur in another, or twice in their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.errors import LeakWarning, warn_user

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)
_AT_ONCE = 1 << 15  # numbers, which stay in the cache

Rows = NDArray[np.int64]


def row_hashes(matrix: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a number for each row (N,), the same for identical rows and, but for one chance in 10^19, for no others.

    >>> one, two, three = row_hashes(np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]]))
    >>> bool(one == two), bool(one == three)
    (True, False)
    """
    values = _floats(matrix)
    kind = np.uint32 if values.dtype == np.float32 else np.uint64
    hashes = np.zeros(len(values), dtype=np.uint64)
    for column in values.T:
        hashes ^= (column + 0.0).view(kind)  # -0.0 becomes 0.0
        hashes *= _PRIME
        hashes ^= hashes >> _SHIFT
    return hashes


def count_shared(
    one: NDArray[Any], other: NDArray[Any], *, target: NDArray[Any] | None = None, other_target: NDArray[Any] | None = None
) -> int:
    """Return how many rows of the other matrix (M, D) occur in the first (N, D), too; both have the same columns.

    target (N,) or (N, O), other_target (M,) or (M, O): with them, such rows must have the same target as well.

    >>> one, other = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[3.0, 4.0], [3.0, 4.0], [5.0, 6.0]])
    >>> count_shared(one, other), count_shared(one, other, target=np.array([0, 1]), other_target=np.array([1, 0, 0]))
    (2, 1)
    """
    kind = np.result_type(one, other)
    one, other = (np.asarray(matrix, dtype=kind) for matrix in (one, other))
    first, second = _sketches(one), _sketches(other)
    here, there = np.isin(first, second), np.isin(second, first)
    one, other = one[here], other[there]
    target, other_target = (None if y is None else y[rows] for y, rows in ((target, here), (other_target, there)))
    return int(np.isin(_with_target(row_hashes(other), other_target), _with_target(row_hashes(one), target)).sum())


def count_held_out(
    matrix: NDArray[Any], splits: Sequence[tuple[Rows | None, Rows | None]], *, target: NDArray[Any] | None = None
) -> int:
    """Return how many rows any of the splits (training rows, held-out rows) holds out while an identical one is trained on.

    matrix: (N, D) numbers, or hashes (N,) of the rows. target: (N,) or (N, O), which must be the same as well. None for training rows
    is all rows, None for held-out rows is no rows.

    >>> matrix = np.array([[1.0], [2.0], [1.0], [1.0]])
    >>> count_held_out(matrix, [(np.array([0, 1]), np.array([2, 3])), (np.array([2, 3]), np.array([0, 1]))])
    3
    """
    codes = _codes_of_copies(matrix, target)
    shared = np.zeros(len(codes), dtype=bool)
    for train, held_out in splits if codes.any() else ():
        if held_out is not None:
            trained = np.zeros(int(codes.max()) + 1, dtype=bool)
            trained[codes if train is None else codes[train]] = True
            trained[0] = False
            shared[held_out] |= trained[codes[held_out]]
    return int(shared.sum())


def report_copies(shared: int, total: int, *, what: str = "validation") -> None:
    """Warn with LeakWarning that so many of the rows to validate or to test on are identical to one that is trained on."""
    if shared:
        warn_user(
            f"{shared:,} of {total:,} {what} rows are identical to a row that is trained on, target included, so they do not show how well new rows are"
            " predicted; unless that is how the data come, leave the copies out, or split by groups that keep them together",
            LeakWarning,
        )


def _codes_of_copies(matrix: NDArray[Any], target: NDArray[Any] | None) -> NDArray[np.int64]:
    """Return a number above 0 for each row (N,) that has copies, the same as theirs, and 0 for the others."""
    codes, numbers = np.zeros(len(matrix), dtype=np.int64), np.arange(len(matrix))
    if matrix.ndim == 2:
        numbers = numbers[_repeated(_sketches(matrix))[1]]
        hashes = row_hashes(matrix[numbers])
    else:
        hashes = matrix.astype(np.uint64)
    found, repeated = _repeated(_with_target(hashes, None if target is None else target[numbers]))
    codes[numbers[repeated]] = 1 + found[repeated]
    return codes


def _with_target(hashes: NDArray[np.uint64], target: NDArray[Any] | None) -> NDArray[np.uint64]:
    """Return hashes (N,) of rows with their target."""
    return hashes if target is None else hashes * _PRIME ^ row_hashes(target if target.ndim == 2 else target[:, None])


def _repeated(values: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return a code (N,) for each value, and whether it occurs more than once."""
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    return codes, counts[codes] > 1


def _sketches(matrix: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a number for each row (N,), the same for identical rows and hardly ever for others, in a fraction of a `row_hashes`."""
    values = _floats(matrix)
    kind: Any = np.uint32 if values.dtype == np.float32 else np.uint64
    half = kind(16) if kind is np.uint32 else kind(32)
    factors = np.random.default_rng(0).integers(np.iinfo(kind).max, size=values.shape[1], dtype=kind) | kind(1)
    out = np.zeros(len(values), dtype=np.uint64)
    step = max(1, _AT_ONCE // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        bits: NDArray[Any] = (values[start : start + step] + 0.0).view(kind)  # -0.0 becomes 0.0
        bits ^= bits >> half
        bits *= factors
        out[start : start + step] = bits.sum(axis=1, dtype=kind)
    return out


def _floats(matrix: NDArray[Any]) -> NDArray[Any]:
    values = np.asarray(matrix)
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
