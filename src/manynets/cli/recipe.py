"""From the options of `manynets train` to an MLP and a Recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from manynets.cli import defaults
from manynets.errors import OptionError, one_of
from manynets.spec import EMBEDDINGS, METRICS, MLP, OPTIMIZERS, SCHEDULES, EarlyStopping, Recipe
from manynets.spec.metadata import Interval
from manynets.spec.optimizers import SklearnAdam, SklearnSGD
from manynets.spec.options import OPTIONS, option_of
from manynets.spec.schedules import SklearnInverseScaling
from manynets.steps import batch_rows, steps_per_epoch

Options = Mapping[str, Any]
"""The options by name, with underscores; None for one that was left out."""

_SKLEARN: Mapping[str, tuple[str, type]] = {  # option: the optimizer that it is for, and the class that it chooses
    "lr_in_velocity": ("sgd", SklearnSGD),
    "eps_hat": ("adam", SklearnAdam),
}
VARIANTS = 5  # of each image, where they are shifted


def flag_of(name: str) -> str:
    """Return an option as it is given on the command line.

    >>> flag_of("batch_size")
    '--batch-size'
    """
    return f"--{name.replace('_', '-')}"


def parsed(name: str, value: Any) -> Any:
    """Return the value of an option as the field takes it: of a text with several numbers, these; OptionError for another text.

    >>> parsed("hidden", "64,32"), parsed("hidden", "none"), parsed("dropout", "0.1"), parsed("quantile", "0.1,0.9"), parsed("lr", 0.1)
    ((64, 32), (), 0.1, (0.1, 0.9), 0.1)
    """
    metadata = OPTIONS[name].metadata
    if not metadata.several or not isinstance(value, str):
        return value
    if name == "hidden" and value.strip().lower() == "none":
        return ()
    whole = isinstance(metadata.allowed, Interval) and metadata.allowed.whole
    try:
        found = tuple(int(part) if whole else float(part) for part in value.split(","))
    except ValueError:
        what = "whole numbers" if whole else "numbers"
        raise OptionError(f"{flag_of(name)} is {value!r}, but must be {what} with commas between them") from None
    return found[0] if name in ("dropout", "quantile") and len(found) == 1 else found


def network_of(options: Options, *, networks: int = 1) -> MLP:
    """Return the network that the options describe, one of so many that are trained together."""
    given = _given(options, MLP)
    layers: tuple[int, ...] = defaults.HIDDEN if networks == 1 else defaults.ENSEMBLE_HIDDEN
    given["embedding"] = _embedding(options)
    return MLP(**{"activation": defaults.ACTIVATION, "hidden": layers, "dropout": defaults.DROPOUT, **given})


def _embedding(options: Options) -> Any:
    name = one_of(options["embedding"] or "none", OPTIONS["embedding"].names, what="--embedding")
    given = _given_for(options, "embedding", name)
    return None if name == "none" else EMBEDDINGS[name](**given)


def recipe_of(options: Options, *, rows: int) -> Recipe:
    """Return how the options train on so many rows."""
    given = _given(options, Recipe)
    if options["metric"] is not None:
        if "watch" in given:
            raise OptionError(f"--metric is {options['metric']} and --watch {given['watch']}; give one of the two")
        given["watch"] = one_of(options["metric"], METRICS, what="--metric")
    given.setdefault("batch_size", min(defaults.batch_size(rows), max(rows, 1)))
    for option, loss in (("quantile", "quantile"), ("delta", "huber")):
        if option in given and given.get("loss") != loss:
            raise OptionError(f"--{option} is for --loss {loss} only; leave it out, or give --loss {loss}")
    if "epochs" not in given and "iterations" not in given:
        given["epochs"] = defaults.epochs(rows, max(given["batch_size"], 1))
    parts = {
        "optimizer": _optimizer(options, given["batch_size"]),
        "schedule": _schedule(options, rows),
        "stopping": _stopping(options),
    }
    return Recipe(**{**given, **parts})


def recipe_with_shifts(plain: Recipe, rows: int) -> Recipe:
    """Return how so many images and their copies are trained on. plain: how the images alone would be.

    >>> recipe = recipe_with_shifts(Recipe(epochs=20, batch_size=128), 54_000)
    >>> recipe.epochs, recipe.evaluate_every
    (4, 422)
    """
    assert plain.epochs is not None
    steps = steps_per_epoch(rows, batch_rows(plain, rows), merge_single=False)
    return dataclasses.replace(plain, epochs=max(round(plain.epochs / VARIANTS), 1), evaluate_every=steps, keep="last")


def quantiles_of(options: Options) -> tuple[float, ...]:
    """Return the quantiles that the options ask for where these are several, else ().

    >>> quantiles_of({"loss": "quantile", "quantile": "0.1,0.9"}), quantiles_of({"loss": None, "quantile": None})
    ((0.1, 0.9), ())
    """
    if options["quantile"] is None or options["loss"] != "quantile":
        return ()
    return Recipe(loss="quantile", quantile=parsed("quantile", options["quantile"])).quantiles


def _optimizer(options: Options, batch: int) -> Any:
    name = one_of(options["optimizer"] or defaults.OPTIMIZER, OPTIMIZERS, what="--optimizer")
    given = _given_for(options, "optimizer", name)
    if name == defaults.OPTIMIZER:
        given.setdefault("weight_decay", defaults.WEIGHT_DECAY)
        if options["schedule"] is None:
            given.setdefault("lr", defaults.lr(min(max(batch, 1), 512)))
    kind: type = OPTIMIZERS[name]
    for option, (owner, chosen) in _SKLEARN.items():
        if options[option] is None:
            continue
        if name != owner:
            raise OptionError(
                f"{flag_of(option)} is not for the optimizer {name!r}, but for {owner}; leave it out, or give --optimizer"
            )
        kind = chosen if options[option] else kind
    return kind(**given)


def _schedule(options: Options, rows: int) -> Any:
    name = one_of(options["schedule"] or defaults.SCHEDULE, SCHEDULES, what="--schedule")
    given = _given_for(options, "schedule", name)
    if name == "inverse-scaling":
        return SklearnInverseScaling(**given, rows=rows)
    return SCHEDULES[name](**given)


def _stopping(options: Options) -> EarlyStopping | None:
    given = _given(options, EarlyStopping)
    if given and "patience" not in given:
        option = option_of("EarlyStopping", next(iter(given)))
        assert option is not None
        raise OptionError(f"{flag_of(option.name)} is for early stopping; give --patience too")
    return EarlyStopping(**given) if given else None


def _given(options: Options, kind: type) -> dict[str, Any]:
    """Return the given options that set fields of a class, by field, as it takes them."""
    found = (option for option in OPTIONS.values() if kind in option.classes.values() and options[option.name] is not None)
    return {option.field: parsed(option.name, options[option.name]) for option in found}


def _given_for(options: Options, group: str, name: str) -> dict[str, Any]:
    """Return the given options of the optimizer or schedule of this name, by field, as it takes them; refuse those of the others."""
    out = {}
    for option in OPTIONS.values():
        if option.group != group or options[option.name] is None:
            continue
        if name not in option.classes:
            having = ", ".join(option.classes)
            raise OptionError(
                f"{flag_of(option.name)} is not for the {group} {name!r}, but for {having}; leave it out, or give --{group}"
            )
        out[option.field] = parsed(option.name, options[option.name])
    return out
