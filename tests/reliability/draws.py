"""Trainings drawn at random from a seed: every optimizer, schedule, task and gradient, alone and 64 together, 60 steps each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import manynets as mn
from manynets.training.checkpoint import Checkpoint, Checkpoints
from manynets.training.loop import TrainingRun
from manynets.training.trial import Member, Outcome, Problem
from tests.training.problems import TASKS, member_of, problem_of

__all__ = ["STEPS", "Draw", "assert_same_bits", "draw", "run_with"]

STEPS = 60
SYSTEM = {"versions": {}, "threads": 1, "device": "cpu"}

# `draw` takes them in turn: so many that each meets every schedule, task and number of networks
OPTIMIZERS: list[Callable[[float], Any]] = [
    lambda lr: mn.SGD(lr=lr),
    lambda lr: mn.SGD(lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-3),
    lambda lr: mn.Adam(lr=lr),
    lambda lr: mn.AdamW(lr=lr),
    lambda lr: mn.NAdam(lr=lr),
    lambda lr: mn.RMSprop(lr=lr, momentum=0.5),
    lambda lr: mn.Adagrad(lr=lr),
    lambda lr: mn.Lion(lr=lr / 10),
    lambda lr: mn.Lion(lr=lr / 10, weight_decay=0.1),
]
SCHEDULES: list[Any] = [
    mn.Constant(),
    mn.Cosine(warmup=0.2),
    mn.OneCycle(),
    mn.Warmup(steps=20),
    mn.StepDecay(every=2),
    mn.Exponential(),
    mn.InverseScaling(),
    mn.ReduceOnPlateau(patience=1, min_delta=0.05),
]


class Own(nn.Module):
    """A module that draws from torch's generator in every step, and counts."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, outputs)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(self.drop(torch.relu(self.norm(self.first(x)))))
        return out


@dataclasses.dataclass(frozen=True)
class Draw:
    """A problem, and how to make its members afresh."""

    problem: Problem
    make: Callable[[], list[Member]]
    what: str


def draw(number: int) -> Draw:
    """Return draw `number`. Kinds are dealt in turn, so that 20 draws have them all."""
    random = np.random.default_rng(number)
    task = TASKS[number % len(TASKS)]
    size = (1, 1, 64, 3)[number % 4]
    optimizer, schedule = OPTIMIZERS[number % len(OPTIMIZERS)], SCHEDULES[number % len(SCHEDULES)]
    dtype = ("float32", "float64")[int(random.integers(2))]
    rows, batch = int(random.integers(35, 90)), int(random.integers(5, 12))
    problem = problem_of(task, rows=rows, weighted=bool(random.integers(2)), dtype=getattr(torch, dtype))
    own_rows = random.permutation(rows)
    validated = bool(random.integers(2))
    cut = rows - 12 if validated else rows
    common: dict[str, Any] = {
        "iterations": STEPS,
        "evaluate_every": [None, 7, 13][int(random.integers(3))],
        "batch_size": batch,
        "l1": [0.0, 1e-3][int(random.integers(2))],
        "l2": [0.0, 1e-2][int(random.integers(2))],
        "clip_norm": [None, 0.5][int(random.integers(2))],
        "gradient": ["closed_form", "autograd", "compiled"][int(random.integers(3))],
        "dtype": dtype,
        "schedule": schedule,
    }
    batch_norm, hidden = bool(random.integers(2)), [(), (7,), (6, 5)][int(random.integers(3))]
    activation = ["relu", "tanh", "gelu"][int(random.integers(3))]
    patience = [None, 2][int(random.integers(2))]
    lr = float(random.uniform(0.003, 0.03))
    module = number % 10 == 9
    if module:
        size, common["gradient"] = 1, "auto"

    def make() -> list[Member]:
        members = []
        for k in range(size):
            stopping = None if patience is None else mn.EarlyStopping(patience=patience + k % 3)
            recipe = mn.Recipe(optimizer=optimizer(lr * (1 + k % 5)), stopping=stopping, seed=number + k % 7, **common)
            chosen, held = own_rows[:cut], own_rows[cut:] if validated else None
            if module:
                torch_state = torch.get_rng_state()
                torch.manual_seed(number)
                own = Own(problem.task.outputs)
                torch.set_rng_state(torch_state)
                members.append(Member(k, own, recipe, {}, chosen, held, resumable=True))
                continue
            spec = mn.MLP(
                hidden=hidden,
                activation=activation,
                dropout=(0.0, 0.25, 0.5)[k % 3] if hidden else 0.0,
                batch_norm=batch_norm and bool(hidden),
            )
            member = member_of(problem, k, spec, recipe, rows=chosen, validation_rows=held)
            members.append(dataclasses.replace(member, resumable=True))
        return members

    what = f"{number}: {task} K={size} {optimizer(lr)} {schedule} {hidden} {common} module={module}"
    return Draw(problem, make, what)


def run_with(
    drawn: Draw, *, checkpoint: Checkpoint | None = None, resume: str | Path | None = None, callbacks: Sequence[Any] = ()
) -> list[Outcome]:
    """Train a draw, with checkpoints or from one."""
    members = drawn.make()
    keeper = None
    if checkpoint is not None or resume is not None:
        keeper = Checkpoints(drawn.problem, members, checkpoint=checkpoint, resume=resume, system=SYSTEM)
    return TrainingRun(drawn.problem, members, keeper=keeper, callbacks=callbacks).run()


def assert_same_bits(actual: Sequence[Outcome], expected: Sequence[Outcome], what: str) -> None:
    """Fail unless all outcomes agree in every bit but the seconds."""
    assert len(actual) == len(expected), what
    for one, other in zip(actual, expected, strict=True):
        assert (one.number, one.best, one.stopped, one.divergence) == (other.number, other.best, other.stopped, other.divergence), (
            what
        )
        assert list(one.history) == list(other.history), what
        for name, column in other.history.items():
            assert name == "seconds" or np.array_equal(one.history[name], column, equal_nan=True), f"{what}: {name}"
        assert list(one.parameters) == list(other.parameters), what
        for name, value in other.parameters.items():
            assert one.parameters[name].dtype == value.dtype, f"{what}: {name}"
            assert one.parameters[name].tobytes() == value.tobytes(), f"{what}: {name}"
        assert (one.progress is None) == (other.progress is None), what
        if one.progress is not None and other.progress is not None:
            assert (one.progress.steps, one.progress.best, one.progress.bad) == (
                other.progress.steps,
                other.progress.best,
                other.progress.bad,
            )
            for name, state in other.progress.optimizer.items():
                assert np.asarray(one.progress.optimizer[name]).tobytes() == np.asarray(state).tobytes(), f"{what}: {name}"
