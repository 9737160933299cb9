"""Networks as a search has them, folds and candidates: together they are what each is alone, resumed, and when some leave early."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

import manynets as mn
from manynets.spec import Optimizer
from manynets.training.checkpoint import Checkpoint, Checkpoints, checkpoint_files
from manynets.training.groups import groups_of
from manynets.training.loop import TrainingRun
from manynets.training.trial import Member, Problem
from tests.training.problems import TASKS, assert_same_outcome, member_of, problem_of, run

FOLDS = [np.arange(41), np.concatenate([np.arange(20), np.arange(22, 44)]), np.arange(5, 46)]  # 41, 42 and 41 of 46 rows
GRADIENTS = ["closed_form", "compiled"]


def searched(
    task: str, gradient: str, *, weighted: bool = False, smoothing: bool = False, norm: bool = False, batch: int = 8
) -> tuple[Problem, list[Member]]:
    """Return twelve networks on three folds, two of which several share, with rates and penalties of their own."""
    problem = problem_of(task, rows=46, weighted=weighted)
    members = []
    for number in range(12):
        fold = number % 2 if number < 8 else 2
        rate = 0.3 * (number % 3 == 0)
        spec = mn.MLP(hidden=(6,), batch_norm=norm, dropout=rate, input_dropout=rate / 2)
        recipe = mn.Recipe(
            epochs=3,
            batch_size=batch,
            seed=fold + max(0, number - 9),  # the last three: orders of their own
            optimizer=mn.Adam(lr=0.01 + 0.002 * number, eps=1e-4),
            l2=0.01 * (number % 2),
            label_smoothing=0.1 * (number % 2) if smoothing else 0.0,
            dtype="float64",
            gradient=gradient,  # type: ignore[arg-type]
        )
        held = np.setdiff1d(np.arange(46), FOLDS[fold])
        members.append(member_of(problem, number, spec, recipe, rows=FOLDS[fold], validation_rows=held))
    return problem, members


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("task", TASKS)
def test_a_search_together_is_each_alone(task: str, weighted: bool, norm: bool, gradient: str) -> None:
    problem, members = searched(task, gradient, weighted=weighted, norm=norm, smoothing=not task.startswith("regression"), batch=9)
    [group] = groups_of(problem, members)
    together = TrainingRun(problem, group)
    assert len(together.stepper.batches.counts) == 5  # of folds 0 and 1 one order each; of fold 2, three
    for outcome in together.run():
        assert_same_outcome(outcome, run(problem, members[outcome.number])[0], "float64")


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize("batch", [7, 8, 14, 41])
def test_whatever_the_last_batch(batch: int, norm: bool, gradient: str) -> None:
    """41 and 42 rows: a last batch that is short for all, for some, or for none."""
    problem, members = searched("binary", gradient, batch=batch, norm=norm)
    for group in groups_of(problem, members):
        for outcome in TrainingRun(problem, group).run():
            assert_same_outcome(outcome, run(problem, members[outcome.number])[0], "float64")


@pytest.mark.parametrize("gradient", [*GRADIENTS, "autograd"])
@pytest.mark.parametrize("optimizer", [mn.SGD(lr=0.05), mn.Adam(lr=0.01)], ids=["plain sgd", "adam"])
@pytest.mark.parametrize("networks", [1, 8])
def test_a_run_is_freed_with_its_last_reference(networks: int, optimizer: Optimizer, gradient: str) -> None:
    problem = problem_of("multiclass", rows=30)
    spec = mn.MLP(hidden=(6, 5), dropout=0.2, batch_norm=isinstance(optimizer, mn.Adam))
    recipe = mn.Recipe(epochs=2, batch_size=8, optimizer=optimizer, gradient=gradient)  # type: ignore[arg-type]
    gc.disable()
    try:
        whole = TrainingRun(problem, [member_of(problem, number, spec, recipe) for number in range(networks)])
        whole.run()
        population = weakref.ref(whole.stepper.population)
        del whole
        assert population() is None
    finally:
        gc.enable()


def keeper(
    problem: Problem, members: list[Member], *, checkpoint: Checkpoint | None = None, resume: Path | None = None
) -> Checkpoints:
    return Checkpoints(problem, members, checkpoint=checkpoint, resume=resume, system={})


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_search_resumes_bit_for_bit(gradient: str, tmp_path: Path) -> None:
    problem, members = searched("multiclass", gradient)
    [group] = groups_of(problem, members)
    whole = TrainingRun(problem, group).run()
    TrainingRun(problem, group, keeper=keeper(problem, group, checkpoint=Checkpoint(folder=tmp_path, every_steps=5, keep=9))).run()
    files = checkpoint_files(tmp_path)
    assert len(files) == 4  # after 5, 10, 15 and all 18 steps
    for file in files:
        again = TrainingRun(problem, group, keeper=keeper(problem, group, resume=file)).run()
        for one, other in zip(again, whole, strict=True):
            assert_same_outcome(one, other, "bits")


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_where_some_leave_early_the_others_go_on_as_alone(gradient: str) -> None:
    """A third ends after one epoch, and its place is freed; one more ends later, and keeps its place."""
    problem, members = searched("binary", gradient)
    epochs = [1 if member.number % 3 == 0 else 3 if member.number == 1 else 5 for member in members]
    changed = [
        dataclasses.replace(member, recipe=dataclasses.replace(member.recipe, epochs=own))
        for member, own in zip(members, epochs, strict=True)
    ]
    [group] = groups_of(problem, changed)
    for outcome in TrainingRun(problem, group).run():
        assert_same_outcome(outcome, run(problem, changed[outcome.number])[0], "float64")
