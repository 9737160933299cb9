"""The folds of a search: read and encoded once for all candidates, their rows in one matrix."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils import _safe_indexing

from manynets.data.check import is_frame
from manynets.data.tensors import to_tensor
from manynets.estimators import inputs
from manynets.estimators.plan import FitData, read_fit
from manynets.prepare import RowNumbers


class SharedRows:
    """Rows of one width and dtype that networks address by number: blocks one after the other."""

    def __init__(self) -> None:
        self.blocks: list[NDArray[Any]] = []
        self.numbers: dict[int, RowNumbers] = {}
        self.length = 0
        self.tensors: dict[torch.device, torch.Tensor] = {}

    def add(self, x: NDArray[Any]) -> RowNumbers:
        """Return the numbers of a block's rows; it is appended at the first call."""
        if id(x) not in self.numbers:
            self.blocks.append(x)
            self.numbers[id(x)] = np.arange(self.length, self.length + len(x))
            self.length += len(x)
            self.tensors.clear()
        return self.numbers[id(x)]

    def tensor(self, device: torch.device) -> torch.Tensor:
        """Return all rows on a device."""
        if device not in self.tensors:
            whole = self.blocks[0] if len(self.blocks) == 1 else np.concatenate(self.blocks)
            dtype = torch.float32 if whole.dtype == np.float32 else torch.float64
            self.tensors[device] = to_tensor(whole, device=device, dtype=dtype)
        return self.tensors[device]


@dataclasses.dataclass(eq=False)
class FoldData:
    """A fold as the last step of a pipeline is given it: `steps` are the fitted steps before it, None for none.

    sides: X and y of "train" and "test". rows: the numbers of the training rows among the shared ones. known: what candidates have computed
    from the fold before.
    """

    sides: Mapping[str, tuple[Any, Any]]
    weight: Any = None
    groups: Any = None
    steps: Any = None
    rows: RowNumbers | None = None
    known: dict[Hashable, Any] = dataclasses.field(default_factory=dict)

    def once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Return what was computed for a key at its first call."""
        if key not in self.known:
            self.known[key] = compute()
        return self.known[key]

    def columns_of(self, estimator: Any, name: str) -> NDArray[Any]:
        """Return X of one side as the networks of a fitted estimator take it."""
        encoder = estimator.encoder_

        def read() -> Any:
            x = inputs.read_rows(estimator, self.sides[name][0], reset=False)
            x = x if is_frame(x) else inputs.dense(x)
            return x if encoder is None else encoder.transform(x)

        out: NDArray[Any] = self.once(("columns", name, id(encoder)), read)
        return out


class SearchFolds:
    """The folds of X and y, shared by all candidates with the same first steps of a pipeline.

    splits: row numbers of the training and test sets; fit_params: what `fit` is given, weights and groups.
    """

    def __init__(self, X: Any, y: Any, splits: Sequence[tuple[RowNumbers, RowNumbers]], fit_params: Mapping[str, Any]) -> None:
        self.X, self.y, self.splits = X, y, splits
        self.by_row = {name.rpartition("__")[2]: values for name, values in fit_params.items()}
        self.folds: dict[tuple[int, Hashable], FoldData] = {}
        self.shared: dict[tuple[int, str], SharedRows] = {}
        self.whole: NDArray[Any] | None = None

    def add_rows(self, x: NDArray[Any]) -> RowNumbers:
        """Return the numbers of rows among the shared ones of their width and dtype."""
        key = (x.shape[1], "float32" if x.dtype == np.float32 else "float64")
        return self.shared.setdefault(key, SharedRows()).add(x)

    def fold(self, number: int, steps: Any, key: Hashable, reader: Any) -> FoldData:
        """Return a fold after the first `steps` of a pipeline, which are fitted to its training rows once for each key."""
        if (number, key) in self.folds:
            return self.folds[number, key]
        train, test = self.splits[number]
        train_y, test_y = (None if self.y is None else _safe_indexing(self.y, rows) for rows in (train, test))
        numbers = None
        if steps is None and not is_frame(self.X):
            if self.whole is None:
                self.whole = inputs.dense(inputs.read_rows(clone(reader), self.X, reset=True))
            numbers = self.add_rows(self.whole)[train]
        train_x, test_x = (_safe_indexing(self.X if numbers is None else self.whole, rows) for rows in (train, test))
        if steps is not None:
            train_x = steps.fit_transform(train_x, train_y)
            for step in (one for _, one in steps.steps if one not in (None, "passthrough")):
                test_x = step.transform(test_x)  # a step without fitted attributes too, which a pipeline takes for unfitted
        by_row = {name: None if values is None else _safe_indexing(values, train) for name, values in self.by_row.items()}
        sides = {"train": (train_x, train_y), "test": (test_x, test_y)}
        fold = FoldData(sides, by_row.get("sample_weight"), by_row.get("groups"), steps, numbers)
        self.folds[number, key] = fold
        return fold

    def read(self, fold: FoldData, estimator: Any) -> FitData:
        """Return what an estimator trains on; X and y are read once for each kind of estimator, which learns from them."""
        x, y, learnt = fold.once(type(estimator).__name__, lambda: self._read(fold, clone(estimator)))
        vars(estimator).update(learnt)
        estimator.encoder_ = None
        weight = inputs.weights(fold.weight, len(y))
        return FitData(x, y, weight, groups=fold.groups, rows=fold.rows, add_rows=self.add_rows, known=fold.known)

    def _read(self, fold: FoldData, reader: Any) -> tuple[Any, NDArray[Any], dict[str, Any]]:
        """Return X and y as an estimator reads them, and the attributes that it learns from them."""
        x, y = read_fit(reader, *fold.sides["train"])
        if not is_frame(x):
            x = inputs.dense(x)
            if fold.rows is None:
                fold.rows = self.add_rows(x)
        return x, y, {name: value for name, value in vars(reader).items() if name.endswith("_") and not name.startswith("_")}
