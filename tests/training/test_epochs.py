"""Several epochs in one call of the stepper change nothing: not the history, not the weights, not the state of a checkpoint."""

from __future__ import annotations

import dataclasses
import math
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets import core
from manynets.data import batches
from manynets.training import loop, validation
from manynets.training.checkpoint import Checkpoint, Checkpoints, checkpoint_files, read_checkpoint
from manynets.training.deadline import Deadline
from manynets.training.events import Evaluated, Event
from manynets.training.loop import TrainingRun
from manynets.training.signals import Halt, Pace
from manynets.training.steppers import compiled
from manynets.training.steppers.base import Stepper
from manynets.training.trial import Member, Outcome, Problem
from tests.training.problems import member_of, problem_of

STEPPERS = ["autograd", "closed_form", pytest.param("compiled", marks=pytest.mark.skipif(core.load() is None, reason="no core"))]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have a call make up to 30 steps after the first; return the list to which the number of steps of each is added."""
    made: list[int] = []

    def count(stepper: Stepper, rates: Any, alive: Any) -> Any:
        made.append(len(rates))
        return advance[type(stepper)](stepper, rates, alive)

    advance = {kind: kind.advance for kind in Stepper.__subclasses__()}
    for kind in advance:
        monkeypatch.setattr(kind, "advance", count)
    monkeypatch.setattr(Pace, "steps", property(lambda pace: 30 if pace.taken else 1))
    return made


def members_of(problem: Problem, recipe: mn.Recipe, *lrs: float, **options: Any) -> list[Member]:
    spec = mn.MLP(hidden=(5,), batch_norm=options.pop("batch_norm", False), dropout=options.pop("dropout", 0.0))
    optimizers = [dataclasses.replace(recipe.optimizer, lr=lr) for lr in lrs]
    recipes = [dataclasses.replace(recipe, optimizer=one, seed=k) for k, one in enumerate(optimizers)]
    return [member_of(problem, k, spec, one, **options) for k, one in enumerate(recipes)]


def watch(event: Event) -> None:
    """Look at every epoch, as a callback that cannot skip any."""


def assert_same(actual: list[Outcome], expected: list[Outcome]) -> None:
    for one, other in zip(actual, expected, strict=True):
        assert list(one.history) == list(other.history)
        for name in set(one.history) - {"seconds"}:
            np.testing.assert_array_equal(one.history[name], other.history[name], err_msg=name)
        assert len(one.history["seconds"]) == len(other.history["seconds"])
        assert np.all(np.diff(one.history["seconds"]) >= 0)
        for name, value in one.parameters.items():
            np.testing.assert_array_equal(value, other.parameters[name], err_msg=name)
        assert (one.best, one.stopped, one.divergence) == (other.best, other.stopped, other.divergence)


CASES: dict[str, tuple[str, mn.Recipe]] = {
    "adam": ("regression", mn.Recipe(optimizer=mn.Adam(), epochs=9, batch_size=16)),
    "penalised": ("regression2", mn.Recipe(optimizer=mn.NAdam(), epochs=9, batch_size=13, l1=0.01, l2=0.1, watch="objective")),
    "scheduled": ("multiclass", mn.Recipe(optimizer=mn.SGD(momentum=0.9), epochs=9, batch_size=40, schedule=mn.OneCycle())),
    "short": ("binary", mn.Recipe(optimizer=mn.RMSprop(), iterations=31, batch_size=10)),
    "often": ("multilabel", mn.Recipe(optimizer=mn.AdamW(), epochs=6, batch_size=10, evaluate_every=3)),
    "stopping": (
        "regression",
        mn.Recipe(optimizer=mn.Adam(), epochs=40, batch_size=20, stopping=mn.EarlyStopping(patience=4, min_delta=0.3)),
    ),
    "slower": (
        "regression",
        mn.Recipe(optimizer=mn.Adam(), epochs=40, batch_size=20, stopping=mn.EarlyStopping(patience=3, min_delta=0.1, factor=0.5)),
    ),
    "plateau": (
        "binary",
        mn.Recipe(optimizer=mn.SGD(), epochs=40, batch_size=20, schedule=mn.ReduceOnPlateau(patience=2, min_delta=0.01)),
    ),
    "seldom": ("binary", mn.Recipe(optimizer=mn.Adagrad(), epochs=9, batch_size=16, evaluate_every=7, shuffle=False)),
}


@pytest.mark.parametrize("stepper", STEPPERS)
@pytest.mark.parametrize("case", CASES)
def test_the_results_are_those_of_single_epochs(stepper: str, case: str, calls: list[int]) -> None:
    task, recipe = CASES[case]
    problem = problem_of(task, weighted=case == "adam")
    options = {"batch_norm": case == "scheduled", "dropout": 0.3 if case == "often" else 0.0}
    members = members_of(problem, dataclasses.replace(recipe, gradient=stepper), 0.01, 0.03, 0.02, **options)
    expected = TrainingRun(problem, members, callbacks=[watch]).run()
    every = recipe.evaluate_every or -(-40 // (recipe.batch_size or 1))
    assert max(calls) <= every
    assert_same(TrainingRun(problem, members).run(), expected)
    assert max(calls) >= 2 * every


@pytest.mark.parametrize("lrs", [(0.01, 3.0, 1.5, 0.02), (0.01, 0.02, 0.03, 0.04, 0.05, 1.5)])
@pytest.mark.parametrize("stepper", STEPPERS)
def test_a_divergence_is_that_of_single_epochs(stepper: str, lrs: tuple[float, ...], calls: list[int]) -> None:
    problem = problem_of("regression")
    recipe = mn.Recipe(optimizer=mn.SGD(), epochs=40, batch_size=20, gradient=stepper)
    members = members_of(problem, recipe, *lrs)
    expected = TrainingRun(problem, members, callbacks=[watch]).run()
    assert [outcome.stopped for outcome in expected] == ["diverged" if lr > 1 else "done" for lr in lrs]
    assert any(outcome.divergence is not None and outcome.divergence.epoch > 3 for outcome in expected)
    calls.clear()
    assert_same(TrainingRun(problem, members).run(), expected)
    assert calls[-1] > 2  # also while the network that diverged is among the others


def test_a_network_goes_on_after_the_end_of_another_within_an_epoch(calls: list[int]) -> None:
    """One that is late ends one step into an epoch; the other is then evaluated at the end of that epoch."""

    class Late(Deadline):
        def steps_left(self, step: int) -> float:
            return 301.0 if step == 3 else math.inf

    problem = problem_of("binary")
    recipes = [mn.Recipe(epochs=epochs, batch_size=16) for epochs in (106, 400)]
    members = [member_of(problem, k, mn.MLP(hidden=(3,)), recipe) for k, recipe in enumerate(recipes)]
    expected = TrainingRun(problem, members, callbacks=[watch], deadline=Late(math.inf)).run()
    assert [outcome.history["step"][-3:] for outcome in expected] == [[312, 315, 318], [300, 303, 304]]
    calls.clear()
    assert_same(TrainingRun(problem, members, deadline=Late(math.inf)).run(), expected)
    assert max(calls) > 3


@pytest.mark.skipif(core.load() is None, reason="no core")
def test_orders_are_drawn_in_parts_that_fit_the_memory(calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of("binary")
    members = members_of(problem, mn.Recipe(epochs=9, batch_size=16), 0.01, 0.02)
    expected = TrainingRun(problem, members).run()
    monkeypatch.setattr(batches, "ORDERED", 170)  # two epochs of two orders of 40 rows
    assert_same(TrainingRun(problem, members).run(), expected)


def test_who_looks_in_between_is_asked(calls: list[int]) -> None:
    problem = problem_of("binary")
    plain = mn.Recipe(epochs=9, batch_size=16)
    rows = {"rows": np.arange(30), "validation_rows": np.arange(30, 40)}
    TrainingRun(problem, members_of(problem, plain, 0.01, **rows)).run()
    assert max(calls) <= 3
    seen: list[int] = []

    class Skipping:
        may_skip = True

        def __call__(self, event: Event) -> None:
            seen.extend([event.step] if isinstance(event, Evaluated) else [])

    outcome = TrainingRun(problem, members_of(problem, plain, 0.01), callbacks=[Skipping()]).run()[0]
    assert max(calls) == 24
    assert seen == [3, 27]
    assert outcome.history["step"] == list(range(3, 28, 3))


@pytest.mark.parametrize("stepper", STEPPERS)
@pytest.mark.parametrize("asked_in", [7, 8])
def test_a_stop_waits_for_one_call_of_50_ms_at_most(stepper: str, asked_in: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of the test's own: of four calls in a row, one takes four times as long for a step, as on a busy machine."""
    now, taken = [0.0], list[float]()
    advance = {kind: kind.advance for kind in Stepper.__subclasses__()}

    def timed(one: Stepper, rates: Any, alive: Any) -> Any:
        run.halt.asked, run.halt.signal = len(taken) == asked_in, signal.SIGINT
        log = advance[type(one)](one, rates, alive)
        taken.append(len(rates) * (0.0005 if len(taken) % 4 else 0.002))
        now[0] += taken[-1]
        return log

    for kind in advance:
        monkeypatch.setattr(kind, "advance", timed)
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    problem = problem_of("binary")
    run = TrainingRun(problem, members_of(problem, mn.Recipe(epochs=40, batch_size=8, gradient=stepper), 0.01, 0.02))
    assert [outcome.stopped for outcome in run.run()] == ["interrupted"] * 2
    assert len(taken) == asked_in + 1
    assert 0.001 < taken[1] < max(taken) <= 0.05


