"""The closed-form gradient of K dense stacks: the backward pass is two matrix products a layer, written into buffers made once.

With z = h W^T + b, a = f(norm(z)), and d the derivative of a network's loss by z:  dW = d^T h,  db = sum_rows d,  dh = d W.
Every operation writes into a buffer that exists; nothing is allocated from the second step on. Nothing is computed here either:
what a step calls is listed once, for each slot of rows when it first comes (`manynets.training.listing`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from manynets.calls import Call
from manynets.data.batches import Slot
from manynets.nn.activations import ACTIVATIONS
from manynets.nn.dropout import Masks
from manynets.nn.population import BN_EPS, BN_MOMENTUM, Population
from manynets.tasks.objectives import Objective
from manynets.training.listing import Listing, Of

__all__ = ["ClosedForm", "Scratch"]

LARGE_MATRIX = 16384  # numbers in a weight matrix from which one product each is as fast as a batched one and a copy
NARROW = 24  # units up to which a batched product is slower than a wide one


class Scratch:
    """Buffers by name and shape that one stack of networks after another writes to."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self._made: dict[tuple[object, ...], Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        if (name, *shape) not in self._made:
            self._made[name, *shape] = self.like.new_empty(shape)
        return self._made[name, *shape]


# what a slot has, as arguments
_X, _TURNED_X, _SHARED_X = Of(lambda slot, _: slot.x), Of(lambda slot, _: slot.turned_x), Of(lambda slot, _: slot.x[0])
_SCORES, _TARGET = Of(lambda slot, _: slot.turned_scores), Of(lambda slot, _: slot.turned_target)
_WEIGHT, _RAW = Of(lambda slot, _: slot.weight), Of(lambda slot, _: slot.raw)
_ROWS, _UNBIASED = Of(lambda slot, _: slot.rows), Of(lambda slot, _: slot.unbiased)


def _kept(i: int) -> Of:
    return Of(lambda _, kept: kept[i])


class _Norm:
    """Batch norm of one hidden layer: y = g (z - mean) / sqrt(var + eps) + b over the rows of the batch."""

    def __init__(
        self, population: Population, grads: Population, layer: int, like: Tensor, fit: Callable[[Tensor], Tensor]
    ) -> None:
        self.gain, self.shift = (fit(population.parameters[f"norm{layer}.{name}"]) for name in ("weight", "bias"))
        self.d_gain, self.d_shift = (fit(grads.parameters[f"norm{layer}.{name}"]) for name in ("weight", "bias"))
        self.running_mean, self.running_var = (fit(population.buffers[f"norm{layer}.running_{n}"]) for n in ("mean", "var"))
        self.normal, self.out, self.product = (torch.empty_like(like) for _ in range(3))
        self.mean, self.var, self.inverse, self.part = (torch.empty_like(self.gain) for _ in range(4))

    def forward(self, call: Listing, z: Tensor, *, weighted: bool) -> None:
        """Write y of z to `out`, and move the running mean and variance."""
        if weighted:
            call(torch.mul, z, _RAW, out=self.product)
        call(torch.sum, self.product if weighted else z, -2, keepdim=True, out=self.mean)
        call(self.mean.div_, _ROWS)
        call(torch.sub, z, self.mean, out=self.normal)
        call(torch.mul, self.normal, self.normal, out=self.product)
        if weighted:
            call(self.product.mul_, _RAW)
        call(torch.sum, self.product, -2, keepdim=True, out=self.var)
        call(torch.div, self.var, _ROWS, out=self.part)
        call(self.part.add_, BN_EPS)
        call(torch.rsqrt, self.part, out=self.inverse)
        call(self.normal.mul_, self.inverse)
        call(torch.addcmul, self.shift, self.normal, self.gain, out=self.out)
        call(self.running_mean.lerp_, self.mean, BN_MOMENTUM)
        call(self.var.div_, _UNBIASED)
        call(self.running_var.lerp_, self.var, BN_MOMENTUM)

    def backward(self, call: Listing, d: Tensor, *, weighted: bool) -> None:
        """Turn d = dLoss/dy into dLoss/dz in place: g inv (d - w sum(d) / W - w n sum(d n) / W), n the normalised z.

        w are the weights of the rows, W their sum; d has the weights in it.
        """
        call(torch.sum, d, -2, keepdim=True, out=self.d_shift)
        call(torch.mul, d, self.normal, out=self.product)
        call(torch.sum, self.product, -2, keepdim=True, out=self.d_gain)
        call(torch.div, self.d_gain, _ROWS, out=self.part)
        call(torch.div, self.d_shift, _ROWS, out=self.mean)  # of d now
        call(torch.addcmul, self.mean, self.normal, self.part, out=self.product)
        if weighted:
            call(self.product.mul_, _RAW)
        call(d.sub_, self.product)
        call(torch.mul, self.gain, self.inverse, out=self.part)
        call(d.mul_, self.part)


