"""Options of the specification that replace those of the recipe for tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

from manynets.errors import OptionError, one_of
from manynets.spec import MLP, SCHEDULES, Recipe
from manynets.spec.options import OPTIONS

Changes: TypeAlias = Mapping[str, Any]
"""Values by the name of their option (docs/options.md), such as {"lr": 0.02, "hidden": (64, 64)}."""

_FIXED = (
    "epochs", "optimizer", "batch_norm", "init", "bias", "input_scale", "prior", "embedding", "bins", "bins_by", "frequencies",
    "frequency_scale", "frequency_outputs",
)  # fmt: skip
"""What the recipe is built on: its steps, AdamW with a rate for each layer, and initial weights of its own."""
CHANGEABLE = tuple(name for name, option in OPTIONS.items() if option.metadata.searched and name not in _FIXED)
"""The options that can be changed."""


def check_changes(changes: Changes) -> None:
    """Raise OptionError for an option that cannot be changed."""
    for name in changes:
        one_of(name, CHANGEABLE, what="changes")
    for name, loss in (("quantile", "quantile"), ("delta", "huber")):
        if name in changes and changes.get("loss") != loss:
            raise OptionError(f"{name} is for the loss {loss!r} only; leave out {name}, or give loss={loss!r}")
    if changes.get("loss") == "poisson":
        raise OptionError(
            "loss is 'poisson', but the default ensemble starts from the mean of the target; give another loss, or a network and a recipe"
        )


def changed_network(spec: MLP, changes: Changes) -> MLP:
    """Return the specification with the changes that concern it.

    >>> changed_network(MLP(hidden=(8,)), {"activation": "tanh", "lr": 0.1}).activation
    'tanh'
    """
    return dataclasses.replace(spec, **_fields_of(changes, MLP))


def changed_recipe(recipe: Recipe, changes: Changes) -> Recipe:
    """Return the recipe with the changes that concern it; a new schedule has its own defaults.

    Raises OptionError for an option of another optimizer or schedule than the recipe then has.

    >>> from manynets.spec import AdamW
    >>> changed_recipe(Recipe(optimizer=AdamW(lr=0.1)), {"weight_decay": 0.0, "batch_size": 32}).optimizer
    AdamW(lr=0.1, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)
    """
    fields = _fields_of(changes, Recipe)
    if "schedule" in fields:
        kind = SCHEDULES[one_of(fields.pop("schedule"), SCHEDULES, what="schedule")]
        recipe = recipe if isinstance(recipe.schedule, kind) else dataclasses.replace(recipe, schedule=kind())
    parts: dict[str, Any] = {name: getattr(recipe, name) for name in ("optimizer", "schedule", "stopping")}
    for name, part in parts.items():
        if part is not None:
            parts[name] = dataclasses.replace(part, **_fields_of(changes, type(part)))
        _refuse_others(changes, name, part)
    return dataclasses.replace(recipe, **fields, **parts)


def _fields_of(changes: Changes, kind: type) -> dict[str, Any]:
    """Return the changes that set fields of a class, by field."""
    return {OPTIONS[name].field: value for name, value in changes.items() if kind in OPTIONS[name].classes.values()}


def _refuse_others(changes: Changes, group: str, part: Any) -> None:
    for name in changes:
        option = OPTIONS[name]
        if option.group == group and type(part) not in option.classes.values():
            raise OptionError(
                f"{name} is not for the {group} {type(part).__name__}, but for {', '.join(option.classes)}; leave it out"
            )
