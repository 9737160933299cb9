"""`TabularClassifier` and `TabularRegressor`: scikit-learn's checks, and the attributes of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest
from scipy import sparse
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import manynets as mn
from tests.tolerances import assert_close

random = np.random.default_rng(1)
X = random.standard_normal((120, 3))
FRAME = pandas.DataFrame(X, columns=["a", "b", "c"]).assign(d=random.choice(["u", "v"], 120))
LABELS = np.where(X[:, 0] + (FRAME["d"] == "u") > 0.5, "yes", "no")


def _fast(kind: type) -> Any:
    return kind(preset="fast", n_networks=3, random_state=0)


def _expected(estimator: Any) -> dict[str, str]:
    """The checks that scikit-learn lists as failing for estimators that visit rows in a random order."""
    why = "rows are visited in a random order, and fall into folds"
    return {f"check_sample_weight_equivalence_on_{kind}_data": why for kind in ("dense", "sparse")}


@parametrize_with_checks([_fast(mn.TabularClassifier), _fast(mn.TabularRegressor)], expected_failed_checks=_expected)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_a_frame_and_its_attributes() -> None:
    model = _fast(mn.TabularClassifier).fit(FRAME, LABELS)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert model.oof_prediction_.shape == (120, 2)
    assert_close(model.oof_prediction_.sum(axis=1), np.ones(120), "float64")
    assert (model.classes_[model.oof_prediction_.argmax(axis=1)] == LABELS).mean() > 0.8
    assert_close(model.predict_proba(FRAME), model.model_.predict_proba(FRAME), "bits")
    assert model.score(FRAME, LABELS) > 0.9


def test_out_of_fold_values_of_a_regressor() -> None:
    model = _fast(mn.TabularRegressor).fit(FRAME, X[:, 0] * 3 + X[:, 1] + 10)
    assert model.oof_prediction_.shape == (120,)
    assert np.corrcoef(model.oof_prediction_, X[:, 0] * 3 + X[:, 1])[0, 1] > 0.9


def test_numbers_far_from_0_keep_their_digits() -> None:
    far = 1.7e9 + X[:, 0] * 3 + X[:, 1]
    model = _fast(mn.TabularRegressor).fit(FRAME, far)
    assert model.predict(FRAME).dtype == np.float64
    assert np.corrcoef(model.predict(FRAME), far)[0, 1] > 0.95
    assert _fast(mn.TabularRegressor).fit(FRAME, far - 1.7e9).predict(FRAME).dtype == np.float32


@pytest.mark.parametrize("size", [1e-300, 1e39, 1e300])
def test_numbers_beyond_float32_are_predicted_in_float64(size: float) -> None:
    y = X[:, 0] * 3 + X[:, 1]
    model = _fast(mn.TabularRegressor).fit(FRAME, y * size)
    assert np.corrcoef(model.predict(FRAME) / size, y)[0, 1] > 0.95


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(("center", "size"), [(1e15, 1e3), (0.0, 1e39)])
def test_a_network_of_a_frame_predicts_with_all_digits_of_the_target(center: float, size: float) -> None:
    y = X[:, 0] * 3 + X[:, 1]
    net = mn.MLPRegressor(hidden_layer_sizes=(16,), learning_rate_init=0.02, random_state=0).fit(FRAME, center + y * size)
    assert np.corrcoef((net.predict(FRAME) - center) / size, y)[0, 1] > 0.9
    assert np.corrcoef((net.predict(FRAME, return_std=True)[0] - center) / size, y)[0, 1] > 0.9
    search = mn.MLPSearchCV(net, {"alpha": [0.0]}, cv=2).fit(FRAME, center + y * size)
    assert search.best_score_ > 0.5


def test_without_calibration_the_scores_stay_as_they_are() -> None:
    rows = pandas.concat(
        [FRAME, FRAME]
    )  # so many, and labels so bent, that there are no linear models with a temperature of their own
    labels = np.tile(np.where(np.abs(X[:, 0]) > 0.6, "yes", "no"), 2)
    hot = mn.TabularClassifier(preset="fast", n_networks=3, random_state=0, calibrate=None).fit(rows, labels)
    cold = _fast(mn.TabularClassifier).fit(rows, labels)
    temperature = cold.model_.info["temperature"]
    assert hot.model_.info["temperature"] == 1.0
    assert_close(
        cold.model_.logits(rows) * temperature, hot.model_.logits(rows).astype(np.float32) * np.float32(1.0), "float32_run"
    )


def test_a_validation_set_of_your_own() -> None:
    model = _fast(mn.TabularClassifier).fit(FRAME[:90], LABELS[:90], X_val=FRAME[90:], y_val=LABELS[90:])
    assert model.oof_prediction_ is None
    assert model.score(FRAME[90:], LABELS[90:]) > 0.8


@pytest.mark.parametrize("several", [False, True])
def test_rows_without_weight_have_no_prediction_out_of_fold(several: bool) -> None:
    weight = np.arange(120) % 4 > 0
    y = np.stack([LABELS == "yes", X[:, 1] > 0], axis=1).astype(int) if several else LABELS
    model = _fast(mn.TabularClassifier).fit(FRAME[["b", "c", "d"]], y, sample_weight=weight)
    assert (np.isnan(model.oof_prediction_).all(axis=1) == ~weight).all()


def test_decision_functions() -> None:
    two = _fast(mn.TabularClassifier).set_params(metric="f1").fit(FRAME, LABELS)
    scores, share = two.decision_function(FRAME), two.predict_proba(FRAME)[:, 1]
    threshold = two.model_.task.threshold
    assert scores.shape == (120,)
    assert_close(1 / (1 + np.exp(-scores) * (1 - threshold) / threshold), share, "float32_run")
    assert (two.predict(FRAME) == two.classes_[(scores > 0).astype(int)]).all()
    three = _fast(mn.TabularClassifier).fit(FRAME, np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5]))
    assert_close(np.exp(three.decision_function(FRAME)), three.predict_proba(FRAME), "float32_run")
    assert_close(np.exp(three.predict_log_proba(FRAME)), three.predict_proba(FRAME), "float32_run")
    labels = np.stack([X[:, 0] + X[:, 1] > 0, X[:, 1] > X[:, 2]], axis=1).astype(int)
    several = _fast(mn.TabularClassifier).fit(FRAME, labels)
    assert ((several.decision_function(FRAME) > 0) == several.predict(FRAME)).all()


def test_class_weights() -> None:
    rare = np.where(X[:, 1] + X[:, 2] > 1.9, "rare", "common")
    plain, balanced = (
        mn.TabularClassifier(preset="fast", n_networks=3, random_state=0, class_weight=weight).fit(FRAME[["a", "d"]], rare)
        for weight in (None, "balanced")
    )
    plain, balanced = plain.predict_proba(FRAME[["a", "d"]])[:, 1], balanced.predict_proba(FRAME[["a", "d"]])[:, 1]
    assert plain.mean() < 0.2 < balanced.mean()


def test_it_works_in_scikit_learns_tools() -> None:
    assert cross_val_score(_fast(mn.TabularClassifier), FRAME, LABELS, cv=3).mean() > 0.75


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_sparse_input_gives_the_same(make: Any) -> None:
    x = X * (np.abs(X) > 0.7)
    dense = _fast(mn.TabularClassifier).fit(x, LABELS, X_val=x, y_val=LABELS)
    thin = _fast(mn.TabularClassifier).fit(make(x), LABELS, X_val=make(x), y_val=LABELS)
    assert_close(thin.predict_proba(make(x)), dense.predict_proba(x), "bits")
    with pytest.raises(ValueError, match="infinity"):
        thin.predict(make(np.where(x == 0, 0, np.inf)))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="only one of X_val and y_val was given"):
        _fast(mn.TabularRegressor).fit(FRAME, X[:, 0], X_val=FRAME)
    with pytest.raises(ValueError, match="y has one class only, 'yes'"):
        _fast(mn.TabularClassifier).fit(FRAME, ["yes"] * 120)
    with pytest.raises(mn.OptionError, match="calibrate is 'isotonic', but must be 'auto' or None"):
        mn.TabularClassifier(calibrate="isotonic").fit(FRAME, LABELS)
    with pytest.raises(mn.OptionError, match="time_limit is '5', but must be a number of seconds above 0, or None"):
        mn.TabularClassifier(time_limit="5").fit(FRAME, LABELS)  # type: ignore[arg-type]
