"""The default of `manynets train TABLE`: the same bits as in Python, and how the options choose."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars
import pytest

import manynets as mn
from manynets import tabular
from manynets.cli import fit as fit_module
from manynets.cli.preset import plain_note
from manynets.tabular import train_tabular
from tests.cli.conftest import Call
from tests.tolerances import assert_close

random = np.random.default_rng(0)
X = random.standard_normal((120, 3))
TABLE = polars.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": random.choice(["u", "v", "w"], 120)}).with_columns(
    price=polars.Series(3 * X[:, 0] + X[:, 1] ** 2 + random.standard_normal(120)),
    kind=polars.Series(np.where(X[:, 0] + 0.5 * random.standard_normal(120) > 0, "yes", "no")),
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """120 rows with two targets, price and kind."""
    TABLE.write_csv(tmp_path / "table.csv")
    return tmp_path / "table.csv"


@pytest.mark.parametrize("target", ["price", "kind"])
def test_command_function_and_estimator_give_the_same_bits(call: Call, table: Path, tmp_path: Path, target: str) -> None:
    other = "kind" if target == "price" else "price"
    out = tmp_path / "run"
    call("train", table, "--target", target, "--drop", other, "--test-fraction", "0", "--preset", "fast", "--quiet", "--out", out)
    command = mn.load(out / "model.safetensors")
    frame = mn.tables.read_table(str(table))
    features, y, _ = mn.tables.split_target(frame, target, drop=[other])
    kind = mn.TabularRegressor if target == "price" else mn.TabularClassifier
    for model in (
        train_tabular(features, y, preset="fast", progress=False).model,
        kind(preset="fast", random_state=0).fit(features, y).model_,
    ):
        for mine, theirs in zip(model.members, command.members, strict=True):
            assert_close(mine, theirs, "bits")


def test_train_without_a_specification_is_the_default(table: Path) -> None:
    frame = mn.tables.read_table(str(table))
    features, y, _ = mn.tables.split_target(frame, "price")
    one = mn.train(features, y, n_networks=2, progress=False)
    two = train_tabular(features, y, n_networks=2, progress=False).model
    named = mn.train(table, target="price", n_networks=2, progress=False)
    for model in (one, named):
        for mine, theirs in zip(model.members, two.members, strict=True):
            assert_close(mine, theirs, "bits")


def test_an_option_of_a_plain_network_chooses_it(call: Call, table: Path, tmp_path: Path) -> None:
    words = [table, "--target", "price", "--out", tmp_path / "run", "--overwrite"]
    done = call("train", *words, "--epochs", "2", "--hidden", "4", "--json")
    assert done.json["networks"] == 8
    assert "note: --epochs: plain networks are trained, not the default ensemble for tables; give" in " ".join(done.err.split())
    spec = json.loads((tmp_path / "run" / "config.json").read_text())["spec"]
    assert spec["input_scale"] is False
    call("train", *words, "--preset", "fast", "--hidden", "16", "--n-networks", "2")
    spec = json.loads((tmp_path / "run" / "config.json").read_text())["spec"]
    assert (spec["hidden"], spec["input_scale"]) == ([16], True)


@pytest.mark.parametrize(
    ("options", "schema", "shape", "words"),
    [
        ({"lr": 0.1}, (), None, "--preset default to change its recipe"),
        ({"lr": 0.1, "optimizer": "sgd"}, (), None, "which has no --optimizer"),
        ({"lr": 0.1, "preset": "plain"}, (), None, None),
        ({"hidden": "16"}, (), None, None),
        ({"epochs": 3}, None, (28, 28), "without the shifted copies"),
        ({"epochs": 3}, None, (8, 8), None),
    ],
)
def test_the_end_of_the_default_is_announced(options: dict[str, Any], schema: Any, shape: Any, words: str | None) -> None:
    source: Any = SimpleNamespace(schema=schema, image_shape=shape, class_names=("a", "b"), name="t")
    found = plain_note({"preset": None, "task": None, **options}, source)
    assert found is None if words is None else words in str(found)


def test_the_positive_class_of_a_run(call: Call, table: Path) -> None:
    words = (
        table,
        "--target",
        "kind",
        "--drop",
        "price",
        "--hidden",
        "4",
        "--iterations",
        "5",
        "--preset",
        "fast",
        "--n-networks",
        "2",
    )
    done = call("train", *words, "--out", "run", "--positive", "no", "--threshold", "1:3")
    rule = "'no' is predicted above a probability of 0.2500"
    assert f"note: {rule}; the accuracy in the progress and the history is that of the most probable class\n" in done.out
    assert rule in call("show", "run").out
    assert "precision, recall and F1 are those of 'no'" in " ".join(call("evaluate", "run").out.split())
    model: Any = mn.load("run")
    assert (model.task.classes, model.task.threshold) == (("yes", "no"), 0.25)
    done = call("train", *words, "--out", "run2", "--positive", "nope")
    assert (done.code, "--positive is 'nope', but must be one of the classes, 'no' or 'yes'" in done.err) == (2, True)


def test_out_of_fold_metrics_are_those_of_validation(call: Call, table: Path, tmp_path: Path) -> None:
    result = call(
        "train", table, "--target", "kind", "--drop", "price", "--preset", "fast", "--out", tmp_path / "run", "--json"
    ).json
    assert result["validation"]["rows"] == result["train"]["rows"] == 96
    assert result["validation"]["accuracy"] < result["train"]["accuracy"]


def test_rows_too_few_for_folds_have_no_validation_metrics(call: Call, tmp_path: Path) -> None:
    polars.DataFrame({"x": [1, 2, 3], "y": [2, 3, 5]}).write_csv(tmp_path / "tiny.csv")
    words = ["--target", "y", "--task", "regression", "--test-fraction", "0", "--preset", "fast", "--out", tmp_path / "run"]
    call("train", tmp_path / "tiny.csv", *words)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["train"]["rows"] == 3
    assert metrics["validation"] is None


def test_a_time_limit_shortens_the_training(call: Call, table: Path, tmp_path: Path) -> None:
    done = call("train", table, "--target", "price", "--time-limit", "0.01", "--n-networks", "2", "--out", tmp_path / "run")
    assert "note: --time-limit is 0.01 s, but reading and encoding the table, and timing a step, took" in done.out
    recipe = json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]
    assert recipe["iterations"] == 1  # beside linear models


def test_a_time_limit_begins_before_the_table_is_read(call: Call, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, limits, load, train = [], [], fit_module.load_source, tabular.train_ensemble

    def loading(origin: Any) -> Any:
        read.append(time.perf_counter())
        return load(origin)

    def training(*arguments: Any, **options: Any) -> Any:
        limits.append(options["began"])
        return train(*arguments, **options)

    monkeypatch.setattr(fit_module, "load_source", loading)
    monkeypatch.setattr(tabular, "train_ensemble", training)
    call("train", table, "--target", "price", "--time-limit", "60", "--preset", "fast", "--n-networks", "2")
    assert limits[0] <= read[0]


def test_of_very_many_columns_the_first_and_the_last_are_listed(call: Call, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["manynets.cli.report"], "MOST_COLUMNS", 2)  # the name is also that of a command
    done = call("train", table, "--target", "price", "--preset", "fast", "--n-networks", "2")
    assert "2 columns between the first 1 and the last 1 are not shown; manynets inspect --all lists all" in done.out
    assert " numeric " in done.out
    assert " colour " not in done.out


def test_the_best_preset_on_the_command_line(call: Call, table: Path, tmp_path: Path) -> None:
    words = [table, "--target", "kind", "--drop", "price", "--preset", "best", "--n-networks", "2", "--time-limit", "0.01"]
    result = call("train", *words, "--out", tmp_path / "run", "--json").json
    assert result["networks"] in (2, 4, 6)
    assert mn.load(tmp_path / "run").size == result["networks"]


def test_a_metric_and_its_threshold(call: Call, table: Path, tmp_path: Path) -> None:
    words = [
        table,
        "--target",
        "kind",
        "--drop",
        "price",
        "--metric",
        "f1",
        "--seed",
        "1",
        "--out",
        tmp_path / "run",
        "--overwrite",
    ]
    call("train", *words, "--preset", "fast", "--n-networks", "2")
    model = mn.load(tmp_path / "run")
    assert model.recipe.watch == "f1"
    assert model.task.threshold != 0.5
    assert "val_f1" in model.history
    call("train", *words, "--epochs", "2", "--n-networks", "1")
    plain = mn.load(tmp_path / "run")
    assert (plain.recipe.watch, plain.task.threshold) == ("f1", 0.5)
    assert plain.info["best"] == int(np.argmax(plain.history["val_f1"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "better"], "--preset is 'better', but must be"),
        (["--metric", "auc"], "--metric is 'auc', but must be"),
        (["--metric", "f1"], "metric of the task 'regression' is 'f1', but must be"),
        (["--metric", "r2", "--watch", "loss"], "--metric is r2 and --watch loss; give one of the two"),
        (["--preset", "fast", "--batch-norm"], "--batch-norm is for a plain network, but --preset fast trains an ensemble"),
        (["--preset", "fast", "--epochs", "9"], "give --iterations, or --preset plain"),
        (["--preset", "fast", "--momentum", "0.9"], "momentum is not for the optimizer AdamW, but for sgd"),
        (["--preset", "fast", "--loss", "poisson"], "give another loss, or --preset plain"),
        (["--preset", "fast", "--quantile", "0.9"], "quantile is for the loss 'quantile' only"),
        (
            ["--validation", "0"],
            "--validation is 0, but the networks of the default ensemble choose their epochs by rows that they hold out",
        ),
        (["--time-limit", "0"], "--time-limit is 0, but must be a number of seconds above 0"),
        (["--time-limit", "5", "--epochs", "3"], "--time-limit is for the default ensemble of tables"),
    ],
)
def test_refusals(call: Call, table: Path, words: list[str], message: str) -> None:
    failed = call("train", table, "--target", "price", *words)
    assert failed.code == 2
    assert message in " ".join(failed.err.split())


def test_arrays_have_no_preset(call: Call) -> None:
    failed = call("train", "digits", "--preset", "fast")
    assert failed.code == 2
    assert "--preset fast is for tables, but digits is a set of arrays" in " ".join(failed.err.split())
