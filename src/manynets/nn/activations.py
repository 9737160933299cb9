"""Activations: the function, the torch module, and both ways through it into buffers.

The backward functions are the very kernels that torch's autograd runs, so both ways to a gradient give the same bits (but for mish,
whose kernel cannot write into a buffer).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from manynets.constants import SELU_ALPHA, SELU_SCALE
from manynets.spec import Activation

_SELU = (SELU_ALPHA, SELU_SCALE)
_aten = torch.ops.aten
_f = nn.functional


@dataclasses.dataclass(frozen=True)
class ActivationKind:
    """One activation a = f(z).

    module: makes the torch module. call: the function, differentiable.
    run(z, out): write f(z) into out. back(g, z, a): multiply g in place by f'(z); both z and a may be overwritten.
    from_output: the derivative follows from the output, so that `run` may write into z itself.
    """

    module: Callable[[], nn.Module]
    call: Callable[[Tensor], Tensor]
    run: Callable[[Tensor, Tensor], object]
    back: Callable[[Tensor, Tensor, Tensor], object]
    from_output: bool


def _mish_back(g: Tensor, z: Tensor, t: Tensor) -> None:
    """With t = tanh(softplus(z)) and s = z sigmoid(z): g <- g (t + s (1 - t^2))."""
    torch.tanh(_aten.softplus.out(z, out=t), out=t)
    _aten.silu.out(z, out=z)
    _aten.tanh_backward.grad_input(z, t, grad_input=z)
    g.mul_(z.add_(t))


ACTIVATIONS: dict[Activation, ActivationKind] = {
    "identity": ActivationKind(
        nn.Identity, lambda z: z, lambda z, out: None, lambda g, z, a: None, True
    ),  # run is only ever asked to write into z itself
    "relu": ActivationKind(
        nn.ReLU,
        torch.relu,
        lambda z, out: torch.relu_(z),
        lambda g, z, a: _aten.threshold_backward.grad_input(g, a, 0, grad_input=g),
        True,
    ),
    "leaky_relu": ActivationKind(
        nn.LeakyReLU,
        _f.leaky_relu,
        lambda z, out: _aten.leaky_relu.out(z, 0.01, out=out),
        lambda g, z, a: _aten.leaky_relu_backward.grad_input(g, a, 0.01, True, grad_input=g),
        True,
    ),
    "elu": ActivationKind(
        nn.ELU,
        _f.elu,
        lambda z, out: _aten.elu.out(z, out=out),
        lambda g, z, a: _aten.elu_backward.grad_input(g, 1.0, 1.0, 1.0, True, a, grad_input=g),
        True,
    ),
    "selu": ActivationKind(
        nn.SELU,
        torch.selu,
        lambda z, out: _aten.elu.out(z, *_SELU, 1.0, out=out),
        lambda g, z, a: _aten.elu_backward.grad_input(g, *_SELU, 1.0, True, a, grad_input=g),
        True,
    ),
    "gelu": ActivationKind(
        nn.GELU,
        _f.gelu,
        lambda z, out: _aten.gelu.out(z, out=out),
        lambda g, z, a: _aten.gelu_backward.grad_input(g, z, grad_input=g),
        False,
    ),
    "silu": ActivationKind(
        nn.SiLU,
        _f.silu,
        lambda z, out: _aten.silu.out(z, out=out),
        lambda g, z, a: _aten.silu_backward.grad_input(g, z, grad_input=g),
        False,
    ),
    "mish": ActivationKind(nn.Mish, _f.mish, lambda z, out: _aten.mish.out(z, out=out), _mish_back, False),
    "tanh": ActivationKind(
        nn.Tanh,
        torch.tanh,
        lambda z, out: torch.tanh(z, out=out),
        lambda g, z, a: _aten.tanh_backward.grad_input(g, a, grad_input=g),
        True,
    ),
    "sigmoid": ActivationKind(
        nn.Sigmoid,
        torch.sigmoid,
        lambda z, out: torch.sigmoid(z, out=out),
        lambda g, z, a: _aten.sigmoid_backward.grad_input(g, a, grad_input=g),
        True,
    ),
    "softplus": ActivationKind(
        nn.Softplus,
        _f.softplus,
        lambda z, out: _aten.softplus.out(z, out=out),
        lambda g, z, a: _aten.softplus_backward.grad_input(g, z, 1, 20, grad_input=g),
        False,
    ),
    "hard_swish": ActivationKind(
        nn.Hardswish,
        _f.hardswish,
        lambda z, out: _aten.hardswish.out(z, out=out),
        lambda g, z, a: _aten.hardswish_backward.out(g, z, out=g),
        False,
    ),
}
