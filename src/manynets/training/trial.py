"""What a run is made of: the problem, the members that are trained on it, and their outcomes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from manynets.data.batches import Rows
from manynets.nn.shape import Shape
from manynets.rng import Order, Shuffles
from manynets.spec import METRICS, MLP, Recipe
from manynets.steps import batch_rows, steps_per_epoch
from manynets.tasks.base import Task
from manynets.tasks.objectives import OwnLoss
from manynets.tasks.own_metric import Metric


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Data on the device, and its task. `validation` is a separate set; members may have validation rows of their own.

    integers: whether a user's own module gets X as integers. loss, metric: the user's own, None for those of the
    recipes by their names.
    """

    task: Task
    rows: Rows
    validation: Rows | None = None
    integers: bool = False
    loss: OwnLoss | None = None
    metric: Metric | None = None

    def shape_of(self, spec: MLP) -> Shape:
        """Return the shape of a network for these columns and this task."""
        return Shape.of(spec, self.rows.x.shape[1], self.task.outputs)


@dataclasses.dataclass(frozen=True, eq=False)
class FitState:
    """What one training hands to the next of the same network, besides the weights.

    steps: those that the optimizer made; optimizer: its tensors (P,) by name (none: it starts afresh). best: the best watched
    value (lower is better); bad: evaluations since; factor: what the learning rate was multiplied by on the way.
    """

    steps: int = 0
    optimizer: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    best: float = math.inf
    bad: int = 0
    factor: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """One network to train: its specification (or a user's module), recipe, rows (None: all) and start.

    number: its name in events. initial: parameters by name (of a module: its own, as they are).
    progress: where an earlier training left it. resumable: whether the outcome has the progress.
    weight: what each of the problem's rows counts for this network, (N,), instead of the problem's weights.
    start: steps of this very training that were made before: order of rows, masks and schedule go on from there. `progress` is
        then where they ended, and `initial` the weights.
    penalty_rows: the (weighted) rows of the batch that l1 and l2 are meant for; in one with fewer they are larger in proportion, as
        scikit-learn has it. None: they are the same in every batch.
    shuffles: the orders of rows, where they do not follow from the recipe's seed.
    team: networks of different teams are never judged together (`EarlyStopping.shared`).
    task: of a regression whose center and scale are not those of the problem's task; None where they are.
    test_rows: of the problem, on which a search scores the trained network; None for none.
    """

    number: int
    spec: MLP | nn.Module
    recipe: Recipe
    initial: Mapping[str, NDArray[Any]]
    rows: NDArray[np.int64] | None = None
    validation_rows: NDArray[np.int64] | None = None
    progress: FitState = dataclasses.field(default_factory=FitState)
    resumable: bool = False
    weight: NDArray[np.float64] | None = None
    start: int = 0
    penalty_rows: float | None = None
    shuffles: Shuffles | None = None
    team: int = 0
    task: Task | None = None
    test_rows: NDArray[np.int64] | None = None

    @property
    def settings(self) -> tuple[MLP | None, Recipe]:
        """Its network, None for a user's module, and its recipe."""
        return self.spec if isinstance(self.spec, MLP) else None, self.recipe

    def row_count(self, problem: Problem) -> int:
        """Return how many rows it trains on."""
        return len(problem.rows) if self.rows is None else len(self.rows)

    @property
    def kind(self) -> tuple[int, MLP | nn.Module, Recipe]:
        """What it has in common with the networks that it can be judged or pooled with, which differ in their seeds and rows only."""
        return self.team, self.spec, dataclasses.replace(self.recipe, seed=0)

    @property
    def order(self) -> Order:
        """What decides the order in which it visits its rows."""
        if not self.recipe.shuffle:
            return None
        return self.recipe.seed if self.shuffles is None else self.shuffles


