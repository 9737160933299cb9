"""Errors for calls in the style of other libraries, which show how to write them here."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, TypeVar

from manynets.errors import nearest
from manynets.spec.ported import loss_called

T = TypeVar("T")
P = ParamSpec("P")
KINDS: dict[str, type[Any]] = {}
"""The decorated classes by name."""
PARTS = {"Recipe": {"optimizer": "AdamW", "stopping": "EarlyStopping"}}
"""Fields that hold another specification, and the class that an example uses."""
FORMER = {
    "clipnorm": "clip_norm",
    "criterion": "loss",
    "grad_clip": "clip_norm",
    "gradient_clip_val": "clip_norm",
    "hidden_layer_sizes": "hidden",
    "learning_rate": "lr",
    "learning_rate_init": "lr",
    "layers": "hidden",
    "lr_scheduler": "schedule",
    "max_grad_norm": "clip_norm",
    "max_iter": "epochs",
    "monitor": "watch",
    "random_state": "seed",
    "scheduler": "schedule",
    "solver": "optimizer",
    "units": "hidden",
}
"""What scikit-learn, Keras and torch's frameworks call some fields."""
_SCALING = "scaling=False, with a spec such as mn.MLP(), to leave the columns of X as they are; else they are scaled"
OF_TRAIN = {
    "class_weights": "class_weight={}",
    "early_stopping": "recipe=mn.Recipe(stopping=mn.EarlyStopping(patience=20)), or no recipe: the default ensemble stops early by itself",
    "criterion": "loss={}",
    "metrics": "metric='f1', or see model.evaluate, which has all metrics",
    **dict.fromkeys(("delimiter", "sep"), "X=mn.tables.read_table(path, delimiter={})"),
    "encoding": "X=mn.tables.read_table(path, encoding={})",
    "header": "X=mn.tables.read_table(path, header=False) for a file without names of columns",
    **dict.fromkeys(("sheet", "sheet_name"), "X=mn.tables.read_table(path, sheet={})"),
    **dict.fromkeys(("model", "module", "net", "network"), "spec={}"),
    "n_estimators": "n_networks={}",
    "normalize": _SCALING,
    "random_state": "seed={}",
    "sample_weights": "sample_weight={}",
    **dict.fromkeys(("scale", "scaler", "standardise", "standardize"), _SCALING),
    "validation_data": "validation=(X_val, y_val)",
    "validation_fraction": "validation={}",
    "validation_split": "validation={}",
    "X_val": "validation=(X_val, y_val)",
    "y_val": "validation=(X_val, y_val)",
    "verbose": "progress=False, or 'auto'",
}
"""Arguments of other libraries, and what to pass to `train` instead."""
_TRAINS = "mn.train(X, y, mn.MLP(hidden=(64,)), mn.Recipe(epochs=20)) trains a network and returns a Model, which predicts"
_IMPORTANCE = "mn.explain.permutation_importance({model}, X, y) measures how much each column counts"
ATTRIBUTES = {
    "estimator": {"feature_importances_": _IMPORTANCE.format(model="estimator.model_")},
    "specification": dict.fromkeys(("compile", "evaluate", "fit", "predict", "predict_proba", "score", "train"), _TRAINS),
    "Model": {
        "compile": "loss and optimizer are those of a recipe: mn.train(X, y, recipe=mn.Recipe(optimizer=mn.Adam(lr=0.01)))",
        "feature_importances_": _IMPORTANCE.format(model="model"),
        "fine_tune": "mn.train(X, y, model) trains a model further, from its weights",
        "forward": "model.logits(X) returns the raw scores of every network",
        "load_state_dict": "model.with_members(state) returns a model with other weights",
        **dict.fromkeys(
            ("named_parameters", "state_dict"),
            "model.network() is a torch module, model.network().state_dict() has its weights, and model.members[0] has them as arrays",
        ),
        "fit_one_cycle": "give the recipe: mn.train(X, y, recipe=mn.Recipe(schedule=mn.OneCycle()))",
    },
    "manynets": {
        **dict.fromkeys(("compile", "fit"), "mn.train(X, y) trains the default ensemble and returns a Model, which predicts"),
        **dict.fromkeys(("Dense", "Learner", "Sequential"), _TRAINS),
        "load_model": "mn.load(path) reads a model",
        "read_csv": "mn.tables.read_table(path) reads a table, and mn.train(path, target='price') trains on one",
        "tabular_learner": "mn.train(table, target='price') trains the default ensemble for tables",
    },
}
"""Attributes that objects of other libraries have, and what to write instead."""


