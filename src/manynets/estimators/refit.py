"""`Model.fit`: a model trained from the start on other rows, as it was on its own."""

from __future__ import annotations

import dataclasses
from typing import Any

from manynets.data.check import as_weights, rows_with_weight
from manynets.errors import OptionError
from manynets.estimators.from_model import ensemble_options
from manynets.fitting import train
from manynets.model import Model
from manynets.spec import Periodic
from manynets.tables.columns import has_means, scaling_of
from manynets.tabular import train_tabular
from manynets.tasks import Binary, Regression
from manynets.tasks.base import as_target
from manynets.tasks.find import with_positive


def refit(model: Model, X: Any, y: Any, *, sample_weight: Any = None) -> Model:
    """Return a model trained on X (N, D) and y with the network and recipe of `model`. Errors: OptionError for a module of one's own."""
    if model.spec is None:
        raise OptionError("a model of your own module cannot be fitted again; give the module to manynets.train")
    recipe = model.recipe
    classes = model.task.classes if isinstance(model.task, Binary) else ()
    positive = classes[1] if classes and classes[0] > classes[1] else None  # chosen, not the last in their order
    task: Any = model.task.name if positive is None else with_positive(y, positive)
    if isinstance(model.task, Regression):
        clamp = model.task.limits is not None
        rows = rows_with_weight(None, as_weights(sample_weight, len(y)))
        own = y if rows is None else as_target(y)[rows]
        task = Regression.of(own, standardise=recipe.loss != "poisson", transform=model.task.transform, clamp=clamp)
    options: dict[str, Any] = {"task": task, "sample_weight": sample_weight, "n_networks": model.size, "progress": False}
    if "temperature" in model.info:  # the default for tables, whose recipe follows from the rows
        changes = {
            name: tuple(value) if isinstance(value, list) else value for name, value in model.info.get("changes", {}).items()
        }
        options |= ensemble_options(model) | {"changes": changes, "seed": recipe.seed, "device": recipe.device}
        return train_tabular(X, y, warn_of_copies=False, **options).model
    options["validation"] = "folds" if model.size > 1 and any(name.startswith("val_") for name in model.history) else None
    options["scaling"] = False if model.encoder is None else scaling_of(model.encoder.columns)
    options["category_means"] = model.encoder is not None and has_means(model.encoder.columns)
    spec = model.spec
    if model.encoder is not None and isinstance(spec.embedding, Periodic):  # whose columns are found anew
        spec = dataclasses.replace(spec, embedding=dataclasses.replace(spec.embedding, columns=None))
    return train(X, y, spec, recipe, **options)
