"""Piecewise-linear columns and the smooth clip, by hand and against torch."""

from __future__ import annotations

import numpy as np
import polars
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from manynets.errors import OptionError
from manynets.spec import PiecewiseLinear
from manynets.tables import fit_encoder
from manynets.tables.piecewise import SIZE, bins_for, fit_pieces
from manynets.tables.scaling import apply_spread, fit_spread
from tests.tolerances import assert_close


def test_columns_are_those_of_torch() -> None:
    values = np.random.default_rng(0).standard_normal(1000)
    pieces = fit_pieces(values, 8)
    assert pieces is not None
    edges = torch.quantile(torch.from_numpy(values), torch.linspace(0, 1, 9, dtype=torch.float64))
    through = ((torch.from_numpy(values)[:, None] - edges[:-1]) / (edges[1:] - edges[:-1])).clamp(0, 1)
    assert_close(pieces.columns(values), (through - through.mean(0)) * SIZE, "float64")


def test_few_values_are_the_edges() -> None:
    pieces = fit_pieces(np.array([3.0, 1.0, 2.0, 2.0, 7.0]), 8)
    assert pieces is not None
    assert pieces.edges == (1.0, 2.0, 3.0, 7.0)


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0] * 5])
def test_fewer_than_three_values_have_no_bins(values: list[float]) -> None:
    assert fit_pieces(np.array(values), 8) is None


def test_where_quantiles_coincide_other_values_get_the_bins() -> None:
    rest = np.random.default_rng(0).uniform(1, 2, 400)
    pieces = fit_pieces(np.concatenate([np.zeros(9600), rest]), 8)
    assert pieces is not None
    assert pieces.edges[0] == 0.0
    assert len(pieces.edges) == 9  # 0, and the quantiles of the others
    assert_close(np.array(pieces.edges[1:]), np.quantile(rest, np.linspace(0, 1, 8)), "float64")


@pytest.mark.parametrize("classes", [True, False])
def test_the_edges_of_a_tree_are_the_splits_of_scikit_learn(classes: bool) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(2000)
    target = np.searchsorted([-0.5, 0.2, 1.0], values) if classes else np.sin(3 * values) + 0.1 * rng.standard_normal(2000)
    pieces = fit_pieces(values, 12, target)
    assert pieces is not None
    kind = DecisionTreeClassifier if classes else DecisionTreeRegressor
    reference = kind(max_leaf_nodes=12, min_samples_leaf=64, min_impurity_decrease=1e-4, random_state=0)
    tree = reference.fit(values[:, None], target if classes else target / target.std()).tree_
    splits = np.sort(tree.threshold[tree.feature >= 0])
    assert len(splits) == (3 if classes else 11)
    assert_close(np.array(pieces.edges[1:-1]), splits, "float32")
    assert (pieces.edges[0], pieces.edges[-1]) == (values.min(), values.max())


def test_a_column_that_says_nothing_has_no_edges_of_a_tree() -> None:
    values = np.linspace(0.0, 1.0, 400)
    assert fit_pieces(values, 8, np.ones(400)) is None
    assert fit_pieces(values * 1e300, 8, (values > 0.5).astype(np.float64)) is not None


def test_an_encoder_finds_the_target_of_a_tree() -> None:
    frame = polars.DataFrame({"a": np.linspace(0.0, 1.0, 400)})
    tree = PiecewiseLinear(bins=4, by="tree")
    above = (np.arange(400) >= 200) ^ (np.arange(400) % 10 == 0)
    edges = [
        fit_encoder(frame, embedding=tree, y=y, rows=rows).columns[0].pieces.edges  # type: ignore[union-attr]
        for y in (above, np.where(above, "yes", "no"))
        for rows in (None, np.arange(100, 400))
    ]
    assert_close(np.array([0.5 in np.round(one, 2) for one in edges]), np.ones(4, dtype=bool), "bits")
    assert [round(one[0], 2) for one in edges] == [0.0, 0.25, 0.0, 0.25]
    with pytest.raises(OptionError, match="goes by the target; give y"):
        fit_encoder(frame, embedding=tree)


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_sizes_at_the_end_of_float64(size: float) -> None:
    values = np.linspace(-1, 1, 50) * size
    pieces = fit_pieces(values, 4)
    assert pieces is not None
    assert_close(pieces.columns(values), fit_pieces(values / size, 4).columns(values / size), "float64")  # type: ignore[union-attr]


def test_bins_grow_with_the_rows() -> None:
    assert [bins_for(rows) for rows in (10, 749, 750, 7200, 10**6)] == [4, 4, 5, 48, 48]


def test_smooth_scaling_is_the_formula_of_realmlp() -> None:
    values = np.concatenate([np.random.default_rng(0).standard_normal(999), [1e9]])
    spread = fit_spread(values, "smooth")
    quarter, middle, three = np.quantile(values, [0.25, 0.5, 0.75])
    z = (values - middle) / (three - quarter)
    assert_close(apply_spread(values, spread), z / np.sqrt(1 + (z / 3) ** 2), "float64")
    assert apply_spread(np.array([1e300]), spread) == pytest.approx(3.0)


def test_smooth_scaling_of_a_column_that_is_mostly_one_value() -> None:
    values = np.array([0.0] * 98 + [-1.0, 3.0])
    assert fit_spread(values, "smooth").scale == 2.0  # half of the range


def test_an_encoder_appends_them() -> None:
    frame = polars.DataFrame({"a": [1.0, 2.0, 4.0, None], "b": ["x", "y", "x", "x"]})
    encoder = fit_encoder(frame, scaling="smooth", embedding=PiecewiseLinear(bins=4))
    assert encoder.feature_names == ("a", "a=missing", "a 1..2", "a 2..4", "b=x", "b=y")
    assert encoder.piecewise.tolist() == [False, False, True, True, False, False]
    matrix = encoder.transform(frame)
    assert_close(
        matrix[:, 2:4],
        np.array([[-0.1875, -0.0625], [0.0625, -0.0625], [0.0625, 0.1875], [0.0625, -0.0625]], np.float32),
        "float32",
    )
