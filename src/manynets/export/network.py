"""The networks as ONNX nodes, and what the task makes of their scores.

K networks are computed together: h (N, D) or (K, N, H), weights (K, D, H). What follows a linear layer without an activation in between,
batch norm in prediction mode and the factors of the input columns, is multiplied into its weights:

    gain (x W + b - mean) / sqrt(var + eps) + shift = x (W s) + (b - mean) s + shift,   s = gain / sqrt(var + eps)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.constants import BN_EPS, SELU_ALPHA, SELU_SCALE
from manynets.errors import OptionError
from manynets.export.graph import Graph
from manynets.export.intervals import interval_outputs, mean_over_networks, numbers_output, own_unit, quantile_outputs
from manynets.model import Model
from manynets.spec import MLP, Activation, Periodic
from manynets.tasks import Regression

Array = NDArray[Any]
Layer = tuple[Array, Array]
"""Weights (D, H) and bias (H,)."""


def folded_layers(spec: MLP, member: Mapping[str, Array]) -> list[Layer]:
    """Return the linear layers of a network, float64, with batch norm and input scale multiplied in.

    Errors: OptionError for a periodic embedding.
    """
    if isinstance(spec.embedding, Periodic):
        raise OptionError(
            "a network with a Periodic embedding cannot be exported; train it with PiecewiseLinear(), or without embedding"
        )
    layers: list[Layer] = []
    names = [*(f"hidden{i}" for i in range(len(spec.hidden))), "output"]
    for i, name in enumerate(names):
        weight = member[f"{name}.weight"].T.astype(np.float64)
        bias = member.get(f"{name}.bias", np.zeros(weight.shape[1])).astype(np.float64)
        if i == 0 and spec.input_scale:
            weight = member["input_scale.weight"][:, None] * weight
        if spec.batch_norm and name != "output":
            scale = member[f"norm{i}.weight"] / np.sqrt(member[f"norm{i}.running_var"].astype(np.float64) + BN_EPS)
            weight, bias = weight * scale, (bias - member[f"norm{i}.running_mean"]) * scale + member[f"norm{i}.bias"]
        layers.append((weight, bias))
    return layers


def float_type(model: Model) -> np.dtype[Any]:
    """Return the type in which the networks compute."""
    return np.dtype(np.float64 if model.recipe.dtype == "float64" else np.float32)


def scores(graph: Graph, model: Model, x: str) -> str:
    """Return the raw scores of all networks, (K, N, O), or (N, O) of a single one, for the matrix x (N, D)."""
    assert model.spec is not None
    dtype = float_type(model)
    networks = [folded_layers(model.spec, member) for member in model.members]
    h = graph.cast(x, dtype)
    for i in range(len(networks[0])):
        weights = [layers[i][0].astype(dtype) for layers in networks]
        biases = [layers[i][1].astype(dtype)[None] for layers in networks]
        weight, bias = (np.stack(values) if model.size > 1 else values[0] for values in (weights, biases))
        h = graph.node("Add", graph.node("MatMul", h, weight), bias)
        if i < len(model.spec.hidden):
            activation, wide = model.spec.activation, dtype == np.float64
            if wide and activation in IN_FLOAT64:
                h = IN_FLOAT64[activation](graph, h)
            else:
                h = ACTIVATIONS[activation](graph, graph.cast(h, np.float32) if wide else h)
                h = graph.cast(h, dtype) if wide else h
    return h


def _node(operator: str, **attributes: Any) -> Callable[[Graph, str], str]:
    return lambda graph, z: graph.node(operator, z, **attributes)


ACTIVATIONS: dict[Activation, Callable[[Graph, str], str]] = {
    "identity": lambda graph, z: z,
    "relu": _node("Relu"),
    "leaky_relu": _node("LeakyRelu", alpha=0.01),
    "elu": _node("Elu", alpha=1.0),
    "selu": _node("Selu", alpha=SELU_ALPHA, gamma=SELU_SCALE),
    "gelu": _node("Gelu"),
    "silu": lambda graph, z: graph.node("Mul", z, graph.node("Sigmoid", z)),
    "mish": _node("Mish"),
    "tanh": _node("Tanh"),
    "sigmoid": _node("Sigmoid"),
    "softplus": _node("Softplus"),
    "hard_swish": _node("HardSwish"),
}


def _silu_in_float64(graph: Graph, z: str) -> str:
    """z / (1 + exp(-z)): up to version 1.30, onnxruntime makes one node of z * sigmoid(z), which it has in float32 only."""
    return graph.node("Div", z, graph.node("Add", graph.node("Exp", graph.node("Neg", z)), np.array(1.0)))


IN_FLOAT64: dict[Activation, Callable[[Graph, str], str]] = {
    **{name: ACTIVATIONS[name] for name in ("identity", "relu", "tanh", "sigmoid")},
    "silu": _silu_in_float64,
}
"""The activations that onnxruntime computes in float64; it has the others in float32 only."""


def outputs(graph: Graph, model: Model, logits: str, *, coverage: float | None = None) -> None:
    """Add the outputs: `prediction`, or `label` and `probabilities`; see `Model.predict` and `Model.predict_proba`.

    coverage: of `lower` and `upper`, see `Model.predict_interval`; None for none.
    """
    if isinstance(model.task, Regression):
        _numbers(graph, model, model.task, logits, coverage=coverage)
        return
    if model.task.name == "multiclass":
        shares = mean_over_networks(graph, graph.node("Softmax", logits, axis=-1), model)
        costs = getattr(model.task, "costs", None)
        if costs is None:
            code = graph.node("ArgMax", shares, axis=1, keepdims=0)
        else:
            matrix = np.array(costs, dtype=float_type(model))
            code = graph.node("ArgMin", graph.node("MatMul", shares, matrix), axis=1, keepdims=0)
    else:
        shares = mean_over_networks(graph, graph.node("Sigmoid", logits), model)
        threshold = getattr(model.task, "threshold", 0.5)
        code = graph.cast(graph.node("Greater", shares, float_type(model).type(threshold)), np.int64)
    if model.task.name == "multilabel":
        graph.output(code, "label", np.int64, [None, model.task.outputs])
    else:
        classes: Sequence[Any] = model.task.classes  # type: ignore[attr-defined]
        code = graph.node("Reshape", code, [-1])
        labels = np.array(classes)
        graph.output(graph.node("Gather", labels, code, axis=0), "label", labels.dtype, [None])
    if model.task.name == "binary":
        others = mean_over_networks(graph, graph.node("Sigmoid", graph.node("Neg", logits)), model)
        shares = graph.joined([others, shares])
    width = 2 if model.task.name == "binary" else model.task.outputs
    graph.output(shares, "probabilities", float_type(model), [None, width])


def _numbers(graph: Graph, model: Model, task: Regression, logits: str, *, coverage: float | None) -> None:
    """Add the output `prediction`, float64, in the unit of the target, `lower` and `upper` for a coverage, and `quantiles` where there are several."""
    value = graph.cast(logits, np.float64)
    if model.recipe.loss == "poisson":
        value = graph.node("Exp", value)
    elif task.limits is not None:
        low, high = np.repeat(np.array(task.limits), max(1, len(task.quantiles)), axis=0).T
        value = graph.node("Min", graph.node("Max", value, low), high)
    if task.quantiles:
        quantile_outputs(graph, model, value, coverage)
        return
    predicted = mean_over_networks(graph, own_unit(graph, task, value), model)
    numbers_output(graph, task, predicted, "prediction")  # the first output is what most callers take
    if coverage is not None:
        interval_outputs(graph, model, value, predicted, coverage)
