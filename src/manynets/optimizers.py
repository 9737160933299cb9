"""Optimizers as data; `manynets.optim` makes their steps."""

from __future__ import annotations

import dataclasses
import math
from typing import TypeAlias

from manynets.errors import OptionError
from manynets.fields import check_bool, check_number, plain_tuple

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Lion", "NAdam", "Optimizer", "RMSprop"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGD:
    """Stochastic gradient descent: v <- momentum v + g; w <- w - lr v (Nesterov: w - lr (g + momentum v)).

    weight_decay adds weight_decay * w to the gradient. Source: torch.optim.SGD, dampening 0.
    """

    lr: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "lr", 0, math.inf)
        check_number(self, "momentum", 0, 1, open_high=True)
        check_number(self, "weight_decay", 0, math.inf)
        check_bool(self, "nesterov")
        if self.nesterov and self.momentum == 0:
            raise OptionError("SGD.nesterov needs a momentum above 0, for example momentum=0.9")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SklearnSGD(SGD):
    """SGD of scikit-learn's estimators: v <- momentum v + lr g; w <- w - v (Nesterov: w - lr g - momentum v).

    This is another path only where lr changes. Source: Sutskever et al. 2013; so does Keras.
    """


def _check_betas(self: Adam | AdamW | NAdam | Lion) -> None:
    object.__setattr__(self, "betas", plain_tuple(self, "betas"))
    if len(self.betas) != 2 or not all(isinstance(beta, int | float) and 0 <= beta < 1 for beta in self.betas):
        raise OptionError(f"{type(self).__name__}.betas is {self.betas!r}, but must be two numbers in [0, 1)")


def _check_adam(self: Adam | AdamW | NAdam) -> None:
    check_number(self, "lr", 0, math.inf)
    _check_betas(self)
    check_number(self, "eps", 0, math.inf, open_low=True)
    check_number(self, "weight_decay", 0, math.inf)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam: w <- w - lr m_hat / (sqrt(v_hat) + eps). Source: Kingma & Ba 2014; torch.optim.Adam.

    weight_decay adds weight_decay * w to the gradient, as torch does.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_adam(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SklearnAdam(Adam):
    """Adam of scikit-learn's estimators: eps is added to sqrt(v) before its bias is corrected, as at the end of the paper's section 2."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled decay: w <- w (1 - lr weight_decay) before the step. Source: Loshchilov & Hutter 2017.

    The default weight_decay is torch's; `manynets train` takes 0.1.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        _check_adam(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NAdam:
    """Adam with Nesterov momentum. Source: Dozat 2016; torch.optim.NAdam (momentum_decay 0.004)."""

    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_adam(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RMSprop:
    """RMSprop: v <- alpha v + (1 - alpha) g^2; w <- w - lr g / (sqrt(v) + eps). Source: Hinton 2012; torch.optim.RMSprop."""

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "lr", 0, math.inf)
        check_number(self, "alpha", 0, 1, open_high=True)
        check_number(self, "eps", 0, math.inf, open_low=True)
        check_number(self, "momentum", 0, 1, open_high=True)
        check_number(self, "weight_decay", 0, math.inf)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adagrad:
    """Adagrad: s <- s + g^2; w <- w - lr g / (sqrt(s) + eps). Source: Duchi et al. 2011; torch.optim.Adagrad."""

    lr: float = 1e-2
    eps: float = 1e-10
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "lr", 0, math.inf)
        check_number(self, "eps", 0, math.inf, open_low=True)
        check_number(self, "weight_decay", 0, math.inf)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lion:
    """Lion: w <- w (1 - lr weight_decay) - lr sign(beta1 m + (1 - beta1) g); then m <- beta2 m + (1 - beta2) g.

    Every weight moves by lr, so lr is a third to a tenth of Adam's, and weight_decay as much larger. Source: Chen et al. 2023.
    """

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "lr", 0, math.inf)
        _check_betas(self)
        check_number(self, "weight_decay", 0, math.inf)


Optimizer: TypeAlias = SGD | Adam | AdamW | NAdam | RMSprop | Adagrad | Lion
