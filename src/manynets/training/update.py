"""What happens to a gradient on its way to the weights: penalties, clipping, the optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from manynets.optim import SGD, Coefficient, Optimizer, add_scaled, coefficient, optimizer_for
from manynets.spec import Recipe

__all__ = ["Update"]


class Update:
    """One step of K networks from their gradient: g += l2 w + l1 sign(w) on weight matrices; |g| <= clip_norm; the optimizer."""

    def __init__(self, flat: Tensor, grad: Tensor, weight_count: int, recipes: Sequence[Recipe]) -> None:
        self.optimizer: Optimizer = optimizer_for([recipe.optimizer for recipe in recipes], flat, grad)
        self.grad = grad
        self.weights, self.weight_grad = flat[:, :weight_count], grad[:, :weight_count]
        self.l1: Coefficient = coefficient([recipe.l1 for recipe in recipes], flat)
        self.l2: Coefficient = coefficient([recipe.l2 for recipe in recipes], flat)
        self.half_l2 = 0.5 * self.l2
        self.has_l1, self.has_l2 = any(recipe.l1 for recipe in recipes), any(recipe.l2 for recipe in recipes)
        self.clipped = any(recipe.clip_norm is not None for recipe in recipes)
        self.clip = flat.new_tensor([math.inf if r.clip_norm is None else r.clip_norm for r in recipes]).unsqueeze(1)
        self.signs = torch.empty_like(self.weights if self.has_l1 else self.weights[:0])
        self.column = torch.empty_like(self.clip)  # (K, 1): scratch, in which nothing lies from one line to the next

    @property
    def descends(self) -> bool:
        """Whether a step is w - lr g and nothing else, so that the closed form may make it inside its products."""
        return isinstance(self.optimizer, SGD) and self.optimizer.plain and not (self.has_l1 or self.has_l2) and not self.clipped

    def penalty(self, out: Tensor) -> None:
        """Write l1 * sum |w| + l2 / 2 * sum w^2 of each network to out (K,), which is left as it is where no network has either."""
        out = out.unsqueeze(1)
        if self.has_l2:
            torch.linalg.vector_norm(self.weights, dim=1, keepdim=True, out=out)
            out.square_().mul_(self.half_l2)
        if self.has_l1:
            absolute = self.column if self.has_l2 else out
            torch.linalg.vector_norm(self.weights, ord=1, dim=1, keepdim=True, out=absolute)
            absolute.mul_(self.l1)
            if self.has_l2:
                out.add_(absolute)

    def step(self, s: int, growth: Tensor | None = None) -> None:
        """Make the planned step s from the gradient; growth: by what (K, 1) the penalties are multiplied."""
        if self.has_l2:
            add_scaled(self.weight_grad, self.weights, self._grown(self.l2, growth))
        if self.has_l1:
            add_scaled(self.weight_grad, torch.sign(self.weights, out=self.signs), self._grown(self.l1, growth))
        if self.clipped:
            norm = torch.linalg.vector_norm(self.grad, dim=1, keepdim=True, out=self.column).add_(1e-6)
            self.grad.mul_(torch.div(self.clip, norm, out=norm).clamp_(max=1.0))
        self.optimizer.step(s)

    def _grown(self, penalty: Coefficient, growth: Tensor | None) -> Coefficient:
        return penalty if growth is None else torch.mul(growth, penalty, out=self.column)
