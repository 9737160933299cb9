"""Reading a model file or checkpoint takes the memory of its declared size and 64 MiB at most, or fails within 0.5 s."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import manynets as mn
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
