"""`train`: repeatability, what it leaves alone, history, validation."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from torch import nn

import manynets as mn
from manynets.prepare import prepare
from manynets.training.events import Advanced, Evaluated, Event, Finished, Started
from tests.tolerances import assert_close
from tests.trained import RECIPE, SPEC, D, N, Own, data, fit

# ----------------------------------------------------------------------------------------------------------- repeatability


@pytest.mark.parametrize("make", [lambda: SPEC, lambda: dataclasses.replace(SPEC, batch_norm=True), Own])
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(make: Any) -> None:
    one, same, other = (fit(make(), seed=seed, validation=0.2) for seed in (1, 1, 2))
    assert_close(same.members[0], one.members[0], "bits")
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert same.history[name] == one.history[name]
    assert other.history["loss"] != one.history["loss"]
    assert not np.array_equal(other.predict_proba(data()[0]), one.predict_proba(data()[0]))


def test_the_global_generators_do_not_matter() -> None:
    torch.manual_seed(1)
    one = fit(Own())
    torch.manual_seed(2)
    assert_close(fit(Own()).members[0], one.members[0], "bits")


class Stop(Exception):
    pass


def angry(event: Event) -> None:
    if isinstance(event, Evaluated):
        raise Stop


DIVERGING = dataclasses.replace(RECIPE, optimizer=mn.SGD(lr=1e30))


@pytest.mark.parametrize("case", ["mlp", "module", "diverges", "module diverges", "callback", "module callback", "bad data"])
def test_generators_threads_and_settings_are_left_as_they_were(case: str) -> None:
    torch.manual_seed(77)
    np.random.seed(77)  # noqa: NPY002
    threads = torch.get_num_threads()
    precision, grad = torch.get_float32_matmul_precision(), torch.is_grad_enabled()
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]  # noqa: NPY002
    spec: Any = Own() if "module" in case else SPEC
    if "diverges" in case:
        with pytest.warns(mn.DivergenceWarning):
            fit(spec, DIVERGING)
    elif "callback" in case:
        with pytest.raises(Stop):
            fit(spec, callbacks=[angry])
    elif case == "bad data":
        with pytest.raises(mn.DataError):
            mn.train([[np.nan]], [1.0], progress=False)
    else:
        fit(spec, validation=0.2)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # type: ignore[index, arg-type]  # noqa: NPY002
    assert torch.get_num_threads() == threads
    assert torch.get_float32_matmul_precision() == precision
    assert torch.is_grad_enabled() == grad


@pytest.mark.parametrize("gradient", ["closed_form", "autograd"])
@pytest.mark.parametrize("around", ["inference", "autocast", "device"])
def test_the_modes_of_the_caller_do_not_matter(gradient: Any, around: str) -> None:
    modes: dict[str, Any] = {
        "inference": torch.inference_mode(),
        "autocast": torch.autocast("cpu", torch.bfloat16),
        "device": torch.device("meta"),
    }
    spec = dataclasses.replace(SPEC, batch_norm=True, input_dropout=0.1)
    recipe = dataclasses.replace(RECIPE, gradient=gradient, clip_norm=1.0, schedule=mn.Cosine())
    options: dict[str, Any] = {"validation": 0.2, "class_weight": "balanced"}
    x, y = data()
    alone = fit(spec, recipe, **options)
    with modes[around]:
        within = fit(spec, recipe, **options)
        predicted, figures = within.predict_proba(x), within.evaluate(x, y)
    np.testing.assert_array_equal(predicted, alone.predict_proba(x))
    assert figures == alone.evaluate(x, y)
    assert within.history["val_loss"] == alone.history["val_loss"]


def test_a_module_trains_in_inference_mode() -> None:
    module = nn.Linear(D, 3)
    again = copy.deepcopy(module)
    with torch.inference_mode():
        within = fit(module)
    assert within.history["loss"] == fit(again).history["loss"]


def test_bfloat16_products_go_with_batch_norm() -> None:
    spec = mn.MLP(hidden=(8,), batch_norm=True)
    rough, full = (fit(spec, dataclasses.replace(RECIPE, precision=precision)) for precision in ("bf16", "full"))
    assert rough.history["loss"][-1] == pytest.approx(full.history["loss"][-1], rel=0.05)
    assert rough.history["loss"] != full.history["loss"]


def test_what_is_given_is_not_changed() -> None:
    x, y = data()
    before = x.copy(), y.copy()
    start = fit().members[0]
    kept = copy.deepcopy(start)
    mn.train(x, y, SPEC, RECIPE, initial=start, scaling=False, progress=False)
    assert np.array_equal(x, before[0])
    assert np.array_equal(y, before[1])
    assert_close(start, kept, "bits")


def test_x_may_be_a_list_a_tensor_or_an_array_of_any_layout() -> None:
    x, y = data()
    one = mn.train(x, y, SPEC, RECIPE, scaling=False, progress=False).members[0]
    read_only = x.copy()
    read_only.flags.writeable = False
    for other in (x.tolist(), torch.from_numpy(x), np.asfortranarray(x), x.astype(">f4"), x.astype(np.longdouble), read_only):
        assert_close(mn.train(other, y, SPEC, RECIPE, scaling=False, progress=False).members[0], one, "bits")


# ----------------------------------------------------------------------------------------------------------------- history


def test_history_by_epoch() -> None:
    history = fit(validation=0.2).history
    assert set(history) == {"epoch", "step", "lr", "seconds", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert history["epoch"] == [1.0, 2.0, 3.0, 4.0]
    assert history["step"] == [5.0, 10.0, 15.0, 20.0]  # 72 rows in batches of 16
    assert history["lr"] == [0.01] * 4
    assert all(a < b for a, b in zip(history["seconds"], history["seconds"][1:], strict=False))
    assert history["loss"][-1] < history["loss"][0]


def test_history_by_iterations() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=None, iterations=14, evaluate_every=4)
    history = fit(recipe=recipe, task="regression").history
    assert history["step"] == [4.0, 8.0, 12.0, 14.0]
    assert_close(history["epoch"], [4 / 6, 8 / 6, 2.0, 14 / 6], "float64")
    assert set(history) == {"epoch", "step", "lr", "seconds", "loss", "r2"}


def test_evaluating_more_often_changes_nothing_but_the_history() -> None:
    often = fit(recipe=dataclasses.replace(RECIPE, evaluate_every=1))
    assert len(often.history["step"]) == 24
    assert_close(often.members[0], fit().members[0], "bits")


@pytest.mark.filterwarnings("ignore::manynets.errors.LeakWarning")
def test_the_loss_of_the_history_is_that_of_evaluate() -> None:
    """One full batch with lr 0: the loss in training is the loss of the untouched network."""
    for task in ("regression", "multilabel", "binary", "multiclass"):
        recipe = mn.Recipe(optimizer=mn.SGD(lr=0.0), epochs=1, batch_size=N, dtype="float64")
        model = fit(mn.MLP(hidden=(5,)), recipe, task, validation=data(task))
        figures = model.evaluate(*data(task))
        for name in ("loss", model.task.metric):
            assert_close(model.history[name][0], figures[name], "float64", what=name)
            assert_close(model.history[f"val_{name}"][0], figures[name], "float64", what=name)


def test_keep_best_returns_the_weights_of_the_best_epoch() -> None:
    recipe = dataclasses.replace(RECIPE, optimizer=mn.SGD(lr=1.5), epochs=12)
    spec, validation = mn.MLP(hidden=(8,)), np.arange(0, 30)
    model = fit(spec, recipe, validation=validation)
    best = int(np.argmin(model.history["val_loss"]))
    assert best < 11
    assert model.info["best"] == best
    again = fit(spec, dataclasses.replace(recipe, epochs=best + 1, keep="last"), validation=validation)
    assert_close(model.members[0], again.members[0], "bits")
    last = fit(spec, dataclasses.replace(recipe, keep="last"), validation=validation)
    assert last.info["best"] == 11
    x, y = data()
    assert_close(last.evaluate(x[:30], y[:30])["loss"], last.history["val_loss"][-1], "float32")
    metric = fit(spec, dataclasses.replace(recipe, watch="metric"), validation=validation)
    assert metric.info["best"] == int(np.argmax(metric.history["val_accuracy"]))


def test_early_stopping() -> None:
    recipe = dataclasses.replace(RECIPE, optimizer=mn.SGD(lr=0.0), epochs=50, stopping=mn.EarlyStopping(patience=3))
    model = fit(mn.MLP(hidden=(4,)), recipe, validation=0.3)
    assert model.history["epoch"] == [1.0, 2.0, 3.0, 4.0]  # the first is the best; three without a gain
    assert model.info["stopped"] == ["early"]


def test_events_in_their_order() -> None:
    seen: list[Event] = []
    fit(callbacks=[seen.append], validation=0.2)
    assert isinstance(seen[0], Started)
    assert (seen[0].n_networks, seen[0].steps, seen[0].steps_per_epoch, seen[0].metric) == (1, 20, 5, "accuracy")
    assert isinstance(seen[-1], Finished)
    assert [event.step for event in seen if isinstance(event, Evaluated)] == [5, 10, 15, 20]
    assert [event.alive for event in seen if isinstance(event, Evaluated)] == [1, 1, 1, 0]
    assert [event.step for event in seen if isinstance(event, Advanced)][-1] == 20
    entries = [event.entries[0] for event in seen if isinstance(event, Evaluated)]
    assert all("val_accuracy" in entry for entry in entries)


# -------------------------------------------------------------------------------------------------------------- validation


def test_a_fraction_keeps_the_shares_of_classes() -> None:
    x, y = np.random.default_rng(0).normal(size=(100, 2)), np.repeat([0, 1, 2], [60, 30, 10])
    prepared = prepare(x, y, mn.Recipe(), validation=0.2)
    assert prepared.rows is not None
    assert prepared.validation_rows is not None
    assert np.bincount(y[prepared.validation_rows]).tolist() == [12, 6, 2]
    assert sorted([*prepared.rows, *prepared.validation_rows]) == list(range(100))


def test_rows_mask_and_own_set_are_the_same_validation() -> None:
    x, y = data()
    rows, mask = np.arange(60, 90), np.arange(N) >= 60
    one = mn.train(x, y, SPEC, RECIPE, validation=rows, scaling=False, progress=False)
    two = mn.train(x, y, SPEC, RECIPE, validation=mask, scaling=False, progress=False)
    three = mn.train(x[:60], y[:60], SPEC, RECIPE, validation=(x[60:], y[60:]), scaling=False, progress=False)
    for other in (two, three):
        assert_close(other.members[0], one.members[0], "bits")
        assert_close(other.history["val_loss"], one.history["val_loss"], "float32")
    with pytest.raises(AssertionError):
        assert_close(fit().members[0], one.members[0], "float32")


@pytest.mark.filterwarnings("ignore::manynets.errors.LeakWarning")
def test_a_validation_set_may_be_a_list_and_a_fraction_of_any_float() -> None:
    x, y = data()
    listed, tupled = (fit(validation=kind((x[:9], y[:9]))) for kind in (list, tuple))
    assert listed.history["val_loss"] == tupled.history["val_loss"]
    assert fit(validation=np.float32(0.25)).history["val_loss"] == fit(validation=0.25).history["val_loss"]
    assert fit(validation=(1, 2)).history["val_loss"] == fit(validation=[1, 2]).history["val_loss"]


def test_a_validation_set_may_have_weights() -> None:
    x, y = data("regression")
    weight = np.where(np.arange(30) < 10, 3.0, 1.0)
    own = mn.train(x[:60], y[:60], SPEC, RECIPE, validation=(x[60:], y[60:], weight), scaling=False, progress=False)
    twice = np.concatenate([np.arange(60, 90), np.arange(60, 70), np.arange(60, 70)])
    repeated = mn.train(x[:60], y[:60], SPEC, RECIPE, validation=(x[twice], y[twice]), scaling=False, progress=False)
    assert_close(own.history["val_loss"], repeated.history["val_loss"], "float32")
    assert_close(own.history["val_r2"], repeated.history["val_r2"], "float32")


def test_class_weight() -> None:
    x, y = np.random.default_rng(0).normal(size=(60, 2)), np.repeat(["a", "b"], [45, 15])
    recipe = dataclasses.replace(RECIPE, dtype="float64")
    balanced = mn.train(x, y, SPEC, recipe, class_weight="balanced", scaling=False, progress=False)
    named = mn.train(x, y, SPEC, recipe, class_weight={"a": 60 / 90, "b": 2.0}, scaling=False, progress=False)
    weights = mn.train(x, y, SPEC, recipe, sample_weight=np.where(y == "a", 60 / 90, 2.0), scaling=False, progress=False)
    assert_close(named.members[0], balanced.members[0], "float64")
    assert_close(weights.members[0], balanced.members[0], "float64")
    one = mn.train(x, y, SPEC, recipe, scaling=False, progress=False)
    assert (balanced.predict(x) == "b").sum() > (one.predict(x) == "b").sum()
    for wrong, message in (
        ("balance", "class_weight is 'balance', but must be 'balanced' or a dict"),
        (
            pandas.Series({"a": 1.0, "b": 2.0}),
            r"class_weight is .*, but must be 'balanced' or a dict .*; write class_weight.to_dict\(\)",
        ),
        (np.array([1.0, 2.0]), "class_weight is a ndarray of shape .*, but must be 'balanced' or a dict"),
        ({"c": 1.0}, "class_weight names 'c', but the classes are 'a', 'b'"),
        ({"a": -1.0}, "weights must be finite and not negative"),
    ):
        with pytest.raises(mn.OptionError, match=message):
            mn.train(x, y, SPEC, recipe, class_weight=wrong, scaling=False, progress=False)  # type: ignore[arg-type]
    with pytest.raises(mn.OptionError, match="'regression' has no single class per row; use sample_weight"):
        fit(task="regression", class_weight="balanced")


def test_the_positive_class_is_the_one_that_metrics_and_threshold_are_about(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = np.where(X[:, 0] > 0.6, "churn", "stay")
    spec, recipe = mn.MLP(hidden=(8,)), mn.Recipe(epochs=20, optimizer=mn.Adam(lr=0.02))
    model = mn.train(X, y, spec, recipe, positive="churn", scaling=False, progress=False)
    model.save(tmp_path / "m.safetensors")
    for one in (model, mn.load(tmp_path / "m.safetensors"), copy.deepcopy(model).fit(X, y)):
        assert one.classes_.tolist() == ["stay", "churn"]
        found = one.evaluate(X, y)
        assert found["recall"] == ((one.predict(X) == "churn") & (y == "churn")).sum() / (y == "churn").sum()
        assert found["auc"] > 0.9
        assert (one.with_threshold(0.01).predict(X) == "churn").sum() > (one.predict(X) == "churn").sum()
    estimator: Any = mn.estimator(model)
    assert estimator.predict(X).tolist() == model.predict(X).tolist()
    assert mn.train(X, X[:, 0] > 0, spec, recipe, positive="False", scaling=False, progress=False).classes_.tolist() == [
        True,
        False,
    ]
    for target, positive, words in ((y, "x", "one of the classes, 'churn' or 'stay'"), (X[:, 0], "x", "the target is regression")):
        with pytest.raises(mn.OptionError, match=words):
            mn.train(X, target, positive=positive)
    with pytest.raises(mn.OptionError, match="the task is 'multiclass'"):
        mn.train(X, y, positive="stay", task="multiclass")
