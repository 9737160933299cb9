"""K networks of one shape, their parameters in one flat tensor (K, P) whose views are the layers.

Weight matrices come first, then biases and batch-norm parameters, so that penalties on weights are one slice. Running
statistics of batch norm are in a second flat tensor (K, Q). A single network is a population of one.

Views have torch's shapes, (K, out, in) for weights. In memory the first layer's matrices are transposed, (in, out): the forward
product is then up to four times as fast for small batches, and no gradient goes back through that layer, which would lose it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.constants import BN_EPS
from manynets.nn.scores import Scorer
from manynets.nn.shape import Shape


def _views_of(flat: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the named views (K, ...) of a flat tensor; the first, if a matrix, is stored transposed."""
    out: dict[str, Tensor] = {}
    start = 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        part = flat[:, start : start + size]
        turned = start == 0 and len(shape) == 2
        out[name] = part.view(-1, *shape[::-1]).mT if turned else part.view(-1, *shape)
        start += size
    return out


class Population:
    """The parameters of K networks of one shape: `flat` (K, P), `statistics` (K, Q), and named views (K, ...) of both.

    size: K. shapes: name and shape of each parameter of a network, in the order of the flat tensor. weight_count: how many of the P
    parameters are weight matrices; they are flat[:, :weight_count]. widest: the most numbers that one row has at a time in a network.
    """

    def __init__(self, shape: Shape, flat: Tensor, statistics: Tensor) -> None:
        self.shape, self.flat, self.statistics = shape, flat, statistics
        self.size, self.shapes = flat.shape[0], shape.parameters()
        self.weight_count, self.widest = shape.multiplications, shape.widest
        self.parameters = _views_of(flat, self.shapes)
        self.buffers = _views_of(statistics, shape.buffers())

    @classmethod
    def start(
        cls, shape: Shape, initial: Sequence[Mapping[str, NDArray[Any]]], *, device: torch.device, dtype: torch.dtype
    ) -> Population:
        """Return a population whose network k starts with the parameters (and, if given, running statistics) initial[k]."""
        fresh = {name: float(name.endswith("var")) for name in shape.buffers()}

        def fill(name: str, rows: NDArray[Any]) -> None:
            for k, parameters in enumerate(initial):
                rows[k] = parameters[name] if name in parameters else fresh[name]

        made = cls.filled(shape, len(initial), fill, dtype=dtype)
        return cls(shape, made.flat.to(device), made.statistics.to(device))

    @classmethod
    def filled(cls, shape: Shape, networks: int, fill: Callable[[str, NDArray[Any]], None], *, dtype: torch.dtype) -> Population:
        """Return a population on the CPU. fill: writes the values of a name into the array (K, ...) that it is given."""
        flat, statistics = (
            torch.empty(networks, sum(map(math.prod, shapes.values())), dtype=dtype, device="cpu")
            for shapes in (shape.parameters(), shape.buffers())
        )
        made = cls(shape, flat, statistics)
        for name, view in (made.parameters | made.buffers).items():
            fill(name, view.numpy())
        return made

    def network(self, k: int) -> dict[str, NDArray[Any]]:
        """Return copies of the parameters and running statistics of network k, by name."""
        return {name: view[k].cpu().numpy().copy() for name, view in (self.parameters | self.buffers).items()}

    def finite(self) -> NDArray[np.bool_]:
        """Return which networks have finite weights and running statistics, (K,)."""
        return all_finite(self.flat) & all_finite(self.statistics)

    def take(self, indices: Tensor) -> Population:
        """Return a population of the networks with these indices (long, on the same device)."""
        return Population(self.shape, self.flat.index_select(0, indices), self.statistics.index_select(0, indices))

    @functools.cached_property
    def columns(self) -> Tensor | None:
        """The numbers of the columns that are embedded, on the networks' device; None for all or none."""
        embedding = self.shape.embedding
        return None if embedding is None or embedding.columns is None else torch.tensor(embedding.columns, device=self.flat.device)

    @functools.cached_property
    def views(self) -> dict[str, Tensor]:
        """Parameters and running statistics by name; of a single network without the model axis, as torch then multiplies matrices faster."""
        named = self.parameters | self.buffers
        return {name: view[0] for name, view in named.items()} if self.size == 1 else named

    def scorer(self) -> Scorer:
        """Return what gives the scores of the networks, for as long as their weights stay as they are."""
        return Scorer(self)

    def norm(self, i: int) -> tuple[Tensor, Tensor]:
        """Return slope and shift (K, 1, H), for K = 1 (1, H), of hidden layer i's batch norm in prediction mode: y = slope * z + shift."""
        gain, shift, mean, var = (self.views[f"norm{i}.{name}"] for name in ("weight", "bias", "running_mean", "running_var"))
        slope = gain * torch.rsqrt(var + BN_EPS)
        return slope.unsqueeze(-2), (shift - mean * slope).unsqueeze(-2)


def all_finite(rows: Tensor) -> NDArray[np.bool_]:
    """Return whether all numbers of each row are finite. Only where a sum is not, which may overflow, are they checked one by one."""
    if rows.shape[1] == 0:
        return np.ones(len(rows), dtype=bool)
    finite = np.isfinite(rows.sum(1).cpu().numpy())
    return finite if finite.all() else torch.isfinite(rows).all(1).cpu().numpy()
