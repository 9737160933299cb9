"""K networks trained together equal each trained alone: same start, same batches, same masks, same end."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import manynets as mn
from manynets.spec import Schedule
from manynets.training.groups import groups_of, train_members
from manynets.training.trial import Member, Problem
from tests.training.problems import TASKS, assert_same_outcome, member_of, problem_of, run

ROWS, BATCH = 40, 8

SCHEDULES: list[Schedule] = [
    mn.Constant(),
    mn.Cosine(final=0.1, warmup=0.2),
    mn.OneCycle(),
    mn.Warmup(steps=7),
    mn.StepDecay(every=2, gamma=0.5),
    mn.PiecewiseConstant(steps=(2, 5), factors=(0.5, 2.0)),
    mn.Exponential(gamma=0.8),
    mn.ReduceOnPlateau(factor=0.5, patience=0, min_delta=0.05),
]


def assert_together_is_alone(problem: Problem, members: list[Member], kind: str = "float64") -> None:
    assert len(groups_of(problem, members)) == 1
    together = run(problem, *members)
    for outcome, member in zip(together, members, strict=True):
        assert_same_outcome(outcome, run(problem, member)[0], kind)


def rates(most: float) -> st.SearchStrategy[float]:
    return st.one_of(st.just(0.0), st.floats(0.05, most))


OPTIMIZERS: dict[str, st.SearchStrategy[Any]] = {
    "sgd": st.builds(mn.SGD, lr=st.floats(1e-3, 0.2), momentum=rates(0.9), weight_decay=rates(0.1)),
    "nesterov": st.builds(mn.SGD, lr=st.floats(1e-3, 0.1), momentum=st.floats(0.1, 0.9), nesterov=st.just(True)),
    "adam": st.builds(
        mn.Adam,
        lr=st.floats(1e-3, 0.05),
        betas=st.tuples(st.floats(0.5, 0.9), st.floats(0.8, 0.999)),
        eps=st.sampled_from([1e-4, 1e-3]),
        weight_decay=rates(0.1),
    ),
    "adamw": st.builds(mn.AdamW, lr=st.floats(1e-3, 0.05), eps=st.just(1e-4), weight_decay=rates(0.5)),
    "nadam": st.builds(mn.NAdam, lr=st.floats(1e-3, 0.05), betas=st.tuples(st.floats(0.5, 0.9), st.just(0.99)), eps=st.just(1e-4)),
    "rmsprop": st.builds(mn.RMSprop, lr=st.floats(1e-4, 0.01), alpha=st.floats(0.8, 0.99), momentum=rates(0.8), eps=st.just(1e-3)),
    "adagrad": st.builds(mn.Adagrad, lr=st.floats(1e-3, 0.1), eps=st.sampled_from([1e-3, 1e-4]), weight_decay=rates(0.1)),
    "lion": st.builds(
        mn.Lion, lr=st.floats(1e-3, 0.05), betas=st.tuples(st.floats(0.5, 0.9), st.just(0.99)), weight_decay=rates(0.5)
    ),
}


@st.composite
def populations(draw: st.DrawFn) -> tuple[Problem, list[Member]]:
    task = draw(st.sampled_from(TASKS))
    problem = problem_of(task, rows=ROWS + 10, weighted=draw(st.booleans()), seed=draw(st.integers(0, 3)))
    hidden = draw(st.sampled_from([(), (5,), (6, 3)]))
    kind = draw(st.sampled_from(sorted(OPTIMIZERS)))
    norm = draw(st.booleans()) and bool(hidden) and kind != "lion"  # which takes the sign of gradients that are 0 but for rounding
    common = mn.MLP(hidden=hidden, activation=draw(st.sampled_from(["relu", "tanh", "gelu"])), batch_norm=norm)
    validated, keep = draw(st.booleans()), draw(st.sampled_from(["best", "last"]))
    shared, gradient = draw(st.booleans()), draw(st.sampled_from(["closed_form", "compiled"]))
    members = []
    for number in range(draw(st.integers(2, 4))):
        spec = dataclasses.replace(common, dropout=tuple(draw(rates(0.6)) for _ in hidden), input_dropout=draw(rates(0.4)))
        recipe = mn.Recipe(
            optimizer=draw(OPTIMIZERS[kind]),
            schedule=draw(st.sampled_from(SCHEDULES)),
            epochs=draw(st.integers(1, 5)),
            batch_size=BATCH,
            l1=draw(rates(0.1)) * 0.01,
            l2=draw(rates(0.1)),
            label_smoothing=0.0 if task.startswith("regression") else draw(rates(0.3)),
            clip_norm=draw(st.one_of(st.none(), st.floats(0.05, 1.0))),
            stopping=draw(st.one_of(st.none(), st.builds(mn.EarlyStopping, patience=st.integers(1, 2), min_delta=rates(0.1)))),
            watch="loss",
            keep=keep,
            seed=draw(st.integers(0, 2)) if shared else number,
            gradient=gradient,
            dtype="float64",
        )
        rows = validation = None
        if validated:  # folds of different size: 33 to 40 rows are five steps of 8
            order = np.random.default_rng(number).permutation(ROWS + 10)
            count = draw(st.integers(ROWS - 6, ROWS))
            rows, validation = np.sort(order[:count]), np.sort(order[count:])
        weight = None
        if draw(st.booleans()):  # its own weights, some of them zero
            random = np.random.default_rng(100 + number)
            weight = random.uniform(0.2, 2.0, ROWS + 10) * (random.random(ROWS + 10) > draw(rates(0.3)))
        members.append(member_of(problem, number, spec, recipe, rows=rows, validation_rows=validation, weight=weight))
    return problem, members


@settings(max_examples=120)
@given(populations())
def test_together_is_alone(drawn: tuple[Problem, list[Member]]) -> None:
    assert_together_is_alone(*drawn)


@settings(max_examples=40)
@given(populations())
def test_together_is_alone_by_autograd(drawn: tuple[Problem, list[Member]]) -> None:
    problem, members = drawn
    assert_together_is_alone(
        problem, [dataclasses.replace(m, recipe=dataclasses.replace(m.recipe, gradient="autograd")) for m in members]
    )


MEMBER_DIFFERENCES: dict[str, list[dict[str, Any]]] = {
    "momentum of the one that stops first": [
        {"optimizer": mn.SGD(lr=0.1, momentum=0.9), "epochs": 2},
        {"optimizer": mn.SGD(lr=0.1), "epochs": 4},
        {"optimizer": mn.SGD(lr=0.05), "epochs": 5},
    ],
    "momentum of the one that stays": [
        {"optimizer": mn.SGD(lr=0.1), "epochs": 2},
        {"optimizer": mn.SGD(lr=0.1, momentum=0.9), "epochs": 4},
    ],
    "rmsprop's momentum": [
        {"optimizer": mn.RMSprop(lr=0.01, momentum=0.9, eps=1e-4), "epochs": 1},
        {"optimizer": mn.RMSprop(lr=0.02, eps=1e-4), "epochs": 3},
    ],
    "adam alike but for lr, one stops": [
        {"optimizer": mn.Adam(lr=0.1, eps=1e-4), "epochs": 2},
        {"optimizer": mn.Adam(lr=0.01, eps=1e-4), "epochs": 4},
        {"optimizer": mn.Adam(lr=0.01, eps=1e-4), "epochs": 5},
    ],
    "nadam, one stops": [
        {"optimizer": mn.NAdam(lr=0.01, eps=1e-4), "epochs": 1},
        {"optimizer": mn.NAdam(lr=0.02, betas=(0.8, 0.9), eps=1e-4), "epochs": 4},
    ],
    "each its schedule": [{"schedule": schedule, "epochs": 3 + i} for i, schedule in enumerate(SCHEDULES)],
    "patience": [
        {"stopping": mn.EarlyStopping(patience=1, min_delta=0.5), "epochs": 9},
        {"stopping": mn.EarlyStopping(patience=3, min_delta=0.2), "epochs": 9},
        {"epochs": 3},
    ],
    "smoothing": [{"label_smoothing": 0.0}, {"label_smoothing": 0.1}, {"label_smoothing": 0.3}],
    "clip": [{"clip_norm": None}, {"clip_norm": 0.1}, {"clip_norm": 1.0, "l1": 0.01}],
    "iterations": [{"iterations": 12, "evaluate_every": 5}] * 2,
}


@pytest.mark.parametrize("gradient", ["compiled", "closed_form", "autograd"])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("case", MEMBER_DIFFERENCES)
def test_named_differences(case: str, norm: bool, gradient: str) -> None:
    problem = problem_of("multiclass")
    validation = np.arange(30, 40)
    members = []
    for number, change in enumerate(MEMBER_DIFFERENCES[case]):
        recipe = mn.Recipe(
            **{"optimizer": mn.SGD(lr=0.1), "batch_size": BATCH, "seed": number, "dtype": "float64", "gradient": gradient} | change
        )
        spec = mn.MLP(hidden=(6,), batch_norm=norm, dropout=0.2)
        rows = np.arange(30 if number % 2 else 28)
        members.append(member_of(problem, number, spec, recipe, rows=rows, validation_rows=validation))
    assert_together_is_alone(problem, members)


def test_dropout_in_different_layers() -> None:
    problem = problem_of("multiclass")
    recipe = mn.Recipe(optimizer=mn.SGD(lr=0.1), batch_size=BATCH, epochs=3, dtype="float64", seed=4)
    specs = [
        mn.MLP(hidden=(5, 6), dropout=(0.3, 0.0)),
        mn.MLP(hidden=(5, 6), dropout=(0.0, 0.5)),
        mn.MLP(hidden=(5, 6), input_dropout=0.2),
        mn.MLP(hidden=(5, 6)),
    ]
    assert_together_is_alone(problem, [member_of(problem, k, spec, recipe) for k, spec in enumerate(specs)])


@pytest.mark.parametrize("gradient", ["compiled", "closed_form", "autograd"])
@pytest.mark.parametrize("norm", [False, True])
def test_one_that_diverges_leaves_the_others_alone(norm: bool, gradient: str) -> None:
    problem = problem_of("regression")
    members = [
        member_of(
            problem,
            number,
            mn.MLP(hidden=(5,), batch_norm=norm, activation="relu"),
            mn.Recipe(
                optimizer=mn.SGD(lr=lr, momentum=0.5), epochs=6, batch_size=BATCH, seed=number, dtype="float64",
                gradient=gradient, evaluate_every=3, clip_norm=clip, l2=0.01,
            ),
            rows=np.arange(34 + number),
            validation_rows=np.arange(36, 40),
        )
        for number, (lr, clip) in enumerate([(0.05, None), (1e150, None), (0.01, 0.5)])
    ]  # fmt: skip
    assert_together_is_alone(problem, members)
    outcomes = run(problem, *members)
    assert [outcome.stopped for outcome in outcomes] == ["done", "diverged", "done"]
    assert outcomes[1].divergence is not None
    assert outcomes[1].divergence.lr == 1e150
    for outcome in outcomes:
        assert all(np.isfinite(value).all() for value in outcome.parameters.values())


def test_a_rate_that_is_infinite_in_float32_leaves_the_others_alone() -> None:
    problem = problem_of("binary", dtype=torch.float32)
    recipes = [
        mn.Recipe(optimizer=mn.SGD(lr=lr), epochs=3, batch_size=BATCH, dtype="float32", gradient="compiled") for lr in (1e300, 0.05)
    ]
    first, second = [member_of(problem, k, mn.MLP(hidden=(4,)), recipe) for k, recipe in enumerate(recipes)]
    [alone] = run(problem, second)
    assert alone.stopped == "done"
    assert_same_outcome(run(problem, first, second)[1], alone, "bits")


def test_what_cannot_share_a_step_is_grouped_apart_and_comes_back_in_order() -> None:
    problem = problem_of("multiclass")
    recipe = mn.Recipe(epochs=2, batch_size=BATCH, dtype="float64")
    changes: list[tuple[mn.MLP, dict[str, Any]]] = [
        (mn.MLP(hidden=(4,)), {}),
        (mn.MLP(hidden=(5,)), {}),
        (mn.MLP(hidden=(4,)), {"optimizer": mn.Adam()}),
        (mn.MLP(hidden=(4,)), {"batch_size": 9}),
        (mn.MLP(hidden=(4,), activation="tanh"), {}),
        (mn.MLP(hidden=(4,)), {"seed": 3, "l2": 0.1}),
    ]
    members = [
        member_of(problem, number, spec, dataclasses.replace(recipe, **change)) for number, (spec, change) in enumerate(changes)
    ]
    assert [[m.number for m in group] for group in groups_of(problem, members)] == [[0, 5], [1], [2], [3], [4]]
    outcomes = train_members(problem, members)
    assert [outcome.number for outcome in outcomes] == list(range(6))
    for outcome, member in zip(outcomes, members, strict=True):
        assert_same_outcome(outcome, run(problem, member)[0], "float64")


def test_folds_of_different_size_share_their_steps() -> None:
    """29 and 32 rows in batches of 8: four steps each, the last of 5 and of 8 rows; the loss is that of the real rows."""
    problem = problem_of("regression", rows=40)
    recipe = mn.Recipe(optimizer=mn.SGD(lr=0.0), epochs=1, batch_size=8, dtype="float64")
    spec = mn.MLP(hidden=(3,))
    small, large = np.arange(29), np.arange(8, 40)
    outcomes = run(problem, *[member_of(problem, k, spec, recipe, rows=r) for k, r in enumerate((small, large))])
    model_loss = []
    for rows in (small, large):
        x, target = problem.rows.x[rows].numpy(), problem.rows.target[rows].numpy()
        p = members_start(problem, spec)
        scores = np.maximum(x @ p["hidden0.weight"].T + p["hidden0.bias"], 0) @ p["output.weight"].T + p["output.bias"]
        model_loss.append(float(np.mean((scores - target) ** 2)) * problem.task.scale[0] ** 2)  # type: ignore[attr-defined]
    assert [outcome.history["loss"][0] for outcome in outcomes] == pytest.approx(model_loss, rel=1e-12)


def members_start(problem: Problem, spec: mn.MLP) -> dict[str, Any]:
    return dict(member_of(problem, 0, spec, mn.Recipe(dtype="float64")).initial)
