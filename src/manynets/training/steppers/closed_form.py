"""Steps by the written-out gradient in torch: for networks whose matrix products dominate, on the CPU and on CUDA.

For every layer, with h its input (K, b, D), W its weights (K, H, D) and d the derivative of each network's loss by z (K, b, H):

    forward:   z = h W^T + b,   a = f(norm(z)),   h of the next layer = a * mask
    backward:  dW = d^T h,   db = sum_rows d,   dh = d W,   d of the layer below = norm'(dh * mask * f'(z))

and d of the last layer is share_r * dloss/ds. A plain SGD step is made inside the products: d is multiplied by -lr at the top, and
dW and db are added to the weights themselves. Networks are the leading axis of every tensor, even if there is only one. A step writes
to buffers that are made once for each batch size (except for a periodic embedding). On CUDA it is captured as a graph and replayed.
"""

from __future__ import annotations

from typing import Any, ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.data.batches import Chunk
from manynets.distributed import GradientSum
from manynets.nn.activations import ACTIVATIONS
from manynets.nn.batch_norm import BatchNorm, normalisers
from manynets.nn.dropout import Masks, dropout_rates
from manynets.nn.embeddings import PeriodicColumns
from manynets.nn.population import Population
from manynets.nn.products import multiply
from manynets.nn.shape import Shape
from manynets.optim import Update, coefficient, step_coefficients
from manynets.training.steppers.base import Host, Log, Stepper
from manynets.training.steppers.cuda_graph import CapturedStep, Inputs

# Of scores, targets and masks of the steps that are prepared together. On the CPU more would leave the cache of a core; on CUDA
# fewer steps would make the device wait for the host more often.
INPUT_BYTES = {"cpu": 4 << 20, "cuda": 128 << 20}
MOST_STEPS = 256


class Buffers:
    """What the steps of one batch size write: of each layer its input h, z, a, the derivative d, and masks."""

    def __init__(self, owner: ClosedForm, size: int) -> None:
        shape, k = owner.shape, owner.population.size

        def made(units: int) -> Tensor:
            return owner.grad.new_empty(k, size, units)

        in_place = ACTIVATIONS[shape.activation].from_output
        self.x = made(shape.in_features)
        self.inputs = self.x if shape.embedding is None else made(shape.inputs)
        self.d_inputs = None if shape.embedding is None else made(shape.inputs)
        self.z = [made(units) for units in shape.hidden]
        named, grads = owner.named, owner.grads.parameters
        self.norm = [
            BatchNorm(named, grads, f"norm{i}", z, owner.ranks.add) if shape.batch_norm else None for i, z in enumerate(self.z)
        ]
        self.before = [z if norm is None else norm.out for z, norm in zip(self.z, self.norm, strict=True)]  # the activation
        self.a = [one if in_place else made(units) for one, units in zip(self.before, shape.hidden, strict=True)]
        self.masks = {i: made(owner.masks.widths[i]) for i in owner.masks.active}
        self.h = [made(h.shape[-1]) if i in self.masks else h for i, h in enumerate([self.inputs, *self.a])]
        self.scores = made(shape.out_features)
        self.ones = owner.grad.new_ones(k, 1, size)
        self.d = [*(made(units) for units in shape.hidden), made(shape.out_features)]
        self.products = Bfloat16(shape, k, size, owner.device) if owner.recipe.precision == "bf16" else Products()


@final
class Products:
    """The products in the type of the network."""

    def __init__(self) -> None:
        self.read: dict[int, tuple[Tensor, Tensor]] = {}  # h and W of each layer

    def forward(self, i: int, h: Tensor, weight: Tensor, bias: Tensor | None, z: Tensor) -> None:
        """Write z = h W^T + b of layer i."""
        self.read[i] = h, weight
        multiply(h, weight.mT, z, bias=bias)

    def backward(self, i: int, d: Tensor, d_weight: Tensor, below: Tensor | None, *, add: bool) -> None:
        """Write dh = d W of layer i to `below`, and then dW = d^T h, or add that to what is there, which may be W itself."""
        h, weight = self.read[i]
        if below is not None:
            multiply(d, weight, below)
        if i == 0:  # the first matrix is stored transposed
            multiply(h.mT, d, d_weight.mT, beta=int(add))
        else:
            multiply(d.mT, h, d_weight, beta=int(add))


