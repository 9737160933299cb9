"""Several quantiles in one network: the loss against plain torch, order, the ways to train, files, exports and intervals."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_absolute_error, r2_score

import manynets as mn
from manynets.errors import DataError, ModelFileError, OptionError
from manynets.intervals import interval_of, residuals_of
from manynets.modelfile import open_model_file, write_model_file
from manynets.saved_model import read_saved_model
from manynets.spec import from_json, to_json
from manynets.streaming import Columns, open_ensemble, train_stream_ensemble
from manynets.tables.rowgroups import BlockFiles
from manynets.tabular import train_tabular
from manynets.tasks.losses import loss_for
from manynets.tasks.objectives import objective_for
from tests.cli.conftest import Call, call
from tests.tolerances import assert_close

pytestmark = pytest.mark.usefixtures("blank_pictures")

__all__ = ["call"]

LEVELS = (0.05, 0.5, 0.95)
NETWORK = mn.MLP(hidden=(16,), activation="tanh")
TWO = mn.Regression((10.0, 0.0), (2.0, 0.5), flat=False, quantiles=LEVELS)


def recipe(**options: Any) -> mn.Recipe:
    return mn.Recipe(
        **{"loss": "quantile", "quantile": LEVELS, "epochs": 40, "optimizer": mn.Adam(lr=0.02), "schedule": mn.Cosine(), **options}
    )


def rows(count: int, seed: int = 0) -> tuple[Any, Any]:
    """Return x and y, whose spread is exp(x_1): from 0.1 to 1.6 for nearly all rows."""
    random = np.random.default_rng(seed)
    x = random.uniform(-2, 0.5, size=(count, 2))
    return x, 50 + 10 * (np.sin(3 * x[:, 0]) + np.exp(x[:, 1]) * random.normal(size=count))


def covered(limits: Any, y: Any) -> float:
    return float(((limits[:, 0] <= y) & (y <= limits[:, 1])).mean())


@pytest.fixture(scope="module")
def model() -> mn.Model:
    return mn.train(*rows(1200), NETWORK, recipe(), validation=0.3, scaling=False, progress=False)


@pytest.fixture(scope="module")
def ensemble() -> mn.Model:
    x, y = rows(400)
    both = np.stack([y, -y], axis=1)
    return mn.train(x, both, NETWORK, recipe(epochs=10), n_networks=3, validation="folds", scaling=False, progress=False)


def test_the_loss_is_the_mean_pinball_loss_of_plain_torch() -> None:
    random = np.random.default_rng(0)
    z, y = torch.tensor(random.normal(size=(50, 6)), requires_grad=True), torch.tensor(random.normal(size=(50, 2)))
    levels = torch.tensor(LEVELS, dtype=torch.float64)

    def pinball(scores: torch.Tensor, unit: Any = (1.0, 1.0)) -> torch.Tensor:
        error = (y.unsqueeze(-1) - scores.view(50, 2, 3)) * torch.tensor(unit, dtype=torch.float64).view(2, 1)
        return torch.maximum(levels * error, (levels - 1) * error).mean((1, 2))

    objective, loss = objective_for(TWO, recipe()), loss_for(TWO, recipe())
    target = objective.expand(y, 0.0, torch.float64)
    assert_close(objective.rows(z, target).detach(), pinball(z).detach(), "float64")
    out = torch.empty_like(z)
    objective.gradient(z.detach(), target, out=out)
    assert_close(out, torch.autograd.grad(pinball(z).sum(), z)[0], "float64")
    assert_close(loss.gradient(z.detach().numpy(), target.numpy()), out.numpy(), "float64")
    ordered = z.detach().view(50, 2, 3).sort(-1).values
    reported = pinball(ordered, TWO.scale)
    assert_close(objective.report(z.detach(), target), reported, "float64")
    assert (reported <= pinball(z.detach(), TWO.scale) + 1e-12).all()
    assert_close(objective.hits(z.detach(), target), (ordered[..., 1] - y).square(), "float64")
    logs = objective.log(z.detach(), target).numpy(), loss.log(z.detach().numpy(), loss.expand(y.numpy()))
    assert_close(*logs, "float64")


def test_the_point_is_the_median_or_between_the_quantiles_around_it() -> None:
    scores = np.array([[3.0, 1.0, 2.0]])
    for levels, wanted in ((LEVELS, 2.0), ((0.1, 0.4, 0.6), 2.5), ((0.6, 0.7, 0.8), 1.0), ((0.1, 0.2, 0.3), 3.0)):
        task = mn.Regression((0.0,), (1.0,), quantiles=levels)
        assert_close(task.predict(scores), np.array([wanted]), "float64")
        assert task.predict_quantiles(scores).tolist() == [[1.0, 2.0, 3.0]]
    clamped = mn.Regression((0.0,), (1.0,), quantiles=LEVELS, limits=((1.5, 2.5),))
    assert clamped.predict_quantiles(scores).tolist() == [[1.5, 2.0, 2.5]]


def test_quantiles_hold_their_shares_and_follow_the_spread(model: mn.Model) -> None:
    x, y = rows(4000, seed=1)
    found = model.predict_quantiles(x)
    assert found.shape == (4000, 3)
    assert (np.diff(found) >= 0).all()
    assert_close(model.predict(x), found[:, 1], "bits")
    assert (y[:, None] < found).mean(axis=0) == pytest.approx(np.array(LEVELS), abs=0.05)
    assert np.corrcoef(np.exp(x[:, 1]), found[:, 2] - found[:, 0])[0, 1] > 0.9
    error = y[:, None] - found
    pinball = np.maximum(np.array(LEVELS) * error, (np.array(LEVELS) - 1) * error).mean()
    assert_close(model.evaluate(x, y)["loss"], float(pinball), "float32_run")
    assert "3 quantiles" in repr(model)


def test_quantiles_of_new_categories_warn() -> None:
    frame = {"town": ["Bern", "Chur"] * 20}
    model = mn.train(polars.DataFrame(frame), rows(40)[1], mn.MLP(hidden=()), recipe(epochs=1), progress=False)
    with pytest.warns(UserWarning, match="'town' holds categories not seen in training: 'Genf'"):
        model.predict_quantiles(polars.DataFrame({"town": ["Genf"]}))


@pytest.mark.parametrize("weighted", [False, True])
def test_every_way_to_train_makes_the_same_steps(weighted: bool) -> None:
    x, y = rows(90)
    two, weight = np.stack([y, y**2], axis=1), np.arange(90.0) if weighted else None
    options: dict[str, Any] = {"sample_weight": weight, "validation": 0.3, "progress": False}
    ways: list[Any] = [{"gradient": "closed_form"}, {"gradient": "autograd"}, {"engine": "numpy"}]
    models = []
    for way in ways:
        engine = {"engine": way.pop("engine")} if "engine" in way else {}
        own = recipe(epochs=3, batch_size=16, dtype="float64", optimizer=mn.SGD(lr=0.1), **way)
        models.append(mn.train(x, two, NETWORK, own, **options, **engine, scaling=False))
    for other in models[1:]:
        assert_close(other.members[0], models[0].members[0], "float64_run")
        for name in ("loss", "val_loss", "r2", "val_r2"):
            assert_close(other.history[name], models[0].history[name], "float64_run")
    assert models[0].info["stepper"] == "closed_form"


def test_several_networks_predict_the_mean_of_each_quantile(ensemble: mn.Model) -> None:
    x = rows(20, seed=1)[0]
    each = ensemble.logits(x)
    alone = [ensemble.task.predict_quantiles(one) for one in each]  # type: ignore[attr-defined]
    found = ensemble.predict_quantiles(x)
    assert found.shape == (20, 2, 3)
    assert (np.diff(found) >= 0).all()
    assert_close(found, np.mean(alone, axis=0), "float64")
    assert_close(ensemble.predict(x), found[..., 1], "float64_run")
    mean = ensemble.task.predict_quantiles(ensemble.mean_logits(each))  # type: ignore[attr-defined]
    assert_close(mean, found, "float32_run")


@pytest.mark.parametrize("levels", [(0.1, 0.9), (0.1, 0.4, 0.9), (0.1, 0.5, 0.9), (0.6, 0.9)])
def test_metrics_of_several_networks_on_a_logarithm_are_those_of_their_predictions(
    levels: tuple[float, ...], tmp_path: Path
) -> None:
    x, y = rows(200, seed=5)
    y = np.exp(y / 10 - 5)
    recipe = mn.Recipe(loss="quantile", quantile=levels, epochs=20)
    options: dict[str, Any] = {"n_networks": 3, "validation": "folds", "target_transform": "log", "progress": False}
    model = mn.train(x, y, mn.MLP(hidden=(4,)), recipe, **options)
    found, quantiles, shares = model.predict(x), model.predict_quantiles(x), model.task.point_weights  # type: ignore[attr-defined]
    assert_close(found, np.exp(np.log(quantiles) @ shares), "float32_run")
    truth = {"r2": r2_score(y, found), "mae": mean_absolute_error(y, found)}
    for name, value in truth.items():
        assert model.evaluate(x, y)[name] == pytest.approx(value, rel=1e-5)
    limits = model.predict_interval(x)
    assert ((limits[:, 0] <= found) & (found <= limits[:, 1])).all()
    for path in ("m.py", "m.onnx"):  # which compare what they predict
        (model.to_python if path == "m.py" else model.to_onnx)(tmp_path / path, X=x)


def test_intervals_are_conformal_around_the_quantiles(model: mn.Model, ensemble: mn.Model) -> None:
    x, y = rows(4000, seed=2)
    quantiles = model.predict_quantiles(x)
    for coverage in (0.5, 0.8, 0.9, 0.95):
        limits = model.predict_interval(x, coverage)
        assert covered(limits, y) == pytest.approx(coverage, abs=0.04)
        assert np.corrcoef(np.exp(x[:, 1]), limits[:, 1] - limits[:, 0])[0, 1] > 0.9
    moved = np.abs(model.predict_interval(x, 0.9) - quantiles[:, [0, 2]])
    assert moved.max() < 0.2 * np.ptp(quantiles, axis=1).mean()  # they start from the quantiles 0.05 and 0.95
    both = ensemble.predict_interval(x, 0.8)
    for t, truth in enumerate((y, -y)):
        assert covered(both[:, t], truth) == pytest.approx(0.8, abs=0.05)


def test_the_limits_of_ninety_nine_rows_by_hand(model: mn.Model) -> None:
    x, y = rows(99, seed=3)
    own, (new, _) = model.calibrated(x, y), rows(5, seed=4)
    fitted, fresh = model.predict_quantiles(x), model.predict_quantiles(new)
    median = np.median(fitted[:, 2] - fitted[:, 0]) / 4
    for end, j, rank in ((0, 0, 10), (1, 2, 90)):  # of 99 scores, the ranks for 0.1 and 0.9 are those of 100
        scores = np.sort((y - fitted[:, j]) / (fitted[:, 2] - fitted[:, 0] + median))
        wanted = fresh[:, j] + (fresh[:, 2] - fresh[:, 0] + median) * scores[rank - 1]
        wanted = (np.minimum, np.maximum)[end](wanted, fresh[:, 1])  # the median is within the limits
        assert_close(own.predict_interval(new, 0.8)[:, end], wanted, "float64_run")


def test_where_0_is_makes_no_difference_to_the_limits() -> None:
    random = np.random.default_rng(0)
    each, target = np.sort(random.normal(size=(2, 60, 3)), axis=2), random.normal(size=(60, 1))
    task = mn.Regression((0.0,), (1.0,), quantiles=LEVELS)
    here: Any = residuals_of(task, each, target, loss="quantile")
    far: Any = residuals_of(task, each + 2.0**20, target + 2.0**20, loss="quantile")
    for one, other in zip(here, far, strict=True):
        assert_close(np.array(other.quantiles), np.array(one.quantiles), "numeric")


@pytest.mark.parametrize("twice", [0, 100], ids=["once", "some twice"])
def test_the_limits_of_an_ensemble_follow_the_equations(twice: int) -> None:
    random = np.random.default_rng(0)
    each, target = np.sort(random.normal(size=(4, 300, 3)), axis=2), random.normal(size=300)
    task = mn.Regression((2.0,), (5.0,), quantiles=LEVELS)
    row, number = np.arange(300), np.arange(4)[:, None]
    held_out = (row % 4 == number) | ((row + 1) % 4 == number) & (row < twice)
    found: Any = residuals_of(task, each, target[:, None], held_out=held_out, loss="quantile")
    width, many = each[:, :, 2] - each[:, :, 0], held_out.sum(axis=0)
    own = np.where(held_out[..., None], each, 0.0).sum(axis=0) / many[:, None]
    others = np.where(held_out, 0.0, width).sum(axis=0) / (4 - many)
    others *= (own[:, 2] - own[:, 0]).mean() / others.mean()
    low, mean = (0.1 * 301 - 1) / 299, each.mean(axis=0)
    for end, j in enumerate((0, 2)):
        size = others + np.median(others) / 4
        scores = (target - own[:, j]) / size
        factor = np.sqrt(1 - np.mean((1 / many - 1 / 4) * each[:, :, j].var(axis=0, ddof=1) / size**2) / scores.var())
        scores = scores.mean() + factor * (scores - scores.mean())
        assert_close(np.array(found[j].quantiles), np.sort(scores), "float64")
        wanted = mean[:, j] + (width.mean(axis=0) + np.median(others) / 4) * np.quantile(scores, (low, 1 - low)[end])
        limits = interval_of(task, found, each, coverage=0.8, loss="quantile")
        wanted = (np.minimum, np.maximum)[end](wanted, mean[:, 1])  # the median is within the limits
        assert_close(limits[:, end], 2 + 5 * wanted, "float64")


def test_the_limits_contain_the_prediction_where_outputs_are_clamped(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    x, y = rows(300)
    both = np.stack([y, -2 * y], axis=1)
    for target, size in ((y, 1), (both, 2)):
        task = mn.Regression.of(target[:40], clamp=True)  # so that many rows are beyond the range
        found = mn.train(x, target, NETWORK, recipe(), task=task, n_networks=size, scaling=False, progress=False)
        for shift in (-30, 30):  # errors all of one sign
            model, path = found.calibrated(x, target + shift), tmp_path / f"{size}{shift}.safetensors"
            model.save(path)
            limits, point = model.predict_interval(x, 0.8), model.predict(x)
            assert (limits[..., 0] <= point).all()
            assert (point <= limits[..., 1]).all()
            assert_close(read_saved_model(path).predict_interval(x, 0.8), limits, "float32_run")
            assert mn.export.to_python(model, tmp_path / "q.py", X=x).largest < 1e-5
            assert mn.export.to_onnx(model, tmp_path / "q.onnx", X=x, coverage=0.8).largest < 1e-5
            session = runtime.InferenceSession((tmp_path / "q.onnx").read_bytes())
            low, middle, high = session.run(["lower", "prediction", "upper"], {"X": x.astype(np.float32)})
            assert (low <= middle).all()
            assert (middle <= high).all()


@pytest.mark.parametrize("unit", [1.0, 1e-7, 1e6])  # of a target that is not standardised
def test_targets_at_the_end_of_the_range_are_within_the_limits(unit: float) -> None:
    """Of a target with a largest value that many rows have, such as a price that was cut off, and which the upper quantile predicts."""
    random = np.random.default_rng(0)
    each = unit * np.sort(random.normal(size=(4, 400, 3)), axis=2)
    target = each.mean(axis=(0, 2))
    most = np.float32(1.1 * unit)
    each[:, :100, 2], target[:100] = 5.0 * unit, most
    task = mn.Regression((0.0,), (1.0,), quantiles=LEVELS, limits=((-9.0 * unit, 1.1 * unit),))  # not quite `most`
    fold = np.arange(400) % 4 == np.arange(4)[:, None]
    found = residuals_of(task, each, target[:, None], held_out=fold, loss="quantile")
    limits = interval_of(task, found, each[:, :100], coverage=0.9, loss="quantile")
    assert (limits[:, 1] >= most).all()
    assert_close(limits[:, 1] / unit, np.full(100, 1.1), "float32_run")


def test_files_numpy_exports_and_further_training(ensemble: mn.Model, model: mn.Model, tmp_path: Path) -> None:
    x = rows(30, seed=1)[0]
    for k, one in enumerate((model, ensemble)):
        path = tmp_path / f"{k}.safetensors"
        one.save(path)
        loaded, numpy = mn.load(path), read_saved_model(path)
        assert loaded.task == one.task
        assert_close(loaded.predict_quantiles(x), one.predict_quantiles(x), "bits")
        assert_close(loaded.predict_interval(x, 0.8), one.predict_interval(x, 0.8), "bits")
        assert_close(numpy.predict_quantiles(x), one.predict_quantiles(x), "float32_run")
        assert mn.export.to_python(one, tmp_path / f"q{k}.py", X=x).largest < 1e-5
    further = mn.train(*rows(100), model, scaling=False, progress=False)
    assert further.predict_quantiles(x).shape == (30, 3)
    with pytest.raises(OptionError, match="train a new model for another"):
        mn.train(*rows(100), model, recipe(quantile=(0.1, 0.9)), scaling=False, progress=False)
    one = mn.train(*rows(50), NETWORK, mn.Recipe(epochs=1), scaling=False, progress=False)
    with pytest.raises(OptionError, match="predicts one number of each target, but the recipe asks for the quantiles"):
        mn.train(*rows(50), one, recipe(), scaling=False, progress=False)
    with open_model_file(tmp_path / "0.safetensors") as (header, stored):
        tensors = {name: value.read() for name, value in stored.items()}
    write_model_file(tmp_path / "wrong.safetensors", {**header, "task": {**header["task"], "quantiles": [0.9, 0.1]}}, tensors)
    with pytest.raises(ModelFileError, match="increasing numbers"):
        mn.load(tmp_path / "wrong.safetensors")


def test_onnx_has_the_quantiles(ensemble: mn.Model, model: mn.Model, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    x = rows(30, seed=1)[0].astype(np.float32)
    for one in (model, ensemble):
        assert mn.export.to_onnx(one, tmp_path / "q.onnx", X=x, coverage=0.8).largest < 1e-5
        found = runtime.InferenceSession((tmp_path / "q.onnx").read_bytes()).run(["quantiles"], {"X": x})[0]
        assert_close(found, one.predict_quantiles(x), "float32_run")


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    x, y = rows(100)
    whole = recipe(epochs=4, batch_size=20)
    wanted = mn.train(x, y, NETWORK, whole, scaling=False, progress=False)
    mn.train(x, y, NETWORK, whole, scaling=False, progress=False, checkpoint=mn.Checkpoint(folder=tmp_path, every_epochs=2))
    last = max(tmp_path.iterdir(), key=lambda file: file.name)
    last.unlink()
    again = mn.train(x, y, NETWORK, whole, scaling=False, progress=False, resume=tmp_path)
    assert_close(again.members[0], wanted.members[0], "bits")


def test_candidates_with_different_quantiles_are_trained_together() -> None:
    x, y = rows(80)
    candidates = [(NETWORK, recipe(epochs=2, quantile=levels)) for levels in (LEVELS, (0.1, 0.9), 0.5)]
    results = mn.train_many(x, y, candidates, cv=2, scaling=False, progress=False)
    assert [one.task.outputs for one in results][::2] == [3, 2, 1]
    assert all(np.isfinite(one.loss) for one in results)


def test_the_default_ensemble_predicts_quantiles() -> None:
    x, y = rows(150)
    changes = {"loss": "quantile", "quantile": LEVELS, "hidden": (8,)}
    options: dict[str, Any] = {"task": "regression", "n_networks": 2, "progress": False}
    found = train_tabular(x, y, preset="fast", changes=changes, **options)
    quantiles = found.model.predict_quantiles(x)
    assert quantiles.shape == (150, 3)
    assert quantiles.min() >= y.min() - 1e-9
    assert quantiles.max() <= y.max() + 1e-9
    assert found.model.predict_interval(x, 0.8).shape == (150, 2)
    assert found.out_of_fold is not None
    assert found.out_of_fold.shape == (150, 3)


def test_the_regressor_takes_several_quantiles() -> None:
    x, y = rows(150)
    options: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}
    with pytest.warns(ConvergenceWarning):
        one = mn.MLPRegressor("quantile", quantile=LEVELS, **options).fit(x, y)
    found = one.predict_quantiles(x)
    assert found.shape == (150, 3)
    assert_close(one.predict(x), found[:, 1], "float64_run")
    with pytest.raises(ValueError, match=r"quantile is 1\.5"):
        mn.MLPRegressor("quantile", quantile=(0.5, 1.5), **options).fit(x, y)


def test_what_one_quantile_says() -> None:
    x, y = rows(60)
    one = mn.train(x, y, NETWORK, recipe(quantile=0.9, epochs=1), scaling=False, progress=False)
    assert_close(one.predict_quantiles(x)[:, 0], one.predict(x), "bits")
    assert one.info["stepper"] == "compiled"
    squared = mn.train(x, y, NETWORK, mn.Recipe(epochs=1), scaling=False, progress=False)
    with pytest.raises(DataError, match=r"train with mn.Recipe\(loss='quantile'"):
        squared.predict_quantiles(x)


def test_a_recipe_checks_its_quantiles() -> None:
    assert mn.Recipe(loss="quantile", quantile=(0.25,)).quantile == 0.25
    assert mn.Recipe(loss="quantile", quantile=np.array([0.1, 0.9])).quantiles == (0.1, 0.9)
    assert from_json(to_json(recipe())) == recipe()
    for bad, text in (((0.9, 0.1), "in increasing order"), ((0.5, 0.5), "in increasing order"), ((), "numbers in"),
                      ((0.0, 0.5), "must be a number in"), ("0.5", "must be a number in"), (True, "must be a number in")):  # fmt: skip
        with pytest.raises(OptionError, match=text):
            recipe(quantile=bad)
    with pytest.raises(OptionError, match="give loss='quantile', not None"):
        mn.Recipe(quantile=LEVELS)
    with pytest.raises(OptionError, match="the core knows one quantile only"):
        mn.train(*rows(50), NETWORK, recipe(gradient="compiled"), scaling=False, progress=False)


def test_the_command_line_writes_a_column_for_each(call: Call, tmp_path: Path) -> None:
    x, y = rows(200)
    table = tmp_path / "t.csv"
    np.savetxt(table, np.column_stack([x, y]), delimiter=",", header="a,b,y", comments="")
    options = "--target y --loss quantile --quantile 0.1,0.5,0.9 --hidden 8 --epochs 5 --n-networks 1 --quiet"
    done = call("train", table, *options.split(), "--out", tmp_path / "run")
    assert done.code == 0, done.err
    done = call("predict", tmp_path / "run", table, "--interval", 0.8, "--quiet")
    assert done.code == 0, done.err
    lines = list(csv.DictReader(io.StringIO(done.out)))
    low, middle, high = (np.array([float(line[f"quantile_{level}"]) for line in lines]) for level in (0.1, 0.5, 0.9))
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert [line["prediction"] for line in lines] == [line["quantile_0.5"] for line in lines]
    assert {"lower", "upper"} <= set(lines[0])
    assert call("plot", tmp_path / "run", "--kind", "network").code == 0


def test_streamed_candidates_and_ensembles_have_their_own_quantiles(tmp_path: Path) -> None:
    x, y = rows(1200)
    table = polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y, **{f"c{j}": np.arange(1200) % (j + 2) for j in range(40)}})
    table.write_parquet(tmp_path / "t.parquet", row_group_size=100)
    candidates = [(NETWORK, recipe(epochs=1, batch_size=100, quantile=levels)) for levels in (0.5, (0.1, 0.9), LEVELS)]
    results = mn.train_many(tmp_path / "t.parquet", candidates=candidates, target="y", memory_limit="1MB", progress=False)
    assert [one.stopped for one in results] == ["done"] * 3
    assert [one.task.outputs for one in results] == [1, 2, 3]
    options: dict[str, Any] = {"changes": {"loss": "quantile", "quantile": LEVELS, "hidden": (8,), "iterations": 5}}
    stream = open_ensemble(BlockFiles(tmp_path / "t.parquet"), Columns(target="y"), memory_limit="3MB", **options)
    found = train_stream_ensemble(stream, n_networks=2, **options)
    assert found.predict_quantiles(table).shape == (1200, 3)
    assert covered(found.predict_interval(table, 0.8), y) > 0.7
