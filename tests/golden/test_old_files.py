"""Checkpoints, runs and sweeps written by version 0.1.0 can be read and resumed, with the same results up to rounding.

The files are described in `make_runs`.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.search.candidates import Result
from manynets.training.events import Evaluated
from tests.candidates import train_candidates
from tests.cli.conftest import Call, call
from tests.golden.runs import CASES, CLI, FOLDER, TICK, copied, estimator, many
from tests.tolerances import assert_close

__all__ = ["call"]

EXPECTED = json.loads((FOLDER / "expected-runs.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Draw no pictures, which are slow, and allow warnings about checkpoints of another version or thread count."""
    monkeypatch.setattr("manynets.cli.pictures.pictures_of_training", lambda *_, **__: {})
    monkeypatch.setattr("manynets.cli.sweeping.draw", lambda *_, **__: {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mn.CheckpointWarning)
        yield


def assert_as_expected(model: mn.Model, expected: dict[str, Any]) -> None:
    """Fail unless the model has the expected result."""
    kind = "float64_run" if model.recipe.dtype == "float64" else "float32_run"
    assert model.info["stopped"] == expected["stopped"]
    assert model.info["best"] == expected["best"]
    assert_history(model.history, expected["history"], kind)
    assert len(model.members) == len(expected["members"])
    for k, (member, wanted) in enumerate(zip(model.members, expected["members"], strict=True)):
        assert_parameters(member, wanted, kind, what=f"network {k}")


def assert_history(history: dict[str, list[float]], expected: dict[str, list[float]], kind: str) -> None:
    written = {name for name in history if not name.endswith("_std")}  # which version 0.2 added for several networks
    assert written == set(expected) | {"seconds"}
    for name, column in expected.items():
        if name != "seconds":
            assert_close(history[name], column, kind, what=name)


def assert_parameters(parameters: dict[str, Any], expected: dict[str, Any], kind: str, *, what: str) -> None:
    assert set(parameters) == set(expected), what
    for name, value in expected.items():
        assert_close(parameters[name], np.array(value, dtype=parameters[name].dtype), kind, what=f"{what}: {name}")


def assert_resumed(seconds: float, before: float) -> None:
    """Fail if the training started from scratch or lost the time spent before the checkpoint."""
    assert before <= seconds < before + TICK


# ------------------------------------------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("name", CASES)
def test_training_resumes_from_an_old_checkpoint(name: str, tmp_path: Path) -> None:
    expected = EXPECTED["checkpoints"][name]
    shutil.copytree(FOLDER / "checkpoints" / name, tmp_path, dirs_exist_ok=True)
    model = mn.train(**CASES[name][0](tmp_path), resume=tmp_path)
    assert_as_expected(model, expected)
    if name == "finished":
        assert model.history["seconds"][-1] > TICK
    else:
        assert_resumed(model.history["seconds"][-1], expected["seconds"])
    done = sum(step <= expected["step"] for step in model.history["step"])
    for column, values in expected["history"].items():  # restored from the checkpoint, not computed again
        assert model.history[column][:done] == pytest.approx(values[:done], rel=1e-12), column


def test_an_estimator_resumes_from_an_old_checkpoint(tmp_path: Path) -> None:
    expected = EXPECTED["estimator"]
    shutil.copytree(FOLDER / "checkpoints" / "estimator", tmp_path, dirs_exist_ok=True)
    model, X, y = estimator(tmp_path)
    model.fit(X, y)
    assert_as_expected(model.model_, expected)
    assert_resumed(model.model_.history["seconds"][-1], expected["seconds"])
    assert model.n_iter_ == expected["n_iter"]
    assert_close(model.loss_curve_, expected["loss_curve"], "float32_run")
    assert_close(model.predict(X), np.array(expected["predictions"], dtype=model.predict(X).dtype), "float32_run")


def test_train_many_resumes_from_old_parts(tmp_path: Path) -> None:
    expected = EXPECTED["many"]
    shutil.copytree(FOLDER / "many", tmp_path / "parts")
    given = many(tmp_path / "parts")
    known, steps, told = {}, [], []
    for one in expected["results"]:
        c, f = one["place"]
        if one["place"] in expected["known"]:
            figures = {name: float("nan") if one[name] is None else one[name] for name in ("loss", "score", "seconds")}
            spec, recipe = given["candidates"][c]
            task = mn.Regression.of(given["y"])
            known[c, f] = Result(candidate=c, fold=f, spec=spec, recipe=recipe, task=task, stopped=one["stopped"], **figures)

    def watch(event: Any) -> None:
        if isinstance(event, Evaluated):
            steps.append(event.step)

    results = train_candidates(**given, resume=tmp_path / "parts", finished=known, callbacks=[watch], on_results=told.extend)
    assert min(steps[:2]) > expected["step"]
    assert list(tmp_path.iterdir()) == []  # a finished part is removed
    assert {(one.candidate, one.fold) for one in told} == {(one.candidate, one.fold) for one in results} - set(known)
    for result, wanted in zip(results, expected["results"], strict=True):
        assert [result.candidate, result.fold] == wanted["place"]
        assert result.stopped == wanted["stopped"]
        if wanted["place"] in expected["known"]:
            assert result is known[result.candidate, result.fold]
            continue
        assert result.best == wanted["best"]
        assert result.parameters is not None
        assert_parameters(result.parameters, wanted["parameters"], "float32_run", what=str(wanted["place"]))
        assert {name: len(column) for name, column in result.history.items()} == {
            name: len(column) for name, column in wanted["history"].items()
        }
        if result.divergence is not None:
            assert [result.divergence.epoch, result.divergence.step] == wanted["divergence"]
            continue
        assert_close([result.loss, result.score], [wanted["loss"], wanted["score"]], "float32_run")
        assert_history(result.history, wanted["history"], "float32_run")
        if wanted["place"] in expected["under way"]:
            ended = wanted["history"]["step"][-1] < expected["step"]
            assert_resumed(result.seconds, wanted["seconds"] if ended else expected["seconds"])
    assert {one["stopped"] for one in expected["results"]} == {"done", "early", "diverged", "failed"}


# --------------------------------------------------------------------------------------------------------------- the runs


def test_an_old_run_is_shown_evaluated_and_predicts(call: Call, tmp_path: Path) -> None:
    expected = EXPECTED["cli"]["run"]
    copied("run", tmp_path)
    assert_as_expected(mn.load("run/model.safetensors"), expected)
    shown = call("show", "run")
    assert shown.code == 0, shown.err
    assert "manynets 0.1.0" in shown.out
    for more in ((), ("houses.csv",)):
        done = call("evaluate", "run", *more, "--json", "-q")
        assert done.code == 0, done.err
        assert set(done.json) == set(expected["evaluate"])
    figures = call("evaluate", "run", "--json", "-q").json
    for name, value in expected["evaluate"].items():
        assert figures[name] == (pytest.approx(value, rel=1e-4) if isinstance(value, float) else value), name
    predicted = call("predict", "run", "houses.csv", "-q")
    assert predicted.code == 0, predicted.err
    rows = [float(row["prediction"]) for row in csv.DictReader(io.StringIO(predicted.out))]
    assert rows == pytest.approx(list(map(float, expected["predictions"])), rel=1e-4)


def test_an_old_run_is_repeated(call: Call, tmp_path: Path) -> None:
    copied("run", tmp_path)
    done = call("rerun", "run", "--out", "again")
    assert done.code in (0, 1), done.err  # bit for bit, or not
    assert "matched bit for bit" in done.out if done.code == 0 else "did not match: " in done.out
    assert "the data changed" not in done.out
    assert_as_expected(mn.load("again/model.safetensors"), EXPECTED["cli"]["run"])


def test_an_old_unfinished_run_resumes(call: Call, tmp_path: Path) -> None:
    expected = EXPECTED["cli"]["stopped"]
    copied("stopped.part", tmp_path)
    done = call("train", "--resume", "stopped", "-q")
    assert done.code == 0, done.err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["houses.csv", "stopped"]
    model = mn.load("stopped/model.safetensors")
    assert_as_expected(model, expected)
    assert model.history["seconds"][-1] > TICK
    metrics = json.loads(Path("stopped/metrics.json").read_text(encoding="utf-8"))
    assert metrics.keys() - {"baselines"} == expected["metrics"].keys()
    for part, figures in expected["metrics"].items():
        assert metrics[part] == pytest.approx(figures, rel=1e-3)


# -------------------------------------------------------------------------------------------------------------- the sweeps


def results(folder: str) -> list[dict[str, str]]:
    with Path(folder, "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_best_of_an_old_sweep_is_used(call: Call, tmp_path: Path) -> None:
    copied("sweep", tmp_path)
    assert_as_expected(mn.load("sweep/best/model.safetensors"), EXPECTED["cli"]["sweep"])
    assert results("sweep") == EXPECTED["cli"]["sweep"]["results"]
    for words in (("show", "sweep/best"), ("evaluate", "sweep/best"), ("predict", "sweep/best", "moons", "-q")):
        done = call(*words)
        assert done.code == 0, done.err


@pytest.mark.parametrize("name", ["sweep", "sweep-stopped", "sweep-best"])
def test_an_old_sweep_resumes(name: str, call: Call, tmp_path: Path) -> None:
    """One is finished, one was stopped in the middle of a group, and one while its best model was being trained."""
    expected = EXPECTED["cli"][name]
    copied(name, tmp_path)
    before = results(name)
    done = call(*CLI[name], "-q", "--out", name, "--resume")
    assert done.code == 0, done.err
    found = results(name)
    assert found[: len(before)] == before
    assert len(found) == len(expected["results"])
    for row, wanted in zip(found, expected["results"], strict=True):
        for column, cell in wanted.items():
            if column in ("loss", "score"):
                assert float(row[column]) == pytest.approx(float(cell), rel=1e-3, abs=1e-4)
            elif column != "seconds":
                assert row[column] == cell
    anew = sum(float(row["seconds"]) < TICK for row in found)
    assert anew == (2 if name == "sweep-stopped" else 0)  # the other 2 of the last 4 were under way
    assert_as_expected(mn.load(Path(name, "best", "model.safetensors")), expected)
    if name == "sweep-best":
        assert mn.load("sweep-best/best/model.safetensors").history["seconds"][-1] > TICK
    assert not {"checkpoints", "best.part"} & {entry.name for entry in Path(name).iterdir()}
