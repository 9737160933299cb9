"""Corner cases that once gave other numbers, or none: views, units, groups of unlike networks, threads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import manynets as mn
from manynets.training.checkpoint import Checkpoint, Checkpoints, checkpoint_files
from manynets.training.groups import groups_of, network_bytes, train_members
from manynets.training.loop import TrainingRun
from tests.tolerances import assert_close
from tests.training.problems import assert_same_outcome, member_of, problem_of, run

GRADIENTS = ["autograd", "closed_form", "compiled"]


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.filterwarnings("ignore::manynets.errors.LeakWarning")
def test_tensors_that_are_views_are_read_as_what_they_show(gradient: Any) -> None:
    wide = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    y = (wide[:, 0] + wide[:, 2]).numpy()
    recipe = mn.Recipe(epochs=3, gradient=gradient)
    views = [wide[:, ::2], wide.T.contiguous().T[:, ::2], torch.as_tensor(wide[:, ::2].numpy().copy())]
    losses = [
        mn.train(x, y, mn.MLP(hidden=(4,)), recipe, validation=(x, y), scaling=False, progress=False).history for x in views
    ]  # fmt: skip
    for history in losses[1:]:
        assert history["loss"] == losses[0]["loss"]
        assert history["val_loss"] == losses[0]["val_loss"]


def test_an_expanded_tensor_does_not_read_beyond_its_memory() -> None:
    x = torch.randn(2000, 1).expand(2000, 500)
    model = mn.train(
        x, x[:, 0].numpy(), mn.MLP(hidden=(4,)), mn.Recipe(epochs=1, gradient="compiled"), scaling=False, progress=False
    )
    assert np.isfinite(model.history["loss"]).all()


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1.0, 1e12, 1e30])
def test_the_unit_of_the_target_changes_nothing(unit: float, gradient: Any) -> None:
    X = np.random.default_rng(0).standard_normal((200, 4))
    y = X[:, 0] + 0.1 * X[:, 1]
    recipe = mn.Recipe(epochs=4, gradient=gradient, dtype="float32")
    plain, scaled = (
        mn.train(X, y * u, mn.MLP(hidden=(6,)), recipe, validation=0.2, scaling=False, progress=False) for u in (1.0, unit)
    )  # fmt: skip
    assert scaled.info["stopped"] == plain.info["stopped"] == ["done"]
    assert scaled.info["best"] == plain.info["best"]
    assert_close(np.array(scaled.history["val_loss"]) / unit**2, np.array(plain.history["val_loss"]), "float32_run")


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_evaluations_within_an_epoch_are_those_of_each_alone(gradient: Any) -> None:
    problem = problem_of("binary")
    recipe = mn.Recipe(
        batch_size=8, evaluate_every=7, stopping=mn.EarlyStopping(patience=2, min_delta=0.02), dtype="float64", gradient=gradient
    )
    members = [
        member_of(problem, k, mn.MLP(hidden=(4,)), dataclasses.replace(recipe, epochs=epochs)) for k, epochs in ((0, 3), (1, 9))
    ]
    assert len(groups_of(problem, members)) == 2
    for outcome, member in zip(train_members(problem, members), members, strict=True):
        assert_same_outcome(outcome, run(problem, member)[0], "float64")


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_row_that_no_network_has_does_no_harm(gradient: Any) -> None:
    """Row 0 is in no fold; folds have unlike numbers of rows to train and to validate on."""
    problem = problem_of("regression", rows=50)
    problem.rows.x[0] = 1e300
    recipe = mn.Recipe(epochs=2, batch_size=8, dtype="float64", gradient=gradient)
    own = [(np.arange(1, 22), np.arange(30, 41)), (np.arange(2, 24), np.arange(30, 44))]
    members = [
        member_of(problem, k, mn.MLP(hidden=(4,)), recipe, rows=rows, validation_rows=held) for k, (rows, held) in enumerate(own)
    ]
    assert len(groups_of(problem, members)) == 1
    for outcome, member in zip(train_members(problem, members), members, strict=True):
        assert outcome.stopped == "done"
        assert_same_outcome(outcome, run(problem, member)[0], "float64")


def test_the_core_keeps_its_threads_when_networks_leave() -> None:
    before = torch.get_num_threads()
    problem = problem_of("binary")
    recipe = mn.Recipe(batch_size=8, dtype="float64", gradient="compiled")
    members = [member_of(problem, k, mn.MLP(hidden=(4,)), dataclasses.replace(recipe, epochs=1 + k % 2)) for k in range(6)]
    try:
        torch.set_num_threads(2)
        whole = TrainingRun(problem, members)
        torch.set_num_threads(1)
        whole.take([0, 2, 4])
        assert whole.stepper.user_threads == 2
    finally:
        torch.set_num_threads(before)


def test_networks_that_have_ended_stay_ended_when_a_run_resumes(tmp_path: Path) -> None:
    problem = problem_of("binary")
    recipe = mn.Recipe(batch_size=8, dtype="float64")
    members = [member_of(problem, k, mn.MLP(hidden=(4,)), dataclasses.replace(recipe, epochs=1 if k == 0 else 4)) for k in range(8)]

    def keeper(**more: Any) -> Checkpoints:
        return Checkpoints(problem, members, system={}, **{"checkpoint": None, "resume": None} | more)

    TrainingRun(problem, members, keeper=keeper(checkpoint=Checkpoint(folder=tmp_path, every_steps=7, keep=9))).run()
    resumed = TrainingRun(problem, members)
    keeper(resume=checkpoint_files(tmp_path)[-1]).begin(resumed)
    assert resumed.step == 7
    assert resumed.tracks.alive.tolist() == [False] + [True] * 7


def test_the_memory_of_a_network_counts_its_order_and_weights() -> None:
    few, many = problem_of("binary", rows=40), problem_of("binary", rows=4000)
    spec, recipe = mn.MLP(hidden=(4,)), mn.Recipe(batch_size=8, dtype="float64")
    small, large = (network_bytes(member_of(problem, 0, spec, recipe), problem) for problem in (few, many))
    assert large - small >= 8 * 3960
    weighted = member_of(many, 0, spec, recipe, weight=np.ones(4000))
    assert network_bytes(weighted, many) - large >= 8 * 4000


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_huge_gradient_is_clipped_not_lost(gradient: Any) -> None:
    X = np.full((32, 2), 1e15, dtype=np.float32)
    recipe = mn.Recipe(
        optimizer=mn.SGD(lr=1.0), iterations=1, batch_size=32, clip_norm=1.0, gradient=gradient, loss="absolute_error"
    )
    start = {"output.weight": np.array([[1e3, 1e3]]), "output.bias": np.zeros(1)}
    model = mn.train(X * 1e5, np.linspace(0.5, 31.7, 32), mn.MLP(hidden=()), recipe, initial=start, scaling=False, progress=False)
    moved = np.linalg.norm(model.members[0]["output.weight"] - start["output.weight"])
    assert moved == pytest.approx(1.0, rel=1e-2)
