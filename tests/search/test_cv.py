"""`MLPSearchCV` is scikit-learn's searches over our own estimators: the same results, from one training."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import manynets as mn
from manynets.search import processes
from manynets.training import groups, loop
from manynets.training.trial import Outcome

CANCER_X, CANCER_Y = load_breast_cancer(return_X_y=True)
CANCER_X = (CANCER_X - CANCER_X.mean(0)) / CANCER_X.std(0)
CANCER_X, CANCER_Y = CANCER_X[:160], CANCER_Y[:160]
NUMBERS_X, NUMBERS_Y = load_diabetes(return_X_y=True)
NUMBERS_X, NUMBERS_Y = NUMBERS_X[:120] * 20, NUMBERS_Y[:120] / 50
IRIS_X, IRIS_Y = load_iris(return_X_y=True)

NET = mn.MLPClassifier(6, max_iter=4, random_state=0, learning_rate_init=0.02)
REG = mn.MLPRegressor(hidden_layer_sizes=6, max_iter=4, random_state=0, learning_rate_init=0.02)
GRID = {"learning_rate_init": [0.003, 0.1], "hidden_layer_sizes": [(4,), (6, 3)], "alpha": [0.0, 1.0]}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::manynets.errors.LeakWarning"),  # two rows of iris are the same
]


def both(theirs: Any, ours: Any, X: Any, y: Any, **params: Any) -> tuple[Any, Any]:
    theirs.fit(X, y, **params)
    ours.fit(X, y, **params)
    assert_same_results(theirs, ours)
    return theirs, ours


def assert_same_results(theirs: Any, ours: Any) -> None:
    expected, found = theirs.cv_results_, ours.cv_results_
    assert set(found) == set(expected)
    for name, values in expected.items():
        if "time" in name:
            assert np.all(np.asarray(found[name])[np.isfinite(values)] >= 0)
        elif name == "params":
            assert list(found[name]) == list(values)
        elif name.startswith("param_"):
            assert found[name].tolist() == values.tolist()
        else:
            np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-12, err_msg=name)
    assert hasattr(ours, "best_index_") == hasattr(theirs, "best_index_")
    if hasattr(theirs, "best_index_"):
        assert ours.best_index_ == theirs.best_index_
        assert ours.best_params_ == theirs.best_params_
    if hasattr(theirs, "best_estimator_"):
        assert ours.refit_time_ > 0


def no_fit_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let single fits fail, so that a search that makes them instead of one training is found out."""
    monkeypatch.setattr("manynets.search.evaluation.Parallel", None)


