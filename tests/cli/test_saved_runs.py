"""What the commands take for a run: a run folder, a model file, a sweep; and `manynets compare`."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.cli.saved_runs import open_run
from manynets.runs import SavedRun
from tests.cli.conftest import Call

SMALL = ("--hidden", "8", "--epochs", "3", "-q", "--seed", "0")


def test_a_model_that_was_trained_by_a_loss_of_the_users_own(call: Call, table: Path, tmp_path: Path) -> None:
    def halved(scores: Any, targets: Any) -> Any:
        return (scores - targets).square().mean(-1) / 2

    file = tmp_path / "own.safetensors"
    mn.train(table, None, mn.MLP(hidden=(4,)), mn.Recipe(epochs=2), target="price", drop=["id"], loss=halved, progress=False).save(
        file
    )
    assert "loss halved()" in call("show", file).out
    assert "loss" not in call("evaluate", file, table, "--target", "price", "--json").json
    assert call("report", file, "--output", tmp_path / "report.html").code == 0
    assert "halved()" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "cannot be repeated" in call("rerun", file).err
    assert "a function of your own" in call("train", table, "--target", "price", "--loss", "halved()").err


def test_every_command_takes_a_model_file(call: Call, table: Path, tmp_path: Path) -> None:
    folder = call("train", table, "--target", "price", *SMALL, "--json").json["run_dir"]
    alone = tmp_path / "alone" / "model.safetensors"
    alone.parent.mkdir()
    shutil.copy(Path(folder) / "model.safetensors", alone)
    assert "Regression model" in call("show", alone).out
    assert call("predict", alone, table).out == call("predict", folder, table).out
    by_run = call("evaluate", folder, table, "--json").json
    by_file = call("evaluate", alone, table, "--target", "price", "--json").json
    assert set(by_file) <= set(by_run)
    assert by_file["rows"] == 120 > by_run["rows"]  # a file alone does not know which rows it was trained on
    drawn = call("plot", alone, "--json")
    assert (alone.parent / "history.png").is_file(), drawn.err
    for command, why in (
        (("evaluate", alone), "does not say what it was tested on; give data"),
        (("evaluate", alone, table), "name its column with --target"),
        (("rerun", alone), "cannot be repeated"),
    ):
        done = call(*command)
        assert done.code == 2
        assert why in done.err
        assert done.err.count("\n") == 1


def test_a_run_that_does_not_exist(call: Call, run: Path) -> None:
    assert "the run folder other does not exist; there is run\n" in call("show", "other").err
    shutil.copytree(run, "second")
    assert "the run folder other does not exist; there are run, second\n" in call("show", "other").err


def test_a_model_file_in_its_run_folder_is_the_run(call: Call, table: Path) -> None:
    folder = call("train", table, "--target", "price", *SMALL, "--json").json["run_dir"]
    inside = Path(folder) / "model.safetensors"
    assert call("evaluate", inside, "--json").json == call("evaluate", folder, "--json").json


def test_every_command_takes_a_sweep(call: Call, table: Path) -> None:
    sweep = call("sweep", table, "--target", "price", *SMALL, "--grid", "lr=0.01,0.02", "--cv", "2", "--json").json["sweep_dir"]
    assert call("evaluate", sweep).out == call("evaluate", f"{sweep}/best").out
    shown = call("show", sweep).out
    assert shown.startswith("Candidates in cross-validation, by R2\n")
    assert shown.endswith(call("show", f"{sweep}/best").out)
    assert call("predict", sweep, table).out.startswith("size,")
    assert call("plot", sweep, "--kind", "history").code == 0
    assert repr(mn.load(sweep)) == repr(mn.load(f"{sweep}/best"))
    shutil.rmtree(f"{sweep}/best")
    done = call("evaluate", sweep)
    assert done.code == 2
    assert "--resume --out" in done.err


def test_load_takes_a_run_folder(call: Call, table: Path, tmp_path: Path) -> None:
    folder = call("train", table, "--target", "price", *SMALL, "--json").json["run_dir"]
    assert mn.load(folder).members[0].keys() == mn.load(Path(folder) / "model.safetensors").members[0].keys()
    (tmp_path / "empty").mkdir()
    with pytest.raises(mn.ModelFileError, match="this is a folder"):
        mn.load(tmp_path / "empty")


def test_compare(call: Call, table: Path) -> None:
    one = call("train", table, "--target", "price", *SMALL, "--json").json
    two = call("train", table, "--target", "price", *SMALL, "--drop", "id", "--lr", "0.05", "--json").json
    first, second = one["run_dir"], two["run_dir"]
    done = call("compare", first, second, "--json")
    assert done.code == 0, done.err
    assert done.json["runs"][first]["rmse"] == pytest.approx(one["test"]["rmse"])
    assert done.json["runs"][second]["rmse"] == pytest.approx(two["test"]["rmse"])
    on_table = call("compare", first, second, "--data", table, "--json").json
    assert {run["rows"] for run in on_table["runs"].values()} == {120}
    assert "Metrics on the test rows" in call("compare", first, second).out


def test_compare_gives_differences_on_rows_that_are_new_to_both(call: Call) -> None:
    table, cells = Path("sold.csv"), np.random.default_rng(0).normal(size=(120, 3))
    table.write_text("a,b,price\n" + "".join(f"{a:.4f},{b:.4f},{a + c:.4f}\n" for a, b, c in cells.tolist()), encoding="utf-8")
    words = ("train", table, "--target", "price", *SMALL[:-2])
    for name, more in (("one", ()), ("two", ("--lr", "0.05", "--drop", "b")), ("other", ("--seed", "1"))):
        assert call(*words, *more, "--out", name).code == 0
    done = call("compare", "one", "two", "other", "--json")
    assert done.err.count("was trained on other rows than one") == 1  # "two" has other columns of the same rows
    both, found = done.json["runs"], done.json["differences"]
    assert found["from"] == "one"
    assert found["to"]["two"]["rows"] == 24
    for name in ("r2", "rmse", "mae"):
        one = found["to"]["two"][name]
        assert one["difference"] == pytest.approx(both["two"][name] - both["one"][name])
        assert one["low"] < one["difference"] < one["high"]
    other = found["to"]["other"]
    assert 2 <= other["rows"] < 24
    left_out = (
        f"one or other was trained or validated on {24 - other['rows']} of these 24 rows, which do not count in the differences"
    )
    assert other["remark"] == left_out
    assert left_out in " ".join(done.err.split())
    shown = call("compare", "one", "two").out
    assert "Differences from one, with 95% intervals" in shown
    assert " RMSE " in shown
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]))
    done = call("compare", "one", "two", "--data", table, "--json")
    assert list(done.json["differences"]["to"]["two"]) == ["rows", "remark"]
    assert "no differences of two from one: " in done.err


def test_compare_says_where_rows_are_weighted_differently(call: Call, table: Path) -> None:
    """One run weights other data, too, by its column; the other has no weights."""
    for name, more in (("plain", ()), ("weighted", ("--weight", "id"))):
        assert call("train", table, "--target", "price", *SMALL, *more, "--out", name).code == 0
        assert call("report", name).code == 0
        page = Path(name, "report.html").read_text(encoding="utf-8")
        assert ("Weights of the rows" in page) == bool(more)
    on_test = call("compare", "weighted", "plain", "--json").json["differences"]["to"]["plain"]
    assert on_test["rmse"]["low"] < on_test["rmse"]["high"]
    done = call("compare", "weighted", "plain", "--data", table, "--json")
    remark = "no differences of plain from weighted: they read other weights in these rows"
    assert done.json["differences"]["to"]["plain"] == {"rows": 0, "remark": remark}


def test_compare_says_what_it_does_not_know(call: Call, table: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert call("train", table, "--target", "price", *SMALL, "--out", name).code == 0
    file = Path(shutil.copy("one/model.safetensors", tmp_path / "alone.safetensors"))
    done = call("compare", "two", file, "--data", table, "--target", "price", "--json")
    found = done.json["differences"]["to"][str(file)]
    assert 2 <= found["rows"] < 120
    assert found["remark"].endswith(f"whether {file} was trained on some of these rows is not known")


def test_compare_puts_different_losses_in_different_columns(call: Call, table: Path) -> None:
    folders = [
        call("train", table, "--target", "price", *SMALL, *loss, "--json").json["run_dir"]
        for loss in ((), ("--loss", "quantile", "--quantile", "0.9"))
    ]
    shown = " ".join(call("compare", *folders).out.split())
    assert "squared error" in shown
    assert "pinball loss (0.9)" in shown
    assert set(call("compare", *folders, "--json").json["runs"][folders[0]]) >= {"loss", "rmse"}


def test_compare_says_what_cannot_be_compared(call: Call, table: Path) -> None:
    price = call("train", table, "--target", "price", *SMALL, "--json").json["run_dir"]
    kind = call("train", table, "--target", "kind", *SMALL, "--json").json["run_dir"]
    for runs, why in (((price,), "give two or more"), ((price, price), "named twice"), ((price, kind), "for different tasks")):
        done = call("compare", *runs)
        assert done.code == 2
        assert why in done.err
    other = call("train", table, "--target", "price", *SMALL, "--seed", "1", "--json").json["run_dir"]
    assert "was trained on other rows" in call("compare", price, other).out
    both = call("train", table, "--target", "price,size", *SMALL, "--json").json["run_dir"]
    assert f"error: {both}: y has 1 column, but this model predicts 2 targets" in call("compare", price, both).err


def test_linear_models_are_told_and_repeated(call: Call, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 6)).round(3)
    noise = np.random.default_rng(1).normal(size=40)
    lines = [",".join(map(str, [*row, round(float(row.sum() + noise[k]), 3)])) for k, row in enumerate(x)]
    (tmp_path / "line.csv").write_text("\n".join(["a,b,c,d,e,f,y", *lines]))
    call("train", "line.csv", "--target", "y", "--preset", "fast", "--n-networks", "2", "--out", "run", "-q")
    shown = call("show", "run").out
    assert "run: 2 linear models · adamw" in shown
    assert "scikit-learn" in shown
    again = call("rerun", "run").out
    assert "matched bit for bit" in again
    assert " was " not in again  # of a version


def test_only_other_bytes_are_other_data(call: Call, table: Path) -> None:
    """Version 0.1 did not count the target among the columns."""
    call("train", table, "--target", "price", *SMALL, "--out", "run")
    stored = Path("run/config.json")
    config = json.loads(stored.read_text())
    config["fingerprint"]["houses.csv"]["columns"] -= 1
    stored.write_text(json.dumps(config))
    assert "the data changed" not in call("rerun", "run").out
    config["fingerprint"]["houses.csv"]["sha256"] = "0" * 64
    stored.write_text(json.dumps(config))
    assert "the data changed" in call("rerun", "run").out


def test_a_run_of_several_processes_is_not_that_of_one(call: Call, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("train", table, "--target", "price", *SMALL, "--out", "run")

    def opened(folder: str) -> SavedRun:
        found = open_run(folder)
        found.model.info["world_size"] = 2
        return found

    assert "trained it together" not in call("rerun", "run").out
    monkeypatch.setattr(importlib.import_module("manynets.cli.rerun"), "open_run", opened)
    assert "2 processes trained it together, and 1 now" in call("rerun", "run").out
