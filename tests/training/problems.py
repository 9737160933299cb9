"""Small problems and members for the tests of the loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import manynets as mn
from manynets.data.batches import Rows
from manynets.nn.initial import initial_parameters
from manynets.tasks import Task, find_task
from manynets.training.loop import TrainingRun
from manynets.training.trial import Member, Outcome, Problem
from tests.tolerances import assert_close

__all__ = ["TASKS", "assert_same_outcome", "data_for", "member_of", "problem_of", "run"]

TASKS = ("regression", "regression2", "binary", "multiclass", "multilabel")


def data_for(task: str, rows: int, columns: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return X (N, D) and a noisy target of this task, with all its classes."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, columns))
    signal = x[:, :1] * np.array([[1.0, -0.5, 0.3]]) + np.sin(x[:, 1:2]) + 0.3 * random.standard_normal((rows, 3))
    if task == "regression":
        return x, 5 + 3 * signal[:, 0]
    if task == "regression2":
        return x, signal[:, :2] * np.array([2.0, 0.1])
    if task == "counts":
        return x, random.poisson(np.exp(0.5 * signal[:, 0])).astype(np.float64)
    if task == "multilabel":
        return x, (signal > 0).astype(np.int64)
    y = signal.argmax(1) if task == "multiclass" else (signal[:, 0] > 0).astype(np.int64)
    y[: len(np.unique(signal.argmax(1))) if task == "multiclass" else 2] = np.arange(3 if task == "multiclass" else 2)
    return x, y


def problem_of(
    task: str,
    *,
    rows: int = 40,
    columns: int = 4,
    weighted: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    standardise: bool = True,
) -> Problem:
    """Return a problem in float64 on the CPU."""
    x, y = data_for(task, rows, columns, seed)
    kind = {"regression2": "regression", "counts": "regression"}.get(task, task)
    found: Task = mn.Regression.of(y, standardise=standardise) if kind == "regression" else find_task(y, name=kind)
    target = torch.from_numpy(found.encode(y))
    weight = torch.from_numpy(np.random.default_rng(seed + 1).uniform(0.2, 2.0, rows)).to(dtype) if weighted else None
    target = target if target.dtype == torch.long else target.to(dtype)
    return Problem(found, Rows(torch.from_numpy(x).to(dtype), target, weight))


def member_of(
    problem: Problem,
    number: int,
    spec: mn.MLP,
    recipe: mn.Recipe,
    *,
    rows: NDArray[np.int64] | None = None,
    validation_rows: NDArray[np.int64] | None = None,
    weight: NDArray[np.float64] | None = None,
) -> Member:
    """Return a member that starts as its seed says."""
    initial = initial_parameters(spec, problem.rows.x.shape[1], problem.task.outputs, seed=recipe.seed)
    return Member(number, spec, recipe, initial, rows, validation_rows, weight=weight)


def run(problem: Problem, *members: Member) -> list[Outcome]:
    """Train members together."""
    return TrainingRun(problem, members).run()


def assert_same_outcome(actual: Outcome, expected: Outcome, kind: str) -> None:
    """Fail unless two outcomes agree in all but the time they took."""
    assert actual.number == expected.number
    assert actual.stopped == expected.stopped
    assert actual.best == expected.best
    assert set(actual.history) == set(expected.history)
    finite = len(expected.history["step"]) - (expected.divergence is not None)
    assert len(actual.history["step"]) == len(expected.history["step"])
    for name, column in expected.history.items():
        if name != "seconds":
            assert_close(actual.history[name][:finite], column[:finite], kind, what=name)
    assert_close(actual.parameters, expected.parameters, kind, what="parameters")
    assert (actual.divergence is None) == (expected.divergence is None)
    if actual.divergence is not None and expected.divergence is not None:
        assert actual.divergence.epoch == expected.divergence.epoch
        assert actual.divergence.step == expected.divergence.step
        assert_close(actual.divergence.lr, expected.divergence.lr, kind)
