"""The score over a hyperparameter, and parallel coordinates."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from manynets import plots
from manynets.errors import DataError


def test_score_over_draws_the_networks_and_the_means() -> None:
    ax = plots.score_over([0.1, 0.01, 0.1], [1.0, 2.0, 4.0], name="lr", score="loss", log=True)
    assert ax.collections[0].get_offsets().tolist() == [[0.1, 1], [0.01, 2], [0.1, 4]]
    assert ax.lines[0].get_xydata().tolist() == [[0.01, 2], [0.1, 2.5]]
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "lr", "loss")
    assert plots.score_over([0, 0.1], [1, 2], log=True).get_xscale() == "symlog"
    assert plots.score_over([0, 0.1], [1, 2]).get_xscale() == "linear"
    assert len(plots.score_over([1, 2, 3], [1, 2, 3]).lines) == 0  # no value occurs twice


def test_score_over_values_that_are_no_numbers() -> None:
    ax = plots.score_over([(64, 32), (128,), None, (64, 32)], [1, 2, 3, 5])
    assert ax.collections[0].get_offsets().tolist() == [[0, 1], [1, 2], [2, 3], [0, 5]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["64-32", "128", "none"]
    assert plots.score_over([True, False], [1, 2]).get_xticklabels()[0].get_text() == "True"
    gap = plots.score_over([0.1, np.nan, 0.1], [1, 2, 3])
    assert [label.get_text() for label in gap.get_xticklabels()] == ["0.1", "nan"]


def test_fractions_are_numbers() -> None:
    values = [Fraction(1, 2), Fraction(1, 200), Fraction(1, 2)]
    assert plots.score_over(values, [1, 2, 3]).collections[0].get_offsets().tolist() == [[0.5, 1], [0.005, 2], [0.5, 3]]
    ax = plots.parallel_coordinates([{"lr": value, "loss": i} for i, value in enumerate(values)], score="loss")
    assert "0.005" in [text.get_text() for text in ax.texts]


def test_score_over_counts_what_has_no_score() -> None:
    ax = plots.score_over([1, 2, 3], [1.0, np.nan, np.inf])
    assert ax.collections[0].get_label() == "1 network (2 without a score left out)"
    assert plots.score_over([1, 2], [1.0, 2.0], noun="ensemble").collections[0].get_label() == "2 ensembles"
    some = plots.score_over([1, 1, 1, 2], [1.0, np.nan, 3.0, 5.0])
    assert some.lines[0].get_xydata().tolist() == [[1, 2], [2, 5]]  # the mean of those that have one


def test_score_over_refuses() -> None:
    with pytest.raises(DataError, match="none of the 2 scores is finite"):
        plots.score_over([1, 2], [np.nan, np.nan])
    with pytest.raises(DataError, match="values and scores have lengths 1 and 2"):
        plots.score_over([1], [1, 2])


ROWS = [
    {"lr": 0.001, "act": "relu", "drop": 0.0, "same": 1, "acc": 0.5},
    {"lr": 0.1, "act": "tanh", "drop": None, "same": 1, "acc": 0.9},
    {"lr": 0.01, "act": "relu", "drop": 0.5, "same": 1, "acc": 0.7},
    {"lr": 0.01, "act": "relu", "drop": 0.5, "same": 1, "acc": float("nan")},
]


def lines(ax: Any) -> list[Any]:
    return [artist for artist in ax.collections if isinstance(artist, LineCollection)]


def test_parallel_coordinates_places_each_row_on_each_scale() -> None:
    ax = plots.parallel_coordinates(ROWS, score="acc")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["lr", "act", "drop", "acc"]  # "same" never varies
    failed, drawn = lines(ax)
    heights = [segment[:, 1].tolist() for segment in drawn.get_segments()]  # from the worst score to the best
    assert heights[0] == pytest.approx([0, 0.25, 0, 0])
    assert heights[1] == pytest.approx([0.5, 0.25, 1, 0.5])  # lr is logarithmic
    assert heights[2] == pytest.approx([1, 0.75, -0.08, 1])  # no dropout: at the bottom
    assert drawn.get_array().tolist() == [0.5, 0.7, 0.9]
    assert [len(segment) for segment in failed.get_segments()] == [3]  # it ends before the score
    best = next(line for line in ax.lines if line.get_label() == "best: 0.9")
    assert best.get_ydata().tolist() == pytest.approx(heights[2])
    said = [text.get_text() for text in ax.texts]
    assert {"0.001", "0.01", "0.1", "relu", "tanh", "none", "0.5", "0.9"} <= set(said)
    assert said.count("none") == 1


def test_parallel_coordinates_where_lower_is_better() -> None:
    ax = plots.parallel_coordinates(ROWS, score="acc", higher_is_better=False)
    assert lines(ax)[1].get_array().tolist() == [0.9, 0.7, 0.5]
    assert any(line.get_label() == "best: 0.5" for line in ax.lines)


def test_parallel_coordinates_of_one_row_and_of_rows_with_other_entries() -> None:
    ax = plots.parallel_coordinates(ROWS[:1], score="acc")
    assert len(ax.get_xticks()) == 5
    ax = plots.parallel_coordinates([{"a": 1, "s": 1}, {"b": 2, "s": 2}], score="s")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "s"]
    ax.figure.draw_without_rendering()


def test_parallel_coordinates_refuses() -> None:
    with pytest.raises(DataError, match="rows is empty"):
        plots.parallel_coordinates([], score="s")
    with pytest.raises(DataError, match="score is 'x', but not every row has it; the entries are 'a', 's'"):
        plots.parallel_coordinates([{"a": 1, "s": 1}], score="x")
    with pytest.raises(DataError, match="none of the 1 rows has a finite 's'"):
        plots.parallel_coordinates([{"a": 1, "s": None}], score="s")
