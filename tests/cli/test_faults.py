"""Faults that users met: work lost, damaged folders, files that are not regular, runs that learned nothing, rows seen before."""

from __future__ import annotations

import gzip
import json
import os
import resource
import stat
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manynets.claims import claim
from manynets.cli.fingerprint import row_hashes
from manynets.modelfile import read_model_file
from manynets.runs import read_run
from tests.cli.conftest import KIND, SMALL, Call

# ------------------------------------------------------------------------------------------------------------------------- names


def test_a_name_in_use_is_an_error_and_a_default_name_moves_on(call: Call, table: Path) -> None:
    train = ("train", table, *KIND)
    with claim("runs/houses-1"), claim("mine"):
        done = call(*train, "--out", "mine")
        assert done.code == 2
        assert "error: mine is in use by this process on " in done.err
        assert done.err.rstrip().endswith("or give another folder with --out")
        assert call(*train).code == 0
    assert sorted(entry.name for entry in Path("runs").iterdir()) == ["houses-2"]
    assert not Path("mine").exists()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("predict", "run", "houses.csv", "-o", "p.csv"), "p.csv"),
        (("plot", "run"), "run"),
        (("plot", "run", "--out", "pictures"), "pictures"),
        (("rerun", "run", "--out", "again"), "again"),
        (("sweep", "moons", "--grid", "lr=0.1,0.2", "--out", "swept"), "swept"),
        (("study", "T1-xor", "--quick", "--out", "studies"), "studies/T1-xor"),
    ],
)
def test_other_commands_claim_what_they_write(call: Call, run: Path, command: tuple[str, ...], name: str) -> None:
    with claim(name):
        done = call(*command)
    assert done.code == 2
    assert f"{name} is in use by this process" in done.err


def test_overwrite_replaces_at_the_very_end(call: Call, run: Path, table: Path) -> None:
    before = (run / "model.safetensors").read_bytes()
    bad = table.read_text(encoding="utf-8").replace("small", "", 1)
    Path("bad.csv").write_text(bad, encoding="utf-8")
    assert call("train", "bad.csv", "--target", "kind", *SMALL, "--out", "run", "--overwrite").code == 2
    assert (run / "model.safetensors").read_bytes() == before
    assert not [entry for entry in Path().iterdir() if entry.name.startswith(".")]


def test_an_unfinished_run_is_put_back_when_what_overwrites_it_fails(call: Call, table: Path) -> None:
    Path("run.part/checkpoints").mkdir(parents=True)
    (Path("run.part") / "options.json").write_text("{}", encoding="utf-8")
    train = ("train", table, *KIND, "--out", "run", "--overwrite")
    assert call(*train, "--optimizer", "sgd", "--lr", "1e30").code == 3
    assert (Path("run.part") / "options.json").read_text(encoding="utf-8") == "{}"
    assert call(*train).code == 0
    assert not Path("run.part").exists()


def test_a_sweep_that_overwrites_keeps_the_former_until_it_is_whole(call: Call, table: Path) -> None:
    sweep = ("sweep", table, *KIND, "--out", "swept", "--overwrite")
    assert call(*sweep, "--grid", "lr=0.1,0.2").code == 0
    (Path("swept") / "notes.txt").write_text("mine", encoding="utf-8")
    before = {path.name: path.read_bytes() for path in Path("swept").iterdir() if path.is_file()}
    assert call(*sweep, "--grid", "lr=0.1", "--grid", "optimizer=sgd", "--cv", "500").code == 2
    assert {path.name: path.read_bytes() for path in Path("swept").iterdir() if path.is_file()} == before
    assert call(*sweep, "--grid", "dropout=0,0.1").code == 0
    names = {path.name for path in Path("swept").iterdir()}
    assert {"notes.txt", "dropout.png", "best"} <= names
    assert not names & {"former", "lr.png", "checkpoints"}


# ------------------------------------------------------------------------------------------------------- what is no regular file


def test_predictions_go_through_pipes_links_and_devices(call: Call, run: Path, table: Path) -> None:
    os.mkfifo("pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text(encoding="utf-8")))
    reader.start()
    assert call("predict", "run", table, "-o", "pipe", "--overwrite").code == 0
    reader.join()
    assert len(read[0].splitlines()) == 121
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)
    assert call("predict", "run", table, "-o", os.devnull).code == 0
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    Path("link.csv").symlink_to("real.csv")
    assert call("predict", "run", table, "-o", "link.csv").code == 0
    assert Path("link.csv").is_symlink()
    assert Path("real.csv").read_text(encoding="utf-8") == read[0]
    assert "link.csv exists" in call("predict", "run", table, "-o", "link.csv").err
    Path("circle").symlink_to("circle")
    assert call("predict", "run", table, "-o", "circle", "--overwrite").code == 2
    assert Path("circle").is_symlink()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "metrics.json"])
