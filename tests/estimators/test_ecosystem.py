"""scikit-learn's tools on our estimators: clone, pipelines, searches, routing, pickle, joblib, sparse input."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from scipy import sparse
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import manynets as mn
from manynets.errors import DataError
from manynets.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:lbfgs failed")

_random = np.random.default_rng(0)
X = _random.normal(size=(120, 4))
Y = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]
FAST: dict[str, Any] = {"hidden_layer_sizes": (8,), "learning_rate_init": 0.02, "max_iter": 30, "random_state": 0}


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_parameters_are_scikit_learns_in_their_order_and_more(name: str) -> None:
    ours, reference = inspect.signature(getattr(mn, name)), inspect.signature(getattr(theirs, name))
    for parameter, given in reference.parameters.items():
        assert ours.parameters[parameter].default == given.default, parameter
        assert ours.parameters[parameter].kind == given.kind, parameter
    assert list(ours.parameters)[: len(reference.parameters)] == list(reference.parameters)
    public = {member for member in dir(getattr(theirs, name)) if not member.startswith("_")}
    assert public <= set(dir(getattr(mn, name)))
    text = inspect.getdoc(getattr(mn, name)) or ""
    assert [parameter for parameter in ours.parameters if parameter not in text] == []


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_fitted_attributes_are_scikit_learns_and_more(name: str) -> None:
    frame, y = pd.DataFrame(X, columns=list("abcd")), (X[:, 0] > 0).astype(int)
    for options in ({}, {"early_stopping": True}, {"solver": "lbfgs"}):
        ours, reference = (getattr(room, name)(**FAST, **options).fit(frame, y) for room in (mn, theirs))
        for attribute in (a for a in vars(reference) if a.endswith("_") and not a.startswith("_")):
            a, b = getattr(ours, attribute), getattr(reference, attribute)
            assert type(a) is type(b) or np.ndim(a) == np.ndim(b) == 0, attribute
            if isinstance(b, np.ndarray):
                assert a.tolist() == b.tolist(), attribute
                assert a.dtype == b.dtype, attribute


def test_clone_keeps_all_parameters() -> None:
    model = MLPClassifier(**FAST, learning_rate=mn.Cosine(warmup=0.1), class_weight={"no": 2.0}, dropout=(0.1,))
    copied = clone(model.fit(X, Y))
    assert copied.get_params() == model.get_params()
    assert not hasattr(copied, "coefs_")


def test_pipeline_and_searches() -> None:
    pipe = make_pipeline(StandardScaler(), MLPClassifier(**FAST))
    assert cross_val_score(pipe, X, Y, cv=3).min() > 0.8
    search = GridSearchCV(pipe, {"mlpclassifier__alpha": [1e-4, 100.0], "mlpclassifier__dropout": [0.0, 0.2]}, cv=3, n_jobs=2)
    assert search.fit(X, Y).best_params_["mlpclassifier__alpha"] == 1e-4
    frame = pd.DataFrame(X, columns=list("abcd"))
    columns = ColumnTransformer([("scaled", StandardScaler(), ["a", "b"])]).set_output(transform="pandas")
    named = make_pipeline(columns, MLPRegressor(**FAST)).set_output(transform="pandas").fit(frame, X[:, 0])
    assert named[-1].feature_names_in_.tolist() == ["scaled__a", "scaled__b"]
    many = MultiOutputClassifier(MLPClassifier(**FAST)).fit(X, np.stack([Y, Y[::-1]], axis=1))
    assert many.predict(X).shape == (120, 2)


@pytest.mark.skipif(sklearn.__version__.startswith("1.7."), reason="a Pipeline of scikit-learn 1.7 routes no weights to `score`")
def test_metadata_routing() -> None:
    weight = np.where(Y == "yes", 1.0, 1e-9)
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier(**FAST).set_fit_request(sample_weight=True, X_val=False, y_val=False)
        found = cross_validate(
            make_pipeline(model.set_score_request(sample_weight=True)), X, Y, params={"sample_weight": weight}, cv=3,
            return_estimator=True,
        )  # fmt: skip
        assert all((one.predict(X) == "yes").mean() > 0.9 for one in found["estimator"])
        model.set_partial_fit_request(sample_weight=True, classes=True)


@pytest.mark.parametrize("options", [{}, {"batch_norm": True}, {"solver": "lbfgs"}])
def test_pickle_and_joblib(tmp_path: Path, options: dict[str, Any]) -> None:
    model = MLPClassifier(**FAST, **options).fit(X, Y)
    data = pickle.dumps(model)
    joblib.dump(model, tmp_path / "model.joblib")
    for loaded in (
        pickle.loads(data),
        joblib.load(tmp_path / "model.joblib"),
        joblib.load(tmp_path / "model.joblib", mmap_mode="r"),
    ):
        assert (loaded.predict_proba(X) == model.predict_proba(X)).all()
        if not options.get("solver"):
            a, b = (pickle.loads(data).partial_fit(X, Y), loaded.partial_fit(X, Y))
            assert all((v == w).all() for v, w in zip(a.coefs_, b.coefs_, strict=True))
    weights = sum(w.nbytes for w in model.coefs_ + model.intercepts_)
    assert len(data) < 5 * weights + 20_000  # the model, coefs_, and two moments of adam


def test_fits_in_several_processes_are_equal() -> None:
    models = joblib.Parallel(n_jobs=2)(joblib.delayed(MLPClassifier(**FAST).fit)(X, Y) for _ in range(2))
    assert all((a == b).all() for a, b in zip(models[0].coefs_, models[1].coefs_, strict=True))


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_sparse_input_gives_the_same(make: Any) -> None:
    x = X * (np.abs(X) > 0.7)
    dense, thin = MLPClassifier(**FAST).fit(x, Y, X_val=x, y_val=Y), MLPClassifier(**FAST).fit(make(x), Y, X_val=make(x), y_val=Y)
    assert all((a == b).all() for a, b in zip(dense.coefs_, thin.coefs_, strict=True))
    assert (dense.predict_proba(x) == thin.predict_proba(make(x))).all()


def test_sparse_tensors_are_refused() -> None:
    x, y = torch.from_numpy(X), torch.from_numpy(X[:, 0] > 0)
    for method in (MLPClassifier(**FAST).fit, mn.TabularClassifier().fit, MLPClassifier(**FAST).fit(x, y).score):
        with pytest.raises(DataError, match=r"X is sparse \(Tensor\); make it dense, with X.to_dense\(\)$"):
            method(x.to_sparse(), y)
        with pytest.raises(DataError, match=r"y is sparse \(Tensor\); make it dense, with y.to_dense\(\)$"):
            method(x, y.to_sparse())


def test_several_labels_and_sparse_labels() -> None:
    x, y = make_multilabel_classification(n_samples=80, random_state=0)
    model = MLPClassifier(**{**FAST, "max_iter": 150}, early_stopping=False).fit(x, y)
    thin = MLPClassifier(**{**FAST, "max_iter": 150}).fit(x, sparse.csr_array(y))
    assert (model.predict_proba(x) == thin.predict_proba(x)).all()
    assert set(np.unique(model.predict(x)).tolist()) == {0, 1}
    assert model.score(x, y) > 0.5
    assert model.predict_proba(x).shape == (80, 5)
    with pytest.raises(ValueError, match=r"multiclass-multioutput|Unknown label type|one label a row"):
        model.fit(x, y + np.arange(5))


@pytest.mark.parametrize(
    "labels",
    [
        np.array([True, False]),
        np.array([-1, 7], dtype=np.int8),
        np.array([0.0, 1.0]),
        np.array(["a", "b"]),
        np.array(["a", "b"], dtype=object),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_labels_keep_their_type(labels: Any) -> None:
    y = labels[(X[:, 0] > 0).astype(int)]
    model = MLPClassifier(**FAST).fit(X, y)
    assert model.classes_.dtype == model.predict(X).dtype == y.dtype
    assert set(model.predict(X).tolist()) <= set(labels.tolist())
    assert model.partial_fit(X, y).score(X, y) > 0.8


def test_the_model_can_be_saved_without_pickle(tmp_path: Path) -> None:
    model = MLPClassifier(**FAST).fit(X, Y)
    model.model_.save(tmp_path / "model.safetensors")
    loaded = mn.load(tmp_path / "model.safetensors")
    assert (loaded.predict(X) == model.predict(X)).all()
    assert (loaded.predict_proba(X) == model.predict_proba(X)).all()


def test_a_random_state_object_moves_on() -> None:
    state = np.random.RandomState(5)
    first, second = (MLPClassifier(**{**FAST, "random_state": state}).fit(X, Y) for _ in range(2))
    assert (first.coefs_[0] != second.coefs_[0]).any()
    batches = [MLPClassifier(**FAST, batch_size=16).fit(X, Y) for _ in range(2)]
    assert (batches[0].coefs_[0] == batches[1].coefs_[0]).all()


def test_weights_of_your_own_are_where_training_starts() -> None:
    model = MLPRegressor(**{**FAST, "max_iter": 1}, warm_start=True).fit(X, X[:, 0])
    model.coefs_ = [np.zeros_like(w) for w in model.coefs_]
    model.intercepts_ = [np.zeros_like(b) for b in model.intercepts_]
    model.fit(X, X[:, 0])
    assert model.loss_curve_[-1] == pytest.approx(0.5 * np.mean(X[:, 0] ** 2))  # the loss of predicting 0
    with pytest.raises(ValueError, match="to start anew, call fit with warm_start=False"):
        model.set_params(hidden_layer_sizes=(9,)).fit(X, X[:, 0])


@pytest.mark.parametrize("kind", [mn.MLPClassifier, mn.MLPRegressor, mn.TabularClassifier, mn.TabularRegressor])
def test_a_model_is_made_anew_of_its_state_which_holds_no_tensors(kind: Any) -> None:
    """As skops does, whose files hold arrays, texts and numbers, and no code."""
    more = FAST if kind in (mn.MLPClassifier, mn.MLPRegressor) else {"preset": "fast", "n_networks": 2, "random_state": 0}
    model = kind(**more).fit(X, Y if issubclass(kind, mn.MLPClassifier | mn.TabularClassifier) else X[:, 0]).model_
    state = model.__getstate__()
    made = type(model).__new__(type(model))
    made.__setstate__(state)
    assert (made.predict(X) == model.predict(X)).all()
    assert {type(value) for member in state["members"] for value in member.values()} == {np.ndarray}


@pytest.mark.parametrize("method", ["predict", "predict_quantiles", "predict_interval"])
def test_before_fit_every_prediction_says_that_it_is_not_fitted(method: str) -> None:
    with pytest.raises(NotFittedError, match="This MLPRegressor instance is not fitted yet"):
        getattr(MLPRegressor(loss="quantile", quantile=(0.1, 0.9)), method)(X)
