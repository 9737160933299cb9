"""Batch norm of a hidden layer, y = gain * n + shift with n = (z - mean) / sqrt(var + eps) over the rows of a batch.

`batch_norm` is the function, from which autograd starts; `BatchNorm` goes both ways through it in buffers. In prediction, mean and variance
are the running ones, and it is one line (`manynets.nn.population.Population.norm`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from manynets.constants import BN_EPS, BN_MOMENTUM


def normalisers(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what follows from the weights (..., b, 1) of the rows of batches: share (..., b, 1), rows and unbiased (..., 1, 1).

    share is each row's share of its batch, 0 where all weights are. Batch norm divides its sums by `rows` for mean and variance, and
    by `unbiased` for the running variance, as torch does. Weights count as copies of a row, so that weight 2 is the row twice, but
    no batch has fewer rows than it has.
    """
    total = raw.sum(-2, keepdim=True)
    rows = total.masked_fill(total == 0, 1.0)
    copies = torch.maximum(rows, (raw > 0).sum(-2, keepdim=True).to(rows)).clamp_(min=2.0)
    return raw / rows, rows, torch.where(copies == rows, rows - 1, rows * (copies - 1) / copies)


@dataclasses.dataclass(frozen=True)
class Whole:
    """A batch whose rows are divided among processes: the weights of all its rows (B, 1), and a sum's total over the processes."""

    weight: Tensor
    total: Callable[[Tensor], Tensor] = lambda part: part


def batch_norm(
    z: Tensor, gain: Tensor, shift: Tensor, *, weight: Tensor | None, running: tuple[Tensor, Tensor] | None, whole: Whole | None
) -> Tensor:
    """Return y of z (b, units), and move the running mean and variance (units,), if they are given.

    weight: of the rows (b, 1), None if all count alike. whole: the batch of which these rows are a part; None: they are all of it.
    """
    z = z.to(gain.dtype)  # autocast gives bfloat16, in which means and variances would lose their digits
    w = torch.ones_like(z[:, :1]) if weight is None else weight
    whole = whole or Whole(w)
    _, rows, unbiased = normalisers(whole.weight)
    mean = whole.total((z * w).sum(0, keepdim=True)) / rows
    centred = z - mean
    squares = whole.total((centred * centred * w).sum(0, keepdim=True))
    if running is not None:
        with torch.no_grad():
            for buffer, value in zip(running, (mean, squares / unbiased), strict=True):
                buffer.lerp_(value.detach()[0], BN_MOMENTUM)
    return centred * torch.rsqrt(squares / rows + BN_EPS) * gain + shift


class BatchNorm:
    """Both ways through the batch norm of K networks, for z (K, b, units) of one batch size.

    parameters, grads: tensors (K, units) by name, and where their gradients are written; name: of the layer. add: turns a sum over the rows
    of this process into that over the rows of all, in place.

    Both methods take the weights of the rows (K, b, 1), None if all count alike, and `rows` of `normalisers`; the first also `unbiased`.
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], grads: Mapping[str, Tensor], name: str, z: Tensor, add: Callable[[Tensor], object]
    ) -> None:
        values = ("weight", "bias", "running_mean", "running_var")
        self.gain, self.shift, self.running_mean, self.running_var = (parameters[f"{name}.{one}"].unsqueeze(1) for one in values)
        self.d_gain, self.d_shift = (grads[f"{name}.{one}"].unsqueeze(1) for one in ("weight", "bias"))
        self.add = add
        self.normal, self.out, self.product = (torch.empty_like(z) for _ in range(3))
        self.mean, self.var, self.inverse, self.part = (z.new_empty(z.shape[0], 1, z.shape[2]) for _ in range(4))
        self.sums = z.new_empty(2, z.shape[0], 1, z.shape[2])  # of d and d n over the rows of all processes

    def forward(self, z: Tensor, weight: Tensor | None, rows: Any, unbiased: Any) -> None:
        """Write y of z to `out`, and move the running mean and variance."""
        weighted = z if weight is None else torch.mul(z, weight, out=self.product)
        torch.sum(weighted, 1, keepdim=True, out=self.mean)
        self.add(self.mean)
        self.mean.div_(rows)
        torch.sub(z, self.mean, out=self.normal)
        torch.mul(self.normal, self.normal, out=self.product)
        if weight is not None:
            self.product.mul_(weight)
        torch.sum(self.product, 1, keepdim=True, out=self.var)
        self.add(self.var)
        torch.div(self.var, rows, out=self.part).add_(BN_EPS)
        self.normal.mul_(torch.rsqrt(self.part, out=self.inverse))
        torch.addcmul(self.shift, self.normal, self.gain, out=self.out)
        self.running_mean.lerp_(self.mean, BN_MOMENTUM)
        self.running_var.lerp_(self.var.div_(unbiased), BN_MOMENTUM)

    def backward(self, d: Tensor, weight: Tensor | None, rows: Any) -> None:
        """Turn d = dLoss/dy into dLoss/dz in place: g inv (d - w sum(d) / W - w n sum(d n) / W), w the weights, W their sum."""
        torch.sum(d, 1, keepdim=True, out=self.d_shift)
        torch.sum(torch.mul(d, self.normal, out=self.product), 1, keepdim=True, out=self.d_gain)
        self.sums[0].copy_(self.d_shift)
        self.sums[1].copy_(self.d_gain)
        self.add(self.sums)
        torch.div(self.sums[0], rows, out=self.mean)
        torch.div(self.sums[1], rows, out=self.part)
        torch.addcmul(self.mean, self.normal, self.part, out=self.product)
        if weight is not None:
            self.product.mul_(weight)
        d.sub_(self.product).mul_(torch.mul(self.gain, self.inverse, out=self.part))
