"""Activations: the function, the torch module, and both ways through it as calls that write into buffers.

The backward calls are the very kernels that torch's autograd runs, so both ways to a gradient give the same bits (but for mish, whose
kernel cannot write into a buffer).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from manynets.calls import Caller
from manynets.spec import Activation

__all__ = ["ACTIVATIONS", "ActivationKind"]

_SELU = (1.6732632423543772, 1.0507009873554805)  # alpha, scale: Klambauer et al. 2017


def _kernel(name: str, overload: str) -> Any:
    """Return a kernel of torch; not the object that calls it, which costs a frame of Python each time.

    `_op` is private to torch: without it the calls are only slower.
    """
    found = getattr(getattr(torch.ops.aten, name), overload)
    return getattr(found, "_op", found)


def _inward(name: str) -> Any:
    """Return the kernel that writes the derivative of an activation."""
    return _kernel(f"{name}_backward", "grad_input")


@dataclasses.dataclass(frozen=True)
class ActivationKind:
    """One activation.

    module: makes the torch module. call: the function, differentiable.
    run(call, z, out): list the calls that write the activation of z into out. back(call, grad, z, out): list those that multiply grad
    in place by the derivative at z; both z and out may be overwritten. With `operator.call` as `call` they are made at once.
    from_output: the derivative follows from the output, so that out may be z itself.
    stops: the derivative is 0 wherever the output is 0, so a unit that was dropped passes nothing back by itself.
    slope(a): turn the output in place into the derivative; None where that takes more than one call.
    """

    module: Callable[[], nn.Module]
    call: Callable[[Tensor], Tensor]
    run: Callable[[Caller, Tensor, Tensor], object]
    back: Callable[[Caller, Tensor, Tensor, Tensor], object]
    from_output: bool
    stops: bool = False
    slope: Callable[[Tensor], object] | None = None


_elu, _leaky_relu, _gelu, _silu, _mish, _softplus = (
    _kernel(name, "out") for name in ("elu", "leaky_relu", "gelu", "silu", "mish", "softplus")
)
_relu_back, _elu_back, _leaky_relu_back, _gelu_back, _silu_back, _tanh_back, _sigmoid_back, _softplus_back = (
    _inward(name) for name in ("threshold", "elu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid", "softplus")
)


def _mish_back(call: Caller, g: Tensor, z: Tensor, t: Tensor) -> None:
    """With t = tanh(softplus(z)) and s = z sigmoid(z): g <- g (t + s (1 - t^2))."""
    call(_softplus, z, out=t)
    call(torch.tanh, t, out=t)
    call(_silu, z, out=z)
    call(_tanh_back, z, t, grad_input=z)
    call(z.add_, t)
    call(g.mul_, z)


_f = nn.functional

ACTIVATIONS: dict[Activation, ActivationKind] = {
    "identity": ActivationKind(
        nn.Identity, lambda z: z, lambda call, z, out: None, lambda call, g, z, a: None, True
    ),  # run is only ever asked in place
    "relu": ActivationKind(
        nn.ReLU,
        torch.relu,
        lambda call, z, out: call(torch.relu_, z),
        lambda call, g, z, a: call(_relu_back, g, a, 0, grad_input=g),
        True,
        stops=True,
        slope=torch.Tensor.sign_,
    ),
    "leaky_relu": ActivationKind(
        nn.LeakyReLU,
        _f.leaky_relu,
        lambda call, z, out: call(_leaky_relu, z, 0.01, out=out),
        lambda call, g, z, a: call(_leaky_relu_back, g, a, 0.01, True, grad_input=g),
        True,
    ),
    "elu": ActivationKind(
        nn.ELU,
        _f.elu,
        lambda call, z, out: call(_elu, z, out=out),
        lambda call, g, z, a: call(_elu_back, g, 1.0, 1.0, 1.0, True, a, grad_input=g),
        True,
    ),
    "selu": ActivationKind(
        nn.SELU,
        torch.selu,
        lambda call, z, out: call(_elu, z, *_SELU, 1.0, out=out),
        lambda call, g, z, a: call(_elu_back, g, *_SELU, 1.0, True, a, grad_input=g),
        True,
    ),
    "gelu": ActivationKind(
        nn.GELU,
        _f.gelu,
        lambda call, z, out: call(_gelu, z, out=out),
        lambda call, g, z, a: call(_gelu_back, g, z, grad_input=g),
        False,
    ),
    "silu": ActivationKind(
        nn.SiLU,
        _f.silu,
        lambda call, z, out: call(_silu, z, out=out),
        lambda call, g, z, a: call(_silu_back, g, z, grad_input=g),
        False,
    ),
    "mish": ActivationKind(
        nn.Mish,
        _f.mish,
        lambda call, z, out: call(_mish, z, out=out),
        _mish_back,
        False,
    ),
    "tanh": ActivationKind(
        nn.Tanh,
        torch.tanh,
        lambda call, z, out: call(torch.tanh, z, out=out),
        lambda call, g, z, a: call(_tanh_back, g, a, grad_input=g),
        True,
    ),
    "sigmoid": ActivationKind(
        nn.Sigmoid,
        torch.sigmoid,
        lambda call, z, out: call(torch.sigmoid, z, out=out),
        lambda call, g, z, a: call(_sigmoid_back, g, a, grad_input=g),
        True,
    ),
    "softplus": ActivationKind(
        nn.Softplus,
        _f.softplus,
        lambda call, z, out: call(_softplus, z, out=out),
        lambda call, g, z, a: call(_softplus_back, g, z, 1, 20, grad_input=g),
        False,
    ),
}
