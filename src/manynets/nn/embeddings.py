"""Embeddings of columns that have weights: learned mixtures of learned cosines (`manynets.spec.Periodic`).

For an embedded column x, with its own frequencies f (k,), phases p (k,), weights W (m, k) and biases b (m,):

    e(x) = W cos(2 pi f x + p) + b

The first layer reads all D columns as they are, and then e of each of the F embedded ones: D + F m columns. With d = dloss/de (m,) of a
row, c = cos(2 pi f x + p) and t = -(W^T d) sin(2 pi f x + p), the gradient is, summed over rows:

    dW = d c^T,    db = d,    dp = t,    df = 2 pi x t

Source: Holzmueller et al. 2024, RealMLP's PBLD (periodic, bias, linear, densely connected), after Gorishniy et al. 2022.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from manynets.nn.shape import PREFIX, embedding_shapes
from manynets.spec import Periodic


def periodic(x: Tensor, parameters: Mapping[str, Tensor], columns: Any) -> Tensor:
    """Return x (..., n, D) and after it the outputs of its embedded columns, (..., n, D + F m).

    parameters: by name, (..., F, k) and so on. columns: the numbers of the embedded columns, a sequence or a tensor; None for all.
    """
    f, p, w, b = (parameters[PREFIX + name] for name in ("frequencies", "phases", "weight", "bias"))
    picked = (x if columns is None else x[..., columns]).mT.unsqueeze(-1)  # (..., F, n, 1)
    with torch.autocast(x.device.type, enabled=False):
        cosines = torch.cos(torch.addcmul(p.unsqueeze(-2), picked, f.unsqueeze(-2) * (2 * math.pi)))  # (..., F, n, k)
        outputs = torch.matmul(cosines, w.mT) + b.unsqueeze(-2)  # (..., F, n, m)
    return torch.cat([x, outputs.transpose(-3, -2).flatten(-2)], dim=-1)


class PeriodicColumns:
    """Both ways through the embeddings of K networks, with the gradient written out.

    parameters, grads: tensors by name, (K, F, k) and so on, and where their gradients are written. columns: as of `periodic`. width: D.
    """

    def __init__(self, parameters: Mapping[str, Tensor], grads: Mapping[str, Tensor], columns: Tensor | None, width: int) -> None:
        names = [PREFIX + name for name in ("frequencies", "phases", "weight", "bias")]
        self.f, self.p, self.w, self.b = (parameters[name] for name in names)
        self.d_f, self.d_p, self.d_w, self.d_b = (grads[name] for name in names)
        self.columns, self.width = columns, width

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


class PeriodicEmbedding(nn.Module):
    """The embedding as a module: x (N, D) to (N, D + F m). See `manynets.spec.Periodic`."""

    def __init__(self, embedding: Periodic, in_features: int) -> None:
        super().__init__()
        self.columns = None if embedding.columns is None else list(embedding.columns)
        for name, shape in embedding_shapes(embedding, in_features).items():
            self.register_parameter(name.removeprefix(PREFIX), nn.Parameter(torch.empty(shape)))

    def forward(self, x: Tensor) -> Tensor:
        """Return x and after it the outputs of its embedded columns."""
        return periodic(x, {PREFIX + name: parameter for name, parameter in self.named_parameters()}, self.columns)

    def extra_repr(self) -> str:
        columns, outputs, frequencies = self.get_parameter("weight").shape
        return f"columns={columns}, frequencies={frequencies}, outputs={outputs}"
