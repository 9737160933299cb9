"""The wheel: built from a copy of the sources, installed into an empty folder, and used from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
USE = """
import sys
from pathlib import Path
import numpy as np
import manynets as mn
from manynets import core

assert Path(mn.__file__).is_relative_to(sys.argv[1]), mn.__file__
X = np.random.default_rng(0).standard_normal((64, 3))
model = mn.train(X, X[:, 0], mn.MLP(hidden=(8,)), mn.Recipe(epochs=30), progress=False)
assert model.history["loss"][-1] < model.history["loss"][0]
model.save("model.safetensors")
assert np.array_equal(mn.load("model.safetensors").predict(X), model.predict(X))
print(bool(core.load()))
"""


def python(*arguments: str, cwd: Path, **variables: str) -> str:
    """Run this Python without the checkout on its path, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_wheel_works(compiled: bool, tmp_path: Path) -> None:
    source, dist, target = tmp_path / "source", tmp_path / "dist", tmp_path / "target"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("libcore.*", "__pycache__"))
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(dist), cwd=source, MANYNETS_NO_CORE="0" if compiled else "1")
    (wheel,) = dist.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl") is not compiled
    with zipfile.ZipFile(wheel) as archive:
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in archive.namelist())

    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    python(*pip, "--target", str(target), str(wheel), cwd=tmp_path)
    assert python("-c", USE, str(target), cwd=tmp_path, PYTHONPATH=str(target)).split() == [str(compiled)]
    version = python("-m", "manynets", "--version", cwd=tmp_path, PYTHONPATH=str(target))
    assert version.startswith("manynets 0.")
