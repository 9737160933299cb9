"""The candidates of a sweep without a grid: options drawn around the default, by the ranges in the table of options."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from manynets import rng
from manynets.spec import MLP, OPTIMIZERS, SCHEDULES, Recipe
from manynets.spec.metadata import SearchRange
from manynets.spec.options import OPTIONS

DRAWN = tuple(name for name, option in OPTIONS.items() if option.metadata.search is not None)
"""The options that a random search draws."""
CHANGED = 0.5  # share of the options that differ from the default, on average
MOST_TRIES = 1000  # to draw a candidate that was not drawn before


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
