"""The parameters that several networks have in common, and those in which they differ."""

from __future__ import annotations

from collections.abc import Mapping

from manynets.spec import MLP, Recipe
from manynets.spec.flat import Flat, flat_settings


def split_settings(each: Mapping[int, tuple[MLP | None, Recipe]]) -> tuple[Flat, dict[int, Flat]]:
    """Return the parameters that all networks have in common, and by the number of each network those in which they differ.

    >>> common, own = split_settings({0: (MLP(), Recipe(seed=0)), 1: (MLP(), Recipe(seed=1))})
    >>> common["activation"], own
    ('relu', {0: {'seed': 0}, 1: {'seed': 1}})
    """
    flat = {number: flat_settings(*pair) for number, pair in each.items()}
    names = dict.fromkeys(name for one in flat.values() for name in one)
    first = next(iter(flat.values()), {})
    alike = {name for name in names if all(name in one and one[name] == first[name] for one in flat.values())}
    own = {number: {name: one.get(name) for name in names if name not in alike} for number, one in flat.items()}
    return {name: first[name] for name in names if name in alike}, own
