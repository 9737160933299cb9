"""The digits that come with scikit-learn, read without loading it: its import takes as long as that of torch."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.datasets.dataset import Dataset
from manynets.datasets.images import DIGITS, pixel_names
from manynets.errors import DataError


def digits() -> Dataset:
    """Return the 1,797 digits of 8 x 8 pixels that come with scikit-learn: 1,437 for training, 360 for testing.

    The split is always the same: scikit-learn's `train_test_split(test_size=0.2, stratify=y, random_state=0)`. Pixels,
    0 to 16, are divided by 16.

    >>> import manynets as mn
    >>> data = mn.datasets.digits()
    >>> data.X.shape, data.X_test.shape, data.image_shape
    ((1437, 64), (360, 64), (8, 8))
    """
    with gzip.open(_file(), "rt", encoding="ascii") as file:
        rows = np.loadtxt(file, delimiter=",")
    X, y = (rows[:, :-1] / 16).astype(np.float32), rows[:, -1].astype(np.int64)
    train, test = _stratified(y, test_rows=360, random=np.random.RandomState(0))
    return Dataset(
        name="digits",
        X=X[train],
        y=y[train],
        X_test=X[test],
        y_test=y[test],
        feature_names=pixel_names(8, 8),
        class_names=DIGITS,
        image_shape=(8, 8),
        task="multiclass",
        source="E. Alpaydin, C. Kaynak, 1998, UCI Optical Recognition of Handwritten Digits, test part; CC BY 4.0",
    )


def _file() -> Path:
    """Return the file in scikit-learn's folder."""
    found = importlib.util.find_spec("sklearn")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            return path
    raise DataError("scikit-learn's digits are missing: its folder has no datasets/data/digits.csv.gz; install scikit-learn again")


def _stratified(y: NDArray[Any], *, test_rows: int, random: np.random.RandomState) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the row numbers for training and testing that scikit-learn's `train_test_split` draws, stratified by y (N,).

    Source: scikit-learn, `StratifiedShuffleSplit`; a test compares the two.
    """
    counts = np.bincount(y)
    train_counts = _shares(counts, len(y) - test_rows, random)
    test_counts = _shares(counts - train_counts, test_rows, random)
    train: list[int] = []
    test: list[int] = []
    for label, (first, then) in enumerate(zip(train_counts, test_counts, strict=True)):
        rows = np.flatnonzero(y == label)[random.permutation(counts[label])]
        train += rows[:first].tolist()
        test += rows[first : first + then].tolist()
    return random.permutation(train), random.permutation(test)


def _shares(counts: NDArray[Any], total: int, random: np.random.RandomState) -> NDArray[np.int64]:
    """Return how many of `total` rows each class gets: in proportion, the largest remainders rounded up, ties at random."""
    exact = counts / counts.sum() * total
    out = np.floor(exact)
    missing = int(total - out.sum())
    for remainder in np.unique(exact - out)[::-1] if missing else ():
        tied = np.flatnonzero(exact - np.floor(exact) == remainder)
        chosen = random.choice(tied, size=min(len(tied), missing), replace=False)
        out[chosen] += 1
        missing -= len(chosen)
        if not missing:
            break
    return out.astype(np.int64)
