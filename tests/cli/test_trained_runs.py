"""`manynets evaluate`, `predict`, `show` and `datasets`, on runs that were trained before."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import manynets as mn
from manynets.runs import plain_json, read_run
from tests.cli.conftest import Call

SMALL = ("--hidden", "8", "--epochs", "3", "-q")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_evaluate_repeats_the_figures_of_the_test_rows(call: Call, table: Path) -> None:
    for data in (("digits",), ("moons", "--points", "200", "--noise", "0.1", "--seed", "5"), (table, "--target", "kind")):
        trained = call("train", *data, *SMALL, "--json").json
        again = call("evaluate", trained["run_dir"], "--json")
        assert again.code == 0, again.err
        for name, value in trained["test"].items():
            assert again.json[name] == pytest.approx(value, abs=1e-12), name


def test_evaluate_on_another_table(call: Call, table: Path, tmp_path: Path) -> None:
    folder = call("train", table, "--target", "kind", *SMALL, "--json").json["run_dir"]
    other = tmp_path / "other.csv"
    other.write_text("\n".join(table.read_text().splitlines()[:11]) + "\n")
    done = call("evaluate", folder, other, "--json")
    assert done.json["rows"] == 10
    assert "other.csv rows" in done.err


def test_rows_that_cannot_be_scored_are_named_and_may_be_left_out(call: Call, run: Path) -> None:
    lines = Path("houses.csv").read_text().splitlines()[:11]
    odd = {row: lines[row].rsplit(",", 1)[0] for row in (1, 4, 6)}
    for row, kind in ((1, ""), (4, "huge"), (6, "huge")):
        lines[row] = f"{odd[row]},{kind}"
    Path("new.csv").write_text("\n".join(lines) + "\n")
    assert "missing in 1 of 10 rows (counted from 0): 0; fill" in (refused := call("evaluate", run, "new.csv")).err
    assert refused.err.endswith("or leave them out with --drop-missing-target\n")
    refused = call("evaluate", run, "new.csv", "--drop-missing-target")
    assert refused.code == 2
    assert "did not have: 'huge' (rows with a target, counted from 0: 2, 4); it had 'big', 'small'" in refused.err
    assert "--drop-unseen-classes" in refused.err
    done = call("evaluate", run, "new.csv", "--drop-missing-target", "--drop-unseen-classes", "--json")
    assert done.json["rows"] == done.json["seen"]["rows"] == 7  # training had all of them
    assert "note: 2 of 9 rows left out, of classes that training did not have: 'huge'" in done.err
    assert "note: 1 of 10 rows left out, as they have no target" in done.err
    for more in ((), ("new.csv", "--memory-limit", "1GB")):
        assert "that are read at once; leave them out" in call("evaluate", run, *more, "--drop-unseen-classes").err
    Path("none.csv").write_text(f"{lines[0]}\n{lines[4]}\n")
    assert "1 row of 1 has a label" in call("evaluate", run, "none.csv", "--drop-unseen-classes").err


def test_rows_of_arrays_of_unseen_classes_may_be_left_out(call: Call) -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = (X[:, 0] > 0).astype(int)
    np.savez("xy.npz", X=X, y=y)
    np.savez("new.npz", X=X, y=np.where(np.arange(60) == 7, 5, y))
    assert call("train", "xy.npz", *SMALL, "--out", "run").code == 0
    refused = call("evaluate", "run", "new.npz").err
    assert "does not know: 5; its classes are 0, 1; correct or leave out 1 row of 60 (counted from 0: 7)" in refused
    done = call("evaluate", "run", "new.npz", "--drop-unseen-classes", "--json")
    assert sum(part["rows"] for part in (done.json, done.json["seen"])) == 59
    assert "1 of 60 rows left out" in done.err
    assert "is for a table, and new.npz is none; leave it out" in call("evaluate", "run", "new.npz", "--drop-missing-target").err
    np.savez("numbers.npz", X=X, y=X[:, 0])
    assert call("train", "numbers.npz", *SMALL, "--out", "numbers").code == 0
    refused = call("evaluate", "numbers", "new.npz", "--drop-unseen-classes").err
    assert "is for classes, but the task of the run is regression; leave it out" in refused


def test_evaluate_tells_that_the_file_changed(call: Call, table: Path) -> None:
    folder = call("train", table, "--target", "kind", *SMALL, "--json").json["run_dir"]
    table.write_text(table.read_text() + "1,red,9999,3,small\n")
    done = call("evaluate", folder)
    assert done.code == 2
    assert "houses.csv changed since" in done.err


@pytest.mark.parametrize("name", ["houses.csv", "houses.npz", "houses.parquet"])
def test_a_run_whose_data_are_gone_asks_for_others(call: Call, table: Path, name: str) -> None:
    data, target = table.with_name(name), ("--target", "price")
    if name == "houses.npz":
        np.savez(data, X=np.arange(60.0).reshape(30, 2), y=np.arange(30.0) + 0.5)
        target = ()
    elif name == "houses.parquet":
        import polars

        polars.concat([polars.read_csv(table)] * 200).write_parquet(data, row_group_size=500)
        target = (*target, "--memory-limit", "1MB")
    assert call("train", data, *target, *SMALL, "--out", "run").code == 0
    moved = data.rename(data.with_stem("sold"))
    for command in ("evaluate", "explain"):
        done = call(command, "run")
        assert done.code == 2
        assert f"the data of the run cannot be read, so give data to evaluate it on: the file {data} does not exist" in done.err
    assert call("evaluate", "run", moved).code == 0
    assert "the report is without rows: the data of the run cannot be read" in call("report", "run").out


def test_predict_keeps_the_rows_and_finds_columns_by_name(call: Call, table: Path, tmp_path: Path) -> None:
    folder = call("train", table, "--target", "kind", *SMALL, "--json").json["run_dir"]
    new = tmp_path / "new.csv"
    new.write_text("mood,colour,price,size,prediction\nsunny,red,20,3,x\ngrey,mauve,30,12,y\n")
    done = call("predict", folder, new)
    assert done.code == 0, done.err
    assert "ignored, as the model does not know them: mood, prediction" in done.err
    assert "mauve" in done.err
    rows = rows_of(done.out)
    assert [row["mood"] for row in rows] == ["sunny", "grey"]
    assert [row["prediction"] for row in rows] == ["x", "y"]
    for row in rows:
        assert row["prediction_"] in ("big", "small")
        assert float(row["probability_big"]) + float(row["probability_small"]) == pytest.approx(1, abs=1e-6)
    import polars

    own = mn.load(Path(folder) / "model.safetensors").predict(polars.read_csv(new))
    assert own.tolist() == [row["prediction_"] for row in rows]


def test_predict_to_a_file_with_chosen_columns(call: Call, table: Path) -> None:
    folder = call("train", table, "--target", "price", *SMALL, "--json").json["run_dir"]
    assert call("predict", folder, table, "-o", "out.csv", "--columns", "id").code == 0
    rows = rows_of(Path("out.csv").read_text())
    assert len(rows) == 120
    assert list(rows[0]) == ["id", "prediction"]
    refused = call("predict", folder, table, "-o", "out.csv")
    assert refused.code == 2
    assert "--overwrite" in refused.err


def test_predict_without_a_column_is_an_error(call: Call, table: Path, tmp_path: Path) -> None:
    folder = call("train", table, "--target", "price", *SMALL, "--json").json["run_dir"]
    new = tmp_path / "new.csv"
    new.write_text("size\n3\n")
    done = call("predict", folder, new)
    assert (done.code, done.out) == (2, "")
    assert "colour" in done.err


def test_predict_arrays_and_named_sets(call: Call) -> None:
    folder = call("train", "moons", "--points", "200", *SMALL, "--json").json["run_dir"]
    rows = rows_of(call("predict", folder, "moons").out)
    assert len(rows) == 100
    assert {row["truth"] for row in rows} == {"upper", "lower"} == {name.removeprefix("probability_") for name in list(rows[0])[3:]}
    np.save("x.npy", np.zeros((3, 2)))
    assert len(rows_of(call("predict", folder, "x.npy").out)) == 3
    np.save("x.npy", np.zeros((3, 5)))
    wide = call("predict", folder, "x.npy")
    assert wide.code == 2
    assert "5 columns" in wide.err
    assert "2" in wide.err


def test_show_and_datasets(call: Call, table: Path) -> None:
    folder = call("train", table, "--target", "kind", *SMALL, "--json").json["run_dir"]
    shown = call("show", folder)
    assert shown.code == 0
    for text in ("hidden0", "By class on the test rows", "all 3 epochs", "houses.csv", "model.safetensors"):
        assert text in shown.out
    listed = call("datasets")
    assert listed.code == 0
    for name in ("digits", "mnist", "fashion-mnist", "spirals"):
        assert name in listed.out


def test_damaged_runs(call: Call) -> None:
    folder = Path(call("train", "moons", *SMALL, "--json").json["run_dir"])
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-5] + b"12345")
    for arguments in (("show",), ("evaluate",), ("predict",)):
        done = call(*arguments, folder, *(["moons"] if arguments == ("predict",) else []))
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert "model.safetensors" in done.err
    (folder / "model.safetensors").write_bytes(whole)
    (folder / "config.json").write_text("{}")
    assert "config.json" in call("show", folder).err
    (folder / "config.json").write_text("{")
    assert "damaged" in call("show", folder).err
    (folder / "config.json").write_text('{"format": 1}')
    assert call("evaluate", folder).code == 2
    (folder / "model.safetensors").unlink()
    assert "is missing" in call("show", folder).err
    shutil.rmtree(folder)
    assert "does not exist" in call("show", folder).err


def test_json_is_strict() -> None:
    value = plain_json({"a": float("nan"), "b": [float("inf"), np.float64(0.5)], "c": (np.int64(3), None)})
    assert json.dumps(value, allow_nan=False) == '{"a": null, "b": [null, 0.5], "c": [3, null]}'


@pytest.mark.draws
def test_read_run_gives_back_what_was_written(call: Call) -> None:
    folder = call("train", "plane", "--points", "100", *SMALL, "--json").json["run_dir"]
    run = read_run(folder)
    assert run.config["data"] == {"kind": "named", "name": "plane", "task": None, "points": 100, "seed": 0}
    assert run.model.task.name == "regression"
    assert "surface.png" in run.files


def test_the_second_class_is_named(call: Call, table: Path) -> None:
    loud = call("train", table, "--target", "kind", *SMALL[:-1], "--out", "run")
    second = "precision, recall and F1 are those of 'small', the second class"
    assert second in loud.err + loud.out
    done = call("evaluate", "run")
    assert second in done.err + done.out


def test_intervals_of_classes_are_refused_in_words_of_the_command(call: Call, table: Path) -> None:
    assert call("train", table, "--target", "kind", *SMALL, "--out", "run").code == 0
    told = call("predict", "run", table, "--interval", "0.9")
    assert (told.code, told.out) == (2, "")
    assert "--interval is 0.9, but is for numbers, and this model predicts classes" in told.err
    assert "predict_proba" not in told.err


def test_whole_numbers_that_are_taken_as_classes_are_told(call: Call, table: Path) -> None:
    words = ("train", table, "--target", "size", *SMALL[:-1])
    done = call(*words)
    said = "'size' holds 17 different whole numbers and is taken as classes; for numbers give --task regression"
    assert said in done.err + done.out
    for task in ("regression", "multiclass"):
        done = call(*words, "--task", task)
        assert done.code == 0
        assert "is taken as classes" not in done.err + done.out
