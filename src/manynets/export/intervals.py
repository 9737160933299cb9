"""The limits of `Model.predict_interval` as ONNX nodes."""

from __future__ import annotations

import numpy as np

from manynets.errors import DataError, OptionError
from manynets.export.graph import Graph
from manynets.model import Model
from manynets.tasks import Regression
from manynets.tasks.residuals import Residuals

DEFAULT_COVERAGE = 0.9


def supported(model: Model, coverage: float | None) -> float | None:
    """Return the coverage of the limits that an export has, None for no limits.

    coverage: as asked for; None: 0.9 where the model stores errors on enough held-out rows. Errors: DataError and OptionError of
    `predict_interval`, for a coverage that was asked for.
    """
    if coverage is None and model.residuals is None:
        return None
    share = DEFAULT_COVERAGE if coverage is None else coverage
    try:
        model.interval(np.zeros((model.size, 1, model.task.outputs)), share)
    except (DataError, OptionError):
        if coverage is not None:
            raise
        return None
    return share


def interval_outputs(graph: Graph, model: Model, values: str, predicted: str, coverage: float) -> None:
    """Add the outputs `lower` and `upper`.

    values: what the networks predict, in the unit of the encoded target: (K, N, O), or (N, O) of one. predicted: see `limit_outputs`.
    """
    assert model.residuals is not None
    mean, spread = mean_over_networks(graph, values, model), ""
    if model.size > 1:
        away = graph.node("Sub", values, mean)
        spread = graph.node("Sqrt", mean_over_networks(graph, graph.node("Mul", away, away), model))
    lines = np.array([limit_line(one, coverage) for one in model.residuals])  # (O, slope or offset, lower or upper)
    limits = []
    for end in (0, 1):
        limit = graph.node("Add", mean, graph.constant(lines[:, 1, end]))
        if spread:
            limit = graph.node("Add", limit, graph.node("Mul", spread, graph.constant(lines[:, 0, end])))
        if model.recipe.loss == "poisson":
            limit = graph.node("Max", limit, graph.constant(0.0))
        limits.append(limit)
    limit_outputs(graph, model, limits, predicted)


def limit_outputs(graph: Graph, model: Model, limits: list[str], predicted: str) -> None:
    """Add the outputs `lower` and `upper` for limits (N, T) in the unit of the encoded target, with the prediction (N, T) between them."""
    task = model.task
    assert isinstance(task, Regression)
    for limit, name, operator in zip(limits, ("lower", "upper"), ("Min", "Max"), strict=True):
        numbers_output(graph, task, graph.node(operator, own_unit(graph, task, limit), predicted), name)


def limit_line(residuals: Residuals, coverage: float) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes and offsets (2,) of the limits, which are mean + slope * spread + offset."""
    nothing, one = np.zeros(1), np.ones(1)
    offset = residuals.limits(nothing, nothing, coverage)[0]
    return residuals.limits(nothing, one, coverage)[0] - offset, offset


def mean_over_networks(graph: Graph, value: str, model: Model) -> str:
    """Return the mean of values (K, N, ...) over the networks; those of a single network (N, ...) as they are."""
    return graph.node("ReduceMean", value, graph.constant([0]), keepdims=0) if model.size > 1 else value


def own_unit(graph: Graph, task: Regression, value: str) -> str:
    """Return values (..., O) in the unit of the target."""
    scaled = graph.node("Mul", value, graph.constant(np.array(task.scale)))
    value = graph.node("Add", scaled, graph.constant(np.array(task.center)))
    return graph.node("Exp", value) if task.transform == "log" else value


def numbers_output(graph: Graph, task: Regression, value: str, name: str) -> None:
    """Add an output, float64, (N,), or (N, O) of several targets."""
    if task.flat:
        value = graph.node("Reshape", value, graph.constant([-1]))
    graph.output(value, name, np.float64, [None] if task.flat else [None, task.targets])
