"""Initial weights. NumPy only, so that every engine starts from the same numbers.

d_in and d_out are the columns and rows of a weight matrix (d_out, d_in).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets import rng
from manynets.display import listed, short
from manynets.errors import OptionError
from manynets.nn.shape import PREFIX, Shape, embedding_shapes
from manynets.spec import MLP, Init, Periodic

LISTED = 20  # names of parameters that an error lists
Draw: TypeAlias = Callable[[np.random.Generator, int, int], NDArray[np.float64]]


def _uniform(bound: Callable[[int, int], float]) -> Draw:
    return lambda random, d_out, d_in: random.uniform(-bound(d_out, d_in), bound(d_out, d_in), (d_out, d_in))


def _normal(std: Callable[[int, int], float]) -> Draw:
    return lambda random, d_out, d_in: random.standard_normal((d_out, d_in)) * std(d_out, d_in)


def _lecun_normal(random: np.random.Generator, d_out: int, d_in: int) -> NDArray[np.float64]:
    """Normal with variance 1 / d_in, truncated at two standard deviations (of the normal before it is widened to make up)."""
    values = random.standard_normal((d_out, d_in))
    while (far := np.abs(values) > 2).any():
        values[far] = random.standard_normal(int(far.sum()))
    return values / (0.87962566103423978 * math.sqrt(d_in))


def _orthogonal(random: np.random.Generator, d_out: int, d_in: int) -> NDArray[np.float64]:
    """Rows or columns orthonormal, uniform over such matrices (the signs of R's diagonal made positive)."""
    tall = random.standard_normal((max(d_out, d_in), min(d_out, d_in)))
    q, r = np.linalg.qr(tall)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return q if d_out >= d_in else q.T


INITIALISERS: dict[Init, Draw] = {
    "torch": _uniform(lambda _, d_in: 1 / math.sqrt(d_in)),  # nn.Linear: Kaiming uniform with a = sqrt(5)
    "normal_fan_in": _normal(lambda _, d_in: 1 / d_in),
    "randn_sqrt_fan_in": _normal(lambda _, d_in: 1 / math.sqrt(d_in)),
    "xavier_uniform": _uniform(lambda d_out, d_in: math.sqrt(6 / (d_in + d_out))),  # Glorot & Bengio 2010
    "xavier_normal": _normal(lambda d_out, d_in: math.sqrt(2 / (d_in + d_out))),
    "kaiming_uniform": _uniform(lambda _, d_in: math.sqrt(6 / d_in)),  # He et al. 2015, gain of ReLU
    "kaiming_normal": _normal(lambda _, d_in: math.sqrt(2 / d_in)),
    "lecun_normal": _lecun_normal,  # LeCun et al. 1998; Klambauer et al. 2017 for SELU
    "orthogonal": _orthogonal,  # Saxe et al. 2013
}


def initial_embedding(embedding: Periodic, in_features: int, random: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return the start of every parameter by name: f ~ N(0, scale^2), p ~ U(-pi, pi), W and b ~ U(-1 / sqrt(k), 1 / sqrt(k))."""
    bound = 1 / math.sqrt(embedding.frequencies)
    bounds = {"frequencies": 0.0, "phases": math.pi, "weight": bound, "bias": bound}
    out = {}
    for name, shape in embedding_shapes(embedding, in_features).items():
        most = bounds[name.removeprefix(PREFIX)]
        out[name] = random.uniform(-most, most, shape) if most else random.standard_normal(shape) * embedding.scale
    return out


def initial_parameters(spec: MLP, in_features: int, out_features: int, *, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Return the start of every parameter by name, float64: weights (d_out, d_in) and biases (d_out,) of `Shape.layers`.

    With init="torch" biases are uniform in +-1 / sqrt(d_in), with all others 0; batch norm starts at weight 1 and bias 0.
    Each layer has a stream of its own, so a deeper network with the same seed starts with the same first layers.
    """
    draw, shape = INITIALISERS[spec.init], Shape.of(spec, in_features, out_features)
    out: dict[str, NDArray[np.float64]] = {}
    for layer, (name, d_in, d_out) in enumerate(shape.layers):
        random = rng.generator(seed, "init", layer)
        out[f"{name}.weight"] = draw(random, d_out, d_in)
        if spec.bias:
            bound = 1 / math.sqrt(d_in)
            out[f"{name}.bias"] = random.uniform(-bound, bound, d_out) if spec.init == "torch" else np.zeros(d_out)
        if spec.batch_norm and name != "output":
            out[f"norm{layer}.weight"] = np.ones(d_out)
            out[f"norm{layer}.bias"] = np.zeros(d_out)
    if spec.input_scale:
        out["input_scale.weight"] = np.ones(shape.inputs)
    if isinstance(spec.embedding, Periodic):
        out |= initial_embedding(spec.embedding, in_features, rng.generator(seed, "embedding"))
    return out


def given_parameters(given: Any, shape: Shape, dtype: str, *, what: str = "initial") -> Any:
    """Return parameters by name that were given, of one network or a list of several, as arrays; OptionError where they do not fit.

    Running statistics may be left out. Tensors of torch may be of any type, ask for a gradient and be on a GPU. what: the argument's name, for the error.
    """
    if isinstance(given, list | tuple):
        return [given_parameters(one, shape, dtype, what=what) for one in given]
    if not isinstance(given, Mapping):
        raise OptionError(
            f"{what} is {short(given)}, but must be parameters by name, such as model.members[0] or module.state_dict()"
        )
    arrays = {
        name: np.asarray(value.detach().cpu().double() if hasattr(value, "detach") else value) for name, value in given.items()
    }
    for name in shape.parameters():
        if name not in arrays:
            raise OptionError(
                f"{what} has no {name!r}, but {_names(arrays)}; rename its parameters: it needs {_names(shape.parameters())}"
            )
    for name, wanted in (shape.parameters() | shape.buffers()).items():
        value = arrays.get(name, np.zeros(wanted))
        if value.shape != wanted or not (np.abs(value) <= np.finfo(dtype).max).all():
            raise OptionError(f"{what} {name!r} has shape {value.shape}, but must be finite numbers of shape {wanted} in {dtype}")
    return arrays


def _names(parameters: Mapping[str, Any]) -> str:
    return listed(parameters, LISTED) if parameters else "nothing"
