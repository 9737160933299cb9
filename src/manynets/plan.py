"""The members of an ensemble, and the parameters that each network starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from torch import nn

from manynets.nn.initial import initial_parameters
from manynets.prepare import RowNumbers, Split, TrainingData
from manynets.spec import MLP, Recipe
from manynets.tasks.prior import prior_scores
from manynets.training.groups import check_fits
from manynets.training.trial import Member


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