def test_a_pipe_in_a_run_folder_is_refused_at_once(call: Call, run: Path, name: str) -> None:
    (run / name).unlink()
    os.mkfifo(run / name)
    done = call("show", run)
    assert done.code == 2
    assert name in done.err


def test_a_pipe_in_a_sweep_is_refused_at_once(call: Call) -> None:
    sweep = ("sweep", "moons", "--grid", "lr=0.1,0.2", "--hidden", "4", "--epochs", "1", "--points", "60", "-q", "--out", "swept")
    assert call(*sweep).code == 0
    for name in ("results.csv", "curves.jsonl"):
        (Path("swept") / name).unlink()
        os.mkfifo(Path("swept") / name)
        assert f"swept/{name} is damaged: it is not a regular file" in call(*sweep, "--resume").err


def test_a_pipe_as_data_is_refused_at_once(call: Call) -> None:
    os.mkfifo("data.csv")
    assert "data.csv is a pipe or a device" in call("train", "data.csv", "--target", "y").err


def test_a_model_file_longer_than_its_header_says_is_not_read(call: Call, run: Path) -> None:
    path = run / "model.safetensors"
    with path.open("ab") as file:
        file.truncate(1 << 40)  # a hole
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"has something after its end: \d+ bytes were expected, 1099511627776 found"):
        read_model_file(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
    assert time.monotonic() - began < 60  # it would take hours


# ------------------------------------------------------------------------------------------------------------------------- JSON


def changed(path: Path, *fields: str | int, to: Any) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    inside = value
    for field in fields[:-1]:
        inside = inside[field]
    inside[fields[-1]] = to
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "fields", "value", "words"),
    [
        ("config.json", ("data",), 5, "field 'data' is 5, but must be an object"),
        ("config.json", ("data", "kind"), None, "field 'data.kind' is null, but must be a text"),
        ("config.json", ("data", "target"), "y", "field 'data.target' is \"y\", but must be a list"),
        ("config.json", ("fingerprint",), [1], "field 'fingerprint' is a list, but must be an object"),
        ("config.json", ("class_names",), ["a"], "field 'class_names' has 1 names, but the model has 2 classes"),
        ("config.json", ("format",), "1", "field 'format' is \"1\", but must be a whole number"),
        ("metrics.json", ("test",), float("nan"), "NaN is not JSON"),
        (
            "metrics.json",
            ("baselines",),
            {"test: always a": []},
            "field 'baselines.test: always a' is a list, but must be an object",
        ),
        ("metrics.json", ("test",), 1, "field 'test' is 1, but must be an object"),
        ("metrics.json", ("test", "per_class", 0), {}, "field 'test.per_class[0].class' is missing"),
    ],
)
def test_damaged_json_is_told_by_field(call: Call, run: Path, file: str, fields: tuple[Any, ...], value: Any, words: str) -> None:
    changed(run / file, *fields, to=value)
    for command in (("show",), ("evaluate",), ("plot",), ("predict", "houses.csv"), ("rerun",)):
        done = call(command[0], run, *command[1:])
        assert done.code == 2
        assert f"{file} is damaged: {words}" in done.err


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[1]", "", "\x00", '{"test": {"rows": 1e400}}'])
def test_metrics_that_are_no_json_object(call: Call, run: Path, text: str) -> None:
    (run / "metrics.json").write_text(text, encoding="utf-8")
    done = call("show", run)
    if "1e400" not in text:
        assert done.code == 2
        assert "metrics.json is damaged: " in done.err


def test_damaged_options(call: Call, run: Path) -> None:
    changed(run / "config.json", "options", "hidden", to={})
    assert "config.json is damaged: field 'options.hidden' is an object, but must be a text" in call("rerun", run).err
    Path("half.part").mkdir()
    for text in ("[" * 100_000, '{"hidden": {}}', "5"):
        (Path("half.part") / "options.json").write_text(text, encoding="utf-8")
        assert "options.json is damaged: " in call("train", "--resume", "half").err
    Path("swept").mkdir()
    for text in ("[" * 100_000, '{"options": 5}', '{"options": {}, "grid": 1}'):
        (Path("swept") / "sweep.json").write_text(text, encoding="utf-8")
        assert "sweep.json is damaged: " in call("sweep", "moons", "--resume", "--out", "swept").err


