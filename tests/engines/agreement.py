"""Train one problem with several engines, and compare what they return."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

import manynets as mn
from manynets.datasets import toys
from manynets.spec import Activation, Optimizer, SklearnSGD
from tests.tolerances import assert_close

__all__ = ["ACTIVATIONS", "CASES", "OPTIMIZERS", "TOYS", "assert_agree", "toy", "train"]

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
OPTIMIZERS: tuple[Optimizer, ...] = (
    mn.SGD(lr=0.1, weight_decay=0.01),
    mn.SGD(lr=0.05, momentum=0.9),
    mn.SGD(lr=0.05, momentum=0.9, nesterov=True),
    SklearnSGD(lr=0.05, momentum=0.9),
    SklearnSGD(lr=0.05, momentum=0.9, nesterov=True),
    mn.Adam(lr=0.01, weight_decay=0.01),
    mn.AdamW(lr=0.01, weight_decay=0.1),
    mn.NAdam(lr=0.01, weight_decay=0.01),
    mn.RMSprop(lr=0.005, weight_decay=0.01),
    mn.RMSprop(lr=0.002, momentum=0.8),
    mn.Adagrad(lr=0.05, weight_decay=0.01),
    mn.Lion(lr=0.002, weight_decay=0.1),
)
TOYS = ("prod", "xor", "quadrants")  # regression, two classes, four classes
# every activation, optimizer and task at least once: the shorter lists begin anew
CASES = [
    (TOYS[i % len(TOYS)], ACTIVATIONS[i % len(ACTIVATIONS)], OPTIMIZERS[i % len(OPTIMIZERS)])
    for i in range(max(len(ACTIVATIONS), len(OPTIMIZERS)))
]


def toy(name: str, points: int = 300) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return X (N, 2) and y of a toy problem."""
    data = getattr(toys, name)(points)
    return data.X, data.y


def train(engine: str, X: Any, y: Any, spec: mn.MLP, recipe: mn.Recipe, **options: Any) -> mn.Model:
    """Train without any display."""
    return mn.train(X, y, spec, recipe, engine=engine, scaling=False, progress=False, **options)  # type: ignore[arg-type]


def assert_agree(actual: mn.Model, expected: mn.Model, kind: str) -> None:
    """Fail unless both have the same columns of history, weights, best entry and end, within a tolerance."""
    histories = [{name: column for name, column in m.history.items() if name != "seconds"} for m in (actual, expected)]
    assert "loss" in histories[1]
    assert_close(histories[0], histories[1], kind, what="history")
    assert_close(actual.members[0], expected.members[0], kind, what="weights")
    assert actual.info["stopped"] == expected.info["stopped"]
    assert actual.info["best"] == expected.info["best"]
    assert len(actual.history["seconds"]) == len(expected.history["seconds"])
    assert np.all(np.diff(actual.history["seconds"]) >= 0)
