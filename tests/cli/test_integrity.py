"""What is written is whole and of one piece: while files change, under names that are not UTF-8, and in damaged sweeps."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from manynets.claims import claim
from manynets.cli import data, sweeping
from manynets.errors import DataError, OptionError
from manynets.runs import read_run, write_run
from manynets.tables import files, read_table
from tests.cli.conftest import KIND, Call

SWEEP = ("sweep", "moons", "--epochs", "1", "--hidden", "4", "--points", "60", "-q", "--grid", "lr=0.1,0.2", "--out", "swept")
ODD = os.fsdecode(b"t\xff.csv")


# --------------------------------------------------------------------------------------------------------- files that change


def test_the_fingerprint_of_a_run_is_that_of_the_rows_read(call: Call, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint_of = data.fingerprint_of

    def after_a_change(path: str, *more: Any) -> dict[str, Any]:
        with open(path, "a", encoding="utf-8") as file:
            file.write("1,red,2,3,big\n")
        return fingerprint_of(path, *more)

    monkeypatch.setattr(data, "fingerprint_of", after_a_change)
    done = call("train", table, *KIND, "--out", "run")
    assert done.code == 2
    assert f"error: {table} changed while it was read" in done.err
    assert not Path("run").exists()


def test_a_text_table_that_changes_is_refused(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_source = files.read_source

    def and_changes(*given: Any, **more: Any) -> Any:
        found = read_source(*given, **more)
        table.write_text("a\n1\n", encoding="utf-8")
        return found

    monkeypatch.setattr(files, "read_source", and_changes)
    with pytest.raises(DataError, match=r"houses\.csv changed while it was read"):
        read_table(table)


def test_hashes_of_rows_are_those_of_the_model(call: Call, run: Path, table: Path) -> None:
    found = read_run(run)
    assert found.seen_rows is not None
    assert call("train", table, *KIND, "--seed", "1", "--out", "run", "--overwrite").code == 0
    with pytest.raises(OptionError, match="the run folder run changed while it was read"):
        _ = found.seen_rows


def test_a_report_is_on_the_model_beside_it(call: Call, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is written anew while its report is made has no report on the former model."""
    with claim("run"):
        for out in ([], ["-o", "run/report.html"], ["-o", "run/other.html"]):
            done = call("report", "run", *out)
            assert (done.code, "run is in use by this process" in done.err) == (2, True), done.err
    assert not list(run.glob("*.html"))


# --------------------------------------------------------------------------------------------------------------------- names


def test_a_table_whose_name_is_not_utf8(call: Call, run: Path, table: Path) -> None:
    shutil.copy(table, ODD)
    Path(ODD).with_suffix(".parquet").touch()
    for command in (("train", ODD, *KIND), ("predict", "run", ODD), ("inspect", ODD), ("inspect", ODD.replace("csv", "parquet"))):
        done = call(*command)
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert "the name is not UTF-8" in done.err


def test_a_run_in_whose_configuration_such_a_name_is(run: Path, tmp_path: Path) -> None:
    found = read_run(run)
    write_run("other", found.model, config={**found.config, "options": {"data_dir": ODD}}, metrics=found.metrics)
    assert read_run("other").config["options"] == {"data_dir": ODD}
    assert json.loads(Path("other/config.json").read_bytes())["options"] == {"data_dir": ODD}


# ------------------------------------------------------------------------------------------------------------------- damage


def test_the_results_of_a_sweep_with_a_huge_cell_or_without_the_column_of_an_option(call: Call) -> None:
    assert call(*SWEEP).code == 0
    results = Path("swept/results.csv")
    text = results.read_text(encoding="utf-8")
    for damaged, words in (
        (text + "1" * 200_000 + ",\n", "field larger"),
        (text.replace(",lr,", ",rate,"), "the column 'lr' is missing"),
    ):
        results.write_text(damaged, encoding="utf-8")
        for command in (("plot", "swept", "--kind", "sweep"), (*SWEEP, "--resume")):
            done = call(*command)
            assert done.code == 2
            assert f"error: swept/results.csv is damaged: {words}" in done.err


