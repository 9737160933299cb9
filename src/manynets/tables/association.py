"""How much a column says about the target, measured on rows that were not used to find it out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manynets import rng

FOLDS = 5
MOST_CLASSES = 32
"""Whole numbers with more different values than this are ranked; of classes, the most frequent ones are looked at."""
MOST_BINS = 32
ROWS_PER_BIN = 10
LEAST_SHARE = 0.01
LEAST_T = 4.0

Codes = NDArray[np.int64]


class Association(NamedTuple):
    """What groups of rows say about the target.

    Attributes:
        share: of the spread of the target that the means of the groups explain in rows that they were not computed from; R2 of
            ranks or of classes. Below 0 for what says nothing.
        t: by how many standard errors the share is above 0.
    """

    share: float
    t: float

    @property
    def informative(self) -> bool:
        """Whether this is more than chance: true ids are not."""
        return self.share >= LEAST_SHARE and self.t >= LEAST_T


def plain_target(y: Any) -> NDArray[Any]:
    """Return a target as an array of numbers, bools or text: of a tensor the values, of objects their numbers or their text."""
    array = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    if array.dtype.kind in "biufU":
        return array
    try:
        return array.astype(np.float64) if array.dtype.kind == "O" else array.astype(str)
    except (TypeError, ValueError):
        return array.astype(str)


def target_scores(y: Any) -> NDArray[np.float64]:
    """Return a target (N,) or (N, T) as scores (N, S) whose means can be compared: 0 and 1 for each class, or ranks from 0 to 1.

    >>> target_scores(["a", "b", "a"]).tolist()
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    array = plain_target(y)
    columns = array.reshape(len(array), -1).T
    return np.concatenate([_scores_of(column) for column in columns], axis=1)


def are_classes(found: NDArray[Any]) -> bool:
    """Return whether the different values of a target are classes: text, or whole numbers of which there are few.

    >>> are_classes(np.array(["a", "b"])), are_classes(np.array([1.0, 2.0])), are_classes(np.array([0.5, 2.0]))
    (True, True, False)
    """
    return found.dtype.kind not in "biuf" or (len(found) <= MOST_CLASSES and bool(np.all(found == np.floor(found))))


def _scores_of(y: NDArray[Any]) -> NDArray[np.float64]:
    found, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    if not are_classes(found):
        ranks = np.cumsum(counts) - (counts + 1) / 2
        return (ranks[codes] / max(1, len(y) - 1))[:, None]
    usual = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    return (codes[:, None] == usual).astype(np.float64)


def binned(values: NDArray[np.float64]) -> Codes:
    """Return the bin of each number (N,), -1 for NaN; the bins hold about as many rows each.

    >>> binned(np.array([5.0, 1.0, np.nan, 5.0])).tolist()
    [1, 0, -1, 1]
    """
    present = values[~np.isnan(values)]
    different = np.unique(present)
    bins = int(np.clip(present.size // ROWS_PER_BIN, 2, MOST_BINS))
    if different.size > bins:
        different = np.unique(np.quantile(present, np.arange(bins) / bins, method="lower"))
    codes = np.searchsorted(different, values, side="right") - 1
    return np.where(np.isnan(values), -1, codes).astype(np.int64)


def association(codes: Codes, scores: NDArray[np.float64]) -> Association:
    """Return what groups (N,), -1 for missing, say about the scores (N, S) of a target.

    The mean of a group is computed in four fifths of the rows and compared in the last; it is drawn to the mean of all by two rows
    of that. What holds in one draw of the fifths only is chance, so the lower of two draws counts.
    """
    if len(codes) < 2 * FOLDS or len(np.unique(codes)) < 2:
        return Association(0.0, 0.0)
    return min((_in_one_draw(codes, scores, seed) for seed in range(2)), key=lambda found: found.t)


def _in_one_draw(codes: Codes, scores: NDArray[np.float64], seed: int) -> Association:
    rows, groups = len(codes), int(codes.max()) + 2
    fold = np.empty(rows, dtype=np.int64)
    fold[rng.generator(seed, "split").permutation(rows)] = np.arange(rows) % FOLDS
    cell = (codes + 1) * FOLDS + fold
    counts = np.bincount(cell, minlength=groups * FOLDS).reshape(groups, FOLDS)
    before, gain = np.zeros(rows), np.zeros(rows)
    for score in scores.T:
        sums = np.bincount(cell, weights=score, minlength=groups * FOLDS).reshape(groups, FOLDS)
        mean = (sums.sum() - sums.sum(axis=0)) / (rows - counts.sum(axis=0))  # (FOLDS,), of the other folds
        others = counts.sum(axis=1, keepdims=True) - counts
        means = (sums.sum(axis=1, keepdims=True) - sums + 2.0 * mean) / (others + 2.0)
        away = np.square(score - mean[fold])
        before += away
        gain += away - np.square(score - means.reshape(-1)[cell])
    total = float(before.sum())
    if total <= 0.0:
        return Association(0.0, 0.0)
    error = float(gain.std()) / rows**0.5
    share = float(gain.sum()) / total
    return Association(share, float(gain.mean()) / error if error > 0.0 else np.inf if share > 0.0 else 0.0)
