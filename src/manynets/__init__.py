"""manynets: feed-forward networks, one or ten thousand, from a table or an array to a trained and understood model.

    import manynets as mn
    model = mn.train(X, y, mn.MLP(hidden=(512, 512), dropout=0.2), mn.Recipe(epochs=20), validation=0.2)
    model.evaluate(X_test, y_test)

Names are loaded when they are first used, so that importing the package, or asking the command line for help, loads no torch.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

from manynets import hooks

if TYPE_CHECKING:
    from manynets.errors import (
        CheckpointWarning,
        DataError,
        DataScaleWarning,
        DivergenceWarning,
        InterruptedWarning,
        LeakWarning,
        ManynetsError,
        MissingExtraError,
        ModelFileError,
        OptionError,
        RankError,
    )
    from manynets.estimators import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor, estimator
    from manynets.fitting import train
    from manynets.model import Model, load
    from manynets.nn.network import network
    from manynets.results import joined
    from manynets.search.candidates import Result, train_many
    from manynets.search.cv import MLPSearchCV
    from manynets.spec import (
        MLP,
        SGD,
        Adagrad,
        Adam,
        AdamW,
        Constant,
        Cosine,
        EarlyStopping,
        Exponential,
        InverseScaling,
        Lion,
        NAdam,
        OneCycle,
        ParameterGroup,
        Periodic,
        PiecewiseConstant,
        PiecewiseLinear,
        Recipe,
        ReduceOnPlateau,
        RMSprop,
        StepDecay,
        Warmup,
    )
    from manynets.tasks import Binary, Multiclass, Multilabel, Regression
    from manynets.tasks.own_metric import Metric
    from manynets.training.checkpoint import Checkpoint
    from manynets.training.events import Advanced, Callback, Evaluated, Event, Finished, Started
    from manynets.training.trial import Divergence

__version__ = "0.2.0"

_PLACES = {
    "errors": (
        "CheckpointWarning", "DataError", "DataScaleWarning", "DivergenceWarning", "InterruptedWarning", "LeakWarning", "ManynetsError", "MissingExtraError",
        "ModelFileError", "OptionError", "RankError",
    ),
    "estimators": ("MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor", "estimator"),
    "fitting": ("train",),
    "model": ("Model", "load"),
    "nn.network": ("network",),
    "results": ("joined",),
    "search.cv": ("MLPSearchCV",),
    "search.candidates": ("Result", "train_many"),
    "spec": (
        "MLP", "SGD", "Adagrad", "Adam", "AdamW", "Constant", "Cosine", "EarlyStopping", "Exponential", "InverseScaling", "Lion", "NAdam",
        "OneCycle", "ParameterGroup", "Periodic", "PiecewiseConstant", "PiecewiseLinear", "RMSprop", "Recipe", "ReduceOnPlateau", "StepDecay",
        "Warmup",
    ),
    "tasks": ("Binary", "Multiclass", "Multilabel", "Regression"),
    "tasks.own_metric": ("Metric",),
    "training.checkpoint": ("Checkpoint",),
    "training.events": ("Advanced", "Callback", "Evaluated", "Event", "Finished", "Started"),
    "training.trial": ("Divergence",),
}  # fmt: skip
_ROOMS = ("datasets", "distributed", "explain", "export", "metrics", "plots", "tables", "tasks", "trackers")
"""Modules that are used by name: mn.datasets.load."""
_HOOKS = {
    "model_history": "plots", "model_predictions": "plots", "refit": "estimators.from_model", "to_onnx": "export", "to_python": "export",
}  # fmt: skip
_PLACE_OF = {name: f"{__name__}.{place}" for place, names in _PLACES.items() for name in names}

__all__ = [
    "MLP", "SGD", "Adagrad", "Adam", "AdamW", "Advanced", "Binary", "Callback", "Checkpoint", "CheckpointWarning", "Constant",
    "Cosine", "DataError", "DataScaleWarning", "Divergence", "DivergenceWarning", "EarlyStopping", "Evaluated", "Event",
    "Exponential", "Finished", "InterruptedWarning", "InverseScaling", "LeakWarning", "Lion", "MLPClassifier", "MLPRegressor",
    "MLPSearchCV", "ManynetsError", "Metric", "MissingExtraError", "Model", "ModelFileError", "Multiclass", "Multilabel", "NAdam",
    "OneCycle", "OptionError", "ParameterGroup", "Periodic", "PiecewiseConstant", "PiecewiseLinear", "RMSprop", "RankError",
    "Recipe", "ReduceOnPlateau", "Regression", "Result", "Started", "StepDecay", "TabularClassifier", "TabularRegressor",
    "Warmup", "estimator", "joined", "load", "network", "train", "train_many",
]  # fmt: skip


def _load(place: str, name: str) -> Any:
    return getattr(importlib.import_module(place), name)


def __getattr__(name: str) -> Any:
    if name in _PLACE_OF:
        return _load(_PLACE_OF[name], name)
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    from manynets.spec.lessons import no_attribute

    raise no_attribute("manynets", name, owner="module 'manynets'")


for _name, _place in _HOOKS.items():
    hooks.register(_name, functools.partial(_load, f"{__name__}.{_place}", _name))


def __dir__() -> list[str]:
    return [*__all__, *_ROOMS, "__version__"]
