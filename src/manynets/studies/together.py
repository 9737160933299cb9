"""Train one network for each seed, all at once, and get each back as a Model of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import manynets as mn
from manynets.training.progress import Show

__all__ = ["train_candidates", "train_seeds"]


def train_seeds(
    X: Any, y: Any, spec: mn.MLP, recipe: mn.Recipe, *, seeds: Iterable[int], task: str | None = None, validation: Any = None
) -> list[mn.Model]:
    """Return a model for each seed, of its initial weights, its order of rows and its rows to validate on."""
    candidates = [(spec, dataclasses.replace(recipe, seed=seed)) for seed in seeds]
    return train_candidates(X, y, candidates, task=task, validation=validation, progress="auto")


def train_candidates(
    X: Any,
    y: Any,
    candidates: Sequence[tuple[mn.MLP, mn.Recipe]],
    *,
    task: str | None = None,
    validation: Any = None,
    progress: Show = False,
) -> list[mn.Model]:
    """Return a model for each specification and recipe; raises the first error that one of them met."""
    models = []
    for result in mn.train_many(X, y, candidates, task=task, validation=validation, progress=progress):
        if result.error is not None:
            raise result.error
        assert result.model is not None
        models.append(result.model)
    return models
