"""The default for tables: its parts by hand, and what it promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars
import pytest
import torch

import manynets as mn
from manynets.tabular import CHANGEABLE, PRESETS, fit_temperature, prior_scores, train_tabular
from manynets.tabular.calibration import TEMPERATURE_OF_MEAN
from manynets.tabular.changes import changed_recipe
from manynets.tasks import Binary, Multiclass, Multilabel, Regression
from manynets.tasks.thresholds import best_threshold
from tests.tolerances import assert_close

random = np.random.default_rng(0)
ROWS = 240
NUMBERS = random.standard_normal((ROWS, 4))
WORDS = random.choice(["red", "green", "blue"], ROWS)
SIGNAL = 2 * NUMBERS[:, 0] + np.abs(NUMBERS[:, 1]) + (WORDS == "red")
FRAME = polars.DataFrame({f"x{j}": NUMBERS[:, j] for j in range(4)} | {"color": WORDS})


def _fit(y: Any, X: Any = FRAME, **options: Any) -> Any:
    return train_tabular(X, y, **{"preset": "fast", "n_networks": 3, "progress": False, **options})


def test_priors_predict_the_mean_and_the_shares() -> None:
    y = np.array([0, 0, 0, 1])
    assert_close(
        Binary((0, 1)).proba(prior_scores(Binary((0, 1)), y[:, None].astype(float))[None])[0], np.array([0.75, 0.25]), "float64"
    )
    three = Multiclass(("a", "b", "c"))
    assert_close(three.proba(prior_scores(three, np.array([0, 0, 1, 2]))[None])[0], np.array([0.5, 0.25, 0.25]), "float64")
    weighted = prior_scores(three, np.array([0, 1, 2]), np.array([2.0, 1.0, 1.0]))
    assert_close(three.proba(weighted[None])[0], np.array([0.5, 0.25, 0.25]), "float64")
    assert_close(prior_scores(Regression.of([1.0, 3.0]), np.array([[-1.0], [1.0]])), np.zeros(1), "float64")
    assert_close(
        Multilabel(2).proba(prior_scores(Multilabel(2), np.array([[0.0, 1.0], [1.0, 1.0]]))[None])[0, 0], np.array(0.5), "float64"
    )


@pytest.mark.parametrize("task", [Binary((0, 1)), Multiclass((0, 1, 2)), Multilabel(2)], ids=lambda task: task.name)
def test_the_temperature_is_that_of_a_finer_search(task: Any) -> None:
    scores = random.standard_normal((500, task.outputs)) * 2
    probability = task.proba(scores / 1.7)
    if task.name == "multiclass":
        target = np.array([random.choice(3, p=row) for row in probability])
    else:
        positive = probability[:, 1:] if task.name == "binary" else probability
        target = (random.random(positive.shape) < positive).astype(float)
    found = fit_temperature(scores, target, task)
    x, truth = torch.from_numpy(scores), torch.from_numpy(target)

    def loss(t: float) -> float:
        if task.name == "multiclass":
            return torch.nn.functional.cross_entropy(x / t, truth).item()
        return torch.nn.functional.binary_cross_entropy_with_logits(x / t, truth).item()

    finer = min(np.geomspace(0.2, 5, 20_001), key=loss)
    assert abs(np.log(found / finer)) < 0.03
    assert 1.2 < found < 2.4


def test_out_of_fold_scores_are_of_networks_that_did_not_see_the_row() -> None:
    y = np.round(SIGNAL).astype(int) > 1
    fit = _fit(y)
    logits = fit.model.logits(FRAME).astype(np.float64) * TEMPERATURE_OF_MEAN
    near = np.isclose(logits, fit.out_of_fold[None], rtol=1e-4, atol=1e-5).all(axis=2)
    assert (near.sum(axis=0) >= 1).all()  # one of the networks gave it, or the mean of two that share the row
    assert near.mean(axis=1) == pytest.approx(1 / 3, abs=0.02)


def test_the_model_holds_everything(tmp_path: Any) -> None:
    fit = _fit(np.where(SIGNAL > 1, "high", "low"))
    fit.model.save(tmp_path / "model.mn")
    loaded = mn.load(tmp_path / "model.mn")
    assert_close(loaded.predict_proba(FRAME), fit.model.predict_proba(FRAME), "bits")
    assert loaded.info["temperature"] == fit.temperature != 1.0
    assert loaded.evaluate(FRAME, np.where(SIGNAL > 1, "high", "low"))["accuracy"] > 0.9


def test_regression_stays_within_the_range_of_the_target() -> None:
    fit = _fit(SIGNAL)
    far = FRAME.with_columns(x0=polars.lit(1e6))
    assert fit.model.predict(far).max() <= SIGNAL.max() + 1e-5
    assert np.corrcoef(fit.model.predict(FRAME), SIGNAL)[0, 1] > 0.95


def test_the_same_seed_gives_the_same_bits() -> None:
    one, two, other = _fit(SIGNAL, seed=3), _fit(SIGNAL, seed=3), _fit(SIGNAL, seed=4)
    assert_close(one.model.predict(FRAME), two.model.predict(FRAME), "bits")
    assert not np.array_equal(one.model.predict(FRAME), other.model.predict(FRAME))


def test_a_validation_set_replaces_the_folds() -> None:
    fit = _fit(SIGNAL[:200], FRAME[:200], validation=(FRAME[200:], SIGNAL[200:]))
    assert fit.out_of_fold is None
    assert fit.model.size == 3
    assert "val_loss" in fit.model.history
    each = fit.model.logits(FRAME[200:])  # on the same rows, they differ by their seeds
    assert min(np.abs(each[i] - each[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-3


@pytest.mark.parametrize("steps", [37, 150])
def test_training_resumes_bit_for_bit(tmp_path: Any, steps: int) -> None:
    whole = _fit(SIGNAL)

    def stop(event: Any) -> None:
        if isinstance(event, mn.Advanced) and event.step >= steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fit(SIGNAL, callbacks=[stop], checkpoint=mn.Checkpoint(folder=tmp_path, every_steps=10))
    resumed = _fit(SIGNAL, resume=tmp_path)
    assert_close(resumed.model.predict(FRAME), whole.model.predict(FRAME), "bits")


CASES: dict[str, tuple[Any, Any]] = {
    "20 rows": (FRAME[:20], SIGNAL[:20]),
    "2 rows": (FRAME[:2], SIGNAL[:2]),
    "one column": (FRAME.select("x0"), SIGNAL),
    "only words": (FRAME.select("color"), SIGNAL),
    "a constant": (FRAME.with_columns(c=polars.lit(3.0)), SIGNAL),
    "more columns than rows": (random.standard_normal((30, 300)), SIGNAL[:30]),
    "two targets": (FRAME, np.stack([SIGNAL, -SIGNAL], axis=1)),
    "several labels": (FRAME, np.stack([SIGNAL > 1, NUMBERS[:, 2] > 0], axis=1).astype(int)),
    "a rare class": (FRAME, np.array(["a"] * 238 + ["b"] * 2)),
    "gaps in an array": (np.where(random.random(NUMBERS.shape) < 0.2, np.nan, NUMBERS), SIGNAL),
    "500 levels": (polars.DataFrame({"level": [f"v{i % 120}" for i in range(ROWS)], "x": NUMBERS[:, 0]}), SIGNAL),
    "a constant target": (FRAME, np.full(ROWS, 5.5)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_size_and_kind_of_table(case: str) -> None:
    X, y = CASES[case]
    fit = _fit(y, X)
    predicted = fit.model.predict(X)
    assert predicted.shape == np.shape(y)
    if predicted.dtype.kind == "f":
        assert np.isfinite(predicted).all()


@pytest.mark.parametrize("bad", ["wild", "constant", "id", "heavy"])
def test_a_bad_column_costs_little(bad: str) -> None:
    column = {
        "wild": np.where(np.arange(ROWS) == 7, 1e9, NUMBERS[:, 3]),
        "constant": np.full(ROWS, 1e6),
        "id": np.arange(ROWS) * 1000.0,
        "heavy": random.standard_cauchy(ROWS) * 100,
    }[bad]
    train, test = slice(None, 180), slice(180, None)
    dirty = FRAME.with_columns(bad=column)
    clean_fit, dirty_fit = _fit(SIGNAL[train], FRAME[train], preset="default"), _fit(SIGNAL[train], dirty[train], preset="default")

    def error(fit: Any, X: Any) -> float:
        return float(np.sqrt(np.mean((fit.model.predict(X[test]) - SIGNAL[test]) ** 2)) / SIGNAL.std())

    assert error(dirty_fit, dirty) < error(clean_fit, FRAME) * 1.1 + 0.02


@pytest.mark.parametrize("useful", [False, True])
def test_text_counts_where_it_helps_out_of_fold(useful: bool) -> None:
    words = np.array([f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"])
    picks = np.stack([random.choice(len(words), 6, replace=False) for _ in range(ROWS)])
    y = NUMBERS[:, 0] + 0.3 * NUMBERS[:, 3] + (4 * (picks < 20).any(axis=1) if useful else 0)
    frame = FRAME.with_columns(text=polars.Series([" ".join(words[pick]) for pick in picks]))
    fit = _fit(y, frame)
    hashed = fit.model.encoder.hashed
    assert hashed.any()
    counts = [bool(member["input_scale.weight"][hashed].any()) for member in fit.model.members]
    assert any(counts) == useful
    assert len(counts) in (3, 6)
    assert np.isfinite(fit.out_of_fold).all()


def _shapes(kind: str) -> tuple[Any, Any]:
    """Return a table (1200, 3) and classes that are smooth in all of its columns together, or alternate along one of them."""
    generator = np.random.default_rng(1)
    if kind == "smooth":
        x = generator.standard_normal((1200, 3))
        return x, (x @ np.array([1.0, 0.8, -0.6])) ** 2 > 1
    x = generator.standard_normal((1200, 3))
    x[:, 0] = generator.integers(8, size=1200)
    return x, (x[:, 0] % 2 > 0) ^ (generator.random(1200) < 0.1)


def _piecewise(fit: Any) -> list[bool]:
    """Return whether each network uses the piecewise-linear columns."""
    return [bool(member["input_scale.weight"][fit.model.encoder.piecewise].any()) for member in fit.model.members]


@pytest.mark.parametrize("own", [False, True], ids=["folds", "own validation set"])
@pytest.mark.parametrize("metric", [None, "roc_auc"])
def test_networks_without_piecewise_linear_columns_count_where_they_are_better(metric: Any, own: bool) -> None:
    found = {}
    for kind in ("smooth", "sharp"):
        x, y = _shapes(kind)
        options: dict[str, Any] = {"preset": "default", "n_networks": 2, "metric": metric, "hidden": (64, 64)}
        found[kind] = _piecewise(_fit(y[:900], x[:900], validation=(x[900:], y[900:]), **options) if own else _fit(y, x, **options))
    assert False in found["smooth"]
    assert found["sharp"] == [True, True]


def test_the_fast_preset_and_a_network_without_validation_rows_have_the_usual_columns() -> None:
    x, y = _shapes("smooth")
    assert _piecewise(_fit(y, x)) == [True] * 3
    assert _piecewise(_fit(y, x, preset="default", n_networks=1)) == [True]


@pytest.mark.parametrize("y", [SIGNAL, SIGNAL > 1, np.digitize(SIGNAL, [0.0, 2.0])], ids=["numbers", "two", "three"])
def test_the_best_preset_keeps_settings_whose_mean_is_better(y: Any, tmp_path: Any) -> None:
    with pytest.warns(UserWarning, match="time_limit is 0.01 s"):
        fit = _fit(y, preset="best", n_networks=2, time_limit=0.01)  # a few steps only
    settings = len(PRESETS["best"].settings)
    assert fit.model.size in range(2, 2 * settings + 1, 2)
    assert fit.out_of_fold.shape == (ROWS, fit.model.task.outputs)
    assert np.isfinite(fit.out_of_fold).all()
    fit.model.save(tmp_path / "model.mn")
    assert_close(mn.load(tmp_path / "model.mn").predict(FRAME), fit.model.predict(FRAME), "bits")


def test_the_best_preset_resumes_bit_for_bit(tmp_path: Any) -> None:
    options = {"preset": "best", "n_networks": 2, "hidden": (8,)}
    whole = _fit(SIGNAL, **options)

    def stop(event: Any) -> None:
        if isinstance(event, mn.Advanced) and event.step >= 150:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fit(SIGNAL, **options, callbacks=[stop], checkpoint=mn.Checkpoint(folder=tmp_path, every_steps=50))
    resumed = _fit(SIGNAL, **options, resume=tmp_path)
    assert_close(resumed.model.predict(FRAME), whole.model.predict(FRAME), "bits")


def test_the_threshold_is_that_of_the_highest_f1() -> None:
    share = np.round(random.uniform(size=300), 2)
    positive = random.uniform(size=300) < share**2
    weight = random.uniform(0.5, 2.0, 300)

    def f1(threshold: float) -> float:
        claimed = share > threshold
        return 2 * weight[claimed & positive].sum() / (weight[claimed].sum() + weight[positive].sum())

    best = max(map(f1, np.arange(0.005, 1.0, 0.01)))
    assert f1(best_threshold(share, positive, weight)) == pytest.approx(best)


def test_f1_gives_rare_rows_a_threshold_of_their_own(tmp_path: Any) -> None:
    y = np.where(SIGNAL + NUMBERS[:, 3] > 2.8, "rare", "usual")  # the first class is "rare"
    y = np.where(y == "rare", "z", "a")
    model = _fit(y, metric="f1").model
    assert model.task.threshold < 0.5
    model.save(tmp_path / "model.mn")
    loaded = mn.load(tmp_path / "model.mn")
    share = loaded.predict_proba(FRAME)[:, 1]
    assert (loaded.predict(FRAME) == np.where(share > model.task.threshold, "z", "a")).all()
    assert loaded.evaluate(FRAME, y)["recall"] >= _fit(y).model.evaluate(FRAME, y)["recall"]


def test_refusals() -> None:
    with pytest.raises(mn.OptionError, match="metric of the task 'regression' is 'f1', but must be"):
        _fit(SIGNAL, metric="f1")
    with pytest.raises(mn.OptionError, match="preset is 'slow', but must be"):
        _fit(SIGNAL, preset="slow")
    with pytest.raises(mn.OptionError, match="n_networks is 0, but must be a whole number of at least 1"):
        _fit(SIGNAL, n_networks=0)
    with pytest.raises(mn.OptionError, match="seed is -1, but must be a whole number of at least 0"):
        mn.train(NUMBERS, SIGNAL, seed=-1, progress=False)


def test_a_seed_of_numpy() -> None:
    options: dict[str, Any] = {"n_networks": 2, "preset": "fast", "progress": False}
    given, plain = (mn.train(NUMBERS[:80], SIGNAL[:80], seed=seed, **options) for seed in (np.int64(5), 5))
    assert_close(given.predict(NUMBERS), plain.predict(NUMBERS), "bits")


@pytest.mark.parametrize("kind", ["list", "tensor", "float32"])
def test_lists_and_tensors_are_arrays(kind: str) -> None:
    X = {"list": NUMBERS.tolist(), "tensor": torch.from_numpy(NUMBERS), "float32": NUMBERS.astype(np.float32)}[kind]
    model = mn.train(X, SIGNAL.tolist(), n_networks=2, progress=False)
    assert model.predict(X).shape == (ROWS,)
    assert model.predict(X[:3]).shape == (3,)


def test_rows_that_do_not_match_are_refused() -> None:
    with pytest.raises(mn.DataError, match="X has 240 rows and y has 239"):
        _fit(SIGNAL[1:], NUMBERS)
    with pytest.raises(mn.DataError, match=r"X has shape \(240,\), but must be \(rows, columns\)"):
        _fit(SIGNAL, NUMBERS[:, 0])


def test_changes_replace_what_the_recipe_says() -> None:
    changes = {"hidden": (9,), "activation": "tanh", "lr": 0.01, "iterations": 48, "patience": 3, "batch_size": 32, "lr_final": 0.1}
    model = _fit(SIGNAL > 1, n_networks=2, changes=changes).model
    default = _fit(SIGNAL > 1, n_networks=2).model
    assert (model.spec.hidden, model.spec.activation, model.spec.dropout) == ((9,), "tanh", default.spec.dropout)
    assert (model.recipe.lr, model.recipe.iterations, model.recipe.evaluate_every, model.recipe.batch_size) == (0.01, 48, 2, 32)
    assert model.recipe.optimizer.weight_decay == default.recipe.optimizer.weight_decay
    assert (model.recipe.stopping.patience, model.recipe.stopping.cool_down) == (3, default.recipe.stopping.cool_down)
    assert model.recipe.schedule == mn.Cosine(final=0.1, warmup=0.05)
    rates = dict(zip((group.names for group in model.recipe.groups), model.recipe.groups, strict=True))
    assert rates["output.weight"].lr_factor == 1 / 3  # the rates follow the units


def test_a_changed_schedule_has_its_own_defaults() -> None:
    recipe = mn.Recipe(schedule=mn.Cosine(warmup=0.05))
    assert changed_recipe(recipe, {"schedule": "one-cycle"}).schedule == mn.OneCycle()
    assert changed_recipe(recipe, {"schedule": "cosine"}).schedule == mn.Cosine(warmup=0.05)
    with pytest.raises(mn.OptionError, match="warmup is not for the schedule Constant, but for"):
        changed_recipe(recipe, {"schedule": "constant", "warmup": 0.1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "sgd"}, "changes is 'optimizer', but must be"),
        ({"epochs": 3}, "changes is 'epochs'"),
        ({"loss": "poisson"}, "starts from the mean of the target"),
        ({"delta": 2.0}, "delta is for the loss 'huber' only"),
        ({"momentum": 0.9}, "momentum is not for the optimizer AdamW, but for sgd"),
        ({"hidden": (0,)}, "MLP.hidden is"),
    ],
)
def test_changes_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(mn.OptionError, match=message):
        _fit(SIGNAL, changes=changes)
    assert not {"optimizer", "epochs", "seed", "device"} & set(CHANGEABLE)
