"""The same network in Keras 3: a keras.Sequential, compiled and trained by `fit`, an epoch a call.

The backend is KERAS_BACKEND where that is set (or Keras is loaded already), else the first of tensorflow, jax and torch that is
installed. Batch norm and dropout are refused with one line; the torch and the NumPy engine have them. So is float64: on JAX and
on torch many operations of Keras turn it into float32.

Differs: the steps are made by the formulas of `manynets.engines.optimizers`, as a keras.optimizers.Optimizer, because Keras' own
are others: Adam and AdamW add eps before the bias correction, RMSprop and Adagrad add it under the root, Nadam warms up by 0.96^t
instead of 0.96^(0.004 t), and momentum keeps lr inside v. Of a loss that stopped being finite the epoch is known, not the step.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manynets.engines.loop import Engine, EngineProblem, Step
from manynets.engines.optimizers import Numbers, penalty, state_arrays, update
from manynets.errors import MissingExtraError
from manynets.spec import Recipe

BACKENDS = ("tensorflow", "jax", "torch")


def load_keras() -> Any:
    """Import Keras, on a backend that is installed."""
    missing = MissingExtraError("keras", extra="keras", purpose="engine='keras'")
    if importlib.util.find_spec("keras") is None:
        raise missing
    chosen = "keras" not in sys.modules and "KERAS_BACKEND" not in os.environ
    if chosen:  # read by Keras when it is imported, and only then
        os.environ["KERAS_BACKEND"] = next((name for name in BACKENDS if importlib.util.find_spec(name)), "tensorflow")
    try:
        import keras
    except ImportError as error:
        raise missing from error
    finally:
        if chosen:
            del os.environ["KERAS_BACKEND"]
    return keras


@contextmanager
def _settings(keras: Any, recipe: Recipe) -> Iterator[None]:
    """Within: Keras' numbers are float32, on the recipe's device; after: as before."""
    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        # Keras on torch turns its own tensors into arrays in a way that NumPy 2 warns of; nothing of ours can change it
        warnings.filterwarnings("ignore", message="__array__ implementation doesn't accept", category=DeprecationWarning)
        stack.callback(keras.config.set_dtype_policy, policy)
        stack.callback(keras.config.set_floatx, before)
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        if keras.config.backend() == "jax":
            from manynets.engines.jax import settings

            stack.enter_context(settings(recipe))
        elif recipe.device == "cpu":
            stack.enter_context(keras.device("cpu"))
        yield


def _optimizer(keras: Any, recipe: Recipe, names: Sequence[str], most: int) -> Any:
    """Return a Keras optimizer that makes steps by `optimizers.update`; `most`: the largest number of steps in one `fit`."""
    ops, columns = keras.ops, list(Numbers(recipe.optimizer).next(0.0))

    class KerasOptimizer(keras.optimizers.Optimizer):  # type: ignore[misc]
        """The parameters are `names`, in the order of the model's variables. `numbers` (S, C) holds what each step needs."""

        def __init__(self) -> None:
            super().__init__(learning_rate=0.0, name="manynets")

        def build(self, variables: list[Any]) -> None:
            super().build(variables)
            count = state_arrays(recipe.optimizer)
            self.state = [[self.add_variable_from_reference(v, name=f"state{i}") for i in range(count)] for v in variables]
            self.numbers = self.add_variable((most, len(columns)), name="numbers")
            self.begun = self.add_variable((), dtype="int32", name="begun")  # steps made before this fit
            self.penalty = self.add_variable((), name="penalty")  # sum over the steps of this fit

        def apply(self, grads: Any, trainable_variables: Any = None) -> None:
            variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
            w = {name: ops.convert_to_tensor(v) for name, v in zip(names, variables, strict=True)}
            g = dict(zip(names, grads, strict=True))
            state = {name: tuple(ops.convert_to_tensor(one) for one in old) for name, old in zip(names, self.state, strict=True)}
            row = ops.take(self.numbers, ops.cast(self.iterations, "int32") - self.begun, axis=0)
            c = {name: row[i] for i, name in enumerate(columns)}
            if recipe.l1 or recipe.l2:
                self.penalty.assign_add(penalty(recipe, w, ops))
            moved, state = update(recipe, w, g, state, c, ops)
            for name, v, old in zip(names, variables, self.state, strict=True):
                v.assign(moved[name])
                for one, value in zip(old, state[name], strict=True):
                    one.assign(value)
            self.iterations.assign_add(1)

    return KerasOptimizer()


def _activation(keras: Any, name: str) -> Any:
    special = {"identity": "linear", "leaky_relu": lambda z: keras.activations.leaky_relu(z, negative_slope=0.01)}
    return special.get(name, name)


