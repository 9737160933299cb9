"""A feed-forward network and its gradient by hand, in NumPy and float64: written to be read.

n rows in a batch, D inputs, H units of a hidden layer, O outputs. `w` holds the parameters by name: hidden0.weight (H, D),
hidden0.bias (H,), ..., output.weight (O, H), output.bias (O,).

    forward     z = h W^T + b        (n, H)     of each layer; h is the layer's input, at first x
                h = f(z)             (n, H)     the next layer's input
                loss = sum over rows of share * loss(scores, target)
    backward    d = dloss/dz         (n, H)     begins at the scores: share * (softmax - target), or what the loss gives
                dW = d^T h           (H, D)
                db = sum over rows d (H,)
                dh = d W             (n, D)     and then, a layer below, d = dh * f'(z)

Batch norm stands between z and f, dropout behind f. Differs: computes in float64 whatever `Recipe.dtype` is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets import rng
from manynets.constants import BN_EPS, BN_MOMENTUM, SELU_ALPHA, SELU_SCALE
from manynets.engines.loop import Engine, EngineProblem, Step
from manynets.engines.optimizers import penalty, start_state, update
from manynets.engines.periodic import embedded, embedding_gradient
from manynets.spec import MLP, Activation, Periodic

Floats: TypeAlias = NDArray[Any]  # float64
Parameters: TypeAlias = Mapping[str, Floats]

# ------------------------------------------------------------------------------------------------------------ activations


def _sigmoid(z: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(z / 2))  # 1 / (1 + exp(-z)), without overflow


def _normal_cdf(z: Floats) -> Floats:
    cdf: Floats = 0.5 * (1 + np.vectorize(math.erf, otypes=[np.float64])(z / math.sqrt(2)))
    return cdf


def _normal_density(z: Floats) -> Floats:
    density: Floats = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return density


def _mish_slope(z: Floats, _: Floats) -> Floats:
    t = np.tanh(np.logaddexp(0, z))
    slope: Floats = t + z * _sigmoid(z) * (1 - t**2)
    return slope


# name: f(z), and its derivative from z and a = f(z). np.logaddexp(0, z) is log(1 + exp(z)).
ACTIVATIONS: dict[Activation, tuple[Callable[[Floats], Floats], Callable[[Floats, Floats], Floats]]] = {
    "identity": (lambda z: z, lambda z, a: np.ones_like(z)),
    "relu": (lambda z: np.maximum(z, 0), lambda z, a: np.where(z > 0, 1.0, 0.0)),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z, a: np.where(z > 0, 1, 0.01)),
    "elu": (lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), lambda z, a: np.where(z > 0, 1, a + 1)),
    "selu": (
        lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0))),
        lambda z, a: np.where(z > 0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA),
    ),
    "gelu": (lambda z: z * _normal_cdf(z), lambda z, a: _normal_cdf(z) + z * _normal_density(z)),
    "silu": (lambda z: z * _sigmoid(z), lambda z, a: _sigmoid(z) * (1 + z * (1 - _sigmoid(z)))),
    "mish": (lambda z: z * np.tanh(np.logaddexp(0, z)), _mish_slope),
    "tanh": (np.tanh, lambda z, a: 1 - a**2),
    "sigmoid": (_sigmoid, lambda z, a: a * (1 - a)),
    "softplus": (lambda z: np.where(z > 20, z, np.logaddexp(0, z)), lambda z, a: np.where(z > 20, 1, _sigmoid(z))),
    "hard_swish": (lambda z: z * np.clip(z / 6 + 0.5, 0, 1), lambda z, a: np.where(z <= -3, 0, np.where(z >= 3, 1, z / 3 + 0.5))),
}

# ----------------------------------------------------------------------------------------------------- forward and backward


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """What backward needs of a hidden layer: input h, pre-activation y, activation a, dropout mask, and batch norm's parts."""

    h: Floats  # (n, D)
    y: Floats  # (n, H)
    a: Floats  # (n, H)
    mask: Floats | None
    normal: Floats | None  # (n, H): z with mean 0 and variance 1 over the batch
    inverse: Floats | None  # (H,): 1 / standard deviation of z
    part: Floats | None  # (n,): what each row counts in mean and variance; sums to 1


