"""skorch's NeuralNet, with nothing switched on that it can do without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet  # type: ignore[import-untyped]

from bench.cases import Case
from bench.data import LOSS_ROWS, Arrays
from bench.systems import Session
from bench.systems.networks import CHUNK, Slices, criterion_of, labels_of, layers_of, network_of, set_weights, target_of


class _Batches:
    """What skorch's iterator_train is asked to be; dataset.X and dataset.y are tensors."""

    def __init__(self, dataset: Any, batch_size: int) -> None:
        self.slices = Slices(dataset.X, dataset.y, batch_size)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.slices)


class _InOrder:
    """What skorch's iterator_valid is asked to be: pairs of a slice of X and a target that nobody reads."""

    def __init__(self, dataset: Any, batch_size: int) -> None:
        self.parts = torch.split(dataset.X, batch_size)

    def __iter__(self) -> Iterator[Any]:
        return ((part, None) for part in self.parts)


def prepare(case: Case, arrays: Arrays) -> Session:
    x, y = torch.from_numpy(arrays.x), target_of(case, arrays)
    network = network_of(case)
    net = NeuralNet(
        network,
        criterion_of(case),
        optimizer=torch.optim.Adam if case.optimizer == "adam" else torch.optim.SGD,
        optimizer__fused=True,
        lr=case.lr,
        batch_size=case.batch or CHUNK,
        iterator_train=_Batches,
        iterator_valid=_InOrder,
        predict_nonlinearity=None,
        train_split=None,
        callbacks="disable",
        verbose=0,
    )
    net.initialize()
    set_weights(net.module_, arrays.initial)
    if case.kind == "predict":

        def codes(x: torch.Tensor) -> NDArray[np.int64]:
            return labels_of(torch.from_numpy(net.predict_proba(x))).numpy()

        def predict(repeat: int) -> float:
            began = time.perf_counter()
            for _ in range(repeat):
                codes(x)
            return time.perf_counter() - began

        return Session(predict, answers=lambda: codes(x[:LOSS_ROWS]))

    def run(repeat: int) -> float:
        torch.manual_seed(0)
        net.initialize()
        set_weights(net.module_, arrays.initial)
        began = time.perf_counter()
        net.partial_fit(x, y, epochs=repeat)
        return time.perf_counter() - began

    return Session(run, layers=lambda: layers_of(net.module_))
