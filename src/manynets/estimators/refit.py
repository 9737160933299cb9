"""`Model.fit`: a model trained from the start on other rows, as it was on its own."""

from __future__ import annotations

import dataclasses
from typing import Any

from manynets.errors import OptionError
from manynets.estimators.tabular import TabularClassifier, TabularRegressor
from manynets.fitting import train
from manynets.model import Model
from manynets.spec import Periodic
from manynets.tables.columns import has_means, scaling_of
from manynets.tabular import train_tabular
from manynets.tasks import Binary, Regression
from manynets.tasks.find import with_positive

__all__ = ["refit"]


def refit(model: Model, X: Any, y: Any, *, sample_weight: Any = None) -> Model:
    """Return a model trained on X (N, D) and y with the network and recipe of `model`. Errors: OptionError for a module of one's own."""
    if model.spec is None:
        raise OptionError("a model of your own module cannot be fitted again; give the module to manynets.train")
    numbers, recipe = isinstance(model.task, Regression), model.recipe
    classes = model.task.classes if isinstance(model.task, Binary) else ()
    positive = classes[1] if classes and classes[0] > classes[1] else None  # chosen, not the last in their order
    if "temperature" in model.info:  # the default for tables, whose recipe follows from the rows
        kind: Any = TabularRegressor if numbers else TabularClassifier
        preset: Any = "fast" if recipe.iterations == 400 else "default"
        if "changes" in model.info:
            return _with_changes(model, X, y, sample_weight, positive)
        transform = model.task.transform if isinstance(model.task, Regression) else None
        if positive is not None or transform is not None:
            how: dict[str, Any] = {"preset": preset, "n_networks": model.size, "seed": recipe.seed, "sample_weight": sample_weight}
            return train(X, y, positive=positive, target_transform=transform, progress=False, **how)
        new = kind(n_networks=model.size, preset=preset, random_state=recipe.seed, device=recipe.device)
        fitted: Model = new.fit(X, y, sample_weight=sample_weight).model_
        return fitted
    task: Any = model.task.name
    if isinstance(model.task, Regression):
        clamp = model.task.limits is not None
        task = Regression.of(y, standardise=recipe.loss != "poisson", transform=model.task.transform, clamp=clamp)
    folds = "folds" if model.size > 1 and any(name.startswith("val_") for name in model.history) else None
    options = {"task": task, "sample_weight": sample_weight, "n_networks": model.size, "validation": folds}
    scaling = False if model.encoder is None else scaling_of(model.encoder.columns)
    means = model.encoder is not None and has_means(model.encoder.columns)
    options |= {"positive": positive, "scaling": scaling, "category_means": means}
    spec = model.spec
    if model.encoder is not None and isinstance(spec.embedding, Periodic):  # whose columns are found anew
        spec = dataclasses.replace(spec, embedding=dataclasses.replace(spec.embedding, columns=None))
    return train(X, y, spec, recipe, progress=False, **options)


def _with_changes(model: Model, X: Any, y: Any, sample_weight: Any, positive: Any) -> Model:
    """Return a default ensemble with the options that `model` was changed by, trained on other rows."""
    task: Any = model.task.name
    if isinstance(model.task, Regression):
        task = Regression.of(y, transform=model.task.transform, clamp=model.task.limits is not None)
    elif positive is not None:
        task = with_positive(y, positive)
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in model.info["changes"].items()}
    recipe = model.recipe
    how: dict[str, Any] = {"n_networks": model.size, "sample_weight": sample_weight, "changes": changes}
    return train_tabular(X, y, task=task, seed=recipe.seed, device=recipe.device, progress=False, **how).model
