"""Linear models among the networks of the default ensemble, for tables so small that networks alone predict worse than these.

Each is fitted to the rows that a network was trained on, and is stored as a network of the same shape: as silu(z) - silu(-z) = z, two units
of each layer pass a score on unchanged.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.prepare import TrainingData
from manynets.spec import MLP
from manynets.tasks import Multilabel, Regression, Task
from manynets.training.trial import Member, Outcome

Array = NDArray[Any]

FEWEST_ROWS, FEW_ROWS = 10, 200  # with fewer rows there is too little to fit, and from FEW_ROWS on networks do without
PENALTIES = tuple(
    10.0**power for power in range(-2, 5)
)  # of ridge regression, which takes the one that is best when single rows are left out
MOST_STEPS = 1000  # of logistic regression


def linear_models(
    data: TrainingData, members: Sequence[Member], *, late: Callable[[], bool] = lambda: False
) -> list[tuple[Array, Array]]:
    """Return for each network the weights (O, D) and the biases (O,) of a linear model that is fitted to the same rows.

    None where there are too many rows or too few, nothing to fit, or one of them is not done before it is late. Numbers get a ridge
    regression, classes a logistic regression, on the columns that are neither piecewise-linear nor of text.
    """
    rows, task, spec = data.problem.rows, data.problem.task, members[0].spec
    count = len(rows) if data.rows is None else len(data.rows)
    assert isinstance(spec, MLP)
    few = FEWEST_ROWS <= count < FEW_ROWS and 2 * task.outputs <= min(spec.hidden)
    assert data.encoder is not None
    plain = ~(data.encoder.piecewise | data.encoder.hashed)
    if not few or isinstance(task, Multilabel) or not plain.any() or any(member.validation_rows is None for member in members):
        return []
    x, target = rows.x.double().cpu().numpy(), rows.target.cpu().numpy()
    weight = None if rows.weight is None else rows.weight.double().cpu().numpy()
    out = []
    for member in members:
        own = slice(None) if member.rows is None else member.rows
        found = None if late() else _fitted(task, x[own][:, plain], target[own], None if weight is None else weight[own])
        if found is None:
            return []
        first = np.zeros((task.outputs, len(plain)))
        first[:, plain] = found[0]
        out.append((first, found[1]))
    return out


def linear_networks(models: Sequence[tuple[Array, Array]], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return linear models as networks in the shape of others, whose histories they have."""
    return [
        dataclasses.replace(outcome, parameters=_as_network(outcome.parameters, *model), divergence=None)
        for model, outcome in zip(models, outcomes, strict=False)
    ]


def _fitted(task: Task, x: Array, target: Array, weight: Array | None) -> tuple[Array, Array] | None:
    """Return the weights (O, D) and the biases (O,) of the scores; None where a class has no row."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, RidgeCV

    if isinstance(task, Regression):
        ridge = RidgeCV(alphas=PENALTIES).fit(x, target, sample_weight=weight)
        return np.reshape(ridge.coef_, (task.outputs, -1)), np.reshape(ridge.intercept_, -1)
    classes = target.reshape(-1).astype(np.int64)
    present = np.unique(classes if weight is None else classes[weight > 0])
    if len(present) < max(task.outputs, 2):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        logistic = LogisticRegression(max_iter=MOST_STEPS).fit(x, classes, sample_weight=weight)
    if task.outputs == 2:  # for two classes scikit-learn has one score, the second class's above the first's
        return np.concatenate([np.zeros_like(logistic.coef_), logistic.coef_]), np.append(0.0, logistic.intercept_)
    return logistic.coef_, logistic.intercept_


def _as_network(like: dict[str, Array], weight: Array, bias: Array) -> dict[str, Array]:
    """Return the parameters of a network in the shape of another, whose scores are x @ weight.T + bias.

    >>> like = {"hidden0.weight": np.ones((2, 1)), "hidden0.bias": np.ones(2), "output.weight": np.ones((1, 2)), "output.bias": np.ones(1)}
    >>> {name: value.tolist() for name, value in _as_network(like, np.array([[3.0]]), np.array([5.0])).items()}
    {'hidden0.weight': [[3.0], [-3.0]], 'hidden0.bias': [5.0, -5.0], 'output.weight': [[1.0, -1.0]], 'output.bias': [0.0]}
    """
    out = {name: np.ones_like(value) if name == "input_scale.weight" else np.zeros_like(value) for name, value in like.items()}
    count, layers = len(bias), sum(name.startswith("hidden") and name.endswith(".weight") for name in like)
    pair = np.concatenate([np.eye(count), -np.eye(count)], axis=1)  # from two units of each score to the score
    out["hidden0.weight"][: 2 * count] = pair.T @ weight
    out["hidden0.bias"][: 2 * count] = pair.T @ bias
    for layer in range(1, layers):
        out[f"hidden{layer}.weight"][: 2 * count, : 2 * count] = pair.T @ pair
    out["output.weight"][:, : 2 * count] = pair
    return out
