"""What users of the estimators and the search get wrong is answered with what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow  # type: ignore[import-untyped]
import pytest
import torch

import manynets as mn
from manynets.estimators.inputs import weights

X = np.random.default_rng(0).normal(size=(24, 3))
FRAME = pl.DataFrame(X, schema=["a", "b", "c"])
TEXT = np.array([[1.0, "town"]] * 24, dtype=object)
Y = np.arange(24) % 2
KINDS: list[Any] = [mn.MLPClassifier, mn.MLPRegressor, mn.TabularClassifier, mn.TabularRegressor]

MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {  # parameters, arguments of fit, message
    "callbacks": ({"callbacks": print}, {}, r"callbacks is <built-in function print>, but must be several functions, such as \[print\]"),
    "weights": ({}, {"sample_weight": "w"}, r"sample_weight must be \(24,\) numbers, one for each row"),
    "lazy y": ({}, {"y": FRAME.lazy()}, r"y is .*LazyFrame.*; give y.collect\(\)"),
    "y a number": ({}, {"y": 3.0}, "y is 3.0, but must be the values to predict, one for each row of X"),
    "y a name": ({}, {"y": "price"}, "y is 'price', but must be the values to predict, one for each row of X"),
    "no columns": ({}, {"X": pd.DataFrame(X)[[]]}, "the table .*no columns"),
    "text": ({}, {"X": TEXT}, r"X holds text, .* give a frame, such as pandas.DataFrame\(X\), whose columns .* return frames after set_output\(transform='pandas'\)"),
    "records": ({}, {"X": np.zeros(24, dtype="f8,f8")}, r"X is a structured array, .*; make it a frame, pandas.DataFrame\(X\)"),
    "masked": ({}, {"X": np.ma.masked_greater(X, 1.5)}, r"X has \d+ masked values?; fill them in, with X.filled\(value\)"),
    "batch": ({}, {"X": pyarrow.record_batch({"a": X[:, 0]})}, r"X is a RecordBatch, .*; give pyarrow.Table.from_batches\(\[X\]\)"),
    "validation columns": ({}, {"X_val": X[:, :2], "y_val": Y}, "X_val cannot be used: X has 2 features, but "),
    "lazy validation": ({}, {"X_val": FRAME.lazy(), "y_val": Y}, r"X_val cannot be used: X is a LazyFrame, .*; give X.collect\(\)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("case", MISTAKES)
def test_fit(case: str, kind: Any) -> None:
    parameters, given, message = MISTAKES[case]
    with pytest.raises(ValueError, match=message) as caught:
        kind(**parameters).fit(**{"X": X, "y": Y, **given})
    assert isinstance(caught.value, mn.ManynetsError)


MONTHS = pd.PeriodIndex(np.where(Y, "2024-01", "2024-02"), freq="M")
NO_LABELS: dict[str, tuple[Any, str]] = {
    "periods": (MONTHS, r"y holds Period\('2024-01', 'M'\) \(Period\), but labels are text, numbers or bools; make them text"),
    "bytes": (np.where(Y, b"a", b"b"), r"y holds b'a' \(bytes\), but labels are text, numbers or bools; make them text"),
    "a missing date": (pd.Series(pd.to_datetime(["2024-01-01", None] * 12)), r"y is missing in 12 of 24 rows \(first: 1, 3"),
    "mixed columns": (
        pd.DataFrame({"a": ["x", "y"] * 12, "b": Y}),
        r"y has shape \(24, 2\), but must be one label a row, or a matrix of 0 and 1; fit one model for each column",
    ),
}


@pytest.mark.parametrize("kind", [mn.MLPClassifier, mn.TabularClassifier], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("case", NO_LABELS)
def test_what_is_no_label(case: str, kind: Any) -> None:
    y, message = NO_LABELS[case]
    with pytest.raises(mn.DataError, match=message):
        kind().fit(X, y)


@pytest.mark.parametrize("kind", [mn.MLPClassifier, mn.TabularClassifier], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("labels", [Y > 0, Y, Y * 1.0], ids=["bools", "whole numbers", "floats"])
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_labels_of_a_column_that_once_had_gaps(labels: Any, kind: Any) -> None:
    """pandas keeps them as objects when the rows with gaps are left out."""
    net = kind(random_state=0).fit(X, pd.Series(labels.astype(object)))
    assert net.classes_.dtype == labels.dtype
    assert (net.predict(X) == kind(random_state=0).fit(X, labels).predict(X)).all()


@pytest.mark.parametrize("kind", [mn.MLPRegressor, mn.TabularRegressor], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (MONTHS, r"y holds Period\('2024-0\d', 'M'\), but .*Regressor predicts numbers; use .*Classifier for classes"),
        (np.where(Y, b"a", b"b"), "y holds b'.', but .*Regressor predicts numbers; use .*Classifier for classes"),
        (pd.DataFrame({"a": pd.Timestamp("2024-01-01"), "b": Y}), r"y holds Timestamp.*; make it days or seconds first"),
    ],
)
def test_what_is_no_number(y: Any, message: str, kind: Any) -> None:
    with pytest.raises(mn.DataError, match=message):
        kind().fit(X, y)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_model_of_dates_as_classes_says_that_its_file_cannot_hold_them(tmp_path: Path) -> None:
    dates = np.array(["2024-01-01", "2025-01-01"], dtype="M8[D]")[Y]
    net = mn.MLPClassifier(4, max_iter=2, random_state=0).fit(X, dates)
    assert net.predict(X).dtype == dates.dtype
    with pytest.raises(mn.DataError, match=r"y holds datetime.date\(2024, 1, 1\) \(date\), but labels are text"):
        net.model_.save(tmp_path / "m.safetensors")


@pytest.mark.parametrize("kind", [mn.MLPClassifier, mn.TabularClassifier], ids=lambda kind: kind.__name__)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_columns_of_nullable_bools_are_several_labels(kind: Any) -> None:
    y = pd.DataFrame({"a": X[:, 0] > 0, "b": X[:, 1] > 0})
    more = {"max_iter": 2} if kind is mn.MLPClassifier else {"preset": "fast", "n_networks": 2}
    plain, nullable = (kind(random_state=0, **more).fit(X, labels) for labels in (y, y.astype("boolean")))
    assert np.array_equal(nullable.predict(X), plain.predict(X))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_tensor_may_have_a_gradient_or_a_type_that_numpy_lacks(kind: Any) -> None:
    more = {"max_iter": 1} if kind in (mn.MLPClassifier, mn.MLPRegressor) else {"preset": "fast", "n_networks": 2}
    x = torch.from_numpy(X).float()
    plain = kind(random_state=0, **more).fit(x, Y)
    assert np.array_equal(plain.predict(x), kind(random_state=0, **more).fit(x.clone().requires_grad_(), Y).predict(x))
    half = x.bfloat16()
    assert np.array_equal(plain.predict(half), plain.predict(half.float()))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_other_categories_and_text_in_place_of_numbers_at_prediction(kind: Any) -> None:
    more = {"max_iter": 1} if kind in (mn.MLPClassifier, mn.MLPRegressor) else {"preset": "fast", "n_networks": 2}
    towns = FRAME.with_columns(town=pl.Series(["Bern", "Basel"] * 12))
    net = kind(random_state=0, **more).fit(towns, Y)
    with pytest.warns(UserWarning, match="column 'town' holds categories not seen in training: 'Genf'"):
        net.predict(towns.with_columns(town=pl.lit("Genf")))
    numbers = kind(random_state=0, **more).fit(FRAME, Y)
    with pytest.raises(
        mn.DataError, match=r"X holds text, but this MLP.* was fitted to numbers only|column 'a' should hold numbers, but .* 'Bern'"
    ):
        numbers.predict(FRAME.with_columns(a=towns["town"]))


@pytest.mark.parametrize("weight", [2, np.float32(2), np.array(2.0)])
def test_a_single_number_is_the_weight_of_every_row(weight: Any) -> None:
    assert np.array_equal(np.asarray(weights(weight, 3)), [2.0, 2.0, 2.0])


def test_prediction_of_no_rows_has_the_columns_of_the_frame() -> None:
    model = mn.TabularRegressor(preset="fast", n_networks=1, random_state=0).fit(FRAME, X[:, 0])
    for predict in (model.predict, model.model_.predict):
        with pytest.raises(mn.DataError, match=r"X is empty: it has shape \(0, 3\)"):
            predict(FRAME.head(0))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_search() -> None:
    net = mn.MLPClassifier(4, max_iter=2, tol=0.0, n_iter_no_change=np.inf, random_state=0)
    with pytest.raises(mn.DataError, match=r"X is a LazyFrame, .*; give X.collect\(\)"):
        mn.MLPSearchCV(net, {"alpha": [0.0]}).fit(FRAME.lazy(), Y)
    with pytest.raises(
        mn.OptionError, match=r"estimator is an MLP, .*: mn.MLPClassifier\(hidden_layer_sizes=\(8,\)\).*mn.train_many"
    ):
        mn.MLPSearchCV(mn.MLP(hidden=(8,)), {"alpha": [0.0]}).fit(X, Y)
    with pytest.raises(mn.OptionError, match="memory_limit is '2 cups', but must be at least 1 MB, such as '500MB'"):
        mn.MLPSearchCV(net, {"alpha": [0.0]}, memory_limit="2 cups").fit(X, Y)
    found = mn.MLPSearchCV(net, {"alpha": [0.0]}, cv=2, memory_limit="1GB").fit(X, Y)
    assert np.isfinite(found.best_score_)
