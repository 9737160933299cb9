"""Split rows so that a group is never on both sides, and rows by time. NumPy only."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets import rng
from manynets.errors import DataError
from manynets.tasks.base import as_array, missing_in

Rows = NDArray[np.int64]
STRATA = 10
"""Numbers by which a split is stratified are cut into so many parts of about as many rows."""
MOST_STRATA = 32
"""Whole numbers with at most so many different values are strata as they are."""


def as_groups(values: Any, rows: int) -> Rows:
    """Return the number of each row's group (N,).

    Errors: DataError for another number of rows, for missing values, and for one group only.

    >>> as_groups(["b", "a", "b"], 3).tolist()
    [1, 0, 1]
    """
    found, codes = _numbered(_column(values, rows, "groups"))
    if len(found) < 2:
        raise DataError(
            f"groups has the same value, {found.tolist()[0]!r}, in all rows, so there is nothing to split by; leave it out"
        )
    return codes


def as_strata(values: Any, rows: int) -> Rows:
    """Return the number of each row's stratum (N,): its value, or for many different numbers a tenth of the rows by size."""
    array = _column(values, rows, "stratify")
    found, codes = _numbered(array)
    if array.dtype.kind in "biuf" and len(found) > MOST_STRATA:
        edges = np.unique(np.quantile(array, np.arange(1, STRATA) / STRATA))
        return np.searchsorted(edges, array, side="right").astype(np.int64)
    return codes


def _numbered(array: NDArray[Any]) -> tuple[NDArray[Any], Rows]:
    """Return the different values of a column (N,), of others than numbers as text, and the number of each row's (N,)."""
    found, codes = np.unique(array if array.dtype.kind in "biuf" else array.astype(str), return_inverse=True)
    return found, codes.astype(np.int64)


def as_times(values: Any, rows: int) -> NDArray[np.float64]:
    """Return the time of each row (N,) as numbers: of dates the seconds since 1970, by UTC where they have a time zone.

    Errors: DataError for another number of rows, missing times, what is neither number nor date, and one time only.
    """
    array = _column(values, rows, "times")
    if array.dtype.kind == "M":
        array = array.astype("M8[us]").astype(np.int64) / 1e6
    elif array.dtype.kind == "O" and all(isinstance(one, datetime.date) or hasattr(one, "to_timestamp") for one in array.tolist()):
        array = np.array([_seconds(value) for value in array.tolist()])
    if array.dtype.kind not in "biuf":
        hint = "; make texts dates, such as by pandas.to_datetime" if isinstance(array.tolist()[0], str) else ""
        raise DataError(f"times holds {array.tolist()[0]!r}, but must be numbers or dates (NumPy's datetime64){hint}")
    times = array.astype(np.float64)
    if times.min() == times.max():
        raise DataError("times is the same in all rows, so none is later than another; leave it out")
    return times


