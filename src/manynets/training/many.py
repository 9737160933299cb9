"""Train members that may differ in anything: they are grouped by what a shared step needs, and each group is one Run."""

from __future__ import annotations

from collections.abc import Sequence


from manynets.training.events import Observer
from manynets.training.loop import Run
from manynets.training.members import Member, Outcome, Problem, group_key

__all__ = ["groups_of", "train_members"]


def groups_of(problem: Problem, members: Sequence[Member]) -> list[list[Member]]:
    """Return the members in groups that can share every step, in the order in which each group first appears."""
    groups: dict[tuple[object, ...], list[Member]] = {}
    for member in members:
        validated = problem.validation is not None or member.validation_rows is not None
        groups.setdefault(group_key(member, problem, validated), []).append(member)
    return list(groups.values())


def train_members(problem: Problem, members: Sequence[Member], *, observers: Sequence[Observer] = ()) -> list[Outcome]:
    """Train all members; return their outcomes in their order."""
    outcomes: dict[int, Outcome] = {}
    for group in groups_of(problem, members):
        for outcome in Run(problem, group, observers=observers).run():
            outcomes[outcome.number] = outcome
    return [outcomes[member.number] for member in members]
