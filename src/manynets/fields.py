"""Checks of the fields of frozen dataclasses. What a field must not be is an OptionError that names it, its value and its limits."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any, get_args

from manynets.errors import OptionError, one_of

__all__ = ["check_bool", "check_device", "check_integer", "check_number", "check_option", "made_plain", "plain", "plain_tuple"]


def plain(value: Any) -> Any:
    """Return a NumPy number as the Python number that JSON and hashing need; anything else as it is."""
    if type(value) in (float, int, str):
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) and not isinstance(value, int) else value


def plain_tuple(owner: object, name: str) -> tuple[Any, ...]:
    """Return a field as a tuple of plain numbers."""
    value = getattr(owner, name)
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        raise OptionError(f"{type(owner).__name__}.{name} is {value!r}, but must be a number or a tuple of numbers")
    return tuple(map(plain, value))


def made_plain(owner: object, name: str) -> Any:
    """Make a field plain, and return it."""
    value = plain(getattr(owner, name))
    object.__setattr__(owner, name, value)
    return value


def check_bool(owner: object, name: str) -> None:
    """Raise OptionError where a field is neither True nor False."""
    value = getattr(owner, name)
    if not isinstance(value, bool):
        raise OptionError(f"{type(owner).__name__}.{name} is {value!r}, but must be True or False")


def check_number(owner: object, name: str, low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> None:
    """Raise OptionError where a field is no finite number from low to high (without an end that is open)."""
    value = made_plain(owner, name)
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    good = good and (value > low if open_low else value >= low) and (value < high if open_high else value <= high)
    if not good:
        sides = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high or math.isinf(high) else ']'}"
        raise OptionError(f"{type(owner).__name__}.{name} is {value!r}, but must be a number in {sides}")


def check_integer(owner: object, name: str, low: int) -> None:
    """Raise OptionError where a field is no whole number of at least low."""
    value = made_plain(owner, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise OptionError(f"{type(owner).__name__}.{name} is {value!r}, but must be a whole number of at least {low}")


def check_option(owner: object, name: str, literal: Any) -> None:
    """Raise OptionError where a field is none of the values of a Literal type."""
    one_of(getattr(owner, name), get_args(literal), what=f"{type(owner).__name__}.{name}")


def check_device(name: object, *, what: str) -> None:
    """Raise OptionError for what cannot be the name of a device."""
    kind, _, index = str(name).partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not (kind == "cuda" and index.isdigit())):
        raise OptionError(f"{what} is {name!r}, but must be auto, cpu, cuda or cuda:N")
