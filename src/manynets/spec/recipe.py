"""The training of a network as data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

from manynets.errors import OptionError
from manynets.spec.metadata import (
    ABOVE_ZERO,
    AT_LEAST_ONE,
    AT_LEAST_ZERO,
    BELOW_ONE,
    LENGTH,
    NOT_NEGATIVE,
    Interval,
    SearchRange,
    check_device,
    check_fields,
    plain_number,
    plain_tuple,
    setting,
    specified,
)
from manynets.spec.optimizers import AdamW, Optimizer
from manynets.spec.own import is_own
from manynets.spec.ported import check_loss, check_watch, no_part
from manynets.spec.schedules import INSIDE, Constant, Schedule

LossName: TypeAlias = Literal[
    "squared_error", "half_squared_error", "absolute_error", "huber", "poisson", "quantile", "cross_entropy", "log_loss"
]
GradientName: TypeAlias = Literal["auto", "compiled", "closed_form", "autograd"]
Precision: TypeAlias = Literal["full", "tf32", "bf16"]
DType: TypeAlias = Literal["float32", "float64"]

MetricName: TypeAlias = Literal["accuracy", "f1", "log_loss", "roc_auc", "r2", "rmse", "mae"]
METRICS = get_args(MetricName)
"""The metrics that a training can watch (`Recipe.watch`); `Task.measure` computes them."""
WATCHED = ("loss", "metric", "objective", *METRICS)
"""What `Recipe.watch` may be."""
LOWER_IS_BETTER = ("log_loss", "rmse", "mae")
"""Those for which lower is better."""


def goes_by_name(watch: str) -> bool:
    """Return whether `Recipe.watch` is a metric by its name, or the name of a function of the user's own."""
    return watch in METRICS or is_own(watch)


def score_or_worst(score: float, *, metric: str, stopped: str) -> float:
    """Return a score by a metric; of a training that failed or diverged the worst possible one, so that its last finite weights do not win.

    >>> score_or_worst(0.5, metric="r2", stopped="done"), score_or_worst(0.5, metric="r2", stopped="diverged")
    (0.5, -inf)
    """
    if stopped not in ("failed", "diverged"):
        return score
    return math.inf if metric in LOWER_IS_BETTER else -math.inf


EPOCHS = 20
"""The epochs of a recipe that gives neither epochs nor iterations."""
BATCH_SIZE = 128
"""The batch size of a recipe that gives none, where there are as many rows."""

MOST_QUANTILES = 99
"""Quantiles that one network may predict of each target."""

_TRAINING, _MORE, _LOSS = "Training", "More on training", "Loss and penalties"


