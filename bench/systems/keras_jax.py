"""Keras on its JAX backend (KERAS_BACKEND=jax is set by the runner)."""

from __future__ import annotations

import time

import keras
import numpy as np
from numpy.typing import NDArray

from bench.cases import Case
from bench.data import LOSS_ROWS, Arrays, Layers
from bench.systems import Session

CHUNK = 20_000


def prepare(case: Case, arrays: Arrays) -> Session:
    keras.utils.set_random_seed(0)
    parts: list[keras.layers.Layer] = [keras.Input((case.layers[0],))]
    for width in case.layers[1:-1]:
        parts.append(keras.layers.Dense(width, activation="relu"))
        if case.dropout:
            parts.append(keras.layers.Dropout(case.dropout))
    parts.append(keras.layers.Dense(case.outputs))
    model = keras.Sequential(parts)
    if case.task == "binary":
        loss: keras.losses.Loss = keras.losses.BinaryCrossentropy(from_logits=True)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if case.optimizer == "adam":
        optimizer: keras.optimizers.Optimizer = keras.optimizers.Adam(case.lr, epsilon=1e-8)
    else:
        optimizer = keras.optimizers.SGD(case.lr)
    model.compile(optimizer=optimizer, loss=loss, jit_compile=True)
    optimizer.build(model.trainable_variables)
    initial = [array for weight, bias in arrays.initial for array in (weight.T, bias)]
    model.set_weights(initial)
    fresh = [np.array(variable) for variable in optimizer.variables]

    def codes(scores: NDArray[np.float32]) -> NDArray[np.int64]:
        return (scores[:, 0] > 0).astype(np.int64) if case.task == "binary" else scores.argmax(1)

    if case.kind == "predict":

        def scores(x: NDArray[np.float32]) -> NDArray[np.float32]:
            if len(x) <= LOSS_ROWS:
                return np.asarray(model.predict_on_batch(x))
            return np.asarray(model.predict(x, batch_size=CHUNK, verbose=0))

        def predict(repeat: int) -> float:
            began = time.perf_counter()
            for _ in range(repeat):
                codes(scores(arrays.x))
            return time.perf_counter() - began

        return Session(predict, answers=lambda: codes(scores(arrays.x[:LOSS_ROWS])))

    def run(repeat: int) -> float:
        model.set_weights(initial)
        for variable, value in zip(optimizer.variables, fresh, strict=True):
            variable.assign(value)
        began = time.perf_counter()
        model.fit(arrays.x, arrays.y, batch_size=case.batch, epochs=repeat, verbose=0)
        return time.perf_counter() - began

    def layers() -> Layers:
        values = model.get_weights()
        return [(weight.T, bias) for weight, bias in zip(values[::2], values[1::2], strict=True)]

    return Session(run, layers=layers)