@pytest.mark.parametrize(
    ("estimator", "grid", "X", "y", "options"),
    [
        (NET, GRID, CANCER_X, CANCER_Y, {}),
        (REG, GRID, NUMBERS_X, NUMBERS_Y, {"cv": 3}),
        (NET, GRID, IRIS_X, IRIS_Y, {"cv": 3, "scoring": "neg_log_loss", "return_train_score": True}),
        (NET, {"solver": ["sgd", "adamw", "rmsprop", "nadam", "adagrad", "lion"], "activation": ["tanh", "gelu"]}, IRIS_X, IRIS_Y,
         {"cv": 2}),
        (NET, {"early_stopping": [True, False], "batch_size": [16, "auto"], "max_iter": [3, 7]}, CANCER_X, CANCER_Y, {"cv": 3}),
        (NET, {"dropout": [0.0, 0.3], "batch_norm": [True, False], "label_smoothing": [0.0, 0.1]}, IRIS_X, IRIS_Y, {"cv": 3}),
        (NET, {"class_weight": [None, "balanced", {0: 3.0}], "early_stopping": [True, False]}, CANCER_X, CANCER_Y, {"cv": 3}),
        (NET, {"alpha": [0.0, 1.0], "random_state": [0, 1]}, CANCER_X, CANCER_Y, {"scoring": "roc_auc", "cv": 3}),
        # what is drawn depends on all of these
        (NET, {"activation": ["logistic", "sigmoid"], "init": ["sklearn", "xavier_uniform"], "random_state": [0, 1], "n_networks": [1, 2],
               "hidden_layer_sizes": [3, (2, 2)], "early_stopping": [True, False]}, IRIS_X, IRIS_Y,
         {"scoring": "neg_log_loss", "cv": 2}),
        (NET, {"alpha": [0.0, 1.0]}, CANCER_X, CANCER_Y, {"scoring": ["accuracy", "f1"], "refit": "f1", "cv": 3}),
        (NET, {"alpha": [0.0, 1.0]}, CANCER_X, CANCER_Y, {"scoring": ["accuracy", "neg_log_loss"], "refit": False, "cv": 3}),
        (NET, {"alpha": [0.0, 1.0]}, IRIS_X, IRIS_Y, {"cv": KFold(3)}),  # each fold lacks a class
        (NET, {"n_networks": [1, 3], "bootstrap": [True]}, CANCER_X, CANCER_Y, {"cv": 2}),
        (REG, {"loss": ["huber", "absolute_error", "poisson"]}, NUMBERS_X, NUMBERS_Y,
         {"scoring": "neg_mean_absolute_error", "cv": 2}),
        (REG, {"standardise_target": [True, False]}, NUMBERS_X, NUMBERS_Y,
         {"scoring": ["r2", "neg_mean_squared_error", "neg_root_mean_squared_error"], "refit": "r2", "cv": 2}),
        (REG, {"alpha": [0.0, 1.0]}, NUMBERS_X.astype(np.float32), np.stack([NUMBERS_Y, NUMBERS_X[:, 0]], 1), {"cv": 2}),
        (NET, {"alpha": [0.0, 1.0]}, CANCER_X, np.stack([CANCER_Y, CANCER_X[:, 0] > 0], 1).astype(int), {"cv": 2}),
    ],
)  # fmt: skip
def test_grid_search(estimator: Any, grid: Any, X: Any, y: Any, options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = GridSearchCV(estimator, grid, **options)
    theirs.fit(X, y)
    no_fit_alone(monkeypatch)
    ours = mn.MLPSearchCV(estimator, grid, **options).fit(X, y)
    tolerance = X.dtype == np.float32
    if not tolerance:
        assert_same_results(theirs, ours)
    else:
        np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-3)
    if hasattr(theirs, "best_estimator_"):
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6 if not tolerance else 1e-3)
        assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-6)


def test_any_scorer_any_splitter_groups_and_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def hits(estimator: Any, X: Any, y: Any) -> dict[str, float]:
        return {"hits": float((estimator.predict(X) == y).sum()), "depth": float(estimator.n_layers_)}

    weight = np.random.default_rng(0).uniform(0.1, 2.0, len(IRIS_X))
    groups = np.arange(len(IRIS_X)) // 5
    grid = {"alpha": [0.0, 1.0], "batch_norm": [True, False]}
    for options, params in (
        ({"cv": GroupKFold(3)}, {"groups": groups}),
        ({"cv": ShuffleSplit(3, random_state=1)}, {"sample_weight": weight}),
        ({"cv": [(np.arange(0, 150, 2), np.arange(1, 150, 2))], "scoring": hits, "refit": "hits"}, {}),
        ({"refit": lambda results: 1, "cv": StratifiedKFold(2)}, {"sample_weight": weight}),
    ):
        theirs = GridSearchCV(NET, grid, **options).fit(IRIS_X, IRIS_Y, **params)
        with monkeypatch.context() as patch:
            no_fit_alone(patch)
            ours = mn.MLPSearchCV(NET, grid, **options).fit(IRIS_X, IRIS_Y, **params)
        assert_same_results(theirs, ours)


