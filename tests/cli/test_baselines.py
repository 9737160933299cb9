"""The baselines beside the metrics of a run."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss

import manynets as mn
from manynets.cli import baselines
from manynets.cli.data import Part
from manynets.data.split import SplitBy
from tests.cli.conftest import Call

X = np.random.default_rng(0).normal(size=(90, 3))
SMALL = ("--hidden", "8", "--epochs", "2", "--seed", "0")


def part(y: object) -> tuple[Part, Part]:
    values = np.asarray(y)
    return Part(X=X[:60], y=values[:60], weight=None), Part(X=X[60:], y=values[60:], weight=None)


def test_numbers() -> None:
    train, tested = part(X[:, 0] * 100 + 7)
    found, note = baselines.baselines_of(mn.Regression.of(train.y), train, tested)
    assert note is None
    dummy = DummyRegressor().fit(train.X, train.y)
    assert found["predict the mean"]["r2"] == pytest.approx(dummy.score(tested.X, tested.y))
    linear = LinearRegression().fit(train.X, train.y)
    assert found["linear model"]["r2"] == pytest.approx(linear.score(tested.X, tested.y), abs=1e-3)


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_numbers_beyond_float32(size: float) -> None:
    train, tested = part(X[:, 0] + 0.1)
    plain, _ = baselines.baselines_of(mn.Regression.of(train.y), train, tested)
    train, tested = part((X[:, 0] + 0.1) * size)
    found, _ = baselines.baselines_of(mn.Regression.of(train.y), train, tested)
    for name in ("predict the mean", "linear model"):
        assert found[name]["r2"] == pytest.approx(plain[name]["r2"], abs=1e-6)
        assert found[name]["rmse"] == pytest.approx(plain[name]["rmse"] * size, rel=1e-3)


def test_a_huge_target_is_trained_and_printed(call: Call) -> None:
    rows = "\n".join(f"{x!r},{y!r}" for x, y in zip(X[:, 0].tolist(), (X[:, 0] * 1e300).tolist(), strict=True))
    Path("huge.csv").write_text(f"x,y\n{rows}\n")
    done = call("train", "huge.csv", "--target", "y", *SMALL)
    assert done.code == 0, done.err
    assert "linear model" in done.out


def test_linear_models_in_a_model_are_told(call: Call) -> None:
    rows = "\n".join(f"{a!r},{b!r},{3 * a - b!r}" for a, b, _ in X.tolist())
    Path("line.csv").write_text(f"a,b,y\n{rows}\n")
    done = call("train", "line.csv", "--target", "y", "--preset", "fast", "--n-networks", "2", "--time-limit", "5")
    assert done.code == 0, done.err
    assert "2 linear models, which predict the held-out rows best" in done.err + done.out


def test_classes() -> None:
    for y in (np.where(X[:, 0] > 0, "yes", "no"), np.digitize(X[:, 0], [-0.5, 0.5])):
        train, tested = part(y)
        task = mn.Binary.of(y) if y.dtype.kind == "U" else mn.Multiclass.of(y)
        found, _ = baselines.baselines_of(task, train, tested)
        dummy = DummyClassifier(strategy="prior").fit(train.X, train.y)
        expected = log_loss(tested.y, dummy.predict_proba(tested.X), labels=dummy.classes_)
        assert found["predict the class shares"]["log_loss"] == pytest.approx(expected)
        assert found["predict the class shares"]["accuracy"] == pytest.approx(dummy.score(tested.X, tested.y))
        assert found["linear model"]["accuracy"] > 0.8
        by_fold, _ = baselines.baselines_of(task, train, None)
        assert ["auc" in each["predict the class shares"] for each in (found, by_fold)] == [y.dtype.kind == "U", False]
        assert ("auc" in by_fold["linear model"]) == (y.dtype.kind == "U")


def test_the_linear_model_has_the_class_weights_of_the_networks(call: Call) -> None:
    train, tested = part(np.where(X[:, 0] + X[:, 1] > 1.6, "yes", "no"))
    task = mn.Binary.of(train.y)
    for weight in (None, "balanced"):
        found, _ = baselines.baselines_of(task, train, tested, class_weight=weight)
        scaled = [(rows - train.X.mean(axis=0)) / train.X.std(axis=0) for rows in (train.X, tested.X)]
        linear = LogisticRegression(class_weight=weight).fit(scaled[0], train.y)
        wanted = log_loss(tested.y, linear.predict_proba(scaled[1]))
        assert found["linear model"]["log_loss"] == pytest.approx(wanted, rel=1e-3)
    Path("rare.csv").write_text("a,b,y\n" + "".join(f"{a},{b},{'yes' if a + b > 1.6 else 'no'}\n" for a, b, _ in X))
    first, second = (
        call("train", "rare.csv", "--target", "y", *SMALL, "--preset", "plain", *more, "--json").json["run_dir"]
        for more in ((), ("--class-weight", "balanced"))
    )
    plain, weighted = (json.loads(Path(run, "metrics.json").read_text())["baselines"] for run in (first, second))
    assert plain["test: linear model"]["log_loss"] < weighted["test: linear model"]["log_loss"]
    assert plain["test: predict the class shares"] == weighted["test: predict the class shares"]


def test_large_data_have_no_linear_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MOST_CELLS", 100)
    train, tested = part(X[:, 0])
    found, note = baselines.baselines_of(mn.Regression.of(train.y), train, tested)
    assert list(found) == ["predict the mean"]
    assert note == "no linear model to compare with, as the data are large"


def test_large_data_are_not_copied() -> None:
    x = np.random.default_rng(0).normal(size=(250_000, 20)).astype(np.float32)
    assert x.size > baselines.MOST_CELLS
    train, tested = Part(X=x, y=x[:, 0]), Part(X=x[:100], y=x[:100, 0])
    task, encoder = mn.Regression.of(train.y), SimpleNamespace(piecewise=np.zeros(20, dtype=bool))
    tracemalloc.start()
    try:
        baselines.baselines_of(task, train, tested, encoder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes / 2


def test_train_and_show_print_them(call: Call, table: Path) -> None:
    done = call("train", table, "--target", "price", *SMALL, "--json")
    assert set(done.json["baselines"]) == {"test: predict the mean", "test: linear model"}
    for text in (done.err, call("show", done.json["run_dir"]).out):
        assert "test: linear model" in text
        assert " loss " not in text  # RMSE says the same
    stored = json.loads((Path(done.json["run_dir"]) / "metrics.json").read_text())
    assert stored["baselines"] == done.json["baselines"]


@pytest.mark.parametrize("split", ["random", "groups", "few groups", "times"])
def test_training_rows_are_predicted_by_what_was_fitted_to_others(split: str) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(80, 60)), random.normal(size=80)  # nothing to learn, but much to remember
    rows = np.arange(80)
    columns = {"groups": {"groups": rows // 4}, "few groups": {"groups": rows // 40}, "times": {"times": rows}}.get(split)
    train = Part(X=x, y=y, weight=None, by=None if columns is None else SplitBy.of(80, **columns))
    found, _ = baselines.baselines_of(mn.Regression.of(y), train, None)
    assert found["linear model"]["r2"] < 0
    assert found["linear model"]["rows"] == (10 if split == "times" else 80)
    known, _ = baselines.baselines_of(mn.Regression.of(y), train, train)
    assert known["linear model"]["r2"] > 0.5
    weighted = dataclasses.replace(train, weight=np.ones(80))
    again, _ = baselines.baselines_of(mn.Regression.of(y), weighted, None)
    assert again["linear model"]["r2"] == pytest.approx(found["linear model"]["r2"])


def test_without_test_rows_the_linear_model_is_compared_on_rows_that_it_has_not_seen(call: Call) -> None:
    random = np.random.default_rng(0)
    rows = [
        "".join(f"{value:.3f}," for value in row) + f"{y:.3f}"
        for row, y in zip(random.normal(size=(60, 40)), random.normal(size=60), strict=True)
    ]
    names = ",".join(f"x{i}" for i in range(40))
    Path("noise.csv").write_text("\n".join([f"{names},y", *rows]))
    done = call(
        "train", "noise.csv", "--target", "y", "--preset", "fast", "--iterations", "5", "--test-fraction", "0", "--out", "run"
    )
    assert done.code == 0, done.err
    assert json.loads(Path("run/metrics.json").read_text())["baselines"]["validation: linear model"]["r2"] < 0
