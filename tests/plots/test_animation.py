"""The film of regions over the training."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.animation import FFMpegWriter
from PIL import Image

from manynets import plots
from manynets.errors import DataError, OptionError

X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
Y = [0, 1, 0, 1]
EXTENT = (-1.0, 2.0, -1.0, 2.0)


def frames(count: int) -> Iterator[Any]:
    grid = plots.grid_points(EXTENT, resolution=20)
    for epoch in range(count):
        p = 1 / (1 + np.exp(-epoch * (grid[:, 0] - 0.5)))
        yield np.column_stack([1 - p, p])


def test_a_gif_has_the_frames_and_holds_the_last(tmp_path: Path) -> None:
    path = plots.animate_regions(frames(3), tmp_path / "film.gif", X=X, y=Y, extent=EXTENT, titles=["a", "b", "c"], fps=5, dpi=40)
    assert [file.name for file in tmp_path.iterdir()] == ["film.gif"]
    with Image.open(path) as film:
        assert film.n_frames == 3
        pictures, times = [], []
        for i in range(3):
            film.seek(i)
            pictures.append(np.asarray(film.convert("RGB")))
            times.append(film.info["duration"])
    assert times == [200, 200, 1200]
    assert (pictures[0] != pictures[1]).any()
    assert (pictures[1] != pictures[2]).any()


def test_the_axes_stay_where_they_are(tmp_path: Path) -> None:
    path = plots.animate_regions(frames(2), tmp_path / "film.gif", X=X, y=Y, extent=EXTENT, titles=["a", "two\nlines"], dpi=40)
    with Image.open(path) as film:
        one = np.asarray(film.convert("L")).astype(int)
        film.seek(1)
        two = np.asarray(film.convert("L")).astype(int)
    left = slice(0, 24)  # the ticks and the labels left of the axes
    assert (abs(one[30:, left] - two[30:, left]) < 40).all()


def test_a_failure_leaves_the_old_film_and_nothing_else(tmp_path: Path) -> None:
    def broken() -> Iterator[Any]:
        yield from frames(2)
        raise RuntimeError("training failed")

    target = tmp_path / "film.gif"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="training failed"):
        plots.animate_regions(broken(), target, X=X, y=Y, extent=EXTENT)
    assert target.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["film.gif"]


def test_a_frame_may_come_from_code_that_saves_pictures(tmp_path: Path) -> None:
    def saving() -> Iterator[Any]:
        for frame in frames(2):
            plots.save(plots.confusion([[1]]), tmp_path / "other.png", dpi=30)
            yield frame

    plots.animate_regions(saving(), tmp_path / "film.gif", X=X, y=Y, extent=EXTENT, dpi=40)


def test_mp4_without_ffmpeg_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FFMpegWriter, "isAvailable", classmethod(lambda cls: False))
    with pytest.raises(OptionError, match=r"needs the program ffmpeg.*write a \.gif"):
        plots.animate_regions(frames(2), tmp_path / "film.mp4", X=X, y=Y, extent=EXTENT)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg is not installed")
def test_mp4_with_ffmpeg(tmp_path: Path) -> None:
    path = plots.animate_regions(frames(3), tmp_path / "film.mp4", X=X, y=Y, extent=EXTENT)
    assert path.read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        (3, {"path": "film.avi"}, "must be one of gif, mp4"),
        (0, {}, "frames is empty"),
        (3, {"titles": ["a"]}, "titles holds 1 texts"),
        (3, {"fps": 0}, "fps is 0"),
        (3, {"fps": float("nan")}, "fps is nan"),
        (3, {"path": "away/film.gif"}, "away does not exist; make that folder first"),
        (3, {"X": np.zeros((4, 3))}, "3 columns"),
    ],
)
def test_what_cannot_be_filmed(given: int, options: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / options.pop("path", "film.gif")
    with pytest.raises((DataError, OptionError), match=said):
        plots.animate_regions(frames(given), path, **{"X": X, "y": Y, "extent": EXTENT, **options})
    assert list(tmp_path.iterdir()) == []


def test_predictions_must_be_on_a_square_grid(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not the square of a resolution"):
        plots.animate_regions([np.zeros((10, 2))], tmp_path / "film.gif", X=X, y=Y, extent=EXTENT)