@final
class Bfloat16:
    """The products in bfloat16, with buffers for one batch size. Both factors are rounded, and so is the product; sums are wider.

    Weights, activations, losses, batch norm and updates stay in the type of the network.
    """

    def __init__(self, shape: Shape, networks: int, size: int, device: torch.device) -> None:
        def made(*sizes: int) -> Tensor:
            return torch.empty(networks, *sizes, dtype=torch.bfloat16, device=device)

        self.h = [made(size, d_in) for _, d_in, _ in shape.layers]
        self.d = [made(size, d_out) for _, _, d_out in shape.layers]
        self.weights, self.d_weights = ([made(d_out, d_in) for _, d_in, d_out in shape.layers] for _ in range(2))

    def forward(self, i: int, h: Tensor, weight: Tensor, bias: Tensor | None, z: Tensor) -> None:
        """Write z = h W^T + b of layer i."""
        product = torch.bmm(self.h[i].copy_(h), self.weights[i].copy_(weight).mT, out=self.d[i])
        if bias is None:
            z.copy_(product)
        else:
            torch.add(product, bias, out=z)

    def backward(self, i: int, d: Tensor, d_weight: Tensor, below: Tensor | None, *, add: bool) -> None:
        """Write dW = d^T h of layer i, or add it to what is there, and dh = d W to `below`."""
        product = torch.bmm(self.d[i].copy_(d).mT, self.h[i], out=self.d_weights[i])
        if add:
            d_weight.add_(product)
        else:
            d_weight.copy_(product)
        if below is not None:
            below.copy_(torch.bmm(self.d[i], self.weights[i], out=self.h[i]))


class ScaledInputs:
    """The learned factors s (K, 1, D) of the input columns: z = (x * s) W^T = x (W * s)^T, so that x itself is never scaled.

    With G = d^T x, the gradient by W * s:  dW = G * s,  ds = sum_units G * W.
    """

    def __init__(self, parameters: Population, grads: Population) -> None:
        name = f"{parameters.shape.layers[0][0]}.weight"
        self.weight, self.d_weight = parameters.parameters[name], grads.parameters[name]
        self.scale, self.d_scale = (side.parameters["input_scale.weight"].unsqueeze(1) for side in (parameters, grads))
        self.scaled = torch.empty_like(self.weight)

    def forward(self) -> Tensor:
        """Return W * s."""
        return torch.mul(self.weight, self.scale, out=self.scaled)

    def backward(self) -> None:
        """Turn G, which is stored in dW, into dW, and write ds."""
        torch.sum(torch.mul(self.d_weight, self.weight, out=self.scaled), 1, keepdim=True, out=self.d_scale)
        self.d_weight.mul_(self.scale)


