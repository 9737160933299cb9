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
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.constants import BN_EPS
from manynets.nn.activations import ACTIVATIONS
from manynets.nn.core_scores import takes_scores, write_core_scores
from manynets.nn.embeddings import periodic
from manynets.nn.products import multiply
from manynets.nn.shape import Shape
from manynets.spec import Activation

Layer: TypeAlias = tuple[Tensor, Tensor | None]
"""Weights, transposed, and biases."""

# in place, of what NumPy has in one call that cannot overflow
ROW_ACTIVATIONS: dict[Activation, Callable[[NDArray[Any]], object]] = {
    "identity": lambda z: None,
    "relu": lambda z: np.maximum(z, 0, out=z),
    "leaky_relu": lambda z: np.maximum(z, 0.01 * z, out=z),
    "tanh": lambda z: np.tanh(z, out=z),
}


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
    """The parameters of K networks of one shape: `flat` (K, P), `statistics` (K, Q), and named views (K, ...) of both."""

    def __init__(self, shape: Shape, flat: Tensor, statistics: Tensor) -> None:
        self.shape = shape
        self.flat = flat
        self.statistics = statistics
        self.parameters = _views_of(flat, shape.parameters())
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

        made = cls.filled(shape, len(initial), fill, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
        return cls(shape, made.flat.to(device, dtype), made.statistics.to(device, dtype))

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

    @property
    def size(self) -> int:
        """K, the number of networks."""
        return self.flat.shape[0]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter of a network, in the order of the flat tensor."""
        return self.shape.parameters()

    @property
    def widest(self) -> int:
        """The most numbers that one row has at a time in a network."""
        return self.shape.widest

    @property
    def weight_count(self) -> int:
        """How many of the P parameters are weight matrices; they are flat[:, :weight_count]."""
        return self.shape.multiplications

    def network(self, k: int) -> dict[str, NDArray[Any]]:
        """Return copies of the parameters and running statistics of network k, by name."""
        return {name: view[k].cpu().numpy().copy() for name, view in (self.parameters | self.buffers).items()}

    def take(self, indices: Tensor) -> Population:
        """Return a population of the networks with these indices (long, on the same device)."""
        return Population(self.shape, self.flat.index_select(0, indices), self.statistics.index_select(0, indices))

    @functools.cached_property
    def columns(self) -> Tensor | None:
        """The numbers of the columns that are embedded, on the networks' device; None for all or none."""
        embedding = self.shape.embedding
        return None if embedding is None or embedding.columns is None else torch.tensor(embedding.columns, device=self.flat.device)

    @functools.cached_property
    def _views(self) -> dict[str, Tensor]:
        """Parameters and running statistics by name; of a single network without the model axis, as torch multiplies matrices quicker."""
        named = self.parameters | self.buffers
        return {name: view[0] for name, view in named.items()} if self.size == 1 else named

    @functools.cached_property
    def _layers(self) -> list[Layer]:
        """Views of the weights, transposed, and the biases of each layer, as `forward` takes them."""
        named, names = self._views, [name for name, _, _ in self.shape.layers]
        biases = [named[f"{name}.bias"] for name in names] if self.shape.bias else [None] * len(names)
        rows = [bias if bias is None or self.size == 1 else bias.unsqueeze(1) for bias in biases]
        return [(named[f"{name}.weight"].mT, row) for name, row in zip(names, rows, strict=True)]

    def layer(self, i: int) -> Layer:
        """Return weights and biases of layer i, with the factors of the input columns, which training moves."""
        weight, bias = self._layers[i]
        if i == 0 and self.shape.input_scale:
            weight = weight * self._views["input_scale.weight"].unsqueeze(-1)
        return weight, bias

    def _for_each(self, x: Tensor) -> Tensor:
        """Return rows x (N, D) of all networks as `forward` takes them: (K, N, D), for K = 1 (N, D)."""
        return x if self.size == 1 else x.expand(self.size, *x.shape)

    def scores(self, x: Tensor, first: Layer | None = None) -> Tensor:
        """Return raw scores (K, N, O) in prediction mode for x: (N, D) shared by all, or (K, N, D). No gradient is recorded.

        first: the first layer as `layer` returns it, where it is known.
        """
        if self.size == 1:
            return self.forward(x[0] if x.ndim == 3 else x, first=first).unsqueeze(0)
        return self.forward(x if x.ndim == 3 else self._for_each(x), first=first)

    def scorer(self) -> Callable[[Tensor], Tensor]:
        """Return `scores` for as long as the weights stay as they are: the factors of the columns are multiplied with them only once."""
        return functools.partial(self.scores, first=self.layer(0))

    def forward(self, h: Tensor, buffers: Sequence[Tensor | None] = (), *, first: Layer | None = None) -> Tensor:
        """Return what `scores` does for x (K, N, D); for K = 1 neither has the first axis.

        buffers: what the product of each layer is written to (None: to a new tensor).
        """
        if self.shape.embedding is not None:
            h = periodic(h, self._views, self.columns)
        return self.onward(self._sums(0, h, buffers[0] if buffers else None, first), buffers)

    def first_sums(self, x: Tensor) -> Tensor:
        """Return the sums of the first layer (K, N, H) for x (N, D), of networks without an embedding; for K = 1 without the first axis."""
        return self._sums(0, self._for_each(x))

    def part_of_sums(self, x: Tensor, columns: Tensor) -> Tensor:
        """Return what some columns (B,) with the values x (N, B) add to these sums."""
        return torch.matmul(x, self.layer(0)[0].index_select(-2, columns))

    def onward(self, h: Tensor, buffers: Sequence[Tensor | None] = ()) -> Tensor:
        """Return raw scores, as `forward` does, for the sums of the first layer, which are overwritten."""
        kind = ACTIVATIONS[self.shape.activation]
        for i in range(len(self.shape.hidden)):
            if self.shape.batch_norm:
                slope, shift = self.norm(i)
                h = torch.addcmul(shift, h, slope) if h.ndim == 3 else torch.addcmul(shift[0], h, slope[0])
            if kind.from_output:
                kind.run(h, h)
            else:
                h = kind.call(h)
            h = self._sums(i + 1, h, buffers[i + 1] if buffers else None)
        return h

    def write_onward(self, sums: Tensor, out: Tensor) -> None:
        """Write raw scores (K, N, O) for the sums of the first layer, as `first_sums` returns them; these are overwritten."""
        of_each = sums.unsqueeze(0) if sums.ndim == 2 else sums
        if takes_scores(self, of_each):
            write_core_scores(self, of_each, out)
        else:
            out.copy_(self.onward(sums))

    def _sums(self, i: int, h: Tensor, out: Tensor | None = None, layer: Layer | None = None) -> Tensor:
        """Return the product of layer i with its inputs, and its bias, before norm and activation. layer: as `layer` returns it."""
        weight, bias = layer or self.layer(i)
        return multiply(h, weight, h.new_empty(*h.shape[:-1], weight.shape[-1]) if out is None else out, bias=bias)

    @functools.cached_property
    def takes_row(self) -> bool:
        """Whether `row_scores` can be asked."""
        at_hand = self.size == 1 and self.flat.device.type == "cpu"
        plain = not self.shape.batch_norm and self.shape.embedding is None
        return at_hand and self.shape.activation in ROW_ACTIVATIONS and plain

    @functools.cached_property
    def _row_layers(self) -> list[tuple[NDArray[Any], NDArray[Any] | None]]:
        layers = [self.layer(i) for i in range(len(self.shape.layers))]
        return [(weight.numpy(), None if bias is None else bias.numpy()) for weight, bias in layers]

    def row_scores(self, h: NDArray[Any]) -> NDArray[Any]:
        """Return the scores (O,) of one row (D,), as `scores` does: by NumPy, whose calls cost less than half of torch's."""
        last = len(self.shape.hidden)
        for i, (weight, bias) in enumerate(self._row_layers):
            h = h.dot(weight)
            if bias is not None:
                h += bias
            if i < last:
                ROW_ACTIVATIONS[self.shape.activation](h)
        return h

    def write_scores(self, x: Tensor, out: Tensor, rows: int) -> None:
        """Write raw scores for x (N, D) to out (K, N, O): by the core, or `rows` rows at a time in buffers that are made once."""
        if takes_scores(self, x):
            write_core_scores(self, x, out)
            return
        lead = () if self.size == 1 else (self.size,)
        buffers: list[Tensor] = []
        first = self.layer(0)
        for part, scores in zip(torch.split(x, rows), torch.split(out, rows, dim=1), strict=True):
            if not buffers or len(part) != rows:
                buffers = [x.new_empty(*lead, len(part), units) for units in self.shape.hidden]
            if lead:  # a batched product into a view with gaps falls back to one product each
                scores.copy_(self.forward(part.expand(*lead, *part.shape), [*buffers, None], first=first))
            else:
                self.forward(part, [*buffers, scores[0]], first=first)

    def norm(self, i: int) -> tuple[Tensor, Tensor]:
        """Return slope and shift (K, 1, H) of hidden layer i's batch norm in prediction mode: y = slope * z + shift."""
        slope = self.parameters[f"norm{i}.weight"] * torch.rsqrt(self.buffers[f"norm{i}.running_var"] + BN_EPS)
        shift = self.parameters[f"norm{i}.bias"] - self.buffers[f"norm{i}.running_mean"] * slope
        return slope.unsqueeze(1), shift.unsqueeze(1)


def all_finite(rows: Tensor) -> NDArray[np.bool_]:
    """Return whether all numbers of each row are finite. Only where a sum is not, which may overflow, are they checked one by one."""
    if rows.shape[1] == 0:
        return np.ones(len(rows), dtype=bool)
    finite = np.isfinite(rows.sum(1).cpu().numpy())
    return finite if finite.all() else torch.isfinite(rows).all(1).cpu().numpy()