# -------------------------------------------------------------------------------------------------------------------- divergence


@pytest.mark.parametrize("target", ["kind", "price"])
def test_a_run_that_learned_nothing_exits_3(call: Call, table: Path, target: str) -> None:
    done = call(
        "train", table, "--target", target, *SMALL, "--optimizer", "sgd", "--lr", "1e30", "--out", "run", "--checkpoint-every", "1"
    )
    assert done.code == 3
    assert "the loss was not finite in epoch 1" in done.err
    assert done.err.rstrip().endswith("so no model is written; use a smaller --lr or --clip-norm 1")
    assert sorted(entry.name for entry in Path().iterdir()) == ["houses.csv"]


def test_a_run_with_earlier_good_weights_says_so(call: Call, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from manynets.training.steppers import base

    sound, calls = base.Stepper.sound, 0

    def unsound_later(self: Any, log: Any) -> Any:
        nonlocal calls
        calls += 1
        found = sound(self, log)
        return found & False if calls > 20 else found

    monkeypatch.setattr(base.Stepper, "sound", unsound_later)
    done = call(
        "train", table, "--target", "price", "--epochs", "30", "--hidden", "8", "--n-networks", "1", "--gradient", "closed_form", "--lr",
        "0.05", "--evaluate-every", "1", "--out", "run", "--json",
    )  # fmt: skip
    assert done.code == 3, done.err
    assert "error: the training diverged; run is written with the last finite weights; use a smaller --lr" in done.err
    assert done.json["diverged"] == 1
    assert "Metrics (training diverged; weights of epoch " in done.err
    assert "Metrics (training diverged; weights of epoch " in call("show", "run").out


# ------------------------------------------------------------------------------------------------------------ rows seen before


def test_rows_of_the_training_are_scored_apart(call: Call, run: Path, table: Path) -> None:
    own = call("evaluate", run, "--json").json
    assert "seen_rows" not in own
    found = call("evaluate", run, table, "--json")
    lines = table.read_text(encoding="utf-8").splitlines()
    assert found.json["rows"] + found.json["seen_rows"] == len(lines) - 1
    assert found.json["seen"]["rows"] == found.json["seen_rows"] >= 96  # test rows may equal training rows
    assert "rows that the run was trained or validated on" in found.err
    assert "houses.csv: seen in training" in found.err
    assert "By class on the new rows" in found.err
    changed_rows = [line.replace("red", "green").replace("blue", "red") for line in lines[1:]]
    Path("new.csv").write_text(
        "\n".join([lines[0], *(row.replace(row.split(",")[0], "99", 1) for row in changed_rows)]), encoding="utf-8"
    )
    new = call("evaluate", run, "new.csv", "--json")
    assert new.json["seen_rows"] == 0
    assert new.json["rows"] == 120


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"PK\x03\x04",
        b"\x93NUMPY\x01\x00v\x00{'descr': '<u8', 'fortran_order': False, 'shape': (1000000000000000,), }" + b" " * 45,
    ],
)
def test_damaged_hashes_of_rows(call: Call, run: Path, table: Path, damage: bytes) -> None:
    (run / "seen_rows.npy").write_bytes(damage)
    done = call("evaluate", "run", table)
    assert done.code == 2
    assert "seen_rows.npy is damaged" in done.err