def _linear(w: Parameters, name: str, h: Floats) -> Floats:
    z = h @ w[f"{name}.weight"].T
    return z + w[f"{name}.bias"] if f"{name}.bias" in w else z


def _scaled(spec: MLP, w: Parameters) -> Parameters:
    """Return the parameters with the factors s of the input columns in the first weights: (x * s) W^T = x (W * s)^T."""
    if not spec.input_scale:
        return w
    first = "hidden0.weight" if spec.hidden else "output.weight"
    return {**w, first: w[first] * w["input_scale.weight"]}


def forward(
    spec: MLP, w: Parameters, x: Floats, masks: Sequence[Floats | None], running: dict[str, Floats], weight: Floats
) -> tuple[Floats, list[Layer], Floats]:
    """Return scores (n, O) in training mode, the hidden layers, and the output layer's input; running statistics move along.

    weight (n,): how much each row counts in batch norm's mean and variance.
    """
    f, _ = ACTIVATIONS[spec.activation]
    w = _scaled(spec, w)
    h = x if masks[0] is None else x * masks[0]
    layers = []
    for i in range(len(spec.hidden)):
        y, normal, inverse, part = _linear(w, f"hidden{i}", h), None, None, None
        if spec.batch_norm:
            part = weight / (weight.sum() or 1.0)
            mean = part @ y
            variance = part @ (y - mean) ** 2
            # a variance of m rows divides by m - 1; weights count as copies of a row, but not as fewer rows than there are
            m = max(weight.sum(), np.count_nonzero(weight), 2)
            for name, value in ((f"norm{i}.running_mean", mean), (f"norm{i}.running_var", variance * m / (m - 1))):
                running[name] = (1 - BN_MOMENTUM) * running[name] + BN_MOMENTUM * value
            inverse = 1 / np.sqrt(variance + BN_EPS)
            normal = (y - mean) * inverse
            y = normal * w[f"norm{i}.weight"] + w[f"norm{i}.bias"]
        a, mask = f(y), masks[i + 1]
        layers.append(Layer(h, y, a, mask, normal, inverse, part))
        h = a if mask is None else a * mask
    return _linear(w, "output", h), layers, h


def backward(
    spec: MLP, w: Parameters, layers: Sequence[Layer], h: Floats, d: Floats, x: Floats, mask: Floats | None
) -> dict[str, Floats]:
    """Return the gradient of every parameter by name, from d = dloss/dscores (n, O) and what `forward` returned.

    x, mask: the columns before a periodic embedding, and the input's dropout mask.
    """
    _, slope = ACTIVATIONS[spec.activation]
    g = {"output.weight": d.T @ h, "output.bias": d.sum(axis=0)}
    above = "output"
    for i in reversed(range(len(layers))):
        layer = layers[i]
        d = d @ w[f"{above}.weight"]  # dloss / d(the layer's output), (n, H)
        if layer.mask is not None:
            d = d * layer.mask
        d = d * slope(layer.y, layer.a)  # dloss/dy
        if layer.normal is not None and layer.inverse is not None and layer.part is not None:
            g[f"norm{i}.weight"], g[f"norm{i}.bias"] = (d * layer.normal).sum(axis=0), d.sum(axis=0)
            # mean and deviation depend on every row of the batch: their share is taken out
            d = d - layer.part[:, None] * (d.sum(axis=0) + layer.normal * (d * layer.normal).sum(axis=0))
            d = d * w[f"norm{i}.weight"] * layer.inverse  # dloss/dz
        above = f"hidden{i}"
        g[f"{above}.weight"], g[f"{above}.bias"] = d.T @ layer.h, d.sum(axis=0)
    if isinstance(spec.embedding, Periodic):
        below = d @ _scaled(spec, w)[f"{above}.weight"]
        g |= embedding_gradient(spec, w, x, below if mask is None else below * mask)
    if spec.input_scale:  # of the gradient G by W * s:  dW = G * s,  ds = sum over units of G * W
        first = f"{above}.weight"
        g["input_scale.weight"] = (g[first] * w[first]).sum(axis=0)
        g[first] = g[first] * w["input_scale.weight"]
    return {name: g[name] for name in w}  # without the biases of a network that has none


