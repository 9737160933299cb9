"""Points, regions, surfaces and spread over the plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.contour import ContourSet, QuadContourSet
from matplotlib.figure import Figure

import manynets as mn
from manynets import plots
from manynets.errors import DataError, OptionError
from manynets.plots.canvas import PALETTE

X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
EXTENT = (-1.0, 2.0, -1.0, 2.0)


def split(grid: Any) -> Any:
    """Labels: 1 right of x = 0.5."""
    return (grid[:, 0] > 0.5).astype(int)


def slope(grid: Any) -> Any:
    """Probability (M, 2) of the right side, 1/2 at x = 0.5."""
    p = 1 / (1 + np.exp(-4 * (grid[:, 0] - 0.5)))
    return np.column_stack([1 - p, p])


def contours(ax: Any) -> list[Any]:
    return [artist for artist in ax.collections if isinstance(artist, ContourSet)]


def dots(ax: Any) -> list[Any]:
    return [artist for artist in ax.collections if not isinstance(artist, ContourSet)]


def vertices(contour: Any) -> Any:
    return np.concatenate([path.vertices for path in contour.get_paths()])


def test_points_of_classes() -> None:
    ax = plots.points(X, ["b", "a", "b", "a"], names=("left", "up"), title="t")
    assert [d.get_label() for d in ax.collections] == ["a", "b"]
    assert ax.collections[0].get_offsets().tolist() == X[[1, 3]].tolist()
    assert ax.collections[1].get_facecolor()[0] == pytest.approx(to_rgba(PALETTE[1]))
    assert len({d.get_paths()[0].vertices.shape for d in ax.collections}) == 2  # another marker
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("left", "up", "t")


def test_points_with_values_and_without() -> None:
    ax = plots.points(X, [[1.0], [2.0], [3.0], [4.0]], task="regression")
    assert ax.collections[0].get_array().tolist() == [1, 2, 3, 4]
    assert len(ax.figure.axes) == 2  # the colour bar
    bare = plots.points(X)
    assert bare.get_legend() is None
    valued = plots.points(X, [1.0, 2.0, 3.0, 4.0], task="regression")
    assert valued.collections[0].get_offsets().tolist() == X.tolist()
    assert len(bare.collections[0].get_offsets()) == 4


def test_more_classes_than_colours_still_differ() -> None:
    ax = plots.points(np.random.default_rng(0).normal(size=(56, 2)), np.arange(56))
    looks = {(tuple(d.get_facecolor()[0]), d.get_paths()[0].vertices.tobytes()) for d in ax.collections}
    assert len(looks) == 56


@pytest.mark.parametrize("predict", [split, slope, lambda g: slope(g)[:, 1:]])
def test_regions_draws_the_boundary_and_the_points(predict: Any) -> None:
    ax = plots.regions(X, [0, 1, 0, 1], predict=predict, extent=EXTENT, resolution=31)
    (boundary,) = contours(ax)
    assert vertices(boundary)[:, 0] == pytest.approx(0.5, abs=0.06)
    assert [d.get_offsets().tolist() for d in dots(ax)] == [X[[0, 2]].tolist(), X[[1, 3]].tolist()]
    pixels = np.asarray(ax.images[0].get_array())
    assert pixels.shape == (31, 31, 4)
    assert pixels[0, 0, :3] == pytest.approx(to_rgba(PALETTE[0])[:3])
    assert pixels[0, -1, :3] == pytest.approx(to_rgba(PALETTE[1])[:3])
    assert (*ax.get_xlim(), *ax.get_ylim()) == EXTENT
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "1"]


def test_regions_are_fainter_where_the_model_is_less_sure() -> None:
    alpha = plots.regions(X, [0, 1, 0, 1], predict=slope, extent=EXTENT, resolution=31).images[0].get_array()[0, :, 3]
    assert alpha[15] == pytest.approx(0.1)  # x = 0.5
    assert (np.diff(alpha[:16]) < 0).all()
    assert (np.diff(alpha[15:]) > 0).all()


def test_regions_of_three_classes_by_codes_and_names() -> None:
    def third(grid: Any) -> Any:
        return np.digitize(grid[:, 0], [0.0, 1.0])

    ax = plots.regions(X, [0, 1, 2, 1], predict=third, classes=["low", "mid", "high"], extent=EXTENT, resolution=61)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["low", "mid", "high"]
    low, mid, high = contours(ax)
    assert vertices(low)[:, 0] == pytest.approx(0.0, abs=0.06)
    assert vertices(high)[:, 0] == pytest.approx(1.0, abs=0.06)
    assert set(np.round(vertices(mid)[:, 0])) == {0.0, 1.0}


def test_a_model_in_place_of_a_function() -> None:
    data = mn.datasets.load("moons", points=100, seed=0)
    names = np.array(["up", "down"])[data.y]
    options: dict[str, Any] = {"spec": mn.MLP(hidden=(4,)), "recipe": mn.Recipe(epochs=2), "progress": False}
    model, several = mn.train(data.X, names, **options), mn.train(data.X, names, n_networks=2, **options)
    field: dict[str, Any] = {"extent": EXTENT, "resolution": 9}
    one, other = (plots.regions(data.X, names, predict=p, **field).images[0] for p in (model, model.predict_proba))
    assert (one.get_array() == other.get_array()).all()
    numbers = mn.train(data.X, data.X[:, 0], **options)
    one, other = (plots.surface(p, **field).collections[0] for p in (numbers, numbers.predict))
    assert (one.get_array() == other.get_array()).all()
    one, other = (plots.spread(p, **field).collections[0] for p in (several, several.predict_proba_each))
    assert (one.get_array() == other.get_array()).all()


def test_regions_of_one_class_have_no_boundary() -> None:
    ax = plots.regions(X, np.zeros(4, int), predict=lambda g: np.zeros(len(g), int), resolution=9)
    assert contours(ax) == []


def test_regions_around_points_that_do_not_vary() -> None:
    ax = plots.regions([[3.0, 1.0]], [1], predict=lambda g: np.ones(len(g), int), resolution=9)
    assert (*ax.get_xlim(), *ax.get_ylim()) == (2.5, 3.5, 0.5, 1.5)


def test_surface_is_filled_contours_with_the_points_on_the_same_scale() -> None:
    ax = plots.surface(lambda g: g[:, :1] + g[:, 1:], X=X, y=[0, 1, 1, 9], extent=EXTENT, resolution=11, label="price")
    (filled,) = contours(ax)
    assert filled.filled
    (marks,) = dots(ax)
    assert (filled.get_clim(), marks.get_clim()) == (pytest.approx((-2, 9)), (-2, 9))
    assert marks.get_array().tolist() == [0, 1, 1, 9]
    assert ax.figure.axes[1].get_ylabel() == "price"


def test_surface_of_a_constant_and_with_holes() -> None:
    ax = plots.surface(lambda g: np.ones(len(g)), extent=EXTENT, resolution=5)
    ax.figure.draw_without_rendering()
    ax = plots.surface(lambda g: np.where(g[:, 0] > 0, g[:, 1], np.nan), X=X, resolution=9)
    ax.figure.draw_without_rendering()


def test_surface_in_three_dimensions() -> None:
    ax: Any = plots.surface(lambda g: g[:, 0] * g[:, 1], X=X, y=[0, 0, 0, 1], three_d=True, resolution=9)
    assert ax.name == "3d"
    assert len(ax.collections) == 2  # the surface and the points
    assert ax.get_zlabel() == "output"
    given = Figure().add_subplot(projection="3d")
    assert plots.surface(lambda g: g[:, 0], extent=EXTENT, resolution=9, ax=given) is given
    with pytest.raises(OptionError, match="projection='3d'"):
        plots.surface(lambda g: g[:, 0], extent=EXTENT, three_d=True, ax=Figure().add_subplot())


def test_spread_of_outputs_is_their_standard_deviation() -> None:
    ax = plots.spread(lambda g: np.stack([g[:, 0], -g[:, 0]]), X=X, extent=(0, 2, 0, 2), resolution=5)
    filled = contours(ax)[0]
    assert isinstance(filled, QuadContourSet)
    assert filled.get_clim() == (0, 2)  # |x|, the standard deviation of x and -x
    assert "2 members" in ax.figure.axes[1].get_ylabel()


def test_spread_of_probabilities_draws_each_members_boundary() -> None:
    shifts = [-0.5, 0.0, 0.5]
    ax = plots.spread(lambda g: np.stack([slope(g + s) for s in shifts]), X=X, y=[0, 1, 0, 1], extent=EXTENT, resolution=61)
    lines = [c for c in contours(ax) if not c.filled]
    assert [float(vertices(line)[0, 0]) for line in lines] == pytest.approx([1.0, 0.5, 0.0, 0.5], abs=0.02)  # and the mean's
    assert len(dots(ax)) == 2
    few = plots.spread(lambda g: np.stack([slope(g)] * 5), extent=EXTENT, resolution=9, most_lines=2)
    assert len([c for c in contours(few) if not c.filled]) == 3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: plots.points(np.zeros((5, 784)), np.zeros(5)), "X has 784 columns, but this picture needs exactly 2"),
        (lambda: plots.regions(np.zeros((5, 784)), np.zeros(5), predict=split), "X has 784 columns"),
        (lambda: plots.surface(split, X=np.zeros((5, 784))), "X has 784 columns"),
        (lambda: plots.spread(split, X=np.zeros((5, 3))), "X has 3 columns"),
        (lambda: plots.points(np.zeros(5)), r"X has shape \(5,\)"),
        (lambda: plots.points(np.zeros((0, 2))), "X is empty"),
        (lambda: plots.points([[np.nan, 1.0]]), "1 values that are not finite"),
        (lambda: plots.points(X, [1, 2]), "X and y have lengths 4 and 2"),
        (lambda: plots.points(X, np.zeros((4, 2))), r"y has shape \(4, 2\)"),
        (lambda: plots.points(X, list("abcd"), task="regression"), "y must be numbers"),
        (lambda: plots.points(X, task="clustering"), "task is 'clustering'"),
        (lambda: plots.points(X, ["a", None, "b", "a"]), "y holds labels of several types, .*; give `classes`"),
        (lambda: plots.regions(X, [0, 1, 0, 1], predict=lambda g: np.zeros((len(g), 3))), "3 columns, but there are 2 classes"),
        (lambda: plots.regions(X, list("abab"), predict=lambda g: np.full(len(g), "c")), "'c', which is none of the classes"),
        (lambda: plots.regions(X, list("abab"), predict=slope, classes=["a", "c"]), "y holds 'b'"),
        (lambda: plots.regions(X, [0.1, 0.2, 0.3, 0.4], predict=split), "y holds numbers that are not whole, .* mn.plots.surface"),
        (lambda: plots.regions(X, [0, 1, 0, 1], predict="split"), "predict is 'split', but must be a function of points"),
        (lambda: plots.spread(mn.MLP(), X=X), r"predict is MLP\(.*, such as model.predict_each, or a Model"),
        (lambda: plots.regions(X, [0, 1, 0, 1], predict=split, extent=(1, 0, 0, 1)), "left < right"),
        (lambda: plots.regions(X, [0, 1, 0, 1], predict=split, resolution=1), "resolution is 1"),
        (lambda: plots.surface(split), "neither extent nor X"),
        (lambda: plots.surface(slope, X=X), "needs one output"),
        (lambda: plots.surface(lambda g: np.full(len(g), np.nan), X=X), "nowhere finite"),
        (lambda: plots.spread(lambda g: g[:, 0], X=X), "outputs of K members"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(call: Any, said: str) -> None:
    with pytest.raises((DataError, OptionError), match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
