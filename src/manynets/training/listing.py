"""The calls of a step, listed for all slots of rows, and bound to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from manynets.calls import Call
from manynets.data.batches import Slot

__all__ = ["Listing", "Of"]


@dataclasses.dataclass(frozen=True)
class Of:
    """An argument that each slot has its own of; `kept` are the units of each layer that dropout keeps in it."""

    get: Callable[[Slot, list[Tensor | None]], Tensor | float | None]


class Listing:
    """Calls in order. Those without an argument `Of` are the same for all slots, so that a step walks through little memory."""

    def __init__(self) -> None:
        self._made: list[tuple[partial[object], bool]] = []

    def __call__(self, function: Callable[..., object], *arguments: Any, **options: Any) -> None:
        """List a call."""
        own = any(isinstance(one, Of) for one in (*arguments, *options.values()))
        self._made.append((partial(function, *arguments, **options), own))

    def of(self, slot: Slot, kept: list[Tensor | None]) -> list[Call]:
        """Return the calls for a slot and the units that are kept in it."""

        def own(one: Any) -> Any:
            return one.get(slot, kept) if isinstance(one, Of) else one

        def bound(call: partial[object]) -> Call:
            return partial(call.func, *map(own, call.args), **{name: own(one) for name, one in call.keywords.items()})

        return [bound(call) if differs else call for call, differs in self._made]
