"""Products of float32 matrices on the CPU: by oneDNN where torch's usual library leaves half of the processor unused.

torch multiplies float32 matrices by MKL, which on AMD's processors uses vectors of 256 bits. oneDNN, which comes with torch, uses those
of 512 where there are any: from Zen 5 on its products take half the time (docs/benchmarks.md, "On a newer processor"). torch reaches it
by the operator that `torch.compile` calls for a linear layer, y = x W^T + b. Elsewhere, for other types, for small matrices and for
vectors, with which oneDNN can take fifty times as long, the products are torch's own.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from manynets import core

FEWEST = 1 << 21  # multiplications below which a call of the operator, some 15 us, takes longer than it saves
MOST_NUMBERS = 1 << 22  # of a product made at once: memory for more comes from the system anew each time


def multiply(a: Tensor, b: Tensor, out: Tensor, *, bias: Tensor | None = None, beta: int = 0) -> Tensor:
    """Write a b + bias to `out`, or with beta = 1 add a b to it, and return it.

    a (N, D), b (D, M), out (N, M), bias (M,), or those of K networks: (K, N, D), (K, D, M), (K, N, M), (K, 1, M).
    """
    if _by_onednn(a, b):
        if a.ndim == 2:
            _multiply_by_onednn(a, b, out, bias, beta)
        else:
            for k in range(len(a)):
                _multiply_by_onednn(a[k], b[k], out[k], None if bias is None else bias[k, 0], beta)
        return out
    if beta == 0 and bias is None:
        return (torch.mm if a.ndim == 2 else torch.bmm)(a, b, out=out)
    return (torch.addmm if a.ndim == 2 else torch.baddbmm)(out if bias is None else bias, a, b, out=out)


def _by_onednn(a: Tensor, b: Tensor) -> bool:
    """Return whether oneDNN makes this product sooner."""
    if not core.mkl_is_narrow() or a.dtype != torch.float32 or a.device.type != "cpu":
        return False
    sides = *a.shape[-2:], b.shape[-1]
    return math.prod(sides) >= FEWEST and min(sides) > 1 and bool(torch.backends.mkldnn.enabled) and has_onednn()


@functools.cache
def has_onednn() -> bool:
    """Return whether torch has the operator, and multiplies with it."""
    try:
        ones = torch.ones(2, 3)
        return torch.equal(torch.ops.mkldnn._linear_pointwise(ones, ones, None, "none", [], ""), torch.full((2, 2), 3.0))
    except (AttributeError, RuntimeError, TypeError):  # a torch without it, or with other arguments
        return False


def _multiply_by_onednn(a: Tensor, b: Tensor, out: Tensor, bias: Tensor | None, beta: int) -> None:
    rows = max(1, MOST_NUMBERS // b.shape[1])
    for some, part in zip(torch.split(a, rows), torch.split(out, rows), strict=True):
        product = torch.ops.mkldnn._linear_pointwise(some, b.mT, bias, "none", [], "")
        if beta:
            part.add_(product)
        else:
            part.copy_(product)
