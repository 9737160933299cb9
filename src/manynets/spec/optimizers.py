"""Optimizers as data; `manynets.optim` makes their steps."""

from __future__ import annotations

from typing import Any, TypeAlias

from manynets.errors import OptionError
from manynets.spec.metadata import ABOVE_ZERO, BELOW_ONE, NOT_NEGATIVE, SearchRange, check_fields, plain_tuple, setting, specified


def _lr(default: float) -> Any:
    return setting(
        default,
        help="Learning rate; the highest one of a schedule",
        allowed=NOT_NEGATIVE,
        metavar="RATE",
        panel="Training",
        search=SearchRange(low=0.25, high=4.0, log=True, relative=True),
    )


def _momentum() -> Any:
    return setting(0.0, help="Momentum", allowed=BELOW_ONE, metavar="M")


def _betas(second: float = 0.999) -> Any:
    help = "Decay rates of the running means of the gradient and of its square (lion: for the step, and of the running mean)"
    return setting((0.9, second), help=help, allowed=BELOW_ONE, several=True, metavar="B,B")


def _eps(default: float = 1e-8) -> Any:
    return setting(default, help="Added to the denominator, against division by 0", allowed=ABOVE_ZERO, metavar="E")


def _weight_decay(default: float = 0.0) -> Any:
    search = SearchRange(low=0.1, high=10.0, log=True, relative=True)
    return setting(default, help="Weight decay", allowed=NOT_NEGATIVE, metavar="C", search=search)


@specified
class SGD:
    """Stochastic gradient descent: v <- momentum v + g; w <- w - lr v (Nesterov: w - lr (g + momentum v)).

    weight_decay adds weight_decay * w to the gradient. Source: torch.optim.SGD, dampening 0.

    >>> SGD(lr=0.1, momentum=0.9, nesterov=True)
    SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.0)
    """

    lr: float = _lr(0.01)
    momentum: float = _momentum()
    nesterov: bool = setting(False, help="Use Nesterov momentum", allowed=bool)
    weight_decay: float = _weight_decay()

    def __post_init__(self) -> None:
        check_fields(self)
        if self.nesterov and self.momentum == 0:
            raise OptionError("SGD.nesterov needs a momentum above 0, for example momentum=0.9")


@specified
class SklearnSGD(SGD):
    """SGD as in scikit-learn's estimators: v <- momentum v + lr g; w <- w - v (Nesterov: w - lr g - momentum v).

    It differs from SGD only where lr changes. Source: Sutskever et al. 2013; Keras does the same.

    >>> SklearnSGD(momentum=0.9)
    SklearnSGD(lr=0.01, momentum=0.9, nesterov=False, weight_decay=0.0)
    """


def _check_betas(owner: Adam | AdamW | NAdam | Lion) -> None:
    check_fields(owner)
    object.__setattr__(owner, "betas", plain_tuple(owner, "betas"))
    if len(owner.betas) != 2 or not all(beta in BELOW_ONE for beta in owner.betas):
        raise OptionError(f"{type(owner).__name__}.betas is {owner.betas!r}, but must be two numbers in [0, 1)")


@specified
class Adam:
    """Adam: w <- w - lr m_hat / (sqrt(v_hat) + eps). Source: Kingma & Ba 2014; torch.optim.Adam.

    weight_decay adds weight_decay * w to the gradient, as in torch.

    >>> Adam(lr=0.01)
    Adam(lr=0.01, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)
    """

    lr: float = _lr(1e-3)
    betas: tuple[float, float] = _betas()
    eps: float = _eps()
    weight_decay: float = _weight_decay()

    def __post_init__(self) -> None:
        _check_betas(self)


@specified
class SklearnAdam(Adam):
    """Adam as in scikit-learn's estimators: eps is added to sqrt(v) before its bias is corrected, as at the end of the paper's section 2.

    >>> SklearnAdam()
    SklearnAdam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)
    """


@specified
class AdamW:
    """Adam with decoupled decay: w <- w (1 - lr weight_decay) before the step. Source: Loshchilov & Hutter 2017; torch.optim.AdamW.

    >>> AdamW(weight_decay=0.1)
    AdamW(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.1)
    """

    lr: float = _lr(1e-3)
    betas: tuple[float, float] = _betas()
    eps: float = _eps()
    weight_decay: float = _weight_decay(0.01)

    def __post_init__(self) -> None:
        _check_betas(self)


@specified
class NAdam:
    """Adam with Nesterov momentum. Source: Dozat 2016; torch.optim.NAdam (momentum_decay 0.004).

    >>> NAdam()
    NAdam(lr=0.002, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)
    """

    lr: float = _lr(2e-3)
    betas: tuple[float, float] = _betas()
    eps: float = _eps()
    weight_decay: float = _weight_decay()

    def __post_init__(self) -> None:
        _check_betas(self)


@specified
class RMSprop:
    """RMSprop: v <- alpha v + (1 - alpha) g^2; w <- w - lr g / (sqrt(v) + eps). Source: Hinton 2012; torch.optim.RMSprop.

    >>> RMSprop(alpha=0.9)
    RMSprop(lr=0.01, alpha=0.9, eps=1e-08, momentum=0.0, weight_decay=0.0)
    """

    lr: float = _lr(1e-2)
    alpha: float = setting(0.99, help="Decay rate of the running mean of the squared gradient", allowed=BELOW_ONE, metavar="A")
    eps: float = _eps()
    momentum: float = _momentum()
    weight_decay: float = _weight_decay()


@specified
class Adagrad:
    """Adagrad: s <- s + g^2; w <- w - lr g / (sqrt(s) + eps). Source: Duchi et al. 2011; torch.optim.Adagrad.

    >>> Adagrad()
    Adagrad(lr=0.01, eps=1e-10, weight_decay=0.0)
    """

    lr: float = _lr(1e-2)
    eps: float = _eps(1e-10)
    weight_decay: float = _weight_decay()


@specified
class Lion:
    """Lion: w <- w (1 - lr weight_decay) - lr sign(beta1 m + (1 - beta1) g); then m <- beta2 m + (1 - beta2) g.

    Every weight moves by lr, so lr is a third to a tenth of Adam's, and weight_decay as much larger. Source: Chen et al. 2023.

    >>> Lion()
    Lion(lr=0.0001, betas=(0.9, 0.99), weight_decay=0.0)
    """

    lr: float = _lr(1e-4)
    betas: tuple[float, float] = _betas(0.99)
    weight_decay: float = _weight_decay()

    def __post_init__(self) -> None:
        _check_betas(self)


Optimizer: TypeAlias = SGD | Adam | AdamW | NAdam | RMSprop | Adagrad | Lion

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "lion": Lion,
}
"""The optimizers by the names that options use."""
