"""A user's own torch module as a population of one network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from manynets.errors import DataError

__all__ = ["ModulePopulation", "two_axes", "whole_numbers"]


class ModulePopulation:
    """A user's module as a population of one: its parameters become views of `flat` (1, P), those of two axes or more first.

    The module is trained in place. Its floating-point buffers are copied to and from `statistics` (1, Q) for snapshots.
    integers: whether the module gets x as integers.
    """

    size = 1

    def __init__(self, module: nn.Module, *, device: torch.device, dtype: torch.dtype, integers: bool = False) -> None:
        self.module, self.integers = module.to(device, dtype), integers
        named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        if not named:
            raise DataError(f"{type(module).__name__} has no parameter that requires a gradient; there is nothing to train")
        order = sorted(named, key=lambda name: named[name].ndim < 2)
        self.names = order
        self.shapes = {name: tuple(named[name].shape) for name in order}
        self.flat = torch.cat([named[name].detach().reshape(-1) for name in order]).unsqueeze(0)
        self.weight_count = sum(named[name].numel() for name in order if named[name].ndim >= 2)
        start = 0
        for name in order:
            parameter = named[name]
            cut = slice(start, start + parameter.numel())
            parameter.data = self.flat[0, cut].view(parameter.shape)
            start += parameter.numel()
        self._buffers = [buffer for _, buffer in module.named_buffers() if buffer.is_floating_point()]
        self.statistics = self._gather(device, dtype)

    def write_gradient_to(self, grad: Tensor) -> None:
        """Have autograd add the gradient of the parameters to views of a tensor (1, P)."""
        parameters, start = dict(self.module.named_parameters()), 0
        for name, shape in self.shapes.items():
            cut = slice(start, start + math.prod(shape))
            parameters[name].grad = grad[0, cut].view(shape)
            start = cut.stop

    def _gather(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        parts = [buffer.detach().reshape(-1).to(device, dtype) for buffer in self._buffers]
        return (torch.cat(parts) if parts else torch.empty(0, device=device, dtype=dtype)).unsqueeze(0)

    def pull(self) -> None:
        """Copy the module's buffers into `statistics`."""
        self.statistics.copy_(self._gather(self.flat.device, self.flat.dtype))

    def push(self) -> None:
        """Copy `statistics` into the module's buffers."""
        start = 0
        for buffer in self._buffers:
            buffer.copy_(self.statistics[0, start : start + buffer.numel()].view(buffer.shape))
            start += buffer.numel()

    def _called(self, x: Tensor) -> Tensor:
        """Return what the module gives for x (N, D)."""
        if not self.integers:
            out: Tensor = self.module(x)
            return out
        try:
            return self.module(whole_numbers(x))
        except IndexError as error:
            name, low, high = type(self.module).__name__, int(x.min()), int(x.max())
            raise DataError(f"{name} does not take X, whole numbers from {low} to {high}: {error}") from error

    def scores(self, x: Tensor) -> Tensor:
        """Return raw scores (1, N, O) in prediction mode for x (N, D)."""
        training = self.module.training
        self.module.eval()
        out = self._called(x)
        self.module.train(training)
        return two_axes(out, len(x)).unsqueeze(0)

    def scored(self, x: Tensor, outputs: int) -> Tensor:
        """Return raw scores (N, O) in the mode that the module is in, for autograd; DataError unless there are that many outputs."""
        scores = two_axes(self._called(x), len(x))
        if scores.shape[1] != outputs:
            raise DataError(f"the module gives {scores.shape[1]} scores a row, but this target needs {outputs}")
        return scores


def whole_numbers(x: Tensor) -> Tensor:
    """Return x as integers; DataError for numbers that are not whole, or so large that their type may have rounded them."""
    most = 2 / torch.finfo(x.dtype).eps
    if bool((x != x.round()).any()) or float(x.abs().max()) > most:
        raise DataError(f"X holds numbers that are not whole or beyond {most:.0f}, but this module takes integers")
    return x.long()


def two_axes(scores: Tensor, rows: int) -> Tensor:
    """Return a module's scores for so many rows as (rows, outputs); DataError for what cannot be that."""
    if not isinstance(scores, Tensor):
        raise DataError(f"the module gave a {type(scores).__name__}, but must give a tensor of raw scores (rows, outputs)")
    out = scores.unsqueeze(-1) if scores.ndim == 1 else scores
    if out.ndim != 2 or out.shape[0] != rows:
        raise DataError(f"the module gave scores of shape {tuple(scores.shape)} for {rows} rows; (rows, outputs) is needed")
    return out
