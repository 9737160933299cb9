"""`estimator`: from a Model back to a fitted scikit-learn estimator. `Model.fit`: a model trained from the start on other rows, as it was on its own."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from manynets import spec as s
from manynets.data.check import as_weights, rows_with_weight
from manynets.errors import OptionError
from manynets.estimators.classifier import MLPClassifier
from manynets.estimators.fitted import set_weights
from manynets.estimators.regressor import LOSSES, MLPRegressor
from manynets.estimators.settings import ACTIVATIONS, ADAPTIVE_FACTOR, LOWEST_ADAPTIVE_RATE, SOLVERS
from manynets.estimators.tabular import TabularClassifier, TabularRegressor
from manynets.fitting import train
from manynets.model import Model
from manynets.model_tools import with_fields
from manynets.spec.own import is_own
from manynets.tables.columns import has_means, scaling_of
from manynets.tabular import PRESETS, PresetName, train_tabular
from manynets.tasks import Binary, Multiclass, Regression
from manynets.tasks.base import as_target
from manynets.tasks.find import with_positive

_CLASSES = {
    "sgd": (s.SGD, s.SklearnSGD), "adam": (s.Adam, s.SklearnAdam), "adamw": s.AdamW, "nadam": s.NAdam, "rmsprop": s.RMSprop,
    "adagrad": s.Adagrad, "lion": s.Lion,
}  # fmt: skip
assert set(_CLASSES) == set(SOLVERS)
LOG_SCALE = "a target on a log scale"


def estimator(model: Model) -> BaseEstimator:
    """Return the fitted scikit-learn estimator of a model: it predicts the same, and `fit` trains anew with the model's settings.

    It is a TabularClassifier or TabularRegressor for a model of the default for tables, and an MLPClassifier or MLPRegressor for any
    other. With warm_start=True, and with partial_fit, an MLP goes on from the model's weights. Its classes_ are sorted, whatever the model's.
    What a model does not record, such as class weights and validation_fraction, has its default.
    Raises OptionError for a model with a setting that the estimators do not have, such as a module of your own.

    >>> import manynets as mn
    >>> X, y = [[0.0], [1.0]] * 20, ["no", "yes"] * 20
    >>> model = mn.train(X, y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2, optimizer=mn.Adam(lr=0.1)), progress=False)
    >>> mn.estimator(model).hidden_layer_sizes
    (4,)
    """
    if not isinstance(model, Model):
        raise OptionError(f"model is a {type(model).__name__}, but must be a Model, such as mn.load('model.safetensors')")
    network = model.spec
    if network is None:
        raise OptionError("the model is a module of your own, which no estimator describes; use the Model itself")
    numbers, model = isinstance(model.task, Regression), _with_sorted_classes(model)
    if "temperature" in model.info:
        found = _tabular(model, numbers)
    else:
        kind: Any = MLPRegressor if numbers else MLPClassifier
        found = kind(**_parameters(model, network, kind.__name__))
        _set_fitted(found, model)
    found.model_, found.encoder_ = model, model.encoder
    found.n_features_in_ = model.n_features_in_
    if "columns" in model.info or (model.encoder is not None and not model.encoder.positional):
        found.feature_names_in_ = np.array(model.column_names, dtype=object)
    if not numbers:
        found.classes_ = np.arange(model.task.outputs) if model.task.name == "multilabel" else model.classes_
    return found


def _with_sorted_classes(model: Model) -> Model:
    """Return the same model with its classes in order, in which scikit-learn's scorers read probabilities."""
    task = model.task
    if not isinstance(task, Binary | Multiclass) or (order := np.argsort(np.array(task.classes))).tolist() == sorted(order):
        return model
    changed: dict[str, Any] = {"classes": tuple(task.classes[code] for code in order)}
    if isinstance(task, Binary):
        changed["threshold"] = 1 - task.threshold
    if task.costs is not None:
        changed["costs"] = tuple(tuple(task.costs[true][chosen] for chosen in order) for true in order)
    members = [
        {
            name: value if not name.startswith("output.") else -value if isinstance(task, Binary) else value[order]
            for name, value in one.items()
        }
        for one in model.members
    ]
    return with_fields(model, task=dataclasses.replace(task, **changed), members=members)


