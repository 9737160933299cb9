"""Loss curves, and the weights of earlier epochs, in bounded memory: once there are too many, every second one is deleted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Weights: TypeAlias = list[tuple[NDArray[Any], NDArray[Any]]]
"""Of each group of networks: parameters (K, P) and running statistics (K, Q)."""
MOST_ENTRIES = 600


class Thinned(Generic[T]):
    """Items in the order in which they were added, at most `most` of them: every second one, every fourth, and so on, and always the last.

    >>> items = Thinned[int](4)
    >>> for number in range(10):
    ...     items.add(number)
    >>> list(items)
    [0, 4, 8, 9]
    """

    def __init__(self, most: int) -> None:
        self.most, self.stride, self.count = most, 1, 0
        self._items: list[T] = []
        self._last: T | None = None

    @property
    def due(self) -> bool:
        """Whether the next item will be stored."""
        return self.count % self.stride == 0

    def add(self, item: T) -> None:
        """Add an item."""
        if self.due:
            if len(self._items) >= self.most - 1:
                self.stride *= 2
                self._items = self._items[::2]
            if self.due:
                self._items.append(item)
        self._last = item
        self.count += 1

    def skip(self) -> None:
        """Count an item that is not made, because it would not be stored."""
        self.count += 1

    def __iter__(self) -> Iterator[T]:
        yield from self._items
        if self._last is not None and (not self._items or self._items[-1] is not self._last):
            yield self._last

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def nearest(self, value: float, by: Callable[[T], float]) -> T | None:
        """Return the item nearest to a value, None where there are none."""
        return min(self, key=lambda item: abs(by(item) - value), default=None)


class Curves:
    """The histories of K networks, thinned. An entry holds the columns (K,), with NaN for networks that have ended."""

    def __init__(self, networks: int) -> None:
        self.networks = networks
        self.entries = Thinned[Mapping[str, NDArray[np.float64]]](MOST_ENTRIES)
        self.last: dict[str, NDArray[np.float64]] = {}

    def add(self, columns: Mapping[str, NDArray[np.float64]], at: NDArray[np.int64]) -> None:
        """Add an entry of the networks at these positions; it repeats the last values of the others."""
        entry = {}
        for name, values in columns.items():
            if name in ("step", "epoch"):
                entry[name] = np.full(self.networks, float(values.max()))
            else:
                entry[name] = self.last[name].copy() if name in self.last else np.full(self.networks, np.nan)
                entry[name][at] = values
        self.last = entry
        self.entries.add(entry)

    def of(self, network: int) -> dict[str, list[float]]:
        """Return the columns of one network."""
        entries = list(self.entries)
        return {name: [float(entry[name][network]) for entry in entries if name in entry] for name in self.last}


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """The weights of all networks after some steps."""

    step: int
    epoch: float
    weights: Weights

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(flat.nbytes + statistics.nbytes for flat, statistics in self.weights)