def by_name(kind: type[T]) -> type[T]:
    """Decorate a dataclass: a TypeError for an unknown argument, or one without a name, says how to write it.

    >>> from manynets.spec import MLP
    >>> MLP((16,))
    Traceback (most recent call last):
        ...
    TypeError: MLP takes its options by name, such as MLP(hidden=(16,))
    """
    KINDS[kind.__name__] = kind
    original: Any = kind.__init__
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]

    @functools.wraps(original)
    def start(self: Any, *args: Any, **given: Any) -> None:
        if args and not names:
            raise TypeError(f"{kind.__name__} has no options; write {kind.__name__}()")
        if args:
            first = "epochs" if "epochs" in names else names[0]
            raise TypeError(f"{kind.__name__} takes its options by name, such as {kind.__name__}({first}={args[0]!r})")
        for name, value in given.items():
            if name not in names:
                raise TypeError(f"{kind.__name__} has no option {name!r}; {_advice(kind.__name__, name, value)}")
        original(self, **given)

    def lacking(self: Any, name: str) -> NoReturn:
        raise no_attribute("specification", name, owner=f"{type(self).__name__!r} object")

    kind.__init__ = start  # type: ignore[method-assign]
    kind.__getattr__ = lacking  # type: ignore[attr-defined]
    return kind


