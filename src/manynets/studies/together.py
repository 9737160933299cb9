"""Train one network per seed, all at once, and return each as its own Model; draw them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import manynets as mn
from manynets import plots
from manynets.progress import Show


def train_seeds(
    X: Any,
    y: Any,
    spec: mn.MLP,
    recipe: mn.Recipe,
    *,
    seeds: Iterable[int],
    task: str | None = None,
    validation: Any = None,
    progress: Show = "auto",
) -> list[mn.Model]:
    """Return a model for each seed; the seed sets its initial weights, row order and validation rows."""
    candidates = [(spec, dataclasses.replace(recipe, seed=seed)) for seed in seeds]
    return train_candidates(X, y, candidates, task=task, validation=validation, progress=progress)


def train_candidates(
    X: Any,
    y: Any,
    candidates: Sequence[tuple[mn.MLP, mn.Recipe]],
    *,
    task: str | None = None,
    validation: Any = None,
    progress: Show = False,
) -> list[mn.Model]:
    """Return a model for each specification and recipe, trained on X as it is; raise the first error of any of them."""
    models = []
    for result in mn.train_many(X, y, candidates, task=task, validation=validation, scaling=False, progress=progress):
        if result.error is not None:
            raise result.error
        assert result.model is not None
        models.append(result.model)
    return models


def pictures_of_seeds(losses: Sequence[Any], X: Any, y: Any, model: mn.Model, *, title: str, log: bool = True) -> dict[str, Any]:
    """Return the losses of all seeds over the epochs, and the regions that one of the models predicts."""
    return {
        "history.png": plots.learning_curves(losses, log=log, title=f"Training loss of the seeds\n{title}"),
        "regions.png": plots.regions(X, y, predict=model.predict_proba, title=f"Predicted class, and the training points\n{title}"),
    }
