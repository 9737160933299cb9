"""Patience and plateaus by hand, for networks that differ."""

from __future__ import annotations

import math

import numpy as np

import manynets as mn
from manynets.early_stopping import Patience

STOP = mn.EarlyStopping(patience=2, min_delta=0.1)
RECIPES = [
    mn.Recipe(),
    mn.Recipe(stopping=STOP),
    mn.Recipe(stopping=mn.EarlyStopping(patience=2, min_delta=0.1, factor=0.5)),
    mn.Recipe(schedule=mn.ReduceOnPlateau(factor=0.1, patience=1, min_delta=0.0)),
]


def test_patience_by_hand() -> None:
    patience = Patience(RECIPES)
    every = np.ones(4, dtype=bool)
    assert patience.evaluations_left(every) == 2
    assert patience.evaluations_left(np.array([True, False, False, False])) == math.inf
    assert patience.judge(np.full(4, 1.0)).all()
    assert patience.bad.tolist() == [0, 0, 0, 0]
    assert patience.judge(np.full(4, 0.95)).all()  # a new best, but by less than min_delta
    assert patience.bad.tolist() == [0, 1, 1, 0]
    assert patience.evaluations_left(every) == 1
    assert not patience.judge(np.full(4, 0.95)).any()
    assert patience.exhausted.tolist() == [False, True, False, False]
    assert patience.factor.tolist() == [1.0, 1.0, 0.5, 1.0]  # instead of stopping the third goes on more slowly
    patience.judge(np.full(4, 0.95))
    assert patience.factor.tolist() == [1.0, 1.0, 0.5, 0.1]
    patience.take(np.array([3, 1]))
    assert patience.factor.tolist() == [0.1, 1.0]
    assert patience.exhausted.tolist() == [False, True]


def test_several_evaluations_at_once_as_one_by_one() -> None:
    """As long as only the last ends a patience."""
    patient = [mn.Recipe(stopping=mn.EarlyStopping(patience=9, min_delta=0.1, inclusive=inclusive)) for inclusive in (False, True)]
    plateau = mn.Recipe(schedule=mn.ReduceOnPlateau(factor=0.5, patience=9, min_delta=0.1))
    values = np.round(np.random.default_rng(0).uniform(0, 1, (40, 4)), 1)
    values[[3, 17], [0, 1]] = np.nan, np.inf
    one_by_one, at_once = Patience([mn.Recipe(), *patient, plateau]), Patience([mn.Recipe(), *patient, plateau])
    for start in range(0, len(values), 5):
        better = [one_by_one.judge(one) for one in values[start : start + 5]]
        np.testing.assert_array_equal(at_once.judge(values[start : start + 5]), better[-1])
        for name, value in vars(one_by_one).items():
            np.testing.assert_array_equal(getattr(at_once, name), value, err_msg=name)


def test_a_value_that_is_not_a_number_is_passed_over() -> None:
    patience = Patience([mn.Recipe()])
    assert patience.judge(np.array([[1.0], [np.nan], [0.5]])).all()
    assert not patience.judge(np.array([[0.75], [np.nan]])).any()
    assert (patience.best_figure.tolist(), patience.bad.tolist()) == ([0.5], [2])


def test_what_is_watched() -> None:
    columns = {"loss": np.array([[1.0, 1.0, 1.0]]), "accuracy": np.array([[0.5, 0.5, 0.5]]), "penalty": np.array([[0.2, 0.2, 0.2]])}
    patience = Patience([mn.Recipe(), mn.Recipe(watch="metric"), mn.Recipe(watch="objective")])
    assert patience.values(columns, "accuracy").tolist() == [[1.0, -0.5, 1.2]]
    held_out = columns | {"val_loss": np.array([[2.0, 2.0, 2.0]]), "val_accuracy": np.array([[0.25, 0.25, 0.25]])}
    assert patience.values(held_out, "accuracy").tolist() == [[2.0, -0.25, 1.2]]


def test_a_gain_of_just_min_delta() -> None:
    """It is enough only where the bound is inclusive, as in scikit-learn's estimators."""
    patience = Patience([mn.Recipe(stopping=mn.EarlyStopping(min_delta=0.5, inclusive=inclusive)) for inclusive in (False, True)])
    patience.judge(np.full(2, 1.0))
    patience.judge(np.full(2, 0.5))
    assert patience.bad.tolist() == [1, 0]


def test_a_network_whose_rate_has_come_down_to_the_least_stops() -> None:
    """A rate of exactly `min_lr` is not lowered again, as in scikit-learn."""
    stopping = mn.EarlyStopping(patience=1, factor=0.5, min_lr=0.25)
    patience = Patience([mn.Recipe(optimizer=mn.Adam(lr=0.5), stopping=stopping)])
    seen = []
    for _ in range(3):
        patience.judge(np.ones(1))
        seen.append((float(patience.factor[0]), bool(patience.exhausted[0])))
    assert seen == [(1.0, False), (0.5, False), (0.5, True)]


def test_a_plateau_lowers_the_rate_to_its_least() -> None:
    """After two evaluations without improvement, not after one; from 0.1 by a factor of 10, but not below 0.005."""
    plateau = mn.ReduceOnPlateau(factor=0.1, patience=1, min_delta=0.0, min_lr=0.005)
    patience = Patience([mn.Recipe(optimizer=mn.Adam(lr=0.1), schedule=plateau)])
    factors = []
    for _ in range(7):
        left = patience.evaluations_left(np.array([True]))
        patience.judge(np.ones(1))
        factors.append((left, float(patience.factor[0])))
    assert [left for left, _ in factors] == [2, 2, 1, 2, 1, 2, 1]
    np.testing.assert_allclose([factor for _, factor in factors], [1, 1, 0.1, 0.1, 0.05, 0.05, 0.05])
