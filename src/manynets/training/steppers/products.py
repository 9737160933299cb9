"""The matrix products of the closed form, both ways through the layers: in the type of the network, or in bfloat16 as torch's autocast makes them."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from manynets.nn.products import multiply
from manynets.nn.shape import Shape


@final
class Products:
    """The products in the type of the network."""

    def __init__(self) -> None:
        self.read: dict[int, tuple[Tensor, Tensor]] = {}  # h and W of each layer

    def forward(self, i: int, h: Tensor, weight: Tensor, bias: Tensor | None, z: Tensor) -> None:
        """Write z = h W^T + b of layer i."""
        self.read[i] = h, weight
        multiply(h, weight.mT, z, bias=bias)

    def backward(self, i: int, d: Tensor, d_weight: Tensor, below: Tensor | None, *, add: bool) -> None:
        """Write dh = d W of layer i to `below`, and then dW = d^T h, or add that to what is there, which may be W itself."""
        h, weight = self.read[i]
        if below is not None:
            multiply(d, weight, below)
        if i == 0:  # the first matrix is stored transposed
            multiply(h.mT, d, d_weight.mT, beta=int(add))
        else:
            multiply(d.mT, h, d_weight, beta=int(add))


@final
class Bfloat16:
    """The products in bfloat16, with buffers for one batch size. Both factors are rounded, and so is the product; sums are wider.

    Weights, activations, losses, batch norm and updates stay in the type of the network.
    """

    def __init__(self, shape: Shape, networks: int, size: int, device: torch.device) -> None:
        def made(*sizes: int) -> Tensor:
            return torch.empty(networks, *sizes, dtype=torch.bfloat16, device=device)

        self.h = [made(size, d_in) for _, d_in, _ in shape.layers]
        self.d = [made(size, d_out) for _, _, d_out in shape.layers]
        self.weights, self.d_weights = ([made(d_out, d_in) for _, d_in, d_out in shape.layers] for _ in range(2))

    def forward(self, i: int, h: Tensor, weight: Tensor, bias: Tensor | None, z: Tensor) -> None:
        """Write z = h W^T + b of layer i."""
        product = torch.bmm(self.h[i].copy_(h), self.weights[i].copy_(weight).mT, out=self.d[i])
        if bias is None:
            z.copy_(product)
        else:
            torch.add(product, bias, out=z)

    def backward(self, i: int, d: Tensor, d_weight: Tensor, below: Tensor | None, *, add: bool) -> None:
        """Write dW = d^T h of layer i, or add it to what is there, and dh = d W to `below`."""
        product = torch.bmm(self.d[i].copy_(d).mT, self.h[i], out=self.d_weights[i])
        if add:
            d_weight.add_(product)
        else:
            d_weight.copy_(product)
        if below is not None:
            below.copy_(torch.bmm(self.d[i], self.weights[i], out=self.h[i]))