@specified
class EarlyStopping:
    """Stop after `patience` evaluations in a row without a new best of the watched value (`Recipe.watch`).

    The watched value is that of validation, or of training where there is none. With a factor, lr is multiplied by it and
    training continues with new patience, instead of stopping, while lr is above min_lr.

    With cool_down the training ends differently: the best weights are restored, and lr falls linearly from its value there to 0. That
    takes this share of the steps made up to the best weights, at least 8% and at most 40% of all steps. Where patience runs out after
    four fifths of the steps, training goes on to its end.

    With shared, networks that differ in their seeds and rows only, as in an ensemble, are judged by the mean of what they watch, so that
    all return to the weights of the same step. With race, ensembles that are trained together compete: from a third of the steps on, one
    stops whose best watched value is more than `race` times that of the best ensemble, a factor that falls in a line to 1 at the end. There
    is no race between values below 0, such as -R2, nor without validation rows.

    >>> EarlyStopping(patience=5, min_delta=1e-4).patience
    5
    """

    patience: int = setting(
        10, help="Stop after this many evaluations without an improvement", allowed=AT_LEAST_ONE, panel=_TRAINING
    )
    min_delta: float = setting(
        0.0, help="A new best must be better by more than this (with patience)", allowed=NOT_NEGATIVE, metavar="D", panel=_MORE
    )
    inclusive: bool = setting(
        False,
        help="Count an improvement of exactly min_delta as a new best (with patience)",
        allowed=bool,
        panel=_MORE,
        searched=False,
    )
    factor: float | None = setting(
        None,
        help="When patience runs out, multiply the learning rate by this instead of stopping",
        allowed=INSIDE,
        option="stop_lr_factor",
        metavar="F",
        panel=_MORE,
        searched=False,
    )
    min_lr: float = setting(
        0.0,
        help="Learning rate at or below which patience stops the training, despite a factor",
        allowed=NOT_NEGATIVE,
        option="stop_min_lr",
        metavar="RATE",
        panel=_MORE,
        searched=False,
    )
    cool_down: float | None = setting(
        None,
        help="When patience runs out, return to the best weights and lower the learning rate to 0 over this share of the steps up to them",
        allowed=ABOVE_ZERO,
        metavar="SHARE",
        panel=_MORE,
        searched=False,
    )
    shared: bool = setting(False, help="Judge the networks of an ensemble by the mean of what they watch", allowed=bool, option="")
    race: float | None = setting(
        None,
        help="Stop an ensemble whose best watched value is more than this many times that of the best ensemble",
        allowed=Interval(1, low_open=True),
        option="",
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.race is not None and not self.shared:
            raise OptionError(f"EarlyStopping has race={self.race}, but only ensembles compete; give shared=True, too")
        if self.cool_down is not None and self.factor is not None:
            raise OptionError(f"EarlyStopping has cool_down={self.cool_down} and factor={self.factor}; give one of the two")


@specified
class ParameterGroup:
    """Parameters with a learning rate of their own. Source: the parameter groups of torch.optim.

    A pattern that matches no parameter of any network that is trained is an OptionError.

    >>> ParameterGroup(names="*.bias", lr_factor=0.1, decay_factor=0.0)
    ParameterGroup(names='*.bias', lr_factor=0.1, decay_factor=0.0)
    """

    names: str = setting(
        dataclasses.MISSING,
        help="Pattern of parameter names, such as '*.bias', 'hidden0.weight' or 'input_scale.weight' (`fnmatch`)",
    )
    lr_factor: float = setting(1.0, help="What their learning rate is multiplied by", allowed=NOT_NEGATIVE)
    decay_factor: float = setting(1.0, help="What their weight decay is multiplied by", allowed=NOT_NEGATIVE)

    def __post_init__(self) -> None:
        if not isinstance(self.names, str) or not self.names:
            raise OptionError(f"ParameterGroup.names is {self.names!r}, but must be a pattern of parameter names, such as '*.bias'")
        check_fields(self)


@specified
class Recipe:
    """How a network is trained.

    The length is given in epochs (passes over the rows) or in iterations (steps). The objective is the loss
    + l1 * sum |w| + l2 / 2 * sum w^2 over the weight matrices, not the biases.
    `watch` is what the best weights, early stopping and ReduceOnPlateau depend on: the loss, the task's metric (accuracy, R2), a metric by its name,
    or the objective on the training rows, even where there is a validation set. f1 is that of the second of two classes, and for more
    classes the mean over them; f1, log_loss, roc_auc (two classes), rmse and mae need validation rows.
    Every `gradient` computes the same steps up to rounding: in the compiled core (on the CPU), by a backward pass written out in
    torch (closed_form), or by autograd (any module). "auto" chooses by shape, batch size, dtype and device.

    >>> from manynets.spec import Adam, Cosine
    >>> recipe = Recipe(optimizer=Adam(lr=0.01), schedule=Cosine(), epochs=50, batch_size=64, stopping=EarlyStopping(patience=5))
    >>> recipe.optimizer.lr, recipe.epochs, recipe.seed
    (0.01, 50, 0)
    """

    optimizer: Optimizer = setting(factory=AdamW, help="Optimizer:", panel=_TRAINING)
    schedule: Schedule = setting(factory=Constant, help="Learning-rate schedule:", panel=_TRAINING)
    groups: tuple[ParameterGroup, ...] = setting(
        (), help="ParameterGroups, of which the first whose pattern matches a parameter counts", several=True, option=""
    )
    epochs: int | None = setting(
        None, help="Passes over the rows", allowed=LENGTH, none=f"{EPOCHS}, or as many as iterations take", panel=_TRAINING
    )
    iterations: int | None = setting(None, help="Length in steps instead of epochs", allowed=LENGTH, panel=_MORE)
    evaluate_every: int | None = setting(
        None,
        help="Steps between two evaluations, the rows of the history",
        allowed=AT_LEAST_ONE,
        none="once an epoch",
        panel=_MORE,
        searched=False,
    )
    batch_size: int | None = setting(
        None,
        help="Rows per step",
        allowed=AT_LEAST_ONE,
        none=f"{BATCH_SIZE}, or all rows where there are fewer",
        panel=_TRAINING,
        search=SearchRange(low=0.5, high=4.0, log=True, relative=True),
    )
    l1: float = setting(
        0.0, help="L1 penalty: add l1 * sum |w| over the weights to the loss", allowed=NOT_NEGATIVE, metavar="C", panel=_LOSS
    )
    l2: float = setting(
        0.0, help="L2 penalty: add l2 / 2 * sum w^2 over the weights to the loss", allowed=NOT_NEGATIVE, metavar="C", panel=_LOSS
    )
    label_smoothing: float = setting(
        0.0, help="Share of each class label that is spread over all classes", allowed=BELOW_ONE, metavar="P", panel=_LOSS
    )
    clip_norm: float | None = setting(
        None,
        help="Largest Euclidean norm of the gradient; longer ones are scaled down",
        allowed=ABOVE_ZERO,
        none="any",
        metavar="L",
        panel=_MORE,
    )
    shuffle: bool = setting(True, help="Whether the rows come in a new order each epoch", allowed=bool, panel=_MORE)
    stopping: EarlyStopping | None = setting(None, help="EarlyStopping", none="train to the end")
    keep: Literal["best", "last"] = setting(
        "best",
        help="Weights to return: best (on validation; without validation the last) or last",
        allowed=("best", "last"),
        metavar="WHICH",
        panel=_MORE,
    )
    watch: Literal["loss", "metric", "objective"] | MetricName | str = setting(
        "loss",
        help="What 'best' means: loss, metric (accuracy, R2), objective (loss and penalties on the training rows), or "
        + ", ".join(METRICS),
        allowed=WATCHED,
        metavar="WHAT",
        panel=_MORE,
    )
    loss: LossName | str | None = setting(
        None,
        help="Loss. For classes: cross_entropy. For numbers: squared_error, half_squared_error, absolute_error, huber, poisson or quantile",
        allowed=get_args(LossName),
        none="cross_entropy for classes, squared_error for numbers",
        panel=_LOSS,
    )
    quantile: float | tuple[float, ...] = setting(
        0.5,
        help="Quantile that the loss 'quantile' predicts, or several in increasing order, such as 0.05,0.5,0.95",
        allowed=INSIDE,
        several=True,
        metavar="Q",
        panel=_LOSS,
    )
    delta: float = setting(
        1.0,
        help="Error at which the loss 'huber' turns from squared to absolute, in standard deviations of the target",
        allowed=ABOVE_ZERO,
        metavar="D",
        panel=_LOSS,
    )
    seed: int = setting(
        0,
        help="Seed of the initial weights, the order of rows, dropout and splits",
        allowed=AT_LEAST_ZERO,
        panel=_TRAINING,
        searched=False,
    )
    device: str = setting(
        "auto", help="Device: auto (CUDA if there is one, else the CPU), cpu, cuda or cuda:N", panel=_TRAINING, searched=False
    )
    dtype: DType = setting("float32", help="Type of weights and data:", allowed=get_args(DType), panel=_MORE, searched=False)
    precision: Precision = setting(
        "full", help="Precision of matrix products on CUDA:", allowed=get_args(Precision), panel=_MORE, searched=False
    )
    gradient: GradientName = setting(
        "auto",
        help="How gradients are computed, with the same results up to rounding:",
        allowed=get_args(GradientName),
        panel=_MORE,
        searched=False,
    )

    def __post_init__(self) -> None:
        for name, union in (("optimizer", Optimizer), ("schedule", Schedule), ("stopping", EarlyStopping | None)):
            value = getattr(self, name)
            if not isinstance(value, get_args(union)):
                raise OptionError(no_part(name, value, [kind for kind in get_args(union) if kind is not type(None)]))
        check_loss(self.loss, get_args(LossName))
        check_watch(self.watch, WATCHED, what="Recipe.watch")
        check_fields(self, besides=("loss", "watch"))
        several = isinstance(self.groups, Iterable) and not isinstance(self.groups, str)
        object.__setattr__(self, "groups", tuple(self.groups) if several else (self.groups,))
        for group in self.groups:
            if not isinstance(group, ParameterGroup):
                raise OptionError(
                    f"Recipe.groups holds {group!r}, but must hold ParameterGroups, such as ParameterGroup(names='*.bias')"
                )
        object.__setattr__(self, "quantile", self._checked_quantile())
        if self.epochs is not None and self.iterations is not None:
            raise OptionError(f"Recipe has epochs={self.epochs} and iterations={self.iterations}; give one of the two")
        check_device(self.device, what="Recipe.device")
        object.__setattr__(self, "device", str(self.device))  # of torch.device, too

    def _checked_quantile(self) -> float | tuple[float, ...]:
        """Return the quantile as a number, or where there are several as a tuple of numbers."""
        one = plain_number(self.quantile)
        levels = (one,) if isinstance(one, bool | int | float | str) or one is None else plain_tuple(self, "quantile")
        for level in levels:
            INSIDE.check(level, what="Recipe.quantile")
        if not 1 <= len(levels) <= MOST_QUANTILES or any(low >= high for low, high in pairwise(levels)):
            raise OptionError(
                f"Recipe.quantile is {self.quantile!r}, but must be a number, or up to {MOST_QUANTILES} numbers in increasing order,"
                " each once, such as (0.05, 0.5, 0.95)"
            )
        if len(levels) > 1 and self.loss != "quantile":
            raise OptionError(
                f"Recipe.quantile is {self.quantile!r}, which only the loss 'quantile' predicts; give loss='quantile', not {self.loss!r}"
            )
        return levels if len(levels) > 1 else levels[0]

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantiles that each network predicts, where these are several; () where it predicts one number.

        >>> Recipe(loss="quantile", quantile=(0.1, 0.9)).quantiles, Recipe(loss="quantile", quantile=0.9).quantiles
        ((0.1, 0.9), ())
        """
        return self.quantile if isinstance(self.quantile, tuple) else ()

    def factors(self, parameter: str) -> tuple[float, float]:
        """Return the factors of the learning rate and the weight decay of a parameter (`groups`).

        >>> Recipe(groups=ParameterGroup(names="*.bias", lr_factor=0.1)).factors("output.bias")
        (0.1, 1.0)
        """
        found = next((group for group in self.groups if fnmatchcase(parameter, group.names)), None)
        return (1.0, 1.0) if found is None else (found.lr_factor, found.decay_factor)

    @property
    def lr(self) -> float:
        """The optimizer's learning rate, before the schedule."""
        return self.optimizer.lr
