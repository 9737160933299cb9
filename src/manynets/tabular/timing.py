"""How many steps the default ensemble makes where a time limit leaves too little time for all."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.data.batches import Rows
from manynets.training.deadline import Deadline
from manynets.training.events import Advanced, Evaluated, Event
from manynets.training.groups import train_members
from manynets.training.trial import Member, Problem

TIMED, BETWEEN, FEWEST_STEPS = 24, 8, 24  # steps that are timed, those between two evaluations, and the fewest that are made
TIMED_ROWS = 256  # to validate on, of each network, while steps are timed
AFTERWARDS = 2  # evaluations of all rows that what comes after the training takes
SHARE = 0.25  # of the time left that evaluations take at most, where steps have to be left out
FEWEST_VALIDATED = 1000  # rows of each network that are then left to validate on, at least
TIMING = 0.1  # of the time left that timing takes at most, unless two steps take longer


def within(
    problem: Problem, members: Sequence[Member], limit: Deadline, *, fewest: int = FEWEST_STEPS
) -> tuple[Problem, list[Member], Deadline]:
    """Return the networks with as many of their steps as fit into the limit, and a deadline for their training.

    A few steps and evaluations are made to time them. Where steps have to be left out, so are evaluations and rows to validate on, which may be
    those of the problem, until they take a quarter of the time. The deadline shortens the training again where the machine becomes slower, but it
    leaves time for `fewest` steps, however little there is.
    """
    recipe = members[0].recipe
    assert recipe.iterations is not None
    assert recipe.evaluate_every is not None
    step, evaluation = paces(problem, members, limit)
    planned, rows = -(-recipe.iterations // recipe.evaluate_every), _validated(problem, members)
    left = limit.left - AFTERWARDS * evaluation
    if recipe.iterations * step + planned * evaluation <= left:
        return problem, list(members), Deadline(limit.end - AFTERWARDS * evaluation, clock=limit.clock)
    affordable = max(SHARE * left, 0.0) / evaluation if evaluation else float("inf")  # evaluations of all rows
    share = min(1.0, max(affordable / planned, FEWEST_VALIDATED / rows))
    evaluations = int(min(max(affordable / share, 1), planned))
    room = max(left - evaluations * share * evaluation, 0.0)
    steps = int(min(max(room / step if step else recipe.iterations * (room > 0), fewest), recipe.iterations))
    problem, members = _validated_on(problem, members, math.ceil(share * rows))
    least = limit.clock() + fewest * step + share * evaluation
    end = max(limit.end - AFTERWARDS * evaluation, least)
    return problem, _with_length(members, steps, -(-steps // evaluations)), Deadline(end, clock=limit.clock)


def paces(problem: Problem, members: Sequence[Member], limit: Deadline) -> tuple[float, float]:
    """Return the seconds of a step, and of an evaluation of all rows: of two steps, or where that takes little time of more."""
    rows = _validated(problem, members)
    few = min(TIMED_ROWS, rows)
    problem, members = _validated_on(problem, members, few)
    step, evaluation = _timed(problem, members, 2, 1, limit.clock)
    if TIMED * step + TIMED / BETWEEN * evaluation <= TIMING * limit.left:
        step, evaluation = _timed(problem, members, TIMED, BETWEEN, limit.clock)
    return step, evaluation * rows / few


def _timed(problem: Problem, members: Sequence[Member], steps: int, every: int, clock: Callable[[], float]) -> tuple[float, float]:
    """Return the seconds of a step and of an evaluation. The first of each, which take longer, are not timed."""
    advanced, evaluated = 0.0, [0.0]
    seconds: list[tuple[float, float]] = []

    def watch(event: Event) -> None:
        nonlocal advanced
        if isinstance(event, Advanced):
            advanced = clock()
        elif isinstance(event, Evaluated):
            evaluated.append(clock())
            seconds.append((advanced - evaluated[-2], evaluated[-1] - advanced))

    train_members(problem, _with_length(members, steps, every), callbacks=[watch])
    each, evaluations = zip(*seconds[1:], strict=True)
    return sum(each) / len(each) / every, sum(evaluations) / len(evaluations)


def _validated(problem: Problem, members: Sequence[Member]) -> int:
    """Return the largest number of rows that a network validates on; 1 if none has any."""
    if problem.validation is not None:
        return len(problem.validation)
    return max(1 if member.validation_rows is None else len(member.validation_rows) for member in members)


def _validated_on(problem: Problem, members: Sequence[Member], rows: int) -> tuple[Problem, list[Member]]:
    """Return the problem and the networks with at most so many of their validation rows, evenly spread."""
    own = problem.validation
    if own is not None and len(own) > rows:
        some = torch.from_numpy(spread_rows(np.arange(len(own)), rows)).to(own.x.device)
        own = Rows(own.x[some], own.target[some], None if own.weight is None else own.weight[some])
        return dataclasses.replace(problem, validation=own), list(members)
    kept = [None if member.validation_rows is None else spread_rows(member.validation_rows, rows) for member in members]
    return problem, [dataclasses.replace(member, validation_rows=some) for member, some in zip(members, kept, strict=True)]


def spread_rows(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return so many of the rows, evenly spread."""
    return rows if len(rows) <= count else rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]


def _with_length(members: Sequence[Member], steps: int, every: int) -> list[Member]:
    return [
        dataclasses.replace(member, recipe=dataclasses.replace(member.recipe, iterations=steps, evaluate_every=every))
        for member in members
    ]
