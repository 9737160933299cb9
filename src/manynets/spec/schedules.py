"""Learning-rate schedules as data; `manynets.schedules` computes their factors."""

from __future__ import annotations

import itertools
import numbers
from typing import TypeAlias

from manynets.errors import OptionError
from manynets.spec.metadata import (
    AT_LEAST_ONE,
    AT_LEAST_ZERO,
    BELOW_ONE,
    NOT_NEGATIVE,
    SHARE,
    Interval,
    plain_tuple,
    setting,
    specified,
)

DECAY = Interval(0, 1, low_open=True)
INSIDE = Interval(0, 1, low_open=True, high_open=True)
FACTOR = Interval(1)


@specified
class Constant:
    """The optimizer's lr throughout.

    >>> Constant()
    Constant()
    """


@specified
class Cosine:
    """lr falls along half a cosine from lr to final * lr over all steps, after a linear warm-up over a share of them.

    Source: Loshchilov & Hutter 2016.

    >>> Cosine(warmup=0.1)
    Cosine(final=0.0, warmup=0.1)
    """

    final: float = setting(0.0, help="Final learning rate, as a share of lr", allowed=SHARE, option="lr_final", metavar="SHARE")
    warmup: float = setting(0.0, help="Share of the steps that warms up", allowed=BELOW_ONE, metavar="SHARE")


@specified
class OneCycle:
    """lr rises along a cosine from lr / start_factor to lr over a share `rise` of the steps, then falls to (lr / start_factor) / final_factor.

    Source: Smith & Topin 2017; torch.optim.lr_scheduler.OneCycleLR with cycle_momentum=False and max_lr = lr.

    >>> OneCycle(rise=0.2)
    OneCycle(rise=0.2, start_factor=25.0, final_factor=10000.0)
    """

    rise: float = setting(0.3, help="Share of the steps before the peak", allowed=INSIDE, option="lr_rise", metavar="SHARE")
    start_factor: float = setting(
        25.0, help="Peak learning rate divided by the initial one", allowed=FACTOR, option="lr_start_factor", metavar="F"
    )
    final_factor: float = setting(
        1e4, help="Initial learning rate divided by the final one", allowed=FACTOR, option="lr_final_factor", metavar="F"
    )


@specified
class Warmup:
    """lr rises linearly from lr / steps to lr over the first `steps` steps, then stays.

    >>> Warmup(steps=500)
    Warmup(steps=500)
    """

    steps: int = setting(1000, help="Steps until lr is reached", allowed=AT_LEAST_ONE, option="warmup_steps")


@specified
class StepDecay:
    """lr is multiplied by gamma after every `every` epochs. Source: torch.optim.lr_scheduler.StepLR.

    >>> StepDecay(every=5)
    StepDecay(every=5, gamma=0.1)
    """

    every: int = setting(10, help="Epochs between two reductions", allowed=AT_LEAST_ONE, option="lr_every")
    gamma: float = setting(0.1, help="Factor of a reduction", allowed=DECAY, option="lr_gamma", metavar="F")


@specified
class Exponential:
    """lr is multiplied by gamma after every epoch. Source: torch.optim.lr_scheduler.ExponentialLR.

    >>> Exponential(gamma=0.9)
    Exponential(gamma=0.9)
    """

    gamma: float = setting(0.95, help="Factor of a reduction", allowed=DECAY, option="lr_gamma", metavar="F")


@specified
class InverseScaling:
    """lr is divided by (1 + epochs so far)^power at the start of an epoch: lr / (1 + epoch)^power.

    >>> InverseScaling()
    InverseScaling(power=0.5)
    """

    power: float = setting(
        0.5,
        help="Exponent of the divisor of lr, which grows with the training",
        allowed=NOT_NEGATIVE,
        option="lr_power",
        metavar="P",
    )


