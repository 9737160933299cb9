"""Many fits and many threads in one process: memory stays flat, and answers are those of one thread."""

from __future__ import annotations

import gc
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import manynets as mn

X = np.random.default_rng(0).standard_normal((300, 5))
Y = (X[:, 0] > 0).astype(np.int64)


def test_case_12_thirty_two_threads_predict_with_one_model(tmp_path: Path) -> None:
    trained = mn.train(X, Y, mn.MLP(hidden=(16, 8), batch_norm=True), mn.Recipe(epochs=2), scaling=False, progress=False)
    trained.save(tmp_path / "model")
    model = mn.load(tmp_path / "model")
    parts = [X[k : k + 1 + 7 * k] for k in range(32)]
    serial = [trained.logits(part).tobytes() for part in parts]
    with ThreadPoolExecutor(32) as pool:
        for _ in range(10):
            assert list(pool.map(lambda part: model.logits(part).tobytes(), parts)) == serial


def resident() -> int:
    """Return the bytes that this process holds in memory now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def grown(fits: int) -> int:
    """Fit so many models; return by how many bytes memory grew after the tenth."""
    start = 0
    for k in range(fits):
        mn.train(
            X,
            Y,
            mn.MLP(hidden=(64, 64), dropout=0.2),
            mn.Recipe(epochs=1, batch_size=32),
            seed=k,
            validation=0.2,
            scaling=False,
            progress=False,
        )
        if k == 9:
            start = resident()
    return resident() - start


def test_memory_is_flat_over_fits() -> None:
    assert grown(60) < 8 << 20


@pytest.mark.slow
def test_memory_is_flat_over_300_fits() -> None:
    assert grown(300) < 8 << 20