def test_a_result_that_is_not_of_the_sweep_is_named(call: Call) -> None:
    """Such as in a file that was cut off, edited, or put together from two sweeps: else it could be the best, or go unnoticed."""
    assert call(*SWEEP).code == 0
    results = Path("swept/results.csv")
    text = results.read_text(encoding="utf-8")
    lines = text.splitlines()
    for damaged, words in (
        (text[: text.rindex(",done")], "line 3 has too few cells"),
        (text + lines[2] + ",1\n", "line 4 has too many cells"),
        (text + lines[2] + "\n", "line 4 is of the same network as an earlier one"),
        (text + "9" + lines[2] + "\n", "the sweep has no candidate 91 with seed 0 and fold 0"),
        (text + "-" + lines[2] + "\n", "the sweep has no candidate -1 with seed 0 and fold 0"),
        (text + lines[2].replace("1,0,0,", "1,5,0,", 1) + "\n", "the sweep has no candidate 1 with seed 5 and fold 0"),
        (text + lines[2].replace("0.2,,", "0.2,7,", 1) + "\n", "the sweep has no candidate 1 with seed 0 and fold 0 after 7"),
        (text.replace(",0.2,", ",0.7,"), "candidate 1 has lr 0.7, but 0.2 in the sweep"),
    ):
        results.write_text(damaged, encoding="utf-8")
        done = call(*SWEEP, "--resume")
        assert done.err == f"error: swept/results.csv is damaged: {words}; correct it, or start anew with --overwrite\n"
        assert done.code == 2
        assert results.read_text(encoding="utf-8") == damaged
    results.write_text(text, encoding="utf-8")
    curves = Path("swept/curves.jsonl")
    curves.write_text(curves.read_text(encoding="utf-8")[:-5], encoding="utf-8")
    assert "error: swept/curves.jsonl is damaged: line 2 is not whole" in call(*SWEEP, "--resume").err
    curves.unlink()
    results.write_text(text.replace(",done,", ",early,"), encoding="utf-8-sig")  # as spreadsheets write it
    assert call(*SWEEP, "--resume").code == 0
    assert results.read_text(encoding="utf-8-sig") == text.replace(",done,", ",early,")  # not trained anew


