"""Activations: the function, the torch module, and both ways through it into buffers.

The backward functions are the very kernels that torch's autograd runs, so both ways to a gradient give the same bits (but for mish,
whose kernel cannot write into a buffer).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from manynets.constants import SELU_ALPHA, SELU_SCALE
from manynets.spec import Activation

_SELU = (SELU_ALPHA, SELU_SCALE)
_aten = torch.ops.aten
_f = nn.functional

Run: TypeAlias = Callable[[Tensor, Tensor], object]
Back: TypeAlias = Callable[[Tensor, Tensor, Tensor], object]


@dataclasses.dataclass(frozen=True)
class Kind:
    """One activation a = f(z).

    module: makes the torch module. call: the function, differentiable.
    run(z, out): write f(z) into out. back(g, z, a): multiply g in place by f'(z); both z and a may be overwritten.
    from_output: the derivative follows from the output, so that `run` may write into z itself.
    """

    module: Callable[[], nn.Module]
    call: Callable[[Tensor], Tensor]
    run: Run
    back: Back
    from_output: bool = True


def _into(kernel: Callable[..., object], *options: float) -> Run:
    return lambda z, out: kernel(z, *options, out=out)


def _of_input(kernel: Any, *options: float) -> Back:
    return lambda g, z, a: kernel.grad_input(g, z, *options, grad_input=g)


def _of_output(kernel: Any, *options: float) -> Back:
    return lambda g, z, a: kernel.grad_input(g, a, *options, grad_input=g)


def _elu_back(alpha: float, scale: float) -> Back:
    return lambda g, z, a: _aten.elu_backward.grad_input(g, alpha, scale, 1.0, True, a, grad_input=g)


def _mish_back(g: Tensor, z: Tensor, t: Tensor) -> None:
    """With t = tanh(softplus(z)) and s = z sigmoid(z): g <- g (t + s (1 - t^2))."""
    torch.tanh(_aten.softplus.out(z, out=t), out=t)
    _aten.silu.out(z, out=z)
    _aten.tanh_backward.grad_input(z, t, grad_input=z)
    g.mul_(z.add_(t))


ACTIVATIONS: dict[Activation, Kind] = {
    "identity": Kind(nn.Identity, lambda z: z, lambda z, out: None, lambda g, z, a: None),  # run writes into z itself
    "relu": Kind(nn.ReLU, torch.relu, lambda z, out: torch.relu_(z), _of_output(_aten.threshold_backward, 0)),
    "leaky_relu": Kind(
        nn.LeakyReLU, _f.leaky_relu, _into(_aten.leaky_relu.out, 0.01), _of_output(_aten.leaky_relu_backward, 0.01, True)
    ),
    "elu": Kind(nn.ELU, _f.elu, _into(_aten.elu.out), _elu_back(1.0, 1.0)),
    "selu": Kind(nn.SELU, torch.selu, _into(_aten.elu.out, *_SELU, 1.0), _elu_back(*_SELU)),
    "gelu": Kind(nn.GELU, _f.gelu, _into(_aten.gelu.out), _of_input(_aten.gelu_backward), False),
    "silu": Kind(nn.SiLU, _f.silu, _into(_aten.silu.out), _of_input(_aten.silu_backward), False),
    "mish": Kind(nn.Mish, _f.mish, _into(_aten.mish.out), _mish_back, False),
    "tanh": Kind(nn.Tanh, torch.tanh, _into(torch.tanh), _of_output(_aten.tanh_backward)),
    "sigmoid": Kind(nn.Sigmoid, torch.sigmoid, _into(torch.sigmoid), _of_output(_aten.sigmoid_backward)),
    "softplus": Kind(nn.Softplus, _f.softplus, _into(_aten.softplus.out), _of_input(_aten.softplus_backward, 1, 20), False),
    "hard_swish": Kind(
        nn.Hardswish, _f.hardswish, _into(_aten.hardswish.out), lambda g, z, a: _aten.hardswish_backward.out(g, z, out=g), False
    ),
}
