"""The data of a case, its initial weights, and in NumPy the loss by which all systems are compared."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.cases import Case

__all__ = ["LOSS_ROWS", "Arrays", "Layers", "read", "real_data", "reference_answers", "training_loss", "write"]

Layers: TypeAlias = list[tuple[NDArray[Any], NDArray[Any]]]  # per layer weight (d_out, d_in) and bias (d_out,)

LOSS_ROWS = 1_000


def real_data() -> Path | None:
    """Return the folder with the real data sets, MANYNETS_DATA or ../shared/data beside the checkout; None where neither is."""
    folder = Path(os.environ.get("MANYNETS_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    return folder if folder.is_dir() else None


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """x (N, D) float32, y (N,) int64 class codes, and the weights that every system starts from."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    initial: Layers


def write(case: Case, folder: Path) -> str:
    """Write the arrays of a case; return where the data came from."""
    random = np.random.default_rng(0)
    x, y, source = _MAKERS[case.data](case, random)
    np.save(folder / "x.npy", np.ascontiguousarray(x, dtype=np.float32))
    np.save(folder / "y.npy", y.astype(np.int64))
    for i, (d_in, d_out) in enumerate(zip(case.layers[:-1], case.layers[1:], strict=True)):
        bound = d_in**-0.5  # as torch.nn.Linear starts
        np.save(folder / f"w{i}.npy", random.uniform(-bound, bound, (d_out, d_in)).astype(np.float32))
        np.save(folder / f"b{i}.npy", random.uniform(-bound, bound, d_out).astype(np.float32))
    return source


def read(case: Case, folder: Path) -> Arrays:
    """Return what `write` wrote."""
    initial = [(np.load(folder / f"w{i}.npy"), np.load(folder / f"b{i}.npy")) for i in range(len(case.layers) - 1)]
    return Arrays(np.load(folder / "x.npy"), np.load(folder / "y.npy"), initial)


def _toy(case: Case, random: np.random.Generator) -> tuple[Any, Any, str]:
    x = random.uniform(-1, 1, (case.rows, 2))
    return x, x[:, 0] * x[:, 1] > 0, "generated: the sign of a product of two numbers"


def _table(case: Case, random: np.random.Generator) -> tuple[Any, Any, str]:
    x = random.standard_normal((case.rows, case.layers[0]), dtype=np.float32)
    score = np.tanh(x[:, :10].sum(1)) + x[:, 10] * x[:, 11] + 0.5 * random.standard_normal(case.rows)
    return x, score > 0, "generated: 30 normal columns, two classes"


def _mnist(case: Case, random: np.random.Generator) -> tuple[Any, Any, str]:
    from manynets.datasets import images

    folder = real_data()
    if folder is not None:
        real = images.mnist(data_dir=folder)
        rows = random.permutation(len(real.X))[: case.rows]
        return real.X[rows], real.y[rows], "MNIST"
    y = random.integers(0, 10, case.rows)
    pattern = random.random((10, 784), dtype=np.float32) < 0.19  # the share of MNIST's pixels that are not 0
    x = random.random((case.rows, 784), dtype=np.float32)
    x *= pattern[y] * (random.random((case.rows, 784), dtype=np.float32) < 0.7)
    return x, y, "generated in the shape of MNIST (set MANYNETS_DATA for the real one)"


_MAKERS = {"toy": _toy, "table": _table, "mnist": _mnist}


def _scores(layers: Layers, x: NDArray[Any]) -> NDArray[np.float64]:
    h = x.astype(np.float64)
    for i, (weight, bias) in enumerate(layers):
        h = h @ np.asarray(weight, dtype=np.float64).T + np.asarray(bias, dtype=np.float64)
        if i < len(layers) - 1:
            h = np.maximum(h, 0)
    return h


def training_loss(layers: Layers, arrays: Arrays) -> float:
    """Return the mean cross-entropy on the first 1,000 rows, dropout off."""
    x, y = arrays.x[:LOSS_ROWS], arrays.y[:LOSS_ROWS]
    scores = _scores(layers, x)
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    top = scores.max(1, keepdims=True)
    log_sum = np.log(np.exp(scores - top).sum(1)) + top[:, 0]
    return float(np.mean(log_sum - scores[np.arange(len(y)), y]))


def reference_answers(arrays: Arrays) -> NDArray[np.int64]:
    """Return the class codes that the initial weights predict for the first 1,000 rows."""
    scores = _scores(arrays.initial, arrays.x[:LOSS_ROWS])
    return (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(1)
