"""Reading a model file or checkpoint takes the memory of its declared size and 64 MiB at most, or fails within 0.5 s."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import manynets as mn
from manynets import modelfile
from manynets.training.checkpoint import read_checkpoint
from tests.reliability.reading import CASES, SPARE, measured, small, sound

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize("read", [mn.load, read_checkpoint])
@pytest.mark.parametrize("case", [name for name in CASES if not name.startswith(("60", "lists", "objects", "numbers", "texts"))])
def test_hostile_files(case: str, read: Callable[[Path], object], data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CASES[case](data))
    found = measured(read, path)
    assert found["error"] is not None
    assert not found["error"].startswith("wrong")
    assert found["memory"] < path.stat().st_size + SPARE


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_large_headers(case: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CASES[case](data))
    found = measured(mn.load, path)
    assert not (found["error"] or "").startswith("wrong")
    assert found["memory"] < path.stat().st_size + SPARE


def test_holes_and_pipes(data: bytes, tmp_path: Path) -> None:
    """Files of 10 GiB that are not what they say are refused by their size, before they are read."""
    path = tmp_path / "file"
    for start in (data, b""):
        path.write_bytes(start)
        os.truncate(path, 10 << 30)
        found = measured(mn.load, path)
        assert not found["error"].startswith("wrong")
        assert found["memory"] < SPARE
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in measured(mn.load, tmp_path / "pipe")["error"]


@pytest.mark.slow
def test_files_of_200_megabytes(tmp_path: Path) -> None:
    for read, path in zip((mn.load, read_checkpoint), sound(tmp_path, 200), strict=True):
        size = path.stat().st_size
        assert size > 190 << 20
        found = measured(read, path)
        assert found["error"] is None
        assert found["memory"] < size + SPARE
        for length in (size - 1, size + 1, size // 2, 10 << 30):
            os.truncate(path, length)
            found = measured(read, path)
            assert not found["error"].startswith("wrong")
            assert found["memory"] < SPARE


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_read_in_parts_are_those_that_were_written(
    networks: int, dtype: mn.spec.DType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts of 100 bytes: some networks, one, or some rows of a matrix; the first matrix lies in memory transposed."""
    X = np.random.default_rng(0).standard_normal((30, 5))
    spec, recipe = mn.MLP(hidden=(7, 3), batch_norm=True), mn.Recipe(epochs=2, dtype=dtype)
    model = mn.train(X, X[:, 0], spec, recipe, n_networks=networks, validation=None, progress=False)
    model.save(tmp_path / "model")
    monkeypatch.setattr(modelfile, "PART", 100)
    again = mn.load(tmp_path / "model")
    for one, other in zip(again.members, model.members, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], value) for name, value in other.items())
    assert np.array_equal(again.predict(X), model.predict(X))


def test_a_model_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    X = np.zeros((8, 2))
    model = mn.train(X, np.arange(8.0), mn.MLP(hidden=(2,)), mn.Recipe(epochs=1), progress=False, validation=None)
    model.info["notes"] = list(range(2_000_000))
    with pytest.raises(mn.OptionError, match="make `info` smaller"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()
