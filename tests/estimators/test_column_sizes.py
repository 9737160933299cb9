"""Columns whose sizes ruin a network are named."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from manynets.errors import DataScaleWarning
from manynets.estimators.scales import column_sizes, scale_problem, warn_of_scales
from manynets.tables import read_table
from tests.tolerances import assert_close

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=(200, 3))


def test_columns_of_very_different_size_are_named() -> None:
    x = NORMAL * [1.0, 3e4, 1e-3]
    with pytest.warns(
        DataScaleWarning,
        match=r"MLPRegressor does not scale .* income \((29|3[01]),?\d*\); the columns of X have sizes from 0.00.*StandardScaler\(\), MLPRegressor.*TabularRegressor",
    ):
        warn_of_scales(x, ["age", "income", "rate"], estimator="MLPRegressor")
    assert scale_problem(x).startswith("column 1 (")
    assert scale_problem(NORMAL * [1.0, 50.0, 1e-3]).startswith("column 2 (0.00")
    assert "and 5 more" in scale_problem(np.full((3, 10), 500.0))
    assert scale_problem(np.full((3, 2), 1e-4)).startswith("column 0 (0.0001), column 1 (0.0001); ")
    assert "1e+300" in scale_problem(np.full((3, 1), 1e300))


@pytest.mark.parametrize(
    "x",
    [
        NORMAL,
        20 * NORMAL,
        NORMAL * [1.0, 20.0, 0.1],
        (RANDOM.random((5000, 4)) < [0.5, 0.1, 0.001, 0.0]).astype(float),  # rare words
        np.zeros((3, 2)),
        RANDOM.integers(0, 17, (100, 64)),
    ],
)
def test_ordinary_columns_are_fine(x: np.ndarray) -> None:  # type: ignore[type-arg]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_scales(x)


def test_size_by_hand() -> None:
    assert_close(column_sizes(np.array([[3.0, -1.0], [4.0, 0.0]])), np.array([np.sqrt(12.5), 1.0]), "float64")


@pytest.mark.parametrize(
    ("file", "bad"),
    [
        ("bike_sharing_hour/hour", True),
        ("california_housing/housing", True),
        ("wine_quality/winequality_red", False),
        ("letter/LetterRecognition", False),
        ("diamonds/diamonds", False),
        ("covertype/covertype", True),
        ("bank_marketing/bank_full", True),
        ("reg_elevators/elevators", True),
        ("penguins/penguins", True),
        ("abalone/abalone", False),
    ],
)
def test_real_tables(data_dir: Path, file: str, bad: bool) -> None:
    frame = read_table(data_dir / f"{file}.csv.gz")
    targets = {"cnt", "median_house_value", "quality", "price", "Rings"}
    numbers = frame.select([name for name, kind in frame.schema.items() if kind.is_numeric() and name not in targets]).drop_nulls()
    assert bool(scale_problem(numbers.to_numpy(), numbers.columns)) == bad
