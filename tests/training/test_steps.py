"""What a step costs beside its work: as much Python for many networks as for two, and no memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any, get_args

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import manynets as mn
from manynets.data.batches import SHARING
from manynets.spec import Activation
from manynets.training.loop import Run
from manynets.training.members import Member, Problem
from tests.training.problems import TASKS, member_of, problem_of


def instructions(problem: Problem, members: Sequence[Member], monkeypatch: pytest.MonkeyPatch) -> tuple[Run, int]:
    """Train members; return the run, and how many instructions of Python the steps of its last epoch took."""
    count = 0

    def tracer(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return tracer

    @contextmanager
    def traced() -> Iterator[None]:
        nonlocal count
        count = 0
        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            yield
        finally:
            sys.settrace(before)

    return trained(problem, members, traced, monkeypatch), count


class Made(TorchDispatchMode):
    """Notes what torch is called for that gives memory which none of the arguments has."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        given, made = (
            {one.untyped_storage().data_ptr() for one in tree_leaves(tree) if isinstance(one, torch.Tensor)}
            for tree in ((args, kwargs), out)
        )
        if made - given:
            self.calls.append(str(function))
        return out


def trained(
    problem: Problem,
    members: Sequence[Member],
    watch: Callable[[], AbstractContextManager[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Train members, the steps of each epoch under a watch of its own."""
    make_steps = Run._make_steps

    def watched(*arguments: Any) -> int:
        with watch():
            return make_steps(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_make_steps", watched)
        run = Run(problem, members)
        run.run()
    return run


def searched(problem: Problem, networks: int, spec: mn.MLP, recipe: mn.Recipe) -> list[Member]:
    """Return networks whose rates, penalties and seeds all differ."""
    members = []
    for number in range(networks):
        optimizer = type(recipe.optimizer)(lr=0.01 + 0.001 * number)
        l2 = recipe.l2 * (1 + number)
        own = mn.Recipe(**{**vars(recipe), "optimizer": optimizer, "l2": l2, "seed": number})
        members.append(member_of(problem, number, spec, own))
    return members


RECIPES = {
    "sgd": {"optimizer": mn.SGD()},
    "penalties": {"optimizer": mn.SGD(), "l2": 0.1, "l1": 0.1, "clip_norm": 1.0},
    "adamw": {"optimizer": mn.AdamW()},
    **{name: {"optimizer": kind()} for name, kind in {"nadam": mn.NAdam, "rmsprop": mn.RMSprop, "adagrad": mn.Adagrad}.items()},
}
SPECS = {
    "plain": mn.MLP(hidden=(6, 5)),
    "no biases": mn.MLP(hidden=(6, 5), bias=False),
    "dropout": mn.MLP(hidden=(6, 5), dropout=0.3, input_dropout=0.1),
    "norm": mn.MLP(hidden=(6, 5), batch_norm=True, dropout=0.3),
    **{name: mn.MLP(hidden=(6, 5), activation=name) for name in get_args(Activation)},
}
CASES = [
    *(("multiclass", spec, {"optimizer": mn.Adam()}) for spec in SPECS.values()),
    *((task, SPECS["plain"], {"optimizer": mn.Adam()}) for task in (*TASKS, "counts")),
    *(("binary", SPECS["plain"], recipe) for recipe in RECIPES.values()),
    *(("regression", SPECS["plain"], {"optimizer": mn.Adam(), "loss": loss}) for loss in ("huber", "absolute_error", "quantile")),
]


cases = pytest.mark.parametrize(("task", "spec", "recipe"), CASES)
weighing = pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])


@weighing
@cases
def test_a_step_of_many_takes_the_python_of_two(
    task: str, spec: mn.MLP, recipe: dict[str, Any], weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the many is a stack of its own and, with Adam, takes a kernel of its own; rows, columns and units are more too."""
    loss = {"loss": "poisson"} if task == "counts" else {}

    def taken(networks: int, times: int) -> tuple[Run, int]:
        problem = problem_of(task, rows=24 * times, columns=4 * times, weighted=weighted, standardise=task != "counts")
        wide = mn.MLP(**{**vars(spec), "hidden": tuple(times * units for units in spec.hidden)})
        made = mn.Recipe(epochs=3, batch_size=8 * times, dtype="float64", **recipe, **loss)
        return instructions(problem, searched(problem, networks, wide, made), monkeypatch)

    monkeypatch.setattr("manynets.optim.FUSED_RUN", 1)
    _, two = taken(2, 1)
    monkeypatch.setattr("manynets.training.loop.cut", lambda members, *_: [slice(k, k + 1) for k in range(len(members))])
    run, many = taken(17, 2)
    assert len(run.stacks.gradients) == 17
    assert 0 < many == two


@weighing
@cases
@pytest.mark.parametrize("kernels", [False, True], ids=["one kernel", "a kernel each"])
def test_a_step_makes_no_tensor(
    task: str, spec: mn.MLP, recipe: dict[str, Any], weighted: bool, kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = {"loss": "poisson"} if task == "counts" else {}
    problem = problem_of(task, rows=26, weighted=weighted, standardise=task != "counts")
    monkeypatch.setattr("manynets.optim.FUSED_RUN", 1 if kernels else 1 << 20)
    epochs: list[Made] = []

    def watch() -> Made:
        epochs.append(Made())
        return epochs[-1]

    made = mn.Recipe(epochs=3, batch_size=8, dtype="float64", **recipe, **loss)
    trained(problem, searched(problem, 3, spec, made), watch, monkeypatch)
    assert epochs[0].calls  # views, and what is made once
    assert epochs[-1].calls == []


def test_a_step_that_descends_takes_the_python_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of("multiclass", rows=30)
    recipe = mn.Recipe(epochs=3, batch_size=8, optimizer=mn.SGD(lr=0.05))
    networks = [member_of(problem, number, mn.MLP(hidden=(6,), dropout=0.2), recipe) for number in range(2 * SHARING)]
    _, one = instructions(problem, networks[:1], monkeypatch)
    monkeypatch.setattr("manynets.training.stacks.LAYER_BYTES", 1)
    monkeypatch.setattr("manynets.data.batches.STACK_NUMBERS", 1)
    run, many = instructions(problem, networks, monkeypatch)
    assert run._descends
    assert len(run.stacks.gradients) == 2
    assert 0 < many == one
    deeper = [member_of(problem, 0, mn.MLP(hidden=(6, 6, 6), dropout=0.2), recipe)]
    assert instructions(problem, deeper, monkeypatch)[1] == one
