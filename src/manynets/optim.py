"""Optimizers on the flat parameters (K, P) of a population; every hyperparameter may differ by network.

A coefficient that is the same for all networks is a Python number, else a column (K, 1). Coefficients that change by step (the
learning rate, bias corrections) are planned for many steps at once on the host. The formulas are those of torch.optim.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets import spec
from manynets.calls import Call, run_calls

__all__ = ["Coefficient", "Coefficients", "Optimizer", "coefficient", "optimizer_for"]

FUSED_RUN = 8192  # parameters of neighbours that agree from which a kernel of their own costs less than two passes more for all
ENDLESS = 1e18  # steps after which beta^t is 0, for every beta below 1

Coefficient: TypeAlias = float | Tensor
Host: TypeAlias = NDArray[np.float64]


def coefficient(values: Sequence[float], like: Tensor, *, ndim: int = 2) -> Coefficient:
    """Return one number where all values are equal, else a column of shape (K, 1, ...) with `ndim` axes."""
    if all(value == values[0] for value in values):
        return float(values[0])
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(-1, *[1] * (ndim - 1))


class Coefficients:
    """Numbers planned for S steps and K networks; [s] is one number, or a column (K, 1), for step s.

    On CUDA they are always columns of one buffer that stays in place, so that a captured graph reads what `plan` wrote last.
    """

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._buffer: Tensor | None = None
        self._steps: Sequence[Coefficient] = ()

    def plan(self, values: Host) -> None:
        """Take the numbers of the next steps, shape (S, K)."""
        fixed = self._like.is_cuda
        if not fixed and (values == values[:, :1]).all():
            self._steps = values[:, 0].tolist()
            return
        fresh = torch.as_tensor(values, dtype=self._like.dtype, device="cpu").unsqueeze(-1)
        if not fixed:
            self._steps = fresh.unbind(0)
            return
        if self._buffer is None or self._buffer.shape[0] < len(fresh):
            self._buffer = torch.empty_like(fresh, device=self._like.device)
            self._steps = self._buffer.unbind(0)
        self._buffer[: len(fresh)].copy_(fresh, non_blocking=True)

    def __getitem__(self, step: int) -> Coefficient:
        return self._steps[step]


def add_scaled(target: Tensor, other: Tensor, scale: Coefficient, sign: float = 1.0) -> None:
    """target += sign * scale * other, in place."""
    if isinstance(scale, Tensor):
        target.addcmul_(other, scale, value=sign)
    else:
        target.add_(other, alpha=sign * scale)


class Optimizer(abc.ABC):
    """One kind of optimizer for K networks. `state` holds its tensors (K, P) by name; all else follows from specs and step."""

    def __init__(self, specs: Sequence[Any], flat: Tensor, grad: Tensor) -> None:
        self.specs = list(specs)
        self._values: dict[str, Host] = {}
        self.flat = flat
        self.grad = grad
        self.state: dict[str, Tensor] = {name: torch.zeros_like(flat) for name in self.state_names()}
        self.decay = self.column("weight_decay")
        self.rate = Coefficients(flat)

    def state_names(self) -> tuple[str, ...]:
        """Names of the tensors that this optimizer keeps."""
        return ()

    def column(self, name: str) -> Coefficient:
        """Return the hyperparameter `name` as a coefficient over K."""
        return coefficient([getattr(one, name) for one in self.specs], self.flat)

    def values(self, name: str) -> Host:
        """Return the hyperparameter `name` of each network, shape (K,)."""
        if name not in self._values:
            self._values[name] = np.array([getattr(one, name) for one in self.specs], dtype=np.float64)
        return self._values[name]

    def plan(self, rates: Host, step: int) -> None:
        """Prepare the next len(rates) steps: learning rates (S, K); `step` steps were made before."""
        self.rate.plan(rates)

    @abc.abstractmethod
    def step(self, s: int) -> None:
        """Make the planned step s: update `flat` by `grad`; grad may be overwritten."""

    def _decayed(self) -> Tensor:
        if not isinstance(self.decay, float) or self.decay:
            add_scaled(self.grad, self.flat, self.decay)
        return self.grad


@final
class SGD(Optimizer):
    """v <- momentum v + g; w <- w - lr v, or with Nesterov w - lr (g + momentum v)."""

    def __init__(self, specs: Sequence[spec.SGD], flat: Tensor, grad: Tensor) -> None:
        super().__init__(specs, flat, grad)
        self.momentum = self.column("momentum")
        self.nesterov, self.lr_inside = specs[0].nesterov, specs[0].lr_in_velocity
        self.plain = self.decay == 0.0 if isinstance(self.decay, float) else False
        self.plain = self.plain and not self.state

    def state_names(self) -> tuple[str, ...]:
        return ("momentum",) if any(one.momentum for one in self.specs) else ()

    def step(self, s: int) -> None:
        grad = self._decayed()
        if self.state and self.lr_inside:
            velocity = self.state["momentum"].mul_(self.momentum)
            add_scaled(velocity, grad, self.rate[s])
            if self.nesterov:
                add_scaled(self.flat, grad, self.rate[s], -1.0)
                add_scaled(self.flat, velocity, self.momentum, -1.0)
            else:
                self.flat.sub_(velocity)
            return
        if self.state:
            velocity = self.state["momentum"].mul_(self.momentum).add_(grad)
            if self.nesterov:
                add_scaled(grad, velocity, self.momentum)
            else:
                grad = velocity
        add_scaled(self.flat, grad, self.rate[s], -1.0)


@final
class Adam(Optimizer):
    """Adam, and with `decoupled` AdamW: m, v <- moving means of g, g^2; w <- w - lr m_hat / (sqrt(v_hat) + eps).

    On the CPU each run of neighbouring networks that agree in all hyperparameters takes one fused kernel. Where such runs are too
    short to pay, one kernel moves all of them from 0 at rate 1, and each is moved by its own rate times that. Networks that differ
    in betas or eps have the step written out with columns, and so have all on CUDA.
    """

    def __init__(self, specs: Sequence[spec.Adam | spec.AdamW], flat: Tensor, grad: Tensor) -> None:
        super().__init__(specs, flat, grad)
        self.decoupled = isinstance(specs[0], spec.AdamW)
        betas = [one.betas for one in specs]
        self.betas = np.array(betas if len(set(betas)) > 1 else betas[:1], dtype=np.float64)  # (K, 2), or (1, 2) if all agree
        self.rest = [coefficient(column.tolist(), flat) for column in (1 - self.betas).T]
        self.beta2 = coefficient(self.betas[:, 1].tolist(), flat)
        self.eps = self.column("eps")
        self.eps_hat = np.array([getattr(one, "eps_hat", False) for one in specs])
        self.root = Coefficients(flat)
        self.shrink = Coefficients(flat)
        self.alike = np.array(
            [dataclasses.replace(a, lr=0.0) == dataclasses.replace(b, lr=0.0) for a, b in pairwise(specs)], dtype=bool
        )
        inner = {(*one.betas, one.eps, getattr(one, "eps_hat", False)) for one in specs}
        self.one_kernel = len(inner) == 1 and not flat.is_cuda
        self.spare = torch.empty_like(flat[:0])
        self.starts: list[int] | None = None  # first place of each run; none where runs are too short
        self.kernels: list[Call] = []  # of each run, or the one that moves all
        self.now = torch.empty(0, 2, dtype=torch.float64, device="cpu")  # what each kernel reads: its rate, the count of its steps
        self.planned: Sequence[Tensor] = ()  # what `now` is at each planned step

    def state_names(self) -> tuple[str, ...]:
        return ("mean", "square")

    def plan(self, rates: Host, step: int) -> None:
        steps = np.arange(step + 1, step + len(rates) + 1)[:, None]
        starts = self._starts(rates)
        if starts != self.starts:
            self._make_kernels(starts)
        if self.decoupled and not starts:
            self.shrink.plan(1 - rates * self.values("weight_decay"))
        places = np.array(starts or range(1 if self.one_kernel else len(self.flat)))
        hat, betas = self.eps_hat[places], self.betas if len(self.betas) == 1 else self.betas[places]
        mean, root = 1 - betas[:, 0] ** steps, np.sqrt(1 - betas[:, 1] ** steps)
        if not self.kernels:
            self.rate.plan(rates * np.where(hat, root, 1.0) / mean)
            self.root.plan(np.where(hat, 1.0, root))
            return
        # with eps_hat all corrections are in the rate: a kernel makes none after that many steps
        rate, count = np.where(hat, root / mean, 1.0), np.where(hat, ENDLESS, steps)
        if starts:
            rate = rates[:, starts] * rate
        else:
            self.rate.plan(rates * rate)
            rate = np.ones_like(rate)
        self.planned = torch.from_numpy(np.stack([rate, count], axis=-1)).unbind(0)

    def _starts(self, rates: Host) -> list[int]:
        """Return the first place of each run of neighbours that take one kernel at these rates (S, K); none where they are too short."""
        if self.flat.is_cuda:
            return []
        breaks = np.flatnonzero(~(self.alike & (rates[:, 1:] == rates[:, :-1]).all(axis=0))) + 1
        return [0, *breaks.tolist()] if self.flat.numel() >= FUSED_RUN * len(breaks) else []

    def _make_kernels(self, starts: list[int]) -> None:
        """Make the kernels of the runs that start at these places; of none: the one that moves all, if they take one."""
        self.starts = starts
        self.now = torch.empty(max(1, len(starts)), 2, dtype=torch.float64, device="cpu")
        if starts:
            cuts = [slice(start, stop) for start, stop in pairwise([*starts, len(self.flat)])]
            self.kernels = [self._kernel(self.flat, cut, now, self.decoupled) for cut, now in zip(cuts, self.now, strict=True)]
            return
        self.spare = torch.zeros_like(self.flat)
        # at rate 1, a decay of 1 takes the last step's move back to 0 within the kernel
        self.kernels = [self._kernel(self.spare, slice(None), self.now[0], True, decay=1.0)] if self.one_kernel else []

    def _kernel(self, moved: Tensor, places: slice, now: Tensor, decoupled: bool, *, decay: float | None = None) -> Call:
        """Return the kernel that moves these neighbours as the first of them, at the rate and the count of steps that `now` has."""
        rate, count = now
        one = self.specs[places.start or 0]
        parts = [[tensor[places]] for tensor in (moved, self.grad, self.state["mean"], self.state["square"])]
        return partial(
            torch._fused_adamw_ if decoupled else torch._fused_adam_, *parts, [], [count], lr=rate, beta1=one.betas[0],
            beta2=one.betas[1], weight_decay=one.weight_decay if decay is None else decay, eps=one.eps, amsgrad=False, maximize=False,
        )  # fmt: skip

    def _run(self, s: int) -> None:
        self.now.copy_(self.planned[s])
        run_calls(self.kernels)

    def step(self, s: int) -> None:
        if self.starts:
            self._run(s)
            return
        if self.decoupled:
            if not isinstance(self.decay, float) or self.decay:
                self.flat.mul_(self.shrink[s])
            grad = self.grad
        else:
            grad = self._decayed()
        if self.kernels:
            self._run(s)
            add_scaled(self.flat, self.spare, self.rate[s])
            return
        mean, square = self.state["mean"], self.state["square"]
        mean.add_(torch.sub(grad, mean, out=self.spare).mul_(self.rest[0]))
        square.mul_(self.beta2).add_(torch.mul(grad, grad, out=self.spare).mul_(self.rest[1]))
        below = torch.sqrt(square, out=self.spare).div_(self.root[s]).add_(self.eps)
        add_scaled(self.flat, torch.div(mean, below, out=below), self.rate[s], -1.0)


@final
class NAdam(Optimizer):
    """Adam with Nesterov momentum; mu_t = beta1 (1 - 0.5 * 0.96^(0.004 t)). Source: torch.optim.NAdam."""

    def __init__(self, specs: Sequence[spec.NAdam], flat: Tensor, grad: Tensor) -> None:
        super().__init__(specs, flat, grad)
        self.betas = np.array([one.betas for one in specs], dtype=np.float64)
        self.rest = [coefficient(column.tolist(), flat) for column in (1 - self.betas).T]
        self.beta2 = coefficient(self.betas[:, 1].tolist(), flat)
        self.eps = self.column("eps")
        self.root = Coefficients(flat)
        self.ahead = Coefficients(flat)
        self.products = np.ones(len(specs))
        self.product_step = 0
        self.spare = torch.empty_like(flat)

    def state_names(self) -> tuple[str, ...]:
        return ("mean", "square")

    def _mu(self, step: Any) -> Any:
        return self.betas[:, 0] * (1 - 0.5 * 0.96 ** (step * 0.004))

    def plan(self, rates: Host, step: int) -> None:
        if step != self.product_step:  # not where the last plan ended: the product of all mu before, in the same order
            before = self._mu(np.arange(1, step + 1)[:, None])
            self.products = np.cumprod(np.vstack([np.ones((1, len(self.specs))), before]), axis=0)[-1]
        steps = np.arange(step + 1, step + len(rates) + 1)[:, None]
        mu, following = self._mu(steps), self._mu(steps + 1)
        products = np.cumprod(np.vstack([self.products, mu]), axis=0)[1:]
        self.products, self.product_step = products[-1], step + len(rates)
        self.rate.plan(rates * (1 - mu) / (1 - products))
        self.ahead.plan(rates * following / (1 - products * following))
        self.root.plan(1 - self.betas[:, 1] ** steps)

    def step(self, s: int) -> None:
        grad = self._decayed()
        mean, square = self.state["mean"], self.state["square"]
        mean.add_(torch.sub(grad, mean, out=self.spare).mul_(self.rest[0]))
        square.mul_(self.beta2).add_(torch.mul(grad, grad, out=self.spare).mul_(self.rest[1]))
        below = torch.div(square, self.root[s], out=self.spare).sqrt_().add_(self.eps)
        add_scaled(self.flat, grad.div_(below), self.rate[s], -1.0)
        add_scaled(self.flat, torch.div(mean, below, out=below), self.ahead[s], -1.0)


@final
class RMSprop(Optimizer):
    """v <- alpha v + (1 - alpha) g^2; w <- w - lr g / (sqrt(v) + eps), that quotient with momentum where asked."""

    def __init__(self, specs: Sequence[spec.RMSprop], flat: Tensor, grad: Tensor) -> None:
        super().__init__(specs, flat, grad)
        self.alpha = self.column("alpha")
        self.rest = coefficient([1 - one.alpha for one in specs], flat)
        self.eps = self.column("eps")
        self.momentum = self.column("momentum")
        self.spare = torch.empty_like(flat)

    def state_names(self) -> tuple[str, ...]:
        return ("square", "momentum") if any(one.momentum for one in self.specs) else ("square",)

    def step(self, s: int) -> None:
        grad = self._decayed()
        square = self.state["square"]
        square.mul_(self.alpha).add_(torch.mul(grad, grad, out=self.spare).mul_(self.rest))
        below = torch.sqrt(square, out=self.spare).add_(self.eps)
        move = grad.div_(below)
        if "momentum" in self.state:
            move = self.state["momentum"].mul_(self.momentum).add_(move)
        add_scaled(self.flat, move, self.rate[s], -1.0)


@final
class Adagrad(Optimizer):
    """s <- s + g^2; w <- w - lr g / (sqrt(s) + eps)."""

    def __init__(self, specs: Sequence[spec.Adagrad], flat: Tensor, grad: Tensor) -> None:
        super().__init__(specs, flat, grad)
        self.eps = self.column("eps")
        self.spare = torch.empty_like(flat)

    def state_names(self) -> tuple[str, ...]:
        return ("square",)

    def step(self, s: int) -> None:
        grad = self._decayed()
        self.state["square"].addcmul_(grad, grad)
        below = torch.sqrt(self.state["square"], out=self.spare).add_(self.eps)
        add_scaled(self.flat, grad.div_(below), self.rate[s], -1.0)


_KINDS: dict[type, Callable[..., Optimizer]] = {
    spec.SGD: SGD,
    spec.Adam: Adam,
    spec.AdamW: Adam,
    spec.NAdam: NAdam,
    spec.RMSprop: RMSprop,
    spec.Adagrad: Adagrad,
}


def optimizer_for(specs: Sequence[spec.Optimizer], flat: Tensor, grad: Tensor) -> Optimizer:
    """Return the optimizer of K networks whose specifications are of one kind."""
    return _KINDS[type(specs[0])](specs, flat, grad)
