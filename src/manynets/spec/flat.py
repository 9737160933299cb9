"""A network and a recipe as flat parameters, by the names of the options."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeAlias

from manynets.spec.metadata import metadata_of
from manynets.spec.network import MLP
from manynets.spec.options import option_of
from manynets.spec.recipe import Recipe

Flat: TypeAlias = dict[str, Any]
"""Strings, numbers, booleans and None by name."""


def flat_settings(spec: MLP | None, recipe: Recipe | None) -> Flat:
    """Return the fields of a network (None: a module of your own) and a recipe; parts, such as the optimizer, by their class and fields.

    >>> from manynets.spec import SGD
    >>> found = flat_settings(MLP(hidden=(64, 32)), Recipe(optimizer=SGD(lr=0.1)))
    >>> found["hidden"], found["optimizer"], found["lr"], found["momentum"]
    ('64, 32', 'SGD', 0.1, 0.0)
    """
    return {name: value for name, value, _ in described_settings(spec, recipe)}


def described_settings(spec: MLP | None, recipe: Recipe | None) -> Iterator[tuple[str, Any, str]]:
    """Yield the name, the value and the help text of each."""
    for value in (spec, recipe):
        if value is not None:
            yield from _fields(value)


def _fields(value: Any) -> Iterator[tuple[str, Any, str]]:
    for field in dataclasses.fields(value):
        item, option = getattr(value, field.name), option_of(type(value).__name__, field.name)
        name = field.name if option is None else option.name
        words = (metadata_of(field) if option is None else option.metadata).help.rstrip(":")
        if dataclasses.is_dataclass(item):
            yield name, type(item).__name__, words
            yield from _fields(item)
        else:
            yield name, ", ".join(map(str, item)) if isinstance(item, tuple) else item, words