class _First:
    """The first layer of K networks with the same rows x (b, D), whose biases are in its products: x has a column of ones more.

    Batched, or wide: one product with the matrices (D + 1, H) of all networks side by side. z and d, the layer's output before the
    activation and the derivative by it, are (K, b, H); if wide, as views of what lies as (b, K, H).
    """

    def __init__(self, owner: ClosedForm, size: int, *, wide: bool) -> None:
        shape, k = owner.shape, owner.population.size
        self.columns, units = shape.in_features, shape.hidden[0]
        rows = self.columns + shape.bias
        self.x = owner.scratch("first x", size, rows)
        self.x[:, self.columns :] = 1.0

        def made(name: str, length: int) -> Tensor:
            if wide:
                return owner.scratch(f"first {name}", length, k, units).transpose(0, 1)
            return owner.scratch(f"first {name}", k, length, units)

        self.matrix, self.part, self.z, self.d = made("matrix", rows), made("part", rows), made("z", size), made("d", size)
        self.wide = wide
        self.spare = owner.scratch("first spare", k, size, units) if wide else None  # see `_down`

    def forward(self, call: Listing, weight: Tensor, bias: Tensor | None) -> None:
        """Write z of weight (K, D, H) and bias (K, 1, H)."""
        call(self.x[:, : self.columns].copy_, _SHARED_X)
        call(self.matrix[:, : self.columns].copy_, weight)
        if bias is not None:
            call(self.matrix[:, self.columns :].copy_, bias)
        self._product(call, self.x, self.matrix, self.z)

    def backward(self, call: Listing, d: Tensor) -> tuple[Tensor, Tensor]:
        """Write the gradients of weight and bias of d, which lies as z does, and return where."""
        self._product(call, self.x.mT, d, self.part)
        return self.part[:, : self.columns], self.part[:, self.columns :]

    def _product(self, call: Listing, left: Tensor, right: Tensor, out: Tensor) -> None:
        if self.wide:
            call(torch.mm, left, right.transpose(0, 1).flatten(1), out=out.transpose(0, 1).flatten(1))
        else:
            call(torch.bmm, left.expand(len(right), *left.shape), right, out=out)


