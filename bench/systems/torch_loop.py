"""PyTorch as it is written by hand: a loop over batches in memory, or over a DataLoader."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

from bench.cases import Case
from bench.data import LOSS_ROWS, Arrays
from bench.systems import Session
from bench.systems.networks import (
    CHUNK,
    Slices,
    criterion_of,
    labels_of,
    layers_of,
    network_of,
    optimizer_of,
    set_weights,
    target_of,
)


def prepare(case: Case, arrays: Arrays, *, fused: bool | None = None, loader: bool = False) -> Session:
    network, criterion = network_of(case), criterion_of(case)
    set_weights(network, arrays.initial)
    x, y = torch.from_numpy(arrays.x), target_of(case, arrays)
    if case.kind == "predict":
        network.eval()

        def predict(repeat: int) -> float:
            began = time.perf_counter()
            with torch.inference_mode():
                for _ in range(repeat):
                    if len(x) <= CHUNK:
                        labels_of(network(x)).numpy()
                    else:
                        torch.cat([labels_of(network(part)) for part in torch.split(x, CHUNK)]).numpy()
            return time.perf_counter() - began

        def answers() -> Any:
            with torch.inference_mode():
                return labels_of(network(x[:LOSS_ROWS])).numpy()

        return Session(predict, answers=answers)

    def train(repeat: int) -> float:
        set_weights(network, arrays.initial)
        torch.manual_seed(0)
        optimizer = optimizer_of(case, network, fused=fused)
        batches: Iterable[Any] = Slices(x, y, case.batch)
        if loader:
            batches = DataLoader(TensorDataset(x, y), batch_size=case.batch, shuffle=True)
        network.train()
        began = time.perf_counter()
        for _ in range(repeat):
            for x_batch, y_batch in batches:
                optimizer.zero_grad()
                loss = criterion(network(x_batch), y_batch)
                loss.backward()
                optimizer.step()
        return time.perf_counter() - began

    timed = min(case.networks, 3)

    def run(repeat: int) -> float:
        return sum(train(repeat) for _ in range(timed)) / timed * case.networks

    return Session(run, layers=lambda: layers_of(network), notes={"networks_timed": timed})
