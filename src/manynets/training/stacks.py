"""The stacks of a run: neighbours among its networks that go forward and back together, one after another within a step.

A stack has a part of the slots (`manynets.data.batches`). What lies between the layers is needed within one step of a stack only, so
all stacks write it to the same scratch, which stays in the cache of a core.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from manynets.calls import Call, run_calls
from manynets.data.batches import SHARING, Slot, Slots, order_keys, stacks_of
from manynets.nn.dropout import Masks
from manynets.nn.population import Population
from manynets.spec import MLP
from manynets.tasks.objectives import Objective
from manynets.training.autograd import Autograd, ModuleGradient, ModulePopulation
from manynets.training.closed_form import ClosedForm, Scratch
from manynets.training.members import Member, needs_autograd

__all__ = ["Gradient", "Stacks", "cut", "report"]

LAYER_BYTES = 5 << 17  # of a layer's output: some four of them are at hand in a step, and should not leave the cache of a core


class Gradient(Protocol):
    """A way to the gradient of the networks of one stack."""

    def calls(self, slot: Slot, *, descends: bool) -> list[Call]: ...


def cut(members: Sequence[Member], batch_size: int, widest: int, device: torch.device) -> list[slice]:
    """Return the stacks of members in this order."""
    if device.type != "cpu" or needs_autograd(members[0]):
        return [slice(0, len(members))]
    keys = order_keys([m.rows for m in members], [m.weight for m in members], [m.order for m in members])
    spec = members[0].spec
    assert isinstance(spec, MLP)
    layer = batch_size * max(spec.hidden, default=1) * (8 if members[0].recipe.dtype == "float64" else 4)
    most = max(SHARING, LAYER_BYTES // layer)
    return [
        slice(start, stop)
        for stack in stacks_of(keys, batch_size * widest)
        for start, stop in _parts(stack, most if len(set(keys[stack])) == 1 else len(members))
    ]


def _parts(stack: slice, most: int) -> list[tuple[int, int]]:
    """Return where the parts of a stack start and stop, as many as it takes for none to have more than `most` networks."""
    size = stack.stop - stack.start
    edges = np.linspace(stack.start, stack.stop, -(-size // most) + 1).astype(int).tolist()
    return list(pairwise(edges))


class Stacks:
    """The gradients of all networks of a run, written stack by stack into `grad` (K, P): one list of calls for each slot."""

    def __init__(
        self,
        population: Population | ModulePopulation,
        grad: Tensor,
        places: Sequence[slice],
        members: Sequence[Member],
        objective: Objective,
    ) -> None:
        self.places = list(places)
        self.gradients: list[Gradient] = []
        self._masks: list[Masks] = []  # of the stacks that have dropout
        self._steps: dict[tuple[Slot, bool], list[Call]] = {}
        self._rate = population.flat.new_zeros(())
        scratch = Scratch(population.flat)
        for place in places:
            if isinstance(population, ModulePopulation):
                self.gradients.append(ModuleGradient(population, objective, members[0].recipe.precision))
                continue
            inside = members[place]
            statistics = population.statistics[place]
            part, grads = (Population(population.shape, flat[place], statistics) for flat in (population.flat, grad))
            specs = [member.spec for member in inside if isinstance(member.spec, MLP)]
            rates = np.array([(spec.input_dropout, *spec.dropouts) for spec in specs], dtype=np.float64)
            widths = (part.shape.in_features, *part.shape.hidden)
            masks = Masks([member.recipe.seed for member in inside], widths, rates, part.flat)
            if masks.active:
                self._masks.append(masks)
            if needs_autograd(members[0]):
                self.gradients.append(Autograd(part, grads, objective, masks, members[0].recipe.precision))
            else:
                self.gradients.append(ClosedForm(part, grads, objective, masks, scratch, self._rate))

    def prepare(self, slots: Slots, step: int, count: int) -> None:
        """Make ready for `count` steps in these slots, of which the first is step `step` of the run."""
        for masks in self._masks:
            masks.fill(step, count, slots.size, slots.width)

    def step(self, slots: Slots, s: int, descend: float | None = None) -> None:
        """Write the gradients of slot s and its scores; or descend with this learning rate."""
        descends = descend is not None
        key = slots.parts[0].slots[s], descends
        if key not in self._steps:
            parts = zip(self.gradients, slots.parts, strict=True)
            self._steps[key] = [call for gradient, part in parts for call in gradient.calls(part.slots[s], descends=descends)]
        if descend is not None:
            self._rate.fill_(-descend)
        run_calls(self._steps[key])


def report(objective: Objective, slots: Slots, steps: int, penalties: Tensor | None) -> Tensor:
    """Return the log (steps, K, 3 + M) of the first steps of filled slots: loss, weight, penalty and hits of each."""
    scores, target, by_network = slots.scores[:steps], slots.target[:steps], slots.orders.by_network
    target = target if slots.by_network else by_network(target)
    loss, hits = objective.judge(scores, target, by_network(slots.labels[:steps]))
    log = hits.new_zeros(*loss.shape[:2], 3 + hits.shape[-1])
    log[..., 1] = slots.weighed(steps)
    if slots.weights is not None:
        raw = by_network(slots.weights.raw[:steps].squeeze(-1))
        loss, hits = loss * raw, hits * raw.unsqueeze(-1)
    elif slots.short is not None and steps == len(slots.index):
        loss[-1].mul_(slots.valid)
        hits[-1].mul_(slots.valid.unsqueeze(-1))
    torch.sum(loss, -1, out=log[..., 0])
    torch.sum(hits, -2, out=log[..., 3:])
    if penalties is not None:
        log[..., 2] = penalties[:steps]
    return log
