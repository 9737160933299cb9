"""The same network in JAX: gradients by jax.grad, and the steps of an epoch as one compiled scan.

float32, or float64 where `Recipe.dtype` asks for it: 64-bit numbers are enabled within a run only. Batch norm and dropout are
refused with one line; the torch and the NumPy engine have them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.engines.loop import Engine, EngineProblem, Step
from manynets.engines.optimizers import penalty, start_state, update
from manynets.engines.periodic import embedded
from manynets.errors import optional_module
from manynets.spec import Recipe


def _jax() -> Any:
    return optional_module("jax", extra="jax", purpose="engine='jax'")


@contextmanager
def settings(recipe: Recipe) -> Iterator[None]:
    """Within: JAX has 64-bit numbers where asked for, matrix products in full precision, the device; after: all as before."""
    jax = _jax()
    module = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")  # where it was before JAX 0.8
    with ExitStack() as stack:
        stack.enter_context(module.enable_x64(recipe.dtype == "float64"))
        stack.enter_context(jax.default_matmul_precision("highest"))
        if recipe.device == "cpu":
            stack.enter_context(jax.default_device(jax.devices("cpu")[0]))
        yield


def _activation(jax: Any, name: str) -> Any:
    """Return an activation by its name in a specification."""
    special = {
        "identity": lambda z: z,
        "tanh": jax.numpy.tanh,
        "leaky_relu": lambda z: jax.nn.leaky_relu(z, 0.01),
        "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    }
    return special.get(name) or getattr(jax.nn, name)


class _JAXNetwork:
    """The weights, the optimizer's state and the data of one run, on JAX's device; see `loop.Engine`."""

    def __init__(self, problem: EngineProblem) -> None:
        spec, recipe, loss, data, jax = problem.spec, problem.recipe, problem.loss, problem.data, _jax()
        jnp = jax.numpy
        self.jnp, self.loss = jnp, loss
        self.host_target = loss.expand(data.target, recipe.label_smoothing)
        self.weight = data.weights()
        self.w = {name: jnp.asarray(value, recipe.dtype) for name, value in problem.initial.items()}
        self.state = start_state(recipe.optimizer, self.w, jnp)
        self.x, self.target = jnp.asarray(data.x, recipe.dtype), jnp.asarray(self.host_target, recipe.dtype)
        self.info = {"engine": "jax", "device": str(self.x.device.platform), "versions": {"jax": jax.__version__}}
        f, names, dtype = _activation(jax, spec.activation), [f"hidden{i}" for i in range(len(spec.hidden))], recipe.dtype

        def linear(w: Mapping[str, Any], name: str, h: Any) -> Any:
            z = h @ w[f"{name}.weight"].T
            return z + w[f"{name}.bias"] if spec.bias else z

        def forward(w: Mapping[str, Any], x: Any) -> Any:
            x = embedded(spec, w, x, jnp)
            if spec.input_scale:
                x = x * w["input_scale.weight"]
            for name in names:
                x = f(linear(w, name, x))
            return linear(w, "output", x)

        def scan(w: Any, state: Any, x: Any, target: Any, steps: Any) -> Any:
            """Make the steps (rows (S, b), shares (S, b), numbers (S,) each); return also their scores and penalties."""

            def step(carry: Any, one: Any) -> Any:
                (w, state), (rows, share, numbers) = carry, one

                def mean_loss(w: Any) -> Any:
                    scores = forward(w, x[rows])
                    return jnp.sum(share * loss.rows(jnp, scores, target[rows])), scores

                gradient, scores = jax.grad(mean_loss, has_aux=True)(w)
                cost = jnp.asarray(penalty(recipe, w, jnp), dtype)
                return update(recipe, w, gradient, state, numbers, jnp), (scores, cost)

            return jax.lax.scan(step, (w, state), steps)

        self._forward, self._scan, self.dtype = jax.jit(forward), jax.jit(scan), dtype

    def advance(self, steps: Sequence[Step]) -> NDArray[np.float64]:
        regular = [step for step in steps if len(step.rows) == len(steps[0].rows)]  # all but perhaps the last
        return np.concatenate([self._run(part) for part in (regular, steps[len(regular) :]) if part])

    def _run(self, steps: Sequence[Step]) -> NDArray[np.float64]:
        rows = np.stack([step.rows for step in steps])
        shares = np.stack([step.share for step in steps]).astype(self.dtype)
        numbers = {name: np.array([step.numbers[name] for step in steps], self.dtype) for name in steps[0].numbers}
        (self.w, self.state), (scores, cost) = self._scan(self.w, self.state, self.x, self.target, (rows, shares, numbers))
        return self.loss.log(np.asarray(scores), self.host_target[rows], self.weight[rows], np.asarray(cost))

    def scores(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self._forward(self.w, self.jnp.asarray(x, self.dtype)))

    def parameters(self) -> dict[str, NDArray[Any]]:
        return {name: np.array(value) for name, value in self.w.items()}


@contextmanager
def opened(problem: EngineProblem) -> Iterator[Engine]:
    """Within: the network of a problem, in the `settings` of its recipe."""
    with settings(problem.recipe):
        yield _JAXNetwork(problem)
