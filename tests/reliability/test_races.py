"""Pairs of commands started together, or at random distances, on the same names: nothing is lost or mixed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.reliability import races


def script(pairs: int, seed: int) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.races", str(pairs), str(seed)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(done.stdout)
    assert figures["pairs"] == pairs
    assert figures["lost"] == 0
    assert figures["refused"] >= pairs // 4  # else they did not meet


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_some_pairs() -> None:
    script(4, 1)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_one_pair_of_each_kind() -> None:
    script(len(races.KINDS), 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_two_hundred_pairs() -> None:
    script(200, 2)