@dataclasses.dataclass(frozen=True)
class Divergence:
    """Where a loss stopped being finite: epoch and step count from 1.

    layer: the first that was not finite, such as "layer hidden1 (its output)"; "" where that is not known, or it was the input.
    column: the column of X with the value farthest from 0 (`reach`), where that may be the cause. Without a layer it is the cause.

    >>> Divergence(epoch=3, step=120, lr=10.0, layer="hidden0").step
    120
    """

    epoch: int
    step: int
    lr: float
    layer: str = ""
    column: int | None = None
    reach: float = 0.0

    def where(self, names: Sequence[str] | None = None) -> str:
        """Return what happened in words. names: of the columns.

        >>> Divergence(1, 3, 0.1, "layer hidden1 (its output)").where()
        'the loss was not finite in epoch 1, step 3, at learning rate 0.1; the first not to be finite was layer hidden1 (its output)'
        >>> Divergence(1, 1, 0.1, "", 1, 1e38).where(["age", "price"])
        "the loss was not finite in epoch 1, step 1, at learning rate 0.1, as input column 'price' reaches 1e+38"
        """
        text = f"the loss was not finite in epoch {self.epoch}, step {self.step}, at learning rate {self.lr:g}"
        if self.layer:
            return f"{text}; the first not to be finite was {self.layer}"
        return text if self.column is None else f"{text}, as {self._column(names)} reaches {self.reach:.3g}"

    def remedy(self, names: Sequence[str] | None = None) -> str:
        """Return what to do about it. names: of the columns."""
        if self.column is None:
            return "use a smaller learning rate or clip_norm=1.0"
        if not self.layer:
            return f"scale {self._column(names)}"
        return f"scale {self._column(names)}, which reaches {self.reach:.3g}, or use a smaller learning rate or clip_norm=1.0"

    def _column(self, names: Sequence[str] | None) -> str:
        return f"input column {self.column if names is None or self.column is None else repr(names[self.column])}"


HALTED = ("interrupted", "callback")
"""How networks ended that were not through: by a signal such as Ctrl-C, or because a callback raised StopIteration."""


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """A trained network: parameters and running statistics by name, its history as columns, and how it ended.

    best: index in the history of the entry whose weights these are (-1: the initial weights). stopped: "done", "early", "diverged", or of those
    in `HALTED` which. progress: for a resumable member.
    stepper, threads: how its steps were made, and by how many of torch's threads.
    """

    number: int
    parameters: dict[str, NDArray[Any]]
    history: dict[str, list[float]]
    best: int
    stopped: str
    divergence: Divergence | None
    seconds: float
    progress: FitState | None = None
    stepper: str = ""
    threads: int = 1


def group_key(member: Member, problem: Problem) -> tuple[Any, ...]:
    """Return what members must have in common to be trained in one run; a module is always alone."""
    recipe, total = member.recipe, member.row_count(problem)
    if isinstance(member.spec, nn.Module):
        return (member.number,)
    batch = batch_rows(recipe, total, batch_norm=member.spec.batch_norm)
    steps = steps_per_epoch(total, batch, merge_single=member.spec.batch_norm)
    nesterov = getattr(recipe.optimizer, "nesterov", None)
    optimizer = (type(recipe.optimizer), nesterov, member.progress.steps, member.start)
    loss = (recipe.loss, recipe.quantile, recipe.delta)
    way = (recipe.gradient, recipe.precision, recipe.dtype, recipe.device, recipe.shuffle)
    stopping = recipe.stopping
    cools_alone = stopping is not None and stopping.cool_down is not None and not stopping.shared
    return (
        problem.shape_of(member.spec),
        optimizer,
        batch,
        steps,
        recipe.iterations,
        recipe.evaluate_every,
        recipe.epochs if recipe.evaluate_every else None,  # evaluations, and so stops, are at the same steps as alone
        member.number if cools_alone else None,  # a cool-down ends, and is evaluated, at a step of its own
        loss,
        recipe.watch if recipe.watch in METRICS else None,
        way,
        problem.validation is not None or member.validation_rows is not None,
        member.penalty_rows is None,
    )
