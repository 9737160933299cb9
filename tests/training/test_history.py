"""The sums of a log, and the tracks of networks of which some leave: by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.training.history import Sums, Tracks
from tests.training.problems import member_of, problem_of, run


def test_sums_of_several_entries_are_those_of_their_steps() -> None:
    log = np.arange(24.0).reshape(4, 2, 3)  # four steps of two networks
    finite = np.ones((4, 2, 2), dtype=bool)
    sums = Sums(2)
    sums.add(log, finite, 10, entries=2)
    np.testing.assert_array_equal(sums.totals, [log[:2].sum(0), log[2:].sum(0)])
    one = Sums(2)
    one.add(log[:3], finite[:3], 10)
    one.add(log[3:], finite[3:], 13)
    np.testing.assert_array_equal(one.totals, [log.sum(0)])
    assert one.steps == sums.steps == 4


def test_the_first_step_that_is_not_finite_is_remembered() -> None:
    """In the second network the loss of step 11, in the third the penalty of step 13."""
    finite = np.ones((5, 3, 2), dtype=bool)
    finite[1, 1, 0] = finite[3, 1, 0] = finite[3, 2, 1] = False
    sums = Sums(3)
    sums.add(np.zeros((3, 3, 3)), finite[:3], 10)
    sums.add(np.zeros((2, 3, 3)), finite[3:], 13)
    assert sums.first_bad.tolist() == [-1, 11, 13]


def test_networks_that_stay_keep_their_rates_and_patience() -> None:
    """Schedules differ in length, and each network has a rate and a patience of its own."""
    problem = problem_of("binary")
    recipes = [
        mn.Recipe(optimizer=mn.SGD(lr=lr), schedule=mn.Cosine(), epochs=epochs, stopping=mn.EarlyStopping(patience=patience))
        for lr, epochs, patience in ((0.1, 2, 1), (0.2, 4, 2), (0.4, 8, 3))
    ]
    tracks = Tracks([member_of(problem, k, mn.MLP(hidden=(2,)), recipe) for k, recipe in enumerate(recipes)], 10)
    assert tracks.totals.tolist() == [20, 40, 80]
    rates = tracks.rates(np.array([0, 10]))
    half = [0.5 * (1 + np.cos(np.pi * 10 / total)) for total in (20, 40, 80)]
    np.testing.assert_allclose(rates, [[0.1, 0.2, 0.4], [0.1 * half[0], 0.2 * half[1], 0.4 * half[2]]])
    tracks.take([2, 0])
    np.testing.assert_allclose(tracks.rates(np.array([10])), [[0.4 * half[2], 0.1 * half[0]]])
    assert tracks.patience.patience.tolist() == [3, 1]


def test_a_network_that_diverges_ends_with_weights_that_are_finite() -> None:
    """Those before the entry in which it diverged; the one beside it, which does not, trains to its end."""
    problem = problem_of("regression")
    recipes = [mn.Recipe(optimizer=mn.SGD(lr=lr), epochs=4, batch_size=8, device="cpu", dtype="float64") for lr in (1e200, 0.01)]
    diverged, sound = run(problem, *(member_of(problem, k, mn.MLP(hidden=(3,)), recipe) for k, recipe in enumerate(recipes)))
    assert (diverged.stopped, sound.stopped) == ("diverged", "done")
    assert diverged.divergence is not None
    assert len(diverged.history["step"]) == diverged.divergence.epoch == diverged.best + 2
    for parameter in diverged.parameters.values():
        assert np.isfinite(parameter).all()
    assert (sound.best, sound.history["step"][-1]) == (3, 20)


@pytest.mark.parametrize("stepper", ["compiled", "closed_form", "autograd"])
def test_weights_that_overflow_in_the_last_step_diverge_in_that_step(stepper: Any) -> None:
    X = np.random.default_rng(0).standard_normal((20, 3))
    recipe = mn.Recipe(optimizer=mn.SGD(lr=3e38), epochs=1, batch_size=20, gradient=stepper)
    with pytest.warns(mn.DivergenceWarning, match="in epoch 1, step 1, at learning rate"):
        mn.train(1e3 * X, X[:, 0], mn.MLP(hidden=(4,)), recipe, scaling=False, progress=False)


@pytest.mark.parametrize(("epochs", "stopped"), [(4, "done"), (5, "early")])
def test_patience_that_ends_with_the_last_epoch_ends_nothing_early(epochs: int, stopped: str) -> None:
    X = np.random.default_rng(0).standard_normal((32, 3))
    recipe = mn.Recipe(epochs=epochs, stopping=mn.EarlyStopping(patience=3, min_delta=1e9))
    model = mn.train(X, X[:, 0], mn.MLP(hidden=(4,)), recipe, validation=0.25, progress=False)
    assert (model.info["stopped"], len(model.history["loss"])) == ([stopped], 4)
