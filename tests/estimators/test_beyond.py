"""What the estimators have beyond scikit-learn's: tables, validation sets, class weights, losses, schedules, events."""

from __future__ import annotations

import contextlib
import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import manynets as mn
from manynets.errors import DataScaleWarning
from manynets.estimators import MLPClassifier, MLPRegressor, inputs
from manynets.recorded import Recorded
from manynets.training.events import Advanced, Evaluated, Finished, Started

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:lbfgs failed")

_random = np.random.default_rng(0)
X = _random.normal(size=(200, 4))
Y = X[:, 0] + 0.5 * X[:, 1] > 0
FAST: dict[str, Any] = {"hidden_layer_sizes": (16,), "learning_rate_init": 0.01, "max_iter": 40, "random_state": 0}

ROWS = 120
TABLE = pd.DataFrame(
    {
        "rooms": _random.integers(1, 6, ROWS).astype(float),
        "town": _random.choice(["Bern", "Chur", "Genf"], ROWS),
        "sold": pd.to_datetime("2024-01-01") + pd.to_timedelta(_random.integers(0, 300, ROWS), unit="D"),
    }
)
PRICE = 100_000.0 * TABLE["rooms"] + TABLE["town"].map({"Bern": 50_000.0, "Chur": -50_000.0, "Genf": 200_000.0}) + 1e6
TABLE.loc[3, "rooms"] = np.nan
TABLE.loc[4, "town"] = None


@pytest.mark.parametrize("make", [lambda t: t, pl.from_pandas, pa.Table.from_pandas], ids=["pandas", "polars", "pyarrow"])
def test_tables_are_encoded_and_targets_come_back_in_their_unit(make: Any) -> None:
    table = make(TABLE)
    model = MLPRegressor(hidden_layer_sizes=(32,), solver="lbfgs", random_state=0).fit(table, PRICE)
    assert model.score(table, PRICE) > 0.95
    assert model.predict(table).mean() == pytest.approx(PRICE.mean(), rel=0.02)
    assert model.feature_names_in_.tolist() == ["rooms", "town", "sold"]
    assert model.n_features_in_ == 3
    assert model.coefs_[0].shape[0] == model.encoder_.width > 3
    assert model.model_.predict(table) == pytest.approx(model.predict(table), rel=1e-5)  # the Model has the encoder too


def test_all_kinds_of_frames_give_the_same_model() -> None:
    models = [MLPRegressor(**FAST).fit(make(TABLE), PRICE) for make in (lambda t: t, pl.from_pandas, pa.Table.from_pandas)]
    for other in models[1:]:
        assert all(np.allclose(a, b) for a, b in zip(models[0].coefs_, other.coefs_, strict=True))


def test_clean_frames_are_taken_as_they_are() -> None:
    names = list("abcd")
    plain = MLPClassifier(**FAST).fit(X, Y)
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        model = MLPClassifier(**FAST).fit(frame, Y)
        assert model.encoder_ is None
        assert all((a == b).all() for a, b in zip(plain.coefs_, model.coefs_, strict=True))
        assert (model.predict_proba(frame) == plain.predict_proba(X)).all()


def test_the_encoder_sees_training_rows_only() -> None:
    table = pd.DataFrame({"value": np.append(np.sqrt(np.arange(39.0)), 1e9), "kind": ["a", "b"] * 20})
    model = MLPRegressor(**FAST).fit(table[:39], np.arange(39.0), X_val=table, y_val=np.arange(40.0))
    assert model.encoder_.transform(table[:39])[:, 0].std() == pytest.approx(1.0, rel=1e-5)
    assert len(model.validation_loss_curve_) == model.n_iter_
    stopped = MLPRegressor(**FAST, early_stopping=True, validation_fraction=0.5).fit(table, np.arange(40.0))
    first = stopped.encoder_.transform(table)[:, 0]
    assert first.std() != pytest.approx(1.0, rel=1e-3)  # over all rows, half of which it has not seen


