"""A deadline by a clock of its own: training ends in time, whatever a step takes."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import sklearn.linear_model

import manynets as mn
from manynets import fitting
from manynets.results import PREDICTED
from manynets.tabular import timing, train_tabular
from manynets.training.deadline import Deadline
from manynets.training.groups import train_members
from tests.training.problems import member_of, problem_of

STEPS, EVERY = 600, 25
random = np.random.default_rng(0)
X = random.standard_normal((400, 3))
Y = X[:, 0] + 0.1 * random.standard_normal(400)


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


@pytest.mark.parametrize(
    ("limit", "timed", "steps", "evaluations"),
    [(50.0, 5.1, 334, 21), (100.0, 5.1, STEPS, 24), (10.0, 1.2, 63, 3), (0.5, 1.2, 24, 1)],
)
def test_as_many_steps_as_fit_beside_the_evaluations(
    limit: float, timed: float, steps: int, evaluations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(lambda step: 0.1, evaluation=0.5)

    def training(problem: Any, members: Any, callbacks: Any) -> None:
        train_members(problem, members, callbacks=[clock, *callbacks])
        clock.step = 0

    monkeypatch.setattr(timing, "train_members", training)
    problem, members = _planned()
    problem, members, deadline = timing.within(problem, members, Deadline(limit, clock=clock))
    assert round(clock.now, 6) == timed  # two steps and evaluations, and if there is time 24 steps and three evaluations
    recipe = members[0].recipe
    assert abs(recipe.iterations - steps) <= 1  # beside the evaluations, and the time of two more is left over
    assert recipe.evaluate_every == math.ceil(recipe.iterations / evaluations)
    assert math.isclose(deadline.end, limit - 2 * 0.5 if limit > 1 else timed + 24 * 0.1 + 0.5)
    train_members(problem, members, callbacks=[clock], deadline=deadline)
    assert clock.now <= max(limit, timed + 24 * 0.1 + 0.5)


@pytest.mark.parametrize("own", [False, True], ids=["folds", "a set of its own"])
def test_where_steps_have_to_be_left_out_so_are_rows_to_validate_on(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "FEWEST_VALIDATED", 10)
    problem, members = _planned()
    held_out = np.arange(60, 80)
    if own:
        problem = dataclasses.replace(problem, validation=problem.rows)
    else:
        members = [dataclasses.replace(member, rows=np.arange(60), validation_rows=held_out) for member in members]
    clock = Clock(lambda step: 0.1, evaluation=0.5)
    monkeypatch.setattr(timing, "paces", lambda problem, members, limit: (0.1, 0.5))
    shorter, fewer, _ = timing.within(problem, members, Deadline(1 + 24.0, clock=clock))
    if own:
        assert len(shorter.validation) == 40  # half of the evaluations take a quarter of the time
    else:
        assert [member.validation_rows.tolist() for member in fewer] == [held_out[[0, 2, 4, 6, 8, 10, 12, 14, 16, 19]].tolist()] * 2
    assert fewer[0].recipe.evaluate_every == math.ceil(fewer[0].recipe.iterations / 24)
    same, all_of_them, _ = timing.within(problem, members, Deadline(100.0, clock=clock))
    assert same is problem
    assert all_of_them == members


def test_the_ensemble_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "FEWEST_VALIDATED", 10)
    monkeypatch.setattr(timing, "paces", lambda problem, members, limit: (0.1, 0.5))
    clock = Clock(lambda step: 0.1, evaluation=0.2)
    fit = train_tabular(X, Y, n_networks=2, time_limit=20.0, clock=clock, callbacks=[clock], progress=False)
    assert 18.0 <= clock.now <= 22.0
    assert fit.model.history["step"][-1] < 250
    assert np.isfinite(fit.out_of_fold).all()  # also of rows that were not validated on, to save time
    assert np.corrcoef(fit.model.predict(X), Y)[0, 1] > 0.9


def test_a_limit_that_is_over_before_the_first_step_is_told_and_as_little_as_possible_is_done() -> None:
    with pytest.warns(UserWarning, match=r"time_limit is 5 s, but .* took 6 s: the networks make 24 of 1500 steps"):
        fit = _late(X, Y)
    assert 1 < fit.model.history["step"][-1] <= 24
    assert fit.model.residuals[0].rows == PREDICTED  # not all of the rows that were held out
    assert np.isfinite(fit.out_of_fold).all()
    assert np.corrcoef(fit.model.predict(X), Y)[0, 1] > 0.5


def test_a_small_table_has_linear_models_where_the_limit_is_over_before_the_first_step() -> None:
    with pytest.warns(UserWarning, match="took 6 s: the networks make 1 of 1500 steps, beside linear models"):
        fit = _late(X[:100], Y[:100])
    assert _units(fit) == [2, 2]  # the better ones
    assert fit.model.history["step"] == [1.0]
    assert np.corrcoef(fit.model.predict(X[100:200]), Y[100:200])[0, 1] > 0.95


def _late(x: Any, y: Any) -> Any:
    """Return the ensemble trained within 5 seconds of which 6 are over, by a clock, before it begins."""
    times = itertools.chain([0.0], itertools.repeat(6.0))
    return train_tabular(x, y, n_networks=2, time_limit=5.0, clock=lambda: next(times), progress=False)


def _units(fit: Any) -> list[int]:
    """Return how many units of the first layer each network uses: a linear model of a number two."""
    return [int(member["hidden0.weight"].any(axis=1).sum()) for member in fit.model.members]


def test_linear_models_that_take_too_long_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manynets.tabular.training.LINEAR", 0.01)
    fitted, kind = [], sklearn.linear_model.RidgeCV
    monkeypatch.setattr(sklearn.linear_model, "RidgeCV", lambda **options: fitted.append(1) or kind(**options))
    times = itertools.count()  # a second for each time that it is asked
    fit = train_tabular(X[:100], Y[:100], n_networks=6, time_limit=200.0, clock=lambda: float(next(times)), progress=False)
    assert len(fitted) < 3
    assert _units(fit) == [128] * 6
    fitted.clear()
    times = itertools.chain([0.0], itertools.count(150))  # so late that the fewest steps would take longer
    train_tabular(X[:100], Y[:100], n_networks=6, time_limit=200.0, clock=lambda: float(next(times)), progress=False)
    assert len(fitted) == 6


def test_a_share_of_the_time_that_is_left() -> None:
    now = [10.0]
    deadline = Deadline(20.0, clock=lambda: now[0])
    late = deadline.share(0.5)
    now[0] = 15.0
    assert (late(), deadline.left, deadline.over) == (False, 5.0, False)
    now[0] = 21.0
    assert (late(), deadline.left, deadline.over) == (True, -1.0, True)
    assert not deadline.share(0.5)()  # of no time


def test_a_limit_begins_before_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, limits, read, reading, train = tmp_path / "table.csv", [], [], fitting.read_given, fitting.train_tabular

    def watched(*arguments: Any, **options: Any) -> Any:
        read.append(time.perf_counter())
        return reading(*arguments, **options)

    def training(*arguments: Any, **options: Any) -> Any:
        limits.append(options["began"])
        return train(*arguments, **options)

    monkeypatch.setattr(fitting, "read_given", watched)
    monkeypatch.setattr(fitting, "train_tabular", training)
    polars.DataFrame({"x": X[:100, 0], "y": Y[:100]}).write_csv(path)
    mn.train(path, target="y", preset="fast", n_networks=2, time_limit=60, progress=False)
    assert limits[0] <= read[0]
