"""Train members that may differ in anything: grouped by what a shared step needs, each group a Run, split to fit the memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import torch
from torch import nn

from manynets.errors import ManynetsError
from manynets.nn.population import Shape
from manynets.training.events import Advanced, Event, Finished, Observer, Started
from manynets.training.loop import Run
from manynets.training.members import Member, Outcome, Problem, batch_rows, group_key

__all__ = ["Failure", "groups_of", "memory_at_hand", "network_bytes", "train_members", "train_what_can"]


@dataclasses.dataclass(frozen=True)
class Failure:
    """A member that could not be trained, and why."""

    number: int
    error: Exception


def groups_of(problem: Problem, members: Sequence[Member]) -> list[list[Member]]:
    """Return the members in groups that can share every step, in the order in which each group first appears.

    Within a group, members with the same optimizer and schedule are neighbours: their updates can share a kernel.
    """
    groups: dict[tuple[object, ...], list[Member]] = {}
    for member in members:
        validated = problem.validation is not None or member.validation_rows is not None
        groups.setdefault(group_key(member, problem, validated), []).append(member)
    alike: dict[object, int] = {}
    for member in members:
        alike.setdefault((member.recipe.optimizer, member.recipe.schedule, member.recipe.epochs), len(alike))
    for group in groups.values():
        group.sort(key=lambda m: alike[m.recipe.optimizer, m.recipe.schedule, m.recipe.epochs])
    return list(groups.values())


def network_bytes(member: Member, problem: Problem) -> int:
    """Return roughly what one more network of this kind takes while it trains: parameters, their companions, its batches."""
    if isinstance(member.spec, nn.Module):
        return 0
    x = problem.rows.x
    shape = Shape.of(member.spec, x.shape[1], problem.task.outputs)
    rows = batch_rows(member.recipe, len(problem.rows) if member.rows is None else len(member.rows))
    parameters = shape.multiplications + sum(shape.hidden) + shape.out_features
    units = shape.in_features + shape.out_features + 4 * sum(shape.hidden)
    return x.element_size() * (8 * parameters + 2 * rows * units)


def memory_at_hand(device: torch.device) -> int:
    """Return the bytes that training may take on this device: half of what is free."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):  # not told by this system
        return 2 << 30


def train_members(
    problem: Problem, members: Sequence[Member], *, observers: Sequence[Observer] = (), memory_limit: int | None = None
) -> list[Outcome]:
    """Train all members; return their outcomes in their order. What cannot be trained raises its error.

    memory_limit: bytes; a group that would take more is split and its parts are trained one after the other.
    """
    results = train_what_can(problem, members, observers=observers, memory_limit=memory_limit)
    for result in results:
        if isinstance(result, Failure):
            raise result.error
    return [result for result in results if isinstance(result, Outcome)]


def train_what_can(
    problem: Problem, members: Sequence[Member], *, observers: Sequence[Observer] = (), memory_limit: int | None = None
) -> list[Outcome | Failure]:
    """Train as `train_members`, but a member that cannot be trained (an option that does not fit its data, too little memory)
    becomes a Failure, and the others are trained all the same."""
    limit = memory_at_hand(problem.rows.x.device) if memory_limit is None else memory_limit
    results: dict[int, Outcome | Failure] = {}
    fit: list[Member] = []
    for member in members:
        try:
            group_key(member, problem, False)
        except ManynetsError as error:
            results[member.number] = Failure(member.number, error)
        else:
            fit.append(member)
    waiting = []
    for group in groups_of(problem, fit):
        size = max(1, min(len(group), int(limit // max(1, network_bytes(group[0], problem)))))
        parts = -(-len(group) // size)
        waiting += [group[i * len(group) // parts : (i + 1) * len(group) // parts] for i in range(parts)]
    relay = _Relay(problem, waiting, observers) if len(waiting) > 1 else None
    while waiting:
        group = waiting.pop(0)
        try:
            outcomes = Run(problem, group, observers=observers if relay is None else [relay]).run()
        except (ManynetsError, MemoryError, RuntimeError) as error:
            if len(group) > 1:  # find out which one it is, or train fewer at a time
                waiting[:0] = [group[: len(group) // 2], group[len(group) // 2 :]]
            else:
                results[group[0].number] = Failure(group[0].number, error)
        else:
            if relay is not None:
                relay.done(group)
            results |= {outcome.number: outcome for outcome in outcomes}
    if relay is not None:
        relay.finish()
    return [results[member.number] for member in members]


class _Relay:
    """Tells the observers of several groups as of one run: steps count networks x steps, and it starts and finishes once."""

    def __init__(self, problem: Problem, groups: Sequence[Sequence[Member]], observers: Sequence[Observer]) -> None:
        self.observers = list(observers)
        self.metric = problem.task.metric
        self.before = 0
        self.seconds = 0.0
        self.diverged: tuple[int, ...] = ()
        self.networks = sum(map(len, groups))
        self.started = False
        self.share = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            if not self.started:
                self.started = True
                self._tell(Started(self.networks, self.networks, 1, self.metric))
            self.share = event.networks
            self.steps = max(event.steps, 1)
        elif isinstance(event, Advanced):
            self._tell(Advanced(self.before + self.share * event.step // self.steps))
        elif isinstance(event, Finished):
            self.seconds += event.seconds
            self.diverged += event.diverged
        else:
            self._tell(event)

    def done(self, group: Sequence[Member]) -> None:
        """Count a group as trained."""
        self.before += len(group)
        self._tell(Advanced(self.before))

    def finish(self) -> None:
        """Tell that all groups are done."""
        self._tell(Finished(self.seconds, self.diverged))

    def _tell(self, event: Event) -> None:
        for observer in self.observers:
            observer(event)
