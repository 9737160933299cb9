"""The networks of `train_many` in groups that share their data: prepared once for all, stacked where few share them, trained in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.data.batches import Rows
from manynets.data.check import rows_with_weight
from manynets.encoding import needs_encoder
from manynets.errors import ManynetsError
from manynets.prepare import RowNumbers, Split, SplitBy, TrainingData, holdout, prepare
from manynets.spec import MLP, PiecewiseLinear, Recipe
from manynets.targets import Target
from manynets.tasks import Regression
from manynets.training.events import Callback, Relay
from manynets.training.trial import Member

FEW = 16  # networks up to which a group gains by being trained with others
MOST_BYTES = 1 << 28  # of the rows of a stack, which are a copy


@dataclasses.dataclass(eq=False)
class DataGroup:
    """Networks that are trained on the same data."""

    data: TrainingData
    members: list[Member] = dataclasses.field(default_factory=list)


def train_groups(
    groups: Sequence[DataGroup],
    train: Callable[[DataGroup, Sequence[Callback]], None],
    *,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Call train(group, callbacks) for one group after the other.

    Callbacks get the events of all groups as if these were one training.
    """
    settings = {member.number: member.settings for group in groups for member in group.members}
    relay = Relay(settings, callbacks, several=len(groups) > 1)
    for group in groups:
        train(group, [relay] if callbacks else [])
        relay.done(len(group.members))
    relay.finish()


# --------------------------------------------------------------------------------------------------------------- shared data


@dataclasses.dataclass(frozen=True, eq=False)
class FoldRows:
    """The training and validation rows of each fold and seed; networks with the same rows share the arrays.

    fraction: of the training rows of a fold, to validate on; None for no validation. by: how they are split, see `holdout`; seed: the one that splits
    them for all networks, None for that of each network. weight: of all rows (N,); rows of weight 0 are in neither part.
    """

    folds: Sequence[Split]
    target: Target
    fraction: float | None = None
    by: SplitBy | None = None
    seed: int | None = None
    weight: NDArray[np.float64] | None = None
    made: dict[tuple[int, int], Split] = dataclasses.field(default_factory=dict)

    def of(self, fold: int, seed: int) -> Split:
        """Return the rows to train and to validate on."""
        seed = seed if self.seed is None else self.seed
        key = fold, 0 if self.fraction is None else seed
        if key not in self.made:
            split = Split(rows_with_weight(self.folds[fold].train, self.weight), None)
            if self.fraction is not None:
                split = holdout(self.target, self.fraction, seed=seed, rows=split.train, by=self.by)
            self.made[key] = split
        return self.made[key]

    def trained(self, folds: Iterable[int], seeds: Collection[int]) -> RowNumbers | None:
        """Return the rows that any of the networks of some folds trains on, None for all."""
        seen = np.zeros(len(self.target), dtype=bool)
        for fold in folds:
            for seed in seeds:
                train = self.of(fold, seed).train
                seen[slice(None) if train is None else train] = True
        return None if seen.all() else np.flatnonzero(seen)


@dataclasses.dataclass(frozen=True, eq=False)
class SharedData:
    """The data of the networks of a plan, prepared once for all networks that have the same.

    rows: those that each network trains on. seeds: of the recipes. standardised: whether a regression target is standardised by the rows that are
    trained on; by_all: by all rows. options, encoding: of `prepare`, the latter where each split has its own encoder. found: the groups
    so far, or what is wrong with their data.
    """

    X: Any
    y: Any
    rows: FoldRows
    seeds: set[int]
    standardised: bool
    by_all: bool
    one_encoder: bool
    options: Mapping[str, Any]
    encoding: Mapping[str, Any]
    found: dict[tuple[Any, ...], DataGroup | ManynetsError] = dataclasses.field(default_factory=dict)

    def group(self, spec: MLP, recipe: Recipe, fold: int, split: Split) -> DataGroup:
        """Return the group of networks with the same data, or raise what is wrong with these."""
        poisson, embedding = recipe.loss == "poisson", spec.embedding if isinstance(spec.embedding, PiecewiseLinear) else None
        by_fold = needs_encoder(self.X, self.options["encoder"], embedding, scaling=self.encoding["scaling"])
        depends_on = recipe.quantiles or poisson  # the target
        fitted = self.rows.folds[fold].train if self.one_encoder else split.train
        key = (str(recipe.device), recipe.dtype, depends_on, *((fold, id(fitted), embedding) if by_fold else ()))
        if key not in self.found:
            kind = "regression" if self.standardised and (poisson or not self.by_all) else self.rows.target.task
            options: dict[str, Any] = {"task": kind, **self.options}
            if by_fold:
                options |= {**self.encoding, "embedding": embedding, "fitted_rows": fitted}
            if self.standardised and (self.one_encoder or not by_fold):
                options["target_rows"] = self.rows.trained([fold] if by_fold else range(len(self.rows.folds)), self.seeds)
            try:
                self.found[key] = DataGroup(prepare(self.X, self.y, recipe, **options))
            except ManynetsError as error:
                self.found[key] = error
        found = self.found[key]
        if isinstance(found, ManynetsError):
            raise found
        return found


