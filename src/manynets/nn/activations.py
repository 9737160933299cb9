"""Activations: the function, the torch module, and the derivative as one call that writes into a buffer.

The backward calls are the very kernels that torch's autograd runs, so both ways to a gradient give the same bits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from manynets.spec import Activation

__all__ = ["ACTIVATIONS", "ActivationKind"]

_aten: Any = torch.ops.aten
_SELU = (1.6732632423543772, 1.0507009873554805)  # alpha, scale: Klambauer et al. 2017


@dataclasses.dataclass(frozen=True)
class ActivationKind:
    """One activation.

    module: makes the torch module. call: the function, differentiable.
    run(z, out): write the activation of z into out. back(grad, saved): multiply grad in place by the derivative;
    `saved` is the activation's output where from_output (then out may be z itself), else its input.
    stops: the derivative is 0 wherever the output is 0, so a unit that was dropped passes nothing back by itself.
    slope(a): turn the output in place into the derivative; None where that takes more than one call.
    """

    module: Callable[[], nn.Module]
    call: Callable[[Tensor], Tensor]
    run: Callable[[Tensor, Tensor], object]
    back: Callable[[Tensor, Tensor], object]
    from_output: bool
    stops: bool = False
    slope: Callable[[Tensor], object] | None = None


_f = nn.functional

ACTIVATIONS: dict[Activation, ActivationKind] = {
    "identity": ActivationKind(
        nn.Identity, lambda z: z, lambda z, out: None, lambda g, a: None, True
    ),  # run is only ever asked in place
    "relu": ActivationKind(
        nn.ReLU,
        torch.relu,
        lambda z, out: torch.relu_(z),
        lambda g, a: _aten.threshold_backward.grad_input(g, a, 0, grad_input=g),
        True,
        stops=True,
        slope=torch.Tensor.sign_,
    ),
    "leaky_relu": ActivationKind(
        nn.LeakyReLU,
        _f.leaky_relu,
        lambda z, out: _aten.leaky_relu.out(z, 0.01, out=out),
        lambda g, a: _aten.leaky_relu_backward.grad_input(g, a, 0.01, True, grad_input=g),
        True,
    ),
    "elu": ActivationKind(
        nn.ELU,
        _f.elu,
        lambda z, out: _aten.elu.out(z, out=out),
        lambda g, a: _aten.elu_backward.grad_input(g, 1.0, 1.0, 1.0, True, a, grad_input=g),
        True,
    ),
    "selu": ActivationKind(
        nn.SELU,
        torch.selu,
        lambda z, out: _aten.elu.out(z, *_SELU, 1.0, out=out),
        lambda g, a: _aten.elu_backward.grad_input(g, *_SELU, 1.0, True, a, grad_input=g),
        True,
    ),
    "gelu": ActivationKind(
        nn.GELU,
        _f.gelu,
        lambda z, out: _aten.gelu.out(z, out=out),
        lambda g, z: _aten.gelu_backward.grad_input(g, z, grad_input=g),
        False,
    ),
    "silu": ActivationKind(
        nn.SiLU,
        _f.silu,
        lambda z, out: _aten.silu.out(z, out=out),
        lambda g, z: _aten.silu_backward.grad_input(g, z, grad_input=g),
        False,
    ),
    "mish": ActivationKind(
        nn.Mish,
        _f.mish,
        lambda z, out: _aten.mish.out(z, out=out),
        lambda g, z: g.copy_(_aten.mish_backward(g, z)),
        False,
    ),
    "tanh": ActivationKind(
        nn.Tanh,
        torch.tanh,
        lambda z, out: torch.tanh(z, out=out),
        lambda g, a: _aten.tanh_backward.grad_input(g, a, grad_input=g),
        True,
    ),
    "sigmoid": ActivationKind(
        nn.Sigmoid,
        torch.sigmoid,
        lambda z, out: torch.sigmoid(z, out=out),
        lambda g, a: _aten.sigmoid_backward.grad_input(g, a, grad_input=g),
        True,
    ),
    "softplus": ActivationKind(
        nn.Softplus,
        _f.softplus,
        lambda z, out: _aten.softplus.out(z, out=out),
        lambda g, z: _aten.softplus_backward.grad_input(g, z, 1, 20, grad_input=g),
        False,
    ),
}
