"""The update of K networks: penalties, clipping, and the optimizer, whose rates and weight decay may differ by parameter group."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from manynets.constants import CLIP_EPS
from manynets.optim.optimizers import KINDS, Coefficient, Host, Optimizer, SGDSteps
from manynets.spec import Recipe

BLOCK = 1 << 20  # numbers that an optimizer updates at a time: fewer cost more calls, more a larger buffer


@final
class GroupedOptimizer:
    """The optimizers of K networks: one for each run of neighbouring parameters with the same factors (`Recipe.groups`).

    parts: for each, which columns of the flat parameters (K, P) it changes, the factors (K,) of its learning rate, and the optimizer.
    names: name and shape of each parameter, in the order of the flat tensor.
    """

    def __init__(self, recipes: Sequence[Recipe], names: Mapping[str, tuple[int, ...]], like: Tensor) -> None:
        self.parts: list[tuple[slice, Host, Optimizer]] = []
        start = 0
        for factors, run in itertools.groupby(names, lambda name: [recipe.factors(name) for recipe in recipes]):
            end = start + sum(math.prod(names[name]) for name in run)
            specs = [
                recipe.optimizer
                if decay == 1
                else dataclasses.replace(recipe.optimizer, weight_decay=recipe.optimizer.weight_decay * decay)
                for recipe, (_, decay) in zip(recipes, factors, strict=True)
            ]
            rates = np.array([factor for factor, _ in factors])
            self.parts.append((slice(start, end), rates, KINDS[type(specs[0])](specs, like)))
            start = end

    @property
    def first(self) -> Optimizer:
        """The optimizer of the first parameters; the others differ in rates and weight decay only."""
        return self.parts[0][2]

    def coefficients(self, rates: Host, step: int) -> Host:
        """Return the coefficients of all parts one after the other, (n, 3 G, K); see `Optimizer.coefficients`."""
        return np.concatenate([optimizer.coefficients(rates * factors, step) for _, factors, optimizer in self.parts], axis=1)


@final
class Update:
    """What happens to K networks' gradient: g += l2 w + l1 sign(w) on weight matrices; |g| <= clip_norm; the optimizer's step.

    flat, grad: parameters and gradient (K, P), of which the first `matrices` are weight matrices. state: the optimizer's tensors.
    """

    def __init__(
        self,
        optimizer: GroupedOptimizer,
        recipes: Sequence[Recipe],
        flat: Tensor,
        grad: Tensor,
        state: Mapping[str, Tensor],
        matrices: int,
    ) -> None:
        self.optimizer, self.grad = optimizer, grad
        self.weights, self.weight_grad = flat[:, :matrices], grad[:, :matrices]
        self.l1 = torch.tensor([[recipe.l1] for recipe in recipes], dtype=flat.dtype, device=flat.device)
        self.l2 = torch.tensor([[recipe.l2] for recipe in recipes], dtype=flat.dtype, device=flat.device)
        self.has_l1, self.has_l2 = any(recipe.l1 for recipe in recipes), any(recipe.l2 for recipe in recipes)
        self.clipped = any(recipe.clip_norm is not None for recipe in recipes)
        self.clip = flat.new_tensor([[math.inf if r.clip_norm is None else r.clip_norm] for r in recipes])
        self.signs = torch.empty_like(self.weights if self.has_l1 else self.weights[:0])
        columns = max(1, BLOCK // len(flat))
        spare = flat.new_empty(len(flat), min(columns, flat.shape[1]))
        self.blocks = []
        for g, (part, _, _) in enumerate(optimizer.parts):
            for start in range(part.start, part.stop, columns):
                cut = slice(start, min(start + columns, part.stop))
                own = {name: tensor[:, cut] for name, tensor in state.items()}
                self.blocks.append((g, flat[:, cut], grad[:, cut], own, spare[:, : cut.stop - cut.start]))

    @property
    def is_plain_sgd(self) -> bool:
        """Whether a step is w - lr g and nothing else."""
        first = self.optimizer.first
        plain = isinstance(first, SGDSteps) and not first.state_names and not first.decays
        return plain and len(self.optimizer.parts) == 1 and not (self.has_l1 or self.has_l2 or self.clipped)

    def penalty(self) -> Tensor | None:
        """Return l1 * sum |w| + l2 / 2 * sum w^2 of each network (K,), None where no network has either."""
        out = None
        if self.has_l2:
            out = torch.linalg.vector_norm(self.weights, dim=1, keepdim=True).square_().mul_(0.5 * self.l2)
        if self.has_l1:
            absolute = torch.linalg.vector_norm(self.weights, ord=1, dim=1, keepdim=True).mul_(self.l1)
            out = absolute if out is None else out.add_(absolute)
        return None if out is None else out[:, 0]

    def add_penalties(self, penalty_scale: Tensor | None = None) -> None:
        """Add the gradient of the penalties. penalty_scale (K, 1): what l1 and l2 are multiplied by."""
        scale = 1.0 if penalty_scale is None else penalty_scale
        if self.has_l2:
            self.weight_grad.addcmul_(self.weights, self.l2 * scale)
        if self.has_l1:
            self.weight_grad.addcmul_(torch.sign(self.weights, out=self.signs), self.l1 * scale)

    def step(self, now: Sequence[Coefficient] | Tensor, penalty_scale: Tensor | None = None) -> None:
        """Make a step. now: the coefficients of it, three for each part of the optimizer."""
        self.add_penalties(penalty_scale)
        if self.clipped:
            # in float64, in which the squares of large numbers are finite
            norm = torch.linalg.vector_norm(self.grad, dim=1, keepdim=True, dtype=torch.float64).add_(CLIP_EPS)
            self.grad.mul_((self.clip / norm).clamp_(max=1.0).to(self.grad.dtype))
        for part, w, g, state, spare in self.blocks:
            self.optimizer.parts[part][2].step(w, g, state, list(now[3 * part : 3 * part + 3]), spare)
