"""Check scikit-learn's parameters, and translate them into the specification and recipe of manynets."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from manynets import rng
from manynets import spec as s
from manynets.errors import OptionError, one_of
from manynets.nn.initial import initial_embedding, initial_parameters
from manynets.nn.shape import Shape
from manynets.spec import SklearnAdam, SklearnSGD
from manynets.spec.metadata import ABOVE_ZERO, AT_LEAST_ONE, BELOW_ONE, Interval
from manynets.spec.options import allowed_values
from manynets.tables.scaling import SCALINGS
from manynets.train_arguments import check_callbacks
from manynets.training.checkpoint import Checkpoint
from manynets.training.groups import check_fits

ACTIVATIONS: dict[str, s.Activation] = {"logistic": "sigmoid", **{name: name for name in get_args(s.Activation)}}

SCHEDULES: dict[str, Callable[[], s.Schedule]] = {
    "cosine": s.Cosine,
    "one_cycle": s.OneCycle,
    "warmup": s.Warmup,
    "step": s.StepDecay,
    "exponential": s.Exponential,
    "plateau": s.ReduceOnPlateau,
}
_mine = threading.local()  # the generator of a thread, for `random_of`
SKLEARN_RATES = ("constant", "invscaling", "adaptive")
ADAPTIVE_FACTOR, LOWEST_ADAPTIVE_RATE = 0.2, 1e-6  # as in scikit-learn


def _sgd(e: Any) -> s.Optimizer:
    nesterov = bool(e.nesterovs_momentum) and e.momentum > 0
    return SklearnSGD(lr=float(e.learning_rate_init), momentum=float(e.momentum), nesterov=nesterov)


def _moments(e: Any) -> dict[str, Any]:
    return {"lr": float(e.learning_rate_init), "betas": (float(e.beta_1), float(e.beta_2)), "eps": float(e.epsilon)}


SOLVERS: dict[str, Callable[[Any], s.Optimizer]] = {
    "sgd": _sgd,
    "adam": lambda e: SklearnAdam(**_moments(e)),
    "adamw": lambda e: s.AdamW(**_moments(e), weight_decay=float(e.weight_decay)),
    "nadam": lambda e: s.NAdam(**_moments(e)),
    "rmsprop": lambda e: s.RMSprop(lr=float(e.learning_rate_init), alpha=float(e.beta_2), eps=float(e.epsilon)),
    "adagrad": lambda e: s.Adagrad(lr=float(e.learning_rate_init), eps=float(e.epsilon)),
    "lion": lambda e: s.Lion(
        lr=float(e.learning_rate_init), betas=(float(e.beta_1), float(e.beta_2)), weight_decay=float(e.weight_decay)
    ),
}

_RANGES: dict[str, Interval] = {
    "alpha": allowed_values(s.Recipe, "l2"),
    "l1": allowed_values(s.Recipe, "l1"),
    "weight_decay": allowed_values(s.AdamW, "weight_decay"),
    "learning_rate_init": ABOVE_ZERO,  # as in scikit-learn; the specification allows 0
    "power_t": allowed_values(s.InverseScaling, "power"),
    "max_iter": allowed_values(s.Recipe, "epochs"),
    "tol": allowed_values(s.EarlyStopping, "min_delta"),
    "momentum": allowed_values(s.SGD, "momentum"),
    "validation_fraction": BELOW_ONE,
    "beta_1": allowed_values(s.Adam, "betas"),
    "beta_2": allowed_values(s.Adam, "betas"),
    "epsilon": allowed_values(s.Adam, "eps"),
    "n_networks": AT_LEAST_ONE,
    "n_iter_no_change": AT_LEAST_ONE,
    "max_fun": AT_LEAST_ONE,
    "input_dropout": allowed_values(s.MLP, "input_dropout"),
    "label_smoothing": allowed_values(s.Recipe, "label_smoothing"),
    "quantile": allowed_values(s.Recipe, "quantile"),
    "delta": allowed_values(s.Recipe, "delta"),
}
_BOOLS = ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping", "batch_norm", "bootstrap", "prior", "category_means")


def take_parameters(e: Any, parameters: Mapping[str, Any]) -> None:
    """Set the arguments of an estimator's __init__, its locals(), as attributes, unchanged."""
    for name, value in parameters.items():
        if name not in ("self", "__class__"):
            setattr(e, name, value)