# -------------------------------------------------------------------------------------------------------------------- stacks
#
# A group trains its networks together, but no others. Where each of many seeds has a split of its own, and so an encoder of its own, a
# group would have one network. In a stack, the rows of one group stand below those of the next, and a network knows its rows by their numbers.


def _stack(groups: Sequence[DataGroup]) -> DataGroup:
    """Return groups as one. Each network of a regression has its own task, as its group has a center and scale of its own."""
    parts = [group.data.problem.rows for group in groups]
    weights = [rows.weight for rows in parts if rows.weight is not None]
    rows = Rows(
        torch.cat([rows.x for rows in parts]), torch.cat([rows.target for rows in parts]), torch.cat(weights) if weights else None
    )
    first = groups[0].data
    out, start = DataGroup(dataclasses.replace(first, problem=dataclasses.replace(first.problem, rows=rows))), 0
    for group, part in zip(groups, parts, strict=True):
        whole = np.arange(len(part))
        each = [(whole if one.rows is None else one.rows, one.validation_rows, one.test_rows) for one in group.members]
        # networks that share an array share the new one
        moved = {id(rows): start + rows for several in each for rows in several if rows is not None}
        for member, several in zip(group.members, each, strict=True):
            train, validation, test = (None if rows is None else moved[id(rows)] for rows in several)
            own = dataclasses.replace(member, rows=train, validation_rows=validation, test_rows=test, task=group.data.problem.task)
            out.members.append(own)
        start += len(part)
    return out


def stacked(groups: Sequence[DataGroup], *, most_bytes: int = MOST_BYTES) -> list[DataGroup]:
    """Return groups of the same networks, those of few networks in stacks."""
    waiting: dict[object, list[DataGroup]] = {}
    sizes: dict[object, int] = {}  # of what waits
    stacks: list[list[DataGroup]] = []
    for group in groups:
        kind, size = _kind(group), row_bytes(group)
        held = waiting.get(kind)
        if kind is None or held is None or sizes[kind] + size > most_bytes:
            held, sizes[kind] = [], 0
            waiting[kind] = held
            stacks.append(held)
        held.append(group)
        sizes[kind] += size
    return [held[0] if len(held) == 1 else _stack(held) for held in stacks]


def _kind(group: DataGroup) -> object:
    """Return what groups of one stack have in common, None for a group that is alone."""
    problem, rows = group.data.problem, group.data.problem.rows
    by_number = problem.validation is None and all(member.weight is None for member in group.members)
    if len(group.members) > FEW or not by_number:
        return None
    task = problem.task
    if isinstance(task, Regression):  # each network has its own center and scale
        task = dataclasses.replace(task, center=(0.0,) * task.targets, scale=(1.0,) * task.targets)
    return task, problem.integers, rows.x.shape[1:], rows.x.dtype, rows.x.device, rows.target.dtype, rows.weight is None


def row_bytes(group: DataGroup) -> int:
    """Return the bytes of the rows of a group and of their target."""
    rows = group.data.problem.rows
    return sum(tensor.numel() * tensor.element_size() for tensor in (rows.x, rows.target))
