"""Faults that users of such estimators meet elsewhere, each by its number in the list of reliability cases."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import textwrap
import threading
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    check_sample_weight_equivalence_on_sparse_data,
)

from manynets.estimators import MLPClassifier, MLPRegressor
from manynets.estimators.classifier import OneClassWarning

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:lbfgs failed")

_random = np.random.default_rng(0)
X = _random.normal(size=(90, 5))
Y = np.array(["a", "b", "c"])[_random.integers(0, 3, 90)]
FAST: dict[str, Any] = {"max_iter": 8, "hidden_layer_sizes": (16,), "random_state": 0}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch_norm": {"batch_norm": True},
    "dropout": {"dropout": 0.3},
    "early_stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "all": {"batch_norm": True, "dropout": 0.3, "early_stopping": True, "validation_fraction": 0.3},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_case_02_predictions_do_not_depend_on_the_batch(options: dict[str, Any]) -> None:
    x = np.random.default_rng(1).normal(size=(300, 5))
    model = MLPClassifier(**FAST, **options).fit(X, Y)
    whole = model.predict_proba(x)
    for size in (1, 7, 256):
        parts = np.concatenate([model.predict_proba(x[i : i + size]) for i in range(0, 300, size)])
        np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-6)
    again = MLPClassifier(**FAST, **options).fit(X, Y)
    assert all((a == b).all() for a, b in zip(model.coefs_, again.coefs_, strict=True))
    assert (again.predict_proba(x) == whole).all()


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_case_03_weight_k_is_the_row_k_times(kind: Any, options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unfinished training, and of classes with one row
        estimator = kind(max_iter=40, **options)
        check_sample_weight_equivalence_on_dense_data(kind.__name__, estimator)
        check_sample_weight_equivalence_on_sparse_data(kind.__name__, estimator)
    before = dict(vars(estimator))
    with pytest.raises(ValueError, match="sample_weight is zero for all 90 rows"):
        estimator.fit(X, np.arange(90) % 3, sample_weight=np.zeros(90))
    assert vars(estimator) == before


@pytest.mark.parametrize("seed", [None, 3])
def test_case_04_no_global_state_is_changed(seed: int | None) -> None:
    numpy_state, python_state, torch_state = np.random.get_state(), random.getstate(), torch.get_rng_state()  # noqa: NPY002
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    options = {**FAST, "random_state": seed, "dropout": 0.2, "early_stopping": True, "learning_rate": "cosine"}
    MLPClassifier(**options).fit(X, Y).predict(X)
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(numpy_state, after, strict=True))
    assert random.getstate() == python_state
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (threads, precision)


def test_case_05_unfitted_says_so() -> None:
    for model, methods in ((MLPClassifier(), ("predict", "predict_proba", "predict_log_proba")), (MLPRegressor(), ("predict",))):
        for method in methods:
            with pytest.raises(NotFittedError):
                getattr(model, method)(X)
        with pytest.raises(NotFittedError):
            model.score(X, Y)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_case_06_one_class_only(options: dict[str, Any]) -> None:
    with pytest.warns(OneClassWarning, match="one class only, 'a'"):
        model = MLPClassifier(**FAST, **options).fit(X, ["a"] * 90)
    assert model.predict(X).tolist() == ["a"] * 90
    assert model.predict_proba(X).tolist() == [[1.0]] * 90
    assert model.classes_.tolist() == ["a"]


@pytest.mark.parametrize("options", [{}, {"batch_norm": True, "dropout": 0.2}], ids=["plain", "norm and dropout"])
def test_case_07_a_class_with_one_member(options: dict[str, Any]) -> None:
    y = np.array(["apple"] * 15 + ["pear"] * 14 + ["quince"])
    seen: list[Any] = []
    with pytest.warns(UserWarning, match="only one row is of class 'quince': it stays in training"):
        model = MLPClassifier(
            hidden_layer_sizes=(32,), solver="adam", learning_rate_init=0.05, early_stopping=True, validation_fraction=0.2,
            random_state=0, max_iter=100, callbacks=[seen.append], **options,
        ).fit(X[:30], y)  # fmt: skip
    assert model.classes_.tolist() == ["apple", "pear", "quince"]
    assert model.validation_scores_ is not None
    assert set(np.round(np.array(model.validation_scores_) * 6, 9) % 1) == {0.0}  # 20% of 29 rows are 6
    with pytest.warns(UserWarning, match="only one row is of class 'b'"):
        MLPClassifier(**FAST, early_stopping=True).fit(X[:30], ["a"] * 29 + ["b"])


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.filterwarnings("ignore:y has one class only", "ignore:only one row")
def test_case_08_too_few_rows_to_split(kind: Any, rows: int) -> None:
    with pytest.warns(UserWarning, match="The validation set is too small"):
        model = kind(**FAST, early_stopping=True).fit(X[:rows], np.arange(rows))
    assert np.isfinite(model.predict(X)).all()
    assert model.validation_scores_ is None
    assert model.best_loss_ == min(model.loss_curve_)


@pytest.mark.parametrize("weight", [None, np.tile([0.0, 1.0, 2.0], 30)])
def test_case_09_a_last_batch_of_one_row(weight: Any) -> None:
    model = MLPClassifier(**FAST, batch_norm=True, batch_size=8).fit(X[:81], Y[:81], None if weight is None else weight[:81])
    assert np.isfinite(model.predict_proba(X)).all()
    assert all(np.isfinite(w).all() for w in model.coefs_)
    with pytest.raises(ValueError, match="1 sample"):
        MLPRegressor(**FAST, batch_norm=True).fit(X[:1], [1.0])


PREDICT_MANY = """
    import resource, warnings
    import numpy as np
    from manynets.estimators import MLPClassifier
    warnings.simplefilter("ignore")
    x = np.zeros(({rows}, 4), dtype=np.float32)
    x[:, 0] = np.arange(len(x)) % 2 * 2 - 1
    model = MLPClassifier(hidden_layer_sizes=(256,), solver="lbfgs", random_state=0).fit(x[:100], np.arange(100) % 2)
    model.predict(x[:20000])
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + {spare}
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    found = model.predict(x)
    assert (found == np.arange(len(x)) % 2).all()
    print("all", len(found))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("rows", [400_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_case_10_memory_stays_flat_in_predict(rows: int) -> None:
    hidden = rows * 256 * 4
    spare = rows * 8 * 4 + (200 << 20)  # labels, their parts, and what a chunk takes
    assert spare < hidden / 1.8
    code = textwrap.dedent(PREDICT_MANY.format(rows=rows, spare=spare))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["all", str(rows)]
    assert resource.RLIM_INFINITY in resource.getrlimit(resource.RLIMIT_AS)  # and this process has no limit


def test_case_11_a_class_that_partial_fit_does_not_know() -> None:
    model = MLPClassifier(**FAST).partial_fit(X, Y, classes=["a", "b", "c"])
    weights = [w.copy() for w in model.coefs_]
    with pytest.raises(ValueError, match=r"'d', 'e'; the known ones are \['a', 'b', 'c'\]"):
        model.partial_fit(X[:3], ["e", "a", "d"])
    with pytest.raises(ValueError, match="not the same as on the last call"):
        model.partial_fit(X, Y, classes=["a", "b"])
    assert all((a == b).all() for a, b in zip(weights, model.coefs_, strict=True))
    fresh = MLPClassifier(**FAST)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        fresh.partial_fit(X, Y)
    with pytest.raises(ValueError, match="the known ones are"):
        fresh.partial_fit(X, Y, classes=["a"])
    assert not hasattr(fresh, "classes_")


def test_case_12_many_threads_predict_at_once() -> None:
    model = MLPClassifier(**FAST, batch_norm=True).fit(X, Y)
    parts = [np.random.default_rng(i).normal(size=(50 + i, 5)) for i in range(32)]
    serial, found = [model.predict_proba(part) for part in parts], [np.empty(0)] * 32
    ready = threading.Barrier(32)

    def work(i: int) -> None:
        ready.wait()
        for _ in range(5):
            found[i] = model.predict_proba(parts[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((a == b).all() for a, b in zip(serial, found, strict=True))


# ------------------------------------------------------------------------------------------------------------------- data

TABLE = pd.DataFrame(
    {
        "size": [1.0, 2.0, np.nan, 4.0] * 10,
        "color": ["red", "blue", None, "red"] * 10,
        "flat": [14.62, np.nan, 14.62, 14.62] * 10,
    }
)
TABLE_Y = np.array(["x", "y", "x", "y"] * 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, object])
def test_case_13_missing_and_infinite_values(dtype: Any) -> None:
    bad = X.astype(dtype)
    bad[3, 1], bad[7, 2], bad[8, 0] = np.nan, np.nan, np.inf
    model = MLPClassifier(**FAST).fit(X, Y)
    before = dict(vars(model))
    for call in (lambda: model.fit(bad, Y), lambda: model.predict(bad), lambda: model.partial_fit(bad, Y)):
        with pytest.raises(ValueError, match=r"2 NaN and 1 infinite value \(the first in row 3, column 1\)"):
            call()
        assert vars(model) == before  # the estimator is as it was
    if dtype is not object:
        with pytest.raises(ValueError, match="2 NaN and 1 infinite"):
            MLPClassifier(**FAST).fit(sparse.csr_array(bad), Y)
    gaps = MLPClassifier(**FAST).fit(TABLE, TABLE_Y)  # a table's gaps are filled in
    assert np.isfinite(gaps.predict_proba(TABLE)).all()


def test_case_14_missing_target() -> None:
    y = X[:, 0].copy()
    y[[4, 9]] = np.nan
    with pytest.raises(ValueError, match=r"y is missing in 2 of 90 rows \(first: 4, 9\)"):
        MLPRegressor(**FAST).fit(X, y)
    labels = Y.astype(object)
    labels[5] = None
    with pytest.raises(ValueError, match=r"y is missing in 1 of 90 rows \(first: 5\)"):
        MLPClassifier(**FAST).fit(X, labels)


@pytest.mark.filterwarnings("ignore::manynets.errors.DataScaleWarning")
def test_case_15_huge_values() -> None:
    model = MLPRegressor(**FAST).fit(X.astype(np.float32), X[:, 0])
    huge = X.copy()
    huge[2, 3] = 1e39
    with pytest.raises(ValueError, match=r"X column 3 reaches 1e\+39, but float32 ends at 3.4e\+38"):
        model.predict(huge)
    huge[2, 3] = 1e300
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        MLPRegressor(**FAST).fit(huge, X[:, 0])
    table = TABLE.assign(size=[1e300, 2e300, np.nan, 4e300] * 10)  # scaled in float64, then float32
    assert np.isfinite(MLPClassifier(**FAST).fit(table, TABLE_Y).predict_proba(table)).all()


def test_case_16_large_integers_stay_distinct() -> None:
    x = np.array([[16777216], [16777217]] * 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MLPRegressor(hidden_layer_sizes=(), max_iter=1, random_state=0).fit(x, [0.0, 1.0] * 10)
    low, high = model.predict(x[:2])
    assert high - low == pytest.approx(model.coefs_[0][0, 0], rel=1e-6)
    assert low != high
    table = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", random_state=0)
    frame = pd.DataFrame({"n": x[:, 0], "gap": [None, 1.0] * 10})
    low, high = table.fit(frame, [0.0, 1.0] * 10).predict(frame[:2])
    assert (round(low, 2), round(high, 2)) == (0.0, 1.0)


def test_case_17_a_constant_column() -> None:
    model = MLPClassifier(**FAST).fit(TABLE[["flat", "color"]], TABLE_Y)
    assert np.isfinite(model.predict_proba(TABLE[["flat", "color"]])).all()
    assert np.isfinite(model.loss_curve_).all()


def test_case_18_a_column_without_values() -> None:
    table = TABLE.assign(empty=np.nan)
    with pytest.warns(UserWarning, match="all values are missing in empty"):
        model = MLPClassifier(**FAST).fit(table, TABLE_Y)
    assert model.n_features_in_ == 4
    assert np.isfinite(model.predict_proba(table)).all()


def test_case_19_a_category_never_seen() -> None:
    model = MLPClassifier(**FAST).fit(TABLE, TABLE_Y)
    new = TABLE[:2].assign(color=["green", None])
    assert np.isfinite(model.predict_proba(new)).all()


@pytest.mark.parametrize("frame", ["clean", "encoded"])
def test_case_20_columns_in_another_order(frame: str) -> None:
    table = TABLE if frame == "encoded" else pd.DataFrame(X[:40], columns=list("abcde"))
    model = MLPClassifier(**FAST).fit(table, TABLE_Y)
    assert model.feature_names_in_.tolist() == table.columns.tolist()
    with pytest.raises(ValueError, match="must be in the same order"):
        model.predict(table[table.columns[::-1]])
    with pytest.raises(ValueError, match="seen at fit time, yet now missing"):
        model.predict(table[table.columns[1:]])
    with pytest.raises(ValueError, match="unseen at fit time"):
        model.predict(table.assign(extra=1.0))


def test_case_21_column_names_twice() -> None:
    table = pd.DataFrame(X, columns=["a", "b", "a", "c", "c"])
    with pytest.raises(ValueError, match=r"'a' \(2 times\), 'c' \(2 times\)"):
        MLPClassifier(**FAST).fit(table, Y)


def test_case_22_rows_are_paired_by_position() -> None:
    order = np.random.default_rng(2).permutation(90)
    table, y = pd.DataFrame(X, index=order), pd.Series(Y, index=order[::-1])
    named, plain = MLPClassifier(**FAST).fit(table, y), MLPClassifier(**FAST).fit(X, Y)
    assert all((a == b).all() for a, b in zip(named.coefs_, plain.coefs_, strict=True))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        plain.fit(X, Y[:50])


def test_case_23_nullable_and_mixed_values() -> None:
    nullable = pd.DataFrame({"n": pd.array([1, pd.NA, 3, 4] * 10, dtype="Int64"), "m": [0.5, 1.5, 2.5, 3.5] * 10})
    assert np.isfinite(MLPClassifier(**FAST).fit(nullable, TABLE_Y).predict_proba(nullable)).all()
    text = X.astype(object)
    text[4, 2] = "many"
    with pytest.raises(ValueError, match="many"):
        MLPClassifier(**FAST).fit(text, Y)
    with pytest.raises(ValueError, match=r"1 \(int\), 'a' \(str\)"):
        MLPClassifier(**FAST).fit(X[:4], np.array([1, "a", 1, "a"], dtype=object))
