"""The 2-D sets: hand values, equations, parts drawn apart, the meaning of noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from manynets.datasets import Dataset, blobs, circles, gauss, moons, plane, prod, quadrants, spirals, xor
from manynets.datasets.toys import quadrant, xor_label
from manynets.errors import OptionError

Toy = Callable[..., Dataset]
TOYS: dict[str, Toy] = {toy.__name__: toy for toy in (prod, xor, quadrants, blobs, moons, circles, spirals, gauss, plane)}
PARTS = ("", "_test", "_validation")

each_toy = pytest.mark.parametrize("toy", TOYS.values(), ids=TOYS)


def parts(data: Dataset) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(getattr(data, f"X{part}"), getattr(data, f"y{part}")) for part in PARTS]


def test_quadrants_are_counted_against_the_clock() -> None:
    points = np.array([[0.5, 0.1], [-0.5, 0.1], [-0.5, -0.1], [0.5, -0.1], [0.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])
    assert quadrant(points).tolist() == [0, 1, 2, 3, 0, 3, 1]


def test_xor_is_one_where_the_signs_differ() -> None:
    points = np.array([[0.5, 0.1], [-0.5, 0.1], [-0.5, -0.1], [0.5, -0.1], [0.0, 1.0], [0.0, -1.0]])
    assert xor_label(points).tolist() == [0, 1, 0, 1, 0, 1]


def test_without_noise_the_target_is_a_function_of_the_point() -> None:
    for X, y in parts(prod(500)):
        np.testing.assert_allclose(y, X[:, 0].astype(float) * X[:, 1], rtol=0, atol=3e-7)
    for X, y in parts(plane(500)):
        np.testing.assert_allclose(y, X.astype(float).sum(axis=1) / 10, rtol=0, atol=3e-7)
    for X, y in parts(xor(500)):
        assert (y == (X[:, 0] * X[:, 1] < 0)).all()
    for X, y in parts(quadrants(500)):
        degrees = np.degrees(np.arctan2(X[:, 1], X[:, 0])) % 360
        assert (y == degrees // 90).all()
    for X, y in parts(circles(500)):
        np.testing.assert_allclose(np.hypot(*X.T), np.where(y == 1, 0.5, 1.0), atol=1e-6)
    for X, y in parts(moons(500)):
        middle = np.where(y[:, None] == 1, [[1.0, 0.5]], [[0.0, 0.0]])
        np.testing.assert_allclose(np.hypot(*(X - middle).T), 1.0, atol=1e-6)
        assert (X[y == 0, 1] >= 0).all()
        assert (X[y == 1, 1] <= 0.5).all()
    for X, y in parts(spirals(500)):
        radius = np.hypot(*X.astype(float).T)
        angle = 0.7 * np.pi * radius + np.pi * (1 - y)
        np.testing.assert_allclose(X, np.column_stack([radius * np.sin(angle), radius * np.cos(angle)]), atol=1e-4)


def test_the_squares_are_filled() -> None:
    for toy, side in ((prod, 1), (xor, 1), (quadrants, 1), (plane, 6)):
        X = toy(4000).X
        assert X.min() >= -side
        assert X.max() <= side
        assert np.histogram2d(*X.T, bins=4, range=[[-side, side]] * 2)[0].min() > 150  # 250 are expected


def test_gauss_and_blobs_have_the_means_and_deviations_they_tell() -> None:
    data = gauss(20_000)
    for label, middle in ((0, -2.0), (1, 2.0)):
        cloud = data.X[data.y == label].astype(float)
        np.testing.assert_allclose(cloud.mean(axis=0), middle, atol=0.04)
        np.testing.assert_allclose(cloud.std(axis=0), 0.5**0.5, atol=0.03)
    data = blobs(20_000, noise=2.0, centers=3)
    assert data.X_test is not None
    assert data.y_test is not None
    for label in range(3):
        cloud, held = data.X[data.y == label].astype(float), data.X_test[data.y_test == label]
        np.testing.assert_allclose(cloud.std(axis=0), 5**0.5, atol=0.1)  # sqrt(1 + noise^2)
        np.testing.assert_allclose(held.mean(axis=0), cloud.mean(axis=0), atol=0.3)  # the same centres in all parts


@each_toy
def test_sizes_types_and_names(toy: Toy) -> None:
    data = toy(1000)
    for (X, y), rows in zip(parts(data), (1000, 250, 250), strict=True):
        assert X.shape == (rows, 2)
        assert X.dtype == np.float32
        assert y.dtype == (np.float32 if data.task == "regression" else np.int64)
        if data.class_names is not None:
            assert set(y.tolist()) == set(range(len(data.class_names)))
    assert data.name == toy.__name__
    assert data.feature_names == ("x1", "x2")
    assert data.task == {"prod": "regression", "plane": "regression", "quadrants": "multiclass", "blobs": "multiclass"}.get(
        data.name, "binary"
    )
    assert "1,000 points" in data.source
    assert len(parts(toy(100))[1][0]) == 100  # a held-out part has at least 100 rows


@pytest.mark.parametrize("toy", [blobs, moons, circles, spirals, gauss])
def test_classes_drawn_one_by_one_are_even_and_mixed(toy: Toy) -> None:
    y = toy(1001).y
    counts = np.bincount(y)
    assert counts.max() - counts.min() <= 1
    assert (y[:-1] != y[1:]).mean() > 0.4


@each_toy
def test_a_seed_gives_the_same_and_another_seed_other_points(toy: Toy) -> None:
    one, same, other = toy(200, noise=0.1, seed=3), toy(200, noise=0.1, seed=3), toy(200, noise=0.1, seed=4)
    for (X, y), (X_same, y_same) in zip(parts(one), parts(same), strict=True):
        assert X.tobytes() == X_same.tobytes()
        assert y.tobytes() == y_same.tobytes()
    assert not np.isin(one.X, other.X).any()


@each_toy
def test_no_point_is_in_two_parts(toy: Toy) -> None:
    rows = [tuple(row) for X, _ in parts(toy(2000)) for row in X.tolist()]
    assert len(set(rows)) == len(rows) == 3000


@each_toy
def test_the_parts_do_not_depend_on_the_number_of_points_of_another(toy: Toy) -> None:
    few, more = toy(200), toy(400)  # both hold out 100
    assert few.X_test is not None
    np.testing.assert_array_equal(few.X_test, more.X_test)


@pytest.mark.parametrize("toy", [prod, plane])
def test_noise_of_a_regression_is_on_the_target(toy: Toy) -> None:
    for (X, y), (X_clean, y_clean) in zip(parts(toy(8000, noise=0.3)), parts(toy(8000)), strict=True):
        np.testing.assert_array_equal(X, X_clean)
        assert abs((y - y_clean).std() - 0.3) < 0.02


@pytest.mark.parametrize("toy", [xor, quadrants, blobs, moons, circles, spirals, gauss])
def test_noise_of_classes_is_on_the_coordinates_and_labels_stay(toy: Toy) -> None:
    for (X, y), (X_clean, y_clean) in zip(parts(toy(8000, noise=0.3)), parts(toy(8000)), strict=True):
        np.testing.assert_array_equal(y, y_clean)
        np.testing.assert_allclose((X - X_clean).std(axis=0), 0.3, atol=0.02)


@each_toy
def test_numpys_global_generator_is_left_alone(toy: Toy) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    toy(100, noise=0.1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 9}, "points is 9, but must be a whole number from 10 to 10,000,000"),
        ({"points": 10**9}, "points is 1000000000, but"),
        ({"points": 50.0}, "points is 50.0, but"),
        ({"points": True}, "points is True, but"),
        ({"noise": -0.1}, "noise is -0.1, but must be a finite number of at least 0"),
        ({"noise": float("nan")}, "noise is nan, but"),
        ({"noise": "0.1"}, "noise is '0.1', but"),
        ({"seed": -1}, "seed is -1, but must be a whole number of at least 0"),
        ({"seed": None}, "seed is None, but"),
    ],
)
@each_toy
def test_an_option_out_of_range_is_refused(toy: Toy, options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        toy(**options)
    assert str(caught.value).startswith(message)


def test_blobs_with_other_numbers_of_centers() -> None:
    assert blobs(100, centers=2).task == "binary"
    assert blobs(100, centers=5).class_names == ("blob 0", "blob 1", "blob 2", "blob 3", "blob 4")
    with pytest.raises(OptionError, match="centers is 1, but must be a whole number from 2 to 10"):
        blobs(100, centers=1)
