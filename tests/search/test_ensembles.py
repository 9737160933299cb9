"""Ensembles of the estimators: networks trained at once, each as if trained alone, in one model file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning

import manynets as mn
from manynets import rng
from tests.tolerances import assert_close

X, Y = load_iris(return_X_y=True)
NX, NY = load_diabetes(return_X_y=True)
NX, NY = NX[:120] * 20, NY[:120] / 50

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def members_of(estimator: Any, k: int) -> dict[str, Any]:
    return estimator.model_.members[k]  # type: ignore[no-any-return]


def test_the_first_is_the_one_that_is_trained_alone_and_the_others_differ() -> None:
    one = mn.MLPClassifier(5, max_iter=6, random_state=3).fit(X, Y)
    many = mn.MLPClassifier(5, max_iter=6, random_state=3, n_networks=4).fit(X, Y)
    assert many.model_.size == 4
    assert_close(members_of(many, 0), members_of(one, 0), "float64")
    starts = {float(members_of(many, k)["hidden0.weight"][0, 0]) for k in range(4)}
    assert len(starts) == 4
    assert [layer.shape for layer in many.coefs_] == [(4, 4, 5), (4, 5, 3)]
    assert [layer.shape for layer in many.intercepts_] == [(4, 5), (4, 3)]


def test_prediction_is_the_mean_and_the_spread_is_there() -> None:
    model = mn.MLPClassifier(5, max_iter=6, random_state=0, n_networks=3).fit(X, Y)
    each = model.predict_proba(X, return_members=True)
    assert each.shape == (3, 150, 3)
    assert_close(model.predict_proba(X), each.mean(axis=0), "float64")
    assert np.array_equal(model.predict(X), each.mean(axis=0).argmax(axis=1))
    number = mn.MLPRegressor(hidden_layer_sizes=5, max_iter=6, random_state=0, n_networks=3).fit(NX, NY)
    mean, std = number.predict(NX, return_std=True)
    by_hand = []
    for k in range(3):
        p = members_of(number, k)
        hidden = np.maximum(NX @ p["hidden0.weight"].T + p["hidden0.bias"], 0)
        by_hand.append((hidden @ p["output.weight"].T + p["output.bias"])[:, 0])
    assert_close(mean, np.mean(by_hand, axis=0), "float64")
    assert_close(std, np.std(by_hand, axis=0), "float64")
    assert_close(number.predict(NX), mean, "float64")
    alone = mn.MLPRegressor(hidden_layer_sizes=5, max_iter=2, random_state=0).fit(NX, NY)
    assert not alone.predict(NX, return_std=True)[1].any()


def test_one_file(tmp_path: Path) -> None:
    model = mn.MLPClassifier(5, max_iter=3, random_state=0, n_networks=3).fit(X, Y)
    model.model_.save(tmp_path / "ensemble.safetensors")
    assert_close(mn.load(tmp_path / "ensemble.safetensors").predict_proba(X), model.predict_proba(X), "bits")


def test_bootstrap_rows_follow_from_the_seed() -> None:
    model = mn.MLPRegressor(
        hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, max_iter=500, tol=1e-12, random_state=0, n_networks=3, bootstrap=True
    ).fit(NX, NY)
    random = np.random.RandomState(0)  # scikit-learn's draws
    bound = np.sqrt(6 / 11)
    for k in range(3):
        random.uniform(-bound, bound, (10, 1))
        random.uniform(-bound, bound, 1)
        drawn = rng.generator(int(random.randint(2**31 - 1)), "bootstrap").integers(120, size=120)
        design = np.concatenate([NX[drawn], np.ones((120, 1))], axis=1)
        solution = np.linalg.lstsq(design, NY[drawn], rcond=None)[0]
        np.testing.assert_allclose(model.coefs_[0][k][:, 0], solution[:10], rtol=1e-3, atol=1e-4)


def test_early_stopping_lets_each_network_stop_on_its_own() -> None:
    model = mn.MLPClassifier(
        5, max_iter=60, random_state=0, early_stopping=True, n_iter_no_change=2, learning_rate_init=0.02, n_networks=6
    ).fit(X, Y)
    one = mn.MLPClassifier(5, max_iter=60, random_state=0, early_stopping=True, n_iter_no_change=2, learning_rate_init=0.02).fit(
        X, Y
    )
    assert_close(members_of(model, 0), members_of(one, 0), "float64")
    assert model.n_iter_ >= one.n_iter_
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_


def test_warm_start_and_partial_fit_go_on_with_every_network() -> None:
    kept = mn.MLPClassifier(5, max_iter=2, random_state=0, n_networks=3, warm_start=True).fit(X, Y)
    before = [members_of(kept, k)["output.weight"].copy() for k in range(3)]
    kept.fit(X, Y)
    assert len(kept.loss_curve_) == 4
    assert all(not np.array_equal(members_of(kept, k)["output.weight"], before[k]) for k in range(3))
    parts = mn.MLPClassifier(5, random_state=0, n_networks=3)
    single = mn.MLPClassifier(5, random_state=0)
    for _ in range(3):
        parts.partial_fit(X, Y, classes=[0, 1, 2])
        single.partial_fit(X, Y, classes=[0, 1, 2])
    assert_close(members_of(parts, 0), members_of(single, 0), "float64")
    with pytest.raises(ValueError, match="of 2 networks"):
        kept.set_params(n_networks=2).fit(X, Y)


def test_no_convergence_is_told_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mn.MLPClassifier(5, max_iter=2, random_state=0, n_networks=3).fit(X, Y)
    assert [w.category for w in caught] == [ConvergenceWarning]


@pytest.mark.parametrize(("name", "value"), [("n_networks", 0), ("n_networks", 1.5), ("bootstrap", "yes")])
def test_mistakes(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is"):
        mn.MLPClassifier(5, **{name: value}).fit(X, Y)
