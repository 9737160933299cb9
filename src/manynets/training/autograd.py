"""The gradient by autograd: for populations whose closed form is not wanted, and for a user's own torch module."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from manynets.calls import Call
from manynets.data.batches import Slot
from manynets.errors import DataError
from manynets.nn.activations import ACTIVATIONS
from manynets.nn.dropout import Masks
from manynets.nn.population import BN_EPS, BN_MOMENTUM, Population
from manynets.tasks.objectives import Objective

__all__ = ["Autograd", "ModuleGradient", "ModulePopulation"]


class Autograd:
    """Writes the gradient of the mean loss of each network into `grads`; the same interface as ClosedForm.

    precision "bf16" runs the products in bfloat16 by autocast.
    """

    def __init__(
        self, population: Population, grads: Population, objective: Objective, masks: Masks, precision: str = "full"
    ) -> None:
        self.population, self.grads, self.objective, self.masks = population, grads, objective, masks
        self.kind = ACTIVATIONS[population.shape.activation]
        fit = population.size == 1  # plain two-dimensional layers, the very calls of nn.Linear
        self.leaves = {name: (view[0] if fit else view).detach().requires_grad_() for name, view in population.parameters.items()}
        self.out = [grads.parameters[name][0] if fit else grads.parameters[name] for name in self.leaves]
        self.autocast = torch.autocast(population.flat.device.type, torch.bfloat16) if precision == "bf16" else nullcontext()

    def calls(self, slot: Slot, *, descends: bool) -> list[Call]:
        """Return what runs this slot forward and backward: its scores and the gradient are written."""
        return [partial(self._step, slot)]

    def _step(self, slot: Slot) -> None:
        masks = self.masks.of(slot.place, slot.size)
        with torch.enable_grad():
            with self.autocast:
                scores = self._forward(slot, masks)
            loss = _loss(self.objective, scores.to(self.population.flat.dtype), slot)
        for out, grad in zip(self.out, torch.autograd.grad(loss, list(self.leaves.values())), strict=True):
            out.copy_(grad)

    def _forward(self, slot: Slot, masks: list[Tensor | None]) -> Tensor:
        shape, single, h = self.population.shape, self.population.size == 1, slot.x
        if masks[0] is not None:
            h = h * masks[0] * self.masks.scales[0]
        for i, (name, _, _) in enumerate(shape.layers):
            weight, bias = self.leaves[f"{name}.weight"], self.leaves.get(f"{name}.bias")
            if single:
                h = nn.functional.linear(h, weight, bias)
            else:
                h = torch.bmm(h, weight.mT) if bias is None else torch.baddbmm(bias.unsqueeze(1), h, weight.mT)
            if i == len(shape.hidden):
                break
            if shape.batch_norm:
                h = self._norm(i, h, slot)
            h = self.kind.call(h)
            mask = masks[i + 1]
            if mask is not None:
                h = h * mask * self.masks.scales[i + 1]
        return h

    def _norm(self, i: int, z: Tensor, slot: Slot) -> Tensor:
        single, raw, rows, unbiased = self.population.size == 1, slot.raw, slot.rows, slot.unbiased
        z = z.to(self.population.flat.dtype)  # autocast gives bfloat16, in which means and variances would lose their digits
        mean = (z if raw is None else z * raw).sum(-2, keepdim=True) / rows
        centred = z - mean
        squares = (centred * centred if raw is None else centred * centred * raw).sum(-2, keepdim=True)
        with torch.no_grad():
            for name, value in (("running_mean", mean), ("running_var", squares / unbiased)):
                buffer = self.population.buffers[f"norm{i}.{name}"]
                buffer.lerp_(value.detach().reshape(buffer.shape), BN_MOMENTUM)
        gain, shift = (
            self.leaves[f"norm{i}.{n}"] if single else self.leaves[f"norm{i}.{n}"].unsqueeze(1) for n in ("weight", "bias")
        )
        return centred * torch.rsqrt(squares / rows + BN_EPS) * gain + shift


def _loss(objective: Objective, scores: Tensor, slot: Slot) -> Tensor:
    slot.scores.copy_(scores.detach())
    rows, weight = objective.rows(scores, slot.target), slot.weight
    return (rows * (weight.squeeze(-1) if weight.ndim else weight)).sum()


class ModulePopulation:
    """A user's module as a population of one: its parameters become views of `flat` (1, P), those of two axes or more first.

    The module is trained in place. Its floating-point buffers are copied to and from `statistics` (1, Q) for snapshots.
    """

    size = 1

    def __init__(self, module: nn.Module, *, device: torch.device, dtype: torch.dtype) -> None:
        self.module = module.to(device, dtype)
        named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        if not named:
            raise DataError(f"{type(module).__name__} has no parameter that requires a gradient; there is nothing to train")
        order = sorted(named, key=lambda name: named[name].ndim < 2)
        self.names = order
        self.flat = torch.cat([named[name].detach().reshape(-1) for name in order]).unsqueeze(0)
        self.grad = torch.zeros_like(self.flat)
        self.weight_count = sum(named[name].numel() for name in order if named[name].ndim >= 2)
        start = 0
        for name in order:
            parameter = named[name]
            cut = slice(start, start + parameter.numel())
            parameter.data = self.flat[0, cut].view(parameter.shape)
            parameter.grad = self.grad[0, cut].view(parameter.shape)
            start += parameter.numel()
        self._buffers = [buffer for _, buffer in module.named_buffers() if buffer.is_floating_point()]
        self.statistics = self._gather(device, dtype)

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

    def scores(self, x: Tensor) -> Tensor:
        """Return raw scores (1, N, O) in prediction mode for x (N, D)."""
        training = self.module.training
        self.module.eval()
        out = self.module(x)
        self.module.train(training)
        return _two_axes(out, len(x)).unsqueeze(0)


def _two_axes(scores: Tensor, rows: int) -> Tensor:
    if not isinstance(scores, Tensor):
        raise DataError(f"the module gave a {type(scores).__name__}, but must give a tensor of raw scores (rows, outputs)")
    out = scores.unsqueeze(-1) if scores.ndim == 1 else scores
    if out.ndim != 2 or out.shape[0] != rows:
        raise DataError(f"the module gave scores of shape {tuple(scores.shape)} for {rows} rows; (rows, outputs) is needed")
    return out


class ModuleGradient:
    """Writes the gradient of a user's module into its flat gradient; the same interface as ClosedForm.

    The module may draw from torch's global generators (nn.Dropout does): `rng` holds the state that is put in their place.
    """

    def __init__(self, population: ModulePopulation, objective: Objective, precision: str = "full") -> None:
        self.population, self.objective = population, objective
        device = population.flat.device.type
        self.autocast = torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()

    def calls(self, slot: Slot, *, descends: bool) -> list[Call]:
        """Return what runs this slot forward and backward: its scores and the gradient are written."""
        return [partial(self._step, slot)]

    def _step(self, slot: Slot) -> None:
        self.population.grad.zero_()
        self.population.module.train()
        with torch.enable_grad():
            with self.autocast:
                scores = self.population.module(slot.x)
            scores = _two_axes(scores, slot.size).to(self.population.flat.dtype)
            if scores.shape != slot.scores.shape:
                wanted = slot.scores.shape[1]
                raise DataError(f"the module gives {scores.shape[1]} scores a row, but this target needs {wanted}")
            loss = _loss(self.objective, scores, slot)
            loss.backward()  # type: ignore[no-untyped-call]
        self.population.pull()
