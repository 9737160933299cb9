"""The exported programs reproduce the page's losses."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from manynets.errors import OptionError
from manynets.playground.code import code_for
from manynets.playground.files import Files
from manynets.playground.problem import make_experiment
from manynets.playground.setup import PlaygroundSetup
from manynets.playground.training import LiveTraining
from tests.tables.test_tables_formats import write_book

MOONS = {"kind": "toy", "name": "moons", "points": 60, "noise": 0.2, "seed": 1}
DRAWN = {"kind": "drawn", "task": "classes", "rows": [[round(math.cos(i), 3), round(math.sin(i / 2), 3), i % 3] for i in range(40)]}
SGD, ADAM = {"kind": "SGD", "lr": 0.1}, {"kind": "Adam", "lr": 0.02}


def recipe(**fields: Any) -> dict[str, Any]:
    return {"kind": "Recipe", "epochs": 6, "batch_size": 16, "keep": "last", "dtype": "float64", "optimizer": SGD, **fields}


def mlp(*hidden: int, **fields: Any) -> dict[str, Any]:
    return {"kind": "MLP", "hidden": list(hidden), **fields}


SETUPS: dict[str, dict[str, Any]] = {
    "moons": {"data": MOONS, "network": mlp(6, activation="tanh"), "recipe": recipe()},
    "terms": {"data": MOONS, "terms": ["x1", "x2^2", "x1*x2", "sin(x2)"], "network": mlp(), "recipe": recipe()},
    "classes": {"data": {**MOONS, "name": "quadrants"}, "network": mlp(5, batch_norm=True, init="xavier_normal"), "recipe": recipe(l2=0.01, clip_norm=1.0)},
    "numbers": {"data": {**MOONS, "name": "prod"}, "network": mlp(5, 4), "recipe": recipe(optimizer=ADAM, schedule={"kind": "Cosine", "warmup": 0.2})},
    "cycle": {"data": {**MOONS, "name": "prod"}, "network": mlp(5, init="orthogonal"), "recipe": recipe(schedule={"kind": "OneCycle"}, loss="huber", delta=0.5)},
    "plateau": {"data": MOONS, "network": mlp(5), "recipe": recipe(schedule={"kind": "ReduceOnPlateau", "patience": 0, "min_delta": 0.02, "factor": 0.5},
                                                                  stopping={"kind": "EarlyStopping", "patience": 2, "min_delta": 0.01}, epochs=20)},
    "drawn": {"data": DRAWN, "network": mlp(5), "recipe": recipe(label_smoothing=0.1, l1=0.001, schedule={"kind": "StepDecay", "every": 2, "gamma": 0.5})},
}  # fmt: skip


def trained(setup: dict[str, Any], files: Files | None = None, steps: int | None = None) -> LiveTraining:
    training = LiveTraining(make_experiment(PlaygroundSetup.from_json(setup), files or Files()))
    if steps is None:
        training.play()
        assert training.wait(lambda sample: sample.state == "done", 60)
    else:
        training.advance(steps)
        assert training.wait(lambda sample: sample.step == steps, 60)
    return training


def printed(program: str) -> list[float]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "program", "exec"), {"__name__": "program"})
    return [float(line) for line in out.getvalue().split()]


def losses(training: LiveTraining) -> list[float]:
    last = training.groups[0].curves.last
    return [float(last[name][0]) for name in ("loss", "val_loss") if name in last]


@pytest.mark.parametrize("name", SETUPS)
def test_the_programs_have_the_losses_of_the_page(name: str) -> None:
    training = trained(SETUPS[name])
    expected = losses(training)
    assert expected[0] > 0
    np.testing.assert_allclose(printed(code_for(training, "manynets")), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(printed(code_for(training, "pytorch")), expected, rtol=0, atol=1e-5)
    training.close()


@pytest.fixture(autouse=True)
def _own_default_dtype() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("steps", [4, 7])  # an epoch's end, and within one
def test_a_training_that_goes_on(steps: int) -> None:
    training = trained({**SETUPS["moons"], "recipe": recipe(epochs=1000)}, steps=steps)
    program = code_for(training, "manynets")
    assert ("iterations=7" if steps == 7 else "epochs=1") in program
    if steps == 4:
        np.testing.assert_allclose(printed(program), losses(training), rtol=0, atol=1e-6)
    training.close()


SCHEDULES: list[dict[str, Any]] = [
    {"kind": "Constant"},
    {"kind": "Cosine", "warmup": 0.2},
    {"kind": "ReduceOnPlateau", "patience": 0, "min_delta": 0.02, "factor": 0.5},
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=[one["kind"] for one in SCHEDULES])
def test_a_learning_rate_that_was_changed(schedule: dict[str, Any]) -> None:
    setup = {**SETUPS["moons"], "recipe": recipe(schedule=schedule, optimizer={"kind": "SGD", "lr": 0.1, "momentum": 0.5})}
    training = LiveTraining(make_experiment(PlaygroundSetup.from_json(setup), Files()))
    for step, rate in ((8, 0.5), (13, 0.2)):
        training.advance(step - training.sample.step)
        assert training.wait(lambda sample, step=step: sample.step == step)
        training.set_rate(rate)
    training.play()
    assert training.wait(lambda sample: sample.state == "done")
    assert bool(training.falls) == (schedule["kind"] == "ReduceOnPlateau")
    np.testing.assert_allclose(printed(code_for(training, "manynets")), losses(training), rtol=0, atol=1e-6)
    np.testing.assert_allclose(printed(code_for(training, "pytorch")), losses(training), rtol=0, atol=1e-5)
    training.close()


def test_a_learning_rate_that_was_0() -> None:
    setup = {**SETUPS["moons"], "recipe": recipe(optimizer={"kind": "SGD", "lr": 0.0})}
    training = trained(setup, steps=4)
    training.set_rate(0.3)
    training.play()
    assert training.wait(lambda sample: sample.state == "done")
    np.testing.assert_allclose(printed(code_for(training, "manynets")), losses(training), rtol=0, atol=1e-6)
    assert "the changes of the learning rate" in code_for(training, "sklearn")
    training.close()


@pytest.mark.parametrize("vary", ["seed", "lr", "hidden"])
def test_several_networks(vary: str) -> None:
    training = trained({**SETUPS["moons"], "networks": {"count": 3, "vary": vary}})
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code_for(training, "manynets"), "program", "exec"), {"__name__": "program"})
    numbers = [float(line.split()[-1]) for line in out.getvalue().splitlines()]
    found = np.array([group.curves.of(k)["val_loss"][-1] for group in training.groups for k in range(len(group.numbers))])
    if vary == "seed":
        np.testing.assert_allclose(numbers[-1], found.mean(), rtol=0, atol=1e-6)
    else:
        np.testing.assert_allclose(numbers, found, rtol=0, atol=1e-6)
    np.testing.assert_allclose(printed(code_for(training, "pytorch"))[-1], found[0], rtol=0, atol=1e-5)
    training.close()


def test_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"size": random.normal(80, 20, 120), "rooms": random.integers(1, 6, 120), "town": list("abc") * 40})
    frame = frame.with_columns((pl.col("size") * 2 + pl.col("rooms") * 10).alias("price"))
    monkeypatch.chdir(tmp_path)
    frame.write_csv("houses.csv")
    files = Files()
    key = files.add("houses.csv", Path("houses.csv").read_bytes())
    data = {"kind": "table", "file": key, "target": "price", "columns": ["size", "rooms", "town"], "x": "size", "y": "rooms"}
    training = trained({"data": data, "terms": ["x1", "x2", "x1*x2"], "network": mlp(6), "recipe": recipe()}, files)
    assert training.experiment.plane.names == ("size", "rooms")
    np.testing.assert_allclose(printed(code_for(training, "manynets")), losses(training), rtol=0, atol=1e-6)
    np.testing.assert_allclose(printed(code_for(training, "pytorch")), losses(training), rtol=0, atol=1e-5)
    training.close()


def test_a_sheet_of_a_workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("python_calamine")
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    rows = [
        [size, rooms, 2 * size + 10 * rooms] for size, rooms in zip(random.normal(80, 20, 60), random.normal(3, 2, 60), strict=True)
    ]
    write_book(Path("t.xlsx"), {"old": [["a", "b"], [1, 2]], "new": [["x", "z", "price"], *rows]})
    files = Files()
    data = {"kind": "table", "file": files.open("t.xlsx", sheet="new"), "target": "price", "columns": [], "x": "x", "y": "z"}
    training = trained({"data": data, "network": mlp(6), "recipe": recipe()}, files)
    code = code_for(training, "manynets")
    assert "mn.tables.read_table('t.xlsx', sheet='new')" in code
    np.testing.assert_allclose(printed(code), losses(training), rtol=0, atol=1e-6)
    training.close()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["moons", "numbers"])
def test_scikit_learn(name: str) -> None:
    training = trained(SETUPS[name])
    loss, score = printed(code_for(training, "sklearn"))
    assert 0 < loss < 2
    assert np.isfinite(score)
    training.close()


LACKING = {
    "input_scale": {"network": mlp(4, input_scale=True)},
    "prior": {"network": mlp(4, prior=True)},
    "Lion": {"recipe": recipe(optimizer={"kind": "Lion"})},
    "init='lecun_normal'": {"network": mlp(4, init="lecun_normal")},
    "evaluate_every": {"recipe": recipe(evaluate_every=3)},
    "stopping.cool_down": {"recipe": recipe(stopping={"kind": "EarlyStopping", "cool_down": 0.2})},
    "loss='quantile'": {"recipe": recipe(loss="quantile"), "data": {**MOONS, "name": "prod"}},
}


@pytest.mark.parametrize("name", LACKING)
def test_what_pytorch_lacks_is_refused_by_name(name: str) -> None:
    training = trained({**SETUPS["moons"], **LACKING[name]}, steps=1)
    with pytest.raises(OptionError, match=f"no plain PyTorch for {re.escape(name)}[.] Copy the manynets program"):
        code_for(training, "pytorch")
    training.close()
