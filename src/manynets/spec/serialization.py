"""Specifications to JSON and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

from manynets.errors import OptionError, one_of
from manynets.renames import renamed
from manynets.spec.embeddings import Embedding
from manynets.spec.network import MLP
from manynets.spec.optimizers import Optimizer, SklearnAdam, SklearnSGD
from manynets.spec.recipe import EarlyStopping, ParameterGroup, Recipe
from manynets.spec.schedules import Schedule, SklearnInverseScaling

_PUBLIC: dict[str, type] = {
    kind.__name__: kind
    for kind in (MLP, Recipe, EarlyStopping, ParameterGroup, *get_args(Embedding), *get_args(Optimizer), *get_args(Schedule))
}
_KINDS = _PUBLIC | {kind.__name__: kind for kind in (SklearnSGD, SklearnAdam, SklearnInverseScaling)}


def to_json(value: Any) -> dict[str, Any]:
    """Return a specification as a dict of JSON types, its class under "kind".

    >>> from manynets.spec import SGD
    >>> to_json(SGD(lr=0.1))
    {'kind': 'SGD', 'lr': 0.1, 'momentum': 0.0, 'nesterov': False, 'weight_decay': 0.0}
    """
    kind = type(value).__name__
    if _KINDS.get(kind) is not type(value):
        raise OptionError(f"{value!r} is not a specification, which is one of {', '.join(_PUBLIC)}")
    out: dict[str, Any] = {"kind": kind}
    for field in dataclasses.fields(_KINDS[kind]):
        item = getattr(value, field.name)
        if dataclasses.is_dataclass(item):
            item = to_json(item)
        elif isinstance(item, tuple):
            item = [to_json(part) if dataclasses.is_dataclass(part) else part for part in item]
        out[field.name] = item
    return out


def from_json(data: Mapping[str, Any]) -> Any:
    """Return the specification that `to_json` wrote; every name and value is checked, unknown ones are an OptionError.

    Names of version 0.1 are replaced by the current ones.

    >>> from_json({"kind": "SGD", "lr": 0.1})
    SGD(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)
    """
    if not isinstance(data, Mapping):
        raise OptionError(f"a specification is {data!r}, but must be a JSON object with a 'kind'")
    data = renamed(data)
    name = data.get("kind")
    kind = _KINDS[name if isinstance(name, str) and name in _KINDS else one_of(name, _PUBLIC, what="kind of a specification")]
    names = [field.name for field in dataclasses.fields(kind)]
    arguments: dict[str, Any] = {}
    for key, item in data.items():
        if key == "kind":
            continue
        one_of(key, names, what=f"field of {kind.__name__}")
        if isinstance(item, Mapping):
            item = from_json(item)
        elif isinstance(item, list):
            item = tuple(from_json(part) if isinstance(part, Mapping) else part for part in item)
        arguments[key] = item
    try:
        return kind(**arguments)
    except (TypeError, AttributeError) as error:  # a value of a type that the checks did not foresee
        raise OptionError(f"{kind.__name__} cannot be made of {dict(data)!r}: {error}") from error
