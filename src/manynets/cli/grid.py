"""The grammar of --grid: the values of an option, as a list or a range."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

from manynets.errors import OptionError, one_of
from manynets.renames import OPTIONS
from manynets.spec.metadata import AT_LEAST_ONE, Interval
from manynets.spec.options import OPTIONS as SPEC_OPTIONS

SEARCHED = (*(name for name, option in SPEC_OPTIONS.items() if option.metadata.searched), "n_networks")
"""Options that a sweep may vary."""

_RANGE = re.compile(r"([^:]+):([^:]+):(?:(log|lin):)?(\d{1,6})")


def grid_of(given: Sequence[str]) -> dict[str, list[Any]]:
    """Return the values of each option named by texts such as "lr=1e-4:1e-1:log:12" and "dropout=0,0.2,0.5".

    >>> grid_of(["lr=0.01:0.1:log:3", "hidden=64,128-64", "nesterov=yes,no"])
    {'lr': [0.01, 0.0316228, 0.1], 'hidden': ['64', '128,64'], 'nesterov': [True, False]}
    """
    out: dict[str, list[Any]] = {}
    for text in given:
        name, found, values = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        name = OPTIONS.get(name, name)
        if not found or not values.strip():
            raise OptionError(f"--grid is {text!r}, but must look like lr=1e-4:1e-1:log:12 or dropout=0,0.2,0.5")
        one_of(name, SEARCHED, what="--grid")
        if name in out:
            raise OptionError(f"--grid names {name} twice; give all its values at once")
        out[name] = values_of(name, values.strip())
        for value in out[name]:
            _check(name, value)
    return out


def _check(name: str, value: Any) -> None:
    """Raise OptionError for a value that no candidate may have, rather than train the others and have this one fail."""
    option, what = SPEC_OPTIONS.get(name), f"--grid {name}"
    allowed = AT_LEAST_ONE if option is None else option.metadata.allowed
    if option is not None and option.names:
        one_of(value, option.names, what=what)
    elif isinstance(allowed, Interval):
        for number in _numbers_in(value, int if allowed.whole else float):
            allowed.check(number, what=what)


def _numbers_in(value: Any, kind: type[int] | type[float]) -> list[Any]:
    """Return the numbers in a value, none for a text such as "none", for no hidden layer."""
    try:
        return [kind(part) for part in value.split(",")] if isinstance(value, str) else [value]
    except ValueError:
        return []


def values_of(name: str, text: str) -> list[Any]:
    """Return the values of one option: a list with commas, or first:last:log:count, or first:last:lin:count."""
    kind = _kind_of(name)
    match = _RANGE.fullmatch(text)
    if (match and kind in (int, float)) or (match and name in ("dropout", "quantile")):
        return [kind(value) if kind is not str else f"{value:g}" for value in _range(name, match, whole=kind is int)]
    values = [_value(name, part.strip(), kind) for part in text.split(",")]
    if len(set(values)) < len(values):
        raise OptionError(f"--grid {name}={text} names a value twice")
    return values


def _range(name: str, match: re.Match[str], *, whole: bool) -> list[float]:
    first, last = (_value(name, match[i], float) for i in (1, 2))
    count, scale = int(match[4]), match[3] or "lin"
    if count < 1 or (scale == "log" and not (first > 0 and last > 0)):
        raise OptionError(
            f"--grid {name}={match[0]}: a range needs at least 1 value, and a logarithmic range needs both ends above 0"
        )
    shares = [i / max(1, count - 1) for i in range(count)]
    if scale == "log":
        values = [math.exp(math.log(first) + share * (math.log(last) - math.log(first))) for share in shares]
    else:
        values = [first + share * (last - first) for share in shares]
    rounded = [float(round(value)) if whole else float(f"{value:.6g}") for value in values]
    return list(dict.fromkeys(rounded))


def value_from(name: str, text: str) -> Any:
    """Return the value of an option from how str() writes it, as in results.csv; None for "".

    >>> value_from("hidden", "64,64"), value_from("lr", "0.1"), value_from("nesterov", "True"), value_from("lr", "")
    ('64,64', 0.1, True, None)
    """
    kind = _kind_of(name)
    return None if text == "" else text if kind is str else _value(name, text, kind)


def _kind_of(name: str) -> type:
    return int if name == "n_networks" else SPEC_OPTIONS[name].value_type


def _value(name: str, text: str, kind: type) -> Any:
    words = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
    try:
        if kind is bool:
            return words[text.lower()]
        if kind is str:
            several = SPEC_OPTIONS[name].metadata.several  # numbers in one value: 64-64
            return text.replace("-", ",") if several and "e-" not in text else text
        value = kind(text)
        if not math.isfinite(value):
            raise ValueError
        return value
    except (ValueError, KeyError):
        what = {bool: "yes or no", int: "whole numbers", float: "numbers"}[kind]
        raise OptionError(f"--grid {name} has the value {text!r}, but its values must be {what}") from None


def combinations(grid: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return every combination of values, the last option varying fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