def test_partial_fit_and_warm_start_keep_the_encoder() -> None:
    model = MLPClassifier(**FAST)
    kinds = np.where(PRICE.median() < PRICE, "dear", "cheap")
    model.partial_fit(TABLE, kinds, classes=["cheap", "dear"])
    encoder = model.encoder_
    model.partial_fit(TABLE[:50], kinds[:50])
    assert model.encoder_ is encoder
    with pytest.raises(ValueError, match="'town' is no column of numbers; give a frame with the columns rooms, town, sold"):
        model.predict(np.zeros((2, 3)))


@pytest.mark.parametrize(("wanted", "inside"), [("auto", False), (True, True), (False, False)])
def test_standardised_targets(wanted: Any, inside: bool) -> None:
    y = 1000 + 50 * X[:, 0]
    expected = pytest.warns(DataScaleWarning, match="that of y") if wanted == "auto" else contextlib.nullcontext()
    with expected:
        model = MLPRegressor(**FAST, standardise_target=wanted).fit(X, y)
    assert (model.model_.task.scale != (1.0,)) is inside
    if inside:
        assert model.predict(X).mean() == pytest.approx(1000, rel=0.01)
        assert model.loss_ == pytest.approx(0.5 * np.mean((model.predict(X) - y) ** 2), rel=0.3)  # in y's unit


