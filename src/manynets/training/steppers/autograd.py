"""Steps by torch's autograd: any module, every option. It is written to be read, and the reference for the other two.

For each network:  forward: the scores s = f(x; w) of a batch;  loss: L = sum_r share_r * loss(s_r, y_r), where share_r is the weight of
row r over that of the batch;  backward: g = dL/dw;  update: penalties, clipping and the optimizer (`manynets.optim`).
On the CPU one network has the bits of a plain torch loop.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from manynets.distributed import GradientSum, Ranks
from manynets.nn.activations import ACTIVATIONS
from manynets.nn.batch_norm import Whole, batch_norm, normalisers
from manynets.nn.dropout import Masks, dropout_rates
from manynets.nn.embeddings import periodic
from manynets.nn.population import Population
from manynets.optim import Coefficient, GroupedOptimizer, Update, step_coefficients
from manynets.spec import MLP
from manynets.tasks.objectives import objective_for
from manynets.training.module import ModulePopulation
from manynets.training.steppers.base import Host, Log, Stepper
from manynets.training.torch_settings import private_generators
from manynets.training.trial import Member


class Autograd(Stepper):
    """One network after the other; of a user's module there is only one. precision="bf16" multiplies in bfloat16, by autocast."""

    name = "autograd"

    def _prepare(self) -> None:
        self.networks = [AutogradNetwork(self, k) for k in range(len(self.members))]

    def advance(self, rates: Host, alive: NDArray[np.bool_]) -> Log:
        lines: list[Any] = []  # of each step and network
        planned: list[Any] = []  # of each network, the optimizer's coefficients of each step
        for k, network in enumerate(self.networks):
            coefficients = network.update.optimizer.coefficients(rates[:, k : k + 1], self.steps_before + self.step)
            planned.append(step_coefficients(coefficients, network.grad, together=network.grad.is_cuda))
        draws: AbstractContextManager[None] = nullcontext()
        if isinstance(self.population, ModulePopulation):  # ranks wait for each other within
            draws = private_generators(self.population.generators, self.device, in_turns=self.ranks.size == 1)
        with draws:
            for now in zip(*planned, strict=True):
                lines += [self.networks[k].step(self, now[k]) for k in np.flatnonzero(alive)]
                self.step += 1
        known = torch.stack(lines).cpu().numpy() if self.device.type == "cuda" else np.array(lines)
        log = np.zeros((len(rates), len(self.members), 3 + self.loss.hit_count))
        log[:, alive] = known.reshape(len(rates), -1, log.shape[2])
        return log

    def capture(self) -> dict[str, Tensor]:
        more = self.population.state() if isinstance(self.population, ModulePopulation) else {}
        return super().capture() | more


class AutogradNetwork:
    """Network k of a stepper: its function, from a batch to scores, its gradient, its update."""

    def __init__(self, owner: Stepper, k: int) -> None:
        self.k, self.member = k, owner.members[k]
        self.objective = objective_for(owner.tasks[k], owner.recipe, owner.problem.loss)
        population, recipe = owner.population, self.member.recipe
        flat = population.flat[k : k + 1]
        self.total = GradientSum(flat, owner.ranks)
        self.grad = self.total.tensor
        self.function: TrainedMLP | TrainedModule
        if isinstance(population, ModulePopulation):
            self.function = TrainedModule(population, self.objective.outputs, self.grad)
        else:
            self.function = TrainedMLP(population, k, self.member, self.grad)
        optimizer = GroupedOptimizer([recipe], population.shapes, flat)
        state = {name: owner.state[name][k : k + 1] for name in optimizer.first.state_names}
        self.update = Update(optimizer, [recipe], flat, self.grad, state, population.weight_count)
        self.own_weight = None if self.member.weight is None else torch.from_numpy(self.member.weight).to(flat)
        device = owner.device.type
        self.autocast = torch.autocast(device, torch.bfloat16) if recipe.precision == "bf16" else nullcontext()

    def step(self, owner: Stepper, now: Sequence[Coefficient]) -> Host | Tensor:
        """Make a step at the optimizer's coefficients `now`; return what is reported of it (`Log`), on CUDA as a tensor there."""
        batch = self.batch(owner)
        with torch.enable_grad():
            with self.autocast:
                scores = self.function.scores(batch, owner.step)
            rows = self.objective.rows(scores.to(batch.x.dtype), batch.target)
            loss = (rows * batch.share).sum()
        self.function.backward(loss)
        self.total.add()  # what the other processes have for their rows
        penalty, scale = self.update.penalty(), owner.penalty_scale(1)
        scores = scores.detach().to(batch.x.dtype)
        known = None if owner.problem.loss is None else rows.detach()
        log = owner.log_of(self.objective, scores, batch.target, batch.weight, 0.0 if penalty is None else penalty[0], known)
        self.update.step(now, None if scale is None else self.grad.new_tensor(scale[:, self.k : self.k + 1]))
        return log

    def batch(self, owner: Stepper) -> Batch:
        """Return the rows of the owner's next step that are this process's."""
        rows, recipe, ranks = owner.problem.rows, self.member.recipe, owner.ranks
        batches, divided = owner.batches, owner.batches.divided
        located = batches.located(owner.step)
        index = torch.from_numpy(batches.rows_of(self.k, *located)).to(rows.x.device)
        size = batches.whole(located[1]) if divided else len(index)
        part = ranks.part(size)
        mine = index if divided else index[part]
        x = rows.x[mine]
        target = self.objective.expand(rows.target[mine], recipe.label_smoothing, x.dtype)
        weights = rows.weight if self.own_weight is None else self.own_weight
        weight = x.new_ones(size) if weights is None else weights[index]
        if divided and weights is not None:
            weight = owner.weights_of_all(weight, size)
        whole = None
        if ranks.size > 1:
            whole = Whole(weight.unsqueeze(-1), lambda sum_here: TotalOverRanks.apply(sum_here, ranks))  # type: ignore[no-untyped-call]
        if weights is None:
            return Batch(x, target, None, x.new_tensor(1.0 / size), size, part, whole)
        share = normalisers(weight.unsqueeze(-1))[0].squeeze(-1)
        return Batch(x, target, weight[part], share[part], size, part, whole)