def _seconds(moment: Any) -> float:
    """Return the seconds since 1970 of a date, a moment, or the start of a period."""
    if hasattr(moment, "to_timestamp"):  # as pandas' Period has
        moment = moment.to_timestamp()
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime.combine(moment, datetime.time())
    return float((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())


def _column(values: Any, rows: int, what: str) -> NDArray[Any]:
    """Return a column (N,) without missing values."""
    if isinstance(values, str):
        raise DataError(f"{what} is {values!r}, but must be one value for each row, such as the column table[{values!r}]")
    array = as_array(values, what=what)
    if array.shape != (rows,):
        raise DataError(f"{what} has shape {array.shape}, but must be ({rows},): one value for each row")
    missing = missing_in(array) if array.dtype.kind in "fMO" else np.zeros(rows, dtype=bool)
    if missing.any():
        raise DataError(
            f"{what} is missing in {int(missing.sum())} of {rows} rows, the first in row {int(np.argmax(missing))} (counted from 0);"
            " fill it in, or remove those rows"
        )
    return array


def deal_groups(groups: Rows, shares: NDArray[np.float64], *, strata: NDArray[Any] | None = None, seed: int = 0) -> Rows:
    """Return the part (N,) in which each row is, so that each group is in one part.

    Args:
        groups: the number of each row's group (N,).
        shares: of the rows that each part gets, as far as the groups allow; they sum to 1.
        strata: class codes (N,), of which each part gets the same share, as far as the groups allow.

    Large groups are dealt first, each to the part that needs its rows and classes most. Every part gets a group.

    >>> deal_groups(np.array([0, 0, 1, 1, 2, 2]), np.array([0.5, 0.5])).tolist().count(0)
    4
    """
    found, codes = np.unique(groups, return_inverse=True)
    parts = len(shares)
    if len(found) < parts:
        raise DataError(f"there are {len(found)} groups, but {parts} parts need at least as many; use fewer folds")
    counts = _counts(codes, strata)  # (G, C), of each column that sums to 1
    order = rng.generator(seed, "split").permutation(len(found))
    order = order[np.argsort(-counts[order, 0], kind="stable")]
    filled = np.zeros((parts, counts.shape[1]))
    part_of = np.empty(len(found), dtype=np.int64)
    for group in order.tolist():
        more = counts[group]
        part = int(np.argmin((2.0 * filled + more) @ more / shares))  # the growth of the sum of filled^2 / share
        part_of[group] = part
        filled[part] += more
    for part in range(parts):
        if not (part_of == part).any():
            donors = np.flatnonzero(np.bincount(part_of, minlength=parts)[part_of] > 1)
            part_of[donors[np.argmin(counts[donors, 0])]] = part
    return part_of[codes]


def _counts(codes: Rows, strata: NDArray[Any] | None) -> NDArray[np.float64]:
    """Return the share of all rows, and of each stratum's rows, that each group has: (G, 1 + strata)."""
    rows = np.bincount(codes)[:, None] / len(codes)
    if strata is None:
        return rows
    kinds = np.unique(strata, return_inverse=True)[1]
    most = int(kinds.max()) + 1
    table = np.bincount(codes * most + kinds, minlength=len(rows) * most).reshape(len(rows), most).astype(np.float64)
    return np.concatenate([rows, table / table.sum(axis=0)], axis=1)


def latest_rows(times: NDArray[np.float64], fraction: float) -> tuple[Rows, Rows]:
    """Return the earlier rows and the latest, sorted; about `fraction` of the rows are among the latest.

    Rows of one time are on the same side.

    >>> latest_rows(np.array([3.0, 1.0, 2.0, 4.0]), 0.25)
    (array([0, 1, 2]), array([3]))
    """
    wanted = min(max(round(len(times) * (1.0 - fraction)), 1), len(times) - 1)  # this many are earlier
    starts = _starts(times, np.array([wanted]))
    if not len(starts):
        raise DataError("all rows have the same time, so none is later than another; split at random")
    late = times >= starts[0]
    return np.flatnonzero(~late), np.flatnonzero(late)


def time_folds(times: NDArray[np.float64], folds: int) -> list[tuple[Rows, Rows]]:
    """Return (training rows, test rows) of so many folds: each is tested on a period, and trained on all that was before.

    The rows are cut into folds + 1 periods of about as many rows, as scikit-learn's TimeSeriesSplit does; rows of one time are in one.

    >>> [test.tolist() for _, test in time_folds(np.arange(6.0), 2)]
    [[2, 3], [4, 5]]
    """
    starts = _starts(times, len(times) * np.arange(1, folds + 1) / (folds + 1))
    if len(starts) < folds:
        raise DataError(f"{folds} folds by time need {folds + 1} different times, about evenly spread; use fewer folds")
    edges = [*starts.tolist(), np.inf]
    return [
        (np.flatnonzero(times < start), np.flatnonzero((times >= start) & (times < stop)))
        for start, stop in itertools.pairwise(edges)
    ]


def _starts(times: NDArray[np.float64], wanted: NDArray[Any]) -> NDArray[np.float64]:
    """Return up to n times, each preceded by about the wanted number of rows (n,); none if all rows have the same time."""
    ordered = np.sort(times)
    cuts = np.flatnonzero(np.diff(ordered) > 0) + 1
    return np.unique(ordered[cuts[np.argmin(np.abs(cuts[:, None] - wanted), axis=0)]]) if len(cuts) else np.empty(0)
