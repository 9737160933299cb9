"""The raw scores of K networks in prediction mode: by torch, by NumPy for a single row, or by the compiled core.

A `Scorer` is made for networks whose weights stay as they are: factors of the input columns and running statistics join the weights once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.nn.activations import ACTIVATIONS
from manynets.nn.core_scores import takes_scores, write_core_scores
from manynets.nn.embeddings import periodic
from manynets.nn.products import multiply
from manynets.spec import Activation

if TYPE_CHECKING:
    from manynets.nn.population import Population

# in place, of what NumPy has in one call that cannot overflow
ROW_ACTIVATIONS: dict[Activation, Callable[[NDArray[Any]], object]] = {
    "identity": lambda z: None,
    "relu": lambda z: np.maximum(z, 0, out=z),
    "leaky_relu": lambda z: np.maximum(z, 0.01 * z, out=z),
    "tanh": lambda z: np.tanh(z, out=z),
}


class Scorer:
    """Raw scores (K, N, O) of a population, in prediction mode. No gradient is recorded.

    Inside, tensors of a single network lack the model axis, as torch then multiplies matrices faster.

    layers: of each layer its weights (K, in, out) and its biases (K, 1, out) or None. norms: slope and shift of each hidden layer's batch norm.
    """

    def __init__(self, population: Population) -> None:
        self.population, self.shape, self.size = population, population.shape, population.size
        self.layers: list[tuple[Tensor, Tensor | None]] = []
        for name, _, _ in self.shape.layers:
            weight, bias = population.views[f"{name}.weight"].mT, population.views.get(f"{name}.bias")
            self.layers.append((weight, bias if bias is None or self.size == 1 else bias.unsqueeze(1)))
        if self.shape.input_scale:
            weight, bias = self.layers[0]
            self.layers[0] = weight * population.views["input_scale.weight"].unsqueeze(-1), bias
        self.norms = [population.norm(i) for i in range(len(self.shape.hidden))] if self.shape.batch_norm else []

    def __call__(self, x: Tensor) -> Tensor:
        """Return raw scores (K, N, O) for x: (N, D) shared by all, or (K, N, D)."""
        h = self._for_each(x)
        if self.shape.embedding is not None:
            h = periodic(h, self.population.views, self.population.columns)
        scores = self._onward(self._sums(0, h))
        return scores.unsqueeze(0) if self.size == 1 else scores

    def write(self, x: Tensor, out: Tensor, rows: int) -> None:
        """Write raw scores for x (N, D) to out (K, N, O): by the core, or `rows` rows at a time."""
        if takes_scores(self.population, x):
            write_core_scores(self.population, x, out)
            return
        for part, scores in zip(torch.split(x, rows), torch.split(out, rows, dim=1), strict=True):
            scores.copy_(self(part))

    def _for_each(self, x: Tensor) -> Tensor:
        """Return rows x, (N, D) or (K, N, D), once for each network: (K, N, D), for K = 1 (N, D)."""
        return x.view(x.shape[-2:]) if self.size == 1 else x.expand(self.size, *x.shape[-2:])

    def _onward(self, h: Tensor) -> Tensor:
        """Return the scores for the sums of the first layer, which are overwritten."""
        kind = ACTIVATIONS[self.shape.activation]
        for i in range(len(self.shape.hidden)):
            if self.norms:
                slope, shift = self.norms[i]
                h = torch.addcmul(shift, h, slope)
            if kind.from_output:
                kind.run(h, h)
            else:
                h = kind.call(h)
            h = self._sums(i + 1, h)
        return h

    def _sums(self, i: int, h: Tensor) -> Tensor:
        """Return the product of layer i with its inputs, and its bias, before norm and activation."""
        weight, bias = self.layers[i]
        return multiply(h, weight, h.new_empty(*h.shape[:-1], weight.shape[-1]), bias=bias)

    # ------------------------------------------------------------------------------------------------- from the first layer on

    def first_sums(self, x: Tensor) -> Tensor:
        """Return the sums of the first layer (K, N, H) for x (N, D), of networks without an embedding; for K = 1 without the first axis."""
        return self._sums(0, self._for_each(x))

    def part_of_sums(self, x: Tensor, columns: Tensor) -> Tensor:
        """Return what some columns (B,) with the values x (N, B) add to these sums."""
        return torch.matmul(x, self.layers[0][0].index_select(-2, columns))

    def write_exchanged(
        self, sums: Tensor, terms: Tensor, old: Tensor, rows: Tensor, new: Tensor, out: Tensor, at_once: int
    ) -> None:
        """Write raw scores (K, n, O) from the sums of the first layer, in which a term of each row is exchanged for another.

        sums (K, N, H), terms (K, L, H): as the methods above return them. old: (N,), the term that each row has. rows, new: (n,), which rows get
        which terms instead. at_once: the rows that torch takes together.
        """
        if takes_scores(self.population, sums, rows=len(rows)):
            write_core_scores(
                self.population,
                sums,
                out,
                sums=sums.numel() // self.size,
                order=rows.data_ptr(),
                terms=terms.data_ptr(),
                terms_stride=terms.numel() // self.size,
                old_terms=old.data_ptr(),
                new_terms=new.data_ptr(),
            )
            return
        parts = (torch.split(out, at_once, dim=1), torch.split(rows, at_once), torch.split(new, at_once))
        for part, row, term in zip(*parts, strict=True):
            rest = sums.index_select(-2, row) - terms.index_select(-2, old[row])
            part.copy_(self._onward(rest + terms.index_select(-2, term)))

    # ------------------------------------------------------------------------------------------------------------- a single row

    @functools.cached_property
    def takes_row(self) -> bool:
        """Whether `row` can be asked."""
        plain = not self.shape.batch_norm and self.shape.embedding is None
        return self.size == 1 and self.population.flat.device.type == "cpu" and plain and self.shape.activation in ROW_ACTIVATIONS

    @functools.cached_property
    def _row_layers(self) -> list[tuple[NDArray[Any], NDArray[Any] | None]]:
        return [(weight.numpy(), None if bias is None else bias.numpy()) for weight, bias in self.layers]

    def row(self, h: NDArray[Any]) -> NDArray[Any]:
        """Return the scores (O,) of one row (D,): by NumPy, whose calls cost less than half of torch's."""
        last = len(self.shape.hidden)
        for i, (weight, bias) in enumerate(self._row_layers):
            h = h.dot(weight)
            if bias is not None:
                h += bias
            if i < last:
                ROW_ACTIVATIONS[self.shape.activation](h)
        return h
