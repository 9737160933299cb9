"""`manynets inspect`."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from tests.cli.conftest import Call


def test_what_is_in_a_table(call: Call, table: Path) -> None:
    done = call("inspect", "houses.csv", "--target", "kind")
    assert done.code == 0
    assert "houses.csv: 120 rows, 4 columns besides the target" in done.out
    assert "'size' gives the target away: it predicts the target perfectly alone" in done.out
    assert "target kind: 2 classes: small" in done.out
    assert "duplicate rows: 0" in done.out
    assert done.err == ""
    done = call("inspect", "houses.csv", "--drop", "colour")
    assert "left out" in done.out
    assert "give --numeric" in done.out  # to keep the id, which is a row number
    assert "declare" not in done.out


def test_a_column_of_numbers_and_words(call: Call) -> None:
    words = {2: "unclear", 12: "see note", 22: "unclear", 32: "see note"}
    lines = [f"{words.get(i, f'{i % 7}.5')},{i % 5},{i % 7 + i % 5}" for i in range(50)]
    Path("t.csv").write_text("\n".join(["a,b,y", *lines]))
    done = call("inspect", "t.csv", "--json")
    assert done.json["columns"][0]["note"].endswith("declare it numeric to have it read as numbers")
    assert "--numeric" in call("inspect", "t.csv").out
    done = call("inspect", "t.csv", "--numeric", "a", "--json")
    told = "4 of 50 cells are not numbers and count as missing: 'unclear' (2), 'see note' (2), the first in row 2 (counted from 0)"
    assert (done.json["columns"][0]["kind"], done.json["columns"][0]["note"]) == ("numeric", told)
    done = call("train", "t.csv", "--target", "y", "--numeric", "a", "--hidden", "4", "--epochs", "1", "--out", "r")
    assert done.code == 0
    assert "4 of 50 cells are not numbers" in " ".join(done.out.split())
    Path("new.csv").write_text("a,b\n2.5,1\n?,2\nnever,2\nnever,2\n")
    done = call("predict", "r", "new.csv")
    assert "'a': 2 of 3 cells are not numbers and count as missing; the first is 'never' in row 2" in " ".join(done.err.split())
    rows = [line.split(",") for line in done.out.splitlines()[1:]]
    assert rows[1][-1] == rows[2][-1] == rows[3][-1] != rows[0][-1]


def test_what_is_assumed_is_said_once(call: Call) -> None:
    Path("euros.csv").write_text("\n".join(["price;size", *(f"€ 1.{i}00,00;{i}" for i in range(1, 9))]), encoding="utf-8")
    done = call("inspect", "euros.csv", "--target", "price", "--plot", "euros.png")
    assert done.out.count("target 'price' is read as numbers") == 1
    assert done.err == ""  # the picture does not warn of it again
    Path("days.csv").write_text("\n".join(["day,size", *(f"{1 + i % 9:02d}/{1 + i % 5:02d}/2024,{i}.5" for i in range(40))]))
    done = call("inspect", "days.csv", "--json")
    assert done.err.count("the day first") == 1
    assert done.json["columns"][0]["note"].startswith("the day first; ")


def test_of_very_many_columns_the_first_and_the_last_are_listed(call: Call) -> None:
    names = [f"c{i}" for i in range(200)]
    flat = ["7" if i % 2 else "" for i in range(200)]  # of each even one there is no value, of each odd one a single value
    lines = [",".join(f"{i * j % 13}.5" if 80 < j < 90 else flat[j] for j in range(200)) for i in range(9)]
    Path("wide.csv").write_text("\n".join([",".join(names), *lines]) + "\n")
    done = call("inspect", "wide.csv")
    told = done.out.split("duplicate rows")[0]
    assert [name for name in names if f" {name} " in told] == names[:30] + names[-30:]
    assert " ... " in told
    assert "140 columns between the first 30 and the last 30 are not shown; --all lists all" in done.out
    assert done.out.count("note: ") == 30
    found = call("inspect", "wide.csv", "--json").json
    assert [one["name"] for one in found["columns"]] == names
    assert f"... and {len(found['suggestions']) - 30} more notes, which --all lists" in done.out
    whole = call("inspect", "wide.csv", "--all").out
    assert [name for name in names if f" {name} " in whole.split("duplicate rows")[0]] == names
    assert "not shown" not in whole
    assert whole.count("note: ") == len(found["suggestions"]) > 30
    for count, told in ((60, ""), (61, "1 column between the first 30 and the last 30 is not shown")):
        Path("few.csv").write_text("\n".join(",".join(line.split(",")[:count]) for line in (",".join(names), *lines)) + "\n")
        found = call("inspect", "few.csv")
        assert told in found.out
        assert ("not shown" in found.out) == (count == 61)


def test_json_and_a_picture(call: Call, table: Path) -> None:
    done = call(
        "inspect", "houses.csv", "--target", "price", "--drop", "kind", "--categorical", "size", "--plot", "p.png", "--json"
    )
    assert done.code == 0
    found = done.json
    assert found["plot"] == "p.png"
    assert {one["name"]: one["kind"] for one in found["columns"]} == {
        "size": "categorical", "colour": "categorical", "id": "dropped", "kind": "dropped",
    }  # fmt: skip
    assert found["columns"][0]["association"] > 0.5
    assert found["rows"] == 120
    assert (table.parent / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "120 rows" in done.err
    classes = call("inspect", "houses.csv", "--target", "kind", "--plot", "q.svg")
    assert "Written to q.svg" in classes.out
    assert call("inspect", "houses.csv", "--plot", "r.svg").code == 0


def test_a_few_rows_say_nothing_about_what_a_column_explains(call: Call, table: Path) -> None:
    lines = table.read_text(encoding="utf-8").splitlines()
    for rows, shown in ((29, "29 rows are too few to measure what a column explains of the target"), (30, "explains: the share")):
        table.write_text("\n".join(lines[: rows + 1]), encoding="utf-8")
        done = call("inspect", "houses.csv", "--target", "price", "--json")
        assert shown in done.err
        assert ("%" in done.err) == (rows == 30)
        assert (done.json["columns"][0]["association"] is None) == (rows == 29)


def test_the_target_is_told_as_its_column_has_it(call: Call, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y,z\n" + "".join(f"{i % 7},{i + 10},{i / 8}\n" for i in range(61)))
    assert "target y: numbers from 10 to 70, median 40\n" in call("inspect", "t.csv", "--target", "y").out
    assert "target z: numbers from 0 to 7.5, median 3.75\n" in call("inspect", "t.csv", "--target", "z").out


def test_standard_input_and_no_header(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(b"1;2,5\n2;3,5\n")

    monkeypatch.setattr("sys.stdin", Input())
    done = call("inspect", "-", "--no-header", "--json")
    assert [one["name"] for one in done.json["columns"]] == ["x0", "x1"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_file_that_may_not_be_read(number: int, call: Call, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise OSError(number, "Refused", "houses.csv")

    monkeypatch.setattr("manynets.tables.open_file", refuse)
    done = call("inspect", "houses.csv")
    assert done.code == 2
    assert done.err == "error: houses.csv: Refused; change its permissions, or give another file or folder\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("inspect nothing.csv", "nothing.csv does not exist"),
        ("inspect houses.csv --target prise", "target 'prise' is not a column; did you mean 'price'?"),
        ("inspect houses.csv --drop prise", "column 'prise' does not exist; did you mean 'price'?"),
        ("inspect houses.csv --plot p.gif", "must be one of png, pdf, svg"),
    ],
)
def test_mistakes(call: Call, table: Path, line: str, told: str) -> None:
    done = call(*line.split())
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert told in done.err
