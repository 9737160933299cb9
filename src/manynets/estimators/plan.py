"""A fit between reading and training: which rows, which networks, and where the data lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.estimators.inputs import distinct_rows
from manynets.fitting import Prepared, prepare
from manynets.rng import Shuffles
from manynets.spec import MLP, Recipe
from manynets.tables import TableEncoder
from manynets.tasks import Task
from manynets.training.trial import Member

__all__ = ["Data", "Drawn", "Plan", "Ready", "merge_copies", "ready", "rows_of"]

Rows = NDArray[np.int64]
Drawn: TypeAlias = tuple[dict[str, NDArray[Any]], Shuffles, int]
"""What one network draws: the weights it starts from, the orders of its rows, and the seed of all else."""


@dataclasses.dataclass(eq=False)
class Data:
    """What a fit trains on. x: (N, D); y: as the user has it; weight: (N,) or None; train, validation: row numbers or None.

    rows: which rows these are of a table that several fits share. encoded: frames that fits of the same rows have encoded before,
    by the rows their encoder has seen; place: gives encoded rows a place in the shared table. drawn: what fits of the same rows
    have drawn before, by all that it depends on.
    """

    x: Any
    y: NDArray[Any]
    weight: NDArray[np.float64] | None
    train: Rows | None = None
    validation: Rows | None = None
    apart: tuple[Any, ...] | None = None
    rows: Rows | None = None
    encoded: dict[bytes, tuple[TableEncoder, NDArray[Any]]] = dataclasses.field(default_factory=dict)
    place: Callable[[NDArray[Any]], Rows | None] = lambda x: None
    drawn: dict[tuple[Any, ...], Drawn] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Ready:
    """Data that are where training finds them: rows of the problem, `count` training rows that weigh `total`.

    weight: of a network's own, for each row of the problem. prepared: None where the problem is made later.
    """

    rows: Rows | None
    validation_rows: Rows | None
    count: int
    total: float
    weight: NDArray[np.float64] | None = None
    prepared: Prepared | None = None


@dataclasses.dataclass(eq=False)
class Plan:
    """The networks of one fit, and what makes their outcomes a fitted estimator. prepared: as in Ready."""

    network: MLP
    recipe: Recipe
    task: Task
    members: list[Member]
    prepared: Prepared | None
    rows: int
    columns: int
    scale: float
    held_out: bool
    fresh: bool


def ready(
    data: Data,
    base: Recipe,
    task: Task,
    *,
    weight: NDArray[np.float64] | None,
    class_weight: Any,
    encoder: TableEncoder | None,
) -> Ready:
    """Return the data of one fit as a problem of their own."""
    validation = data.apart if data.apart is not None else data.validation
    prepared = prepare(data.x, data.y, base, task=task, validation=validation, sample_weight=weight, class_weight=class_weight)
    rows = prepared.rows if data.train is None else data.train  # rows without weight are in neither part
    prepared = dataclasses.replace(prepared, rows=rows, encoder=encoder)
    count = len(data.x) if rows is None else len(rows)
    total, weights = float(count), prepared.problem.rows.weight
    if weights is not None:
        total = float((weights if rows is None else weights[rows]).sum(dtype=torch.float64))
    return Ready(rows, prepared.validation_rows, count, total, None, prepared)


def merge_copies(data: Data, task: Task) -> None:
    """Make the copies of a training row one row with their weight.

    So that k copies are the same as weight k where rows of a batch meet (batch norm) or differ by chance (dropout).
    """
    train = np.arange(len(data.x)) if data.train is None else data.train
    weight = None if data.weight is None else data.weight[train]
    found = distinct_rows(data.x[train], task.encode(data.y)[train], weight)
    if found is None or len(found[0]) < 2:
        return
    first, _, total = found
    rows = train[first]
    if data.validation is not None:
        validation = data.validation
        total = np.concatenate([total, np.ones(len(validation)) if data.weight is None else data.weight[validation]])
        rows = np.concatenate([rows, validation])
        data.train, data.validation = np.arange(len(first)), np.arange(len(first), len(rows))
    else:
        data.train = None
    data.x, data.y, data.weight = data.x[rows], data.y[rows], total
    data.rows = None if data.rows is None else data.rows[rows]


def rows_of(frame: Any, rows: Rows | None) -> Any:
    """Return these rows of a frame (None: all)."""
    if rows is None:
        return frame
    import narwhals as nw

    return nw.from_native(frame, eager_only=True)[rows].to_native()
