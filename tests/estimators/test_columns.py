"""Embeddings and scaling of columns in the estimators and in their search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import manynets as mn
from tests.tolerances import assert_close

random = np.random.default_rng(0)
X = random.standard_normal((120, 3))
Y = np.sin(3 * X[:, 0]) + X[:, 1]
FRAME = pandas.DataFrame({"a": X[:, 0], "kind": np.where(X[:, 1] > 0, "x", "y"), "b": X[:, 2]})
EMBEDDINGS = [mn.PiecewiseLinear(bins=4), mn.PiecewiseLinear(bins=4, by="tree"), mn.Periodic(frequencies=4)]
COMMON: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 5, "n_iter_no_change": np.inf, "random_state": 0}


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("data", [X, FRAME], ids=["array", "frame"])
def test_estimators_embed_columns(embedding: Any, data: Any) -> None:
    for kind, target in ((mn.MLPRegressor, Y), (mn.MLPClassifier, np.where(Y > 0, "up", "down"))):
        model = kind(embedding=embedding, early_stopping=True, **COMMON).fit(data, target)
        plain = kind(early_stopping=True, **COMMON).fit(data, target)
        assert model.model_.spec.embedding is not None
        assert model.coefs_[0].shape[0] > plain.coefs_[0].shape[0]
        some, whole = model.predict(data[:7]), model.predict(data)[:7]
        if kind is mn.MLPRegressor:
            assert_close(some, whole, "float32")
        else:
            assert (some == whole).all()
        again = mn.estimator(model.model_)
        assert again.embedding == embedding
        assert (again.predict(data) == model.predict(data)).all()
        further = clone(model).set_params(warm_start=True, early_stopping=False).fit(data, target)
        assert further.fit(data, target).n_iter_ == 5


def test_the_edges_of_an_array_are_those_of_the_rows_that_are_trained_on() -> None:
    model = mn.MLPRegressor(embedding=mn.PiecewiseLinear(bins=2), early_stopping=True, **{**COMMON, "max_iter": 1})
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model.fit(X, Y)
    medians = [column.pieces.edges[1] for column in model.encoder_.columns]
    assert not np.isclose(medians, np.median(X, axis=0)).all()  # of all rows
    assert model.encoder_.positional


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("data", [X, FRAME], ids=["array", "frame"])
def test_a_search_over_embeddings_equals_fits_alone(data: Any) -> None:
    choices: list[Any] = [None, *EMBEDDINGS]
    search = mn.MLPSearchCV(mn.MLPRegressor(**COMMON), {"embedding": choices, "scaling": [None, "smooth"]}, cv=2).fit(data, Y)
    reference = GridSearchCV(
        mn.MLPRegressor(**COMMON), {"embedding": choices, "scaling": [None, "smooth"]}, cv=2, error_score="raise"
    ).fit(data, Y)
    assert_close(
        np.array(search.cv_results_["mean_test_score"], dtype=np.float64), reference.cv_results_["mean_test_score"], "float32_run"
    )


def test_lbfgs_trains_a_periodic_embedding() -> None:
    model = mn.MLPRegressor(**{**COMMON, "max_iter": 50}, solver="lbfgs", embedding=mn.Periodic(scale=0.5))
    with pytest.warns(UserWarning, match="lbfgs failed"):
        model.fit(X, Y)
    assert model.score(X, Y) > 0.9


@pytest.mark.parametrize("options", [{"embedding": "periodic"}, {"scaling": "log"}])
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(mn.OptionError, match=next(iter(options))):
        mn.MLPRegressor(**options).fit(X, Y)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("kind", [mn.MLPRegressor, mn.TabularRegressor])
def test_an_array_for_an_estimator_that_was_fitted_to_a_frame(kind: Any) -> None:
    """Its columns are taken by position with scikit-learn's warning, where all are numbers."""
    options: dict[str, Any] = {"max_iter": 3} if kind is mn.MLPRegressor else {"preset": "fast", "n_networks": 2}
    holes = pandas.DataFrame(1000 * X, columns=["a", "b", "c"])
    holes.loc[5, "b"] = np.nan
    model = kind(**options, random_state=0).fit(holes, Y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        assert (model.predict(holes.to_numpy()) == model.predict(holes)).all()
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 3 features"),
    ):
        model.predict(X[:, :2])
    by_number = holes.set_axis(range(3), axis=1)  # names that scikit-learn does not record
    model.fit(by_number, Y)
    assert (model.predict(by_number.to_numpy()) == model.predict(by_number)).all()
    with pytest.warns(UserWarning, match="left out: 3"):
        model.fit(by_number.assign(row=np.arange(len(X))).set_axis(range(4), axis=1), Y)
    with pytest.raises(mn.DataError, match=r"of which it left out '3'; give a frame with the columns 0, 1, 2"):
        model.predict(np.zeros((2, 4)))
    model.fit(FRAME, Y)
    message = (
        "in which 'kind' is no column of numbers; give a frame with the columns a, kind, b, or an array of objects in their order"
    )
    with pytest.raises(mn.DataError, match=message):
        model.predict(X)
    model.fit(X, Y, X_val=X, y_val=Y)  # what was fitted before has no say


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("kind", [mn.MLPRegressor, mn.TabularRegressor])
def test_an_array_of_objects_for_an_estimator_that_was_fitted_to_a_frame(kind: Any) -> None:
    """Its columns are taken by position: tools such as shap make such arrays of a frame with text."""
    options: dict[str, Any] = {"max_iter": 3} if kind is mn.MLPRegressor else {"preset": "fast", "n_networks": 2}
    frame = FRAME.assign(
        day=pandas.date_range("2024-01-01", periods=len(X), tz="UTC"),
        level=pandas.Categorical(np.arange(len(X)) % 4),
        count=pandas.array([None, 1, 2, 3] * 30, dtype="Int64"),
    )
    frame.loc[7, ["b", "kind"]] = None
    model = kind(**options, random_state=0).fit(frame, Y)
    cells = frame.to_numpy()
    assert cells.dtype == object
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        assert np.array_equal(model.predict(cells), model.predict(frame))
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 6 features"),
    ):
        model.predict(cells[:, 1:])
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(mn.DataError, match="column 'a' should hold numbers"),
    ):
        model.predict(cells[:, [1, 0, 2, 3, 4, 5]])


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_model_of_a_frame_of_plain_numbers_has_its_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = FRAME[["a", "b"]]
    fitted = mn.MLPRegressor(**COMMON).fit(frame, Y)
    assert fitted.encoder_ is None
    fitted.model_.save(tmp_path / "m.safetensors")
    model = mn.load(tmp_path / "m.safetensors")
    model.summary()
    assert "2 (a, b)\n" in capsys.readouterr().out
    assert sorted(mn.explain.permutation_importance(fitted, frame, Y, n_repeats=1).groups) == ["a", "b"]
    assert len(mn.explain.partial_dependence(model, frame, "b").columns) == 1
    wanted = fitted.predict(frame).astype(np.float64)
    others = (frame[["b", "a"]], polars.DataFrame({"more": frame["a"], "b": frame["b"], "a": frame["a"]}))
    for given in (frame, frame.to_numpy(), frame.rename(columns={"a": "left", "b": "right"}), *others):
        assert (model.predict(given) == wanted).all()
    assert mn.estimator(model).feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(mn.DataError, match=r"X lacks 'b', but the model was trained on a, b; give a frame"):
        model.predict(frame.rename(columns={"b": "c"}))
    assert mn.MLPRegressor(**COMMON).fit(X, Y).model_.column_names == ("x0", "x1", "x2")
