"""How many steps the default ensemble makes where a time limit leaves too little time for all."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from manynets.training.deadline import Deadline
from manynets.training.events import Advanced, Evaluated, Event
from manynets.training.groups import train_members
from manynets.training.trial import Member, Problem

TIMED, BETWEEN, FEWEST_STEPS = 24, 8, 24  # steps that are timed, those between two evaluations, and the fewest that are made
AFTERWARDS = 2  # evaluations that what comes after the training takes


def within(
    problem: Problem, members: Sequence[Member], end: float, *, clock: Callable[[], float] = time.perf_counter
) -> tuple[list[Member], Deadline]:
    """Return the networks with as many steps as fit until `end`, of those that they were to make, and a deadline for their training.

    A few steps and evaluations are made to time them. The deadline shortens the training again where the machine becomes slower.
    """
    recipe = members[0].recipe
    assert recipe.iterations is not None
    assert recipe.evaluate_every is not None
    step, evaluation = _paces(problem, members, clock)
    evaluations = -(-recipe.iterations // recipe.evaluate_every)
    left = end - clock() - (evaluations + AFTERWARDS) * evaluation
    steps = int(min(max(left / step if step else float("inf"), FEWEST_STEPS), recipe.iterations))
    return _with_length(members, steps, -(-steps // evaluations)), Deadline(end - AFTERWARDS * evaluation, clock=clock)


def _paces(problem: Problem, members: Sequence[Member], clock: Callable[[], float]) -> tuple[float, float]:
    """Return the seconds of a step and of an evaluation. What comes with the first ones is not timed."""
    advanced, evaluated = 0.0, [0.0]
    seconds: list[tuple[float, float]] = []

    def watch(event: Event) -> None:
        nonlocal advanced
        if isinstance(event, Advanced):
            advanced = clock()
        elif isinstance(event, Evaluated):
            evaluated.append(clock())
            seconds.append((advanced - evaluated[-2], evaluated[-1] - advanced))

    train_members(problem, _with_length(members, TIMED, BETWEEN), callbacks=[watch])
    steps, evaluations = zip(*seconds[1:], strict=True)
    return sum(steps) / len(steps) / BETWEEN, sum(evaluations) / len(evaluations)


def _with_length(members: Sequence[Member], steps: int, every: int) -> list[Member]:
    return [
        dataclasses.replace(member, recipe=dataclasses.replace(member.recipe, iterations=steps, evaluate_every=every))
        for member in members
    ]
