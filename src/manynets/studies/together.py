"""Train one network for each seed, all at once, and get each back as a Model of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from manynets.fitting import model_of, prepare
from manynets.model import Model
from manynets.nn.initial import initial_parameters
from manynets.spec import MLP, Recipe
from manynets.training.many import train_members
from manynets.training.members import Member
from manynets.training.progress import Show, progress_observers

__all__ = ["train_candidates", "train_seeds"]


def train_seeds(
    X: Any, y: Any, spec: MLP, recipe: Recipe, *, seeds: Iterable[int], task: str | None = None, validation: Any = None
) -> list[Model]:
    """Return a model for each seed: of its initial weights and its order of rows; the rows to validate on are the same."""
    return train_candidates(
        X, y, [(spec, dataclasses.replace(recipe, seed=seed)) for seed in seeds], task=task, validation=validation, progress="auto"
    )


def train_candidates(
    X: Any,
    y: Any,
    candidates: Sequence[tuple[MLP, Recipe]],
    *,
    task: str | None = None,
    validation: Any = None,
    progress: Show = False,
) -> list[Model]:
    """Return a model for each specification and recipe, trained together; data type and device are those of the first recipe."""
    prepared = prepare(X, y, candidates[0][1], task=task, validation=validation)
    outputs = prepared.problem.task.outputs
    members = [
        Member(
            k,
            spec,
            recipe,
            initial_parameters(spec, prepared.in_features, outputs, seed=recipe.seed),
            prepared.rows,
            prepared.validation_rows,
        )
        for k, (spec, recipe) in enumerate(candidates)
    ]
    outcomes = train_members(prepared.problem, members, observers=progress_observers(progress))
    return [model_of(spec, recipe, prepared, [outcome]) for (spec, recipe), outcome in zip(candidates, outcomes, strict=True)]
