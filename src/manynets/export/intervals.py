"""The limits of `Model.predict_interval` as ONNX nodes, and several quantiles: `Model.predict_quantiles`, the median, and their limits."""

from __future__ import annotations

import numpy as np

from manynets.errors import DataError, OptionError
from manynets.export.graph import Graph
from manynets.intervals import Residuals, nearest_levels
from manynets.model import Model
from manynets.tasks import Regression

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
    return float(share)


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
        limit = graph.node("Add", mean, lines[:, 1, end])
        if spread:
            limit = graph.node("Add", limit, graph.node("Mul", spread, lines[:, 0, end]))
        if model.recipe.loss == "poisson":
            limit = graph.node("Max", limit, 0.0)
        limits.append(limit)
    limit_outputs(graph, model, limits, predicted)


def limit_outputs(graph: Graph, model: Model, limits: list[str], predicted: str) -> None:
    """Add the outputs `lower` and `upper` for limits (N, T) in the unit of the encoded target, with the prediction (N, T) between them."""
    task = model.task
    assert isinstance(task, Regression)
    lower, upper = (own_unit(graph, task, limit) for limit in limits)
    if np.isfinite(task.least).any():
        lower = graph.node("Max", lower, task.least)
    numbers_output(graph, task, graph.node("Min", lower, predicted), "lower")
    numbers_output(graph, task, graph.node("Max", upper, predicted), "upper")


def limit_line(residuals: Residuals, coverage: float) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes and offsets (2,) of the limits, which are mean + slope * spread + offset."""
    nothing, one = np.zeros(1), np.ones(1)
    offset = residuals.limits(nothing, nothing, coverage)[0]
    return residuals.limits(nothing, one, coverage)[0] - offset, offset


def mean_over_networks(graph: Graph, value: str, model: Model) -> str:
    """Return the mean of values (K, N, ...) over the networks; those of a single network (N, ...) as they are."""
    return graph.node("ReduceMean", value, [0], keepdims=0) if model.size > 1 else value


def own_unit(graph: Graph, task: Regression, value: str) -> str:
    """Return values (..., O) in the unit of the target."""
    scaled = graph.node("Mul", value, np.array(task.scale))
    value = graph.node("Add", scaled, np.array(task.center))
    return graph.node("Exp", value) if task.transform == "log" else value


def numbers_output(graph: Graph, task: Regression, value: str, name: str) -> None:
    """Add an output, float64, (N,), or (N, O) of several targets."""
    if task.flat:
        value = graph.node("Reshape", value, [-1])
    graph.output(value, name, np.float64, [None] if task.flat else [None, task.targets])


def quantile_outputs(graph: Graph, model: Model, value: str, coverage: float | None) -> None:
    """Add the outputs `prediction` and `quantiles`, and `lower` and `upper` for a coverage.

    value: what the networks predict within the limits of the task, float64, in the unit of the encoded target: (K, N, O), or (N, O) of one.
    """
    task = model.task
    assert isinstance(task, Regression)
    several, rows = len(task.quantiles), [0, 0] if model.size > 1 else [0]
    split = graph.node("Reshape", value, [*rows, task.targets, several])
    ordered = graph.node("TopK", split, [several], outputs=2, axis=-1, largest=0, sorted=1)  # (K, N, T, J)
    turn = [0, 1, 3, 2] if model.size > 1 else [0, 2, 1]
    own = mean_over_networks(graph, own_unit(graph, task, graph.node("Transpose", ordered, perm=turn)), model)  # (N, J, T)
    own = graph.node("Transpose", own, perm=[0, 2, 1])
    around = np.flatnonzero(task.point_weights)
    nearest, shares = graph.node("Gather", own, around, axis=2), task.point_weights[around]
    if task.transform == "log":
        predicted = graph.node("Exp", graph.node("MatMul", graph.node("Log", nearest), shares))
    else:
        predicted = graph.node("MatMul", nearest, shares)
    numbers_output(graph, task, predicted, "prediction")
    if task.flat:
        own = graph.node("Reshape", own, [-1, several])
    graph.output(own, "quantiles", np.float64, [None, several] if task.flat else [None, task.targets, several])
    if coverage is not None:
        _limits(graph, model, task, mean_over_networks(graph, ordered, model), predicted, coverage)


def _limits(graph: Graph, model: Model, task: Regression, mean: str, predicted: str, coverage: float) -> None:
    """Add `lower` and `upper`. mean: of the networks (N, T, J), in the unit of the encoded target. predicted: see `limit_outputs`."""
    assert model.residuals is not None
    several = len(task.quantiles)
    width = graph.node("Sub", _level(graph, mean, several - 1), _level(graph, mean, 0))
    ends = []
    for end, j in enumerate(nearest_levels(task.quantiles, coverage)):
        lines = np.array([limit_line(one, coverage) for one in model.residuals[j::several]])  # (T, slope or offset, lower or upper)
        moved = graph.node("Mul", width, lines[:, 0, end])
        moved = graph.node("Add", moved, lines[:, 1, end])
        ends.append(graph.node("Add", _level(graph, mean, j), moved))
    limit_outputs(graph, model, [graph.node("Min", *ends), graph.node("Max", *ends)], predicted)


def _level(graph: Graph, values: str, j: int) -> str:
    """Return one quantile (N, T) of (N, T, J)."""
    return graph.node("Gather", values, j, axis=2)
