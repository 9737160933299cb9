"""Tables in the commands: without a header, from standard input, folders, patterns, JSON lines and sheets."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import lzma
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import manynets as mn
from manynets.cli.origin import kind_of, stem_of
from manynets.errors import DataError
from manynets.tables import read_table
from tests.cli.conftest import TABLE, Call, Called
from tests.tables.test_compressed import write_zip
from tests.tables.test_tables_formats import write_book

SMALL = ("--hidden", "8", "--epochs", "2", "--n-networks", "1", "-q")


class _Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def config_of(folder: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    return found


def agreed(call: Call, trained: Called) -> str:
    """The folder of a run; on its own test rows it has the figures that training printed."""
    assert trained.code == 0, trained.err
    folder: str = trained.json["run_dir"]
    again = call("evaluate", folder, "--json", "-q")
    assert again.code == 0, again.err
    assert again.json["loss"] == pytest.approx(trained.json["test"]["loss"], abs=1e-9)
    return folder


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> object:
    return lambda data: monkeypatch.setattr(sys, "stdin", _Stdin(data))


# ---------------------------------------------------------------------------------------------------------------- no header


def test_an_odd_cell_that_was_a_gap_in_training_is_one_again(call: Call, tmp_path: Path) -> None:
    rows = [f"${i % 17},{i % 28 + 1}.{i % 12 + 1}.2024,{i % 2}\n" for i in range(60)]
    rows[7] = rows[7].replace("$7", "kaputt")
    (tmp_path / "t.csv").write_text("p,d,y\n" + "".join(rows))
    (tmp_path / "test.csv").write_text("p,d,y\n" + "".join(rows[:10]))
    done = call("train", "t.csv", "--target", "y", "--task", "binary", "--test", "test.csv", "--out", "run", *SMALL[:-1])
    told = "is no number and counts as missing; the first is 'kaputt' in row 7"
    assert f"1 of 60 cells {told}" in done.out
    assert f"1 of 10 cells {told}" in done.out
    for command in ("predict", "evaluate"):
        done = call(command, "run", "t.csv")
        assert done.code == 0, done.err
        assert f"1 of 60 cells {told}" in " ".join((done.out + done.err).split())


@pytest.mark.draws
def test_a_table_without_a_header(call: Call, tmp_path: Path) -> None:
    bare = TABLE.partition("\n")[2]
    (tmp_path / "bare.csv").write_text(bare)
    (tmp_path / "test.csv").write_text("".join(bare.splitlines(keepends=True)[:10]))
    folder = agreed(call, call("train", "bare.csv", "--no-header", "--target", "x3", "--drop", "x4", *SMALL, "--json"))
    assert config_of(folder)["data"]["no_header"] is True  # type: ignore[index]
    assert config_of(folder)["options"]["no_header"] is True  # type: ignore[index]
    assert config_of(folder)["fingerprint"]["bare.csv"]["rows"] == 120  # type: ignore[index]
    assert call("evaluate", folder, "test.csv", "--json", "-q").json["rows"] == 10
    done = call("predict", folder, "test.csv", "-q")
    assert done.code == 0, done.err
    assert list(rows_of(done.out)[0]) == ["x0", "x1", "x2", "x3", "x4", "prediction"]
    assert len(rows_of(done.out)) == 10
    again = call("rerun", folder)
    assert "matched bit for bit" in again.out
    tested = call("train", "bare.csv", "--no-header", "--target", "x3", "--test", "test.csv", *SMALL, "--json")
    assert tested.json["test"]["rows"] == 10


def test_new_rows_with_and_without_a_header(call: Call, table: Path, tmp_path: Path) -> None:
    bare = TABLE.partition("\n")[2]
    (tmp_path / "bare.csv").write_text(bare)
    (tmp_path / "named.csv").write_text("x0,x1,x2,x3,x4\n" + bare)
    folder = call("train", "bare.csv", "--no-header", "--target", "x3", *SMALL, "--json").json["run_dir"]
    one, other = call("predict", folder, "bare.csv", "-q"), call("predict", folder, "named.csv", "--header", "-q")
    assert (one.code, other.code) == (0, 0)
    assert one.out == other.out
    other = call("evaluate", folder, "named.csv", "--header", "--json", "-q")
    assert other.json["rows"] + other.json["seen_rows"] == 120
    pl.read_csv("named.csv").write_parquet("named.parquet")  # the run's own --no-header is for text only
    assert call("predict", folder, "named.parquet", "-q").out == one.out
    for more in (("predict", folder, "named.parquet", "--no-header"), ("evaluate", folder, "--no-header")):
        done = call(*more)
        assert done.code == 2
        assert "--no-header are for text files and sheets" in done.err
    done = call("train", "named.parquet", "--no-header", "--target", "x3")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--no-header is for text files and sheets" in done.err


@pytest.mark.draws
def test_a_sweep_without_a_header(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text(TABLE.partition("\n")[2])
    words = ("sweep", "bare.csv", "--no-header", "--target", "x3", "--grid", "lr=0.01,0.1", "--hidden", "4", "--epochs", "1", "-q")
    assert call(*words, "--out", "s").code == 0
    kept = json.loads(Path("s/sweep.json").read_text())
    assert kept["options"]["no_header"] is True
    del kept["options"]["no_header"]  # as written by a version without it
    Path("s/sweep.json").write_text(json.dumps(kept))
    done = call(*words, "--out", "s", "--resume")
    assert done.code == 2
    assert "--no-header was not given, is given now" in done.err


# ------------------------------------------------------------------------------------------------------------ as is written


def test_columns_are_read_as_at_training(call: Call, tmp_path: Path) -> None:
    """A file of new rows that alone would be read otherwise: points for decimals, codes for numbers."""
    lines = [f"1.{i % 7}99.500 €,{i % 4}.0,{'yes' if i % 4 > 1 else 'no'}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["price,code,y", *lines]))
    (tmp_path / "new.csv").write_text("price,code,y\n1.234 €,1.0,no\n1.299 €,3.0,yes\n")
    words = ("train", "t.csv", "--target", "y", "--categorical", "code", "--test", "new.csv")
    folder = agreed(call, call(*words, *SMALL, "--json"))
    for done in (call("predict", folder, "new.csv"), call("evaluate", folder, "new.csv")):
        assert done.code == 0, done.err
        assert "not seen in training" not in done.err
        assert "beyond" not in done.err or "2 rows" in done.err
    rows = rows_of(call("predict", folder, "new.csv", "-q").out)
    assert [row["code"] for row in rows] == ["1.0", "3.0"]
    assert [row["price"] for row in rows] == ["1.234 €", "1.299 €"]


def test_what_reading_did_is_a_note(call: Call, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"Sales in 2024\n" + TABLE.replace("blue", "grün").encode("cp1252"))
    done = call("train", "t.csv", "--target", "price", *SMALL[:-1])
    assert done.code == 0, done.err
    assert "cp1252" in " ".join(done.out.split())
    for command in ("predict", "evaluate"):
        done = call(command, "runs/t-1", "t.csv")
        assert "cp1252" in " ".join((done.out + done.err).split())
        assert "UserWarning" not in done.err


def test_the_decimal_comma_of_a_file_with_semicolons_is_stored(call: Call, tmp_path: Path) -> None:
    lines = [f"{s % 9},{s % 10}00;{s % 7 + 1},{100 + s} km;{100 * s + 3},5" for s in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["size;distance;price", *lines]) + "\n")
    assert "decimal comma" in call("inspect", "t.csv", "--target", "price").out
    assert call("train", "t.csv", "--target", "price", *SMALL[:-1]).code == 0
    texts = ("size;distance\n2,5;1,234 km\n", 'size,distance\n"2,500","1,234 km"\n', "size\tdistance\n2,500\t1,234 km\n")
    found = []
    for text in texts:
        (tmp_path / "new.csv").write_text(text)
        done = call("predict", "runs/t-1", "new.csv", "-q")
        assert done.code == 0, done.err
        found.append(rows_of(done.out)[0]["prediction"])
    assert len(set(found)) == 1


# ----------------------------------------------------------------------------------------------------------- standard input


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_standard_input(call: Call, piped: object, tmp_path: Path, form: str) -> None:
    frame, out = pl.read_csv(io.StringIO(TABLE)), io.BytesIO()
    {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}[form](out)
    data = out.getvalue()
    piped(data)  # type: ignore[operator]
    trained = call("train", "-", "--target", "price", *SMALL, "--json")
    assert trained.code == 0, trained.err
    assert trained.json["run_dir"] == "runs/stdin-1"
    config = config_of("runs/stdin-1")
    assert config["options"]["data"] == config["data"]["path"] == "-"  # type: ignore[index]
    mark = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "rows": 120, "columns": 4}
    assert config["fingerprint"] == {"standard input": mark}
    for command in (("predict", "-q"), ("evaluate", "--json", "-q")):
        piped(data)  # type: ignore[operator]
        done = call(command[0], "runs/stdin-1", "-", *command[1:])
        assert done.code == 0, done.err
    assert (done.json["data"], done.json["rows"] + done.json["seen_rows"]) == ("standard input", 120)
    for command in (("evaluate",), ("rerun",)):
        done = call(command[0], "runs/stdin-1")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "standard input" in done.err
    assert "train on a file" in done.err


def test_a_training_from_standard_input_goes_on(call: Call, piped: object, monkeypatch: pytest.MonkeyPatch) -> None:
    train = mn.train

    def stopped(*arguments: Any, **more: Any) -> Any:
        train(*arguments, **more)
        raise KeyboardInterrupt

    piped(TABLE.encode())  # type: ignore[operator]
    with monkeypatch.context() as patch:
        patch.setattr(mn, "train", stopped)
        done = call("train", "-", "--target", "price", *SMALL, "--checkpoint-every", "1")
    assert done.code == 130
    assert "--resume runs/stdin-1, and the same table on standard input" in done.err
    piped(TABLE.encode())  # type: ignore[operator]
    done = call("train", "--resume", "runs/stdin-1", "--json", "-q")
    assert done.code == 0, done.err
    assert done.json["train"]["rows"] > 0


def test_a_test_table_on_standard_input(call: Call, piped: object, table: Path) -> None:
    piped(TABLE.encode())  # type: ignore[operator]
    done = call("train", table, "--target", "price", "--test", "-", *SMALL, "--json")
    assert done.json["test"]["rows"] == 120
    assert config_of("runs/houses-1")["options"]["test"] == "-"  # type: ignore[index]
    assert "cannot be read again" in call("rerun", "runs/houses-1").err


def test_what_standard_input_cannot_do(call: Call, piped: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for words, text in (
        (("train", "-", "--target", "price", "--test", "-"), "can be read only once"),
        (("sweep", "-", "--target", "price", "--grid", "lr=0.1,0.2"), "can be read only once"),
        (("train", "-", "--target", "prise"), "did you mean 'price'"),
        (("train", "-"), "size, colour, id, price"),
    ):
        piped(TABLE.encode())  # type: ignore[operator]
        done = call(*words)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert text in done.err
    piped(b"")  # type: ignore[operator]
    assert "standard input" in call("train", "-", "--target", "y").err
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input is closed" in call("train", "-", "--target", "y").err
    assert not Path("runs").exists()


# --------------------------------------------------------------------------------------------- folders, patterns and formats


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """The houses in two Parquet files of a folder."""
    folder = tmp_path / "houses"
    folder.mkdir()
    frame = pl.read_csv(io.StringIO(TABLE))
    for k in range(2):
        frame[60 * k : 60 * k + 60].write_parquet(folder / f"2024-{k}.parquet")
    return folder


@pytest.mark.parametrize(("data", "name"), [("houses", "houses"), ("houses/", "houses"), ("houses/2024-*.parquet", "2024")])
def test_folders_and_patterns(call: Call, parts: Path, data: str, name: str) -> None:
    folder = agreed(call, call("train", data, "--target", "price", *SMALL, "--json"))
    assert folder == f"runs/{name}-1"
    (label, mark), *more = config_of(folder)["fingerprint"].items()  # type: ignore[attr-defined]
    assert label == Path(data).name
    assert not more
    assert (mark["files"], mark["rows"], mark["columns"]) == (2, 120, 4)
    assert mark["bytes"] == sum(file.stat().st_size for file in parts.iterdir())
    assert config_of(folder)["options"]["data"] == str(parts.parent / data).rstrip("/")  # type: ignore[index]
    assert "matched bit for bit" in call("rerun", folder).out
    assert len(rows_of(call("predict", folder, data, "-q").out)) == 120
    found = call("evaluate", folder, data, "--json", "-q").json
    assert found["rows"] + found["seen_rows"] == 120
    (parts / "2024-0.parquet").rename(parts / "2024-2.parquet")  # the same bytes, in another order
    done = call("evaluate", folder)
    assert done.code == 2
    assert "changed since the run was trained" in done.err


@pytest.mark.parametrize("form", ["jsonl", "xlsx", "csv.xz", "zip"])
def test_json_lines_sheets_and_compressed_tables(call: Call, table: Path, tmp_path: Path, form: str) -> None:
    frame = read_table(table)
    if form == "jsonl":
        frame.write_ndjson(tmp_path / "t.jsonl")
    elif form == "csv.xz":
        (tmp_path / "t.csv.xz").write_bytes(lzma.compress(table.read_bytes()))
    elif form == "zip":
        write_zip(tmp_path / "t.zip", {"houses.csv": table.read_bytes(), "README.txt": b"hello"})
    else:
        pytest.importorskip("python_calamine")
        write_book(tmp_path / "t.xlsx", {"houses": [frame.columns, *map(list, frame.rows())]})
    folder = agreed(call, call("train", f"t.{form}", "--target", "price", *SMALL, "--json"))
    assert folder == "runs/t-1"
    assert len(rows_of(call("predict", folder, f"t.{form}", "-q").out)) == 120
    shown = ("--columns", "id,prediction", "-q")  # of the price a sheet has 0, the file 0.0
    assert call("predict", folder, f"t.{form}", *shown).out == call("predict", folder, table, *shown).out


def test_a_sheet_of_a_workbook(call: Call, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    frame = read_table(table)
    half, others = ([frame.columns, *map(list, rows.rows())] for rows in (frame[:70], frame[60:]))
    write_book(tmp_path / "t.xlsx", {"old": others, "new": half})
    write_book(tmp_path / "only.xlsx", {"rows": half})
    frame[:70].write_csv("half.csv")
    done = call("inspect", "t.xlsx")
    assert "the sheet 'old' is read, and not 'new'; give --sheet new to read another" in " ".join(done.out.split())
    assert "t.xlsx: 70 rows" in call("inspect", "t.xlsx", "--sheet", "new").out
    trained = ("--target", "price", *SMALL, "--json")
    folder = call("train", "t.xlsx", "--sheet", "new", *trained).json["run_dir"]
    stored = config_of(folder)
    assert stored["data"]["sheet"] == stored["options"]["sheet"] == "new"  # type: ignore[index]
    same = call("train", "half.csv", *trained).json["run_dir"]
    assert "matched bit for bit" in call("rerun", folder).out
    shown = ("--columns", "id,prediction", "-q")
    expected = call("predict", same, "half.csv", *shown).out
    assert call("predict", folder, "t.xlsx", *shown).out == expected  # the sheet of training
    assert call("predict", folder, "only.xlsx", *shown).out == expected  # which has no such sheet
    assert call("predict", folder, "half.csv", *shown).out == expected
    assert call("predict", folder, "t.xlsx", "--sheet", "old", *shown).out != expected
    found = call("evaluate", folder, "t.xlsx", "--sheet", "old", "--json", "-q").json
    assert found["rows"] > 0
    assert found["rows"] + found["seen_rows"] == 60
    assert call("explain", folder, "t.xlsx", "--sheet", "old", "--rows", 20, "--json", "-q").json["rows"] == 20
    compared = call("compare", folder, same, "--data", "t.xlsx", "--sheet", "old", "--json").json["runs"]
    assert compared[folder] == compared[same]
    tested = call("train", "t.xlsx", "--sheet", "new", "--test", "only.xlsx", *trained, "--out", "tested").json
    assert tested["test"]["rows"] == 70
    assert call("sweep", "t.xlsx", "--sheet", "new", "--target", "price", "--grid", "lr=0.01,0.1", *SMALL, "--out", "s").code == 0
    assert json.loads(Path("s/sweep.json").read_text())["options"]["sheet"] == "new"


def test_mistakes_with_sheets(call: Call, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    frame = read_table(table)
    write_book(tmp_path / "t.xlsx", {"May": [frame.columns, *map(list, frame.rows())]})
    frame.write_parquet("t.parquet")
    folder = call("train", table, "--target", "price", *SMALL, "--json").json["run_dir"]
    for words, message in (
        (
            ("train", "t.xlsx", "--sheet", "may", "--target", "price"),
            "t.xlsx has no sheet 'may'; did you mean 'May'? Its sheets are: 'May'",
        ),
        (("predict", folder, "t.xlsx", "--sheet", "June"), "t.xlsx has no sheet 'June'. Its sheets are: 'May'"),
        (("train", table, "--sheet", "May", "--target", "price"), "houses.csv: --sheet is for workbooks"),
        (("train", "moons", "--sheet", "May"), "--sheet does not go with this data"),
        (("predict", folder, table, "--sheet", "May"), "--sheet is for workbooks; leave it out here"),
        (("evaluate", folder, "--sheet", "May"), "--sheet is for workbooks; leave it out here"),
        (
            ("evaluate", folder, "t.parquet", "--memory-limit", "1MB", "--sheet", "May"),
            "--sheet is for workbooks; leave it out here",
        ),
        (("playground", "--sheet", "May"), "--sheet names a sheet of FILE; give one"),
    ):
        done = call(*words)
        assert (done.code, done.err.count("\n")) == (2, 1), words
        assert message in done.err


def test_options_of_a_run_and_a_zip_archive(call: Call, table: Path, tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text(TABLE.partition("\n")[2])
    write_zip(tmp_path / "bare.zip", {"bare.csv": (tmp_path / "bare.csv").read_bytes()})
    frame = pl.read_csv("bare.csv", has_header=False, new_columns=[f"x{j}" for j in range(5)])
    frame.write_parquet("named.parquet")
    write_zip(tmp_path / "named.zip", {"named.parquet": (tmp_path / "named.parquet").read_bytes()})
    folder = call("train", "bare.zip", "--no-header", "--delimiter", ",", "--target", "x3", *SMALL, "--json").json["run_dir"]
    one, other = (call("predict", folder, name, "-q") for name in ("bare.zip", "named.zip"))  # which has a header
    assert (one.code, other.code) == (0, 0)
    assert one.out == other.out
    done = call("predict", folder, "named.zip", "--header")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--no-header are for text files and sheets" in done.err


def test_folders_and_patterns_that_are_no_table(call: Call, table: Path, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for data, text in (
        ("empty", "holds no Parquet files"),
        ("*.parquet", "no file fits this pattern"),
        ("*.csv", "a pattern may fit Parquet files only"),
        ("houses.csv/x", "does not exist"),
    ):
        done = call("train", data, "--target", "price")
        assert (done.code, done.err.count("\n")) == (2, 1), data
        assert text in done.err


def test_the_kind_and_the_name_of_data(call: Call, table: Path, parts: Path, tmp_path: Path) -> None:
    assert [kind_of(data) for data in ("-", "houses", "houses/*.parquet", "houses.csv", "digits")] == [*["table"] * 4, "named"]
    with pytest.raises(DataError, match="no file fits"):
        kind_of("h*.pq")
    names = {
        "-": "stdin",
        "/a/b.csv.gz": "b",
        "/data/*.parquet": "data",
        "/x/**/*.parquet": "x",
        "/x/y[01].parquet": "y",
        "/*": "run",
    }
    for path, name in names.items():
        assert stem_of({"kind": "table", "path": path}) == name


def test_a_folder_with_the_name_of_a_data_set_changes_nothing(call: Call, tmp_path: Path) -> None:
    (tmp_path / "moons").mkdir()
    folder = call("train", "moons", *SMALL, "--json").json["run_dir"]
    assert config_of(folder)["options"]["data"] == "moons"  # type: ignore[index]
    assert "matched bit for bit" in call("rerun", folder).out


def test_a_class_of_one_row_is_noted_as_what_it_is_not(call: Call, table: Path) -> None:
    """It is not tested; each of several networks validates on other rows, so it may be validated."""
    with table.open("a", encoding="utf-8") as file:
        file.write("4,red,2000,12.0,castle\n")
    done = call("train", table, "--target", "kind", "--drop", "price,id", "--preset", "fast", "--iterations", "8", "--out", "run")
    assert done.code == 0, done.err
    assert "note: only one row is of class castle: it stays in training and is not tested\n" in done.out
    assert "not validated" not in done.out
    done = call("evaluate", "run")
    assert (done.code, "castle: it stays in training and is not tested" in done.out) == (0, True), done.err
    words = ("sweep", table, "--target", "kind", "--drop", "price,id", "--hidden", "4", "--epochs", "1", "--grid", "lr=0.1")
    done = call(*words, "--out", "swept")
    assert (done.code, "castle: it stays in training and is not validated" in done.out) == (0, True), done.err
