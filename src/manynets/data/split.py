"""Split rows into training and validation, once or by folds: at random, by class, by group or by time. NumPy only."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets import rng
from manynets.data.check import warn_of_single_rows
from manynets.data.groups import Rows, as_groups, as_strata, as_times, deal_groups, latest_rows, time_folds
from manynets.errors import DataError, OptionError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SplitBy:
    """What a split keeps together, in order, or in equal shares; made by `SplitBy.of`.

    >>> by = SplitBy.of(4, groups=["a", "a", "b", "b"])
    >>> split_rows(4, 0.5, by=by)
    (array([0, 1]), array([2, 3]))

    Attributes:
        groups: the number of each row's group (N,), never in two parts; None for rows of their own.
        times: of each row (N,); the latest are held out. None for a random split.
        strata: codes (N,), of which both parts get the same share; None for the classes of the target.
    """

    groups: NDArray[Any] | None = None
    times: NDArray[Any] | None = None
    strata: NDArray[Any] | None = None

    @classmethod
    def of(cls, rows: int, *, groups: Any = None, times: Any = None, stratify: Any = None) -> SplitBy:
        """Check columns (N,) of any type; at most one of groups and times, and of times and stratify.

        Errors: DataError for another number of rows and for missing values; OptionError for what does not go together.
        """
        if times is not None and (groups is not None or stratify is not None):
            other = "groups" if groups is not None else "stratify"
            raise OptionError(
                f"rows are split by times and by {other}, but a split by time is the latest rows; give one of the two"
            )
        return cls(
            groups=None if groups is None else as_groups(groups, rows),
            times=None if times is None else as_times(times, rows),
            strata=None if stratify is None else as_strata(stratify, rows),
        )

    def take(self, rows: Rows) -> SplitBy:
        """Return the same for some of the rows."""
        return SplitBy(**{name: None if column is None else column[rows] for name, column in vars(self).items()})

    def with_classes(self, codes: NDArray[Any] | None) -> SplitBy:
        """Return the same, with class codes (N,) as its strata where it has none."""
        return self if codes is None or self.strata is not None else dataclasses.replace(self, strata=codes)


AT_RANDOM = SplitBy()


def split_rows(
    rows: int,
    fraction: float,
    *,
    by: SplitBy = AT_RANDOM,
    seed: int = 0,
    names: tuple[Any, ...] | None = None,
    unseen: str = "validated",
) -> tuple[Rows, Rows]:
    """Return sorted row numbers for training and for validation; `fraction` of the rows go to validation.

    With strata each class keeps its share (largest remainders); a class with one row stays in training, with a warning that gives
    its name and says that it is not `unseen`. With groups the shares are kept as far as the groups allow. Both parts get at least one row.
    """
    if not 0 < fraction < 1:
        raise OptionError(
            f"validation is {fraction!r}, but a fraction must be between 0 and 1; or give the rows or a set of your own"
        )
    if rows < 2:
        raise DataError(f"{rows} row cannot be split into training and validation; at least 2 are needed")
    if by.times is not None:
        return latest_rows(by.times, fraction)
    if by.groups is not None:
        part = deal_groups(by.groups, np.array([1.0 - fraction, fraction]), strata=by.strata, seed=seed)
        return np.flatnonzero(part == 0), np.flatnonzero(part == 1)
    order = rng.generator(seed, "split").permutation(rows)
    wanted = min(max(round(rows * fraction), 1), rows - 1)
    if by.strata is None:
        return np.sort(order[wanted:]), np.sort(order[:wanted])
    codes, counts = np.unique(by.strata, return_counts=True)
    if (counts == 1).any():
        single = [str(names[int(code)]) if names is not None else str(code) for code in codes[counts == 1]]
        warn_of_single_rows(single, unseen)
    exact = np.where(counts > 1, counts * fraction, 0.0)
    take = np.minimum(np.floor(exact).astype(np.int64), np.maximum(counts - 1, 0))
    for code in np.argsort(-(exact - take), kind="stable"):
        if take.sum() >= wanted:
            break
        if take[code] < counts[code] - 1:
            take[code] += 1
    grouped = order[np.argsort(by.strata[order], kind="stable")]  # by class, in random order within each
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    chosen = np.zeros(rows, dtype=bool)
    for start, number in zip(starts, take, strict=True):
        chosen[grouped[start : start + number]] = True
    if not chosen.any():
        raise DataError(
            f"no class has a second row, so {rows} rows cannot be split by class: this looks like an id or a number, not a class label; "
            "for numbers use task='regression'"
        )
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def deal_rows(total: int, folds: int, *, by: SplitBy = AT_RANDOM, seed: int = 0, what: str = "folds") -> list[tuple[Rows, Rows]]:
    """Return (training rows, test rows) of so many folds, dealt at random; with strata each class is dealt evenly.

    With times each fold is tested on a period, and trained on what was before it.

    >>> [test.tolist() for _, test in deal_rows(4, 2, by=SplitBy(strata=np.array([0, 0, 1, 1])))]
    [[0, 2], [1, 3]]
    """
    if isinstance(folds, bool) or not 2 <= folds <= total:
        raise OptionError(f"{what} is {folds!r}, but must be a whole number from 2 to {total}, the number of rows")
    if by.times is not None:
        return time_folds(by.times, folds)
    if by.groups is not None:
        fold = deal_groups(by.groups, np.full(folds, 1.0 / folds), strata=by.strata, seed=seed)
    else:
        order = rng.generator(seed, "split").permutation(total)
        if by.strata is not None:
            order = order[np.argsort(by.strata[order], kind="stable")]
        fold = np.empty(total, dtype=np.int64)
        fold[order] = np.arange(total) % folds
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]


def even_folds(total: int, folds: int, *, by: SplitBy = AT_RANDOM, seed: int = 0) -> list[tuple[Rows, Rows]]:
    """Return the folds of `deal_rows`, all with as many training rows, so that networks on them share each step.

    Where the rows do not divide, the smaller parts to validate on get one more row, which is that of the next fold, too. With
    groups they stay as uneven as the groups are.

    >>> [(train.tolist(), held.tolist()) for train, held in even_folds(3, 2)]
    [([1], [0, 2]), ([2], [0, 1])]
    """
    dealt = deal_rows(total, folds, by=by, seed=seed)
    if by.groups is not None:
        return dealt
    most = max(len(held) for _, held in dealt)
    out = []
    for k, (train, held) in enumerate(dealt):
        if len(held) < most:
            row = dealt[(k + 1) % folds][1][:1]
            train, held = np.setdiff1d(train, row), np.union1d(held, row)
        out.append((train, held))
    return out
