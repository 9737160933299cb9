"""Identical rows: how many of one table occur in another, or twice in their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manynets.errors import LeakWarning, warn_user
from manynets.tables.columns import has_means

if TYPE_CHECKING:
    from manynets.tables import TableEncoder

_AT_ONCE = 1 << 15  # words, which stay in the cache

Rows = NDArray[np.int64]


def row_hashes(*columns: NDArray[Any] | None) -> NDArray[np.uint64]:
    """Return a number for each row (N,) of matrices (N, D) and columns (N,) side by side, the same for identical rows. None is no column.

    It is a sum of the row's 32-bit words times odd numbers, mixed at the end: different rows have the same with a chance of at most about 2^-48.

    >>> one, two, three = row_hashes(np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]]))
    >>> bool(one == two), bool(one == three)
    (True, False)
    """
    parts = [part for part in columns if part is not None]
    count = sum(_words(part[:1]).shape[1] for part in parts)
    factors = np.random.default_rng(0).integers(0, 1 << 63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = np.empty(len(parts[0]), dtype=np.uint64)
    step = max(1, _AT_ONCE // count)
    for start in range(0, len(hashes), step):
        rows = slice(start, start + step)
        words = np.concatenate([_words(part[rows]) for part in parts], axis=1, dtype=np.uint64)
        words ^= words >> np.uint64(16)  # whole numbers as floats end in zeros, which products would keep
        words += np.uint64(1)
        words *= factors
        hashes[rows] = words.sum(axis=1)
    hashes ^= hashes >> np.uint64(31)
    return hashes * factors[0]


def encoded_hashes(matrix: NDArray[Any], encoder: TableEncoder) -> NDArray[np.uint64] | None:
    """Return hashes (N,) of rows as the encoder transforms new ones, or None if its columns alone tell whether rows are identical.

    They do not in a table with large categories: each row that the encoder is fitted to gets means that leave out its own target.
    """
    return row_hashes(matrix) if has_means(encoder.columns) else None


def _words(part: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the bits of rows as words (N, W): of float32, float64 and uint64 as they are, of other numbers as float64."""
    values = part if part.dtype in (np.float32, np.float64, np.uint64) else part.astype(np.float64)
    values = values if values.dtype == np.uint64 else values + values.dtype.type(0)  # -0.0 becomes 0.0
    return np.ascontiguousarray(values if values.ndim == 2 else values[:, None]).view(np.uint32)


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
    known = row_hashes(one.astype(kind, copy=False), target)
    return int(np.isin(row_hashes(other.astype(kind, copy=False), other_target), known).sum())


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
    _, codes, counts = np.unique(row_hashes(matrix, target), return_inverse=True, return_counts=True)
    codes = np.where(counts[codes] > 1, codes + 1, 0)  # above 0 for rows that have copies, the same as theirs
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