def test_randomized_search() -> None:
    from scipy.stats import loguniform

    drawn = {"learning_rate_init": loguniform(1e-3, 1e-1), "alpha": [0.0, 0.1]}
    theirs = RandomizedSearchCV(NET, drawn, n_iter=5, random_state=3, cv=3)
    ours = mn.MLPSearchCV(NET, param_distributions=drawn, n_iter=5, random_state=3, cv=3)
    both(theirs, ours, IRIS_X, IRIS_Y)


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({}, {}),
        ({"solver": "sgd", "momentum": 0.9, "tol": 1e-2, "n_iter_no_change": 2}, {"min_resources": 2}),
        ({"solver": "sgd", "learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 1}, {"factor": 2}),
        ({"learning_rate": "cosine", "dropout": 0.2}, {"aggressive_elimination": True, "min_resources": 6}),
        ({"batch_norm": True, "dropout": 0.3, "solver": "rmsprop"}, {"factor": 2}),
        ({"early_stopping": True, "n_iter_no_change": 2}, {"factor": 2}),
        ({"learning_rate": "exponential", "solver": "nadam"}, {"min_resources": "smallest"}),
    ],
)
def test_halving_by_epochs(change: Any, options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that go on from where they were do as networks that are trained anew."""
    net = clone(NET).set_params(max_iter=18, **change)
    grid = {"learning_rate_init": [0.001, 0.01, 0.1], "alpha": [0.0, 1.0, 5.0]}
    kwargs = {"cv": StratifiedKFold(2), "return_train_score": True} | options
    theirs = HalvingGridSearchCV(net, grid, resource="max_iter", max_resources=18, **kwargs).fit(IRIS_X, IRIS_Y)
    steps: list[int] = []
    run = processes.train_what_can

    def count(problem: Any, members: Any, **more: Any) -> Any:
        out = run(problem, members, **more)
        steps.append(sum(len(outcome.history["epoch"]) for outcome in out))
        return out

    monkeypatch.setattr(processes, "train_what_can", count)
    no_fit_alone(monkeypatch)
    ours = mn.MLPSearchCV(net, grid, strategy="halving", **kwargs).fit(IRIS_X, IRIS_Y)
    expected = theirs.cv_results_
    assert_halved(theirs, ours)
    made = int((expected["n_resources"] * 2).sum())
    if not change:
        rounds = [int((expected["iter"] == i).sum()) for i in range(ours.n_iterations_)]
        spent = sum(n * 2 * (r - b) for n, r, b in zip(rounds, ours.n_resources_, [0, *ours.n_resources_], strict=False))
        assert sum(steps) == spent < made


def assert_halved(theirs: Any, ours: Any) -> None:
    """As the order of equal scores decides who goes on, rounds are compared by their candidates."""
    for name in ("n_resources_", "n_candidates_", "n_iterations_", "n_required_iterations_", "n_possible_iterations_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("n_remaining_candidates_", "min_resources_", "max_resources_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert_same_results(theirs, ours)
    assert ours.best_score_ == pytest.approx(theirs.best_score_, rel=1e-12)


@pytest.mark.parametrize("least", ["exhaust", "smallest"])
def test_halving_by_rows(least: str) -> None:
    grid = {"learning_rate_init": [0.001, 0.01, 0.1], "alpha": [0.0, 1.0]}
    common = {"resource": "n_samples", "cv": StratifiedKFold(2), "random_state": 0, "factor": 2, "return_train_score": True}
    common["min_resources"] = least
    theirs = HalvingGridSearchCV(NET, grid, **common).fit(IRIS_X, IRIS_Y)
    ours = mn.MLPSearchCV(NET, grid, strategy="halving", **common).fit(IRIS_X, IRIS_Y)
    assert_halved(theirs, ours)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more of the test scores")
def test_halving_lets_candidates_that_fail_drop_out_first() -> None:
    grid = {"activation": ["relu", "no such"], "alpha": [0.0, 1.0]}
    search = mn.MLPSearchCV(NET, grid, strategy="halving", factor=2, cv=2, refit=False).fit(IRIS_X, IRIS_Y)
    assert search.n_candidates_ == [4, 2, 1]
    assert {params["activation"] for params in search.cv_results_["params"][4:]} == {"relu"}


def test_of_equal_candidates_the_first_of_the_last_round_is_best() -> None:
    search = mn.MLPSearchCV(NET, {"alpha": [0.5, 0.5, 0.5]}, strategy="halving", factor=2, cv=2).fit(IRIS_X, IRIS_Y)
    assert search.cv_results_["iter"].tolist() == [0, 0, 0, 1, 1]
    assert search.best_index_ == 3


def test_a_pipeline_fits_its_first_steps_once_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []
    fit = StandardScaler.fit

    def counted(self: Any, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        fits.append(len(X))
        return fit(self, X, y, sample_weight)

    pipe = make_pipeline(StandardScaler(), NET)
    grid = {"mlpclassifier__alpha": [0.0, 1.0], "standardscaler__with_mean": [True, False]}
    theirs = GridSearchCV(pipe, grid, cv=3, scoring=["accuracy", "roc_auc"], refit="accuracy").fit(CANCER_X * 7 + 1, CANCER_Y)
    monkeypatch.setattr(StandardScaler, "fit", counted)
    no_fit_alone(monkeypatch)
    ours = mn.MLPSearchCV(pipe, grid, cv=3, scoring=["accuracy", "roc_auc"], refit="accuracy").fit(CANCER_X * 7 + 1, CANCER_Y)
    assert_same_results(theirs, ours)
    assert len(fits) == 2 * 3 + 1
    assert np.array_equal(ours.predict(CANCER_X), theirs.predict(CANCER_X))
    fits.clear()
    halved = mn.MLPSearchCV(pipe, {"mlpclassifier__alpha": [0.0, 1.0, 3.0]}, strategy="halving", cv=2).fit(CANCER_X, CANCER_Y)
    assert halved.n_resources_ == [1, 3]
    assert len(fits) == 2 + 1  # not once more in the second round


class Columns(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Keeps some columns; it learns nothing, and looks the same for all."""

    def __init__(self, mask: Any = None) -> None:
        self.mask = mask

    def fit(self, X: Any, y: Any = None) -> Self:
        return self

    def transform(self, X: Any) -> Any:
        return X[:, self.mask]

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return "Columns()"


def test_steps_that_look_the_same_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipeline([("columns", Columns()), ("net", NET)])
    grid = {"columns": [Columns(np.arange(30) < count) for count in (1, 30)]}
    theirs = GridSearchCV(pipe, grid, cv=3, error_score="raise").fit(CANCER_X, CANCER_Y)
    no_fit_alone(monkeypatch)
    ours = mn.MLPSearchCV(pipe, grid, cv=3).fit(CANCER_X, CANCER_Y)
    assert np.array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert len(set(ours.cv_results_["mean_test_score"])) == 2


def test_frames_are_encoded_by_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    import polars as pl

    r = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "a": CANCER_X[:, 0],
            "b": [str(k) for k in r.integers(0, 12, 160)],
            "c": [None if v < -1 else float(v) for v in CANCER_X[:, 1]],
        }
    )
    grid = {"alpha": [0.0, 1.0], "early_stopping": [True, False]}
    theirs = GridSearchCV(NET, grid, cv=3, return_train_score=True).fit(frame, CANCER_Y)
    no_fit_alone(monkeypatch)
    ours = mn.MLPSearchCV(NET, grid, cv=3, return_train_score=True).fit(frame, CANCER_Y)
    assert_same_results(theirs, ours)
    assert list(ours.feature_names_in_) == ["a", "b", "c"]
    numeric = frame.select("a").to_pandas()
    assert_same_results(
        GridSearchCV(NET, grid, cv=2).fit(numeric, CANCER_Y), mn.MLPSearchCV(NET, grid, cv=2).fit(numeric, CANCER_Y)
    )