@final
class TrainedMLP:
    """Network k of a population in training: its parameters are leaves of autograd's graph, and their gradient goes to grad (1, P)."""

    def __init__(self, population: Population, k: int, member: Member, grad: Tensor) -> None:
        self.shape, spec = population.shape, member.spec
        assert isinstance(spec, MLP)
        flat, statistics = population.flat[k : k + 1], population.statistics[k : k + 1]
        one, grads = (Population(self.shape, numbers, statistics) for numbers in (flat, grad))
        self.leaves = {name: view[0].detach().requires_grad_() for name, view in one.parameters.items()}
        self.statistics = {name: view[0] for name, view in one.buffers.items()}
        self.out = [grads.parameters[name][0] for name in self.leaves]
        widths = [d_in for _, d_in, _ in self.shape.layers]
        self.masks = Masks([member.recipe.seed], widths, dropout_rates([spec]), flat)

    def scores(self, batch: Batch, step: int) -> Tensor:
        """Return the scores (b, O) of a batch in training."""
        *_, (_, scores) = self.outputs(batch, step, self.statistics)
        return scores

    def outputs(self, batch: Batch, step: int, statistics: Mapping[str, Tensor] | None) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the output (b, units) of each layer in training, after its activation; the last are the scores.

        statistics: running mean and variance of batch norm, which are moved; None: nothing is moved.
        """
        shape, w, kept = self.shape, self.leaves, self.masks.make(step, 1, batch.size, batch.part)
        h = batch.x
        weight = None if batch.weight is None else batch.weight.unsqueeze(-1)
        if shape.embedding is not None:
            h = periodic(h, w, shape.embedding.columns and list(shape.embedding.columns))
        if shape.input_scale:
            h = h * w["input_scale.weight"]
        for i, (name, _, _) in enumerate(shape.layers):
            if i in kept:
                h = h * (kept[i][0, 0].to(batch.x.dtype) * self.masks.scales[i][0])
            h = nn.functional.linear(h, w[f"{name}.weight"], w.get(f"{name}.bias"))
            if i < len(shape.hidden):
                if shape.batch_norm:
                    gain, shift = w[f"norm{i}.weight"], w[f"norm{i}.bias"]
                    running = (
                        None if statistics is None else (statistics[f"norm{i}.running_mean"], statistics[f"norm{i}.running_var"])
                    )
                    h = batch_norm(h, gain, shift, weight=weight, running=running, whole=batch.whole)
                h = ACTIVATIONS[shape.activation].call(h)
            yield name, h

    def backward(self, loss: Tensor) -> None:
        """Write the gradient of a loss."""
        for out, grad in zip(self.out, torch.autograd.grad(loss, list(self.leaves.values())), strict=True):
            out.copy_(grad)


@final
class TrainedModule:
    """A user's module in training; its gradient goes to grad (1, P). outputs: O."""

    def __init__(self, population: ModulePopulation, outputs: int, grad: Tensor) -> None:
        self.population, self.outputs, self.grad = population, outputs, grad
        population.write_gradient_to(grad)

    def scores(self, batch: Batch, step: int) -> Tensor:
        """Return the scores (b, O) of a batch in training."""
        self.population.module.train()
        return self.population.scored(batch.x, self.outputs)

    def backward(self, loss: Tensor) -> None:
        """Write the gradient of a loss."""
        self.grad.zero_()
        loss.backward()  # type: ignore[no-untyped-call]
        self.population.take_replaced()


@dataclasses.dataclass(frozen=True)
class Batch:
    """The rows of one step: x (b, D), target (b, O), weight (b,) or None, share (b,) or ().

    size: rows of the batch, of which those here are the rows `part`. whole: that batch, None where they are all of it.
    """

    x: Tensor
    target: Tensor
    weight: Tensor | None
    share: Tensor
    size: int
    part: slice
    whole: Whole | None


class TotalOverRanks(torch.autograd.Function):
    """A sum's total over all processes, y = sum_r x_r; and so dL/dx_r = sum_r dL_r/dy, where L_r is the loss of the rows of process r."""

    @staticmethod
    def forward(context: Any, part: Tensor, ranks: Ranks) -> Tensor:
        context.ranks, total = ranks, part.clone()
        ranks.add(total)
        return total

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        total = slopes[0].clone()
        context.ranks.add(total)
        return total, None
