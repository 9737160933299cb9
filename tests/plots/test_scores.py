"""Confusion matrix, ROC curves, predicted against true."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from manynets import plots
from manynets.errors import DataError, OptionError


def cells(ax: Any) -> dict[tuple[int, int], str]:
    return {text.get_position(): text.get_text() for text in ax.texts}


def test_confusion_writes_the_counts_with_the_truth_down() -> None:
    ax = plots.confusion([[60, 20], [0, 4]], classes=["no", "yes"], title="t")
    assert ax.images[0].get_array().tolist() == [[75, 25], [0, 100]]  # the colours: of few rows, "yes" is as dark as it is right
    assert cells(ax) == {(0, 0): "60", (1, 0): "20", (0, 1): "0", (1, 1): "4"}  # (column, row)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["no", "yes"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("predicted", "true", "t")


@pytest.mark.parametrize(
    ("normalise", "expected"),
    [
        ("none", [[75, 25], [0, 0]]),
        ("true", [[75, 25], [0, 0]]),  # a class without rows has no share
        ("predicted", [[100, 100], [0, 0]]),
        ("all", [[75, 25], [0, 0]]),
    ],
)
def test_confusion_in_percent(normalise: Any, expected: Any) -> None:
    ax = plots.confusion([[3, 1], [0, 0]], normalise=normalise)
    assert ax.images[0].get_array().tolist() == expected
    assert ax.images[0].get_clim() == (0, 100)
    assert ax.figure.axes[1].get_ylabel().startswith("% of ")


@pytest.mark.parametrize("size", [1, 10, 26, 40])
def test_confusion_figures_fit_their_cells_and_names_do_not_meet(size: int) -> None:
    ax = plots.confusion(np.full((size, size), 123), classes=[f"class number {i}" for i in range(size)])
    ax.figure.draw_without_rendering()
    cell = ax.get_window_extent().width / size
    assert len(ax.texts) == size * size
    assert max(text.get_window_extent().width for text in ax.texts[:40]) <= cell
    labels = [label.get_window_extent() for label in ax.get_xticklabels()]
    if size > 12:
        assert all(one.x1 <= two.x0 for one, two in itertools.pairwise(labels))


def test_confusion_of_many_classes_leaves_zeros_blank() -> None:
    assert len(plots.confusion(np.eye(26) * 7).texts) == 26
    assert len(plots.confusion(np.eye(12) * 7).texts) == 144
    assert len(plots.confusion(np.zeros((13, 13))).texts) == 0


@pytest.mark.parametrize(
    ("matrix", "options", "said"),
    [
        (np.zeros((2, 3)), {}, r"\(2, 3\), but a confusion matrix is square"),
        ([[1, -1], [0, 1]], {}, "matrix holds -1, but counts are 0 or more"),
        (np.zeros((0, 0)), {}, "matrix is empty"),
        (np.eye(2), {"classes": ["a"]}, "classes holds 1 names, but 2 are needed"),
        (np.eye(2), {"normalise": "rows"}, "normalise is 'rows', but must be one of none, true, predicted, all"),
    ],
)
def test_what_is_no_confusion_matrix(matrix: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises((DataError, OptionError), match=said):
        plots.confusion(matrix, **options)


def test_predicted_against_true_by_hand() -> None:
    # errors 0, 0, 0, 2: mean square 1; variance of 1, 2, 3, 4 is 1.25; R² = 1 - 1/1.25
    ax = plots.predicted_against_true([1, 2, 3, 4], [[1], [2], [3], [6]], name="price")
    assert ax.texts[0].get_text() == "R² 0.200\nRMSE 1.0000\n4 rows"
    assert ax.collections[0].get_offsets().tolist() == [[1, 1], [2, 2], [3, 3], [4, 6]]
    diagonal = ax.lines[0].get_xydata()
    assert (diagonal[:, 0] == diagonal[:, 1]).all()
    assert ax.get_xlim() == ax.get_ylim() == pytest.approx((0.8, 6.2))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("true price", "predicted price")


def test_predicted_against_a_truth_that_does_not_vary() -> None:
    assert plots.predicted_against_true([1.0], [2.0]).texts[0].get_text() == "RMSE 1.0000\n1 row"
    assert plots.predicted_against_true([1.0, 1.0], [1.0, 1.0]).texts[0].get_text() == "RMSE 0.0000\n2 rows"


@pytest.mark.parametrize(
    ("truth", "predicted", "said"),
    [
        ([1, 2], [1], "lengths 2 and 1"),
        ([], [], "y_true is empty"),
        ([1.0, 2.0], [1.0, np.nan], "y_pred holds 1 values that are not finite"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "one output is drawn at a time"),
    ],
)
def test_what_cannot_be_compared(truth: Any, predicted: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        plots.predicted_against_true(truth, predicted)


@pytest.mark.parametrize(
    ("positive", "scores", "area"),
    [
        ([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 0.75),  # of 4 pairs 3 are in order
        ([0, 1], [0.0, 1.0], 1.0),
        ([0, 1], [1.0, 0.0], 0.0),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], 0.5),  # all tied
        ([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8], 0.875),  # one pair tied: (3 + 1/2) / 4
        ([1, 0, 1, 0, 1], [0.9, 0.9, 0.2, 0.2, 0.5], (0.5 + 1 + 0 + 0.5 + 0 + 1) / 6),
    ],
)
def test_roc_auc_by_hand(positive: Any, scores: Any, area: float) -> None:
    assert plots.roc_auc(positive, scores) == pytest.approx(area, abs=1e-15)


def test_roc_auc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(60) < 0.4
    scores = rng.integers(0, 12, 60) + 2 * positive  # with many ties
    high, low = scores[positive][:, None], scores[~positive][None]
    pairs = float(np.mean((high > low) + 0.5 * (high == low)))
    assert plots.roc_auc(positive, scores) == pytest.approx(pairs, abs=1e-14)


def test_roc_curve_takes_rows_of_equal_score_together() -> None:
    false, true = plots.roc_curve([1, 0, 1, 0], [3, 2, 2, 1])
    assert false.tolist() == [0, 0, 0.5, 1]
    assert true.tolist() == [0, 0.5, 1, 1]


@pytest.mark.parametrize(
    "scores", [[0.1, 0.4, 0.35, 0.8], [[0.1], [0.4], [0.35], [0.8]], [[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]]]
)
def test_roc_of_two_classes(scores: Any) -> None:
    ax = plots.roc(["a", "a", "b", "b"], scores)
    assert [line.get_label() for line in ax.lines[1:]] == ["AUC 0.750"]
    false, true = plots.roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    assert ax.lines[1].get_xydata().tolist() == np.column_stack([false, true]).tolist()


def test_roc_of_three_classes_is_one_against_the_rest() -> None:
    scores = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.4, 0.3], [0.1, 0.2, 0.7]]
    by_name = plots.roc(["x", "y", "x", "z"], scores)
    by_code = plots.roc([0, 1, 0, 2], scores, classes=["x", "y", "z"])
    for ax in (by_name, by_code):
        assert [line.get_label() for line in ax.lines[1:]] == ["z  1.000", "y  1.000", "x  1.000"]
        assert ax.get_legend().get_title().get_text() == "AUC, mean 1.000"


def test_roc_leaves_out_a_class_without_rows() -> None:
    ax = plots.roc([0, 1, 0, 1], np.eye(3)[[0, 1, 0, 1]], classes=["x", "y", "z"])
    assert len(ax.lines) == 3  # the diagonal, x and y


def test_roc_of_many_classes_names_the_lowest() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 26, 400)
    scores = rng.random((400, 26))
    ax = plots.roc(y, scores, classes=range(26))
    named = [str(line.get_label()) for line in ax.lines if not str(line.get_label()).startswith("_")]
    areas = sorted((plots.roc_auc(y == c, scores[:, c]), c) for c in range(26))
    assert named == [f"{c}  {area:.3f}" for area, c in areas[6::-1]]  # the very lowest is drawn last, above the others
    assert len(ax.lines) == 27
    assert "the lowest 7" in ax.get_legend().get_title().get_text()


@pytest.mark.parametrize(
    ("truth", "scores", "options", "said"),
    [
        ([1, 1], [0.1, 0.2], {"classes": [0, 1]}, "all rows are of one class"),
        ([0, 1], [0.1], {}, "lengths 2 and 1"),
        ([0, 1], [0.1, np.nan], {}, "not finite"),
        ([0, 1, 2], np.zeros((3, 4)), {}, "4 columns, but there are 3 classes"),
        (["a", "q"], np.zeros((2, 3)), {"classes": ["a", "b", "c"]}, "y_true holds 'q', which is none of the classes"),
        ([0, 1], np.zeros((2, 2, 2)), {}, r"\(N,\) or \(N, C\)"),
    ],
)
def test_what_has_no_roc(truth: Any, scores: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        plots.roc(truth, scores, **options)


def test_roc_curve_needs_both() -> None:
    with pytest.raises(DataError, match="all 2 rows are positive"):
        plots.roc_curve([1, 1], [0.1, 0.2])