def check(e: Any) -> None:
    """Raise OptionError for the first invalid parameter of an estimator."""
    parameters = vars(e)
    for name, allowed in _RANGES.items():
        endless = name == "n_iter_no_change" and parameters[name] == math.inf  # infinite patience, as in scikit-learn
        value = parameters.get(name)
        several = value if name == "quantile" and isinstance(value, tuple | list) else (value,)
        for one in several if name in parameters and not endless else ():
            allowed.check(one, what=name)
    for name in _BOOLS:
        if not isinstance(parameters[name], bool | np.bool_):
            raise OptionError(f"{name} is {parameters[name]!r}, but must be True or False")
    one_of(e.solver, (*SOLVERS, "lbfgs"), what="solver")
    one_of(e.activation, ACTIVATIONS, what="activation")
    one_of(e.init, ("sklearn", *get_args(s.Init)), what="init")
    if e.scaling is not None:
        one_of(e.scaling, SCALINGS, what="scaling")
    if e.embedding is not None and not isinstance(e.embedding, get_args(s.Embedding)):
        raise OptionError(f"embedding is {e.embedding!r}, but must be mn.PiecewiseLinear(), mn.Periodic() or None")
    if not isinstance(e.learning_rate, get_args(s.Schedule)):
        one_of(e.learning_rate, (*SKLEARN_RATES, *SCHEDULES), what="learning_rate")
    if e.batch_size != "auto":
        allowed_values(s.Recipe, "batch_size").check(e.batch_size, what="batch_size")
    hidden_sizes(e)
    check_callbacks(e.callbacks or ())
    checkpoint = checkpoint_of(e)
    if e.solver == "lbfgs":
        if checkpoint is not None:
            raise OptionError("checkpoint was given, but solver='lbfgs' has no state to write; use another solver")
        plain = {"dropout": not np.any(e.dropout), "input_dropout": not e.input_dropout, "batch_norm": not e.batch_norm}
        for name in (name for name, unused in plain.items() if not unused):
            raise OptionError(
                f"{name} is {parameters[name]!r}, but solver='lbfgs' needs a loss that does not change by batch; use another solver"
            )


def checkpoint_of(e: Any) -> Checkpoint | None:
    """Return where and when an estimator writes its state of training."""
    if e.checkpoint is None or isinstance(e.checkpoint, Checkpoint):
        return e.checkpoint
    if not isinstance(e.checkpoint, str | os.PathLike):
        raise OptionError(f"checkpoint is {e.checkpoint!r}, but must be a folder, an mn.Checkpoint or None")
    return Checkpoint(folder=e.checkpoint, every_epochs=1)


def hidden_sizes(e: Any) -> tuple[int, ...]:
    """Return the units of each hidden layer."""
    given = e.hidden_layer_sizes
    sizes = list(given) if hasattr(given, "__iter__") and not isinstance(given, str) else [given]
    if any(isinstance(n, bool | np.bool_) or not isinstance(n, Integral) or n <= 0 for n in sizes):
        raise OptionError(f"hidden_layer_sizes must be > 0, got {sizes}; give whole numbers, such as (100,) or (64, 64)")
    return tuple(int(n) for n in sizes)


def random_of(e: Any) -> np.random.RandomState:
    """Return the generator for the random_state of an estimator.

    For a number it is a generator of this thread, reseeded at each call: that takes a hundredth of the time of a new one.
    """
    if e.random_state is None:
        return np.random.RandomState()
    if not isinstance(e.random_state, Integral):
        return check_random_state(e.random_state)
    if not hasattr(_mine, "random"):
        _mine.random = np.random.RandomState(0)
    random: np.random.RandomState = _mine.random
    random.seed(int(e.random_state))
    return random


