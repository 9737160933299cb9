"""On the same data, with the same parameters and seed, both libraries take the same path: weights, losses, scores, epochs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import sklearn
from numpy.typing import NDArray
from sklearn import neural_network as theirs
from sklearn.model_selection import GridSearchCV

from manynets import MLPSearchCV
from manynets.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:lbfgs failed")

Array = NDArray[Any]
SKLEARN = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
_random = np.random.default_rng(0)
X = _random.normal(size=(120, 6))
TARGETS: dict[str, Array] = {
    "binary": np.where(X[:, 0] > 0, "yes", "no"),
    "multiclass": _random.integers(0, 3, 120),
    "multilabel": (X[:, :3] > 0).astype(int),
    "regression": 3 * X[:, 0] + 1,
    "outputs": X[:, :2] @ np.array([[1.0, 2.0], [0.5, -1.0]]) + _random.normal(size=(120, 2)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "sgd without nesterov": {"solver": "sgd", "nesterovs_momentum": False},
    "sgd without momentum": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.2},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.01, "max_iter": 400, "learning_rate_init": 0.2},
    "adam": {"solver": "adam"},
    "adam, tanh": {"activation": "tanh", "tol": 0.005, "n_iter_no_change": 3, "alpha": 0.5},
    "adam, logistic": {"activation": "logistic", "hidden_layer_sizes": (7, 5), "beta_1": 0.8, "epsilon": 1e-5},
    "early stopping": {"early_stopping": True, "learning_rate_init": 0.01, "validation_fraction": 0.2},
    "tol=0": {"early_stopping": True, "tol": 0.0, "max_iter": 60},
}


def both(kind: str, options: dict[str, Any], y: Array, *, x: Array = X, weight: Array | None = None) -> tuple[Any, Any]:
    name = "MLPRegressor" if kind in ("regression", "outputs", "poisson") else "MLPClassifier"
    ours = {"MLPRegressor": MLPRegressor, "MLPClassifier": MLPClassifier}[name](random_state=3, **options)
    return ours.fit(x, y, weight), getattr(theirs, name)(random_state=3, **options).fit(x, y, weight)


def largest_difference(ours: Any, reference: Any) -> float:
    pairs = zip(ours.coefs_ + ours.intercepts_, reference.coefs_ + reference.intercepts_, strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(("kind", "batch"), [*((kind, 50) for kind in TARGETS), ("binary", "auto"), ("regression", "auto")])
def test_the_path_is_scikit_learns(kind: str, option: str, batch: Any) -> None:
    """With batches of 50 of the 120 rows the order in which they come is scikit-learn's, too."""
    if kind == "binary" and OPTIONS[option].get("early_stopping") and SKLEARN < (1, 9):
        pytest.skip("before 1.9, scikit-learn's classifier cannot stop early with labels of text")
    ours, reference = both(kind, {**OPTIONS[option], "batch_size": batch}, TARGETS[kind])
    assert ours.n_iter_ == reference.n_iter_
    assert ours.t_ == reference.t_
    np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=0, atol=1e-10)
    assert largest_difference(ours, reference) < 1e-10
    assert ours.validation_scores_ == pytest.approx(reference.validation_scores_)
    assert ours.best_validation_score_ == pytest.approx(reference.best_validation_score_)
    assert ours.best_loss_ == pytest.approx(reference.best_loss_)
    assert ours.loss_ == pytest.approx(reference.loss_)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(reference, name), name
    predicted, expected = ours.predict(X), reference.predict(X)
    if predicted.dtype.kind == "f":
        np.testing.assert_allclose(predicted, expected, atol=1e-9)
    else:
        assert (predicted == expected).all()
        assert predicted.dtype == expected.dtype
        np.testing.assert_allclose(ours.predict_proba(X), reference.predict_proba(X), atol=1e-9)
        likely = reference.predict_proba(X) > 1e-6  # their 1 - p loses the digits of what is not
        with np.errstate(divide="ignore"):
            expected = reference.predict_log_proba(X)
        np.testing.assert_allclose(ours.predict_log_proba(X)[likely], expected[likely], atol=1e-8)


def test_the_comparison_can_fail() -> None:
    ours, reference = both("binary", {"max_iter": 5}, TARGETS["binary"])
    assert largest_difference(ours, reference) < 1e-12
    reference.coefs_[0][0, 0] += 1e-6
    assert largest_difference(ours, reference) > 5e-7


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_weighted_rows_take_the_same_path(kind: str) -> None:
    weight = np.random.default_rng(1).uniform(0.5, 3.0, 120)
    ours, reference = both(kind, {"alpha": 0.5}, TARGETS[kind], weight=weight)
    np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=0, atol=1e-10)
    assert largest_difference(ours, reference) < 1e-10


def test_poisson_takes_the_same_path() -> None:
    ours, reference = both("poisson", {"loss": "poisson"}, np.abs(TARGETS["regression"]))
    assert ours.out_activation_ == reference.out_activation_ == "exp"
    np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=0, atol=1e-10)
    assert largest_difference(ours, reference) < 1e-10


