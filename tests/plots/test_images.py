"""Images with values, grids with titles, first-layer weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manynets import plots
from manynets.errors import DataError, OptionError
from manynets.plots.canvas import PALETTE


def test_image_values_are_written_in_their_pixels() -> None:
    ax = plots.image_values([[0, 128, 255], [3, 4, 5]])
    assert ax.images[0].get_array().tolist() == [[0, 128, 255], [3, 4, 5]]
    written = {text.get_position(): (text.get_text(), text.get_color()) for text in ax.texts}
    assert written[(0, 0)] == ("0", "white")
    assert written[(2, 0)] == ("255", "black")
    assert written[(1, 1)] == ("4", "white")
    assert len(written) == 6
    assert plots.image_values([[0.25, 1.0]]).texts[0].get_text() == "0.25"
    assert plots.image_values([[0.25, 1.0]], decimals=1).texts[1].get_text() == "1.0"


@pytest.mark.parametrize("size", [3, 28, 40])
def test_image_values_fit_their_pixels(size: int) -> None:
    ax = plots.image_values(np.full((size, size), 255) - np.eye(size, dtype=int))
    ax.figure.draw_without_rendering()
    pixel = ax.get_window_extent().width / size
    assert max(text.get_window_extent().width for text in ax.texts[:50]) <= pixel


def test_image_grid_places_the_tiles() -> None:
    images = np.arange(1, 6)[:, None, None] * np.ones((5, 2, 3))
    ax = plots.image_grid(images, columns=2)
    mosaic = np.ma.filled(ax.images[0].get_array().astype(float), np.nan)
    assert mosaic.shape == (3 * 2 + 2, 2 * 3 + 1)  # one pixel between the tiles
    assert mosaic[0:2, 0:3].tolist() == [[1] * 3] * 2
    assert mosaic[3:5, 4:7].tolist() == [[4] * 3] * 2
    assert np.isnan(mosaic[2]).all()
    assert np.isnan(mosaic[6:, 4:]).all()
    assert len(ax.texts) == 0


def test_image_grid_titles_carry_colour_and_mark() -> None:
    ax = plots.image_grid(np.zeros((3, 16)), image_shape=(4, 4), titles=["7 (7)", "7 (1)", "2 (2)"], correct=[True, False, True])
    assert [text.get_text() for text in ax.texts] == ["✓ 7 (7)", "✗ 7 (1)", "✓ 2 (2)"]
    green, red = PALETTE[2], PALETTE[1]
    assert [text.get_color() for text in ax.texts] == [green, red, green]
    assert ax.texts[0].get_position()[0] == 1.5  # the middle of the first tile
    plain = plots.image_grid(np.zeros((1, 4, 4)), titles=["a"])
    assert (plain.texts[0].get_text(), plain.texts[0].get_color()) == ("a", "black")
    bare = plots.image_grid(np.zeros((2, 4, 4)), correct=[True, False])
    assert [text.get_text() for text in bare.texts] == ["✓", "✗"]


def test_the_marks_have_a_glyph_in_any_font(tmp_path: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.family": "cmr10", "axes.formatter.use_mathtext": True}):  # a font without the marks
        plots.save(plots.image_grid(np.zeros((2, 4, 4)), correct=[True, False]), tmp_path / "a.png", dpi=40)  # else a warning


def test_long_titles_do_not_meet() -> None:
    ax = plots.image_grid(np.zeros((6, 8, 8)), titles=["a very long name of a class, and its truth"] * 6, columns=3)
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts[:3]]
    assert boxes[0].x1 < boxes[1].x0
    assert boxes[1].x1 < boxes[2].x0


def test_image_grid_of_colours() -> None:
    bright = np.zeros((2, 3, 3, 3))
    bright[0, ..., 0] = 255
    mosaic: Any = plots.image_grid(bright, columns=2).images[0].get_array()
    assert mosaic[0, 0].tolist() == [1, 0, 0, 1]
    assert mosaic[0, 3].tolist() == [0, 0, 0, 0]  # nothing between the tiles
    assert plots.image_grid(np.zeros((2, 3, 3, 1))).images[0].get_array().ndim == 2


def test_first_layer_draws_units_on_one_scale_around_zero() -> None:
    weights = np.zeros((3, 6))
    weights[1, 5] = -2.0
    weights[2, 0] = 1.0
    ax = plots.first_layer(weights, image_shape=(2, 3), columns=3)
    image = ax.images[0]
    assert image.get_clim() == (-2, 2)
    mosaic: Any = image.get_array()
    assert mosaic.shape == (2, 11)
    assert mosaic[1, 6] == -2
    assert mosaic[0, 8] == 1
    assert ax.get_title() == "Weights of the first layer"
    many = plots.first_layer(np.ones((100, 4)), image_shape=(2, 2), most=10)
    assert many.get_title().replace("\n", " ") == "Weights of the first layer (the first 10 of 100 units)"
    colour = plots.first_layer(np.arange(12.0)[None], image_shape=(2, 2, 3))
    assert colour.images[0].get_array().tolist() == [[1, 4], [7, 10]]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: plots.first_layer(np.zeros((3, 10)), image_shape=(3, 3)), r"\(3, 3\) \(3 x 3 = 9\), but weights has 10 columns"),
        (lambda: plots.image_grid(np.zeros((3, 10)), image_shape=(3, 3)), "images has 10 columns"),
        (lambda: plots.image_grid(np.zeros((3, 10)), image_shape=(10,)), r"image_shape is \(10,\)"),
        (lambda: plots.image_grid(np.zeros((3, 10))), r"images has shape \(3, 10\).*give image_shape"),
        (lambda: plots.image_grid(np.zeros((0, 2, 2))), "images is empty"),
        (lambda: plots.image_grid(np.zeros((2, 2, 2)), titles=["a"]), "images and titles have lengths 2 and 1"),
        (lambda: plots.image_grid(np.zeros((2, 2, 2)), correct=[True]), "images and correct have lengths 2 and 1"),
        (lambda: plots.image_grid(np.zeros((2, 2, 2)), columns=0), "columns is 0"),
        (lambda: plots.image_values(np.zeros((41, 3))), "too large for readable values"),
        (lambda: plots.image_values(np.zeros(3)), "must have 2 axes"),
        (lambda: plots.first_layer([[np.inf]], image_shape=(1, 1)), "not finite"),
        (lambda: plots.first_layer([[1.0]], image_shape=(1, 1), most=0), "most is 0"),
    ],
)
def test_what_is_no_image(call: Any, said: str) -> None:
    with pytest.raises((DataError, OptionError), match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
