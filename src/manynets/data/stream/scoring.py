"""Scores and targets of all rows of files, of which one block is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manynets.data.stream.parts import HashSplit
from manynets.data.stream.table import RowsTable
from manynets.tables.rowgroups import BlockFiles
from manynets.tables.table import require

if TYPE_CHECKING:
    import polars

    from manynets.tables.encoder import TableEncoder


class Scored(NamedTuple):
    """Scores (N, O) of rows, their target (N,) as the table has it, and their weights (N,) or None."""

    scores: NDArray[Any]
    y: NDArray[Any]
    weight: NDArray[np.float64] | None


def scored(
    table: RowsTable, frames: Iterable[polars.DataFrame], score: Callable[[polars.DataFrame], NDArray[Any]]
) -> Scored | None:
    """Return what `score` gives for the features of each frame, with the targets; None for no rows."""
    scores, targets = [], []
    weights: list[Any] = []
    for frame in frames:
        scores.append(score(frame[list(table.features)]))
        targets.append(table.target_of(frame))
        weights.append(table.weights_of(frame))
    if not scores:
        return None
    return Scored(np.concatenate(scores), np.concatenate(targets), None if table.weight is None else np.concatenate(weights))


def scored_file(
    path: str, target: str, encoder: TableEncoder, score: Callable[[polars.DataFrame], NDArray[Any]], *, weight: str | None = None
) -> Scored:
    """Return the same for all rows of Parquet files, or of an Arrow file. encoder: of the features."""
    files = BlockFiles(path)
    features = files.stored(encoder.column_names)
    require(features, files.names, what="feature")
    require([target], files.names, what="target")
    require([] if weight is None else [weight], files.names, what="weight")
    table = RowsTable(files, HashSplit(seed=0), target, features, weight)
    with table.naming_rows(encoder):
        found = scored(table, (table.read(block)[0] for block in files.blocks), score)
    assert found is not None
    return found
