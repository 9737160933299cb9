"""The periodic embedding of the closed form: forward, and the written-out gradient of `manynets.nn.embeddings`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manynets.nn.population import Population

__all__ = ["PeriodicColumns"]


class PeriodicColumns:
    """The cosines of the embedded columns of a batch, of K networks: (K, F, b, k)."""

    def __init__(self, parameters: Population, grads: Population) -> None:
        names = [f"embedding.{name}" for name in ("frequencies", "phases", "weight", "bias")]
        self.f, self.p, self.w, self.b = (parameters.parameters[name] for name in names)
        self.d_f, self.d_p, self.d_w, self.d_b = (grads.parameters[name] for name in names)
        self.columns, self.width = parameters.columns, parameters.shape.in_features

    def forward(self, x: Tensor, out: Tensor) -> None:
        """Write x (K, b, D), and after it the outputs of its embedded columns, to out (K, b, D + F m)."""
        picked = x if self.columns is None else x.index_select(2, self.columns)
        self.x = picked.mT.unsqueeze(-1)  # (K, F, b, 1)
        angles = torch.addcmul(self.p.unsqueeze(2), self.x, self.f.unsqueeze(2) * (2 * math.pi))
        self.cosines, self.sines = torch.cos(angles), torch.sin(angles)
        mixed = torch.matmul(self.cosines, self.w.mT) + self.b.unsqueeze(2)
        out[..., : self.width].copy_(x)
        self._outputs(out).copy_(mixed.transpose(1, 2))

    def _outputs(self, columns: Tensor) -> Tensor:
        """Return the outputs among all columns, as a view (K, b, F, m)."""
        return columns[..., self.width :].view(*columns.shape[:2], *self.b.shape[1:])

    def backward(self, d: Tensor) -> None:
        """Write the gradient, from d (K, b, D + F m), the derivative of the loss by what `forward` wrote."""
        d = self._outputs(d).transpose(1, 2)  # (K, F, b, m)
        torch.sum(d, 2, out=self.d_b)
        self.d_w.copy_(torch.matmul(d.mT, self.cosines))
        turned = torch.matmul(d, self.w).mul_(self.sines).neg_()
        torch.sum(turned, 2, out=self.d_p)
        torch.sum(turned.mul_(self.x), 2, out=self.d_f).mul_(2 * math.pi)