def test_hashes_of_rows_take_little_memory() -> None:
    x = np.zeros((100_000, 50), dtype=np.float32)
    tracemalloc.start()
    try:
        row_hashes(x, x[:, 0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes / 2


def test_all_rows_seen(call: Call, table: Path) -> None:
    assert call("train", table, "--target", "price", "--test-fraction", "0", *SMALL, "--out", "run").code == 0
    found = call("evaluate", "run", table, "--json").json
    assert found["rows"] == found["seen_rows"] == 120
    (Path("run") / "seen_rows.npy").write_bytes(b"x")
    assert "seen_rows.npy is damaged" in call("evaluate", "run", table).err
    (Path("run") / "seen_rows.npy").unlink()
    assert "seen_rows" not in call("evaluate", "run", table, "--json").json


# ------------------------------------------------------------------------------------------------------------------ many classes


@pytest.mark.draws
def test_many_classes_are_summarised(call: Call) -> None:
    rows = "\n".join(f"{i % 13},{i % 7},k{i % 300}" for i in range(1200))
    Path("many.csv").write_text(f"a,b,y\n{rows}\n", encoding="utf-8")
    done = call("train", "many.csv", "--target", "y", "--epochs", "1", "--hidden", "4", "--n-networks", "1", "--out", "run")
    assert done.code == 0, done.err
    metrics = read_run("run").metrics
    assert metrics["test"]["classes"] == 300
    assert len(metrics["test"]["per_class"]) == 50
    assert "confusion" not in metrics["test"]
    assert (Path("run") / "metrics.json").stat().st_size < 100_000
    assert "the 50 lowest of 300 classes" in done.out
    assert call("show", "run").code == 0
    assert call("plot", "run", "--out", "pictures").code == 0


# ------------------------------------------------------------------------------------------------------------------ messages


def test_names_in_other_unicode_characters(call: Call, table: Path) -> None:
    text = table.read_text(encoding="utf-8")
    for form, name in (("nfc", "caf\u00e9"), ("nfd", "cafe\u0301")):
        Path(f"{form}.csv").write_text(text.replace("size", name, 1), encoding="utf-8")
    train = ("train", "nfc.csv", "--target", "kind", *SMALL)
    assert call(*train, "--drop", "cafe\u0301", "--out", "without").code == 0
    assert "caf\u00e9" not in read_run("without").model.encoder.column_names  # type: ignore[union-attr]
    assert call(*train, "--out", "run").code == 0
    assert "is written in other Unicode characters (NFC and NFD): rename it" in call("predict", "run", "nfd.csv").err
    Path("both.csv").write_text(text.replace("size,colour", "caf\u00e9,cafe\u0301", 1), encoding="utf-8")
    assert "two columns are called" in call("train", "both.csv", "--target", "kind").err


@pytest.mark.parametrize("option", ["drop", "categorical", "numeric"])
def test_an_option_for_features_names_the_target(call: Call, table: Path, option: str) -> None:
    done = call("train", table, "--target", "kind", f"--{option}", "kind")
    assert f"--{option} names 'kind', which is the target" in done.err


def test_home_behind_an_equals_sign(call: Call, table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert call("train", table, *KIND, "--out=~/run").code == 0
    assert (tmp_path / "home" / "run").is_dir()
    assert not Path("~").exists()


def test_files_that_are_not_what_their_ending_says(call: Call, table: Path) -> None:
    import polars

    Path("padded.csv.gz").write_bytes(gzip.compress(table.read_bytes()) + bytes(512))
    assert call("train", "padded.csv.gz", *KIND, "--out", "run").code == 0
    Path("zipped.csv").write_bytes(gzip.compress(table.read_bytes()))
    assert (
        "zipped.csv is a gzip file, whatever its ending; rename it to zipped.csv.gz"
        in call("train", "zipped.csv", "--target", "kind").err
    )
    polars.read_csv(table).write_parquet("parquet.csv")
    assert "parquet.csv is a Parquet file" in call("train", "parquet.csv", "--target", "kind").err
    Path("text.npz").write_bytes(table.read_bytes())
    err = call("train", "text.npz").err
    assert "rename it to .csv if it is a text table" in err
    assert "pickle" not in err
    np.save("array.npz.npy", np.eye(2))
    for name in ("text.parquet", "text.xlsx", "text.csv.gz", "text.arrow"):
        Path(name).write_bytes(table.read_bytes())
        err = call("inspect", name).err
        assert f"{name} is text, whatever its ending" in err
        assert "rename it to text.csv" in err
    Path("page.xls").write_text("<table><tr><td>1</td></tr></table>")
    assert "page.xls is a page of HTML or XML" in call("inspect", "page.xls").err
    assert "training needs the arrays X and y" in call("train", "array.npz.npy").err


def test_temporary_folders_are_no_runs(call: Call, run: Path) -> None:
    Path(".run.abc.tmp").mkdir()
    for name in ("config.json", "model.safetensors"):
        (Path(".run.abc.tmp") / name).write_bytes((run / name).read_bytes())
    assert call("show", "nothing").err.rstrip().endswith("there is run")


@pytest.mark.parametrize("field", ["path", "target", "task", "test_fraction", "seed", "kind"])
def test_an_origin_that_lacks_a_field(call: Call, table: Path, tmp_path: Path, field: str) -> None:
    options = ("--drop", "id,kind", "--preset", "plain", "--epochs", "1", "-q", "--out", "run")
    assert call("train", table, "--target", "price", *options).code == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    del config["data"][field]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    done = call("evaluate", "run")
    assert done.code == 2
    assert "config.json is damaged" in done.err
