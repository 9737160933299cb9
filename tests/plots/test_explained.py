"""Partial dependence: a curve for each row and their mean over one column, a heat map over two."""

from __future__ import annotations

import numpy as np

from manynets import plots
from manynets.explain import Dependence

ROWS = np.arange(12.0).reshape(2, 3, 2) ** 2  # of 2 rows at 3 values, 2 outputs


def test_curves_are_those_of_the_output_that_is_asked_for() -> None:
    found = Dependence(("size",), ([1.0, 2.0, 4.0],), ROWS.mean(axis=0), ROWS, ("low", "high"))
    for output in (0, 1):
        *of_rows, of_mean = plots.dependence(found, output=output).lines
        assert [line.get_ydata().tolist() for line in of_rows] == ROWS[..., output].tolist()
        assert of_mean.get_xydata().tolist() == np.column_stack([[1, 2, 4], ROWS[..., output].mean(axis=0)]).tolist()


def test_a_heat_map_has_the_first_column_across() -> None:
    mean = np.arange(6.0).reshape(3, 2)
    ax = plots.dependence(Dependence(("size", "town"), ([1.0, 2.0, 4.0], ["Bern", "Basel"]), mean, None, ("prediction",)))
    assert ax.images[0].get_array().tolist() == mean.T.tolist()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("size", "town")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "4"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Bern", "Basel"]


def test_the_names_of_columns_fit_beside_their_axes() -> None:
    for columns, grid in (((200 * "x",), ([1.0, 2.0],)), ((200 * "x", 200 * "y"), ([1.0, 2.0], [3.0, 4.0]))):
        ax = plots.dependence(Dependence(columns, grid, np.zeros((2,) * len(columns)), None, ("prediction",)))
        ax.figure.draw_without_rendering()
        inside = ax.figure.bbox
        for box in (ax.xaxis.label.get_window_extent(), ax.yaxis.label.get_window_extent()):
            assert inside.x0 <= box.x0 < box.x1 <= inside.x1
            assert inside.y0 <= box.y0 < box.y1 <= inside.y1
