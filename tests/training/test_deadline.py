"""A deadline by a clock of its own: training ends in time, whatever a step takes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.tabular import timing, train_tabular
from manynets.training.deadline import Deadline
from manynets.training.groups import train_members
from tests.training.problems import member_of, problem_of

STEPS, EVERY = 600, 25
random = np.random.default_rng(0)
X = random.standard_normal((200, 3))
Y = X[:, 0] + 0.1 * random.standard_normal(200)


class Clock:
    """A clock that training moves on: by so many seconds for each step, as `pace` says, and for each evaluation."""

    def __init__(self, pace: Any, *, evaluation: float = 0.0) -> None:
        self.pace, self.evaluation, self.now, self.step = pace, evaluation, 0.0, 0

    def __call__(self, event: Any = None) -> float:
        if isinstance(event, mn.Advanced):
            self.now += sum(self.pace(step) for step in range(self.step, event.step))
            self.step = event.step
        elif isinstance(event, mn.Evaluated):
            self.now += self.evaluation
        return self.now


def _planned() -> tuple[Any, Any]:
    problem = problem_of("regression", rows=80, columns=3)
    recipe = mn.Recipe(schedule=mn.Cosine(warmup=0.05), iterations=STEPS, evaluate_every=EVERY, batch_size=10, dtype="float64")
    return problem, [member_of(problem, k, mn.MLP(hidden=(4,)), recipe) for k in range(2)]


def _trained(pace: Any, end: float) -> tuple[Clock, Any]:
    problem, members = _planned()
    clock = Clock(pace)
    return clock, train_members(problem, members, callbacks=[clock], deadline=Deadline(end, clock=clock))


@pytest.mark.parametrize("limit", [10.0, 30.0, 45.0])
def test_a_training_that_is_too_long_ends_in_time(limit: float) -> None:
    clock, outcomes = _trained(lambda step: 0.1, limit)
    assert 0.9 * limit <= clock.now <= 1.1 * limit
    rates = np.array(outcomes[0].history["lr"])
    assert rates[-1] < 0.03 * rates.max()  # it has fallen to the end of its line
    assert (np.diff(rates[1:]) < 0).all()


def test_a_machine_that_becomes_slower() -> None:
    clock, _ = _trained(lambda step: 0.1 if step < 200 else 0.3, 60.0)
    assert 54.0 <= clock.now <= 66.0


def test_a_training_that_is_short_enough_is_left_alone() -> None:
    clock, outcomes = _trained(lambda step: 0.1, 60.0)
    _, free = _trained(lambda step: 0.0, math.inf)
    assert clock.step == STEPS
    assert outcomes[0].history["lr"] == free[0].history["lr"]
    assert outcomes[0].history["loss"] == free[0].history["loss"]


def test_no_time_at_all() -> None:
    clock, outcomes = _trained(lambda step: 0.1, 0.5)
    assert clock.step == EVERY
    assert outcomes[0].best == 0


@pytest.mark.parametrize(("limit", "steps"), [(50.0, 331), (90.0, STEPS), (10.0, 24)])
def test_as_many_steps_as_fit_beside_the_evaluations(limit: float, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(lambda step: 0.1, evaluation=0.5)

    def timed(problem: Any, members: Any, callbacks: Any) -> None:
        train_members(problem, members, callbacks=[clock, *callbacks])
        assert (clock.step, round(clock.now, 6)) == (24, 3.9)  # three evaluations
        clock.step = 0

    monkeypatch.setattr(timing, "train_members", timed)
    problem, members = _planned()
    members, deadline = timing.within(problem, members, limit, clock=clock)
    recipe = members[0].recipe
    assert abs(recipe.iterations - steps) <= 1  # of 24 evaluations, and the time of two more is left over
    assert recipe.evaluate_every == math.ceil(recipe.iterations / 24)
    assert deadline.end == limit - 2 * 0.5
    train_members(problem, members, callbacks=[clock], deadline=deadline)
    assert clock.now <= max(limit, 3.9 + 24 * 0.6)


def test_the_ensemble_of_a_table() -> None:
    clock = Clock(lambda step: 0.1)
    fit = train_tabular(X, Y, n_networks=2, time_limit=20.0, clock=clock, callbacks=[clock], progress=False)
    assert 18.0 <= clock.now <= 22.0
    assert fit.model.history["step"][-1] < 250
    assert np.corrcoef(fit.model.predict(X), Y)[0, 1] > 0.9
