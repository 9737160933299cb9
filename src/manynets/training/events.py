"""What observers of a training run are told. Events are read-only; an observer is any function that takes one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeAlias

__all__ = ["Advanced", "Evaluated", "Event", "Finished", "Observer", "Started"]


@dataclasses.dataclass(frozen=True)
class Started:
    """Training begins: how many networks, and how many steps and epochs the longest of them will make at most."""

    networks: int
    steps: int
    steps_per_epoch: int
    metric: str


@dataclasses.dataclass(frozen=True)
class Advanced:
    """Some steps were made: `step` so far, of the longest network's `steps`."""

    step: int


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """The history got an entry: for each network still alive, by its number, the entry's columns and values."""

    step: int
    entries: Mapping[int, Mapping[str, float]]
    alive: int


@dataclasses.dataclass(frozen=True)
class Finished:
    """Training is over after `seconds`; `diverged` networks stopped because their loss was not finite."""

    seconds: float
    diverged: tuple[int, ...]


Event: TypeAlias = Started | Advanced | Evaluated | Finished
Observer: TypeAlias = Callable[[Event], None]