@specified
class SklearnInverseScaling(InverseScaling):
    """InverseScaling as in scikit-learn's estimators, by rows in place of epochs: lr / (1 + start + epoch * rows)^power.

    Source: scikit-learn's learning_rate="invscaling".

    >>> SklearnInverseScaling(rows=100)
    SklearnInverseScaling(power=0.5, rows=100, start=0)
    """

    rows: int = setting(1, help="Rows of an epoch", allowed=AT_LEAST_ONE)
    start: int = setting(0, help="Rows seen before this training", allowed=AT_LEAST_ZERO)


@specified
class PiecewiseConstant:
    """lr up to step steps[0], then factors[0] * lr up to step steps[1], and so on. Steps are counted from 0.

    Source: torch.optim.lr_scheduler.MultiStepLR, stepped after each batch, with a factor of lr for each milestone.

    >>> PiecewiseConstant(steps=(500, 800), factors=(0.1, 0.01))
    PiecewiseConstant(steps=(500, 800), factors=(0.1, 0.01))
    """

    steps: tuple[int, ...] = setting(
        (1000,),
        help="First steps with another learning rate",
        allowed=AT_LEAST_ZERO,
        several=True,
        option="lr_steps",
        metavar="N,N",
        searched=False,
    )
    factors: tuple[float, ...] = setting(
        (0.1,),
        help="What lr is multiplied by from each of them on",
        allowed=NOT_NEGATIVE,
        several=True,
        option="lr_factors",
        metavar="F,F",
        searched=False,
    )

    def __post_init__(self) -> None:
        for name, allowed in (("steps", AT_LEAST_ZERO), ("factors", NOT_NEGATIVE)):
            if isinstance(getattr(self, name), numbers.Real):
                object.__setattr__(self, name, (getattr(self, name),))
            object.__setattr__(self, name, plain_tuple(self, name))
            for value in getattr(self, name):
                allowed.check(value, what=f"PiecewiseConstant.{name}")
        if not self.steps or len(self.steps) != len(self.factors):
            raise OptionError(
                f"PiecewiseConstant.factors is {self.factors}, but must have as many numbers as steps, {len(self.steps)}, and at least one"
            )
        if any(first >= second for first, second in itertools.pairwise(self.steps)):
            raise OptionError(f"PiecewiseConstant.steps is {self.steps}, but each step must be larger than the one before")


@specified
class ReduceOnPlateau:
    """lr is multiplied by factor once the watched loss has not fallen by min_delta for more than `patience` evaluations.

    The watched loss is that of validation, or of training where there is none.
    Source: torch.optim.lr_scheduler.ReduceLROnPlateau (threshold_mode="abs", cooldown 0).

    >>> ReduceOnPlateau(factor=0.5, patience=5)
    ReduceOnPlateau(factor=0.5, patience=5, min_delta=0.0001, min_lr=0.0)
    """

    factor: float = setting(0.1, help="Factor of a reduction", allowed=INSIDE, option="lr_factor", metavar="F")
    patience: int = setting(
        10, help="Evaluations without improvement before a reduction", allowed=AT_LEAST_ZERO, option="lr_patience"
    )
    min_delta: float = setting(
        1e-4,
        help="Smallest fall of the loss that counts as an improvement",
        allowed=NOT_NEGATIVE,
        option="lr_min_delta",
        metavar="D",
    )
    min_lr: float = setting(0.0, help="Smallest learning rate", allowed=NOT_NEGATIVE, option="lr_min", metavar="RATE")


Schedule: TypeAlias = (
    Constant | Cosine | OneCycle | Warmup | StepDecay | Exponential | InverseScaling | PiecewiseConstant | ReduceOnPlateau
)

SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "one-cycle": OneCycle,
    "warmup": Warmup,
    "step": StepDecay,
    "exponential": Exponential,
    "inverse-scaling": InverseScaling,
    "piecewise": PiecewiseConstant,
    "plateau": ReduceOnPlateau,
}
"""The schedules by the names that options use."""
