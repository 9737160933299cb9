"""Linear models among the networks of the default ensemble, for tables that are so small, or so linear, that networks alone predict worse.

Each is fitted to the rows that a network was trained on, and is stored as a network of the same shape: as silu(z) - silu(-z) = z, two units
of each layer pass a score on unchanged.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.prepare import TrainingData
from manynets.spec import MLP
from manynets.tabular.calibration import calibrated_loss
from manynets.tabular.finish import scores_out_of_fold
from manynets.tasks import Multilabel, Regression, Task
from manynets.training.trial import Member, Outcome

Array = NDArray[Any]

FEWEST_ROWS, FEW_ROWS = 10, 200  # with fewer rows there is too little to fit, and from FEW_ROWS on networks mostly do without
MOST_ROWS, MOST_NUMBERS = 8000, 10_000_000  # rows, and rows x columns x scores, up to which they are tried
FAR_BETTER = 0.9  # the loss of a linear model by that of a network, where a mean of networks does not make up for it
PENALTIES = tuple(
    10.0**power for power in range(-2, 5)
)  # of ridge regression, which takes the one that is best when single rows are left out
MOST_STEPS = 1000  # of logistic regression
_TURNS = [Lock()]  # at the warning filters, which all threads have in common
if hasattr(os, "register_at_fork"):  # a thread that held it does not live on in a forked child
    os.register_at_fork(after_in_child=lambda: _TURNS.__setitem__(0, Lock()))


def linear_models(
    data: TrainingData, members: Sequence[Member], *, late: Callable[[], bool] = lambda: False, most: int = FEW_ROWS - 1
) -> list[tuple[Array, Array]]:
    """Return for each network the weights (O, D) and the biases (O,) of a linear model that is fitted to the same rows.

    None where there are more than the most rows or too few, nothing to fit, or one of them is not done before it is late. Numbers get a ridge
    regression, classes a logistic regression, on the columns that are neither piecewise-linear nor of text.
    """
    rows, task, spec = data.problem.rows, data.problem.task, members[0].spec
    count = len(rows) if data.rows is None else len(data.rows)
    assert isinstance(spec, MLP)
    few = FEWEST_ROWS <= count <= most and 2 * task.outputs <= min(spec.hidden)
    plain = _plain(data)
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


def better_linear_models(
    data: TrainingData, members: Sequence[Member], outcomes: Sequence[Outcome], *, late: Callable[[], bool] = lambda: False
) -> list[tuple[Array, Array]]:
    """Return `linear_models` for more rows, if the first of them is far better than the first network on rows new to both; else None."""
    rows, task, held_out = data.problem.rows, data.problem.task, members[0].validation_rows
    count = len(rows) if data.rows is None else len(data.rows)
    width = int(_plain(data).sum())
    if not FEW_ROWS <= count <= MOST_ROWS or count * width * task.outputs > MOST_NUMBERS or held_out is None:
        return []
    first = linear_models(data, members[:1], late=late, most=MOST_ROWS)
    network = scores_out_of_fold(data, members[:1], outcomes[:1])
    if not first or network is None:
        return []
    weight, bias = first[0]
    linear = rows.x[held_out].double().cpu().numpy() @ weight.T + bias
    target = rows.target[held_out].cpu().numpy()
    counted = None if rows.weight is None else rows.weight[held_out].double().cpu().numpy()
    loss, of_network = (calibrated_loss(scores, target, task, counted) for scores in (linear, network[held_out]))
    if not loss < FAR_BETTER * of_network:  # also where one of them is not finite
        return []
    others = linear_models(data, members[1:], late=late, most=MOST_ROWS) if len(members) > 1 else []
    return first + others if len(others) == len(members) - 1 else []


def linear_networks(models: Sequence[tuple[Array, Array]], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return linear models as networks in the shape of others, whose histories they have."""
    return [
        dataclasses.replace(outcome, parameters=_as_network(outcome.parameters, *model), divergence=None)
        for model, outcome in zip(models, outcomes, strict=False)
    ]


def _plain(data: TrainingData) -> Array:
    """Return a mask (D,) of the columns that are neither piecewise-linear nor text."""
    assert data.encoder is not None
    return ~(data.encoder.piecewise | data.encoder.hashed)


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
    with _TURNS[0], warnings.catch_warnings():
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
