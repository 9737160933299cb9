"""The candidates of a sweep: the grammar of --grid, and options drawn around the default by the ranges in the table of options."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from manynets import rng
from manynets.cli.recipe import parsed
from manynets.errors import OptionError, one_of
from manynets.renames import OPTIONS as RENAMED
from manynets.spec import MLP, OPTIMIZERS, SCHEDULES, Recipe
from manynets.spec.metadata import AT_LEAST_ONE, Interval, SearchRange
from manynets.spec.options import OPTIONS

SEARCHED = (*(name for name, option in OPTIONS.items() if option.metadata.searched), "n_networks")
"""Options that a sweep may vary."""
DRAWN = tuple(name for name, option in OPTIONS.items() if option.metadata.search is not None)
"""The options that a random search draws."""
CHANGED = 0.5  # share of the options that differ from the default, on average
MOST_CANDIDATES = 1_000_000
MOST_TRIES = 1000  # to draw a candidate that was not drawn before
_RANGE = re.compile(r"([^:]+):([^:]+):(?:(log|lin):)?(\d{1,18})")


def grid_of(given: Sequence[str]) -> dict[str, list[Any]]:
    """Return the values of each option named by texts such as "lr=1e-4:1e-1:log:12" and "dropout=0,0.2,0.5".

    >>> grid_of(["lr=0.01:0.1:log:3", "hidden=64,128-64", "nesterov=yes,no"])
    {'lr': [0.01, 0.0316228, 0.1], 'hidden': ['64', '128,64'], 'nesterov': [True, False]}
    """
    out: dict[str, list[Any]] = {}
    for text in given:
        name, found, values = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        name = RENAMED.get(name, name)
        if not found or not values.strip():
            raise OptionError(f"--grid is {text!r}, but must look like lr=1e-4:1e-1:log:12 or dropout=0,0.2,0.5")
        one_of(name, SEARCHED, what="--grid")
        if name in out:
            raise OptionError(f"--grid names {name} twice; give all its values at once")
        out[name] = values_of(name, values.strip())
        for value in out[name]:
            _check(name, value)
    count = math.prod(map(len, out.values()))
    if count > MOST_CANDIDATES:
        raise OptionError(f"--grid has {count:,} combinations, but at most {MOST_CANDIDATES:,} can be compared; give fewer values")
    return out


def _check(name: str, value: Any) -> None:
    """Raise OptionError for a value that no candidate may have, rather than train the others and have this one fail."""
    option, what = OPTIONS.get(name), f"--grid {name}"
    allowed = AT_LEAST_ONE if option is None else option.metadata.allowed
    if option is not None and option.names:
        one_of(value, option.names, what=what)
    elif isinstance(allowed, Interval):
        found = value if option is None else parsed(name, value)
        for number in found if isinstance(found, tuple) else (found,):
            allowed.check(number, what=what)


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
    if not 1 <= count <= MOST_CANDIDATES or (scale == "log" and not (first > 0 and last > 0)):
        raise OptionError(
            f"--grid {name}={match[0]}: a range needs from 1 to {MOST_CANDIDATES:,} values, and a logarithmic range needs both ends above 0"
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
    return int if name == "n_networks" else OPTIONS[name].value_type


def _value(name: str, text: str, kind: type) -> Any:
    words = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
    try:
        if kind is bool:
            return words[text.lower()]
        if kind is str:
            several = OPTIONS[name].metadata.several  # numbers in one value: 64-64
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


# --------------------------------------------------------------------------------------------------------------------- drawn


def default_values(names: Sequence[str], spec: MLP, recipe: Recipe, *, networks: int = 1) -> dict[str, Any]:
    """Return the values of options as --grid writes them, in a network and a recipe; None for those that these do not have.

    >>> default_values(["hidden", "lr", "momentum"], MLP(hidden=(64, 32)), Recipe())
    {'hidden': '64,32', 'lr': 0.001, 'momentum': None}
    """
    parts: list[Any] = [spec, recipe, recipe.optimizer, recipe.schedule, recipe.stopping]
    out: dict[str, Any] = {}
    for name in names:
        if name == "n_networks":
            out[name] = networks
            continue
        option = OPTIONS[name]
        owner = next((part for part in parts if type(part) in option.classes.values()), None)
        value = None if owner is None else getattr(owner, option.field)
        for choices in (OPTIMIZERS, SCHEDULES):
            value = next((word for word, kind in choices.items() if type(value) is kind), value)
        out[name] = _as_text(value) if option.metadata.several and value is not None else value
    return out


def drawn_candidates(default: Mapping[str, Any], *, seed: int, most: Mapping[str, float] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the options of one candidate after the other that differ from the default, without end while there are new ones.

    default: the values of the options to draw; half of them, on average, are changed. most: the largest value of some of them.
    """
    seen: set[tuple[tuple[str, Any], ...]] = {()}
    number = 0
    while True:
        for _ in range(MOST_TRIES):
            random = rng.generator(seed, "search", number)
            number += 1
            found = {name: _draw(name, value, random, most or {}) for name, value in default.items() if random.random() < CHANGED}
            candidate = {name: value for name, value in found.items() if value != default[name]}
            if tuple(candidate.items()) not in seen:
                break
        else:
            return
        seen.add(tuple(candidate.items()))
        yield candidate


def _draw(name: str, default: Any, random: np.random.Generator, most: Mapping[str, float]) -> Any:
    option = OPTIONS[name]
    within = option.metadata.search
    assert within is not None
    if within.choices:
        value: Any = within.choices[int(random.integers(len(within.choices)))]
    else:
        share = random.random()
        if within.relative and not default:
            return default
        value = _number(within, default, share, most.get(name, math.inf))
        if option.value_type is int:
            return max(1, round(value))
    return _as_text(value) if option.metadata.several else value


def _number(within: SearchRange, default: Any, share: float, most: float) -> float:
    """Return the number at a share of the range, which ends at `most`, with three digits."""
    unit = default if within.relative else 1.0
    low, high = min(within.low * unit, most), min(within.high * unit, most)
    value = low * (high / low) ** share if within.log else low + share * (high - low)
    return float(f"{value:.3g}")


def _as_text(value: Any) -> str:
    values = value if isinstance(value, tuple) else (value,)
    return ",".join(f"{number:g}" for number in values) or "none"