class _Buffers:
    """What one batch size needs: the input, the activation and the derivative of each layer."""

    def __init__(self, owner: ClosedForm, size: int, *, gaps: bool, shared: bool) -> None:
        shape, buffer, k = owner.shape, owner.scratch, owner.population.size
        lead = (size,) if k == 1 else (k, size)
        separate = not owner.kind.from_output
        masks = owner.masks
        self.first: _First | None = None
        if shared and shape.hidden and 0 not in masks.active:
            wide = shape.hidden[0] <= min(NARROW, shape.in_features // 2)
            # what is copied is less than what a bias in every row, and a sum over rows, would write and read
            few = shape.bias and shape.in_features < size and shape.in_features * shape.hidden[0] <= LARGE_MATRIX
            self.first = _First(owner, size, wide=wide) if wide or few else None
        self.z = [self.first.z] if self.first is not None else []
        self.z += [buffer(f"z{i}", *lead, shape.hidden[i]) for i in range(len(self.z), len(shape.hidden))]
        self.a = [buffer(f"a{i}", *z.shape) if separate else z for i, z in enumerate(self.z)]
        self.norms = [
            _Norm(owner.population, owner.grads, i, z, owner.fit_row) if shape.batch_norm else None for i, z in enumerate(self.z)
        ]
        if not separate:
            self.a = [norm.out if norm else z for norm, z in zip(self.norms, self.z, strict=True)]
        self.dropped = [
            buffer(f"dropped{i}", *z.shape) if i + 1 in masks.active and not owner.quiet[i + 1] else a
            for i, (z, a) in enumerate(zip(self.z, self.a, strict=True))
        ]
        self.input = buffer("input", *lead, shape.in_features) if 0 in masks.active else None
        self.masks = {i: buffer(f"mask{i}", *lead, masks.widths[i]) for i in masks.active}
        self.input_turned = None if self.input is None else self.input.mT
        self.d = [self.first.d] if self.first is not None else []
        self.d += [buffer(f"d{i}", *self.z[i].shape) for i in range(len(self.d), len(self.z))]
        self.d.append(buffer("d", *lead[:-1], shape.out_features, size).mT)
        self.top_turned = self.dropped[-1].mT if self.dropped else None  # the last layer's input
        # a product into a view with gaps between the networks falls back to one product each
        self.scores = buffer("scores", *lead[:-1], shape.out_features, size) if gaps and k > 1 else None
        self.ones = owner.population.flat.new_ones(size)


class ClosedForm:
    """Writes the gradient of the mean loss of each network into `grads` (a population of the same shape), step by step.

    A step that descends has no gradient: a plain SGD step is made inside the matrix products, W <- W + d^T h, where d has been
    multiplied by the number `rate` (), minus the learning rate.
    """

    def __init__(
        self, population: Population, grads: Population, objective: Objective, masks: Masks, scratch: Scratch, rate: Tensor
    ) -> None:
        self.population, self.grads, self.objective, self.masks = population, grads, objective, masks
        self.scratch, self.rate = scratch, rate
        self.shape = population.shape
        self.kind = ACTIVATIONS[self.shape.activation]
        single = population.size == 1
        self.mm: Any = torch.mm if single else torch.bmm
        self.addmm: Any = torch.addmm if single else torch.baddbmm
        layers = [name for name, _, _ in self.shape.layers]
        self.weights, self.d_weights = ([self.fit(side.parameters[f"{n}.weight"]) for n in layers] for side in (population, grads))
        self.turned = [weight.mT for weight in self.weights]
        # the matrices as they lie in memory: the first turned (`Population`)
        self.kept, self.d_kept = ([side[0].mT, *side[1:]] for side in (self.weights, self.d_weights))
        self.biases, self.d_biases = (
            [self.fit_row(side.parameters[f"{n}.bias"]) for n in layers] if self.shape.bias else [] for side in (population, grads)
        )
        self.last_bias = self.biases[-1].mT if self.biases else None
        self.flat_biases, self.flat_d_biases = ([bias[0] for bias in side] for side in (self.biases, self.d_biases))
        # A batched product into a view with gaps between the networks falls back to one product each, which costs more than
        # a copy where the matrices are small.
        self.parts = [
            None if single or kept[0].numel() > LARGE_MATRIX else scratch(f"part{i}", *kept.shape)
            for i, kept in enumerate(self.kept)
        ]
        # The factor 1 / (1 - p) of each layer's input is taken into the products; where a dropped unit passes nothing back by
        # itself, its mask is not needed on the way back either.
        self.scales = masks.scales
        self.quiet = [self.kind.stops and column is None for column in masks.columns]
        self._buffers: dict[int, _Buffers] = {}
        self._listings: dict[tuple[int, bool, bool], Listing] = {}

    def fit(self, view: Tensor) -> Tensor:
        """Return a view (K, ...) without its first axis for K = 1."""
        return view[0] if self.population.size == 1 else view

    def fit_row(self, view: Tensor) -> Tensor:
        """Return a view (K, H) as a row (1, H) for K = 1, or (K, 1, H), which broadcasts over the rows of a batch."""
        return view if self.population.size == 1 else view.unsqueeze(1)

    def calls(self, slot: Slot, *, descends: bool) -> list[Call]:
        """Return what runs this slot forward and backward: its scores and the gradient are written, or the networks descend."""
        if slot.size not in self._buffers:
            shared = self.population.size > 1 and slot.x.stride(0) == 0
            self._buffers[slot.size] = _Buffers(self, slot.size, gaps=not slot.turned_scores.is_contiguous(), shared=shared)
        weighted = slot.raw is not None  # where networks have unlike numbers of rows, the last batch alone may be
        key = slot.size, weighted, descends
        if key not in self._listings:
            self._listings[key] = call = Listing()
            buffers = self._buffers[slot.size]
            self._forward(call, buffers, weighted=weighted)
            self._backward(call, buffers, weighted=weighted, descends=descends)
        return self._listings[key].of(slot, self.masks.kept(slot.place, slot.size))

    def _forward(self, call: Listing, b: _Buffers, *, weighted: bool) -> None:
        h: Tensor | Of = _X
        if b.input is not None:
            self._drop(call, 0, b, _X, b.input)
            h = b.input
        for i, z in enumerate(b.z):
            if i or b.first is None:
                self._linear(call, i, h, z)
            else:
                b.first.forward(call, self.kept[0], self.biases[0] if self.biases else None)
            norm = b.norms[i]
            if norm is not None:
                norm.forward(call, z, weighted=weighted)
            self.kind.run(call, z if norm is None else norm.out, b.a[i])
            if i + 1 in self.masks.active:
                self._drop(call, i + 1, b, b.a[i], b.dropped[i])
            h = b.dropped[i]
        top = _TURNED_X if b.input_turned is None else b.input_turned
        self._scores(call, top if b.top_turned is None else b.top_turned, _SCORES if b.scores is None else b.scores)
        if b.scores is not None:
            call(Tensor.copy_, _SCORES, b.scores)

    def _backward(self, call: Listing, b: _Buffers, *, weighted: bool, descends: bool) -> None:
        last = len(b.z)
        d = b.d[last]
        self.objective.gradient(call, _SCORES if b.scores is None else b.scores, _TARGET, out=d.mT)
        call(d.mul_, _WEIGHT)
        if descends:
            call(d.mul_, self.rate)
        for i in range(last, 0, -1):
            norm = b.norms[i - 1]
            # of one output, d W f'(a) is made where a lies; but plain SGD moves W by a before that, and so must have made d W first
            slope = self.kind.slope if d.shape[-1] == 1 and self.scales[i] == 1.0 and not descends else None
            if slope is None:
                below = b.d[i - 1]
                self._down(call, i, d, below, None if b.first is None or i > 1 else b.first.spare)
                self._emit(call, i, b, d, d.mT, b.dropped[i - 1], descends)
            else:
                below = b.a[i - 1]
                self._emit(call, i, b, d, d.mT, b.dropped[i - 1], descends)
                call(slope, below)
                call(below.mul_, d)
                call(below.mul_, self.weights[i])
            if i in self.masks.active and not self.quiet[i]:
                call(below.mul_, b.masks[i])
            if slope is None:
                self.kind.back(call, below, b.z[i - 1] if norm is None else norm.out, b.a[i - 1])
            if norm is not None:
                norm.backward(call, below, weighted=weighted)
            d = below
        if b.first is None:
            turned = _TURNED_X if b.input_turned is None else b.input_turned
            self._emit(call, 0, b, d, turned, d, descends)
            return
        weight, bias = b.first.backward(call, d)
        self._take(call, self.kept[0], self.d_kept[0], weight, descends)
        if self.biases:
            self._take(call, self.biases[0], self.d_biases[0], bias, descends)

    def _drop(self, call: Listing, i: int, b: _Buffers, h: Tensor | Of, out: Tensor) -> None:
        """Write the input h of layer i without the units that are dropped; its mask is made of bytes, and stays until the next step."""
        mask, column = b.masks[i], self.masks.columns[i]
        call(mask.copy_, _kept(i))
        if column is not None:
            call(mask.mul_, column)
        call(torch.mul, h, mask, out=out)

    def _linear(self, call: Listing, i: int, h: Tensor | Of, out: Tensor) -> None:
        if self.biases:
            call(self.addmm, self.biases[i], h, self.turned[i], alpha=self.scales[i], out=out)
        else:
            self._product(call, h, self.turned[i], self.scales[i], out)

    def _scores(self, call: Listing, turned: Tensor | Of, out: Tensor | Of) -> None:
        """Write the last layer's scores (..., O, b); `turned` is its input (..., H, b)."""
        scale = self.scales[-1]
        if self.last_bias is not None:
            call(self.addmm, self.last_bias, self.weights[-1], turned, alpha=scale, out=out)
        else:
            self._product(call, self.weights[-1], turned, scale, out)

    def _down(self, call: Listing, i: int, d: Tensor, below: Tensor, spare: Tensor | None) -> None:
        """Write the derivative by the input of layer i. spare: what a product is written to first, where `below` has gaps."""
        if d.shape[-1] == 1 and self.scales[i] == 1.0:
            call(torch.mul, d, self.weights[i], out=below)  # of one output: an outer product
        else:
            self._product(call, d, self.weights[i], self.scales[i], below if spare is None else spare)
            if spare is not None:
                call(below.copy_, spare)

    def _product(self, call: Listing, left: Tensor | Of, right: Tensor | Of, scale: float, out: Tensor | Of) -> None:
        if scale == 1.0:
            call(self.mm, left, right, out=out)
        else:
            call(self.addmm, out, left, right, beta=0, alpha=scale, out=out)

    def _emit(self, call: Listing, i: int, b: _Buffers, d: Tensor, left: Tensor | Of, right: Tensor | Of, descends: bool) -> None:
        """Write layer i's gradient, or make its SGD step; left right is that of the matrix as it lies in memory."""
        kept, part, scale = self.kept[i], self.parts[i], self.scales[i]
        if part is not None:
            self._product(call, left, right, scale, part)
            self._take(call, kept, self.d_kept[i], part, descends)
        elif descends:
            call(self.addmm, kept, left, right, alpha=scale, out=kept)
        else:
            self._product(call, left, right, scale, self.d_kept[i])
        if not self.biases:
            return
        if self.population.size > 1:
            call(torch.sum, d, -2, keepdim=True, out=self.d_biases[i])
            if descends:
                call(self.biases[i].add_, self.d_biases[i])
        elif descends:  # a product with ones is quicker than a sum over rows
            call(torch.addmv, self.flat_biases[i], d.mT, b.ones, out=self.flat_biases[i])
        else:
            call(torch.mv, d.mT, b.ones, out=self.flat_d_biases[i])

    def _take(self, call: Listing, parameter: Tensor, gradient: Tensor, part: Tensor, descends: bool) -> None:
        """Copy a part of the gradient to its place, or make its SGD step."""
        if descends:
            call(parameter.add_, part)
        else:
            call(gradient.copy_, part)
