"""The table of options for the page: the fields of the specifications with their metadata, as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from manynets.errors import require_packages
from manynets.spec import MLP, Recipe
from manynets.spec.embeddings import EMBEDDINGS
from manynets.spec.metadata import Interval, metadata_of
from manynets.spec.optimizers import OPTIMIZERS
from manynets.spec.recipe import EarlyStopping
from manynets.spec.schedules import SCHEDULES

NESTED: dict[str, Mapping[str, type]] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "embedding": EMBEDDINGS,
    "stopping": {"early stopping": EarlyStopping},
}
LEFT_OUT = {"MLP": ("hidden",), "Recipe": ("device", "groups"), "Periodic": ("columns",)}
"""Fields that the page sets elsewhere, or cannot set."""


def require_playground() -> None:
    """Raise MissingExtraError where a package of the extra `playground` is missing."""
    require_packages("fastapi", "uvicorn", "websockets", extra="playground", purpose="manynets playground")


def option_table() -> dict[str, Any]:
    """Return the fields of each class of specification, and the classes that a nested field may hold.

    >>> table = option_table()
    >>> [field["name"] for field in table["kinds"]["SGD"]]
    ['lr', 'momentum', 'nesterov', 'weight_decay']
    >>> table["nested"]["schedule"]["cosine"]
    'Cosine'
    """
    kinds: list[type] = [MLP, Recipe, *(kind for choices in NESTED.values() for kind in choices.values())]
    return {
        "kinds": {kind.__name__: _fields(kind) for kind in kinds},
        "nested": {name: {label: kind.__name__ for label, kind in choices.items()} for name, choices in NESTED.items()},
    }


def _fields(kind: type) -> list[dict[str, Any]]:
    fields = dataclasses.fields(kind)
    return [_field(field) for field in fields if field.name not in LEFT_OUT.get(kind.__name__, ())]


def _field(field: dataclasses.Field[Any]) -> dict[str, Any]:
    metadata = metadata_of(field)
    default = field.default if field.default_factory is dataclasses.MISSING else type(field.default_factory()).__name__
    out: dict[str, Any] = {"name": field.name, "help": metadata.help.removesuffix(":"), "panel": metadata.panel}
    out |= {"none": metadata.none, "default": list(default) if isinstance(default, tuple) else default}
    allowed = metadata.allowed
    if field.name in NESTED:
        return out | {"type": "nested", "optional": field.default is None}
    if metadata.several:
        return out | {"type": "numbers"}
    if isinstance(allowed, Interval):
        high = None if math.isinf(allowed.high) else allowed.high
        kind = "whole" if allowed.whole else "number"
        return out | {"type": kind, "low": allowed.low, "high": high, "optional": default is None}
    if isinstance(allowed, tuple):
        return out | {"type": "choice", "choices": list(allowed), "optional": default is None}
    return out | {"type": "flag" if allowed is bool else "text"}