def predict(spec: MLP, w: Parameters, x: Floats, running: Parameters) -> Floats:
    """Return scores (n, O) in prediction mode: no dropout, batch norm by its running statistics."""
    f, _ = ACTIVATIONS[spec.activation]
    w, h = _scaled(spec, w), embedded(spec, w, x)
    for i in range(len(spec.hidden)):
        h = _linear(w, f"hidden{i}", h)
        if spec.batch_norm:
            h = (h - running[f"norm{i}.running_mean"]) / np.sqrt(running[f"norm{i}.running_var"] + BN_EPS)
            h = h * w[f"norm{i}.weight"] + w[f"norm{i}.bias"]
        h = f(h)
    return _linear(w, "output", h)


def dropout_masks(spec: MLP, in_features: int, *, seed: int, step: int, rows: int) -> list[Floats | None]:
    """Return a mask (rows, units) for the input and each hidden layer: 0 where a unit is dropped, 1 / (1 - p) elsewhere.

    A unit is dropped where its random byte is below a level; the bytes of layer i (0: the input) come from a stream of their own
    (`manynets.rng`), and are stored in rows of the batch, each padded to a multiple of eight units.
    """
    masks: list[Floats | None] = []
    for i, (width, p) in enumerate(zip((in_features, *spec.hidden), (spec.input_dropout, *spec.dropouts), strict=True)):
        if not p:
            masks.append(None)
            continue
        word = rng.step_words(np.array([rng.stream_key(seed, "dropout", i)], dtype=np.uint64), step, 1)
        level = rng.drop_levels(word, np.array([[p]])).item()
        of_row = -(-width // 8)  # words, of eight bytes each
        drawn = rng.random_bytes(word, range(of_row * rows)).reshape(rows, -1)[:, :width]
        masks.append((drawn >= level) / (1 - p))
    return masks


# ----------------------------------------------------------------------------------------------------------------- training


class _NumPyNetwork:
    """The weights, the optimizer's state and the data of one run; see `loop.Engine`."""

    def __init__(self, problem: EngineProblem) -> None:
        self.spec, self.recipe, self.loss, data = problem.spec, problem.recipe, problem.loss, problem.data
        self.info = {"engine": "numpy", "versions": {"numpy": np.__version__}}
        self.x, self.weight = data.x, data.weights()
        self.target = self.loss.expand(data.target, self.recipe.label_smoothing)
        self.running: dict[str, Floats] = {}
        for i, units in enumerate(self.spec.hidden if self.spec.batch_norm else ()):
            for name, start in ((f"norm{i}.running_mean", np.zeros(units)), (f"norm{i}.running_var", np.ones(units))):
                self.running[name] = np.asarray(problem.initial.get(name, start), dtype=np.float64)
        self.w = {name: np.array(value, dtype=np.float64) for name, value in problem.initial.items() if name not in self.running}
        self.state = start_state(self.recipe.optimizer, self.w, np)

    def advance(self, steps: Sequence[Step]) -> Floats:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return np.concatenate([self._step(step) for step in steps])

    def _step(self, step: Step) -> Floats:
        x, target = self.x[step.rows].astype(np.float64), self.target[step.rows]
        columns = embedded(self.spec, self.w, x)
        masks = dropout_masks(self.spec, columns.shape[1], seed=self.recipe.seed, step=step.index, rows=len(x))
        weight = self.weight[step.rows]
        scores, layers, h = forward(self.spec, self.w, columns, masks, self.running, weight)
        d = step.share[:, None] * self.loss.gradient(scores, target)
        gradient = backward(self.spec, self.w, layers, h, d, x, masks[0])
        cost = np.array([penalty(self.recipe, self.w, np)])
        self.w, self.state = update(self.recipe, self.w, gradient, self.state, step.numbers, np)
        return self.loss.log(scores[None], target[None], weight[None], cost)

    def scores(self, x: NDArray[Any]) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            return predict(self.spec, self.w, x.astype(np.float64), self.running)

    def parameters(self) -> dict[str, Floats]:
        return {name: value.copy() for name, value in (self.w | self.running).items()}


@contextmanager
def opened(problem: EngineProblem) -> Iterator[Engine]:
    """Within: the network of a problem, in float64; no torch is needed."""
    yield _NumPyNetwork(problem)
