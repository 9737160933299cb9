"""The diagram of a network."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba

from manynets import plots
from manynets.errors import DataError, OptionError
from manynets.plots.canvas import NEGATIVE, PALETTE, POSITIVE

W = [np.array([[1.0, -2.0], [0.5, 0.0], [0.0, 0.25]]), np.array([[3.0, -3.0, 1.5]])]


def edges(ax: Any) -> list[Any]:
    return [artist for artist in ax.collections if isinstance(artist, LineCollection)]


def nodes(ax: Any) -> list[Any]:
    return [artist for artist in ax.collections if isinstance(artist, PathCollection)]


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_edges_join_the_right_nodes_with_the_colour_and_size_of_their_weight() -> None:
    ax = plots.network(W)
    assert [len(lines.get_segments()) for lines in edges(ax)] == [6, 3]
    assert [len(dots.get_offsets()) for dots in nodes(ax)] == [2, 3, 1]
    first = edges(ax)[0]
    strongest = first.get_segments()[-1]  # -2, from input 1 (the lower of two) to unit 0 (the top of three)
    assert strongest.tolist() == [[0, -0.5], [1, 1.0]]
    assert first.get_linewidths()[-1] == max(first.get_linewidths())
    assert first.get_colors()[-1] == pytest.approx(to_rgba(NEGATIVE))
    assert first.get_segments()[-2].tolist() == [[0, 0.5], [1, 1.0]]  # +1, from input 0
    assert first.get_colors()[-2] == pytest.approx((*to_rgba(POSITIVE)[:3], 0.08 + 0.92 / 2))
    assert texts(ax) == ["input\n2", "hidden 1\n3", "output\n1"]


def test_the_signs_have_the_colours_of_the_playground() -> None:
    script = resources.files("manynets.playground").joinpath("page", "colours.js").read_text(encoding="utf-8")
    found = re.search(r"function signed.*? value > 0 \? level\((\d), value\) : level\((\d), -value\)", script, flags=re.DOTALL)
    assert found
    assert [PALETTE[int(code)] for code in found.groups()] == [POSITIVE, NEGATIVE]


def test_nodes_are_filled_by_their_bias() -> None:
    ax = plots.network(W, [[1.0, -0.5, 0.0], [-4.0]])
    hidden, output = nodes(ax)[1:]
    assert hidden.get_facecolor()[0] == pytest.approx(to_rgba(POSITIVE))
    assert hidden.get_facecolor()[2] == pytest.approx(to_rgba("white"))
    assert hidden.get_facecolor()[1] == pytest.approx((np.array(to_rgba("white")) + to_rgba(NEGATIVE)) / 2)
    assert output.get_facecolor()[0] == pytest.approx(to_rgba(NEGATIVE))


def test_large_layers_are_elided() -> None:
    rng = np.random.default_rng(0)
    names = [f"pixel {i}" for i in range(784)]
    ax = plots.network([rng.normal(size=(64, 784)), rng.normal(size=(10, 64))], feature_names=names, max_nodes=5)
    assert [len(dots.get_offsets()) for dots in nodes(ax)] == [5, 5, 5]
    assert [len(lines.get_segments()) for lines in edges(ax)] == [25, 25]
    said = texts(ax)
    assert said.count("⋮") == 3
    assert {"input\n784", "hidden 1\n64", "output\n10"} <= set(said)
    assert [name for name in said if name.startswith("pixel")] == ["pixel 0", "pixel 1", "pixel 2", "pixel 782", "pixel 783"]


def test_names_stand_beside_their_nodes() -> None:
    ax = plots.network(W, feature_names=["sepal length (cm)", "b"], class_names=["$p$"])
    places = {text.get_text(): text.get_position() for text in ax.texts}
    assert places["sepal length (cm)"] == (-0.13, 0.5)
    assert places["b"] == (-0.13, -0.5)
    assert places[r"\$p\$"] == (2.13, 0.0)
    ax.figure.draw_without_rendering()
    for text in ax.texts:
        assert text.get_window_extent().x0 >= 0
        assert text.get_window_extent().x1 <= ax.figure.bbox.x1


def test_zero_weights_are_drawn_faint() -> None:
    ax = plots.network([np.zeros((2, 2))])
    assert edges(ax)[0].get_colors()[:, 3] == pytest.approx(0.08)


@pytest.mark.parametrize(
    ("weights", "options", "said"),
    [
        ([], {}, "weights is empty"),
        ([np.zeros((2, 3)), np.zeros((3, 4))], {}, r"weights\[1\] has shape \(3, 4\), but the layer before it has 2 outputs"),
        ([np.array([[np.nan]])], {}, r"weights\[0\] holds 1 values that are not finite"),
        (W, {"biases": [[1.0, 2.0, 3.0]]}, "weights and biases have lengths 2 and 1"),
        (W, {"biases": [[1.0, 2.0], [1.0]]}, r"biases\[0\] has shape \(2,\), but weights\[0\] has 3 outputs"),
        (W, {"feature_names": ["a"]}, "feature_names holds 1 names, but 2 are needed"),
        (W, {"max_nodes": 1}, "max_nodes is 1"),
    ],
)
def test_what_is_no_network(weights: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises((DataError, OptionError), match=said):
        plots.network(weights, **options)
