"""The losses on tensors: values by hand, derivatives by central differences, extreme scores, weights."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import manynets as mn
from manynets.tasks.base import Task
from manynets.tasks.losses import loss_for
from manynets.tasks.objectives import Objective, objective_for
from tests.tolerances import assert_close

RAW = mn.Regression(center=(0.0,), scale=(1.0,))
PAIR = mn.Regression(center=(10.0, 0.0), scale=(2.0, 0.5), flat=False)
BINARY = mn.Binary(classes=("no", "yes"))
THREE = mn.Multiclass(classes=("a", "b", "c"))
LABELS = mn.Multilabel(count=2)


def f64(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def rows_of(task: Task, recipe: mn.Recipe, scores: Any, target: Any, smoothing: float = 0.0) -> list[float]:
    objective = objective_for(task, recipe)
    encoded = torch.tensor(target) if task.name == "multiclass" else f64(target)
    return objective.rows(f64(scores), objective.expand(encoded, smoothing, torch.float64)).tolist()


LN2 = math.log(2)
HAND: list[tuple[Task, dict[str, Any], Any, Any, list[float]]] = [
    (RAW, {}, [[3.0], [1.0]], [[1.0], [1.5]], [4.0, 0.25]),
    (RAW, {"loss": "half_squared_error"}, [[3.0]], [[1.0]], [2.0]),
    (RAW, {"loss": "absolute_error"}, [[3.0], [1.0]], [[1.0], [1.5]], [2.0, 0.5]),
    (RAW, {"loss": "huber", "delta": 1.0}, [[3.0], [1.0]], [[1.0], [1.5]], [1.5, 0.125]),
    (RAW, {"loss": "huber", "delta": 0.5}, [[3.0]], [[1.0]], [0.5 * (2 - 0.25)]),
    (RAW, {"loss": "quantile", "quantile": 0.9}, [[1.0], [3.0]], [[3.0], [1.0]], [0.9 * 2, 0.1 * 2]),
    (RAW, {"loss": "poisson"}, [[0.0], [LN2]], [[2.0], [2.0]], [2 * LN2 - 2 + 1, 0.0]),
    (RAW, {"loss": "poisson"}, [[-1.0]], [[0.0]], [math.exp(-1)]),
    (PAIR, {}, [[1.0, 3.0]], [[0.0, 1.0]], [(1 + 4) / 2]),
    (PAIR, {"loss": "half_squared_error"}, [[1.0, 3.0]], [[0.0, 1.0]], [(1 + 4) / 2]),
    (PAIR, {"loss": "absolute_error"}, [[1.0, 3.0]], [[0.0, 1.0]], [1.5]),
    (BINARY, {}, [[0.0], [LN2], [LN2]], [[1.0], [1.0], [0.0]], [LN2, math.log(1.5), math.log(3)]),
    (THREE, {}, [[0.0, 0.0, 0.0], [LN2, 0.0, 0.0]], [2, 0], [math.log(3), LN2]),
    (THREE, {"loss": "log_loss"}, [[LN2, 0.0, 0.0]], [0], [LN2]),
    (LABELS, {}, [[0.0, LN2]], [[1.0, 1.0]], [(LN2 + math.log(1.5)) / 2]),
    (LABELS, {"loss": "log_loss"}, [[0.0, LN2]], [[1.0, 1.0]], [LN2 + math.log(1.5)]),
]


@pytest.mark.parametrize(("task", "options", "scores", "target", "expected"), HAND)
def test_values_by_hand(task: Task, options: dict[str, Any], scores: Any, target: Any, expected: list[float]) -> None:
    assert_close(rows_of(task, mn.Recipe(**options), scores, target), expected, "float64")


def test_label_smoothing_by_hand() -> None:
    """s = 0.3 over three classes: the target is 0.8, 0.1, 0.1; of two: 0.85 and 0.15."""
    log = [LN2 - math.log(4), -math.log(4), -math.log(4)]
    expected = -(0.8 * log[0] + 0.1 * log[1] + 0.1 * log[2])
    assert_close(rows_of(THREE, mn.Recipe(), [[LN2, 0.0, 0.0]], [0], 0.3), [expected], "float64")
    expected = -(0.85 * math.log(2 / 3) + 0.15 * math.log(1 / 3))
    assert_close(rows_of(BINARY, mn.Recipe(), [[LN2]], [[1.0]], 0.3), [expected], "float64")


def test_smoothing_may_differ_by_network() -> None:
    objective = objective_for(THREE, mn.Recipe())
    column = f64([0.0, 0.3]).view(2, 1, 1)
    expanded = objective.expand(torch.tensor([[0, 1]]), column, torch.float64)
    assert expanded.shape == (2, 2, 3)
    assert_close(expanded[1, 1].clone(), f64([0.1, 0.8, 0.1]), "float64")
    assert_close(expanded[0, 0].clone(), f64([1.0, 0.0, 0.0]), "float64")


def test_the_report_is_in_the_users_unit() -> None:
    z, t = f64([[1.0, 3.0]]), f64([[0.0, 1.0]])
    squared = objective_for(PAIR, mn.Recipe()).report(z, t)
    assert_close(squared, f64([(1 * 4 + 4 * 0.25) / 2]), "float64")
    absolute = objective_for(PAIR, mn.Recipe(loss="absolute_error")).report(z, t)
    assert_close(absolute, f64([(1 * 2 + 2 * 0.5) / 2]), "float64")


EVERY: list[tuple[Task, str]] = [
    *[(task, loss) for task in (RAW, PAIR) for loss in mn.Regression.losses if loss != "poisson"],
    (RAW, "poisson"),
    *[(task, loss) for task in (BINARY, THREE, LABELS) for loss in task.losses],
]


def case_of(task: Task, loss: str, seed: int) -> tuple[Objective, torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    objective = objective_for(task, mn.Recipe(loss=loss, quantile=0.3, delta=0.7))  # type: ignore[arg-type]
    z = torch.from_numpy(random.normal(size=(2, 7, task.outputs)) * 2)
    if task.name == "multiclass":
        target, smoothing = torch.from_numpy(random.integers(0, 3, (2, 7))), 0.1
    elif task.name == "regression":
        values = random.poisson(2.0, (2, 7, 1)) if loss == "poisson" else random.normal(size=(2, 7, task.outputs))
        target, smoothing = torch.from_numpy(values.astype(np.float64)), 0.0
    else:
        target, smoothing = torch.from_numpy(random.integers(0, 2, (2, 7, task.outputs)).astype(np.float64)), 0.1
    return objective, z, objective.expand(target, smoothing, torch.float64)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("task", "loss"), EVERY)
def test_the_derivative_is_that_of_central_differences_and_of_autograd(task: Task, loss: str, seed: int) -> None:
    objective, z, target = case_of(task, loss, seed)
    actual = torch.empty_like(z)
    objective.gradient(z, target, out=actual)
    numeric, step = torch.empty_like(z), 1e-6
    for o in range(z.shape[-1]):
        move = torch.zeros_like(z)
        move[..., o] = step
        numeric[..., o] = (objective.rows(z + move, target) - objective.rows(z - move, target)) / (2 * step)
    assert_close(actual, numeric, "numeric")
    leaf = z.clone().requires_grad_()
    objective.rows(leaf, target).sum().backward()
    assert leaf.grad is not None
    assert_close(actual, leaf.grad, "float64")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("task", [BINARY, THREE, LABELS, RAW])
def test_extreme_scores_stay_finite(task: Task, dtype: torch.dtype) -> None:
    objective = objective_for(task, mn.Recipe())
    for sign in (1.0, -1.0):
        z = torch.zeros(4, task.outputs, dtype=dtype)
        z[:, 0] = sign * 1e4
        codes = torch.tensor([0, 1, 0, 1])
        target = codes if task.name == "multiclass" else codes.unsqueeze(1).expand(4, task.outputs).to(dtype)
        expanded, gradient = objective.expand(target, 0.0, dtype), torch.empty_like(z)
        rows = objective.rows(z, expanded)
        objective.gradient(z, expanded, out=gradient)
        assert torch.isfinite(rows).all()
        assert torch.isfinite(gradient).all()
        if task.name == "binary":  # right with certainty costs nothing, wrong with certainty 1e4
            assert sorted(set(rows.tolist())) == [0.0, 1e4]
        if task.name == "multiclass" and sign > 0:
            assert rows.tolist() == [0.0, 1e4, 0.0, 1e4]
        if task.name != "regression":
            probabilities = task.proba(z.numpy())
            assert np.isfinite(probabilities).all()


@given(st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=1, max_size=6))
def test_binary_is_softmax_over_two_classes_with_one_score_at_zero(rows: list[tuple[float, bool]]) -> None:
    z = [[score] for score, _ in rows]
    one = rows_of(BINARY, mn.Recipe(), z, [[float(label)] for _, label in rows], 0.2)
    two = rows_of(
        mn.Multiclass(classes=("no", "yes")), mn.Recipe(), [[0.0, s] for [s] in z], [int(label) for _, label in rows], 0.2
    )
    assert_close(one, two, "float64")
    pair = np.concatenate([np.zeros((len(z), 1)), np.array(z)], axis=1)
    both = mn.Multiclass(classes=("no", "yes"))
    assert_close(BINARY.proba(np.array(z)), both.proba(pair), "float64")
    assert BINARY.predict(np.array(z)).tolist() == both.predict(pair).tolist()


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "multilabel"])
def test_a_row_with_weight_two_is_a_row_twice(task: str) -> None:
    """In a full batch: loss, metric and the trained weights are the same."""
    random = np.random.default_rng(0)
    x = random.normal(size=(12, 3))
    y: Any = {
        "regression": random.normal(size=12),
        "binary": np.arange(12) % 2,
        "multiclass": np.arange(12) % 3,
        "multilabel": random.integers(0, 2, (12, 2)),
    }[task]
    found = mn.Regression(center=(0.0,), scale=(1.0,)) if task == "regression" else task
    weight = np.where(np.arange(12) < 4, 2.0, 1.0)
    twice = np.concatenate([np.arange(12), np.arange(4)])
    recipe = mn.Recipe(optimizer=mn.SGD(lr=0.1, momentum=0.5), epochs=4, dtype="float64", shuffle=False, l2=0.01)
    spec = mn.MLP(hidden=(4,), activation="tanh")
    once = mn.train(x, y, spec, recipe, task=found, sample_weight=weight, scaling=False, progress=False)
    double = mn.train(x[twice], y[twice], spec, recipe, task=found, scaling=False, progress=False)
    assert_close(once.members[0], double.members[0], "float64")
    assert_close(once.history["loss"], double.history["loss"], "float64")
    assert_close(once.history[once.task.metric], double.history[once.task.metric], "float64")
    a, b = once.evaluate(x, y, sample_weight=weight), double.evaluate(x[twice], y[twice])
    for name in ("loss", once.task.metric):
        assert_close(a[name], b[name], "float64", what=name)


def test_options_that_do_not_fit() -> None:
    with pytest.raises(
        mn.OptionError,
        match="loss of the task 'binary' is 'huber', but must be one of cross_entropy, log_loss; for numbers use task='regression'",
    ):
        objective_for(BINARY, mn.Recipe(loss="huber"))
    with pytest.raises(mn.OptionError, match=r"label_smoothing is 0\.1, but a regression target has no labels"):
        objective_for(RAW, mn.Recipe(label_smoothing=0.1))
    with pytest.raises(mn.OptionError, match="standardise=False"):
        objective_for(dataclasses.replace(RAW, scale=(2.0,)), mn.Recipe(loss="poisson"))


def test_the_metric_of_regression_is_r2() -> None:
    objective = objective_for(PAIR, mn.Recipe())
    hits = objective.hits(f64([[1.0, 3.0], [0.0, 1.0]]), f64([[0.0, 1.0], [0.0, 1.0]]))
    assert_close(hits, f64([[1.0, 4.0], [0.0, 0.0]]), "float64")
    metric = objective.loss.metric(np.array([[0.5, 2.0], [0.0, 1.0]]), np.array([[1.0, 4.0], [0.0, 0.0]]))
    assert_close(metric, np.array([(0.5 + 0.5) / 2, (1.0 + 0.0) / 2]), "float64")


def test_hits_of_classes_and_labels() -> None:
    three = objective_for(THREE, mn.Recipe())
    scores = f64([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 2.0, 1.0], [2.0, 2.0, 1.0]])
    assert three.hits(scores, three.expand(torch.tensor([0, 2, 0, 1]), 0.2, torch.float64)).tolist() == [
        [1.0],
        [0.0],
        [1.0],
        [0.0],
    ]  # ties: the first
    many = torch.randn(4, 3, 50, 3, generator=torch.Generator().manual_seed(0))
    codes = torch.arange(50) % 3
    assert torch.equal(three.hits(many, three.expand(codes, 0.0, torch.float32))[..., 0], (many.argmax(-1) == codes).float())
    labels = objective_for(LABELS, mn.Recipe())
    assert labels.hits(f64([[2.0, -1.0], [2.0, 1.0]]), f64([[1.0, 0.0], [1.0, 0.0]])).tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("task", "options"), [(task, options) for task, options, *_ in HAND])
def test_the_log_is_that_of_numpy(task: Task, options: dict[str, Any], smoothing: float, weighted: bool) -> None:
    random = np.random.default_rng(3)
    recipe = mn.Recipe(**options)
    objective, loss = objective_for(task, recipe), loss_for(task, recipe)
    shape = (4, 3, 5, task.outputs)
    number = isinstance(task, mn.Regression)
    drawn = random.integers(0, max(2, task.outputs), shape[:-1] if task.name == "multiclass" else shape)
    target = torch.from_numpy(drawn if task.name == "multiclass" else drawn.astype(np.float64))
    expanded = objective.expand(target, 0.0 if number else smoothing, torch.float64)
    scores, weight = random.standard_normal(shape), random.uniform(0, 2, shape[:-1]) if weighted else None
    penalty = random.uniform(0, 1, shape[:2])
    found = objective.log(
        torch.from_numpy(scores), expanded, None if weight is None else torch.from_numpy(weight), torch.from_numpy(penalty)
    )
    assert_close(found.numpy(), loss.log(scores, expanded.numpy(), weight, penalty), "float64")
