"""`manynets sweep`: a candidate is trained and scored as `manynets train` and `train_many` do it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import manynets as mn
from manynets.prepare import cv_splits, holdout
from manynets.targets import find_target
from manynets.tasks import Regression
from tests.cli.conftest import Call
from tests.cli.test_sweep import SMALL, results, write_prices
from tests.tolerances import assert_close


def test_each_network_is_the_one_that_train_many_trains(call: Call) -> None:
    assert call("sweep", "moons", *SMALL, "--grid", "lr=0.01,0.1", "--seeds", "2").code == 0
    from manynets.cli.recipe import network_of, recipe_of
    from manynets.datasets import load
    from tests.cli.test_train import options

    data = load("moons", seed=0)
    assert data.X_validation is not None
    validation = (data.X_validation, data.y_validation)
    whole = np.concatenate([data.X, data.X_validation]), np.concatenate([data.y, data.y_validation])  # type: ignore[list-item]
    fold = [(np.arange(len(data.X)), np.arange(len(data.X), len(whole[0])))]
    given = options(hidden="6", epochs=4)
    for row in results():
        chosen = {**given, "lr": float(row["lr"]), "seed": int(row["seed"])}
        [expected] = mn.train_many(
            *whole, [(network_of(chosen), recipe_of(chosen, rows=len(data.X)))], cv=fold, validation=validation, scaling=False, progress=False
        )  # fmt: skip
        assert float(row["score"]) == pytest.approx(expected.score, rel=1e-6)


@pytest.mark.parametrize("more", [(), ("--target-transform", "log"), ("--loss", "poisson")])
def test_a_number_is_trained_and_scored_as_train_does(call: Call, more: tuple[str, ...]) -> None:
    """The target is standardised by the rows to train on, and R2 is that of the prices themselves."""
    write_prices()
    words = ("sweep", "prices.csv", "--target", "price", "--task", "regression", *SMALL, "--grid", "lr=0.02", *more)
    assert call(*words).code == 0
    [row] = results()
    trained = json.loads(Path("here/best/metrics.json").read_text(encoding="utf-8"))["validation"]
    assert_close(float(row["loss"]), trained["loss"], "float32_run")
    assert_close(float(row["score"]), trained["r2"], "float32_run")


def test_a_target_transform_is_for_a_regression(call: Call) -> None:
    done = call("sweep", "moons", *SMALL, "--grid", "lr=0.1", "--target-transform", "log")
    assert done.code == 2
    assert "--target-transform is for a regression" in done.err
    write_prices()
    words = ("sweep", "prices.csv", "--target", "price", "--task", "regression", *SMALL, "--grid", "lr=0.1")
    done = call(*words, "--target-transform", "log", "--loss", "poisson")
    assert done.code == 2
    assert "--target-transform does not go with --loss poisson" in done.err
    assert call(*words[:-2], "--grid", "loss=poisson,huber", "--target-transform", "log").code == 0
    assert ["--target-transform does not go with --loss poisson" in row["error"] for row in results()] == [True, False]


@pytest.mark.parametrize("more", [("--class-weight", "balanced"), ("--weight", "id", "--patience", "2")])
def test_a_candidate_is_scored_as_the_network_that_train_makes(call: Call, table: Path, more: tuple[str, ...]) -> None:
    """With the weights of its best epoch, here not the last one: results.csv says the same of the best candidate as its own run."""
    lines = table.read_text(encoding="utf-8").splitlines()
    noisy = (line.replace("small", "big") if i % 5 == 0 else line for i, line in enumerate(lines))
    table.write_text("\n".join(noisy), encoding="utf-8")
    words = ("sweep", table, "--target", "kind", "--drop", "price", "--hidden", "6", "--epochs", "30", "-q", "--out", "here", *more)
    assert call(*words, "--optimizer", "sgd", "--schedule", "constant", "--grid", "lr=1", "--seed", "1").code == 0
    [row], best = results(), mn.load("here")
    trained = json.loads(Path("here/best/metrics.json").read_text(encoding="utf-8"))["validation"]
    assert best.history["epoch"][best.info["best"]] < best.history["epoch"][-1]
    assert_close(float(row["loss"]), trained["loss"], "float32_run")
    assert float(row["score"]) == pytest.approx(trained["accuracy"])


def test_columns_are_embedded_as_train_embeds_them(call: Call, table: Path) -> None:
    """The numeric columns of a table, and not those of its categories once they are encoded."""
    words = ("sweep", table, "--target", "price", "--hidden", "6", "--epochs", "4", "-q", "--out", "here")
    assert call(*words, "--grid", "embedding=periodic").code == 0
    [row] = results()
    trained = json.loads(Path("here/best/metrics.json").read_text(encoding="utf-8"))["validation"]
    assert_close(float(row["loss"]), trained["loss"], "float32_run")


def test_each_fold_gives_what_train_gives(call: Call) -> None:
    """Also with --cv, candidates choose their best epoch by rows that they do not train on, as the best does in the end."""
    words = ("moons", "--points", "60", "--hidden", "6", "--epochs", "12", "--optimizer", "sgd", "--schedule", "constant", "-q")
    assert call("sweep", *words, "--grid", "lr=3", "--cv", "2", "--out", "here").code == 0
    from manynets.cli.recipe import network_of, recipe_of
    from manynets.datasets import load
    from tests.cli.test_train import options

    data = load("moons", points=60, seed=0)
    given = options(hidden="6", epochs=12, optimizer="sgd", schedule="constant", lr=3.0)
    folds = cv_splits(find_target(data.y, data.task), 2, seed=0)
    for row, (train, held_out) in zip(results(), folds, strict=True):
        assert data.X_validation is not None
        model = mn.train(
            data.X[train], data.y[train], network_of(given), recipe_of(given, rows=len(train)), scaling=False,
            validation=(data.X_validation, data.y_validation), progress=False,
        )  # fmt: skip
        assert_close(float(row["loss"]), model.evaluate(data.X[held_out], data.y[held_out])["loss"], "float32_run")


def test_rows_of_weight_0_have_no_influence_on_the_scales(call: Call, table: Path) -> None:
    """As in `mn.train`: neither those of the columns nor that of the target, in a sweep and in the training of its best."""
    cells = [line.split(",") for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    scales = []
    for factor in (1.0, 1e3):
        rows = [(float(size) * (factor if i % 5 == 0 else 1), colour, float(price) * (factor if i % 5 == 0 else 1), int(i % 5 > 0))
                for i, (size, colour, _, price, _) in enumerate(cells)]  # fmt: skip
        table.write_text("size,colour,price,w\n" + "".join(f"{','.join(map(str, row))}\n" for row in rows), encoding="utf-8")
        words = ("sweep", table, "--target", "price", "--weight", "w", "--grid", "lr=0.01", *SMALL[:-1], f"by{factor:g}")
        assert call(*words).code == 0
        model = mn.load(f"by{factor:g}")
        trained = json.loads(Path(f"by{factor:g}/best/metrics.json").read_text(encoding="utf-8"))["validation"]
        [row] = results(f"by{factor:g}")
        assert_close(float(row["loss"]), trained["loss"], "float32_run")
        assert model.encoder is not None
        scales.append((model.task, model.encoder.columns))
    assert scales[0] == scales[1]


@pytest.mark.parametrize("more", [(), ("--target-transform", "log")])
@pytest.mark.parametrize(
    ("name", "older"), [("prices.csv", False), ("prices.npz", False), ("prices.csv", True), ("prices.npz", True)]
)
def test_a_fold_is_encoded_by_the_rows_that_are_trained_on(call: Call, name: str, older: bool, more: tuple[str, ...]) -> None:
    """Not by those that are validated on, which are the same for all seeds. In an older sweep each seed has its own."""
    from manynets.cli.recipe import network_of, recipe_of
    from tests.cli.test_train import options

    write_prices()
    frame = pl.read_csv("prices.csv", schema_overrides={"price": pl.Float64})
    y = frame["price"].to_numpy()
    X: Any = frame.drop("price")
    words: tuple[Any, ...] = (
        "sweep",
        name,
        "--task",
        "regression",
        *SMALL,
        "--grid",
        "lr=0.02",
        "--seeds",
        "2",
        "--cv",
        "2",
        *more,
    )
    if name == "prices.npz":
        X = X.to_numpy()
        np.savez(name, X=X, y=y)
        words += ("--test-fraction", "0")
    else:
        words += ("--target", "price", "--test-fraction", "0")
    assert call(*words).code == 0
    if older:
        path = Path("here/sweep.json")
        config = json.loads(path.read_text(encoding="utf-8"))
        assert config.pop("split_by_fold")
        path.write_text(json.dumps(config), encoding="utf-8")
        Path("here/results.csv").unlink()
        assert call(*words, "--resume").code == 0
    given, target = options(hidden="6", epochs=4, lr=0.02), find_target(y, "regression")
    folds = cv_splits(target, 2, seed=0)
    assert len(results()) == 4
    for row in results():
        seed, (train, held_out) = int(row["seed"]), folds[int(row["fold"])]
        assert train is not None
        assert held_out is not None
        splits = [holdout(target, 0.1, seed=one, rows=train) for one in (0, 1)]
        rows, validated = splits[seed if older else 0]
        assert rows is not None
        assert validated is not None
        encoded, scaled = rows, rows
        if older and name == "prices.csv":
            encoded, scaled = train, np.union1d(*[split.train for split in splits])  # type: ignore[arg-type]
        task = Regression.of(y[scaled])
        if more:  # of all rows where folds shared their data
            task = Regression.of(y[rows] if not older else y[train] if name == "prices.csv" else y, transform="log")
        model = mn.train(
            X[rows], y[rows], network_of(given), recipe_of({**given, "seed": seed}, rows=len(rows)), task=task,
            encoder=mn.tables.fit_encoder(X, rows=encoded, y=y), validation=(X[validated], y[validated]), progress=False,
        )  # fmt: skip
        assert_close(float(row["loss"]), model.evaluate(X[held_out], y[held_out])["loss"], "float32_run")
