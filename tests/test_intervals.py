"""Prediction intervals: by hand, their coverage, in files, in the estimators and on the command line."""

from __future__ import annotations

import copy
import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.errors import DataError, ModelFileError, OptionError
from manynets.intervals import interval_of, residuals_of
from manynets.modelfile import open_model_file, write_model_file
from manynets.saved_model import read_saved_model
from tests.cli.conftest import Call, call
from tests.tolerances import assert_close

pytestmark = pytest.mark.usefixtures("blank_pictures")

__all__ = ["call"]

LINEAR = mn.MLP(hidden=())
RECIPE = mn.Recipe(epochs=15, optimizer=mn.Adam(lr=0.05), dtype="float64")


def rows(count: int, seed: int = 0) -> tuple[Any, Any]:
    """Return x and y, whose errors are larger where x is large."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 2))
    return x, 6 + x[:, 0] + np.exp(x[:, 1]) * random.exponential(size=count)


def train(**options: Any) -> mn.Model:
    x, y = rows(300)
    return mn.train(x, options.pop("y", y), options.pop("spec", LINEAR), RECIPE, scaling=False, progress=False, **options)


def covered(limits: Any, y: Any) -> float:
    return float(((limits[:, 0] <= y) & (y <= limits[:, 1])).mean())


@pytest.fixture(scope="module")
def ensemble() -> mn.Model:
    return train(spec=mn.MLP(hidden=(8,)), n_networks=4, validation="folds")


def test_the_limits_of_one_network_are_its_errors_of_the_right_ranks() -> None:
    x, y = rows(99, seed=1)
    model = train(validation=(x, y))
    errors, center = np.sort(y - model.predict(x)), model.predict(x[:5])
    for coverage, rank in ((0.9, 5), (0.8, 10), (0.98, 1)):  # of 99 errors, the ranks are these of 100
        wanted = np.stack([center + errors[rank - 1], center + errors[99 - rank]], axis=1)
        assert_close(model.predict_interval(x[:5], coverage), wanted, "float64_run")


def test_the_limits_of_an_ensemble_follow_the_equations() -> None:
    random = np.random.default_rng(0)
    each, target = random.normal(size=(4, 300)), random.normal(size=300)
    fold, size = np.arange(300) % 4, np.arange(4)[:, None]
    task = mn.Regression((2.0,), (5.0,))
    found: Any = residuals_of(task, each[..., None], target[:, None], held_out=fold == size)
    trained = np.stack([each[np.arange(4) != fold[i], i] for i in range(300)], axis=1)  # (3, 300)
    spread = trained.std(axis=0) * np.sqrt(each.var(axis=0).mean() / trained.var(axis=0).mean())
    errors, floor = target - each[fold, np.arange(300)], 4 * np.median(spread)
    factor = np.sqrt(1 - each.var(axis=0).mean() / (errors**2).mean())
    assert_close(np.array(found[0].quantiles), np.sort(errors / (spread + floor)), "float64")
    width = factor * (each.std(axis=0) + floor)
    low = (0.1 * 301 - 1) / 299
    scores = np.interp([low, 1 - low], np.linspace(0, 1, 300), found[0].quantiles)
    wanted = 2 + 5 * (each.mean(axis=0)[:, None] + width[:, None] * scores)
    assert_close(interval_of(task, found, each[..., None], coverage=0.8), wanted, "float64")
    two: Any = residuals_of(task, each[:2, :, None], target[:, None], held_out=fold[None] % 2 == size[:2])
    assert_close(np.ptp(np.diff(interval_of(task, two, each[:2, :, None], coverage=0.8))), 0.0, "float64")


def test_new_rows_lie_within_as_often_as_asked(ensemble: mn.Model) -> None:
    x, y = rows(20_000, seed=2)
    single = train(validation=rows(2000, seed=3))
    for coverage in (0.8, 0.9, 0.95):
        assert covered(single.predict_interval(x, coverage), y) == pytest.approx(coverage, abs=0.02)
        assert covered(ensemble.predict_interval(x, coverage), y) == pytest.approx(coverage, abs=0.04)


def test_the_limits_of_a_logarithm_and_of_rates_are_in_the_unit_of_the_target() -> None:
    x, y = rows(200)
    logarithm = mn.train(x, y, LINEAR, RECIPE, validation=0.5, target_transform="log", scaling=False, progress=False)
    limits = logarithm.predict_interval(x, 0.8)
    assert (limits > 0).all()
    assert covered(limits, y) > 0.6
    logs, center = np.log(limits), np.log(logarithm.predict(x))
    assert_close(logs[:, 1] - center, np.full(200, logs[0, 1] - center[0]), "float64_run")
    rate = mn.train(x, np.round(y, 2), LINEAR, mn.Recipe(epochs=5, loss="poisson"), validation=0.5, scaling=False, progress=False)
    assert (rate.predict_interval(x, 0.9) >= 0).all()


def test_several_targets_have_limits_each() -> None:
    x, y = rows(300)
    both = mn.train(x, np.stack([y, 10 * y], axis=1), LINEAR, RECIPE, validation=0.3, scaling=False, progress=False)
    limits = both.predict_interval(x, 0.9)
    assert limits.shape == (300, 2, 2)
    assert covered(limits[:, 0], y) > 0.8
    assert covered(limits[:, 1], 10 * y) > 0.8


@pytest.mark.parametrize("flat", [True, False])
def test_the_limits_of_counts_are_not_below_0(flat: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = rows(300)
    y = np.random.default_rng(1).poisson(np.exp(x[:, 0])).astype(float)
    assert y.min() == 0
    for low in (0.0, 2.0, -1.0):
        target = y + low if flat else np.stack([y + low, -y], axis=1)
        model = train(
            task=mn.Regression.of(target, clamp=True), y=target, spec=mn.MLP(hidden=(8,)), n_networks=3, validation="folds"
        )
        limits = model.predict_interval(x).reshape(300, -1, 2)
        with monkeypatch.context() as patched:
            patched.setattr(mn.Regression, "least", property(lambda task: np.full(task.targets, -np.inf)))
            unknown = model.predict_interval(x).reshape(300, -1, 2)
        assert (unknown[:, 0, 0] < 0).any()
        wanted = unknown.copy()
        if low >= 0:
            wanted[:, 0, 0] = np.maximum(unknown[:, 0, 0], 0.0)
            assert covered(limits[:, 0], y + low) == covered(unknown[:, 0], y + low)
        assert_close(limits, wanted, "float64_run")


def test_rows_without_weight_do_not_count() -> None:
    x, y = rows(100, seed=1)
    y[50:] += 1000
    weight = (np.arange(100) < 50).astype(float)
    model = train(validation=(x, y, weight))
    assert model.residuals is not None
    assert model.residuals[0].rows == 50
    assert np.ptp(model.predict_interval(x[:3]), axis=1).max() < 100


def test_rows_count_by_their_weight() -> None:
    random = np.random.default_rng(0)
    errors, weight = random.normal(size=50), random.integers(1, 6, 50)
    found: Any = residuals_of(mn.Regression((0.0,), (1.0,)), np.zeros((1, 50, 1)), errors[:, None], weight=weight.astype(float))
    wanted = np.quantile(np.repeat(errors, weight), np.linspace(0, 1, 50), method="inverted_cdf")
    assert_close(np.array(found[0].quantiles), wanted, "bits")


def test_files_copies_and_numpy_predict_the_same(ensemble: mn.Model, tmp_path: Path) -> None:
    x, path = rows(30)[0], tmp_path / "model.safetensors"
    wanted = ensemble.predict_interval(x, 0.7)
    ensemble.save(path)
    assert_close(mn.load(path).predict_interval(x, 0.7), wanted, "bits")
    assert_close(copy.deepcopy(ensemble).predict_interval(x, 0.7), wanted, "bits")
    assert_close(read_saved_model(path).predict_interval(x, 0.7), wanted, "float64_run")


@pytest.mark.parametrize(
    "change", [{"rows": 2}, {"floor": 0.0}, {"quantiles": [2.0, 1.0]}, {"factor": "1"}, {"scaled": 1}, {"more": 1}]
)
def test_a_file_with_other_residuals_is_refused(ensemble: mn.Model, tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "model.safetensors"
    ensemble.save(path)
    with open_model_file(path) as (header, stored):
        tensors = {name: value.read() for name, value in stored.items()}
    header["residuals"][0].update(change)
    write_model_file(path, header, tensors)
    with pytest.raises(ModelFileError, match="residuals must"):
        mn.load(path)


def test_the_estimators_have_intervals() -> None:
    x, y = rows(300)
    tabular = mn.TabularRegressor(preset="fast", n_networks=2, random_state=0).fit(x, y)
    assert covered(tabular.predict_interval(*rows(2000, seed=4)[:1], coverage=0.9), rows(2000, seed=4)[1]) > 0.8
    mlp = mn.MLPRegressor(hidden_layer_sizes=(), early_stopping=True, learning_rate_init=0.05, random_state=0).fit(x, y)
    assert mlp.predict_interval(x).shape == (300, 2)
    with pytest.raises(DataError, match="stores no errors on held-out rows"):
        mn.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", random_state=0).fit(x, y).predict_interval(x)
    one = mn.train_many(x, y, [(mn.MLP(hidden=()), mn.Recipe(epochs=1))], validation=0.2, progress=False)[0].model
    assert one is not None
    with pytest.raises(DataError, match="models of train_many never do"):
        one.predict_interval(x)


@pytest.mark.parametrize(("counted", "found"), [(30, "6 rows that count,"), (5, "1 row that counts,")])
def test_too_few_held_out_rows_are_the_reason(counted: int, found: str, tmp_path: Path) -> None:
    x, y = rows(60)
    weight = np.arange(60) < counted
    model = mn.train(x, y, mn.MLP(hidden=()), mn.Recipe(epochs=1), validation=0.2, sample_weight=weight, progress=False)
    model.save(tmp_path / "model.mn")
    for one in (model, mn.load(tmp_path / "model.mn")):
        with pytest.raises(DataError, match=f"held out {found} and intervals need the errors on at least 10; train with more"):
            one.predict_interval(x)


def test_rows_that_come_later_give_intervals_too() -> None:
    model = train()
    assert model.residuals is None
    x, y = rows(500, seed=5)
    later = model.calibrated(x, y)
    assert_close(later.predict(x), model.predict(x), "bits")
    assert covered(later.predict_interval(*rows(5000, seed=6)[:1]), rows(5000, seed=6)[1]) == pytest.approx(0.9, abs=0.04)
    beside = model.calibrated(x, y + 100).predict_interval(x)  # errors all of one sign: the limits contain the prediction
    assert_close(beside[:, 0], model.predict(x), "bits")
    with pytest.raises(DataError, match="X has 9 rows; intervals need at least 10"):
        model.calibrated(x[:9], y[:9])


def test_a_coverage_of_numpy(ensemble: mn.Model) -> None:
    x, _ = rows(300)
    for coverage in (np.float32(0.5), np.float64(0.5)):
        assert_close(ensemble.predict_interval(x, coverage), ensemble.predict_interval(x, 0.5), "bits")  # type: ignore[arg-type]


def test_mistakes(ensemble: mn.Model) -> None:
    x, y = rows(300)
    with pytest.raises(DataError, match=r"train with validation rows .* or use model.calibrated"):
        train().predict_interval(x)
    for coverage in (0, 1.0, 90, True, "0.9"):
        with pytest.raises(OptionError, match=r"coverage is .*, but must be a number above 0 and below 1"):
            ensemble.predict_interval(x, coverage)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"coverage is 0.999, but 300 held-out rows support at most 0\.993"):
        ensemble.predict_interval(x, 0.999)
    with pytest.raises(DataError, match="use predict_proba"):
        mn.train(x, y > 8, LINEAR, mn.Recipe(epochs=1), scaling=False, progress=False).predict_interval(x)


def test_the_command_writes_them(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = rows(120)
    table = "".join(f"{a:.4f},{b:.4f},{c:.4f}\n" for (a, b), c in zip(x, y, strict=True))
    Path("rows.csv").write_text("a,b,lower\n" + table, encoding="utf-8")
    line = "train rows.csv --target lower --out run --hidden none --epochs 2"
    assert call(*line.split()).code == 0
    done = call("predict", "run", "rows.csv", "--interval", "0.8", "--columns", "lower", "--quiet")
    assert done.code == 0, done.err
    found = list(csv.DictReader(io.StringIO(done.out)))
    assert list(found[0]) == ["lower", "prediction", "lower_", "upper"]
    assert all(float(row["lower_"]) < float(row["prediction"]) < float(row["upper"]) for row in found)
    done = call("predict", "run", "rows.csv", "--interval", "80")
    assert done.code == 2
    assert "--interval is 80.0, but must be a number above 0" in done.err
