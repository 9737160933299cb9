"""Large categories of a stream as means of the target (`manynets.tables.means`): of all its training rows, by one more pass.

The pass reads these columns and the target, and adds up rows and targets by level and fold, of which there are few. A row's fold follows from
its number and the seed, so that it is the same whenever the row is read, and each row is trained on with the means of the other folds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.data.stream.parts import TRAIN
from manynets.data.stream.table import Description, RowsTable
from manynets.tables import TableEncoder
from manynets.tables.columns import CategoricalColumn
from manynets.tables.encoder import MeansOf
from manynets.tables.means import FOLDS, Values, add_rows, fold_means, is_large, level_means, targets_of
from manynets.tables.scaling import Scaling
from manynets.tasks import Task

FoldMeans = Mapping[str, Values]
"""By name of a column the mean of each level over the rows of the other folds, and last over all rows, (O, FOLDS + 1, L)."""


def fit_fold_means(
    table: RowsTable, found: Description, encoder: TableEncoder, task: Task, *, scaling: Scaling, max_levels: int, bins: int
) -> tuple[TableEncoder, FoldMeans]:
    """Return the encoder with means for large categories, as `fit_encoder` has them, and the means by fold."""
    large = {
        column.name: column
        for column in encoder.columns
        if isinstance(column, CategoricalColumn) and not column.part and is_large(len(column.known), max_levels)
    }
    target = targets_of(task.encode(table.target_of(found.sample)), task.outputs)
    if not large or target is None:
        return encoder, {}
    sums = {name: np.zeros((1 + target.shape[1], FOLDS, len(column.known) + 2)) for name, column in large.items()}
    own = dataclasses.replace(encoder, columns=tuple(large.values()))
    narrow = dataclasses.replace(table, features=table.files.stored(large))
    for number, block in enumerate(table.files.blocks):
        if found.counts[number, TRAIN]:
            frame, words = narrow.training_rows(block)
            target = targets_of(task.encode(table.target_of(frame)), task.outputs)
            assert target is not None
            cells, folds = own.matched(frame[list(narrow.features)]), _folds(words)
            for name, column in large.items():
                add_rows(sums[name], folds, column.codes(cells), target)
    means = {name: fold_means(of_column) for name, of_column in sums.items()}
    sample, folds = own.matched(found.sample[list(narrow.features)]), _folds(found.words)

    def fitted(column: Any) -> Any:
        if column.name not in large:
            return column
        codes = column.codes(sample)
        found = (level_means(mean[FOLDS], mean[folds, codes], scaling, bins) for mean in means[column.name])
        return dataclasses.replace(column, means=tuple(found))

    return dataclasses.replace(encoder, columns=tuple(map(fitted, encoder.columns))), means


def of_other_folds(means: FoldMeans, words: NDArray[np.uint64]) -> MeansOf | None:
    """Return the means for training rows, without their own targets; None where there are none. words: `RowsTable.words` (N,)."""
    folds = _folds(words)
    return (lambda name, rows, levels: list(means[name][:, folds[rows], levels])) if means else None


def _folds(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (words % np.uint64(FOLDS)).astype(np.int64)
