"""The losses on torch tensors: value and derivative with respect to raw scores, with the model axis.

Scores and targets have shape (..., O), the rest (...) is rows, or (K, rows). Each loss is written out as a value, from which
autograd can start, and as a closed-form derivative that is written into a buffer.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from manynets.errors import OptionError, warn_user
from manynets.spec import Recipe
from manynets.spec.own import is_own, own_name, without_function
from manynets.spec.ported import loss_called
from manynets.tasks.base import Task
from manynets.tasks.losses import Loss, levels_of, loss_for
from manynets.tasks.regression import Regression

Value: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Slope: TypeAlias = Callable[[Tensor, Tensor, Tensor], object]
OwnLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""A loss of the user's own: from scores (N, O) of one network, and targets as the task encodes them, to each row's loss (N,)."""
ROWS_TRIED = 1000
"""Of which some have a gradient by any loss that can be learned from."""


class Objective:
    """A `Loss` on torch's tensors: raw scores, in the units that a network is trained in.

    A row's loss is the mean (or, where `Loss.total`, the sum) over outputs of value(score, target), whose derivative slope(score, target, out)
    writes. quick: the same value where no derivative is asked for.
    """

    def __init__(self, loss: Loss, value: Value, slope: Slope, quick: Value | None = None) -> None:
        self.loss, self.value, self.slope, self.quick = loss, value, slope, quick or value
        self.outputs, self.total, self.numeric = loss.outputs, loss.total, loss.kind == "number"

    def _reduce(self, values: Tensor) -> Tensor:
        if self.outputs == 1:
            return values.squeeze(-1)
        return values.sum(-1) if self.total else values.mean(-1)

    def expand(self, target: Tensor, smoothing: Tensor | float, dtype: torch.dtype) -> Tensor:
        """Return the target (..., O) of encoded targets: class codes (...) or floats (..., O), labels smoothed."""
        if not self.numeric:
            return _smooth(target, smoothing, 0.5)
        several = len(self.loss.point)  # a target counts once for each of its quantiles
        return target.unsqueeze(-1).expand(*target.shape, several).flatten(-2) if several else target

    def _ordered(self, scores: Tensor) -> Tensor:
        """Return scores (..., O) by target and quantile (..., T, J), in order."""
        return scores.reshape(*scores.shape[:-1], -1, len(self.loss.point)).sort(-1).values

    def rows(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return each row's loss (...)."""
        return self._reduce(self.value(scores, target))

    def gradient(self, scores: Tensor, target: Tensor, *, out: Tensor) -> None:
        """Write d rows / d scores (..., O) into out."""
        self.slope(scores, target, out)
        if self.outputs > 1 and not self.total:
            out.div_(self.outputs)

    def report(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return each row's loss (...) in the unit of the user's target; the same as `rows` but for scaled regression."""
        values = self.quick(self._ordered(scores).flatten(-2) if self.loss.point else scores, target)
        if not self.numeric:
            return self._reduce(values)
        # in float64: the squares of large units are beyond float32
        return self._reduce(values.double() * torch.as_tensor(self.loss.unit, device=values.device))

    def hits(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return per row (..., M) what the metric is made of: M = 1 and 1 where the labels are right, or the squared errors of M targets."""
        if not self.numeric:  # in numbers, as torch compares several times slower than it counts
            wrong = scores.sign().clamp_(min=0).sub_((target > 0.5).to(scores.dtype))
            right = torch.addcmul(wrong.new_ones(()), wrong, wrong, value=-1)
            return right if self.outputs == 1 else right.amin(-1, keepdim=True)
        if self.loss.point:
            weights = torch.tensor(self.loss.point, dtype=scores.dtype, device=scores.device)
            return (self._ordered(scores) @ weights - target[..., :: len(weights)]).square()
        predicted = scores.exp() if self.loss.exponential else scores
        return (predicted - target).square()

    def log(
        self,
        scores: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        penalty: Tensor | float = 0.0,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return what `manynets.tasks.losses.Loss.log` does, (..., 3 + M) in float64, computed where the scores are. rows: what `report` returns."""
        loss, hits = self.report(scores, target) if rows is None else rows, self.hits(scores, target)
        weight = torch.ones_like(loss) if weight is None else weight
        out = torch.empty(*loss.shape[:-1], 3 + hits.shape[-1], dtype=torch.float64, device=loss.device)
        out[..., 0], out[..., 1], out[..., 2] = (loss * weight).double().sum(-1), weight.double().sum(-1), penalty
        out[..., 3:] = (hits * weight.unsqueeze(-1)).double().sum(-2)
        return out


class Softmax(Objective):
    """Cross-entropy -sum_c t_c log softmax(z)_c; its derivative is softmax(z) - t."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(
            loss, lambda z, t: -(torch.log_softmax(z, -1) * t), lambda z, t, out: torch.softmax(z, -1, out=out).sub_(t)
        )

    def expand(self, target: Tensor, smoothing: Tensor | float, dtype: torch.dtype) -> Tensor:
        out = torch.zeros(*target.shape, self.outputs, dtype=dtype, device=target.device)
        out.scatter_(-1, target.unsqueeze(-1), 1.0)
        return _smooth(out, smoothing, 1.0 / self.outputs)

    def report(self, scores: Tensor, target: Tensor) -> Tensor:
        below = _below_top(scores)  # as log_softmax does, for many rows at a time
        return below.exp().sum(0).log_() - (_by_class(target) * below).sum(0)

    def hits(self, scores: Tensor, target: Tensor) -> Tensor:
        return (_first_of_largest(scores) == _first_of_largest(target)).to(scores.dtype).unsqueeze(-1)


class OwnObjective(Objective):
    """A loss of the user's own; targets are left as the task encodes them. base: the task's loss, whose hits are counted."""

    def __init__(self, function: OwnLoss, base: Objective) -> None:
        loss = dataclasses.replace(base.loss, name=own_name(function), unit=np.ones(base.outputs))
        super().__init__(loss, base.value, base.slope)
        self.function, self.base = function, base

    def expand(self, target: Tensor, smoothing: Tensor | float, dtype: torch.dtype) -> Tensor:
        return target

    def rows(self, scores: Tensor, target: Tensor) -> Tensor:
        return losses_of_rows(self.function, scores, target)

    def report(self, scores: Tensor, target: Tensor) -> Tensor:
        if scores.ndim > 2:  # (K, n, O) with targets that networks share, or have each of their own
            return torch.stack([self.report(one, target[k % len(target)]) for k, one in enumerate(scores)])
        with torch.no_grad():
            return self.rows(scores, target)

    def hits(self, scores: Tensor, target: Tensor) -> Tensor:
        return self.base.hits(scores, self.base.expand(target, 0.0, scores.dtype))


def losses_of_rows(function: OwnLoss, scores: Tensor, target: Tensor) -> Tensor:
    """Return each row's loss (N,) by a function of the user's own; OptionError for what cannot be that."""
    found, rows = function(scores.clone(), target.clone()), len(scores)  # a function may change what it is given
    shaped = isinstance(found, Tensor) and found.numel() == rows and (found.shape[:1] == (rows,) or rows == 1)
    if shaped and found.is_floating_point():
        if torch.is_grad_enabled() and not found.requires_grad:
            raise OptionError(
                f"the loss {own_name(function)} has no gradient by the scores; compute it by torch's functions, without detach() or no_grad()"
            )
        return found.reshape(rows)
    kind = type(found).__name__
    if isinstance(found, Tensor):
        kind = f"tensor of {str(found.dtype).removeprefix('torch.')} {tuple(found.shape)}"
    text = (
        f"the loss {own_name(function)} returned a {kind} for scores {tuple(scores.shape)} and targets {tuple(target.shape)}, but must return"
        f" a tensor with the loss of each row, ({rows},)"
    )
    if isinstance(found, Tensor) and found.ndim == 0:
        text += "; leave out the mean over rows, in a loss of torch with reduction='none'"
    elif isinstance(found, Tensor) and found.shape[:1] == (rows,):
        text += "; take the mean over the other axes"
    known = loss_called(function)
    raise OptionError(text if known is None else f"{text}; or write loss={known!r}")


def check_own_loss(function: OwnLoss | None, task: Task, target: Tensor, dtype: torch.dtype) -> None:
    """Raise OptionError for a function that does not return a loss for each row, and warn of one by which nothing is learned.

    target: of rows, as the task encodes them.
    """
    if function is None:
        return
    rows = torch.arange(task.outputs + 2, device=target.device) % len(target)  # a number that no other axis has
    some = torch.linspace(0, len(target) - 1, min(len(target), ROWS_TRIED)).long().to(target.device)
    with torch.inference_mode(False), torch.enable_grad():
        scores = torch.zeros(len(rows), task.outputs, dtype=dtype, device=target.device, requires_grad=True)
        losses_of_rows(function, scores, target[rows])
        scores = torch.linspace(-1, 1, len(some) * task.outputs, dtype=dtype, device=target.device).reshape(-1, task.outputs)
        losses = losses_of_rows(function, scores.requires_grad_(), target[some])
        (slope,) = torch.autograd.grad(losses.sum(), scores, allow_unused=True)
    if slope is None or not slope.any():
        one = "; of two classes there is one score, that of the second: write task='multiclass' to have one for each class"
        warn_user(
            f"the loss {own_name(function)} has a gradient of 0 by all scores, so that nothing will be learned"
            f"{one if task.name == 'binary' else ''}",
            UserWarning,
        )


def _by_class(values: Tensor) -> Tensor:
    """Return values (..., C) as (C, ...), so that operations along the classes work on many rows at a time."""
    turned = values.movedim(-1, 0)
    return turned if turned.stride(-1) == 1 else turned.contiguous()


def _below_top(scores: Tensor) -> Tensor:
    """Return each score (..., C) minus the largest of its row, shape (C, ...): 0 or less."""
    turned = _by_class(scores)
    return turned - turned.amax(0)


def _first_of_largest(values: Tensor) -> Tensor:
    """Return by its rank from the end the class that argmax (..., C) gives, which torch does one number at a time."""
    below = _below_top(values)
    ranks = torch.arange(len(below), 0, -1, dtype=below.dtype, device=below.device)
    return below.sign_().add_(1).mul_(ranks.view(-1, *[1] * (below.ndim - 1))).amax(0)


def _smooth(target: Tensor, smoothing: Tensor | float, level: float) -> Tensor:
    """Return (1 - s) t + s level; s is a number, or one per network, shape (K, 1, 1)."""
    if not isinstance(smoothing, Tensor) and smoothing == 0:
        return target
    return target * (1 - smoothing) + smoothing * level


def _levels(levels: float | NDArray[Any]) -> Callable[[Tensor], float | Tensor]:
    """Return a function of scores: a quantile as it is, and several (O,) as a tensor like the scores, which is made once (for a CUDA graph)."""
    if isinstance(levels, float):
        return lambda scores: levels
    made = functools.cache(lambda device, dtype: torch.tensor(levels, dtype=dtype, device=device))
    return lambda scores: made(scores.device, scores.dtype)


def joint_objective(tasks: Sequence[Task], recipe: Recipe, own: OwnLoss | None = None) -> Objective:
    """Return the loss of K networks whose tasks differ in center and scale at most; each is reported in the unit of its own target."""
    out = objective_for(tasks[0], recipe, own)
    if own is None and any(task is not tasks[0] and task != tasks[0] for task in tasks):
        units = {id(task): loss_for(task, recipe).unit for task in tasks}
        out.loss = dataclasses.replace(out.loss, unit=np.stack([units[id(task)] for task in tasks])[:, None])
    return out


def objective_for(task: Task, recipe: Recipe, own: OwnLoss | None = None) -> Objective:
    """Return the loss that a recipe asks of a task, or one of the user's own.

    Errors: OptionError for a name that the task does not take, and for that of a function which is not given.
    """
    if own is not None:
        return OwnObjective(own, objective_for(task, dataclasses.replace(recipe, loss=None)))
    if is_own(recipe.loss):
        raise OptionError(without_function(recipe.loss))
    loss = loss_for(task, recipe)
    if loss.kind == "class":
        return Softmax(loss)
    if loss.kind == "labels":
        return Objective(
            loss,
            lambda z, t: F.binary_cross_entropy_with_logits(z, t.expand_as(z), reduction="none"),
            lambda z, t, out: torch.sigmoid(z, out=out).sub_(t),
            quick=lambda z, t: F.softplus(z, threshold=50.0).addcmul_(z, t, value=-1),  # in three quarters of the time
        )
    assert isinstance(task, Regression)
    levels, delta = _levels(levels_of(task, recipe)), recipe.delta

    forms: dict[str, tuple[Value, Slope]] = {
        "squared_error": (lambda z, t: (z - t).square(), lambda z, t, out: torch.sub(z, t, out=out).mul_(2)),
        "half_squared_error": (lambda z, t: 0.5 * (z - t).square(), lambda z, t, out: torch.sub(z, t, out=out)),
        "absolute_error": (lambda z, t: (z - t).abs(), lambda z, t, out: torch.sub(z, t, out=out).sign_()),
        "huber": (
            lambda z, t: F.huber_loss(z, t.expand_as(z), reduction="none", delta=delta),
            lambda z, t, out: torch.sub(z, t, out=out).clamp_(-delta, delta),
        ),
        "poisson": (lambda z, t: torch.xlogy(t, t) - t - t * z + z.exp(), lambda z, t, out: torch.exp(z, out=out).sub_(t)),
        "quantile": (
            lambda z, t: 0.5 * (z - t).abs() + (0.5 - levels(z)) * (z - t),
            lambda z, t, out: torch.sub(z, t, out=out).sign_().add_(1 - 2 * levels(z)).mul_(0.5),
        ),
    }
    return Objective(loss, *forms[loss.name])
