"""Networks with the same rows in the same order are a stack, whose rows are gathered once; each is still what it is alone."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import manynets as mn
from manynets.data.batches import SHARING
from manynets.spec import Activation, Optimizer
from manynets.training.checkpoint import Checkpoint, Checkpoints, checkpoint_files
from manynets.training.closed_form import ClosedForm
from manynets.training.loop import Run
from manynets.training.many import groups_of
from manynets.training.members import Member, Problem
from tests.training.problems import TASKS, assert_same_outcome, member_of, problem_of, run

FOLDS = [np.arange(41), np.concatenate([np.arange(20), np.arange(22, 44)]), np.arange(5, 46)]  # 41, 42 and 41 of 46 rows


@pytest.fixture(autouse=True)
def _small_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manynets.data.batches.STACK_NUMBERS", 1)


def searched(
    task: str, *, weighted: bool = False, smoothing: bool = False, norm: bool = False, batch: int = 8
) -> tuple[Problem, list[Member]]:
    """Return networks as a search has them: two folds with enough of them for a stack, and one with too few."""
    problem = problem_of(task, rows=46, weighted=weighted)
    members = []
    for number in range(2 * SHARING + 4):
        fold = number % 2 if number < 2 * SHARING else 2
        rate = 0.3 * (number % 3 == 0)
        spec = mn.MLP(hidden=(6,), batch_norm=norm, dropout=rate, input_dropout=rate / 2)
        recipe = mn.Recipe(
            epochs=3,
            batch_size=batch,
            seed=fold + max(0, number - 2 * SHARING - 1),  # the last four: three orders of the same rows
            optimizer=mn.Adam(lr=0.01 + 0.002 * number, eps=1e-4),
            l2=0.01 * (number % 2),
            label_smoothing=0.1 * (number % 2) if smoothing else 0.0,
            dtype="float64",
        )
        held = np.setdiff1d(np.arange(46), FOLDS[fold])
        members.append(member_of(problem, number, spec, recipe, rows=FOLDS[fold], validation_rows=held))
    return problem, members


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("task", TASKS)
def test_a_search_in_stacks_is_each_alone(task: str, weighted: bool, norm: bool) -> None:
    problem, members = searched(task, weighted=weighted, norm=norm, smoothing=not task.startswith("regression"), batch=9)
    [group] = groups_of(problem, members)
    together = Run(problem, group)
    assert sorted(part.stop - part.start for part in together.stacks.places) == [4, SHARING, SHARING]
    assert len(together.batches.orders) == 6  # of each stack one, of the others each its own
    for outcome in together.run():
        assert_same_outcome(outcome, run(problem, members[outcome.number])[0], "float64")


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize("batch", [7, 8, 14, 41])
def test_whatever_the_last_batch(batch: int, norm: bool) -> None:
    """41 and 42 rows: a last batch that is short for all, for some, or for none."""
    problem, members = searched("binary", batch=batch, norm=norm)
    for group in groups_of(problem, members):
        for outcome in Run(problem, group).run():
            assert_same_outcome(outcome, run(problem, members[outcome.number])[0], "float64")


def keeper(
    problem: Problem, members: list[Member], *, checkpoint: Checkpoint | None = None, resume: Path | None = None
) -> Checkpoints:
    return Checkpoints(problem, members, checkpoint=checkpoint, resume=resume, system={})


NARROW = {
    "one layer": mn.MLP(hidden=(5,)),
    "two layers": mn.MLP(hidden=(5, 6)),
    "dropout": mn.MLP(hidden=(5, 6), dropout=0.3),
    "batch norm": mn.MLP(hidden=(5, 6), batch_norm=True),
    "no biases": mn.MLP(hidden=(5, 6), bias=False),
    **{name: mn.MLP(hidden=(5, 6), activation=name) for name in get_args(Activation)},
}


@pytest.mark.parametrize("plain", [False, True], ids=["adam", "plain sgd"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("columns", [11, 5], ids=["one wide product", "a batched product"])
@pytest.mark.parametrize("name", NARROW)
def test_the_first_layer_of_networks_with_the_same_rows(name: str, columns: int, task: str, plain: bool) -> None:
    problem = problem_of(task, rows=30, columns=columns)
    members = []
    for number in range(SHARING):
        optimizer = mn.SGD(lr=0.05) if plain else mn.Adam(lr=0.01 + 0.002 * number, eps=1e-4)
        recipe = mn.Recipe(epochs=3, batch_size=8, optimizer=optimizer, l2=0.0 if plain else 0.1 * number, dtype="float64")
        member = member_of(problem, number, NARROW[name], dataclasses.replace(recipe, seed=number))
        members.append(dataclasses.replace(member, recipe=recipe))  # weights of its own, the same order of rows
    together = Run(problem, members)
    for outcome in together.run():
        assert_same_outcome(outcome, run(problem, members[outcome.number])[0], "float64")
    [gradient] = together.stacks.gradients
    assert isinstance(gradient, ClosedForm)
    firsts = [buffers.first for buffers in gradient._buffers.values()]
    if columns == 5 and name == "no biases":
        assert firsts == [None, None]
    else:
        assert [first is not None and first.spare is not None for first in firsts] == [columns == 11] * 2


@pytest.mark.parametrize("optimizer", [mn.SGD(lr=0.05), mn.Adam(lr=0.01)], ids=["plain sgd", "adam"])
@pytest.mark.parametrize("networks", [1, SHARING])
def test_a_run_is_freed_with_its_last_reference(networks: int, optimizer: Optimizer) -> None:
    problem = problem_of("multiclass", rows=30)
    spec = mn.MLP(hidden=(6, 5), dropout=0.2, batch_norm=isinstance(optimizer, mn.Adam))
    recipe = mn.Recipe(epochs=2, batch_size=8, optimizer=optimizer)
    gc.collect()
    gc.disable()
    try:
        whole = Run(problem, [member_of(problem, number, spec, recipe) for number in range(networks)])
        whole.run()
        gradient = weakref.ref(whole.stacks.gradients[0])
        del whole
        assert gradient() is None
    finally:
        gc.enable()


def test_stacks_are_cut_to_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of("binary", rows=30)
    recipe = mn.Recipe(epochs=2, batch_size=8, dtype="float64")
    members = [member_of(problem, number, mn.MLP(hidden=(6,)), recipe) for number in range(2 * SHARING + 1)]
    assert [part.stop - part.start for part in Run(problem, members).stacks.places] == [2 * SHARING + 1]
    monkeypatch.setattr("manynets.training.stacks.LAYER_BYTES", SHARING * 8 * 6 * 8)
    together = Run(problem, members)
    assert [part.stop - part.start for part in together.stacks.places] == [5, 6, 6]
    for outcome in together.run():
        assert_same_outcome(outcome, run(problem, members[outcome.number])[0], "float64")


def test_a_search_in_stacks_resumes_bit_for_bit(tmp_path: Path) -> None:
    problem, members = searched("multiclass")
    [group] = groups_of(problem, members)
    whole = Run(problem, group).run()
    Run(problem, group, keeper=keeper(problem, group, checkpoint=Checkpoint(folder=tmp_path, every_steps=5, keep=9))).run()
    files = checkpoint_files(tmp_path)
    assert len(files) == 4  # after 5, 10, 15 and all 18 steps
    for file in files:
        again = Run(problem, group, keeper=keeper(problem, group, resume=file)).run()
        for one, other in zip(again, whole, strict=True):
            assert_same_outcome(one, other, "bits")


def test_where_some_leave_early_the_others_go_on_as_alone() -> None:
    """A third ends after one epoch, and each fold has too few for a stack from then on."""
    problem, members = searched("binary")
    changed = [
        dataclasses.replace(member, recipe=dataclasses.replace(member.recipe, epochs=1 if member.number % 3 == 0 else 4))
        for member in members
    ]
    [group] = groups_of(problem, changed)
    together = Run(problem, group)
    assert len(together.stacks.places) == 3
    outcomes = together.run()
    for outcome in outcomes:
        assert_same_outcome(outcome, run(problem, changed[outcome.number])[0], "float64")


def test_networks_that_left_are_no_stack_any_more() -> None:
    problem, members = searched("binary")
    [group] = groups_of(problem, members)
    together = Run(problem, group)
    together.take([place for place in range(len(group)) if place % 3])
    assert [place.stop - place.start for place in together.stacks.places] == [len(together.tracks)]
    assert len(together.tracks) < len(members)