def ensemble_options(model: Model) -> dict[str, Any]:
    """Return preset, networks of each setting and metric with which a model of the default for tables was trained."""
    recipe, info = model.recipe, model.info
    if is_own(recipe.watch):
        raise OptionError(
            f"the model was trained with metric={recipe.watch}, a function of your own, which it does not have; predict with"
            " the Model itself, or train anew with mn.train and metric="
        )
    preset: PresetName = "fast" if recipe.iterations == PRESETS["fast"].steps else "default"
    return {
        "preset": info.get("preset", preset),  # models of earlier versions have neither
        "n_networks": info.get("n_networks", model.size),
        "metric": None if recipe.watch == "loss" else recipe.watch,
    }


def _tabular(model: Model, numbers: bool) -> Any:
    recipe = model.recipe
    kind: Any = TabularRegressor if numbers else TabularClassifier
    if changed := model.info.get("changes"):
        raise _without(f"{', '.join(sorted(changed))} changed", kind.__name__)
    if getattr(model.task, "transform", None) is not None:
        raise _without(LOG_SCALE, kind.__name__)
    found = kind(**ensemble_options(model), random_state=recipe.seed, device=recipe.device)
    found.oof_prediction_ = None
    return found


def _without(what: str, name: str) -> OptionError:
    """Return the error for a model with a setting that the estimator of this name does not have."""
    return OptionError(f"the model was trained with {what}, for which {name} has no parameter; use the Model itself")


def _parameters(model: Model, network: s.MLP, name: str) -> dict[str, Any]:
    """Return the parameters of an MLPClassifier or MLPRegressor that trains as the model was trained."""
    recipe = model.recipe
    unknown = {
        "bias=False": not network.bias,
        "input_scale": network.input_scale,
        "groups": bool(recipe.groups),
        f"loss={recipe.loss}": is_own(recipe.loss),
        "iterations": recipe.iterations is not None,
        "cool_down": recipe.stopping is not None and recipe.stopping.cool_down is not None,
        "a factor of early stopping": recipe.stopping is not None
        and recipe.stopping.factor is not None
        and not _is_adaptive(recipe),
        "weight_decay": not isinstance(recipe.optimizer, s.AdamW | s.Lion) and getattr(recipe.optimizer, "weight_decay", 0.0) > 0,
        LOG_SCALE: getattr(model.task, "transform", None) is not None,
    }
    for what in (what for what, used in unknown.items() if used):
        raise _without(what, name)
    activations = {activation: word for word, activation in reversed(ACTIVATIONS.items())}
    own_start = isinstance(recipe.optimizer, s.SklearnAdam | s.SklearnSGD) and network.init == "xavier_uniform"
    batch = recipe.batch_size or s.BATCH_SIZE
    out: dict[str, Any] = {
        "hidden_layer_sizes": network.hidden,
        "activation": activations[network.activation],
        "dropout": network.dropout,
        "input_dropout": network.input_dropout,
        "batch_norm": network.batch_norm,
        "embedding": _embedding(model, network),
        "scaling": None if model.encoder is None else scaling_of(model.encoder.columns),
        "category_means": model.encoder is not None and has_means(model.encoder.columns),
        "prior": network.prior,
        "init": "sklearn" if own_start else network.init,
        "batch_size": batch,
        "max_iter": recipe.epochs or s.EPOCHS,
        "alpha": float(f"{recipe.l2 * batch:.12g}"),
        "l1": float(f"{recipe.l1 * batch:.12g}"),
        "shuffle": recipe.shuffle,
        "clip_norm": recipe.clip_norm,
        "random_state": recipe.seed,
        "n_networks": model.size,
        "early_stopping": recipe.stopping is not None and "val_loss" in model.history,
        **_optimizer(recipe),
        **_schedule(recipe),
    }
    if recipe.stopping is None:
        out["n_iter_no_change"] = math.inf
    else:
        out |= {"n_iter_no_change": max(1, recipe.stopping.patience - 1), "tol": recipe.stopping.min_delta}
    if "lbfgs" in model.info:
        out |= {"solver": "lbfgs", "init": "sklearn" if network.init == "xavier_uniform" else network.init, **model.info["lbfgs"]}
    if isinstance(model.task, Regression):
        return out | {
            "standardise_target": any(model.task.center) or set(model.task.scale) != {1.0},
            "loss": "squared_error" if recipe.loss in (None, LOSSES["squared_error"]) else recipe.loss,
            "quantile": recipe.quantile,
            "delta": recipe.delta,
            "clamp": model.task.limits is not None,
        }
    return out | {"label_smoothing": recipe.label_smoothing}