def test_what_no_sweep_made_is_told_at_the_start_and_not_removed(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(*SWEEP).code == 0
    monkeypatch.setattr(sweeping, "load_source", None)
    Path("swept/lr.png").unlink()
    for mine, words in (
        ("best/notes.txt", "swept/best is not replaced, because it holds what does not belong to a run: notes.txt"),
        ("lr.png/notes.txt", "swept/lr.png is a folder, but a sweep writes a file of this name; move it"),
        ("former/notes.txt", "swept/former is not of a sweep; move it, as a sweep puts an earlier one there"),
        ("former", "swept/former is not of a sweep; move it"),
    ):
        path = Path("swept", mine)
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine", encoding="utf-8")
        for how in ("--resume", "--overwrite"):
            done = call(*SWEEP, how)
            assert (done.code, words in done.err) == (2, True), done.err
        path.unlink()
        if mine.endswith("/notes.txt") and not mine.startswith("best"):
            path.parent.rmdir()


def test_a_sweep_goes_on_with_the_same_data_only(call: Call, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("sweep", table, *KIND, "--grid", "lr=0.1,0.2", "--out", "swept")
    error = "error: the sweep in swept has other data: houses.csv has other contents; give the same data, or another --out\n"
    text = table.read_text(encoding="utf-8")

    def changing(*given: Any, **more: Any) -> Any:
        table.write_text(text + "3,red,1,2,small\n", encoding="utf-8")
        return fit(*given, **more)

    fit = sweeping.fit
    with monkeypatch.context() as patch:
        patch.setattr(sweeping, "fit", changing)  # while the sweep is at work
        done = call(*words)
    assert (done.code, done.err) == (2, error)
    done = call(*words, "--resume")
    assert (done.code, done.err) == (2, error)
    table.write_text(text, encoding="utf-8")
    assert call(*words, "--resume").code == 0
    config = json.loads(Path("swept/sweep.json").read_bytes())
    del config["data"]  # as version 0.1 has it
    Path("swept/sweep.json").write_text(json.dumps(config), encoding="utf-8")
    assert call(*words, "--resume").code == 0


@pytest.mark.parametrize("field", ["grid", "drawn"])
def test_a_sweep_writes_in_its_own_folder_only(call: Call, field: str) -> None:
    assert call(*SWEEP).code == 0
    path, victim = Path("swept/sweep.json"), Path("mine.png")
    victim.write_bytes(b"mine")
    config = json.loads(path.read_bytes())
    config[field] = {"../mine": [1]} if field == "grid" else ["../mine"]
    path.write_text(json.dumps(config), encoding="utf-8")
    done = call("plot", "swept", "--kind", "sweep")
    assert done.code == 2
    assert "swept/sweep.json is damaged: '../mine' is no option that a sweep varies" in done.err
    assert call(*SWEEP, "--overwrite").code == 0
    assert victim.read_bytes() == b"mine"


@pytest.mark.parametrize("intervals", [{}, {"recall": [], "precision": [0.5], "f1": [0.1, 0.2, 0.3]}, None])
def test_metrics_that_lack_intervals(call: Call, run: Path, intervals: object) -> None:
    metrics = json.loads((run / "metrics.json").read_bytes())
    for entry in metrics["test"]["per_class"]:
        entry["intervals"] = intervals
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert call("show", "run").code == 0


# ---------------------------------------------------------------------------------------------------------------------- disk


def test_a_run_is_on_the_disk_before_its_name_is(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no power cut leaves half a run whose checkpoints are gone."""
    found, synced, files_then = read_run(run), set[int](), dict[str, int]()
    rename, fsync = os.rename, os.fsync

    def synced_file(handle: int) -> None:
        fsync(handle)
        synced.add(os.fstat(handle).st_ino)

    def renamed(source: Any, target: Any) -> None:
        if Path(target).name == "other":
            files_then.update({entry.name: entry.stat().st_ino for entry in Path(source).iterdir()})
            assert set(files_then.values()) <= synced
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced_file)
    monkeypatch.setattr(os, "rename", renamed)
    write_run("other", found.model, config=found.config, metrics=found.metrics, seen=found.seen_rows)
    assert {"config.json", "metrics.json", "history.csv", "model.safetensors", "seen_rows.npy"} == set(files_then)
    assert tmp_path.stat().st_ino in synced


def test_an_error_of_a_device_names_it(call: Call, run: Path, table: Path) -> None:
    done = call("predict", "run", table, "-o", "/dev/full")
    assert (done.code, done.err) == (2, "error: /dev/full: No space left on device\n")


def test_what_killed_commands_leave_is_removed_by_the_next(call: Call, run: Path, table: Path) -> None:
    left = [Path(".p.csv.abcd_123.tmp"), Path("run/.history.png.abcd_123.tmp"), Path("run/.report.html.abcd_123.tmp")]
    for path in left:
        path.write_bytes(b"half")
    assert call("predict", "run", table, "-o", "p.csv").code == 0
    assert call("plot", "run", "--kind", "history").code == 0
    assert [path.exists() for path in left] == [False, False, True]
    assert call("train", table, *KIND, "--out", "run", "--overwrite").code == 0
    assert not any(path.exists() for path in left)


def test_an_error_of_the_disk_names_the_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_run(run)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name, error in (("fsync", full), ("rename", lambda *paths: full(0))):
        monkeypatch.setattr(os, name, error)
        with pytest.raises(OSError, match="No space left on device: 'other'"):
            write_run("other", found.model, config=found.config, metrics=found.metrics)
    assert [entry.name for entry in Path().iterdir() if entry.name.startswith((".", "other"))] == []


# ------------------------------------------------------------------------------------------------------------------ elsewhere


def test_names_that_other_formats_cannot_hold(call: Call, run: Path, table: Path) -> None:
    done = call("export", "run", "-o", os.fsdecode(b"m\xff.py"))
    assert (done.code, list(Path().glob("m*.py"))) == (2, []), done.err
    assert "a module called 'm\\udcff' cannot be imported" in done.err
    done = call("train", table, *KIND, "--out", os.fsdecode(b"r\xff"), "--track", "tensorboard")
    assert done.code == 2
    assert "--track cannot be used with 'r\\udcff', a name that is not UTF-8; give another --out" in done.err


def test_a_link_that_leads_back_to_itself_is_not_served(call: Call) -> None:
    Path("loop").symlink_to("loop")
    done = call("serve", "loop")
    assert (done.code, done.err) == (2, "error: the run folder loop does not exist; manynets train writes one\n")


def test_home_of_a_storage(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    done = call(*SWEEP, "--storage=~/missing/s.log")
    assert done.code == 2
    assert f"--storage is '{tmp_path}/home/missing/s.log', which cannot be opened" in done.err


@pytest.mark.parametrize("option", ["hidden", "n-networks"])
@pytest.mark.parametrize("preset", ["plain", "fast"])
def test_networks_that_no_memory_holds(call: Call, table: Path, option: str, preset: str) -> None:
    command = ("train", table, "--target", "kind", "--drop", "price", "--preset", preset, f"--{option}", "9" * 40, "-q")
    done = call(*command)
    assert done.code == 2
    assert "error: not enough memory: the weights of hidden=" in done.err


def test_seeds_without_end(call: Call) -> None:
    done = call("sweep", "moons", "--grid", "lr=0.1,0.2", "--seeds", "9" * 40)
    assert (done.code, done.err) == (2, f"error: --seeds is {'9' * 40}, but must be a whole number from 1 to 1,000,000\n")


def test_files_for_tls_that_are_none(call: Call, run: Path) -> None:
    for name in ("missing.pem", "houses.csv"):
        done = call("serve", "run", "--certificate", name, "--key", name)
        assert done.code == 2
        assert f"'{name}' cannot be used for TLS: " in done.err
        assert done.err.rstrip().endswith("give two files in PEM format")


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("data", "an object"),
        ("data.target", "a list"),
        ("data.path", "a text"),
        ("data.name", "a text"),
        ("fingerprint", "an object"),
    ],
)
def test_a_field_that_is_null_is_named(call: Call, table: Path, field: str, kind: str) -> None:
    assert call("train", table, *KIND, "--hidden", "4", "--epochs", "1", "-q", "--out", "run").code == 0
    config = json.loads(Path("run/config.json").read_text())
    *outer, last = field.split(".")
    (config[outer[0]] if outer else config)[last] = None
    Path("run/config.json").write_text(json.dumps(config))
    for command in ("show", "evaluate"):
        done = call(command, "run")
        assert done.code == 2
        assert f"config.json is damaged: field {field!r} is null, but must be {kind}" in done.err
