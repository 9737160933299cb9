"""Closed form and compiled core equal autograd in float64, for every activation, task, loss, mask, norm, penalty and optimizer."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import manynets as mn
from manynets.spec import Activation
from manynets.training.trial import Problem
from tests.training.problems import TASKS, assert_same_outcome, member_of, problem_of, run

ACTIVATIONS = list(get_args(Activation))
LOSSES = {
    "regression": ["squared_error", "half_squared_error", "absolute_error", "huber", "quantile"],
    "regression2": ["squared_error", "half_squared_error", "absolute_error", "huber", "quantile"],
    "counts": ["poisson"],
    "binary": ["cross_entropy", "log_loss"],
    "multiclass": ["cross_entropy", "log_loss"],
    "multilabel": ["cross_entropy", "log_loss"],
}


def assert_ways_agree(problem: Problem, spec: mn.MLP, recipe: mn.Recipe, rows: Any = None) -> None:
    auto, *others = (
        run(problem, member_of(problem, 0, spec, dataclasses.replace(recipe, gradient=way), rows=rows))[0]
        for way in ("autograd", "closed_form", "compiled")
    )
    for other in others:
        assert_same_outcome(other, auto, "float64")
    start = member_of(problem, 0, spec, recipe).initial
    assert (
        any(not np.array_equal(auto.parameters[name], start[name]) for name in start) or not spec.bias
    )  # it did train, but for a dead network


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_one_gradient(activation: Activation, norm: bool) -> None:
    """One SGD step with lr 1: the weights differ by the gradient itself."""
    problem = problem_of("multiclass")
    spec = mn.MLP(hidden=(6, 5), activation=activation, batch_norm=norm, dropout=0.3, input_dropout=0.1)
    assert_ways_agree(problem, spec, mn.Recipe(optimizer=mn.SGD(lr=1.0), iterations=1, batch_size=16, dtype="float64", seed=2))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("task", "loss"), [(task, loss) for task, names in LOSSES.items() for loss in names])
def test_every_loss_one_gradient(task: str, loss: Any, weighted: bool) -> None:
    problem = problem_of(task, weighted=weighted, standardise=loss != "poisson")
    recipe = mn.Recipe(
        optimizer=mn.SGD(lr=1.0, momentum=0.1), iterations=1, batch_size=16, dtype="float64", loss=loss, quantile=0.2, delta=0.4
    )
    assert_ways_agree(problem, mn.MLP(hidden=(6,), activation="tanh"), recipe)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("hidden", [(6,), (6, 5)])
@pytest.mark.parametrize("optimizer", [mn.SGD(lr=0.1), mn.Adam(lr=0.1, eps=1e-4)])
def test_one_output_of_relu_units_alone_and_together(optimizer: Any, hidden: tuple[int, ...], norm: bool) -> None:
    problem = problem_of("regression")
    every: list[list[Any]] = []
    for gradient in ("autograd", "closed_form", "compiled"):
        recipe = mn.Recipe(optimizer=optimizer, epochs=2, batch_size=16, dtype="float64", gradient=gradient)
        specs = [mn.MLP(hidden=hidden, batch_norm=norm, dropout=rate) for rate in (0.0, 0.4)]  # masks of their own
        members = [member_of(problem, k, spec, recipe) for k, spec in enumerate(specs)]
        every.append([*run(problem, *members), *run(problem, members[0])])
    for auto, *others in zip(*every, strict=True):
        for other in others:
            assert_same_outcome(other, auto, "float64")


RATE = st.one_of(st.just(0.0), st.floats(0.05, 0.5))
LR = st.floats(1e-3, 0.05)
EPS = st.just(1e-4)
OPTIMIZERS = st.one_of(
    st.builds(mn.SGD, lr=LR, momentum=RATE, weight_decay=RATE),
    st.builds(mn.SGD, lr=LR, momentum=st.floats(0.1, 0.9), nesterov=st.just(True)),
    st.builds(mn.Adam, lr=LR, eps=EPS, weight_decay=RATE),
    st.builds(mn.AdamW, lr=LR, eps=EPS, weight_decay=RATE),
    st.builds(mn.NAdam, lr=LR, eps=EPS, weight_decay=RATE),
    st.builds(mn.RMSprop, lr=st.floats(1e-4, 1e-2), eps=st.just(1e-3), momentum=RATE),
    st.builds(mn.Adagrad, lr=LR, eps=EPS, weight_decay=RATE),
    st.builds(mn.Lion, lr=LR, weight_decay=RATE),
)


@st.composite
def trainings(draw: st.DrawFn) -> tuple[Problem, mn.MLP, mn.Recipe, Any]:
    task = draw(st.sampled_from((*TASKS, "counts")))
    loss = draw(st.sampled_from(LOSSES[task]))
    rows = draw(st.sampled_from([17, 24, 33]))
    problem = problem_of(task, rows=rows, weighted=draw(st.booleans()), standardise=task != "counts")
    depth = draw(st.integers(0, 3))
    activation, optimizer = draw(st.sampled_from(ACTIVATIONS)), draw(OPTIMIZERS)
    # Between two norms without an activation a shift has no gradient but rounding, which an optimizer may make as large as it likes;
    # so has the bias before a norm, of which Lion takes the sign.
    normable = (depth == 1 or (depth > 1 and activation != "identity")) and not isinstance(optimizer, mn.Lion)
    spec = mn.MLP(
        hidden=tuple(draw(st.lists(st.integers(2, 6), min_size=depth, max_size=depth))),
        activation=activation,
        dropout=tuple(draw(st.lists(RATE, min_size=depth, max_size=depth))),
        input_dropout=draw(RATE),
        batch_norm=draw(st.booleans()) and normable,
        bias=draw(st.booleans()),
    )
    recipe = mn.Recipe(
        optimizer=optimizer,
        epochs=2,
        batch_size=draw(st.sampled_from([8, 16, 5])),  # 17 and 33 rows in 8: a last batch of one row, merged for batch norm
        l1=draw(st.sampled_from([0.0, 1e-3])),
        l2=draw(RATE),
        label_smoothing=0.0 if task.startswith("regr") or task == "counts" else draw(RATE),
        clip_norm=draw(st.one_of(st.none(), st.floats(0.1, 2.0))),
        shuffle=draw(st.booleans()),
        loss=draw(st.sampled_from([None, loss])) if task != "counts" else loss,
        quantile=draw(st.floats(0.1, 0.9)),
        delta=draw(st.floats(0.1, 2.0)),
        seed=draw(st.integers(0, 5)),
        dtype="float64",
    )
    return problem, spec, recipe, draw(st.sampled_from([None, np.arange(1, rows)]))


@settings(max_examples=120)
@given(trainings())
def test_every_stepper_is_autograd(drawn: tuple[Problem, mn.MLP, mn.Recipe, Any]) -> None:
    assert_ways_agree(*drawn)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_bfloat16_products_are_those_of_autocast(bias: bool, norm: bool, momentum: float) -> None:
    """A step is as far from that of float32 as autocast's is, and no farther from autocast's, which rounds the biases too."""
    problem = problem_of("multiclass", rows=64, columns=12, dtype=torch.float32)
    spec = mn.MLP(hidden=(32, 16), batch_norm=norm, bias=bias, dropout=0.2)
    ways: dict[str, Any] = {}
    for name, gradient, precision in (
        ("autocast", "autograd", "bf16"),
        ("ours", "closed_form", "bf16"),
        ("full", "closed_form", "full"),
    ):
        recipe = mn.Recipe(
            optimizer=mn.SGD(lr=1.0, momentum=momentum), iterations=1, batch_size=64, gradient=gradient, precision=precision
        )
        member = member_of(problem, 0, spec, recipe)
        after = run(problem, member)[0].parameters
        ways[name] = np.concatenate([(after[n] - member.initial[n]).ravel() for n in member.initial if n in after])
    assert not np.array_equal(ways["ours"], ways["full"])
    apart, rough, theirs = (
        np.linalg.norm(ways[one] - ways[other]) for one, other in (("ours", "autocast"), ("ours", "full"), ("autocast", "full"))
    )
    assert apart < theirs
    assert rough < 1.1 * theirs < 0.1 * np.linalg.norm(ways["full"])


def test_a_last_batch_of_one_row_joins_the_one_before_only_for_batch_norm() -> None:
    problem = problem_of("multiclass", rows=33)
    recipe = mn.Recipe(epochs=1, batch_size=8, dtype="float64")
    steps = [
        run(problem, member_of(problem, 0, mn.MLP(hidden=(4,), batch_norm=norm), recipe))[0].history["step"]
        for norm in (False, True)
    ]
    assert steps == [[5.0], [4.0]]


@pytest.mark.parametrize("change", [{"batch_size": 1}, {"batch_size": None}])
def test_batch_norm_over_one_row_is_refused(change: dict[str, Any]) -> None:
    problem = problem_of("multiclass", rows=33)
    rows = None if change["batch_size"] else np.array([3])
    member = member_of(problem, 0, mn.MLP(hidden=(4,), batch_norm=True), mn.Recipe(**change), rows=rows)
    with pytest.raises(mn.OptionError, match="batch_norm needs at least 2 rows in a batch"):
        run(problem, member)