def _embedding(model: Model, network: s.MLP) -> s.Embedding | None:
    """Return the embedding as the user gave it: the columns of a table are found anew."""
    found = network.embedding
    return dataclasses.replace(found, columns=None) if model.encoder is not None and isinstance(found, s.Periodic) else found


def _optimizer(recipe: s.Recipe) -> dict[str, Any]:
    """Return the solver and its parameters."""
    one: Any = recipe.optimizer
    solver = next(name for name, kinds in _CLASSES.items() if isinstance(one, kinds))  # type: ignore[arg-type]
    out = {"solver": solver, "learning_rate_init": one.lr}
    if solver == "sgd":
        return out | {"momentum": one.momentum, "nesterovs_momentum": one.nesterov}
    if hasattr(one, "betas"):
        out |= {"beta_1": one.betas[0], "beta_2": one.betas[1]}
    if solver == "rmsprop":
        out["beta_2"] = one.alpha
    if hasattr(one, "eps"):
        out["epsilon"] = one.eps
    return out | ({"weight_decay": one.weight_decay} if solver in ("adamw", "lion") else {})


def _schedule(recipe: s.Recipe) -> dict[str, Any]:
    schedule = recipe.schedule
    if isinstance(schedule, s.Constant):
        return {"learning_rate": "adaptive" if _is_adaptive(recipe) else "constant"}
    if isinstance(schedule, s.SklearnInverseScaling):
        return {"learning_rate": "invscaling", "power_t": schedule.power}
    return {"learning_rate": schedule}


def _is_adaptive(recipe: s.Recipe) -> bool:
    """Return whether a network was trained as learning_rate="adaptive" does."""
    stopping = recipe.stopping
    if stopping is None or not isinstance(recipe.optimizer, s.SGD) or not isinstance(recipe.schedule, s.Constant):
        return False
    return (stopping.factor, stopping.min_lr) == (ADAPTIVE_FACTOR, LOWEST_ADAPTIVE_RATE)


def _set_fitted(e: Any, model: Model) -> None:
    """Set scikit-learn's fitted attributes from the model's weights and history."""
    history = model.history
    e.model_, e._task_, e._encodes = model, model.task, model.encoder is not None
    set_weights(e)
    e.loss_curve_ = list(history.get("loss", []))
    e.loss_ = e.loss_curve_[-1] if e.loss_curve_ else math.nan
    e.n_iter_ = round(history.get("epoch", [0])[-1]) if history.get("epoch") else 0
    e.t_, e._no_improvement_count = 0, 0
    validated = "val_loss" in history
    e.validation_scores_ = list(history[f"val_{model.task.metric}"]) if validated else None
    e.validation_loss_curve_ = list(history["val_loss"]) if validated else None
    e.best_validation_score_ = max(e.validation_scores_) if e.validation_scores_ else None
    e.best_loss_ = None if e.early_stopping else min(e.loss_curve_, default=None)


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
    spec = dataclasses.replace(model.spec, embedding=_embedding(model, model.spec))
    return train(X, y, spec, recipe, **options)