def network_of(e: Any) -> s.MLP:
    """Return the network that an estimator describes."""
    dropout = tuple(float(p) for p in e.dropout) if hasattr(e.dropout, "__iter__") else float(e.dropout)
    return s.MLP(
        hidden=hidden_sizes(e),
        activation=ACTIVATIONS[e.activation],
        dropout=dropout,
        input_dropout=float(e.input_dropout),
        batch_norm=bool(e.batch_norm),
        init="xavier_uniform" if e.init == "sklearn" else e.init,
        prior=e.prior,
        embedding=e.embedding,
    )


def optimizer_of(e: Any) -> s.Optimizer:
    """Return the optimizer that an estimator names; solver="lbfgs" has none."""
    return SOLVERS[e.solver](e)


def schedule_of(e: Any, *, rows: int, seen: int, incremental: bool) -> s.Schedule:
    """Return the schedule of a fit on this many rows, after `seen` rows in earlier fits; `stopping_of` handles "adaptive".

    "invscaling" and "adaptive" are for solver="sgd", as in scikit-learn. The other schedules need to know the last epoch, which
    partial_fit does not.
    """
    if e.learning_rate == "invscaling" and e.solver == "sgd":
        return s.SklearnInverseScaling(power=float(e.power_t), rows=rows, start=seen)
    if incremental or e.learning_rate in SKLEARN_RATES:
        return s.Constant()
    if isinstance(e.learning_rate, str):
        return SCHEDULES[e.learning_rate]()
    schedule: s.Schedule = e.learning_rate
    return schedule


def stopping_of(e: Any, *, outputs: int) -> s.EarlyStopping:
    """Return when a fit stops: once the watched value has not improved by tol for more than n_iter_no_change epochs."""
    adaptive = e.learning_rate == "adaptive" and e.solver == "sgd"
    return s.EarlyStopping(
        patience=sys.maxsize if e.n_iter_no_change == math.inf else int(e.n_iter_no_change) + 1,
        min_delta=float(e.tol) * outputs,
        inclusive=True,
        factor=ADAPTIVE_FACTOR if adaptive else None,
        min_lr=LOWEST_ADAPTIVE_RATE,
    )


def start_of(
    e: Any, network: s.MLP, columns: int, outputs: int, dtype: Any, random: np.random.RandomState
) -> dict[str, NDArray[Any]]:
    """Return initial parameters by name; init="sklearn" draws exactly what scikit-learn draws.

    Weights and biases are uniform in +-sqrt(f / (d_in + d_out)), f = 6, or 2 for the logistic activation (Glorot & Bengio 2010).
    """
    check_fits(network, columns, outputs)
    if e.init != "sklearn":
        drawn = initial_parameters(network, columns, outputs, seed=int(random.randint(2**31 - 1)))
        return {name: value.astype(dtype) for name, value in drawn.items()}
    out: dict[str, NDArray[Any]] = {}
    for layer, (name, d_in, d_out) in enumerate(Shape.of(network, columns, outputs).layers):
        bound = math.sqrt((2.0 if e.activation == "logistic" else 6.0) / (d_in + d_out))
        out[f"{name}.weight"] = random.uniform(-bound, bound, (d_in, d_out)).astype(dtype).T
        out[f"{name}.bias"] = random.uniform(-bound, bound, d_out).astype(dtype)
        if network.batch_norm and name != "output":
            out[f"norm{layer}.weight"], out[f"norm{layer}.bias"] = np.ones(d_out, dtype), np.zeros(d_out, dtype)
    if isinstance(network.embedding, s.Periodic):
        drawn = initial_embedding(network.embedding, columns, rng.generator(int(random.randint(2**31 - 1)), "embedding"))
        out |= {name: value.astype(dtype) for name, value in drawn.items()}
    return out