class _KerasNetwork:
    """A compiled keras.Sequential and the data of one run; see `loop.Engine`.

    Keras gets as y_true all that loss and metrics need of a row: target (O), share in the mean loss of its batch, weight.
    """

    def __init__(self, keras: Any, problem: EngineProblem) -> None:
        spec, recipe, loss = problem.spec, problem.recipe, problem.loss
        self.keras, self.data = keras, problem.data
        ops, width, backend = keras.ops, loss.outputs, keras.config.backend()
        versions = {"keras": keras.__version__, backend: importlib.metadata.version(backend)}
        self.info = {"engine": "keras", "backend": backend, "versions": versions}
        self.target = loss.expand(self.data.target, recipe.label_smoothing)
        self.weight = self.data.weights()
        layers = [f"hidden{i}" for i in range(len(spec.hidden))] + ["output"]
        kind = _activation(keras, spec.activation)
        zeros = {"kernel_initializer": "zeros", "use_bias": spec.bias}  # draws no random numbers; the weights follow
        self.model = keras.Sequential(
            [
                keras.Input((self.data.x.shape[1],)),
                *(keras.layers.Dense(units, activation=kind, **zeros) for units in spec.hidden),
                keras.layers.Dense(width, **zeros),
            ]
        )
        parts = ("weight", "bias") if spec.bias else ("weight",)
        self.names = [f"{layer}.{part}" for layer in layers for part in parts]
        self.model.set_weights([np.asarray(problem.initial[name], np.float32).T for name in self.names])

        class MeanLoss(keras.losses.Loss):  # type: ignore[misc]
            """The sum over a batch of share times loss."""

            def call(self, truth: Any, scores: Any) -> Any:
                return loss.rows(ops, scores, truth[:, :width]) * truth[:, width]

        def reported(truth: Any, scores: Any) -> Any:
            unit = ops.convert_to_tensor(loss.unit.astype(np.float32))
            return loss.report(ops, scores, truth[:, :width], unit) * truth[:, width + 1]

        def hits(column: int) -> Any:
            def one(truth: Any, scores: Any) -> Any:
                return loss.hits(ops, scores, truth[:, :width])[:, column] * truth[:, width + 1]

            return keras.metrics.MeanMetricWrapper(one, name=f"hits{column}")

        self.counted = loss.hit_count
        metrics = [keras.metrics.MeanMetricWrapper(reported, name="reported"), *(hits(i) for i in range(self.counted))]
        self.optimizer = _optimizer(keras, recipe, self.names, problem.steps)
        self.model.compile(optimizer=self.optimizer, loss=MeanLoss(reduction="sum"), metrics=metrics)
        self.optimizer.build(self.model.trainable_variables)
        self.optimizer.built = True

    def advance(self, steps: Sequence[Step]) -> NDArray[np.float64]:
        rows = np.concatenate([step.rows for step in steps])
        share, weight = np.concatenate([step.share for step in steps]), self.weight[rows]
        truth = np.column_stack([self.target[rows], share, weight]).astype(np.float32)
        numbers = np.zeros(self.optimizer.numbers.shape)
        numbers[: len(steps)] = [list(step.numbers.values()) for step in steps]
        self.optimizer.numbers.assign(numbers.astype(np.float32))
        self.optimizer.begun.assign(steps[0].index)
        self.optimizer.penalty.assign(0.0)
        x = self.data.x[rows].astype(np.float32)
        logs = self.model.fit(x, truth, batch_size=len(steps[0].rows), epochs=1, shuffle=False, verbose=0).history
        cost = float(self._host(self.optimizer.penalty.value))
        hits = [logs[f"hits{i}"][0] * len(rows) for i in range(self.counted)]
        return np.array([[logs["reported"][0] * len(rows), weight.sum(), cost, *hits]])

    def scores(self, x: NDArray[Any]) -> NDArray[Any]:
        return self._host(self.model(x.astype(np.float32), training=False))

    def parameters(self) -> dict[str, NDArray[Any]]:
        return {name: self._host(v.value).T.copy() for name, v in zip(self.names, self.model.trainable_variables, strict=True)}

    def _host(self, tensor: Any) -> NDArray[Any]:
        return np.asarray(self.keras.ops.convert_to_numpy(tensor))


@contextmanager
def opened(problem: EngineProblem) -> Iterator[Engine]:
    """Within: the network of a problem, in the settings of its recipe."""
    keras = load_keras()
    with _settings(keras, problem.recipe):
        yield _KerasNetwork(keras, problem)
