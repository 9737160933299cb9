"""scikit-learn's MLPClassifier."""

from __future__ import annotations

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from bench.cases import Case
from bench.data import LOSS_ROWS, Arrays, Layers
from bench.systems import Session


def prepare(case: Case, arrays: Arrays) -> Session:
    classes = np.arange(max(2, case.outputs))
    model = MLPClassifier(
        hidden_layer_sizes=case.layers[1:-1],
        solver=case.optimizer,
        learning_rate_init=case.lr,
        alpha=0.0,
        batch_size=case.batch or "auto",
        momentum=0.0,
        nesterovs_momentum=False,
        warm_start=True,
        tol=0.0,
        n_iter_no_change=1_000_000_000,
        random_state=0,
    )
    # Makes the model's arrays, in float32: one step with rows that name every class.
    model.set_params(batch_size="auto")
    model.partial_fit(np.resize(arrays.x, (len(classes), case.layers[0])), classes, classes=classes)
    model.set_params(batch_size=case.batch or "auto")

    def start() -> None:
        model.coefs_ = [np.array(weight.T, order="C") for weight, _ in arrays.initial]
        model.intercepts_ = [bias.copy() for _, bias in arrays.initial]

    start()
    if case.kind == "predict":

        def predict(repeat: int) -> float:
            began = time.perf_counter()
            for _ in range(repeat):
                model.predict(arrays.x)
            return time.perf_counter() - began

        return Session(predict, answers=lambda: model.predict(arrays.x[:LOSS_ROWS]))

    def run(repeat: int) -> float:
        start()
        model.set_params(max_iter=repeat)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            began = time.perf_counter()
            model.fit(arrays.x, arrays.y)
            return time.perf_counter() - began

    def layers() -> Layers:
        return [(weight.T, bias) for weight, bias in zip(model.coefs_, model.intercepts_, strict=True)]

    return Session(run, layers=layers)