class ClosedForm(Stepper):
    """K networks of one shape together: their products are batched."""

    name = "closed_form"
    graphs_on: ClassVar[tuple[str, ...]] = ("cuda",)  # kinds of devices on which steps are captured and replayed

    def _prepare(self) -> None:
        population = self.population
        assert isinstance(population, Population)
        self.shape = shape = population.shape
        self.kind = ACTIVATIONS[shape.activation]
        self.total = GradientSum(population.flat, self.ranks)
        self.grad = self.total.tensor
        self.named, self.grads = population.parameters | population.buffers, Population(shape, self.grad, population.statistics)
        names = [name for name, _, _ in shape.layers]
        self.weights, self.d_weights = ([side.parameters[f"{n}.weight"] for n in names] for side in (population, self.grads))
        self.input_scale = ScaledInputs(population, self.grads) if shape.input_scale else None
        self.periodic: PeriodicColumns | None = None
        if shape.embedding is not None:
            tensors = population.parameters, self.grads.parameters
            self.periodic = PeriodicColumns(*tensors, population.columns, shape.in_features)
        self.biases, self.d_biases = (
            [side.parameters[f"{n}.bias"].unsqueeze(1) for n in names] if shape.bias else [] for side in (population, self.grads)
        )
        self.update = Update(self.optimizer, self.recipes, population.flat, self.grad, self.state, population.weight_count)
        extras = shape.batch_norm or shape.input_scale or shape.embedding is not None
        self._update_inside(self.update.is_plain_sgd and not extras and self.ranks.size == 1)
        self.graphs = self.device.type in self.graphs_on and self.ranks.size == 1  # what one process sends others is not captured
        self.smoothing = coefficient([recipe.label_smoothing for recipe in self.recipes], population.flat, ndim=3)
        widths = [d_in for _, d_in, _ in shape.layers]
        self.masks = Masks([recipe.seed for recipe in self.recipes], widths, dropout_rates(self.specs), population.flat)
        self._buffers: dict[int, Buffers] = {}
        self.warm: set[tuple[int, bool]] = set()
        self.captured: dict[tuple[int, bool], CapturedStep] = {}
        units = 2 * shape.out_features + sum(self.masks.widths[i] for i in self.masks.active)
        step_bytes = population.size * self.batch_size * units * self.grad.element_size()
        self.most = max(1, min(MOST_STEPS, INPUT_BYTES[self.device.type] // step_bytes))

    def advance(self, rates: Host, alive: NDArray[np.bool_]) -> Log:
        log, end = [], self.step + len(rates)
        planned = self.optimizer.coefficients(rates, self.steps_before + self.step)
        now: Any = step_coefficients(planned, self.grad, together=self.graphs)
        while self.step < end:
            chunk = self.batches.chunk(*self.batches.located(self.step), min(end - self.step, self.most))
            count = len(chunk.index)
            inputs = self.inputs(chunk, now[:count])
            scores, penalties = self._make_steps(inputs)
            weight = None if inputs.weight is None else inputs.weight.squeeze(-1)
            log.append(_on_host(self.log_of(self.objective, scores, inputs.target, weight, penalties)))
            now, self.step = now[count:], self.step + count
        return np.concatenate(log)

    def _update_inside(self, plain_sgd: bool) -> None:
        """Have the way back make the step of plain SGD, adding to the weights themselves, or write over the gradient."""
        self.plain_sgd = plain_sgd
        self.out_weights, self.out_biases = (self.weights, self.biases) if plain_sgd else (self.d_weights, self.d_biases)

    def gradient(self) -> tuple[Host, Host, Host]:
        """Return the objective (K,) of the next batch, loss and penalties, its gradient (K, P), and a line of the log (K, 3 + M).

        The weights and the count of steps do not change. Later steps then write over the gradient, also those of plain SGD.
        """
        chunk = self.batches.chunk(*self.batches.located(self.step), 1)
        now, b = self.inputs(chunk, [[]]).at(0), self._buffers_of(chunk.index.shape[2])
        self._update_inside(False)
        self._forward(b, now)
        self._backward(b, now)
        share = now.share.squeeze(-1) if isinstance(now.share, Tensor) else now.share
        loss, penalty = (self.objective.rows(b.scores, now.target) * share).sum(-1), self.update.penalty()
        self.update.add_penalties(now.penalty_scale)
        weight = None if now.weight is None else now.weight.squeeze(-1)
        line = _on_host(self.log_of(self.objective, b.scores, now.target, weight, 0.0 if penalty is None else penalty))
        return loss.double().cpu().numpy() + line[:, 2], self.grad.double().cpu().numpy(), line

    def _make_steps(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Make steps; return their scores (S, K, b, O), and the penalties before them (S, K)."""
        count, _, size = inputs.index.shape
        kind = size, inputs.weight is None
        if self.graphs:
            if kind in self.warm:
                if kind not in self.captured:
                    self.captured[kind] = CapturedStep(self.one_step, inputs, self.most)
                return self.captured[kind].replay(inputs)
            self.warm.add(kind)  # the first time in the open: kernels are loaded, buffers and cuBLAS's workspace made
        scores, penalties = torch.empty_like(inputs.target), self.grad.new_zeros(count, self.population.size)
        for s in range(count):
            of_step, penalty = self.one_step(inputs.at(s))
            scores[s].copy_(of_step)
            if penalty is not None:
                penalties[s].copy_(penalty)
        return scores, penalties

    def inputs(self, chunk: Chunk, now: Any) -> Inputs:
        """Return what the steps of a chunk read: this process's rows of each batch, and what depends on all of them."""
        (count, networks, _), size = chunk.index.shape, chunk.whole
        part, divided = self.ranks.part(size), self.batches.divided
        index = chunk.index if divided else chunk.index[:, :, part]
        label = self.problem.rows.target[index]
        smoothing = self.smoothing.repeat(count, 1, 1) if isinstance(self.smoothing, Tensor) else self.smoothing
        target = self.objective.expand(label.flatten(0, 1), smoothing, self.dtype)
        target = target.reshape(count, networks, index.shape[2], self.shape.out_features)
        weight = None
        share: Tensor | float = 1.0 / size
        rows: Tensor | float = float(size)
        unbiased: Tensor | float = float(size - 1)
        if chunk.weight is not None:
            weight = (self.weights_of_all(chunk.weight, size) if divided else chunk.weight).unsqueeze(-1)
            share, rows, unbiased = normalisers(weight)
            share, weight = share[:, :, part], weight[:, :, part]
        scales = self.penalty_scale(count)
        scale = None if scales is None else torch.as_tensor(scales, dtype=self.dtype, device=self.device).unsqueeze(-1)
        kept = self.masks.make(self.step, count, size, part)
        return Inputs(index, target, share, weight, rows, unbiased, kept, now, scale)

    # -------------------------------------------------------------------------------------------------------------- a step

    def one_step(self, now: Inputs) -> tuple[Tensor, Tensor | None]:
        """Forward, backward, update: one step of all networks. Return the scores (K, b, O), and the penalty (K,) before the update."""
        b = self._buffers_of(now.index.shape[-1])
        self._forward(b, now)
        self._backward(b, now)
        if self.plain_sgd:
            return b.scores, None
        self.total.add()
        penalty = self.update.penalty()
        self.update.step(now.now, now.penalty_scale)
        return b.scores, penalty

    def _buffers_of(self, size: int) -> Buffers:
        if size not in self._buffers:
            self._buffers[size] = Buffers(self, size)
        return self._buffers[size]

    def _forward(self, b: Buffers, now: Inputs) -> None:
        """Write the scores, and what the way back needs."""
        torch.index_select(self.problem.rows.x, 0, now.index.reshape(-1), out=b.x.view(-1, b.x.shape[2]))
        if self.periodic is not None:
            self.periodic.forward(b.x, b.inputs)
        for i, weight in enumerate(self.weights):
            if i == 0 and self.input_scale is not None:
                weight = self.input_scale.forward()
            if i in b.masks:
                mask = torch.mul(now.kept[i], self.masks.scales[i], out=b.masks[i])
                torch.mul(b.inputs if i == 0 else b.a[i - 1], mask, out=b.h[i])
            z = b.scores if i == len(b.z) else b.z[i]
            b.products.forward(i, b.h[i], weight, self.biases[i] if self.biases else None, z)
            if i < len(b.z):
                norm = b.norm[i]
                if norm is not None:
                    norm.forward(z, now.weight, now.rows, now.unbiased)
                self.kind.run(b.before[i], b.a[i])

    def _backward(self, b: Buffers, now: Inputs) -> None:
        """Write the gradient."""
        self.objective.gradient(b.scores, now.target, out=b.d[-1])
        b.d[-1].mul_(now.share)
        if self.plain_sgd:
            rate = now.now[0]
            b.d[-1].mul_(-rate if isinstance(rate, float) else -rate.unsqueeze(-1))
        for i in range(len(self.weights) - 1, -1, -1):
            d, below = b.d[i], b.d[i - 1] if i else b.d_inputs
            b.products.backward(i, d, self.out_weights[i], below, add=self.plain_sgd)
            if self.biases:
                torch.baddbmm(self.out_biases[i], b.ones, d, beta=int(self.plain_sgd), out=self.out_biases[i])
            if below is not None and i in b.masks:
                below.mul_(b.masks[i])
            if i:
                self.kind.back(b.d[i - 1], b.before[i - 1], b.a[i - 1])
                norm = b.norm[i - 1]
                if norm is not None:
                    norm.backward(b.d[i - 1], now.weight, now.rows)
        if self.input_scale is not None:
            self.input_scale.backward()
        if self.periodic is not None and b.d_inputs is not None:
            self.periodic.backward(b.d_inputs)


def _on_host(log: Host | Tensor) -> Host:
    return log.cpu().numpy() if isinstance(log, Tensor) else log