def test_a_target_is_standardised_by_the_rows_that_train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not by those that are stopped by; but a training that version 0.1 began, which did so, goes on."""
    y, held_out = 1000 + 50 * X[:, 0], np.arange(0, 200, 4)
    y[held_out] = -1e4
    train = np.setdiff1d(np.arange(200), held_out)
    monkeypatch.setattr(inputs, "split_for_stopping", lambda *_, **__: (train, held_out))
    options: dict[str, Any] = {**FAST, "early_stopping": True, "clamp": True, "standardise_target": True}
    task = MLPRegressor(**options).fit(X, y).model_.task
    assert (task.center, task.scale) == ((pytest.approx(y[train].mean()),), (pytest.approx(y[train].std()),))
    assert task.limits[0] == pytest.approx(tuple((np.array([y[train].min(), y[train].max()]) - y[train].mean()) / y[train].std()))

    def stop(event: Any) -> None:
        if isinstance(event, Evaluated) and event.step > 10:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Recorded, "has_task", lambda *_: True)
        whole = MLPRegressor(**options, checkpoint=tmp_path / "whole").fit(X, y)
        with pytest.raises(KeyboardInterrupt):
            MLPRegressor(**options, checkpoint=tmp_path / "run", callbacks=[stop]).fit(X, y)
    resumed = MLPRegressor(**options, checkpoint=tmp_path / "run").fit(X, y)
    assert resumed.model_.task == whole.model_.task != task
    assert all((a == b).all() for a, b in zip(resumed.coefs_, whole.coefs_, strict=True))


def test_a_validation_set_of_your_own() -> None:
    model = MLPClassifier(**FAST).fit(X[:150], Y[:150], X_val=X[150:], y_val=Y[150:])
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == len(model.loss_curve_) == 40
    proba = np.clip(model.predict_proba(X[150:])[np.arange(50), Y[150:].astype(int)], 1e-12, 1)
    assert model.validation_loss_curve_[-1] == pytest.approx(-np.log(proba).mean(), abs=1e-9)
    assert model.validation_scores_[-1] == pytest.approx(model.score(X[150:], Y[150:]))
    alone = MLPClassifier(**FAST).fit(X[:150], Y[:150])
    assert all((a == b).all() for a, b in zip(model.coefs_, alone.coefs_, strict=True))  # it only looks
    stopping = MLPClassifier(**{**FAST, "max_iter": 400}, early_stopping=True).fit(X[:150], Y[:150], X_val=X[150:], y_val=Y[150:])
    assert stopping.n_iter_ < 400
    assert stopping.score(X[150:], Y[150:]) == pytest.approx(stopping.best_validation_score_)
    with pytest.raises(ValueError, match="only one of X_val and y_val"):
        model.fit(X, Y, X_val=X)


def test_class_weight_is_the_weight_of_its_rows() -> None:
    y = np.where(np.arange(200) < 20, "rare", "usual")
    weighted = MLPClassifier(**FAST, class_weight={"rare": 3.0}).fit(X, y)
    by_row = MLPClassifier(**FAST).fit(X, y, sample_weight=np.where(y == "rare", 3.0, 1.0))
    assert all((a == b).all() for a, b in zip(weighted.coefs_, by_row.coefs_, strict=True))
    balanced = MLPClassifier(**FAST, class_weight="balanced").fit(X, y)
    ratio = MLPClassifier(**FAST).fit(X, y, sample_weight=np.where(y == "rare", 5.0, 200 / 360))
    assert all(np.allclose(a, b) for a, b in zip(balanced.coefs_, ratio.coefs_, strict=True))
    with pytest.raises(ValueError, match="class_weight names 'strange'"):
        MLPClassifier(class_weight={"strange": 1.0}).fit(X, y)
    assert not hasattr(MLPClassifier(class_weight="balanced"), "partial_fit")
    labels = np.stack([y == "rare", X[:, 0] > 0], axis=1).astype(int)
    assert MLPClassifier(**FAST, class_weight="balanced").fit(X, labels).predict(X).shape == (200, 2)


@pytest.mark.parametrize("solver", ["adamw", "nadam", "rmsprop", "adagrad", "lion"])
def test_more_solvers_learn(solver: str) -> None:
    rate = 0.1 if solver == "adagrad" else 0.01
    model = MLPClassifier(**{**FAST, "learning_rate_init": rate, "max_iter": 100}, solver=solver, beta_2=0.99).fit(X, Y)
    assert model.score(X, Y) > 0.95
    first = copy.deepcopy(model).partial_fit(X, Y)
    assert first.loss_ < model.loss_curve_[0] / 2  # partial_fit goes on from there


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile", "poisson"])
def test_more_losses(loss: str) -> None:
    noise = np.random.default_rng(3).exponential(size=200)
    y = 5 + noise
    model = MLPRegressor(hidden_layer_sizes=(), loss=loss, quantile=0.9, delta=0.5, alpha=0.0, learning_rate_init=0.05,
                         max_iter=600, random_state=0, solver="adam", n_iter_no_change=np.inf).fit(X * 0, y)  # fmt: skip
    best = {"absolute_error": np.median(y), "quantile": np.quantile(y, 0.9), "poisson": y.mean()}
    if loss == "huber":
        for value in np.linspace(5, 8, 3001):
            if np.clip(value - y, -0.5, 0.5).sum() >= 0:
                best["huber"] = value
                break
    assert model.predict(X[:1] * 0)[0] == pytest.approx(best[loss], abs=0.05)


def test_schedules() -> None:
    rates: dict[str, list[float]] = {}
    for schedule in ("cosine", "one_cycle", "warmup", "step", "exponential", "plateau", mn.Cosine(warmup=0.25)):
        model = MLPClassifier(**FAST, learning_rate=schedule).fit(X, Y)
        rates[str(schedule)] = model.model_.history["lr"]
    assert rates["cosine"][-1] < 1e-4 < rates["cosine"][0]
    assert rates["step"][10] == pytest.approx(0.001)
    assert max(rates["Cosine(final=0.0, warmup=0.25)"]) == pytest.approx(0.01)
    assert rates["Cosine(final=0.0, warmup=0.25)"][0] == pytest.approx(0.001)
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        MLPClassifier(learning_rate="cosin").fit(X, Y)


def test_invscaling_and_adaptive_rates() -> None:
    scaled = MLPClassifier(**{**FAST, "max_iter": 5}, solver="sgd", learning_rate="invscaling", power_t=0.25).fit(X, Y)
    assert scaled.model_.history["lr"] == pytest.approx([0.01 / (1 + 200 * epoch) ** 0.25 for epoch in range(5)])
    adaptive = MLPClassifier(**{**FAST, "max_iter": 500}, solver="sgd", learning_rate="adaptive", tol=10.0, n_iter_no_change=3)
    rates = adaptive.fit(X, Y).model_.history["lr"]
    assert sorted(set(rates), reverse=True) == pytest.approx([0.01 / 5**i for i in range(7)])
    assert rates.count(rates[0]) == 5  # the first epoch improves, the next 4 are one more than n_iter_no_change
    assert adaptive.n_iter_ < 500


def test_penalties_dropout_smoothing_and_clipping_do_what_they_say() -> None:
    plain = MLPClassifier(**FAST, alpha=0.0).fit(X, Y)
    sparse = MLPClassifier(**FAST, alpha=0.0, l1=5.0).fit(X, Y)
    total = [sum(np.abs(w).sum() for w in model.coefs_) for model in (plain, sparse)]
    assert total[1] < 0.6 * total[0]
    smooth = MLPClassifier(**{**FAST, "max_iter": 300}, alpha=0.0, label_smoothing=0.2, tol=0.0).fit(X, Y)
    assert smooth.loss_ > -0.9 * math.log(0.9) - 0.1 * math.log(0.1) - 1e-6  # the entropy of the smoothed label
    assert (MLPClassifier(**FAST, dropout=0.5).fit(X, Y).coefs_[0] != plain.coefs_[0]).any()
    clipped = MLPRegressor(hidden_layer_sizes=(), solver="sgd", momentum=0.0, learning_rate_init=1.0, clip_norm=0.5, max_iter=1,
                           random_state=0, alpha=0.0, standardise_target=False)  # fmt: skip
    start = MLPRegressor(hidden_layer_sizes=(), solver="sgd", momentum=0.0, learning_rate_init=1e-300, max_iter=1, random_state=0)
    moved = [*clipped.fit(X, 1e4 * X[:, 0]).coefs_, *clipped.intercepts_]
    before = [*start.fit(X, X[:, 0]).coefs_, *start.intercepts_]
    assert math.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(moved, before, strict=True))) == pytest.approx(0.5, rel=1e-4)


def test_initial_weights() -> None:
    for init in ("kaiming_normal", "orthogonal"):
        model = MLPClassifier(**{**FAST, "learning_rate_init": 1e-12, "max_iter": 1}, init=init).fit(X, Y)
        again = MLPClassifier(**{**FAST, "learning_rate_init": 1e-12, "max_iter": 1}, init=init).fit(X, Y)
        assert (model.coefs_[0] == again.coefs_[0]).all()
        if init == "orthogonal":
            np.testing.assert_allclose(model.coefs_[0] @ model.coefs_[0].T, np.eye(4), atol=1e-9)


def test_callbacks_are_told() -> None:
    events: list[Any] = []
    model = MLPClassifier(**{**FAST, "max_iter": 5}, callbacks=[events.append]).fit(X, Y)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, Advanced) for event in events) >= 5
    told = [event.entries[0] for event in events if isinstance(event, Evaluated)]
    assert [entry["loss"] + entry["penalty"] for entry in told] == pytest.approx(model.loss_curve_)
    with pytest.raises(AttributeError):
        events[-1].seconds = 3


def test_a_linear_model() -> None:
    model = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, tol=1e-8).fit(X, X @ [1.0, -2.0, 0.0, 3.0] + 4)
    assert model.coefs_[0][:, 0] == pytest.approx([1, -2, 0, 3], abs=1e-4)
    assert model.intercepts_[0] == pytest.approx([4], abs=1e-4)
    assert (model.n_layers_, model.n_outputs_) == (2, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "adma"}, "did you mean 'adam'"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"alpha": -1}, r"alpha is -1, but must be a number in \[0, inf\)"),
        ({"max_iter": 2.5}, "max_iter is 2.5, but must be a whole number"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be > 0"),
        ({"dropout": 1.5}, "dropout"),
        ({"shuffle": "no"}, "shuffle is 'no', but must be True or False"),
        ({"solver": "lbfgs", "dropout": 0.1}, "solver='lbfgs' needs a loss that does not change by batch"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"class_weight": 3}, "class_weight is 3"),
        (
            {"class_weight": pd.Series({0: 1.0})},
            r"but must be 'balanced' or a dict from class to weight; write class_weight.to_dict\(\)",
        ),
        ({"init": "zeros"}, "init is 'zeros'"),
    ],
)
def test_parameters_are_checked_in_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**options).fit(X, Y)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_frame_of_no_rows_is_refused(kind: Any) -> None:
    model = kind(hidden_layer_sizes=(4,), max_iter=2).fit(TABLE, np.arange(ROWS) % 2)
    with pytest.raises(mn.DataError, match="X is empty"):
        model.predict(TABLE[:0])


def test_a_nan_among_listed_labels_is_missing_not_a_class() -> None:
    with pytest.raises(mn.DataError, match=r"y is missing in 2 of 4 rows \(first: 1, 3\)"):
        MLPClassifier(max_iter=2).fit(X[:4], ["a", float("nan")] * 2)


def test_a_frame_of_sparse_columns_is_numbers() -> None:
    frame = pd.DataFrame(np.where(X > 0, X, 0.0)).astype(pd.SparseDtype("float", 0.0))
    settings: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
    sparse = MLPClassifier(**settings).fit(frame, Y)
    assert sparse.encoder_ is None
    np.testing.assert_array_equal(
        sparse.predict_proba(frame), MLPClassifier(**settings).fit(frame.to_numpy(), Y).predict_proba(frame.to_numpy())
    )


def test_masked_values_are_refused() -> None:
    with pytest.raises(mn.DataError, match="X has 1 masked value"):
        MLPClassifier(max_iter=2).fit(np.ma.masked_equal(X, X[0, 0]), Y)


# ------------------------------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("more", [{}, {"n_networks": 2, "early_stopping": True, "dropout": 0.2}])
def test_a_fit_that_was_stopped_goes_on(more: dict[str, Any], tmp_path: Path) -> None:
    given = {**FAST, "max_iter": 12, "random_state": 3, "tol": 0.0, **more}
    whole = MLPClassifier(**given).fit(X, Y)

    def stop(event: Any) -> None:
        if isinstance(event, Evaluated) and event.step == 5 * steps:
            raise RuntimeError("the power is gone")

    steps = round(whole.model_.history["step"][0])
    with pytest.raises(RuntimeError, match="the power"):
        MLPClassifier(**given, checkpoint=tmp_path, callbacks=[stop]).fit(X, Y)
    assert list(tmp_path.iterdir())
    seen: list[int] = []
    again = MLPClassifier(
        **given, checkpoint=tmp_path, callbacks=[lambda event: seen.append(event.step) if isinstance(event, Evaluated) else None]
    ).fit(X, Y)
    assert 1 < seen[0] // steps <= 5
    assert again.loss_curve_ == whole.loss_curve_
    for one, other in zip(again.coefs_, whole.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="is of another training"):
        MLPClassifier(**{**given, "alpha": 0.5}, checkpoint=tmp_path).fit(X, Y)


@pytest.mark.parametrize(
    ("more", "told"),
    [({"checkpoint": 3}, "checkpoint is 3, but must be a folder"), ({"checkpoint": "there", "solver": "lbfgs"}, "no state")],
)
def test_what_a_checkpoint_may_be(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MLPClassifier(**{**FAST, **more}).fit(X, Y)


def test_layers_given_in_the_place_of_the_loss_are_told() -> None:
    with pytest.raises(mn.OptionError, match=r"loss is \(16,\), but .*; did you mean hidden_layer_sizes=\(16,\)\?"):
        mn.MLPRegressor((16,)).fit([[0.0], [1.0]], [0.0, 1.0])
