"""Calibration and slices, against values computed by hand."""

from __future__ import annotations

import numpy as np
import polars
import pytest

import manynets as mn
from manynets.errors import OptionError
from manynets.explain import calibration, worst_slices
from tests.tolerances import assert_close


def test_calibration_by_hand() -> None:
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.3, 0.7]])
    found = calibration(shares, np.array([0, 1, 1, 0]), bins=2)  # all confidences are in the upper bin
    assert_close(found.probability, np.array([0.7375]), "float64")
    assert_close(found.right, np.array([0.5]), "float64")
    assert found.error == pytest.approx(0.2375)
    ten = calibration(shares, np.array([0, 1, 1, 0]), bins=10)
    assert ten.count.tolist() == [1, 1, 1, 1]
    assert ten.error == pytest.approx((abs(1 - 0.9) + 0.8 + abs(1 - 0.55) + 0.7) / 4)
    with pytest.raises(OptionError, match="bins is 0"):
        calibration(shares, [0, 0, 0, 0], bins=0)


def test_certain_and_right_is_calibrated() -> None:
    assert calibration(np.eye(3), np.arange(3)).error == 0.0


def test_the_group_that_is_served_worst_is_found() -> None:
    random = np.random.default_rng(0)
    frame = polars.DataFrame({"x": random.normal(size=600), "town": random.choice(["Bern", "Chur", "Genf"], 600)})
    noise = np.where((frame["town"] == "Chur").to_numpy(), 3.0, 0.1) * random.normal(size=600)
    y = 2 * frame["x"].to_numpy() + noise
    model = mn.train(frame, y, mn.MLP(hidden=()), mn.Recipe(optimizer=mn.Adam(lr=0.05), epochs=60), progress=False)
    first = worst_slices(model, frame, y)[0]
    assert (first.column, first.group) == ("town", "Chur")
    away = np.abs(model.predict(frame) - y)
    chosen = (frame["town"] == "Chur").to_numpy()
    assert first.rows == chosen.sum()
    assert first.loss == pytest.approx(away[chosen].mean())
    assert first.other_loss == pytest.approx(away[~chosen].mean())
    assert first.low < first.loss < first.high
    assert first.p < 1e-6


def test_no_group_is_named_where_all_are_alike() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(400, 5)).astype(np.float32)
    y = np.where(x[:, 0] > 0, "a", "b")
    y[random.random(400) < 0.2] = "a"
    named = 0
    for seed in range(5):
        model = mn.train(x[:, 1:], random.permutation(y), mn.MLP(hidden=()), mn.Recipe(epochs=1, seed=seed), progress=False)
        named += len(worst_slices(model, x[:, 1:], random.permutation(y)))
    assert named <= 1
