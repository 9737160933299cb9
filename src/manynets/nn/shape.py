"""The shape of a network: names and sizes of its parameters. Knows no torch."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from numpy.typing import NDArray

from manynets.spec import MLP, Activation, Periodic

PREFIX = "embedding."  # of the names of an embedding's parameters


def embedding_shapes(embedding: Periodic, in_features: int) -> dict[str, tuple[int, ...]]:
    """Return the name and the shape of each parameter, where X has `in_features` columns.

    >>> embedding_shapes(Periodic(frequencies=4, outputs=2), 3)["embedding.weight"]
    (3, 2, 4)
    """
    columns, k, m = len(embedding.embedded(in_features)), embedding.frequencies, embedding.outputs
    shapes = {"frequencies": (columns, k), "phases": (columns, k), "weight": (columns, m, k), "bias": (columns, m)}
    return {PREFIX + name: shape for name, shape in shapes.items()}


@dataclasses.dataclass(frozen=True)
class Shape:
    """What networks must have in common to be one population: sizes, activation, norm and bias, not dropout or init.

    in_features: columns of X; the first layer reads `inputs` columns. embedding: with weights, of the initial `scale` 0.1.
    """

    in_features: int
    out_features: int
    hidden: tuple[int, ...]
    activation: Activation
    batch_norm: bool
    bias: bool
    input_scale: bool = False
    embedding: Periodic | None = None

    @classmethod
    def of(cls, spec: MLP, in_features: int, out_features: int) -> Shape:
        """Return the shape of a specification for data of this width."""
        embedding = dataclasses.replace(spec.embedding, scale=Periodic.scale) if isinstance(spec.embedding, Periodic) else None
        plain = (spec.hidden, spec.activation, spec.batch_norm, spec.bias, spec.input_scale)
        return cls(in_features, out_features, *plain, embedding)

    @functools.cached_property
    def layers(self) -> list[tuple[str, int, int]]:
        """(name, d_in, d_out) of each linear layer: hidden0, hidden1, ..., output.

        >>> Shape.of(MLP(hidden=(3, 5)), 2, 6).layers
        [('hidden0', 2, 3), ('hidden1', 3, 5), ('output', 5, 6)]
        """
        first = self.in_features if self.embedding is None else self.embedding.width(self.in_features)
        widths = (first, *self.hidden, self.out_features)
        names = [f"hidden{i}" for i in range(len(self.hidden))] + ["output"]
        return list(zip(names, widths[:-1], widths[1:], strict=True))

    @functools.cached_property
    def widths(self) -> NDArray[np.int64]:
        """Columns, hidden units and outputs, as the compiled core reads them."""
        return np.array([self.in_features, *self.hidden, self.out_features])

    @property
    def inputs(self) -> int:
        """Columns that the first layer reads: those of X, and what their embedding makes of them."""
        return self.layers[0][1]

    @functools.cached_property
    def widest(self) -> int:
        """The most numbers that one row has at a time, of its columns, the units of a layer, or the cosines of its embedding."""
        cosines = 0
        if self.embedding is not None:
            cosines = len(self.embedding.embedded(self.in_features)) * self.embedding.frequencies
        return max(self.inputs, self.out_features, *self.hidden, cosines, 1)

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter, in the order of the flat tensor: weight matrices first."""
        layers = self.layers
        out: dict[str, tuple[int, ...]] = {f"{name}.weight": (d_out, d_in) for name, d_in, d_out in layers}
        if self.bias:
            out |= {f"{name}.bias": (d_out,) for name, _, d_out in layers}
        if self.batch_norm:
            for i, units in enumerate(self.hidden):
                out |= {f"norm{i}.weight": (units,), f"norm{i}.bias": (units,)}
        if self.input_scale:
            out["input_scale.weight"] = (self.inputs,)
        if self.embedding is not None:
            out |= embedding_shapes(self.embedding, self.in_features)
        return out

    def buffers(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each running statistic of batch norm."""
        out: dict[str, tuple[int, ...]] = {}
        if self.batch_norm:
            for i, units in enumerate(self.hidden):
                out |= {f"norm{i}.running_mean": (units,), f"norm{i}.running_var": (units,)}
        return out

    @property
    def multiplications(self) -> int:
        """Multiplications that one row costs in a forward pass."""
        return sum(d_in * d_out for _, d_in, d_out in self.layers)

    @property
    def largest_matrix(self) -> int:
        """Numbers in the largest weight matrix."""
        return max(d_in * d_out for _, d_in, d_out in self.layers)


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """A layer in tables: its name, columns in and out (None where it is not linear), parameters, multiplications of a row, and what follows it."""

    name: str
    inputs: int | None
    outputs: int | None
    parameters: int
    multiplications: int
    then: str = ""


def layer_rows(spec: MLP, in_features: int, outputs: int) -> list[LayerRow]:
    """Return the layers of a network, with the parameters of batch norm counted to their layer; those of embedding and input scale come first.

    >>> [(row.name, row.parameters, row.multiplications) for row in layer_rows(MLP(hidden=(8,)), 3, 1)]
    [('hidden0', 32, 24), ('output', 9, 8)]
    """
    shape = Shape.of(spec, in_features, outputs)
    sizes: dict[str, int] = {}
    for name, dimensions in shape.parameters().items():
        layer = name.split(".")[0].replace("norm", "hidden")
        sizes[layer] = sizes.get(layer, 0) + math.prod(dimensions)
    names = {name for name, _, _ in shape.layers}
    rows = [LayerRow(name.replace("_", " "), None, None, size, 0) for name, size in sizes.items() if name not in names]
    for i, (name, d_in, d_out) in enumerate(shape.layers):
        then = []
        if name != "output":
            then = ["batch norm"] * spec.batch_norm + [spec.activation]
            then += [f"dropout {spec.dropouts[i]:.3g}"] if spec.dropouts[i] else []
        rows.append(LayerRow(name, d_in, d_out, sizes[name], d_in * d_out, ", ".join(then)))
    return rows
