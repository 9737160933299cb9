"""The identity of a run: a checkpoint of other data or networks has another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import manynets as mn
from manynets.data.batches import Rows
from manynets.training.checkpoint import Checkpoint, checkpoint_files
from manynets.training.state import differences, identity_of
from manynets.training.trial import Member, Problem
from tests.training.problems import member_of, problem_of

ROWS = np.arange(30)


def parts(change: Callable[[Problem, Member], tuple[Problem, Member]] = lambda *both: both) -> tuple[Problem, list[Member]]:
    """Return a problem with weights and a validation set, and its only member, after a change."""
    problem = problem_of("binary", weighted=True)
    x, target, weight = problem.rows.x, problem.rows.target, problem.rows.weight
    assert weight is not None
    problem = dataclasses.replace(problem, validation=Rows(x[:9].clone(), target[:9].clone(), weight[:9].clone()))
    member = member_of(
        problem, 3, mn.MLP(hidden=(2,)), mn.Recipe(), rows=ROWS, validation_rows=np.arange(30, 40), weight=np.linspace(1, 2, 40)
    )
    changed, member = change(problem, member)
    return changed, [member]


def of_rows(name: str) -> Callable[[Problem, Member], tuple[Problem, Member]]:
    """Return a change of one of the training rows' tensors."""
    return lambda p, m: (dataclasses.replace(p, rows=dataclasses.replace(p.rows, **{name: getattr(p.rows, name).flip(0)})), m)


def of_validation(name: str) -> Callable[[Problem, Member], tuple[Problem, Member]]:
    """Return a change of one of the validation set's tensors."""

    def change(problem: Problem, member: Member) -> tuple[Problem, Member]:
        assert problem.validation is not None
        turned = {name: torch.flip(getattr(problem.validation, name), [0])}
        return dataclasses.replace(problem, validation=dataclasses.replace(problem.validation, **turned)), member

    return change


CHANGES: dict[str, Callable[[Problem, Member], tuple[Problem, Member]]] = {
    "data.X": of_rows("x"),
    "data.y": of_rows("target"),
    "data.weights": of_rows("weight"),
    "data.validation X": of_validation("x"),
    "data.validation y": of_validation("target"),
    "data.validation weights": of_validation("weight"),
    "networks.3.rows": lambda p, m: (p, dataclasses.replace(m, rows=ROWS[::-1].copy())),
    "networks.3.validation_rows": lambda p, m: (p, dataclasses.replace(m, validation_rows=np.arange(31, 40))),
    "networks.3.weight": lambda p, m: (p, dataclasses.replace(m, weight=np.ones(40))),
    "networks.3.spec.hidden": lambda p, m: (p, dataclasses.replace(m, spec=mn.MLP(hidden=(4,)))),
    "networks.3.recipe.seed": lambda p, m: (p, dataclasses.replace(m, recipe=mn.Recipe(seed=1))),
    "networks.3.start": lambda p, m: (p, dataclasses.replace(m, start=5)),
}


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_shows_in_the_identity(path: str) -> None:
    expected = identity_of(*parts())
    assert differences(identity_of(*parts()), expected) == []
    [line] = differences(identity_of(*parts(CHANGES[path])), expected)
    assert line.startswith(f"{path} is ")


@pytest.mark.parametrize(("keep", "left"), [(1, [4]), (3, [2, 3, 4])])
def test_the_newest_checkpoints_are_left(keep: int, left: list[int], tmp_path: Path) -> None:
    checkpoint = mn.Checkpoint(folder=tmp_path, every_epochs=1, keep=keep)
    x, y = np.random.default_rng(0).normal(size=(8, 2)), np.arange(8) % 2
    mn.train(x, y, mn.MLP(hidden=(2,)), mn.Recipe(epochs=4), checkpoint=checkpoint, progress=False)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == [f"step-{step:09d}.checkpoint" for step in left]


def test_a_plateau_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((32, 3))
    schedule = mn.ReduceOnPlateau(patience=2, min_delta=1e9)  # so that the rate falls after every third epoch
    recipe = mn.Recipe(optimizer=mn.SGD(lr=0.1), epochs=8, batch_size=24, schedule=schedule)

    def rates(**options: Any) -> list[float]:
        model = mn.train(X, X[:, 0], mn.MLP(hidden=(4,)), recipe, validation=0.25, progress=False, **options)
        return list(model.history["lr"])

    whole = rates(checkpoint=Checkpoint(folder=tmp_path, every_steps=1, keep=9))
    assert len(set(whole)) > 2
    assert [rates(resume=file) for file in checkpoint_files(tmp_path)] == [whole] * 8
