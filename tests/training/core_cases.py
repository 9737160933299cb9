"""Cases for the compiled core: run in the core itself, and in torch by autograd."""

from __future__ import annotations

import ctypes
import dataclasses
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import torch
from torch.nn import functional as F

from manynets import core, rng, spec
from manynets.nn.activations import ACTIVATIONS
from manynets.nn.population import Population
from manynets.nn.shape import Shape
from manynets.optim import GroupedOptimizer, Update, step_coefficients
from manynets.spec import SklearnAdam, SklearnSGD
from tests.tolerances import assert_close

ROWS, COLUMNS, BATCH, NETWORKS = 37, 3, 8, 3
LOSSES = ("softmax", "logistic", "squared_error", "half_squared_error", "absolute_error", "huber", "quantile", "poisson")
OPTIMIZERS = [spec.SGD, spec.Adam, spec.AdamW, spec.NAdam, spec.RMSprop, spec.Adagrad, spec.Lion]
PARAMETER = {"huber": 0.4, "quantile": 0.3}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """K networks that differ in their start, order and hyperparameters."""

    hidden: tuple[int, ...] = (7, 5)
    outputs: int = 1
    activation: Any = "tanh"
    loss: str = "squared_error"
    optimizers: Sequence[spec.Optimizer] = (spec.Adam(lr=0.02), spec.Adam(lr=0.01, betas=(0.8, 0.99)), spec.Adam(lr=0.03))
    batch_norm: bool = False
    bias: bool = True
    dtype: Any = np.float64
    rows: int = ROWS
    columns: int = COLUMNS
    batch: int = BATCH
    counts: tuple[int, ...] = (ROWS,) * NETWORKS
    merged: bool = False  # the last row joins the batch before it
    shared: bool = False  # all networks visit the rows in one order
    weights: str = "none"  # or shared, own
    rates: tuple[float, ...] = ()  # dropout of the input of each layer
    l1: tuple[float, ...] = (0.0,) * NETWORKS
    l2: tuple[float, ...] = (0.0,) * NETWORKS
    clip: tuple[float | None, ...] = (None,) * NETWORKS
    smoothing: tuple[float, ...] = (0.0,) * NETWORKS
    grown: bool = False  # the penalties
    step: int = 5
    seed: int = 0

    @property
    def shape(self) -> Shape:
        return Shape(self.columns, self.outputs, self.hidden, self.activation, self.batch_norm, self.bias)

    @property
    def steps(self) -> int:
        return -(-max(self.counts) // self.batch) - self.merged


@dataclasses.dataclass
class Result:
    """What a run leaves behind."""

    flat: Any
    statistics: Any
    state: list[Any]
    log: Any


class Data:
    """The arrays of a case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        random = np.random.default_rng(case.seed)
        k, layers = len(case.counts), len(case.hidden) + 1
        self.x = random.standard_normal((case.rows, case.columns)).astype(case.dtype)
        if case.loss == "softmax":
            self.target = random.integers(0, case.outputs, case.rows)
        elif case.loss == "logistic":
            self.target = random.integers(0, 2, (case.rows, case.outputs)).astype(case.dtype)
        elif case.loss == "poisson":
            self.target = random.poisson(1.5, (case.rows, case.outputs)).astype(case.dtype)
        else:
            self.target = random.standard_normal((case.rows, case.outputs)).astype(case.dtype)
        self.order = np.stack([random.permutation(case.rows) for _ in case.counts])
        if case.shared:
            self.order[:] = self.order[0]
        self.counts = np.array(case.counts)
        weights = random.integers(0, 4, (k, case.rows)) * 0.7
        self.weights = None if case.weights == "none" else weights[: 1 if case.weights == "shared" else k].astype(case.dtype)
        self.flat = (random.standard_normal((k, sum(math.prod(s) for s in case.shape.parameters().values()))) * 0.5).astype(
            case.dtype
        )
        self.statistics = random.uniform(0.5, 1.5, (k, sum(math.prod(s) for s in case.shape.buffers().values()))).astype(case.dtype)
        self.unit = None if case.loss in ("softmax", "logistic", "poisson") else random.uniform(1, 2, (k, case.outputs))
        self.growth = random.uniform(0.5, 2, (case.steps, k)) if case.grown else None
        self.rates = np.array([[rate * (1 - 0.2 * i) for rate in case.rates or (0.0,) * layers] for i in range(k)])
        self.keys = np.array([[rng.stream_key(i + 11, "dropout", layer) for layer in range(layers)] for i in range(k)], np.uint64)
        self.schedule = np.stack([[one.lr for one in case.optimizers[:k]]] * case.steps) * np.linspace(1, 0.8, case.steps)[:, None]
        self.measures = 1 if case.loss in ("softmax", "logistic") else case.outputs


def coefficients(data: Data) -> Any:
    """Return (n, 3, K): what the optimizers have that changes by step."""
    case, k = data.case, len(data.case.counts)
    rates, t = data.schedule, np.arange(case.step + 1, case.step + case.steps + 1)[:, None]
    out = np.zeros((case.steps, 3, k))
    out[:, 0] = rates
    if isinstance(case.optimizers[0], spec.Lion):
        out[:, 2] = 1 - rates * [one.weight_decay for one in case.optimizers[:k]]
    if isinstance(case.optimizers[0], spec.Adam | spec.AdamW | spec.NAdam):
        beta1, beta2 = np.array([one.betas for one in case.optimizers[:k]]).T
        if isinstance(case.optimizers[0], spec.NAdam):
            mu = beta1 * (1 - 0.5 * 0.96 ** (np.arange(1, case.step + case.steps + 2)[:, None] * 0.004))
            now, following, product = mu[case.step : -1], mu[case.step + 1 :], np.cumprod(mu, axis=0)[case.step : -1]
            out[:, 0] = rates * (1 - now) / (1 - product)
            out[:, 1] = 1 - beta2**t
            out[:, 2] = rates * following / (1 - product * following)
        else:
            hat = np.array([isinstance(one, SklearnAdam) for one in case.optimizers[:k]])
            root = np.sqrt(1 - beta2**t)
            out[:, 0] = rates * np.where(hat, root, 1) / (1 - beta1**t)
            out[:, 1] = np.where(hat, 1, root)
            out[:, 2] = 1 - rates * [one.weight_decay for one in case.optimizers[:k]]
    return out


def state_count(case: Case) -> int:
    first = case.optimizers[0]
    if isinstance(first, spec.SGD):
        return int(any(one.momentum for one in case.optimizers))
    return 1 + (not isinstance(first, spec.Adagrad | spec.Lion) and (not isinstance(first, spec.RMSprop) or first.momentum > 0))


def hyper(optimizer: Any) -> list[float]:
    first, second = getattr(optimizer, "betas", (getattr(optimizer, "momentum", 0.0), 0.0))
    if isinstance(optimizer, spec.RMSprop):
        first, second = optimizer.alpha, optimizer.momentum
    return [first, second, getattr(optimizer, "eps", 0.0), optimizer.weight_decay]


def address(array: Any) -> int | None:
    return None if array is None else array.ctypes.data


def run(
    case: Case, *, threads: int = 1, only: Sequence[int] | None = None, cuts: Sequence[int] = (), evaluate: bool = False
) -> Result:
    """Train (or evaluate) in the core: these networks of the case, in one call or in several cut at these steps."""
    data = Data(case)
    places = list(range(len(case.counts)) if only is None else only)
    k, dtype = len(places), case.dtype
    flat, statistics = data.flat[places].copy(), data.statistics[places].copy()
    state = [np.zeros_like(flat) for _ in range(state_count(case))]
    log = np.zeros((1 if evaluate else case.steps, k, 3 + data.measures))
    shared, turned = data.weights is not None and len(data.weights) == 1, places[::-1]  # orders by another number than networks
    kept: dict[str, Any] = {
        "widths": np.array([case.columns, *case.hidden, case.outputs]),
        "unit": None if data.unit is None else data.unit[places],
        "x": data.x,
        "target": data.target,
        "order": data.order[:1] if case.shared else data.order[turned],
        "counts": data.counts[:1] if case.shared else data.counts[turned],
        "which": np.zeros(k, np.int64) if case.shared else np.arange(k)[::-1].copy(),
        "weights": data.weights if data.weights is None or shared else data.weights[turned],
        "active": np.ones(k, np.uint8),
        "flat": flat,
        "statistics": statistics,
        "hyper": np.array([hyper(case.optimizers[i]) for i in places]),
        "part_ends": np.array([flat.shape[1]]),
        "l1": np.array(case.l1)[places],
        "l2": np.array(case.l2)[places],
        "clip": np.array([math.inf if case.clip[i] is None else case.clip[i] for i in places], dtype=np.float64),
        "smoothing": np.array(case.smoothing)[places],
        "keys": data.keys[places],
        "dropout": data.rates[places],
    }
    for first, stop in pairwise([0, *cuts, case.steps]):
        now = {
            "coefficients": np.ascontiguousarray(coefficients(data)[first:stop, :, places]),
            "penalty_scale": None if data.growth is None else np.ascontiguousarray(data.growth[first:stop, places]),
            "log": log[first:stop],
        }
        job = core.Job(
            type=dtype().itemsize,
            threads=threads,
            networks=k,
            layers=len(case.hidden) + 1,
            activation=get_args(spec.Activation).index(case.activation),
            bias=case.bias,
            batch_norm=case.batch_norm,
            loss=LOSSES.index(case.loss),
            total=case.loss == "half_squared_error",
            parameter=PARAMETER.get(case.loss, 0.0),
            order_stride=case.rows,
            weight_stride=0 if shared else case.rows,
            batch_size=case.batch,
            steps_per_epoch=case.steps,
            first=first,
            count=stop - first,
            step=case.step + first,
            parameters=flat.shape[1],
            statistics_size=statistics.shape[1],
            state=(ctypes.c_void_p * 2)(*[address(one) for one in state]),
            parts=1,
            optimizer=next(i for i, kind in enumerate(OPTIMIZERS) if isinstance(case.optimizers[0], kind)),
            nesterov=getattr(case.optimizers[0], "nesterov", False),
            lr_in_velocity=isinstance(case.optimizers[0], SklearnSGD),
            **{name: address(array) for name, array in (kept | now).items()},
        )
        if evaluate:
            for job.first, job.count in ((0, case.rows // 2), (case.rows // 2, case.rows - case.rows // 2)):
                core.evaluate(job)
            break
        core.train(job)
    return Result(flat, statistics, state, log)


# --- the same in torch ------------------------------------------------------------------------------------------------


def mask(data: Data, i: int, layer: int, step: int, rows: int, units: int) -> Any:
    words = rng.step_words(data.keys[i : i + 1, layer], step, 1)
    level = rng.drop_levels(words, data.rates[i : i + 1, layer : layer + 1])[0, 0, 0]
    padded = -(-units // 8) * 8
    drawn = rng.random_bytes(words, range(rows * padded // 8)).reshape(rows, padded)[:, :units]
    return torch.from_numpy((drawn >= level) / (1 - data.rates[i, layer])).to(torch.from_numpy(data.x))


def normalized(z: Any, w: Any, weighted: bool, mean: Any, var: Any, *, training: bool) -> Any:
    """Batch norm without gain and shift; moves the running statistics."""
    if not weighted:
        return F.batch_norm(z, mean, var, training=training)
    if not training:
        return (z - mean) / torch.sqrt(var + 1e-5)
    total = w.sum() if w.sum() else w.new_tensor(1.0)
    copies = max(float(total), float((w > 0).sum()), 2.0)
    unbiased = total - 1 if copies == total else total * (copies - 1) / copies
    m = (w[:, None] * z).sum(0) / total
    squares = (w[:, None] * (z - m) ** 2).sum(0)
    with torch.no_grad():
        mean.lerp_(m, 0.1)
        var.lerp_(squares / unbiased, 0.1)
    return (z - m) / torch.sqrt(squares / total + 1e-5)


def scores_of(data: Data, i: int, p: Any, buffers: Any, h: Any, w: Any, step: int | None) -> Any:
    case = data.case
    for layer, (name, _, _) in enumerate(case.shape.layers):
        if step is not None and data.rates[i, layer]:
            h = h * mask(data, i, layer, step, len(h), h.shape[1])
        h = F.linear(h, p[f"{name}.weight"], p.get(f"{name}.bias"))
        if layer == len(case.hidden):
            return h
        if case.batch_norm:
            running = (buffers[f"norm{layer}.running_mean"][0], buffers[f"norm{layer}.running_var"][0])
            unlike = data.weights is not None or len(set(case.counts)) > 1
            h = normalized(h, w, unlike, *running, training=step is not None)
            h = h * p[f"norm{layer}.weight"] + p[f"norm{layer}.bias"]
        h = ACTIVATIONS[case.activation].call(h)
    raise AssertionError


def losses_of(case: Case, z: Any, t: Any, smoothing: float) -> Any:
    """Return the loss of each row and output (b, O), of softmax (b, 1)."""
    if case.loss == "softmax":
        return F.cross_entropy(z, t, reduction="none", label_smoothing=smoothing)[:, None]
    return {
        "logistic": lambda: F.binary_cross_entropy_with_logits(z, t * (1 - smoothing) + smoothing / 2, reduction="none"),
        "squared_error": lambda: F.mse_loss(z, t, reduction="none"),
        "half_squared_error": lambda: F.mse_loss(z, t, reduction="none") / 2,
        "absolute_error": lambda: F.l1_loss(z, t, reduction="none"),
        "huber": lambda: F.huber_loss(z, t, reduction="none", delta=PARAMETER["huber"]),
        "quantile": lambda: torch.maximum(0.3 * (t - z), 0.7 * (z - t)),
        "poisson": lambda: torch.xlogy(t, t) - t - t * z + torch.exp(z),
    }[case.loss]()


def hits_of(case: Case, z: Any, t: Any) -> Any:
    if case.loss == "softmax":
        return (z.argmax(1) == t).to(z)[:, None]
    if case.loss == "logistic":
        return ((z > 0) == (t > 0.5)).all(1).to(z)[:, None]
    return ((z.exp() if case.loss == "poisson" else z) - t).square()


def reference(case: Case, *, evaluate: bool = False) -> Result:
    data, k = Data(case), len(case.counts)
    flat, statistics = torch.from_numpy(data.flat.copy()), torch.from_numpy(data.statistics.copy())
    log = np.zeros((1 if evaluate else case.steps, k, 3 + data.measures))
    state: list[Any] = [np.zeros_like(data.flat) for _ in range(state_count(case))]
    unit = torch.from_numpy(np.ones((k, 1)) if data.unit is None else data.unit).to(flat)
    for i in range(k):
        leaf = flat[i : i + 1].clone().requires_grad_()
        population = Population(case.shape, leaf, statistics[i : i + 1])
        recipe = spec.Recipe(
            optimizer=case.optimizers[i], l1=case.l1[i], l2=case.l2[i], clip_norm=case.clip[i], label_smoothing=case.smoothing[i]
        )
        grad = torch.zeros_like(leaf)
        optimizer = GroupedOptimizer([recipe], population.shapes, leaf.detach())
        own = {name: torch.zeros_like(grad) for name in optimizer.first.state_names}
        update = Update(optimizer, [recipe], leaf.detach(), grad, own, population.weight_count)
        planned = step_coefficients(optimizer.coefficients(data.schedule[:, i : i + 1], case.step), leaf.detach())
        for s in range(1 if evaluate else case.steps):
            start, stop = s * case.batch, (s + 1) * case.batch
            rows = (
                data.order[i, : case.counts[i]]
                if evaluate
                else data.order[i, start : case.counts[i] if s == case.steps - 1 else stop]
            )
            x, t = torch.from_numpy(data.x[rows]), torch.from_numpy(data.target[rows])
            line = np.ones(case.rows) if data.weights is None else data.weights[i % len(data.weights)]
            w = torch.from_numpy(line[rows]).to(x)
            p = {name: view[0] for name, view in population.parameters.items()}
            z = scores_of(data, i, p, population.buffers, x, w, None if evaluate else case.step + s)
            losses = losses_of(case, z, t, 0.0 if evaluate else case.smoothing[i])
            total = case.loss == "half_squared_error"
            rowwise = losses.sum(1) if total else losses.mean(1)
            reported = (losses * unit[i]).sum(1) if total else (losses * unit[i]).mean(1)
            log[s, i, 0] = float((reported * w).detach().sum())
            log[s, i, 1] = float(w.sum())
            log[s, i, 3:] = (hits_of(case, z, t) * w[:, None]).sum(0).detach().numpy()
            if evaluate:
                break
            matrices = leaf.detach()[0, : population.weight_count]
            log[s, i, 2] = float(case.l1[i] * matrices.abs().sum() + case.l2[i] / 2 * matrices.square().sum())
            mean = (rowwise * w).sum() / (w.sum() if w.sum() else 1.0)
            grad.copy_(torch.autograd.grad(mean, leaf)[0])
            growth = None if data.growth is None else torch.tensor([[data.growth[s, i]]]).to(grad)
            update.step(planned[s], growth)
        flat[i] = leaf.detach()[0]
        for j, tensor in enumerate(own.values()):
            state[j][i] = tensor[0].numpy()
    return Result(flat.numpy(), statistics.numpy(), state, log)


def assert_alike(case: Case, kind: str = "float64") -> None:
    made, expected = run(case), reference(case)
    assert_close(made.log, expected.log, kind, what="log")
    assert_close(made.flat, expected.flat, kind, what="parameters")
    assert_close(made.statistics, expected.statistics, kind, what="statistics")
    assert_close(made.state, expected.state, kind, what="state")


def assert_same(made: Result, expected: Result) -> None:
    for one, other in zip(
        [made.flat, made.statistics, made.log, *made.state],
        [expected.flat, expected.statistics, expected.log, *expected.state],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


# for gradients that may be 0 but for rounding errors, which Adam would scale up: of biases before batch norm, or in float32
MOMENTUM = (spec.SGD(lr=0.1, momentum=0.9), spec.SGD(lr=0.1, momentum=0.5), spec.SGD(lr=0.05, momentum=0.8))

# everything at once, for what must hold to the bit
RICH = Case(
    hidden=(9, 20),
    outputs=3,
    loss="softmax",
    batch_norm=True,
    weights="own",
    rates=(0.2, 0.3, 0.1),
    l1=(0.01, 0.0, 0.002),
    l2=(0.0, 0.02, 0.003),
    clip=(0.5, None, 0.1),
    smoothing=(0.1, 0.0, 0.2),
    counts=(37, 35, 36),
    optimizers=MOMENTUM,
)
