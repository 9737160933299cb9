"""Find the first value that was not finite after a network has diverged, so that no step pays for the search.

A run looks at its numbers at evaluations, and by then every weight of the network is NaN. So its steps up to the one at which the
loss stopped being finite are made again, in a run of their own, and there its weights, its batch and each layer are looked at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from manynets.training.module import ModulePopulation
from manynets.training.steppers.autograd import AutogradNetwork, TrainedModule
from manynets.training.steppers.base import Stepper
from manynets.training.torch_settings import private_generators
from manynets.training.trial import Divergence, Member

if TYPE_CHECKING:
    from manynets.training.loop import TrainingRun

WORK = 1e11  # multiplications that a run may spend on the search: some 10 s of one core
STEP_WORK = 1e6  # what a step costs besides its multiplications
LARGE = 1e3  # a column that reaches this may be why the weights grew
PART = 1 << 20  # numbers checked together


def causes(run: TrainingRun, at: Mapping[int, int]) -> dict[int, Divergence]:
    """Return what is known of networks, by index, that diverged at the step given (counted from 0) since the last evaluation."""
    layers: dict[int, str] = {}
    with contextlib.suppress(Exception):  # a module that cannot be copied, too little memory: its weights are all there is then
        layers = unsound_layers(run, at)
    out = {}
    for index, step in at.items():
        layer = layers.get(index) or _unsound(run, index)
        column, reach = _largest_column(run, run.tracks.members[index])
        if reach > math.sqrt(torch.finfo(run.stepper.dtype).max):
            layer = ""  # its square is beyond all numbers: the loss cannot be finite
        suspect = (column, reach) if reach >= LARGE else (None, 0.0)
        lr = float(run.tracks.rates(np.array([step]))[0, index])
        out[index] = Divergence(step // run.steps + 1, step + 1, lr, layer, *suspect)
    return out


def unsound_layers(run: TrainingRun, at: Mapping[int, int]) -> dict[int, str]:
    """Return what was not finite first in each network, by index; of none where making its steps again costs more than `run` may spend."""
    members = [run.tracks.members[index] for index in at]
    population = run.stepper.population
    rows = 3.0 * run.stepper.batch_size * len(members) * population.weight_count
    run.search_work -= (max(at.values()) + 1 - members[0].start) * (rows + STEP_WORK)
    if run.search_work < 0 or (isinstance(population, ModulePopulation) and run.tracks.best[0] >= 0):
        return {}
    if isinstance(population, ModulePopulation):  # which is alone: with the weights that it began with
        members = [dataclasses.replace(members[0], spec=population.copied(run.best.flat, run.best.statistics))]
    twin = run.again(members)
    out = {}
    for step in sorted(set(at.values())):
        while twin.step < step and twin.goes_on:
            twin.to_boundary(step)
        if twin.step < step or twin.halt.asked:
            break
        numbers = {member.number: k for k, member in enumerate(twin.tracks.members)}
        indices = {index: numbers[run.tracks.members[index].number] for index in at if at[index] == step}
        before = {index: (_unsound(twin, k, statistics=False), *_farthest_output(twin, k)) for index, k in indices.items()}
        log = twin.stepper.advance(twin.tracks.rates(np.array([step])), twin.tracks.alive)[0]
        sound = twin.stepper.sound(log)
        twin.sums.add(log[None], sound[None], step)
        for index, k in indices.items():
            weights, name, reach = before[index]
            output = "" if math.isfinite(reach) else f"{_called(name)} (its output)"
            loss = "" if sound[k, 0] else f"the loss ({_called(name)} reaches {reach:.3g})"
            penalty = "" if sound[k, 1] else "the penalty on the weights"
            out[index] = weights or output or loss or penalty or _unsound(twin, k)
    return out


# ------------------------------------------------------------------------------------------------------------ what to look at


def _unsound(run: TrainingRun, index: int, *, statistics: bool = True) -> str:
    """Return the first layer whose weights (or else whose running statistics) are not finite, "" for none."""
    population = run.stepper.population
    if isinstance(population, ModulePopulation):
        module, left_out = population.module, population.unsound
        weights: dict[str, Tensor] = {name: value for name, value in module.named_parameters() if name not in left_out}
        running = {name: value for name, value in module.named_buffers() if name not in left_out}
    else:
        order = {name: i for i, layer in enumerate(population.shape.layers) for name in (layer[0], f"norm{i}")}
        by_layer = sorted(population.parameters, key=lambda name: order.get(name.partition(".")[0], -1))  # an embedding is first
        weights = {name: population.parameters[name][index] for name in by_layer}
        running = {name: value[index] for name, value in population.buffers.items()}
    for what, named in (("weights", weights), ("statistics", running if statistics else {})):
        for name, value in named.items():
            if not torch.isfinite(value).all():
                return f"layer {name.rpartition('.')[0] or name} (its {what})"
    return ""


def _farthest_output(run: TrainingRun, index: int) -> tuple[str, float]:
    """Return the first layer that gives what is not finite for the next batch, and inf; where none does, the last and how far it reaches."""
    name, output = "", torch.empty(0)
    for name, output in _outputs(run.stepper, index):
        if not torch.isfinite(output).all():
            return name, math.inf
    return name, float(output.abs().max())


def _called(name: str) -> str:
    """Return what a layer is called in a message. name: "" for a user's module as a whole."""
    return f"layer {name}" if name else "the network"


def _outputs(stepper: Stepper, index: int) -> Iterable[tuple[str, Tensor]]:
    """Return what each layer of a network gives for its next batch, in training: (name, (b, H)) after its activation."""
    network = AutogradNetwork(stepper, index)
    function, batch = network.function, network.batch(stepper)
    if isinstance(function, TrainedModule):
        states = dict(function.population.generators)
        with private_generators(states, stepper.device):  # the module may draw; these are the numbers that its step will see
            return _module_outputs(function.population.module, batch.x)
    return function.outputs(batch, stepper.step, None)


def _module_outputs(module: nn.Module, x: Tensor) -> list[tuple[str, Tensor]]:
    """Return what the innermost parts of a module give for x in training, in the order in which they are called."""
    out: list[tuple[str, Tensor]] = []
    names = {part: name for name, part in module.named_modules() if not any(True for _ in part.children())}

    def hook(part: nn.Module, _given: object, output: object) -> None:
        if isinstance(output, Tensor):
            out.append((names[part], output.detach()))

    hooks = [part.register_forward_hook(hook) for part in names]
    module.train()
    out.append(("", module(x)))
    for handle in hooks:
        handle.remove()
    return out


def _largest_column(run: TrainingRun, member: Member) -> tuple[int, float]:
    """Return the column of the member's training rows that reaches farthest from 0, and how far."""
    x = run.problem.rows.x
    index = None if member.rows is None else torch.from_numpy(member.rows).to(x.device)
    total, step = len(x) if index is None else len(index), max(1, PART // x.shape[1])
    reach = torch.zeros(x.shape[1], device=x.device, dtype=x.dtype)
    for start in range(0, total, step):
        part = x[start : start + step] if index is None else x[index[start : start + step]]
        reach = torch.maximum(reach, torch.maximum(part.amax(0), -part.amin(0)))
    return int(reach.argmax()), float(reach.max())
