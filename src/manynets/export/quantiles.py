"""Several quantiles as ONNX nodes: `Model.predict_quantiles`, the median, and the limits that start from them."""

from __future__ import annotations

import numpy as np

from manynets.export.graph import Graph
from manynets.export.intervals import limit_line, limit_outputs, mean_over_networks, numbers_output, own_unit
from manynets.model import Model
from manynets.tasks import Regression
from manynets.tasks.residuals import nearest_levels


def quantile_outputs(graph: Graph, model: Model, value: str, coverage: float | None) -> None:
    """Add the outputs `prediction` and `quantiles`, and `lower` and `upper` for a coverage.

    value: what the networks predict within the limits of the task, float64, in the unit of the encoded target: (K, N, O), or (N, O) of one.
    """
    task = model.task
    assert isinstance(task, Regression)
    several, rows = len(task.quantiles), [0, 0] if model.size > 1 else [0]
    split = graph.node("Reshape", value, graph.constant([*rows, task.targets, several]))
    ordered = graph.node("TopK", split, graph.constant([several]), outputs=2, axis=-1, largest=0, sorted=1)  # (K, N, T, J)
    turn = [0, 1, 3, 2] if model.size > 1 else [0, 2, 1]
    own = mean_over_networks(graph, own_unit(graph, task, graph.node("Transpose", ordered, perm=turn)), model)  # (N, J, T)
    own = graph.node("Transpose", own, perm=[0, 2, 1])
    around = np.flatnonzero(task.point_weights)
    nearest, shares = graph.node("Gather", own, graph.constant(around), axis=2), graph.constant(task.point_weights[around])
    if task.transform == "log":
        predicted = graph.node("Exp", graph.node("MatMul", graph.node("Log", nearest), shares))
    else:
        predicted = graph.node("MatMul", nearest, shares)
    numbers_output(graph, task, predicted, "prediction")
    if task.flat:
        own = graph.node("Reshape", own, graph.constant([-1, several]))
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
        moved = graph.node("Mul", width, graph.constant(lines[:, 0, end]))
        moved = graph.node("Add", moved, graph.constant(lines[:, 1, end]))
        ends.append(graph.node("Add", _level(graph, mean, j), moved))
    limit_outputs(graph, model, [graph.node("Min", *ends), graph.node("Max", *ends)], predicted)


def _level(graph: Graph, values: str, j: int) -> str:
    """Return one quantile (N, T) of (N, T, J)."""
    return graph.node("Gather", values, graph.constant(j), axis=2)
