"""The optimizers: steps on the flat parameters (K, P) of K networks; every hyperparameter may differ by network.

The formulas, and the order in which they round, are those of torch.optim. What changes from step to step (the learning rate, bias
corrections) is computed by `coefficients` for many steps at once, on the host and in float64, for the compiled core as well.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets import spec
from manynets.spec import SklearnAdam, SklearnSGD

Coefficient: TypeAlias = float | Tensor
Host: TypeAlias = NDArray[np.float64]


def coefficient(values: Sequence[float] | Host, like: Tensor, *, ndim: int = 2) -> Coefficient:
    """Return one number where all values are equal, else a column of shape (K, 1, ...) with `ndim` axes."""
    if all(value == values[0] for value in values):
        return float(values[0])
    return torch.as_tensor(values, dtype=like.dtype, device=like.device).view(-1, *[1] * (ndim - 1))


def step_coefficients(values: Host, like: Tensor, *, together: bool = False) -> Sequence[Sequence[Coefficient]] | Tensor:
    """Return the coefficients of each step for values (n, C, K).

    together: as one tensor (n, C, K, 1), which a graph can read, and which takes less time to copy to a device.
    """
    if together:
        return torch.as_tensor(values, dtype=like.dtype, device=like.device).unsqueeze(-1)
    return [[coefficient(line, like) for line in step] for step in values]


def _once(values: Host) -> Host:
    """Return values (K,) as (1,) where all are equal, which costs thousands of networks one power instead of as many."""
    return values[:1] if (values == values[:1]).all() else values


def _number(one: Any, name: str) -> float:
    """Return a hyperparameter of a specification; 0 for ""."""
    if name.startswith("beta"):
        return float(one.betas[int(name[-1]) - 1])
    return float(getattr(one, name)) if name else 0.0


def _add(target: Tensor, other: Tensor, scale: Coefficient, sign: float = 1.0) -> None:
    """target += sign * scale * other, in place."""
    if isinstance(scale, Tensor):
        target.addcmul_(other, scale, value=sign)
    else:
        target.add_(other, alpha=sign * scale)


def _subtract_quotient(target: Tensor, above: Tensor, below: Tensor, scale: Coefficient) -> None:
    """target -= scale * above / below, in place; with a column, below is overwritten."""
    if isinstance(scale, Tensor):
        target.addcmul_(torch.div(above, below, out=below), scale, value=-1.0)
    else:
        target.addcdiv_(above, below, value=-scale)


def _add_square(target: Tensor, grad: Tensor, scale: Coefficient, spare: Tensor) -> None:
    """target += scale * grad^2, in place."""
    if isinstance(scale, Tensor):
        target.addcmul_(torch.mul(grad, grad, out=spare), scale)
    else:
        target.addcmul_(grad, grad, value=scale)


class Optimizer(abc.ABC):
    """One kind of optimizer for K networks. All it keeps between steps are the tensors (K, P) that `state_names` lists, at most two.

    values: the hyperparameters of each network (K,), by name.
    """

    number: ClassVar[int]
    """By which the compiled core knows it."""
    hyperparameters: ClassVar[tuple[str, str, str, str]]
    """The names of those that the core takes, "" for none: momentum, beta1 or alpha; beta2; eps; weight_decay."""
    state_names: tuple[str, ...]
    nesterov = lr_inside = False  # of SGD
    decoupled = False
    """Whether weight decay shrinks w, by the factor 1 - lr weight_decay, instead of adding weight_decay w to g."""

    def __init__(self, specs: Sequence[Any], like: Tensor) -> None:
        self.values = {name: np.array([_number(one, name) for one in specs], dtype=np.float64) for name in self.hyperparameters}
        self.hyper = {name: coefficient(numbers, like) for name, numbers in self.values.items()}
        self.rest = {name: coefficient(1 - numbers, like) for name, numbers in self.values.items()}  # 1 - beta1 and the like
        self.decays = bool(self.values["weight_decay"].any())

    def coefficients(self, rates: Host, step: int) -> Host:
        """Return what changes by step, (n, 3, K), for learning rates (n, K) once `step` steps were made: first the rate.

        Where the weight decay is decoupled, the last is the factor by which it shrinks w.
        """
        shrink = 1 - rates * self.values["weight_decay"] if self.decoupled else np.ones_like(rates)
        return np.stack([rates, np.ones_like(rates), shrink], axis=1)

    @final
    def step(self, w: Tensor, g: Tensor, state: Mapping[str, Tensor], now: Sequence[Coefficient], spare: Tensor) -> None:
        """Make a step: change w by its gradient g. now: the coefficients of the step. g and spare are overwritten."""
        if self.decays and self.decoupled:
            w.mul_(now[2])
        elif self.decays:
            _add(g, w, self.hyper["weight_decay"])
        self.update(w, g, state, now, spare)

    @abc.abstractmethod
    def update(self, w: Tensor, g: Tensor, state: Mapping[str, Tensor], now: Sequence[Coefficient], spare: Tensor) -> None:
        """Make a step whose weight decay is done; see `step`."""


@final
class SGDSteps(Optimizer):
    """v <- momentum v + g; w <- w - lr v, or with Nesterov w - lr (g + momentum v).

    lr_inside, as in scikit-learn: v <- momentum v + lr g; w <- w - v, or with Nesterov w - lr g - momentum v.
    """

    number = 0
    hyperparameters = ("momentum", "", "", "weight_decay")

    def __init__(self, specs: Sequence[spec.SGD], like: Tensor) -> None:
        super().__init__(specs, like)
        self.state_names = ("momentum",) if any(one.momentum for one in specs) else ()
        self.nesterov, self.lr_inside = specs[0].nesterov, isinstance(specs[0], SklearnSGD)

    def update(self, w: Tensor, g: Tensor, state: Mapping[str, Tensor], now: Sequence[Coefficient], spare: Tensor) -> None:
        lr, momentum = now[0], self.hyper["momentum"]
        if not state:
            _add(w, g, lr, -1.0)
            return
        velocity = state["momentum"].mul_(momentum)
        if self.lr_inside:
            _add(velocity, g, lr)
            if self.nesterov:
                _add(w, g, lr, -1.0)
                _add(w, velocity, momentum, -1.0)
            else:
                w.sub_(velocity)
            return
        velocity.add_(g)
        if self.nesterov:
            _add(g, velocity, momentum)
        _add(w, g if self.nesterov else velocity, lr, -1.0)


class _Moments(Optimizer):
    """What the Adam family has in common: m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2."""

    hyperparameters = ("beta1", "beta2", "eps", "weight_decay")
    state_names = ("mean", "square")

    def _move(self, g: Tensor, state: Mapping[str, Tensor], spare: Tensor) -> tuple[Tensor, Tensor]:
        mean, square = state["mean"], state["square"]
        mean.lerp_(g, self.rest["beta1"])
        _add_square(square.mul_(self.hyper["beta2"]), g, self.rest["beta2"], spare)
        return mean, square


@final
class AdamSteps(_Moments):
    """Adam and AdamW: w <- w - lr m_hat / (sqrt(v_hat) + eps), where m_hat = m / (1 - beta1^t) and v_hat = v / (1 - beta2^t)."""

    def __init__(self, specs: Sequence[spec.Adam | spec.AdamW], like: Tensor) -> None:
        super().__init__(specs, like)
        self.decoupled = isinstance(specs[0], spec.AdamW)
        self.number = 2 if self.decoupled else 1  # type: ignore[misc]
        self.eps_hat = np.array([isinstance(one, SklearnAdam) for one in specs])

    def coefficients(self, rates: Host, step: int) -> Host:
        t = np.arange(step + 1, step + len(rates) + 1)[:, None]
        out = np.empty((len(rates), 3, rates.shape[1]))
        beta1, beta2 = (_once(self.values[name]) for name in ("beta1", "beta2"))
        out[:, 0], out[:, 1] = rates / (1 - beta1**t), np.sqrt(1 - beta2**t)
        out[:, 2] = 1 - rates * self.values["weight_decay"]
        if self.eps_hat.any():  # eps is then added to sqrt(v), before the correction of v
            out[:, 0] *= np.where(self.eps_hat, out[:, 1], 1.0)
            out[:, 1] = np.where(self.eps_hat, 1.0, out[:, 1])
        return out

    def update(self, w: Tensor, g: Tensor, state: Mapping[str, Tensor], now: Sequence[Coefficient], spare: Tensor) -> None:
        rate, root, _ = now
        mean, square = self._move(g, state, spare)
        _subtract_quotient(w, mean, torch.sqrt(square, out=spare).div_(root).add_(self.hyper["eps"]), rate)


@final
class NAdamSteps(_Moments):
    """Adam with Nesterov momentum, mu_t = beta1 (1 - 0.5 * 0.96^(0.004 t)):

    w <- w - lr ((1 - mu_t) g / (1 - mu_1 .. mu_t) + mu_{t+1} m / (1 - mu_1 .. mu_{t+1})) / (sqrt(v_hat) + eps).

    Source: torch.optim.NAdam, after Dozat 2016.
    """

    number = 3

    def __init__(self, specs: Sequence[spec.NAdam], like: Tensor) -> None:
        super().__init__(specs, like)
        self._known = 0, np.ones(len(specs))  # a step, and the product of mu up to it

    def coefficients(self, rates: Host, step: int) -> Host:
        def mu(t: Any) -> Any:
            return self.values["beta1"] * (1 - 0.5 * 0.96 ** (t * 0.004))

        known, product = self._known if self._known[0] <= step else (0, np.ones(rates.shape[1]))
        before = np.cumprod(np.vstack([product, mu(np.arange(known + 1, step + 1)[:, None])]), axis=0)[-1]
        t = np.arange(step + 1, step + len(rates) + 1)[:, None]
        products = np.cumprod(np.vstack([before, mu(t)]), axis=0)[1:]
        self._known = step + len(rates), products[-1]
        rate, ahead = rates * (1 - mu(t)) / (1 - products), rates * mu(t + 1) / (1 - products * mu(t + 1))
        return np.stack([rate, 1 - self.values["beta2"] ** t, ahead], axis=1)

    def update(self, w: Tensor, g: Tensor, state: Mapping[str, Tensor], now: Sequence[Coefficient], spare: Tensor) -> None:
        rate, root, ahead = now
        mean, square = self._move(g, state, spare)
        below = torch.div(square, root, out=spare).sqrt_().add_(self.hyper["eps"])
        _add(w, g.div_(below), rate, -1.0)
        _subtract_quotient(w, mean, below, ahead)


@final
class RMSpropSteps(Optimizer):
    """v <- alpha v + (1 - alpha) g^2; w <- w - lr d with d = g / (sqrt(v) + eps); with momentum b <- momentum b + d; w <- w - lr b."""

    number = 4
    hyperparameters = ("alpha", "momentum", "eps", "weight_decay")

    def __init__(self, specs: Sequence[spec.RMSprop], like: Tensor) -> None:
        super().__init__(specs, like)
        self.state_names = ("square", "momentum") if any(one.momentum for one in specs) else ("square",)

    def update(self, w: Tensor, g: Tensor, state: Mapping[str, Tensor], now: Sequence[Coefficient], spare: Tensor) -> None:
        square = state["square"]
        _add_square(square.mul_(self.hyper["alpha"]), g, self.rest["alpha"], spare)
        below = torch.sqrt(square, out=spare).add_(self.hyper["eps"])
        if "momentum" in state:
            _add(w, state["momentum"].mul_(self.hyper["momentum"]).addcdiv_(g, below), now[0], -1.0)
        else:
            _subtract_quotient(w, g, below, now[0])


@final
class AdagradSteps(Optimizer):
    """s <- s + g^2; w <- w - lr g / (sqrt(s) + eps)."""

    number = 5
    hyperparameters = ("", "", "eps", "weight_decay")
    state_names = ("square",)

    def update(self, w: Tensor, g: Tensor, state: Mapping[str, Tensor], now: Sequence[Coefficient], spare: Tensor) -> None:
        square = state["square"]
        square.addcmul_(g, g)
        _subtract_quotient(w, g, torch.sqrt(square, out=spare).add_(self.hyper["eps"]), now[0])


@final
class LionSteps(Optimizer):
    """w <- w (1 - lr weight_decay) - lr sign(beta1 m + (1 - beta1) g), then m <- beta2 m + (1 - beta2) g."""

    number = 6
    hyperparameters = ("beta1", "beta2", "", "weight_decay")
    state_names = ("mean",)
    decoupled = True

    def update(self, w: Tensor, g: Tensor, state: Mapping[str, Tensor], now: Sequence[Coefficient], spare: Tensor) -> None:
        move = torch.lerp(state["mean"], g, self.rest["beta1"], out=spare)
        state["mean"].lerp_(g, self.rest["beta2"])
        # torch's sign of nan is 0; 0 * move makes it nan again, and w with it
        _add(w, torch.sign(move, out=g).add_(move, alpha=0.0), now[0], -1.0)


KINDS: dict[type, Callable[..., Optimizer]] = {
    spec.SGD: SGDSteps,
    SklearnSGD: SGDSteps,
    spec.Adam: AdamSteps,
    SklearnAdam: AdamSteps,
    spec.AdamW: AdamSteps,
    spec.NAdam: NAdamSteps,
    spec.RMSprop: RMSpropSteps,
    spec.Adagrad: AdagradSteps,
    spec.Lion: LionSteps,
}
