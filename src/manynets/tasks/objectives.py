"""The losses on torch tensors: value and derivative with respect to raw scores, with the model axis.

Scores and targets have shape (..., O), the rest (...) is rows, or (K, rows). Each loss is written out as a value, from which
autograd can start, and as a closed-form derivative that is written into a buffer.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from manynets.errors import OptionError, one_of
from manynets.spec import Recipe
from manynets.tasks.base import Task
from manynets.tasks.regression import Regression

__all__ = ["Objective", "objective_for"]

Host: TypeAlias = NDArray[np.float64]
Slope: TypeAlias = Callable[[Tensor, Tensor, Tensor], object]


class Objective(abc.ABC):
    """A loss on raw scores, in the units that a network is trained in. Final classes: Softmax and Elementwise."""

    @abc.abstractmethod
    def expand(self, target: Tensor, smoothing: Tensor | float, dtype: torch.dtype) -> Tensor:
        """Return the target (..., O) of encoded targets: class codes (...) or floats (..., O), labels smoothed."""

    @abc.abstractmethod
    def rows(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return each row's loss (...)."""

    @abc.abstractmethod
    def gradient(self, scores: Tensor, target: Tensor, *, out: Tensor) -> None:
        """Write d rows / d scores (..., O) into out."""

    def report(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return each row's loss (...) in the unit of the user's target; the same as `rows` but for scaled regression."""
        return self.rows(scores, target)

    @abc.abstractmethod
    def hits(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return per row (..., M) what the metric is made of: M = 1 and 1 where the labels are right, or M = O squared errors.

        target: encoded, as `expand` takes it.
        """

    def judge(self, scores: Tensor, target: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return `report` and `hits`. target: expanded; labels: encoded."""
        return self.report(scores, target), self.hits(scores, labels)

    @abc.abstractmethod
    def labels(self, target: Tensor) -> Tensor:
        """Return the encoded target, as `expand` takes it, of an expanded one."""

    def log(self, scores: Tensor, target: Tensor, weight: Tensor | None = None, penalty: Tensor | float = 0.0) -> Tensor:
        """Return what `manynets.tasks.losses.Loss.log` does, (..., 3 + M) in float64, computed where the scores are."""
        loss, hits = self.judge(scores, target, self.labels(target))
        weight = torch.ones_like(loss) if weight is None else weight
        out = torch.empty(*loss.shape[:-1], 3 + hits.shape[-1], dtype=torch.float64, device=loss.device)
        out[..., 0], out[..., 1], out[..., 2] = (loss * weight).double().sum(-1), weight.double().sum(-1), penalty
        out[..., 3:] = (hits * weight.unsqueeze(-1)).double().sum(-2)
        return out

    @abc.abstractmethod
    def metric(self, hits: Host, spread: Host) -> Host:
        """Return the task's metric (K,) from mean hits (K, M) and the variances of the target (K, O)."""


@final
class Softmax(Objective):
    """Cross-entropy -sum_c t_c log softmax(z)_c; its derivative is softmax(z) - t."""

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def expand(self, target: Tensor, smoothing: Tensor | float, dtype: torch.dtype) -> Tensor:
        out = torch.zeros(*target.shape, self.classes, dtype=dtype, device=target.device)
        out.scatter_(-1, target.unsqueeze(-1), 1.0)
        return _smooth(out, smoothing, 1.0 / self.classes)

    def rows(self, scores: Tensor, target: Tensor) -> Tensor:
        return -(torch.log_softmax(scores, -1) * target).sum(-1)

    def report(self, scores: Tensor, target: Tensor) -> Tensor:
        return self._loss(_below_top(scores), target)

    def _loss(self, below: Tensor, target: Tensor) -> Tensor:  # log_softmax likewise
        return below.exp().sum(0).log_() - (_by_class(target) * below).sum(0)

    def gradient(self, scores: Tensor, target: Tensor, *, out: Tensor) -> None:
        torch.softmax(scores, -1, out=out).sub_(target)

    def hits(self, scores: Tensor, target: Tensor) -> Tensor:
        return self._right(_below_top(scores), target)

    def _right(self, below: Tensor, target: Tensor) -> Tensor:
        # argmax, which torch does one number at a time: the first class that is not below the top counts most
        places = torch.arange(self.classes, 0, -1, dtype=below.dtype, device=below.device)
        top = below.sign_().add_(1).mul_(places.view(-1, *[1] * (below.ndim - 1))).amax(0)
        return (top == self.classes - target).to(below.dtype).unsqueeze(-1)

    def judge(self, scores: Tensor, target: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        below = _below_top(scores)
        return self._loss(below, target), self._right(below, labels)

    def labels(self, target: Tensor) -> Tensor:
        return target.argmax(-1)

    def metric(self, hits: Host, spread: Host) -> Host:
        return hits[:, 0]


def _by_class(values: Tensor) -> Tensor:
    """Return values (..., C) as (C, ...), whose rows lie side by side: what is done along the classes is done for many at a time."""
    turned = values.movedim(-1, 0)
    return turned if turned.stride(-1) == 1 else turned.contiguous()


def _below_top(scores: Tensor) -> Tensor:
    """Return by how much each score (..., C) is below its row's largest, shape (C, ...): 0 or less."""
    turned = _by_class(scores)
    return turned - turned.amax(0)


@final
class Elementwise(Objective):
    """A loss that is a mean (or, where `total`, a sum) over outputs of value(score, target), whose derivative
    slope(score, target, out) writes."""

    def __init__(
        self,
        value: Callable[[Tensor, Tensor], Tensor],
        slope: Slope,
        *,
        outputs: int,
        total: bool = False,
        unit: NDArray[np.float64] | None = None,
        scale: NDArray[np.float64] | None = None,
        smooth: bool = False,
        exponential: bool = False,
        quick: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.value = value
        self.quick = quick or value  # the same where no derivative is asked for
        self.slope = slope
        self.outputs = outputs
        self.total = total
        self.unit = unit  # (O,): what turns a loss on standardised targets into the user's unit
        self.scale = scale  # (O,): standard deviation of a regression target; None for labels
        self.smooth = smooth
        self.exponential = exponential  # scores are log-rates

    def _reduce(self, values: Tensor) -> Tensor:
        if self.outputs == 1:
            return values.squeeze(-1)
        return values.sum(-1) if self.total else values.mean(-1)

    def expand(self, target: Tensor, smoothing: Tensor | float, dtype: torch.dtype) -> Tensor:
        return _smooth(target, smoothing, 0.5) if self.smooth else target

    def rows(self, scores: Tensor, target: Tensor) -> Tensor:
        return self._reduce(self.value(scores, target))

    def gradient(self, scores: Tensor, target: Tensor, *, out: Tensor) -> None:
        self.slope(scores, target, out)
        if self.outputs > 1 and not self.total:
            out.div_(self.outputs)

    def report(self, scores: Tensor, target: Tensor) -> Tensor:
        values = self.quick(scores, target)
        if self.unit is None:
            return self._reduce(values)
        # in float64: the squares of large units are beyond float32
        return self._reduce(values.double() * torch.as_tensor(self.unit, device=values.device))

    def hits(self, scores: Tensor, target: Tensor) -> Tensor:
        if self.scale is None:  # in numbers, as torch compares several times slower than it counts
            wrong = scores.sign().clamp_(min=0).sub_(target)
            right = torch.addcmul(wrong.new_ones(()), wrong, wrong, value=-1)
            return right if self.outputs == 1 else right.amin(-1, keepdim=True)
        predicted = scores.exp() if self.exponential else scores
        return (predicted - target).square()

    def labels(self, target: Tensor) -> Tensor:
        return target if self.scale is not None else (target > 0.5).to(target.dtype)

    def metric(self, hits: Host, spread: Host) -> Host:
        if self.scale is None:
            return hits[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = 1 - hits / spread
        if not spread.all():  # a constant target: 1 where it is met, 0 elsewhere
            r2 = np.where(spread > 0, r2, np.where(hits > 0, 0.0, 1.0))
        return np.asarray(r2.mean(axis=1))


def _smooth(target: Tensor, smoothing: Tensor | float, level: float) -> Tensor:
    """Return (1 - s) t + s level; s is a number, or one per network, shape (K, 1, 1)."""
    if isinstance(smoothing, Tensor):
        return target * (1 - smoothing) + smoothing * level
    return target * (1 - smoothing) + smoothing * level if smoothing else target


def _sub(z: Tensor, t: Tensor, out: Tensor) -> None:
    torch.sub(z, t, out=out)


def _logistic(z: Tensor, t: Tensor) -> Tensor:
    """log(1 + exp(z)) - z t, as torch's in three quarters of its time where no derivative is asked for."""
    return F.softplus(z, threshold=50.0).addcmul_(z, t, value=-1)


def _logistic_slope(z: Tensor, t: Tensor, out: Tensor) -> None:
    torch.sigmoid(z, out=out).sub_(t)


def _poisson(z: Tensor, t: Tensor) -> Tensor:
    """Half the Poisson deviance for log-rate z: t log t - t - t z + exp(z), 0 where exp(z) = t."""
    return torch.xlogy(t, t) - t - t * z + z.exp()


def _poisson_slope(z: Tensor, t: Tensor, out: Tensor) -> None:
    torch.exp(z, out=out).sub_(t)


def objective_for(task: Task, recipe: Recipe) -> Objective:
    """Return the loss that a recipe asks of a task; a name the task does not take is an OptionError with the valid ones."""
    name = recipe.loss or task.losses[0]
    one_of(name, task.losses, what=f"loss of the task {task.name!r}")
    if not isinstance(task, Regression):
        if task.name == "multiclass":
            return Softmax(task.outputs)
        return Elementwise(
            lambda z, t: F.binary_cross_entropy_with_logits(z, t.expand_as(z), reduction="none"),
            _logistic_slope,
            outputs=task.outputs,
            total=name == "log_loss",
            smooth=True,
            quick=_logistic,
        )
    if recipe.label_smoothing:
        raise OptionError(f"label_smoothing is {recipe.label_smoothing}, but a regression target has no labels; leave it at 0")
    scale = np.asarray(task.scale)
    quantile, delta = recipe.quantile, recipe.delta
    if name == "poisson":
        if any(task.center) or any(value != 1 for value in task.scale) or task.transform:
            raise OptionError(
                "loss='poisson' predicts log-rates and needs the target as it is: use Regression.of(y, standardise=False)"
            )
        return Elementwise(_poisson, _poisson_slope, outputs=task.outputs, scale=scale, exponential=True)

    def squared_slope(z: Tensor, t: Tensor, out: Tensor) -> None:
        torch.sub(z, t, out=out).mul_(2)

    def absolute_slope(z: Tensor, t: Tensor, out: Tensor) -> None:
        torch.sub(z, t, out=out).sign_()

    def huber_slope(z: Tensor, t: Tensor, out: Tensor) -> None:
        torch.sub(z, t, out=out).clamp_(-delta, delta)

    def quantile_slope(z: Tensor, t: Tensor, out: Tensor) -> None:
        absolute_slope(z, t, out)
        out.add_(1 - 2 * quantile).mul_(0.5)

    forms: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Slope, int]] = {
        "squared_error": (lambda z, t: (z - t).square(), squared_slope, 2),
        "half_squared_error": (lambda z, t: 0.5 * (z - t).square(), _sub, 2),
        "absolute_error": (lambda z, t: (z - t).abs(), absolute_slope, 1),
        "huber": (lambda z, t: F.huber_loss(z, t.expand_as(z), reduction="none", delta=delta), huber_slope, 2),
        "quantile": (lambda z, t: 0.5 * (z - t).abs() + (0.5 - quantile) * (z - t), quantile_slope, 1),
    }
    value, slope, power = forms[name]
    return Elementwise(
        value, slope, outputs=task.outputs, total=name == "half_squared_error", scale=scale, unit=task.unit_of_loss(power)
    )
