"""Training on numbers takes little more memory than their float32 matrix, whatever way they come in."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.memory import WAYS, peaks

MOST = {"float32 array": 1.5, "float32 parquet": 2.5, "float64 parquet": 2.5}
"""Times the float32 matrix, the caller's array included."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("way", MOST)
def test_one_epoch_takes_little_more_than_the_matrix(way: str) -> None:
    assert way in WAYS
    ratio = peaks(rows=400_000, ways=[way])[way]["ratio"]
    assert 1.0 < ratio < MOST[way]


NETWORKS = {
    "a network": "mn.MLP(hidden=(8,), embedding=mn.PiecewiseLinear(bins=48)), recipe, validation='folds'",
    "the default": "preset='fast'",
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("what", NETWORKS)
def test_networks_share_one_copy_of_their_encoded_columns(what: str) -> None:
    code = (
        "import numpy, manynets as mn\n"
        "peak = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        "X = numpy.random.default_rng(0).standard_normal((100_000, 20)).astype('float32')\n"
        "recipe = mn.Recipe(iterations=5, evaluate_every=5, batch_size=64)\n"
        f"def train(X): return mn.train(X, X[:, 0], {NETWORKS[what]}, n_networks=8, progress=False)\n"
        "train(X[:1000])\n"  # loads torch
        "before = peak()\n"
        "model = train(X)\n"
        "print((peak() - before) * 1024 / (len(X) * model.encoder.width * 4))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1.0 < float(out.stdout) < 1.5
