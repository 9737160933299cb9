"""Training on numbers takes little more memory than their float32 matrix, whatever way they come in."""

from __future__ import annotations

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
