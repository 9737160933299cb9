"""Which networks to train: candidates x folds x seeds, in groups that share their data.

`manynets.train` plans one group, an `ensemble`; `train_many`, `MLPSearchCV` and the sweep plan many trials.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from manynets.data.check import rows_with_weight
from manynets.nn.initial import initial_parameters
from manynets.prepare import RowNumbers, Split, SplitBy, TrainingData, holdout
from manynets.spec import MLP, Recipe
from manynets.targets import Target
from manynets.tasks.prior import prior_scores
from manynets.training.events import Callback, Relay
from manynets.training.groups import check_fits
from manynets.training.trial import Member


@dataclasses.dataclass(frozen=True)
class Trial:
    """A candidate on a fold; `network` counts those that predict together."""

    candidate: int
    fold: int
    network: int = 0


class PlannedNetwork(NamedTuple):
    """A network to train: its trial, the data that it was planned on, and those of its rows on which it is tested, None for none."""

    trial: Trial
    member: Member
    data: TrainingData
    held_out: RowNumbers | None = None


@dataclasses.dataclass(eq=False)
class TrialGroup:
    """Networks that are trained on the same data. held_out: the rows on which each of them is tested, by its number; None for none."""

    data: TrainingData
    members: list[Member] = dataclasses.field(default_factory=list)
    held_out: dict[int, RowNumbers | None] = dataclasses.field(default_factory=dict)


Trainer: TypeAlias = Callable[[TrialGroup, Sequence[Callback]], None]


class Plan:
    """Networks by the number of their member, and in groups that share their data."""

    def __init__(self) -> None:
        self.groups: dict[Hashable, TrialGroup] = {}
        self.networks: dict[int, PlannedNetwork] = {}

    def add(self, group: TrialGroup, trial: Trial, member: Member, *, held_out: RowNumbers | None = None) -> None:
        """Add the network of a trial to a group. held_out: the rows on which it is tested."""
        group.members.append(member)
        group.held_out[member.number] = held_out
        self.networks[member.number] = PlannedNetwork(trial, member, group.data, held_out)

    def train(self, trainer: Trainer, *, callbacks: Sequence[Callback] = ()) -> None:
        """Call trainer(group, callbacks) for one group after the other.

        Callbacks get the events of all groups as if these were one training.
        """
        groups = list(self.groups.values())
        if len(groups) < 2:
            for group in groups:
                trainer(group, callbacks)
            return
        members = [member for group in groups for member in group.members]
        relay = Relay(groups[0].data.problem.task.metric, {member.number: member.settings for member in members}, callbacks)
        for group in groups:
            trainer(group, [relay])
            relay.done(len(group.members))
        relay.finish()


class FoldRows:
    """The training and validation rows of each fold and seed; trials with the same rows share the arrays.

    fraction: of the training rows of a fold, to validate on; None for no validation. by: how they are split, see `holdout`. weight: of all rows (N,);
    rows of weight 0 are in neither part.
    """

    def __init__(
        self,
        folds: Sequence[Split],
        target: Target,
        *,
        fraction: float | None = None,
        by: SplitBy | None = None,
        weight: NDArray[np.float64] | None = None,
    ) -> None:
        self.folds, self.target, self.fraction, self.by, self.weight = folds, target, fraction, by, weight
        self._splits: dict[tuple[int, int], Split] = {}

    def of(self, fold: int, seed: int) -> Split:
        """Return the rows to train and to validate on."""
        key = fold, 0 if self.fraction is None else seed
        if key not in self._splits:
            split = Split(rows_with_weight(self.folds[fold].train, self.weight), None)
            if self.fraction is not None:
                split = holdout(self.target, self.fraction, seed=seed, rows=split.train, by=self.by)
            self._splits[key] = split
        return self._splits[key]


def starting_parameters(
    spec: MLP, recipe: Recipe, data: TrainingData, rows: RowNumbers | None, weight: NDArray[Any] | None = None
) -> dict[str, NDArray[Any]]:
    """Return the parameters that a network starts from, by the recipe's seed and, for `MLP.prior`, the target of its rows.

    weight: of the rows (N,), for this network only.
    """
    task, target = data.problem.task, data.problem.rows.target
    check_fits(spec, data.in_features, task.outputs)
    out = initial_parameters(spec, data.in_features, task.outputs, seed=recipe.seed)
    if spec.prior:
        common = data.problem.rows.weight
        weight = common.double().cpu().numpy() if weight is None and common is not None else weight
        encoded = target.cpu().numpy()
        own, weights = (encoded, weight) if rows is None else (encoded[rows], None if weight is None else weight[rows])
        out["output.bias"] = prior_scores(task, own, weights, loss=recipe.loss)
    return out


def ensemble(
    spec: MLP | nn.Module,
    recipe: Recipe,
    data: TrainingData,
    n_networks: int,
    *,
    splits: Sequence[Split] | None = None,
    initial: Mapping[str, NDArray[Any]] | Sequence[Mapping[str, NDArray[Any]]] | None = None,
) -> list[Member]:
    """Return networks that differ in their seeds, and in their rows where `splits` has those of each.

    initial: parameters to start from, of all or of each; drawn by each network's seed if left out.
    """
    if splits is None:
        splits = [Split(data.rows, data.validation_rows)] * n_networks
    members = []
    for k, split in enumerate(splits):
        own = dataclasses.replace(recipe, seed=recipe.seed + k)
        start = initial[k] if isinstance(initial, Sequence) else initial or {}
        if isinstance(spec, MLP) and initial is None:
            start = starting_parameters(spec, own, data, split.train)
        members.append(Member(k, spec, own, start, split.train, split.held_out))
    return members