def with_advice(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate `train`: a TypeError for an unknown argument says how to write it.

    >>> import manynets as mn
    >>> mn.train([[0.0], [1.0]], [0, 1], random_state=0)
    Traceback (most recent call last):
        ...
    TypeError: train() has no argument 'random_state'; write seed=0
    """
    known = inspect.signature(function).parameters

    @functools.wraps(function)
    def call(*args: P.args, **given: P.kwargs) -> T:
        for name, value in given.items():
            if name not in known:
                raise TypeError(f"train() has no argument {name!r}; {_argument(name, value, list(known))}")
        return function(*args, **given)

    return call


def _argument(name: str, value: Any, known: list[str]) -> str:
    """Return the argument of `train` to write instead."""
    shown = f"{value!r}" if isinstance(value, bool | int | float | str | tuple | None) and len(f"{value!r}") < 40 else "..."
    if name in OF_TRAIN:
        return f"write {OF_TRAIN[name].format(shown)}"
    if name == "solver" or (name == "optimizer" and isinstance(value, str)):
        name, shown = "optimizer", f"mn.{_optimizer_called(value)}()"
    meant = _meant(name)
    plain = "which trains a plain network in place of the default ensemble"
    if meant in _names("MLP"):
        return f"write spec=mn.MLP({meant}={shown}), {plain}"
    if meant in _names("Recipe"):
        known_loss = loss_called(value) if meant == "loss" else None
        shown = shown if known_loss is None else repr(known_loss)
        loss = {"quantile": "loss='quantile', ", "delta": "loss='huber', "}.get(meant, "")
        return f"write recipe=mn.Recipe({loss}{meant}={shown}), {plain}"
    if meant in _names("AdamW"):
        return f"write recipe=mn.Recipe(optimizer=mn.AdamW({meant}={shown})), {plain}"
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"


def _optimizer_called(value: Any) -> str:
    """Return the optimizer of this name, in small letters or not, else the default one."""
    optimizers = [name for name, kind in KINDS.items() if kind.__module__.endswith(".optimizers")]
    return next((name for name in optimizers if name.lower() == str(value).lower()), "AdamW")


def no_spec(value: Any) -> str:
    """Return what is wrong with a value that is given as the specification of a network."""
    if isinstance(value, type):
        return f"spec is the class {value.__name__}; give an instance: {value.__name__}(...)"
    if isinstance(value, tuple | list) and any(hasattr(layer, "forward") for layer in value):
        return "spec is a list of layers; write torch.nn.Sequential(*layers)"
    if isinstance(value, int | tuple | list) and not isinstance(value, bool):
        hidden = (value,) if isinstance(value, int) else tuple(value)
        return f"spec is {value!r}, but must be an MLP or a torch module; write mn.MLP(hidden={hidden!r})"
    kind = type(value).__name__
    if kind == "Recipe":
        return "spec is a Recipe; write mn.train(X, y, recipe=...)"
    if kind in KINDS:
        return f"spec is {kind}, which is a part of another; write mn.train(X, y, {_part(type(value))})"
    if hasattr(value, "get_params"):
        return "spec is an estimator, which trains itself: estimator.fit(X, y); or give an MLP, such as MLP(hidden=(64, 64))"
    return f"spec is {value!r}, but must be an MLP, such as MLP(hidden=(64, 64)), or a torch module"


def _part(kind: type[Any]) -> str:
    """Return the argument of `train` that a part of a specification or a recipe belongs in."""
    module, made = kind.__module__.rpartition(".")[2], f"mn.{kind.__name__}(...)"
    if module == "embeddings":
        return f"mn.MLP(embedding={made})"
    fields = {"EarlyStopping": f"stopping={made}", "ParameterGroup": f"groups=({made},)"}
    field = fields.get(kind.__name__, f"{'schedule' if module == 'schedules' else 'optimizer'}={made}")
    return f"recipe=mn.Recipe({field})"


def no_callback(value: Any) -> str:
    """Return what is wrong with a value that is given as a callback."""
    kind = type(value).__name__
    for field, part in PARTS["Recipe"].items():
        if kind == part:
            return f"callbacks has {kind}, which is a part of a recipe; write recipe=mn.Recipe({field}=mn.{kind}(...))"
    return f"callbacks has {value!r}, but must be functions that are called with each event, such as [print]"


def no_attribute(kind: str, name: str, *, owner: str) -> AttributeError:
    """Return the error for an attribute that does not exist, with what to write instead. kind: one of ATTRIBUTES.

    >>> no_attribute("manynets", "fit", owner="module 'manynets'")
    AttributeError("module 'manynets' has no attribute 'fit'; mn.train(X, y) trains the default ensemble and returns a Model, which predicts")
    """
    instead = ATTRIBUTES[kind].get(name)
    return AttributeError(f"{owner} has no attribute {name!r}" + (f"; {instead}" if instead else ""))


def _meant(name: str) -> str:
    """Return the field that an argument stands for: itself, or where no class has such a field, that of another name."""
    return name if any(name in _names(kind) for kind in KINDS) else FORMER.get(name, name)


def _names(kind: str) -> list[str]:
    return [field.name for field in dataclasses.fields(KINDS[kind])]


def _advice(kind: str, name: str, value: Any) -> str:
    """Return the call that has the option that was meant."""
    meant = _meant(name)
    value = (loss_called(value) or value) if meant == "loss" else value
    if meant in _names(kind):
        return f"write {kind}({meant}={value!r})"
    for field, part in PARTS.get(kind, {}).items():
        if meant in _names(part):
            return f"write {kind}({field}={part}({meant}={value!r}))"
    owners = [other for other in KINDS if meant in _names(other)]
    if owners:
        return f"it is one of {owners[0]}, as in {owners[0]}({meant}={value!r})"
    near = nearest(name, _names(kind))
    hint = f"did you mean {near!r}? It" if near else "it"
    return f"{hint} has {', '.join(_names(kind)) or 'none'}"
