"""History, learning curves, histograms over the epochs, activation functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import LogNorm

from manynets import plots
from manynets.errors import DataError, OptionError


def test_history_draws_pairs_in_one_colour() -> None:
    curves = {
        "train loss": [3.0, 2.0, 1.0],
        "validation loss": [3.5, 2.5, 2.0],
        "train accuracy": [0.1, 0.5, 0.9],
        "val_accuracy": [0.1, 0.4, 0.8],
        "test accuracy": [0.2, 0.3, 0.7],
    }
    ax = plots.history([1, 2, 3], curves, title="t", ylabel="value", best_epoch=2)
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines) == [*curves, "best epoch 2"]
    for name, values in curves.items():
        assert lines[name].get_xydata().tolist() == [[x, y] for x, y in zip([1, 2, 3], values, strict=True)]
    dashes = {name: line.get_linestyle() for name, line in lines.items()}
    assert dashes == dict(zip(lines, ["-", "--", "-", "--", ":", ":"], strict=True))
    colours = [lines[name].get_color() for name in curves]
    assert colours[0] == colours[1] != colours[2]
    assert colours[2] == colours[3] == colours[4]
    assert lines["best epoch 2"].get_xdata() == [2, 2]
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("t", "epoch", "value", "linear")


def test_history_joins_over_what_was_not_measured_and_leaves_out_empty_curves() -> None:
    ax = plots.history([1, 2, 3, 4], {"train": [4, 3, 2, 1], "validation": [np.nan, 3, np.nan, 2], "test": []})
    assert [line.get_label() for line in ax.lines] == ["train", "validation"]
    assert ax.lines[0].get_marker() == "None"
    assert ax.lines[1].get_xydata().tolist() == [[2, 3], [4, 2]]
    assert ax.lines[1].get_marker() == "o"


def test_history_of_one_epoch_shows_points() -> None:
    ax = plots.history([1], {"train": [2.0], "validation": [1.0]})
    assert {line.get_marker() for line in ax.lines} == {"o"}
    assert ax.get_xticks().tolist() == [1]


def test_history_on_a_logarithmic_scale_where_it_can_be() -> None:
    assert plots.history([1, 2], {"loss": [1, 0.1]}, log=True).get_yscale() == "log"
    assert plots.history([1, 2], {"loss": [-1, -2]}, log=True).get_yscale() == "linear"
    ax = plots.history([1, 2, 3], {"loss": [1, np.inf, np.nan]}, log=True)
    ax.figure.draw_without_rendering()


def test_history_refuses() -> None:
    with pytest.raises(DataError, match="curves holds no values"):
        plots.history([1], {"loss": []})
    with pytest.raises(DataError, match="epochs and curve 'loss' have lengths 2 and 3"):
        plots.history([1, 2], {"loss": [1, 2, 3]})
    with pytest.raises(OptionError, match="the curve of a spread is 'lose', but must be one of loss; did you mean 'loss'"):
        plots.history([1, 2], {"loss": [1, 2]}, spread={"lose": [1, 2]})


@pytest.mark.parametrize(("last", "logarithmic"), [(100.0, True), (0.0, False)])
def test_the_colours_of_learning_curves_are_logarithmic_too_where_they_can_be(last: float, logarithmic: bool) -> None:
    ax = plots.learning_curves([[1.0, 0.1], [2.0, last]], log=True)
    assert isinstance(ax.collections[0].norm, LogNorm) == logarithmic
    assert ax.get_yscale() == "log"


def test_learning_curves_draws_every_curve_the_median_and_the_best() -> None:
    curves = [[4.0, 2.0, 1.0], [6.0, 5.0], [8.0, np.nan, 3.0], []]
    ax = plots.learning_curves(curves, best=1, ylabel="loss")
    (lines,) = (artist for artist in ax.collections if isinstance(artist, LineCollection))
    assert lines.get_label() == "3 networks"
    assert [len(path) for path in lines.get_segments()] == [3, 2, 2]  # a NaN is no point
    assert lines.get_array().tolist() == [1, 5, 3]  # the last values
    drawn = {line.get_label(): line.get_ydata().tolist() for line in ax.lines}
    # epoch 2: 2, 5, and 8 carried on; epoch 3: 1, 5 carried on, 3
    assert drawn == {"median": [6.0, 5.0, 3.0], "best (network 1)": [6.0, 5.0]}
    assert ax.get_ylim()[0] < 1 < 8 < ax.get_ylim()[1]


def test_a_thousand_learning_curves_are_one_collection() -> None:
    curves = 1 / np.arange(1, 31) + np.random.default_rng(0).random((1000, 1))
    ax = plots.learning_curves(curves, log=True)
    assert ax.collections[0].get_label() == "1,000 networks"
    assert len(ax.collections[0].get_segments()) == 1000
    assert ax.lines[0].get_ydata() == pytest.approx(np.median(curves, axis=0))
    assert ax.get_yscale() == "log"
    assert [handle.get_alpha() for handle in ax.get_legend().legend_handles] == [1, 1]


def test_learning_curves_of_too_many_networks_are_a_fair_choice() -> None:
    curves = np.column_stack([np.zeros(101), np.random.default_rng(0).permutation(101)])
    ax = plots.learning_curves(curves, most=5)
    assert ax.collections[0].get_label() == "5 of 101 networks"
    assert sorted(ax.collections[0].get_array()) == [0, 25, 50, 75, 100]
    assert ax.lines[0].get_ydata().tolist() == [0, 50]  # the median is of all


def test_learning_curves_of_one_epoch_shows_points() -> None:
    ax = plots.learning_curves([[0.3], [0.2]])
    assert ax.lines[0].get_xydata().tolist() == [[1, 0.3], [1, 0.2]]


def test_learning_curves_refuses() -> None:
    with pytest.raises(DataError, match="none of the 2 curves holds a finite value"):
        plots.learning_curves([[], [np.nan]])
    with pytest.raises(DataError, match="best is 2, but there are 2 curves; give an index from 0 to 1"):
        plots.learning_curves([[1], [2]], best=2)


def test_distributions_counts_by_epoch() -> None:
    values = {"w": [[0.0, 0.0, 1.0], [1.0, 1.0, np.nan]], "g": [[5.0], [5.0]]}
    first, second = plots.distributions(values, epochs=[10, 20], bins=2)
    (mesh,) = (artist for artist in first.collections if isinstance(artist, QuadMesh))
    assert np.ma.filled(mesh.get_array(), 0).tolist() == [[1.0, 0.0], [0.5, 1.0]]  # rows: low and high bin; columns: epochs
    assert mesh.get_coordinates()[0, :, 0].tolist() == [5, 15, 25]
    assert first.lines[0].get_xydata().tolist() == [[10, 0], [20, 1]]
    assert (first.get_title(), second.get_title()) == ("w", "g")


def test_distributions_refuses() -> None:
    with pytest.raises(DataError, match="values is empty"):
        plots.distributions({})
    with pytest.raises(DataError, match="values is a list, but must be a dict"):
        plots.distributions([[1.0], [2.0]])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"values\['w'\] holds no finite number"):
        plots.distributions({"w": [[np.nan], []]})
    with pytest.raises(DataError, match="lengths 1 and 2"):
        plots.distributions({"w": [[1.0], [2.0]]}, epochs=[1])


def test_activations_draws_function_and_derivative() -> None:
    table = {"square": (np.square, lambda x: 2 * x), "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float))}
    axes = plots.activations(table, extent=(-2, 2))
    assert [ax.get_title() for ax in axes] == ["square", "relu"]
    x = np.linspace(-2, 2, 401)
    f, slope = axes[0].lines[-2:]
    assert np.array_equal(f.get_xydata(), np.column_stack([x, x**2]))
    assert np.array_equal(slope.get_ydata(), 2 * x)
    assert (f.get_linestyle(), slope.get_linestyle()) == ("-", "--")
    (alone,) = plots.activations({"square": table["square"]}, derivatives=False)
    assert len(alone.lines) == len(axes[0].lines) - 1
    with pytest.raises(DataError, match="curves is empty"):
        plots.activations({})


@pytest.mark.parametrize("epochs", [np.arange(1, 8), np.arange(1, 13), np.linspace(0.4, 9.6, 24), np.arange(1, 4) * 1.5])
def test_epochs_are_whole_numbers_on_the_axis(epochs: Any) -> None:
    for ax in (plots.history(epochs, {"train loss": 1 / epochs}), plots.learning_curves([1 / epochs, 2 / epochs])):
        ax.figure.canvas.draw()
        ticks = np.asarray(ax.get_xticks())
        assert (ticks == np.round(ticks)).all(), ticks


def test_an_ensemble_shows_its_spread_and_its_best_epochs() -> None:
    ax = plots.history(
        [1, 2, 3], {"validation loss": [3.0, 2.0, 1.5]}, spread={"validation loss": [1.0, 0.5, 0.5]}, best_epoch=(2, 3)
    )
    band = ax.collections[0].get_paths()[0].vertices
    assert {(1.0, 2.0), (1.0, 4.0), (3.0, 1.0), (3.0, 2.0)} <= {tuple(point) for point in np.asarray(band).tolist()}
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["validation loss", "best epochs 2 to 3"]