def test_a_whole_search_is_scikit_learns() -> None:
    """Trained together by MLPSearchCV, in batches: the scores of scikit-learn's search over its own estimator."""
    grid = {"learning_rate_init": [0.003, 0.03], "alpha": [1e-4, 0.3], "hidden_layer_sizes": [(6,), (5, 4)]}
    options = {"max_iter": 15, "batch_size": 32, "random_state": 3}
    ours = MLPSearchCV(MLPClassifier(**options), grid, cv=3).fit(X, TARGETS["binary"])
    reference = GridSearchCV(theirs.MLPClassifier(**options), grid, cv=3).fit(X, TARGETS["binary"])
    for fold in range(3):
        name = f"split{fold}_test_score"
        np.testing.assert_array_equal(ours.cv_results_[name], reference.cv_results_[name])
    assert ours.best_params_ == reference.best_params_
    assert largest_difference(ours.best_estimator_, reference.best_estimator_) < 1e-10


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_lbfgs_finds_the_same_weights(kind: str) -> None:
    ours, reference = both(kind, {"solver": "lbfgs", "alpha": 0.1, "max_iter": 12}, TARGETS[kind])
    assert ours.n_iter_ == reference.n_iter_
    assert ours.loss_ == pytest.approx(reference.loss_, abs=1e-10)
    assert largest_difference(ours, reference) < 1e-8


def test_float32_stays_float32_and_close() -> None:
    ours, reference = both("multiclass", {"max_iter": 50}, TARGETS["multiclass"], x=X.astype(np.float32))
    assert {w.dtype for w in ours.coefs_ + ours.intercepts_} == {np.dtype(np.float32)}
    assert ours.predict_proba(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=0, atol=1e-4)


@pytest.mark.parametrize("batch", ["auto", 50], ids=["whole", "batches"])
@pytest.mark.parametrize("option", ["sgd", "invscaling", "adam", "adaptive"])
def test_partial_fit_keeps_the_optimizer(option: str, batch: Any) -> None:
    options = {**OPTIONS[option], "random_state": 3, "batch_size": batch}
    ours, reference = MLPClassifier(**options), theirs.MLPClassifier(**options)
    y = TARGETS["multiclass"]
    for _ in range(25):
        ours.partial_fit(X, y, classes=[0, 1, 2])
        reference.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=0, atol=1e-10)
    assert largest_difference(ours, reference) < 1e-10
    assert ours.t_ == reference.t_ == 25 * 120
    assert ours.n_iter_ == reference.n_iter_ == 1


@pytest.mark.parametrize("batch", ["auto", 50], ids=["whole", "batches"])
@pytest.mark.parametrize("option", ["sgd", "adam", "early stopping"])
def test_warm_start_goes_on_as_scikit_learn_does(option: str, batch: Any) -> None:
    options = {**OPTIONS[option], "random_state": 3, "warm_start": True, "max_iter": 7, "batch_size": batch}
    ours, reference = MLPRegressor(**options), theirs.MLPRegressor(**options)
    for _ in range(3):
        ours.fit(X, TARGETS["regression"])
        reference.fit(X, TARGETS["regression"])
    np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=0, atol=1e-10)
    assert largest_difference(ours, reference) < 1e-10
    assert ours.best_validation_score_ == pytest.approx(reference.best_validation_score_)


def test_verbose_prints_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    options = {"verbose": True, "early_stopping": True, "max_iter": 60, "n_iter_no_change": 2, "random_state": 3}
    printed = []
    for cls in (MLPClassifier, theirs.MLPClassifier):
        cls(**options).fit(X, TARGETS["multiclass"])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "Validation score: " in printed[0]


def test_unfinished_training_warns_as_scikit_learn_does() -> None:
    texts = []
    for cls in (MLPClassifier, theirs.MLPClassifier):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cls(max_iter=3, batch_size=500, random_state=0).fit(X, TARGETS["binary"])
        texts.append([(w.category, str(w.message)) for w in caught])
        assert {w.filename for w in caught} == {__file__} or cls is theirs.MLPClassifier
    assert texts[0] == texts[1]
    assert len(texts[0]) == 2


@pytest.mark.parametrize("shuffle", [False, True], ids=["as they lie", "shuffled"])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_short_last_batch_has_its_own_share_of_the_penalty(solver: str, weighted: bool, shuffle: bool) -> None:
    weight = np.random.default_rng(1).uniform(0.5, 3.0, 120) if weighted else None
    options = {"solver": solver, "alpha": 0.5, "batch_size": 50, "shuffle": shuffle, "max_iter": 20}
    for kind in ("binary", "regression"):
        ours, reference = both(kind, options, TARGETS[kind], weight=weight)
        assert largest_difference(ours, reference) < 1e-10
        if not weighted:
            np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=0, atol=1e-10)
