"""What the project promises on MNIST: accuracy with the defaults and with the tutorial's settings, and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import manynets as mn

CHILD = """
import sys
import numpy as np, torch
import manynets as mn
from manynets import datasets

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

warm = np.zeros((64, 784), dtype=np.float32)
mn.train(warm, np.arange(64) % 10, mn.MLP(hidden=(512, 512), dropout=0.2), mn.Recipe(epochs=1), validation=0.2, scaling=False, progress=False)
before = peak()
data = datasets.load("mnist", data_dir=sys.argv[1])
mn.train(data.X, data.y, mn.MLP(hidden=(512, 512), dropout=0.2), mn.Recipe(iterations=200), validation=0.2, scaling=False, progress=False)
print((peak() - before) / (data.X.nbytes / 2**20))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_training_on_mnist_stays_within_three_times_its_array(data_dir: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(data_dir)], capture_output=True, text=True, check=True)
    assert 1 < float(done.stdout) < 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_defaults_reach_98_9_percent(data_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "manynets", "train", "mnist", "--json", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"MANYNETS_DATA": str(data_dir)})
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["test"]["accuracy"] >= 0.989


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorials_settings_reach_97_6_percent(data_dir: Path) -> None:
    data = mn.datasets.load("mnist", data_dir=data_dir)
    recipe = mn.Recipe(optimizer=mn.SGD(lr=0.01), epochs=50, batch_size=20)
    model = mn.train(
        data.X, data.y, mn.MLP(hidden=(512, 512), dropout=0.2), recipe, validation=0.2, seed=0, scaling=False, progress=False
    )
    assert model.evaluate(data.X_test, data.y_test)["accuracy"] >= 0.976
