"""The step that CUDA captures as a graph: without a GPU, that it reads and writes by the counter what the plain steps do."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import manynets as mn
from manynets.spec import Activation
from manynets.training.steppers.closed_form import ClosedForm
from manynets.training.steppers.cuda_graph import CapturedStep
from tests.tolerances import assert_close
from tests.training.problems import TASKS, assert_same_outcome, member_of, problem_of, run

# Calls that wait for the device, copy between it and the host, or have a shape that depends on values: no graph can have them.
UNSAFE = {
    "_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "unique_dim", "_unique2", "lift_fresh", "_to_copy",
    "bincount", "repeat_interleave", "_pin_memory", "resize_",
}  # fmt: skip

CASES = {
    "sgd": (mn.MLP(hidden=(6, 5)), mn.Recipe(optimizer=mn.SGD(lr=0.1))),
    "adam, dropout, penalties": (
        mn.MLP(hidden=(6,), dropout=0.3),
        mn.Recipe(optimizer=mn.Adam(lr=0.1), l1=0.01, l2=0.1, clip_norm=1.0),
    ),
    "batch norm": (mn.MLP(hidden=(6,), batch_norm=True), mn.Recipe(optimizer=mn.NAdam(lr=0.1, eps=1e-4))),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_captured_step_is_the_plain_step(case: str, weighted: bool) -> None:
    spec, recipe = CASES[case]
    problem = problem_of("multiclass", rows=48, weighted=weighted)
    recipe = dataclasses.replace(recipe, batch_size=8, dtype="float64")
    members = [member_of(problem, k, spec, dataclasses.replace(recipe, seed=k, l2=recipe.l2 * k)) for k in range(3)]
    plain, captured = ClosedForm(problem, members), ClosedForm(problem, members)
    rates = np.linspace(0.01, 0.1, 15).reshape(5, 3)
    with torch.no_grad():
        log = plain.advance(rates, np.ones(rates.shape[1], dtype=bool))
        planned = torch.from_numpy(captured.optimizer.coefficients(rates, 0)).unsqueeze(-1)
        inputs = captured.inputs(captured.batches.chunk(0, 0, 5), planned)
        step = CapturedStep(captured.one_step, inputs, 8)
        for part in (slice(0, 2), slice(2, 5)):  # two calls, of unlike numbers of steps
            scores, penalties = step.replay(inputs.map(lambda tensor, part=part: tensor[part]))
    assert_close(captured.population.flat, plain.population.flat, "float64")
    assert_close(captured.population.statistics, plain.population.statistics, "float64")
    assert_close(penalties.numpy(), np.ascontiguousarray(log[2:, :, 2]), "float64")
    assert scores.shape == (3, 3, 8, 3)


@pytest.mark.parametrize("case", CASES)
def test_a_training_by_captured_steps_is_the_plain_one(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, recipe = CASES[case]
    problem = problem_of("multiclass", rows=45, weighted=True)  # the last batch is smaller
    recipe = dataclasses.replace(recipe, batch_size=8, epochs=5, dtype="float64", gradient="closed_form")
    members = [member_of(problem, k, spec, dataclasses.replace(recipe, seed=k, epochs=5 - k)) for k in range(3)]
    plain = run(problem, *members)
    monkeypatch.setattr(ClosedForm, "graphs_on", ("cpu",))
    for one, other in zip(run(problem, *members), plain, strict=True):
        assert_same_outcome(one, other, "float64")


class Watch(TorchDispatchMode):
    """Notes the name of every call of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


OPTIMIZERS = [
    mn.SGD(lr=0.1), mn.SGD(lr=0.1, momentum=0.9, nesterov=True), mn.SGD(lr=0.1, momentum=0.5, weight_decay=0.1), mn.Adam(lr=0.1),
    mn.AdamW(lr=0.1, weight_decay=0.1), mn.NAdam(lr=0.1), mn.RMSprop(lr=0.1, momentum=0.5), mn.Adagrad(lr=0.1),
    mn.Lion(lr=0.1, weight_decay=0.1),
]  # fmt: skip


def names_called(problem: Any, spec: mn.MLP, recipe: mn.Recipe, unlike: Any = None) -> set[str]:
    """Return what a captured step of three networks calls. unlike: what the second of them has otherwise."""
    recipes = [recipe, dataclasses.replace(recipe, **(unlike or {})), recipe]
    members = [member_of(problem, k, spec, dataclasses.replace(one, seed=k)) for k, one in enumerate(recipes)]
    stepper, watch = ClosedForm(problem, members), Watch()
    with torch.no_grad():
        planned = torch.from_numpy(stepper.optimizer.coefficients(np.full((2, 3), 0.1), 0)).unsqueeze(-1)
        inputs = stepper.inputs(stepper.batches.chunk(0, 0, 2), planned)
        stepper.one_step(inputs.at(0))  # makes the buffers
        step = CapturedStep(stepper.one_step, inputs, 2)
        with watch:
            step.again()
    return watch.names


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation_can_be_captured(activation: Activation, norm: bool) -> None:
    spec = mn.MLP(hidden=(6, 5), activation=activation, batch_norm=norm, dropout=0.2)
    recipe = mn.Recipe(batch_size=8, dtype="float64", l1=0.1, l2=0.1, clip_norm=1.0)
    names = names_called(problem_of("multiclass", rows=48), spec, recipe, {"l2": 0.3, "clip_norm": None})
    assert "baddbmm" in names
    assert not names & UNSAFE


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", [*TASKS, "counts"])
def test_every_task_can_be_captured(task: str, weighted: bool) -> None:
    problem = problem_of(task, rows=48, weighted=weighted, standardise=task != "counts")
    recipe = mn.Recipe(batch_size=8, dtype="float64", loss="poisson" if task == "counts" else None)
    assert not names_called(problem, mn.MLP(hidden=(6,)), recipe) & UNSAFE


@pytest.mark.parametrize("unlike", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_every_optimizer_can_be_captured(optimizer: Any, unlike: bool) -> None:
    decay = {"optimizer": dataclasses.replace(optimizer, lr=0.2, weight_decay=0.3)} if unlike else None
    recipe = mn.Recipe(batch_size=8, dtype="float64", optimizer=optimizer)
    assert not names_called(problem_of("regression", rows=48), mn.MLP(hidden=(6,)), recipe, decay) & UNSAFE


def test_bfloat16_can_be_captured() -> None:
    recipe = mn.Recipe(batch_size=8, precision="bf16", gradient="closed_form")
    problem = problem_of("multiclass", rows=48, dtype=torch.float32)
    assert not names_called(problem, mn.MLP(hidden=(6, 5), batch_norm=True), recipe) & UNSAFE


def test_the_watch_sees_what_a_graph_cannot_have() -> None:
    with Watch() as watch:
        float(torch.ones(1) + torch.tensor(2.0))
        torch.nonzero(torch.ones(2))
        torch.ones(1).double()
    assert {"_local_scalar_dense", "nonzero", "_to_copy"} <= watch.names
