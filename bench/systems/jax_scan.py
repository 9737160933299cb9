"""JAX by hand: an epoch is one compiled scan."""

from __future__ import annotations

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from bench.cases import Case
from bench.data import LOSS_ROWS, Arrays, Layers
from bench.systems import Session

CHUNK = 20_000


def prepare(case: Case, arrays: Arrays) -> Session:
    def start() -> list[tuple[Any, Any]]:
        return [(jnp.array(weight.T), jnp.array(bias)) for weight, bias in arrays.initial]

    if case.kind == "predict":
        return _predict(case, arrays, start())
    x, y = jnp.asarray(arrays.x), jnp.asarray(arrays.y.astype(np.int32))
    steps = case.rows // case.batch
    run_epoch = jax.jit(functools.partial(_epoch, case), donate_argnums=(0, 1))
    trained: list[Any] = []

    def run(repeat: int) -> float:
        parameters, random, key = start(), np.random.default_rng(0), jax.random.key(0, impl="rbg")
        zeros = jax.tree.map(jnp.zeros_like, (parameters, parameters)) if case.optimizer == "adam" else ()
        state = jax.block_until_ready((zeros, jnp.zeros(())))
        began = time.perf_counter()
        for epoch in range(repeat):
            order = random.permutation(case.rows).astype(np.int32).reshape(steps, case.batch)
            parameters, state = run_epoch(parameters, state, jax.random.fold_in(key, epoch), order, x, y)
        jax.block_until_ready(parameters)
        seconds = time.perf_counter() - began
        trained[:] = parameters
        return seconds

    def layers() -> Layers:
        return [(np.asarray(weight).T, np.asarray(bias)) for weight, bias in trained]

    return Session(run, layers=layers)


def _forward(parameters: Any, h: Any, *, dropout: float = 0.0, key: Any = None) -> Any:
    for i, (weight, bias) in enumerate(parameters):
        h = h @ weight + bias
        if i < len(parameters) - 1:
            h = jax.nn.relu(h)
            if dropout:
                keep = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - dropout, h.shape)
                h = jnp.where(keep, h / (1 - dropout), 0)
    return h


def _epoch(case: Case, parameters: Any, state: Any, key: Any, order: Any, x: Any, y: Any) -> Any:
    def loss(parameters: Any, x: Any, y: Any, key: Any) -> Any:
        scores = _forward(parameters, x, dropout=case.dropout, key=key)
        if case.task == "binary":
            z = scores[:, 0]
            return jnp.mean(jax.nn.softplus(z) - z * y)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores), y[:, None], 1))

    def step(carry: Any, line: Any) -> Any:
        parameters, (moments, count) = carry
        index, number = line
        grads = jax.grad(loss)(parameters, x[index], y[index], jax.random.fold_in(key, number) if case.dropout else key)
        count = count + 1
        if case.optimizer == "sgd":
            return (jax.tree.map(lambda p, g: p - case.lr * g, parameters, grads), (moments, count)), None
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], grads)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], grads)
        a, b = 1 - 0.9**count, jnp.sqrt(1 - 0.999**count)
        parameters = jax.tree.map(lambda p, m, v: p - case.lr / a * m / (jnp.sqrt(v) / b + 1e-8), parameters, mean, square)
        return (parameters, ((mean, square), count)), None

    return lax.scan(step, (parameters, state), (order, jnp.arange(len(order))))[0]


def _predict(case: Case, arrays: Arrays, parameters: Any) -> Session:
    def codes_of(x: Any) -> Any:
        scores = _forward(parameters, x)
        return (scores[:, 0] > 0).astype(jnp.int32) if case.task == "binary" else scores.argmax(1)

    codes = jax.jit(codes_of)

    def answer(x: NDArray[np.float32]) -> NDArray[Any]:
        if len(x) <= CHUNK:
            return np.asarray(codes(x))
        return np.concatenate([np.asarray(codes(x[i : i + CHUNK])) for i in range(0, len(x), CHUNK)])

    def predict(repeat: int) -> float:
        began = time.perf_counter()
        for _ in range(repeat):
            answer(arrays.x)
        return time.perf_counter() - began

    return Session(predict, answers=lambda: answer(arrays.x[:LOSS_ROWS]))
