"""`manynets train`: what it prints, what it writes, and what each option becomes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import manynets as mn
from manynets.cli.options import left_out
from manynets.cli.recipe import network_of, recipe_of
from manynets.data.split import SplitBy, deal_rows
from manynets.errors import OptionError
from manynets.spec import SklearnAdam, SklearnInverseScaling, SklearnSGD
from tests.cli.conftest import Call

SMALL = ("--hidden", "8", "--epochs", "2")


def test_json_is_all_that_is_on_stdout(call: Call) -> None:
    done = call("train", "digits", *SMALL, "--seed", "3", "--json")
    assert done.code == 0
    assert done.out.count("\n") == 1
    result = done.json
    assert set(result) == {
        "run_dir",
        "task",
        "epochs",
        "seconds",
        "networks",
        "parameters",
        "train",
        "validation",
        "test",
        "baselines",
        "diverged",
    }
    assert result["run_dir"] == "runs/digits-1"
    assert (result["task"], result["epochs"], result["networks"]) == ("multiclass", 2, 1)
    assert result["parameters"] == 64 * 8 + 8 + 8 * 10 + 10
    assert set(result["test"]) == {"rows", "loss", "accuracy", "precision", "recall", "f1", "log_loss"}
    assert result["train"]["rows"] + result["validation"]["rows"] == 1437
    assert result["test"]["rows"] == 360
    assert "hidden0" in done.err
    assert "By class on the test rows" in done.err


@pytest.mark.draws
def test_the_run_folder_of_images(call: Call) -> None:
    done = call("train", "digits", *SMALL)
    assert done.code == 0
    for text in ("hidden0", "parameters", "By class on the test rows", "Written to runs/digits-1"):
        assert text in done.out
    folder = Path("runs/digits-1")
    names = {entry.name for entry in folder.iterdir()}
    assert names >= {
        "model.safetensors",
        "config.json",
        "history.csv",
        "metrics.json",
        "history.png",
        "confusion.png",
        "images.png",
    }
    history = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in history] == ["1", "2"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert len(metrics["test"]["per_class"]) == 10
    assert sum(row["count"] for row in metrics["test"]["per_class"]) == 360
    config = json.loads((folder / "config.json").read_text())
    assert config["spec"]["hidden"] == [8]
    assert len(config["fingerprint"]["digits"]["sha256"]) == 64
    assert {"manynets", "torch", "numpy", "python"} <= set(config["info"]["versions"])
    assert mn.load(folder / "model.safetensors").spec == mn.MLP(hidden=(8,), dropout=0.2)


def test_the_same_seed_gives_the_same_figures(call: Call) -> None:
    first, again, other = (call("train", "moons", *SMALL, "--seed", seed, "--json", "-q").json for seed in (1, 1, 2))
    assert (first["run_dir"], again["run_dir"]) == ("runs/moons-1", "runs/moons-2")
    assert first["test"] == again["test"]
    assert first["test"] != other["test"]


@pytest.mark.draws
def test_quiet_says_nothing(call: Call) -> None:
    done = call("train", "moons", *SMALL, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert {"regions.png", "roc.png"} <= {entry.name for entry in Path("runs/moons-1").iterdir()}


@pytest.mark.draws
def test_a_table_shows_its_schema_and_writes_a_picture_of_the_predictions(call: Call, table: Path) -> None:
    done = call("train", table, "--target", "price", "--drop", "kind", *SMALL)
    assert done.code == 0, done.err
    for text in ("size", "numeric", "colour", "categorical", "left out as asked", "96 rows to train on, 24 to test on"):
        assert text in done.out
    assert "predicted.png" in {entry.name for entry in Path("runs/houses-1").iterdir()}
    model = mn.load("runs/houses-1/model.safetensors")
    assert model.encoder is not None
    assert set(model.encoder.column_names) == {"size", "colour"}


def test_a_table_learns_what_is_in_it(call: Call, table: Path) -> None:
    result = call("train", table, "--target", "kind", "--json", "--hidden", "16", "--epochs", "60", "-q").json
    assert result["task"] == "binary"
    assert result["test"]["accuracy"] > 0.9
    assert result["test"]["auc"] > 0.95


def test_a_test_file_whose_labels_end_with_a_point(call: Call, table: Path, tmp_path: Path) -> None:
    other = tmp_path / "test.csv"
    other.write_text(table.read_text().replace("big\n", "big.\n").replace("small\n", "small.\n"))
    done = call("train", table, "--target", "kind", "--test", other, "--json", "--networks", "1", *SMALL)
    assert done.json["test"]["rows"] == 120
    assert done.json["train"]["rows"] + done.json["validation"]["rows"] == 120
    assert "a point was taken off" in done.err


def test_a_small_table_gets_an_ensemble_and_every_command_knows_it(call: Call, table: Path) -> None:
    done = call("train", table, "--target", "kind", "--json", "--epochs", "3", "--seed", "5", "--out", "run")
    assert done.code == 0, done.err
    result = done.json
    assert (result["networks"], result["epochs"]) == (8, 3)
    assert (result["train"]["rows"], result["validation"]["rows"], result["test"]["rows"]) == (96, 96, 24)
    assert "8 networks · 256-256 relu" in done.err
    model = mn.load("run/model.safetensors")
    assert model.size == 8
    config = json.loads(Path("run/config.json").read_text())
    assert config["validation"] == "folds"
    assert len(config["info"]["best"]) == len(config["info"]["stopped"]) == 8
    entries = list(csv.DictReader(Path("run/history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in entries] == ["1", "2", "3"]
    assert {"run/history.png", "run/roc.png", "run/confusion.png"} <= {str(path) for path in Path("run").iterdir()}

    assert call("evaluate", "run", "--json", "-q").json["loss"] == result["test"]["loss"]
    shown = call("show", "run").out
    for text in ("8 networks", "best epoch", "one fold of the training rows for each", "all 3 epochs"):
        assert text in shown
    assert call("predict", "run", table, "-o", "out.csv").code == 0
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    assert [row["prediction"] for row in rows] == model.predict(pl.read_csv(table)).tolist()
    assert call("plot", "run", "--out", "pictures").code == 0
    assert "matched bit for bit" in call("rerun", "run").out


def test_the_validation_metrics_of_an_ensemble_are_of_networks_that_did_not_train_on_the_row(call: Call, table: Path) -> None:
    result = call("train", table, "--target", "kind", "--json", "-q", "--test-fraction", "0", *SMALL, "--seed", "2").json
    frame = pl.read_csv(table)
    model = mn.load(Path(result["run_dir"]) / "model.safetensors")
    shares = np.stack([model.task.proba(one) for one in model.logits(frame)])  # type: ignore[attr-defined]
    codes = model.task.strata(model.task.encode(frame["kind"].to_numpy()))
    hits, loss = 0, 0.0
    for k, (_, held) in enumerate(deal_rows(120, 8, by=SplitBy(strata=codes), seed=2)):
        hits += int((shares[k, held].argmax(axis=1) == codes[held]).sum())
        loss -= float(np.log(shares[k, held, codes[held]]).sum())
    assert result["validation"]["accuracy"] == hits / 120
    assert result["validation"]["loss"] == pytest.approx(loss / 120, rel=1e-5)
    assert result["test"] is None


@pytest.mark.parametrize(
    ("given", "networks", "validated"),
    [
        (["--n-networks", "1"], 1, 10),
        (["--n-networks", "3", "--validation", "0.5"], 3, 48),
        (["--n-networks", "3", "--validation", "0"], 3, None),
        (["--engine", "numpy"], 1, 10),
    ],
)
def test_networks_and_validation(call: Call, table: Path, given: list[str], networks: int, validated: int | None) -> None:
    result = call("train", table, "--target", "kind", "--json", "-q", *given, *SMALL).json
    assert result["networks"] == networks
    assert (result["validation"] or {}).get("rows") == validated


def test_the_parameters_of_several_networks_are_those_of_each(call: Call, table: Path) -> None:
    done = call("train", table, "--target", "kind", "--epochs", "1", "--hidden", "4", "--n-networks", "2", "--out", "run")
    assert "parameters each" in done.out
    assert "parameters each" in call("show", "run").out
    done = call("train", table, "--target", "kind", "--epochs", "1", "--hidden", "4", "--n-networks", "1")
    assert "parameters\n" in done.out


def test_no_networks_are_none(call: Call, table: Path) -> None:
    done = call("train", table, "--target", "kind", "--n-networks", "0")
    assert done.code == 2
    assert "--n-networks is 0, but must be a whole number of at least 1" in done.err
    done = call("train", table, "--target", "kind", "--networks", "2", "--engine", "numpy")
    assert done.code == 2
    assert "networks is 2, but with --engine numpy only one network is trained" in done.err


def test_arrays(call: Call, tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "data.npz", X=X, y=np.where(X[:, 0] > 0, "yes", "no"))
    result = call("train", "data.npz", *SMALL, "--json", "--test-fraction", "0.5").json
    assert (result["task"], result["test"]["rows"]) == ("binary", 30)
    np.savez(tmp_path / "data.npz", X=X, y=X[:, 0])
    result = call("train", "data.npz", *SMALL, "--json", "--test-fraction", "0", "--validation", "0").json
    assert result["task"] == "regression"
    assert result["test"] is None
    assert result["validation"] is None
    assert result["train"]["rows"] == 60


def test_weights_and_class_weights(call: Call, table: Path) -> None:
    plain = call("train", table, "--target", "kind", "--drop", "id", *SMALL, "--json", "-q").json
    weighted = call("train", table, "--target", "kind", "--weight", "id", *SMALL, "--json", "-q").json
    balanced = call("train", table, "--target", "kind", "--drop", "id", "--class-weight", "balanced", *SMALL, "--json", "-q").json
    assert len({json.dumps(result["test"]) for result in (plain, weighted, balanced)}) == 3


def test_what_weights_do_not_count_in_is_said(call: Call, table: Path) -> None:
    words = "recall, precision and F1 of each class count every row once, whatever its weight"
    for options, said in (("--weight", "id"), True), (("--drop", "id"), False):
        trained = call("train", table, "--target", "kind", *options, *SMALL, "--out", "run", "--overwrite").out
        assert [words in text for text in (trained, call("show", "run").out, call("evaluate", "run").out)] == [said] * 3


def test_overwrite_replaces_a_run_and_nothing_else(call: Call, tmp_path: Path) -> None:
    assert call("train", "moons", *SMALL, "-q", "--out", "here").code == 0
    refused = call("train", "moons", *SMALL, "-q", "--out", "here")
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert call("train", "moons", "--hidden", "4", "--epochs", "1", "-q", "--out", "here", "--overwrite").code == 0
    assert mn.load("here/model.safetensors").spec == mn.MLP(hidden=(4,), dropout=0.2)
    (tmp_path / "here" / "thesis.txt").write_text("mine")
    refused = call("train", "moons", *SMALL, "-q", "--out", "here", "--overwrite")
    assert refused.code == 2
    assert "thesis.txt" in refused.err
    assert (tmp_path / "here" / "thesis.txt").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["here"]


def options(**given: Any) -> dict[str, Any]:
    assert set(given) <= set(left_out())
    return {**left_out(), **given}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"optimizer": "sgd", "momentum": 0.9, "nesterov": True}, mn.SGD(momentum=0.9, nesterov=True)),
        (
            {"betas": "0.8,0.9", "weight_decay": 0.1, "lr": 0.5, "eps": 1e-6},
            mn.AdamW(lr=0.5, betas=(0.8, 0.9), weight_decay=0.1, eps=1e-6),
        ),
        ({"optimizer": "rmsprop", "alpha": 0.5, "momentum": 0.1}, mn.RMSprop(alpha=0.5, momentum=0.1)),
        ({"optimizer": "adagrad", "eps": 1e-3}, mn.Adagrad(eps=1e-3)),
        ({"optimizer": "lion", "betas": "0.8,0.9", "weight_decay": 0.1}, mn.Lion(lr=1e-4, betas=(0.8, 0.9), weight_decay=0.1)),
        ({}, mn.AdamW(lr=0.0015, weight_decay=0.1)),  # 1,000 rows: batches of 32
        ({"batch_size": 512}, mn.AdamW(lr=0.006, weight_decay=0.1)),
        ({"optimizer": "nadam", "lr": 0.1}, mn.NAdam(lr=0.1)),
        ({"optimizer": "adam", "eps_hat": True}, SklearnAdam()),
        ({"optimizer": "sgd", "momentum": 0.5, "lr_in_velocity": True}, SklearnSGD(momentum=0.5)),
    ],
)
def test_every_field_of_an_optimizer_has_an_option(given: dict[str, Any], expected: object) -> None:
    assert recipe_of(options(**given), rows=1000).optimizer == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"schedule": "inverse-scaling", "lr_power": 0.25}, SklearnInverseScaling(power=0.25, rows=1000)),
        ({"schedule": "constant"}, mn.Constant()),
        ({"schedule": "cosine", "warmup": 0.05, "lr_final": 0.1}, mn.Cosine(warmup=0.05, final=0.1)),
        (
            {"lr_rise": 0.2, "lr_start_factor": 10.0, "lr_final_factor": 100.0},
            mn.OneCycle(rise=0.2, start_factor=10.0, final_factor=100.0),
        ),
        ({"schedule": "warmup", "warmup_steps": 7}, mn.Warmup(steps=7)),
        ({"schedule": "step", "lr_every": 3, "lr_gamma": 0.5}, mn.StepDecay(every=3, gamma=0.5)),
        (
            {"schedule": "piecewise", "lr_steps": "10,20", "lr_factors": "0.5,0.1"},
            mn.PiecewiseConstant(steps=(10, 20), factors=(0.5, 0.1)),
        ),
        ({"schedule": "exponential", "lr_gamma": 0.5}, mn.Exponential(gamma=0.5)),
        (
            {"schedule": "plateau", "lr_factor": 0.5, "lr_patience": 2, "lr_min_delta": 0.1, "lr_min": 1e-5},
            mn.ReduceOnPlateau(factor=0.5, patience=2, min_delta=0.1, min_lr=1e-5),
        ),
    ],
)
def test_every_field_of_a_schedule_has_an_option(given: dict[str, Any], expected: object) -> None:
    assert recipe_of(options(**given), rows=1000).schedule == expected


def test_every_field_of_recipe_and_mlp_has_an_option() -> None:
    import dataclasses

    fields = {field.name for kind in (mn.MLP, mn.Recipe) for field in dataclasses.fields(kind)} - {"stopping", "groups"}
    assert fields <= set(options())
    stopping = {"patience": 4, "min_delta": 0.5, "inclusive": True, "stop_lr_factor": 0.2, "stop_min_lr": 1e-6}
    given = {"l1": 0.1, "l2": 0.2, "label_smoothing": 0.3, "clip_norm": 4.0, "shuffle": False, "keep": "last", "watch": "metric"}
    more = {"quantile": 0.9, "loss": "quantile", "dtype": "float64", "precision": "tf32", "gradient": "autograd"}
    recipe = recipe_of(options(**given, **more, iterations=9, evaluate_every=3, **stopping), rows=1000)
    for name, value in {**given, **more, "iterations": 9, "epochs": None, "evaluate_every": 3}.items():
        assert getattr(recipe, name) == value, name
    assert recipe_of(options(loss="huber", delta=2.0), rows=1000).delta == 2.0
    assert recipe.stopping == mn.EarlyStopping(patience=4, min_delta=0.5, inclusive=True, factor=0.2, min_lr=1e-6)
    network = {
        "activation": "tanh",
        "input_dropout": 0.1,
        "batch_norm": True,
        "init": "orthogonal",
        "bias": False,
        "input_scale": True,
    }
    spec = network_of(options(hidden="3,4", dropout="0.1,0.2", **network))
    assert spec == mn.MLP(hidden=(3, 4), dropout=(0.1, 0.2), **network)
    assert network_of(options(hidden="none", dropout="0")).hidden == ()


def test_an_option_of_another_optimizer_names_those_that_have_it() -> None:
    with pytest.raises(OptionError, match="--momentum is not for the optimizer 'adamw', but for sgd, rmsprop"):
        recipe_of(options(momentum=0.9), rows=1000)
    with pytest.raises(OptionError, match="--warmup is not for the schedule 'one-cycle', but for cosine"):
        recipe_of(options(warmup=0.1), rows=1000)


@pytest.mark.slow
def test_digits_with_the_defaults(call: Call) -> None:
    assert call("train", "digits", "--seed", "0", "--json", "-q").json["test"]["accuracy"] >= 0.97