@pytest.mark.parametrize("stepper", STEPPERS)
def test_a_stop_within_an_evaluation(stepper: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The evaluation is left unfinished, and the resumed run makes up for it."""
    monkeypatch.setattr(compiled, "EVALUATED", 1)
    monkeypatch.setattr(compiled, "EVALUATED_ROWS", 1)
    monkeypatch.setattr(validation, "SCORES_AT_ONCE", 1)
    problem = problem_of("binary")
    rows = {"rows": np.arange(30), "validation_rows": np.arange(30, 40)}
    members = members_of(problem, mn.Recipe(epochs=5, batch_size=8, gradient=stepper), 0.01, 0.02, **rows)
    plain = TrainingRun(problem, members).run()
    asked: list[Halt] = []

    def overdue(halt: Halt) -> bool:
        asked.append(halt)
        halt.asked, halt.signal = len(asked) > 2 * 9 + 4, signal.SIGINT  # in the third evaluation of ten rows
        return halt.asked

    def keeper(resume: Path | None) -> Checkpoints:
        return Checkpoints(problem, members, checkpoint=Checkpoint(folder=tmp_path), resume=resume, system={})

    monkeypatch.setattr(Halt, "overdue", overdue)
    stopped = TrainingRun(problem, members, keeper=keeper(None)).run()
    assert [outcome.stopped for outcome in stopped] == ["interrupted"] * 2
    assert [outcome.history["step"] for outcome in stopped] == [[4.0, 8.0]] * 2
    assert [path.name for path in checkpoint_files(tmp_path)] == ["step-000000012.checkpoint"]
    monkeypatch.setattr(Halt, "overdue", lambda halt: False)
    assert_same(TrainingRun(problem, members, keeper=keeper(tmp_path)).run(), plain)


@pytest.mark.parametrize("every", [{"every_epochs": 2}, {"every_steps": 7}])
def test_checkpoints_are_those_of_single_epochs(every: dict[str, int], calls: list[int], tmp_path: Path) -> None:
    problem = problem_of("binary")
    members = members_of(problem, mn.Recipe(epochs=9, batch_size=16), 0.01, 0.02)
    found = []
    for name, callbacks in (("single", [watch]), ("several", [])):
        checkpoint = Checkpoint(folder=tmp_path / name, keep=99, **every)
        keeper = Checkpoints(problem, members, checkpoint=checkpoint, resume=None, system={})
        TrainingRun(problem, members, callbacks=callbacks, keeper=keeper).run()
        found.append([read_checkpoint(path)[0] for path in checkpoint_files(tmp_path / name)])
    for one, other in zip(*found, strict=True):
        assert one.step == other.step
        assert list(one.tensors) == list(other.tensors)
        for name in set(one.tensors) - {name for name in one.tensors if name.endswith("history/seconds")}:
            np.testing.assert_array_equal(one.tensors[name], other.tensors[name], err_msg=name)


def test_numbers_of_any_size() -> None:
    """A whole number may be larger than the integers of an array: such a step is never reached. The length of a training has a limit."""
    X = np.random.default_rng(0).normal(size=(20, 2))
    y = X[:, 0]
    plain = mn.train(X, y, mn.MLP(hidden=(3,)), mn.Recipe(epochs=2), scaling=False)
    for recipe in (mn.Recipe(epochs=2, evaluate_every=10**30), mn.Recipe(epochs=2, schedule=mn.StepDecay(every=10**30))):
        model = mn.train(X, y, mn.MLP(hidden=(3,)), recipe, scaling=False)
        np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    stopping = mn.EarlyStopping(patience=1, min_delta=1e9)
    for recipe in (mn.Recipe(epochs=10**12, stopping=stopping), mn.Recipe(iterations=10**12, stopping=stopping)):
        assert len(mn.train(X, y, mn.MLP(hidden=(3,)), recipe, scaling=False).history["loss"]) == 2
    for name in ("epochs", "iterations"):
        with pytest.raises(mn.OptionError, match=f"Recipe.{name} is 9.*0, but must be a whole number from 1 to 1,000,000,000,000"):
            mn.Recipe(**{name: 9 * 10**40})
    with pytest.raises(mn.OptionError, match=r"max_iter is 9.*0, but must be a whole number from 1 to 1,000,000,000,000"):
        mn.MLPRegressor(max_iter=9 * 10**40).fit(X, y)
