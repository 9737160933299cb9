"""Which stepper trains a network, how many threads torch is given, and that both are recorded and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import manynets as mn
from manynets import core
from manynets.training import threads
from manynets.training.checkpoint import Checkpoint
from manynets.training.history import Sums
from manynets.training.loop import TrainingRun
from manynets.training.steppers.choice import choose
from manynets.training.steppers.compiled import Compiled
from tests.training.problems import member_of, problem_of

X = np.random.default_rng(0).standard_normal((64, 4))
Y = X[:, 0] + X[:, 1] ** 2

compiled = pytest.mark.skipif(core.load() is None, reason="there is no compiled core")


def chosen(spec: mn.MLP, **recipe: Any) -> str:
    problem = problem_of("binary", rows=600, columns=30, dtype=torch.float64 if recipe.get("dtype") == "float64" else torch.float32)
    return choose(problem, member_of(problem, 0, spec, mn.Recipe(**recipe)))


@compiled
def test_small_networks_go_to_the_core_and_large_ones_to_torch() -> None:
    assert chosen(mn.MLP(hidden=(16,))) == "compiled"
    assert chosen(mn.MLP(hidden=(256, 256)), batch_size=128) == "compiled"
    assert chosen(mn.MLP(hidden=(1024, 1024)), batch_size=20) == "closed_form"
    assert chosen(mn.MLP(hidden=(512, 512)), batch_size=200) == "compiled"
    assert chosen(mn.MLP(hidden=(512, 512)), batch_size=200, dtype="float64") == "closed_form"
    assert chosen(mn.MLP(hidden=(512, 512)), batch_size=512) == "closed_form"


@compiled
def test_the_core_is_asked_to_evaluate_no_more_rows_than_there_are() -> None:
    """It would go through all of them, a hundred at a time, and start threads for them."""
    problem = problem_of("binary")
    rows = [{"rows": np.arange(30), "validation_rows": np.arange(30, stop)} for stop in (40, 37)]
    members = [member_of(problem, k, mn.MLP(hidden=(3,)), mn.Recipe(gradient="compiled"), **one) for k, one in enumerate(rows)]
    stepper = TrainingRun(problem, members).stepper
    assert isinstance(stepper, Compiled)
    assert stepper.held_out is not None
    assert stepper.held_out.count == 10


def test_what_the_recipe_asks_for() -> None:
    for gradient in ("compiled", "closed_form", "autograd"):
        assert chosen(mn.MLP(hidden=(4,)), gradient=gradient) == gradient
    assert chosen(mn.MLP(hidden=(4,)), precision="bf16") == "autograd"


def test_without_the_core_torch_does_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    with_core = mn.train(X, Y, mn.MLP(hidden=(5,)), mn.Recipe(epochs=3, dtype="float64"), scaling=False, progress=False)
    monkeypatch.setenv("MANYNETS_NO_CORE", "1")
    without = mn.train(X, Y, mn.MLP(hidden=(5,)), mn.Recipe(epochs=3, dtype="float64"), scaling=False, progress=False)
    assert without.info["stepper"] == "closed_form"
    assert without.info["core"] == "no compiled core"
    np.testing.assert_allclose(without.history["loss"], with_core.history["loss"], rtol=1e-12)


def test_a_core_that_is_asked_for_but_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYNETS_NO_CORE", "1")
    with pytest.raises(mn.OptionError, match="gradient is 'compiled', but there is no compiled core here"):
        mn.train(X, Y, mn.MLP(hidden=(5,)), mn.Recipe(epochs=1, gradient="compiled"), scaling=False, progress=False)


@compiled
def test_the_choice_does_not_depend_on_how_many_train(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of("binary", rows=300)
    recipe = mn.Recipe(epochs=1, dtype="float64")
    one = TrainingRun(problem, [member_of(problem, 0, mn.MLP(hidden=(8,)), recipe)])
    many = TrainingRun(problem, [member_of(problem, k, mn.MLP(hidden=(8,)), recipe) for k in range(50)])
    assert one.stepper.name == many.stepper.name == "compiled"


@pytest.mark.parametrize("gradient", ["compiled", "closed_form", "autograd"])
def test_stepper_and_threads_are_recorded(gradient: Any, tmp_path: Path) -> None:
    recipe = mn.Recipe(epochs=2, gradient=gradient)
    model = mn.train(X, Y, mn.MLP(hidden=(5,)), recipe, scaling=False, progress=False, checkpoint=Checkpoint(folder=tmp_path))
    assert (model.info["stepper"], model.info["threads"]) == (gradient, 1)
    again = mn.train(X, Y, mn.MLP(hidden=(5,)), recipe, scaling=False, progress=False, resume=tmp_path)
    assert (again.info["stepper"], again.info["threads"]) == (gradient, 1)


@pytest.mark.parametrize(("one", "two", "expected"), [(1.0, 0.6, 2), (1.0, 0.9, 1), (1.0, 5.0, 1)])
def test_threads_are_no_more_than_help(one: float, two: float, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now, threads_now, used = [0.0], [2], []

    def use(count: int) -> None:
        threads_now[0] = count
        used.append(count)

    def multiply(*_: Any, **__: Any) -> None:
        now[0] += {1: one, 2: two}[threads_now[0]]

    monkeypatch.setattr(threads, "most_threads", lambda: 2)
    monkeypatch.setattr(threads.torch, "set_num_threads", use)
    monkeypatch.setattr(threads, "multiply", multiply)
    monkeypatch.setattr(threads.time, "perf_counter", lambda: now[0])
    assert threads.best_threads(100, 32, 10, torch.float32, steps=10**6) == 1  # too small to ask
    assert threads.best_threads(10**6, 512, 1000, torch.float32, steps=10) == 1  # over too soon
    assert not used
    assert threads.best_threads(10**6, 512, 1000, torch.float32, steps=10**4) == expected
    assert used[-1] == torch.get_num_threads()  # as the user had it
    for fixed, within in ((1, 1), (9, 2)):
        with threads.fixed_threads(fixed):
            assert threads.best_threads(10**6, 512, 1000, torch.float32, steps=10**4) == within


@pytest.mark.parametrize(("steps", "within"), [(167, (0.015, 0.03)), (10**4, (0.15, 0.165))])
def test_the_timing_takes_a_small_share_of_the_training(
    steps: int, within: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training of three products a step, of a millisecond each: half a second, of which 3% are some three rounds, and half a minute."""
    now = [0.0]

    def multiply(*_: Any) -> None:
        now[0] += 1e-3

    monkeypatch.setattr(threads, "most_threads", lambda: 2)
    monkeypatch.setattr(threads, "multiply", multiply)
    monkeypatch.setattr(threads.time, "perf_counter", lambda: now[0])
    threads.best_threads(10**6, 512, 1000, torch.float32, steps=steps)
    low, high = within
    assert low <= now[0] <= high


def test_sums_do_not_depend_on_how_steps_are_cut() -> None:
    random = np.random.default_rng(0)
    log = random.standard_normal((50, 3, 4)) * 10.0 ** random.integers(-8, 8, (50, 3, 4))
    finite = np.ones((50, 3, 2), dtype=bool)
    finite[20, 1, 0] = finite[30, 1, 1] = False
    whole = Sums(3)
    whole.add(log, finite, 100)
    for cuts in ([1] * 50, [7, 20, 23], [49, 1]):
        parts, start = Sums(3), 0
        for size in cuts:
            parts.add(log[start : start + size], finite[start : start + size], 100 + start)
            start += size
        assert parts.totals.tobytes() == whole.totals.tobytes()
        assert parts.first_bad.tolist() == whole.first_bad.tolist() == [-1, 120, -1]
        assert parts.steps == 50
