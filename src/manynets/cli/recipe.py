"""From the options of `manynets train` to an MLP and a Recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from manynets.cli import defaults
from manynets.errors import OptionError, one_of
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
    NAdam,
    OneCycle,
    Recipe,
    ReduceOnPlateau,
    RMSprop,
    SklearnAdam,
    SklearnInverseScaling,
    SklearnSGD,
    StepDecay,
    Warmup,
)

__all__ = ["OPTIMIZERS", "SCHEDULES", "network_of", "option_of", "recipe_of"]

Options = Mapping[str, Any]
"""The options by the names of the parameters of `train`; None where one was left out."""

OPTIMIZERS: Mapping[str, type] = {
    "sgd": SGD, "adam": Adam, "adamw": AdamW, "nadam": NAdam, "rmsprop": RMSprop, "adagrad": Adagrad,
}  # fmt: skip
SCHEDULES: Mapping[str, type] = {
    "constant": Constant,
    "cosine": Cosine,
    "one-cycle": OneCycle,
    "warmup": Warmup,
    "step": StepDecay,
    "exponential": Exponential,
    "inverse-scaling": InverseScaling,
    "plateau": ReduceOnPlateau,
}

_OPTIMIZER_OPTIONS = {name: name for name in ("weight_decay", "momentum", "nesterov", "betas", "eps", "alpha")}
_SKLEARN: Mapping[str, tuple[str, type]] = {  # flag: the optimizer that it is for, and its class with the flag
    "lr_in_velocity": ("sgd", SklearnSGD),
    "eps_hat": ("adam", SklearnAdam),
}
_SCHEDULE_OPTIONS = {  # option: field, of whichever schedules have it
    "warmup": "warmup",
    "lr_final": "final",
    "lr_rise": "rise",
    "lr_start_factor": "start_factor",
    "lr_final_factor": "final_factor",
    "warmup_steps": "steps",
    "lr_every": "every",
    "lr_gamma": "gamma",
    "lr_power": "power",
    "lr_factor": "factor",
    "lr_patience": "patience",
    "lr_min_delta": "min_delta",
    "lr_min": "min_lr",
}
_STOPPING_OPTIONS = {"min_delta": "min_delta", "inclusive": "inclusive", "stop_lr_factor": "factor", "stop_min_lr": "min_lr"}
_RECIPE_OPTIONS = (
    "epochs", "iterations", "evaluate_every", "batch_size", "l1", "l2", "label_smoothing", "clip_norm", "shuffle", "keep",
    "watch", "loss", "quantile", "delta", "seed", "device", "dtype", "precision", "gradient",
)  # fmt: skip


def option_of(kind: str, field: str) -> str | None:
    """Return the option that sets a field of a specification's class, or None for other classes.

    >>> option_of("Cosine", "final"), option_of("Recipe", "batch_size"), option_of("Dataset", "X")
    ('--lr-final', '--batch-size', None)
    """
    kind = kind.removeprefix("Sklearn")
    schedules = {kind.__name__ for kind in SCHEDULES.values()}
    others = {"MLP", "Recipe", *(kind.__name__ for kind in OPTIMIZERS.values())}
    if kind not in schedules | others | {"EarlyStopping"}:
        return None
    renamed = {} if kind in others else _SCHEDULE_OPTIONS if kind in schedules else _STOPPING_OPTIONS
    name = {field: option for option, field in renamed.items()}.get(field, field)
    return f"--{name.replace('_', '-')}"


def numbers(text: str, *, option: str, kind: type[int] | type[float]) -> tuple[Any, ...]:
    """Return the numbers of a text such as "512,512"; raise OptionError for anything else.

    >>> numbers("0.9,0.999", option="--betas", kind=float)
    (0.9, 0.999)
    """
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise OptionError(f"{option} is {text!r}, but must be {what} with commas between them") from None


def network_of(options: Options, *, networks: int = 1) -> MLP:
    """Return the network that the options describe, one of so many that are trained together."""
    hidden = options["hidden"]
    if hidden is None:
        layers: tuple[int, ...] = defaults.HIDDEN if networks == 1 else defaults.COMMITTEE_HIDDEN
    else:
        layers = () if hidden.strip().lower() == "none" else numbers(hidden, option="--hidden", kind=int)
    dropout: float | tuple[float, ...] = defaults.DROPOUT
    if options["dropout"] is not None:
        rates = numbers(options["dropout"], option="--dropout", kind=float)
        dropout = rates[0] if len(rates) == 1 else rates
    names = ("activation", "input_dropout", "batch_norm", "init", "bias")
    given = {name: options[name] for name in names if options[name] is not None}
    given.setdefault("activation", defaults.ACTIVATION)
    return MLP(hidden=layers, dropout=dropout, **given)


def recipe_of(options: Options, *, rows: int) -> Recipe:
    """Return how the options train on so many rows."""
    given = {name: options[name] for name in _RECIPE_OPTIONS if options[name] is not None}
    given.setdefault("batch_size", min(defaults.batch_size(rows), max(rows, 1)))
    for option in ("quantile", "delta"):
        loss = {"quantile": "quantile", "delta": "huber"}[option]
        if option in given and given.get("loss") != loss:
            raise OptionError(f"--{option} is for --loss {loss} only; leave it out, or give --loss {loss}")
    if "epochs" not in given and "iterations" not in given:
        given["epochs"] = defaults.epochs(rows, max(given["batch_size"], 1))
    return Recipe(
        optimizer=_optimizer(options, given["batch_size"]), schedule=_schedule(options, rows), stopping=_stopping(options), **given
    )


def _optimizer(options: Options, batch: int) -> Any:
    name = one_of(options["optimizer"] or defaults.OPTIMIZER, OPTIMIZERS, what="--optimizer")
    given = _fields(options, _OPTIMIZER_OPTIONS, name, OPTIMIZERS, what="optimizer")
    if name == defaults.OPTIMIZER:
        given.setdefault("weight_decay", defaults.WEIGHT_DECAY)
    if options["lr"] is not None:
        given["lr"] = options["lr"]
    elif name == defaults.OPTIMIZER and options["schedule"] is None:
        given["lr"] = defaults.lr(min(max(batch, 1), 512))
    if "betas" in given:
        given["betas"] = numbers(given["betas"], option="--betas", kind=float)
    kind = OPTIMIZERS[name]
    for option, (owner, twin) in _SKLEARN.items():
        if options[option] is None:
            continue
        if name != owner:
            flag = "--" + option.replace("_", "-")
            raise OptionError(f"{flag} is not for the optimizer {name!r}, but for {owner}; leave it out, or give --optimizer")
        kind = twin if options[option] else kind
    return kind(**given)


def _schedule(options: Options, rows: int) -> Any:
    name = one_of(options["schedule"] or defaults.SCHEDULE, SCHEDULES, what="--schedule")
    given = _fields(options, _SCHEDULE_OPTIONS, name, SCHEDULES, what="schedule")
    if name == "inverse-scaling":
        return SklearnInverseScaling(**given, rows=rows)
    return SCHEDULES[name](**given)


def _stopping(options: Options) -> EarlyStopping | None:
    given = {field: options[option] for option, field in _STOPPING_OPTIONS.items() if options[option] is not None}
    if options["patience"] is not None:
        return EarlyStopping(patience=options["patience"], **given)
    for option in _STOPPING_OPTIONS:
        if options[option] is not None:
            raise OptionError(f"--{option.replace('_', '-')} is for early stopping; give --patience too")
    return None


def _fields(options: Options, known: Mapping[str, str], name: str, choices: Mapping[str, type], *, what: str) -> dict[str, Any]:
    """Return the given options that belong to the chosen class by its fields' names; refuse those that it does not have."""
    out = {}
    for option, field in known.items():
        if options[option] is None:
            continue
        having = [choice for choice, kind in choices.items() if field in {f.name for f in dataclasses.fields(kind)}]
        if name not in having:
            flag = "--" + option.replace("_", "-")
            raise OptionError(f"{flag} is not for the {what} {name!r}, but for {', '.join(having)}; leave it out, or give --{what}")
        out[field] = options[option]
    return out
