"""The specification: what a network is (`MLP`) and how it is trained (`Recipe`), as data that knows no torch.

Frozen, keyword-only dataclasses that check themselves, turn into JSON and back, and are compared and hashed by value.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias, get_args

from manynets.errors import OptionError, one_of
from manynets.fields import check_bool, check_device, check_integer, check_number, check_option, made_plain, plain, plain_tuple
from manynets.optimizers import SGD, Adagrad, Adam, AdamW, Lion, NAdam, Optimizer, RMSprop, SklearnAdam, SklearnSGD
from manynets.renames import renamed

__all__ = [
    "MLP",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "EarlyStopping",
    "Exponential",
    "Init",
    "InverseScaling",
    "Lion",
    "NAdam",
    "OneCycle",
    "Optimizer",
    "ParameterGroup",
    "RMSprop",
    "Recipe",
    "ReduceOnPlateau",
    "Schedule",
    "StepDecay",
    "Warmup",
    "from_json",
    "to_json",
]

Activation: TypeAlias = Literal[
    "identity", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid", "softplus", "hard_swish"
]
Init: TypeAlias = Literal[
    "torch",
    "normal_fan_in",
    "randn_sqrt_fan_in",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "lecun_normal",
    "orthogonal",
]
LossName: TypeAlias = Literal[
    "squared_error", "half_squared_error", "absolute_error", "huber", "poisson", "quantile", "cross_entropy", "log_loss"
]
GradientName: TypeAlias = Literal["auto", "compiled", "closed_form", "autograd"]
Precision: TypeAlias = Literal["full", "tf32", "bf16"]
DType: TypeAlias = Literal["float32", "float64"]


# ---------------------------------------------------------------------------------------------------------------- network


@dataclasses.dataclass(frozen=True, kw_only=True)
class MLP:
    """A feed-forward network: per hidden layer linear, batch norm, activation, dropout; then a linear output layer.

    hidden: units of each hidden layer; () is a linear model (logistic regression for classes).
    activation: of every hidden layer.
    dropout: probability in [0, 1) that a hidden unit is dropped in a training step, one number or one per hidden layer.
    input_dropout: the same for the input columns.
    batch_norm: normalise each hidden unit over the batch before the activation (momentum 0.1, eps 1e-5, as torch).
    init: how weights start; see `manynets.nn.initial`.
    bias: whether linear layers have one.
    input_scale: multiply each input column by a learned factor, which starts at 1 and usually gets a large learning rate
        (`ParameterGroup`); columns that say nothing fade. Source: Holzmueller et al. 2024, RealMLP's scaling layer.

    >>> MLP(hidden=(512, 512), dropout=0.2).dropouts
    (0.2, 0.2)
    """

    hidden: tuple[int, ...] = (256, 256)
    activation: Activation = "relu"
    dropout: float | tuple[float, ...] = 0.0
    input_dropout: float = 0.0
    batch_norm: bool = False
    init: Init = "torch"
    bias: bool = True
    input_scale: bool = False

    def __post_init__(self) -> None:
        one = isinstance(self.hidden, numbers.Integral)
        hidden = (plain(self.hidden),) if one else plain_tuple(self, "hidden")
        object.__setattr__(self, "hidden", hidden)
        for units in hidden:
            if isinstance(units, bool) or not isinstance(units, int) or units < 1:
                raise OptionError(f"MLP.hidden is {hidden!r}, but every hidden layer needs a whole number of at least 1 unit")
        check_option(self, "activation", Activation)
        check_option(self, "init", Init)
        check_number(self, "input_dropout", 0, 1, open_high=True)
        check_bool(self, "batch_norm")
        check_bool(self, "bias")
        check_bool(self, "input_scale")
        if not isinstance(made_plain(self, "dropout"), int | float):
            object.__setattr__(self, "dropout", plain_tuple(self, "dropout"))
        for rate in self.dropouts:
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
                raise OptionError(f"MLP.dropout is {self.dropout!r}, but a probability must be in [0, 1)")
        if len(self.dropouts) != len(hidden):
            raise OptionError(
                f"MLP.dropout has {len(self.dropouts)} numbers for {len(hidden)} hidden layers; give one, or one each"
            )

    @property
    def dropouts(self) -> tuple[float, ...]:
        """The dropout probability of each hidden layer."""
        if isinstance(self.dropout, tuple):
            return self.dropout
        return (self.dropout,) * len(self.hidden)


# --------------------------------------------------------------------------------------------------------------- schedules


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant:
    """The optimizer's lr throughout."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cosine:
    """lr falls along half a cosine from lr to final * lr over all steps, after a linear warm-up over a share of them.

    Source: Loshchilov & Hutter 2016.
    """

    final: float = 0.0
    warmup: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "final", 0, 1)
        check_number(self, "warmup", 0, 1, open_high=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneCycle:
    """lr rises along a cosine from lr / start_factor to lr over a share `rise` of the steps, then falls to (lr / start_factor) / final_factor.

    Source: Smith & Topin 2017; torch.optim.lr_scheduler.OneCycleLR with cycle_momentum=False and max_lr = lr.
    """

    rise: float = 0.3
    start_factor: float = 25.0
    final_factor: float = 1e4

    def __post_init__(self) -> None:
        check_number(self, "rise", 0, 1, open_low=True, open_high=True)
        check_number(self, "start_factor", 1, math.inf)
        check_number(self, "final_factor", 1, math.inf)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Warmup:
    """lr rises linearly from lr / steps to lr over the first `steps` steps, then stays."""

    steps: int = 1000

    def __post_init__(self) -> None:
        check_integer(self, "steps", 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepDecay:
    """lr is multiplied by gamma after every `every` epochs. Source: torch.optim.lr_scheduler.StepLR."""

    every: int = 10
    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_integer(self, "every", 1)
        check_number(self, "gamma", 0, 1, open_low=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exponential:
    """lr is multiplied by gamma after every epoch. Source: torch.optim.lr_scheduler.ExponentialLR."""

    gamma: float = 0.95

    def __post_init__(self) -> None:
        check_number(self, "gamma", 0, 1, open_low=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InverseScaling:
    """lr is divided by (1 + epochs made)^power at the start of an epoch: lr / (1 + epoch)^power."""

    power: float = 0.5

    def __post_init__(self) -> None:
        check_number(self, "power", 0, math.inf)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SklearnInverseScaling(InverseScaling):
    """InverseScaling of scikit-learn's estimators, by rows in place of epochs: lr / (1 + start + epoch * rows)^power.

    rows: rows of an epoch. start: rows seen before this training. Source: scikit-learn's learning_rate="invscaling".
    """

    rows: int = 1
    start: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer(self, "rows", 1)
        check_integer(self, "start", 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReduceOnPlateau:
    """lr is multiplied by factor once the watched loss has not fallen by min_delta for more than `patience` evaluations.

    The watched loss is that of validation, or of training where there is none.
    Source: torch.optim.lr_scheduler.ReduceLROnPlateau (threshold_mode="abs", cooldown 0).
    """

    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "factor", 0, 1, open_low=True, open_high=True)
        check_integer(self, "patience", 0)
        check_number(self, "min_delta", 0, math.inf)
        check_number(self, "min_lr", 0, math.inf)


Schedule: TypeAlias = Constant | Cosine | OneCycle | Warmup | StepDecay | Exponential | InverseScaling | ReduceOnPlateau


@dataclasses.dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop once the watched figure has not beaten its best by more than min_delta for `patience` evaluations in a row.

    The watched figure (`Recipe.watch`) is that of validation, or of training where there is none.
    inclusive: a gain of exactly min_delta is enough.
    factor: with a number, lr is multiplied by it and patience starts anew, instead of stopping, while lr is above min_lr.
    cool_down: with a number, training ends in another way: the best weights come back, and lr falls in a line from what it was there to 0.
        That takes this share of the steps made up to the best weights, at least 8 % and at most 40 % of all steps. Where patience ends
        after four fifths of the steps, training goes on to its end.
    shared: networks that differ in their seeds and rows only, as in an ensemble, are judged by the mean of what they watch, so that all
        keep the weights of the same step.
    """

    patience: int = 10
    min_delta: float = 0.0
    inclusive: bool = False
    factor: float | None = None
    min_lr: float = 0.0
    cool_down: float | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        check_bool(self, "shared")
        if self.cool_down is not None:
            check_number(self, "cool_down", 0, math.inf, open_low=True)
            if self.factor is not None:
                raise OptionError(f"EarlyStopping has cool_down={self.cool_down} and factor={self.factor}; give one of the two")
        check_integer(self, "patience", 1)
        check_number(self, "min_delta", 0, math.inf)
        check_bool(self, "inclusive")
        if self.factor is not None:
            check_number(self, "factor", 0, 1, open_low=True, open_high=True)
        check_number(self, "min_lr", 0, math.inf)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Parameters that learn at a rate of their own. Source: the parameter groups of torch.optim.

    names: which ones, by a pattern such as "*.bias", "hidden0.weight" or "input_scale.weight" (`fnmatch`).
    lr_factor: what their learning rate is multiplied by. decay_factor: the same for the optimizer's weight_decay.

    >>> ParameterGroup(names="*.bias", lr_factor=0.1, decay_factor=0.0)
    ParameterGroup(names='*.bias', lr_factor=0.1, decay_factor=0.0)
    """

    names: str
    lr_factor: float = 1.0
    decay_factor: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.names, str) or not self.names:
            raise OptionError(f"ParameterGroup.names is {self.names!r}, but must be a pattern of parameter names, such as '*.bias'")
        check_number(self, "lr_factor", 0, math.inf)
        check_number(self, "decay_factor", 0, math.inf)


# ----------------------------------------------------------------------------------------------------------------- recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained.

    optimizer, schedule: see their classes.
    groups: ParameterGroups, whose parameters have learning rates of their own; the first whose pattern fits a parameter counts.
    epochs or iterations: how long; one pass over the rows, or one step. Neither given: 20 epochs.
    evaluate_every: iterations between two entries of the history; None: once an epoch.
    batch_size: rows a step; None: 128, or all rows where there are fewer.
    l1, l2: the objective is the loss + l1 * sum |w| + l2 / 2 * sum w^2 over the weight matrices (not the biases).
    label_smoothing: the share of a class label that is spread over all classes.
    clip_norm: the largest Euclidean norm of a network's whole gradient; None: any.
    shuffle: visit the rows in a new order each epoch.
    stopping: EarlyStopping, or None to run to the end.
    keep: the weights that are returned: "best" on validation (where there is none: the last), or "last".
    watch: what the best weights, stopping and ReduceOnPlateau go by: the "loss", the task's "metric" (accuracy, R2), or the
        "objective" (loss and penalties on the training rows, even where there is a validation set).
    loss: None for the task's own (squared error, or cross-entropy), or a name; quantile and delta are for
        loss="quantile" (the quantile that is predicted) and loss="huber" (where squared turns absolute, in units of the
        standardised target).
    seed: of the initial weights, the order of rows, dropout and a validation split.
    device: "auto" (CUDA if there is one, else CPU), "cpu", "cuda" or "cuda:N".
    dtype: of weights and data; precision: "full", or "tf32" or "bf16" for the matrix products on CUDA.
    gradient: how steps are made, with the same results up to rounding: "compiled" (the compiled core, on the CPU), "closed_form" (the
        gradient written out in torch), "autograd" (any module); "auto" chooses by shape, batch size, dtype and device.
    """

    optimizer: Optimizer = dataclasses.field(default_factory=AdamW)
    schedule: Schedule = dataclasses.field(default_factory=Constant)
    groups: tuple[ParameterGroup, ...] = ()
    epochs: int | None = None
    iterations: int | None = None
    evaluate_every: int | None = None
    batch_size: int | None = None
    l1: float = 0.0
    l2: float = 0.0
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    shuffle: bool = True
    stopping: EarlyStopping | None = None
    keep: Literal["best", "last"] = "best"
    watch: Literal["loss", "metric", "objective"] = "loss"
    loss: LossName | None = None
    quantile: float = 0.5
    delta: float = 1.0
    seed: int = 0
    device: str = "auto"
    dtype: DType = "float32"
    precision: Precision = "full"
    gradient: GradientName = "auto"

    def __post_init__(self) -> None:
        for name, union in (("optimizer", Optimizer), ("schedule", Schedule), ("stopping", EarlyStopping | None)):
            value = getattr(self, name)
            if not isinstance(value, get_args(union)):
                kinds = ", ".join(kind.__name__ for kind in get_args(union) if kind is not type(None))
                raise OptionError(f"Recipe.{name} is {value!r}, but must be an instance of {kinds}")
        object.__setattr__(
            self, "groups", (self.groups,) if isinstance(self.groups, ParameterGroup) else plain_tuple(self, "groups")
        )
        for group in self.groups:
            if not isinstance(group, ParameterGroup):
                raise OptionError(
                    f"Recipe.groups holds {group!r}, but must hold ParameterGroups, such as ParameterGroup(names='*.bias')"
                )
        for name in ("epochs", "iterations", "evaluate_every", "batch_size"):
            if getattr(self, name) is not None:
                check_integer(self, name, 1)
        if self.epochs is not None and self.iterations is not None:
            raise OptionError(f"Recipe has epochs={self.epochs} and iterations={self.iterations}; give one of the two")
        for name in ("l1", "l2"):
            check_number(self, name, 0, math.inf)
        check_number(self, "label_smoothing", 0, 1, open_high=True)
        if self.clip_norm is not None:
            check_number(self, "clip_norm", 0, math.inf, open_low=True)
        check_number(self, "quantile", 0, 1, open_low=True, open_high=True)
        check_number(self, "delta", 0, math.inf, open_low=True)
        check_integer(self, "seed", 0)
        check_bool(self, "shuffle")
        if self.loss is not None:
            check_option(self, "loss", LossName)
        for name, literal in (("dtype", DType), ("precision", Precision), ("gradient", GradientName)):
            check_option(self, name, literal)
        one_of(self.keep, ("best", "last"), what="Recipe.keep")
        one_of(self.watch, ("loss", "metric", "objective"), what="Recipe.watch")
        check_device(self.device, what="Recipe.device")

    def factors(self, parameter: str) -> tuple[float, float]:
        """Return what learning rate and weight decay of a parameter are multiplied by (`groups`).

        >>> Recipe(groups=ParameterGroup(names="*.bias", lr_factor=0.1)).factors("output.bias")
        (0.1, 1.0)
        """
        found = next((group for group in self.groups if fnmatchcase(parameter, group.names)), None)
        return (1.0, 1.0) if found is None else (found.lr_factor, found.decay_factor)

    @property
    def lr(self) -> float:
        """The optimizer's learning rate, before the schedule."""
        return self.optimizer.lr


# ------------------------------------------------------------------------------------------------------------------- JSON

_CLASSES: dict[str, type] = {
    kind.__name__: kind for kind in (MLP, Recipe, EarlyStopping, ParameterGroup, *get_args(Optimizer), *get_args(Schedule))
}
_SKLEARN: dict[str, type] = {kind.__name__: kind for kind in (SklearnSGD, SklearnAdam, SklearnInverseScaling)}  # of the estimators
_KINDS = _CLASSES | _SKLEARN


def to_json(value: Any) -> dict[str, Any]:
    """Return a specification as a dict of JSON types, its class under "kind".

    >>> to_json(SGD(lr=0.1))
    {'kind': 'SGD', 'lr': 0.1, 'momentum': 0.0, 'nesterov': False, 'weight_decay': 0.0}
    """
    kind = type(value).__name__
    if _KINDS.get(kind) is not type(value):
        raise OptionError(f"{value!r} is no specification; one of {', '.join(_CLASSES)} was expected")
    out: dict[str, Any] = {"kind": kind}
    for field in dataclasses.fields(_KINDS[kind]):
        item = getattr(value, field.name)
        if dataclasses.is_dataclass(item):
            item = to_json(item)
        elif isinstance(item, tuple):
            item = [to_json(part) if dataclasses.is_dataclass(part) else part for part in item]
        out[field.name] = item
    return out


def from_json(data: Mapping[str, Any]) -> Any:
    """Return the specification that `to_json` wrote; every name and value is checked, unknown ones are an OptionError.

    The names of version 0.1 are read as those of today.

    >>> from_json({"kind": "SGD", "lr": 0.1})
    SGD(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)
    """
    if not isinstance(data, Mapping):
        raise OptionError(f"a specification is {data!r}, but must be a JSON object with a 'kind'")
    data = renamed(data)
    name = data.get("kind")
    kind = (
        _SKLEARN[name]
        if isinstance(name, str) and name in _SKLEARN
        else _CLASSES[one_of(name, _CLASSES, what="kind of a specification")]
    )
    names = [field.name for field in dataclasses.fields(kind)]
    arguments: dict[str, Any] = {}
    for key, item in data.items():
        if key == "kind":
            continue
        one_of(key, names, what=f"field of {kind.__name__}")
        if isinstance(item, Mapping):
            item = from_json(item)
        elif isinstance(item, list):
            item = tuple(from_json(part) if isinstance(part, Mapping) else part for part in item)
        arguments[key] = item
    try:
        return kind(**arguments)
    except (TypeError, AttributeError) as error:  # a value of a type that the checks did not foresee
        raise OptionError(f"{kind.__name__} cannot be made of {dict(data)!r}: {error}") from error