def test_sparse_columns_and_text_labels() -> None:
    from scipy import sparse

    y = np.array(["no", "yes"])[CANCER_Y]
    grid = {"alpha": [0.0, 1.0]}
    X = sparse.csr_matrix(np.where(CANCER_X > 0, CANCER_X, 0))
    both(GridSearchCV(NET, grid, cv=2), mn.MLPSearchCV(NET, grid, cv=2), X, y)


def test_what_cannot_be_trained_with_others_is_fitted_alone() -> None:
    grid = [{"solver": ["lbfgs"], "max_iter": [5]}, {"solver": ["adam"], "alpha": [0.0, 1.0]}]
    both(GridSearchCV(NET, grid, cv=2), mn.MLPSearchCV(NET, grid, cv=2), IRIS_X, IRIS_Y)
    from sklearn.linear_model import LogisticRegression

    both(
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2),
        mn.MLPSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2),
        IRIS_X,
        IRIS_Y,
    )


def test_failures_are_named_and_the_rest_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = {"learning_rate_init": [0.01, 1e300], "activation": ["relu", "no such"], "hidden_layer_sizes": [(4,), (7,)]}

    class Small(loop.TrainingRun):
        def __init__(self, problem: Any, members: Any, **more: Any) -> None:
            if any(member.spec.hidden == (7,) for member in members):
                raise MemoryError("no room for seven")
            super().__init__(problem, members, **more)

    monkeypatch.setattr(groups, "TrainingRun", Small)
    sgd = clone(NET).set_params(solver="sgd")
    with pytest.warns() as caught:
        search = mn.MLPSearchCV(sgd, grid, cv=2).fit(IRIS_X, IRIS_Y)
    [failed] = [str(w.message) for w in caught if issubclass(w.category, FitFailedWarning)]
    assert "14 fits failed out of a total of 16" in failed
    for text in ("no room for seven", "activation is 'no such'", "non-finite"):
        assert text in failed
    scores = search.cv_results_["mean_test_score"]
    [good] = np.flatnonzero(np.isfinite(scores))
    params = search.cv_results_["params"][good]
    assert params == {"learning_rate_init": 0.01, "activation": "relu", "hidden_layer_sizes": (4,)}
    assert search.best_params_ == params
    alone = GridSearchCV(sgd, {k: [v] for k, v in params.items()}, cv=2).fit(IRIS_X, IRIS_Y)
    assert scores[good] == pytest.approx(alone.cv_results_["mean_test_score"][0], rel=1e-12)
    with pytest.raises(ValueError, match="activation is 'no such'"):
        mn.MLPSearchCV(sgd, {"activation": ["no such"]}, error_score="raise").fit(IRIS_X, IRIS_Y)
    with pytest.raises(ValueError, match=r"All the 2 fits failed"):
        mn.MLPSearchCV(sgd, {"activation": ["no such"]}, cv=2).fit(IRIS_X, IRIS_Y)


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_the_candidates_of_a_fold_share_their_rows(weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[tuple[int, int]] = []

    class Seen(loop.TrainingRun):
        def run(self) -> list[Outcome]:
            orders.append((len(self.stepper.batches.which), len(self.stepper.batches.counts)))
            return super().run()

    monkeypatch.setattr(groups, "TrainingRun", Seen)
    more = {"sample_weight": np.linspace(0.5, 1.5, len(IRIS_Y))} if weighted else {}
    grid = {"learning_rate_init": np.geomspace(1e-3, 1e-1, 9).tolist()}
    mn.MLPSearchCV(clone(NET).set_params(random_state=0), grid, cv=3, refit=False).fit(IRIS_X, IRIS_Y, **more)
    assert orders == [(27, 3)]


def test_one_warning_counts_what_did_not_converge() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mn.MLPSearchCV(NET, {"alpha": [0.0, 1.0]}, cv=2, refit=False).fit(CANCER_X, CANCER_Y)
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert "in 4 of 4 fits" in str(caught[0].message)


def test_it_is_a_scikit_learn_estimator() -> None:
    search = mn.MLPSearchCV(NET, {"alpha": [0.0, 1.0]}, cv=2)
    assert clone(search).get_params()["param_grid"] == {"alpha": [0.0, 1.0]}
    assert "MLPClassifier" in search._repr_html_()
    assert not hasattr(search, "classes_")
    search.fit(IRIS_X, IRIS_Y)
    assert search.predict_proba(IRIS_X[:3]).shape == (3, 3)
    assert (search.n_splits_, search.n_features_in_, search.classes_.tolist()) == (2, 4, [0, 1, 2])
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    search.fit(IRIS_X, IRIS_Y)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"param_grid": None}, "give one of param_grid"),
        ({"param_distributions": {"alpha": [1]}}, "give one of param_grid"),
        ({"strategy": "half"}, "strategy is 'half'"),
        ({"strategy": "halving", "factor": 1}, "factor is 1"),
        ({"strategy": "halving", "resource": "rows"}, "resource is 'rows'"),
        ({"strategy": "halving", "resource": "alpha"}, "alpha is the resource"),
        ({"strategy": "halving", "min_resources": 100}, "more than max_resources=4"),
        ({"batch": 0}, "batch is 0"),
        ({"cv": []}, "No fits were performed. Was the CV iterator empty"),
        ({"sampler": object()}, "a sampler needs param_distributions"),
        ({"scoring": lambda net, X, y: {"a": 1.0, "b" if net.alpha else "c": 1.0}}, r"\['a', 'c'\] for one fit and \['a', 'b'\]"),
        ({"scoring": lambda net, X, y: {"a": 1.0} if net.alpha else 1.0}, r"returns 1.0 for one fit and \['a'\] for another"),
    ],
)
def test_mistakes(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mn.MLPSearchCV(**{"estimator": NET, "param_grid": {"alpha": [0.0, 1.0]}, "cv": 2} | options).fit(IRIS_X, IRIS_Y)
