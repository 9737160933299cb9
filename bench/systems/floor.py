"""The floor: the matrix products of a step and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from bench.cases import Case
from bench.data import Arrays
from bench.systems import Session

CHUNK = 2_000  # rows of a large prediction: the activations stay within the cache


def prepare(case: Case, arrays: Arrays) -> Session:
    return Session(_prediction(case, arrays) if case.kind == "predict" else _training(case, arrays))


def _prediction(case: Case, arrays: Arrays) -> Callable[[int], float]:
    layers = [(torch.from_numpy(bias), torch.from_numpy(weight).T) for weight, bias in arrays.initial]
    size = min(CHUNK, case.rows)
    parts = torch.split(torch.from_numpy(arrays.x), size)
    if len(parts[-1]) != size:
        raise ValueError(f"{case.rows} rows cannot be cut into equal chunks of {size}")
    out = [torch.empty(size, width) for width in case.layers[1:]]

    def run(repeat: int) -> float:
        began = time.perf_counter()
        with torch.inference_mode():
            for _ in range(repeat):
                for h in parts:
                    for (bias, turned), into in zip(layers, out, strict=True):
                        h = torch.addmm(bias, h, turned, out=into)
        return time.perf_counter() - began

    return run


def _training(case: Case, arrays: Arrays) -> Callable[[int], float]:
    """Return the run of K networks' products; K = 1 has no model axis."""
    k = case.networks
    addmm: Any = torch.addmm if k == 1 else torch.baddbmm
    mm: Any = torch.mm if k == 1 else torch.bmm

    def spread(tensor: torch.Tensor) -> torch.Tensor:
        return tensor if k == 1 else tensor.expand(k, *tensor.shape).contiguous()

    weights = [spread(torch.from_numpy(weight)) for weight, _ in arrays.initial]
    biases = [spread(torch.from_numpy(bias).unsqueeze(0)) for _, bias in arrays.initial]
    turned = [weight.mT for weight in weights]
    h = [spread(torch.from_numpy(arrays.x[: case.batch]))]
    h += [spread(torch.rand(case.batch, width)) for width in case.layers[1:]]
    d = [torch.full_like(one, 1e-3) for one in h]
    d_turned = [one.mT for one in d]
    d_weights = [torch.empty_like(weight) for weight in weights]
    count = len(weights)
    steps_per_epoch = case.steps // case.repeat

    def run(repeat: int) -> float:
        began = time.perf_counter()
        with torch.inference_mode():
            for _ in range(steps_per_epoch * repeat):
                for i in range(count):
                    addmm(biases[i], h[i], turned[i], out=h[i + 1])
                for i in range(count - 1, -1, -1):
                    mm(d_turned[i + 1], h[i], out=d_weights[i])
                    if i:
                        mm(d[i + 1], weights[i], out=d[i])
        return time.perf_counter() - began

    return run
