"""What is found in a table before anything is trained on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars
import pytest

from manynets.errors import DataError
from manynets.tables import inspect_table, read_table, understand
from manynets.tables.kinds import plain_values

ROWS = 100
RANDOM = np.random.default_rng(0)
SIZE = RANDOM.normal(size=ROWS)
Y = np.where(np.arange(ROWS) < 4, "rare", np.where(SIZE + RANDOM.normal(size=ROWS) / 3 > 0, "high", "low"))
FRAME = polars.DataFrame(
    {
        "size": [f"{value:.3f} kg" for value in SIZE],
        "copy": np.char.upper(Y),
        "key": [f"k{i}{(i * 7919) % 1000:03}" for i in RANDOM.permutation(ROWS)],
        "patient": [f"p{(2 * i // 3) * 7919 % 1000:03}" for i in range(ROWS)],
        "same": ["x"] * ROWS,
        "gaps": [None if i % 3 else 1.5 + i % 2 for i in range(ROWS)],
        "day": [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(ROWS)],
        "y": Y,
    }
)


def test_each_column() -> None:
    found = inspect_table(FRAME.with_columns(copy=polars.lit("z")), "y")
    by_name = {one.column.name: one for one in found.columns}
    assert {name: one.column.kind for name, one in by_name.items()} == {
        "size": "numeric",
        "copy": "categorical",
        "key": "dropped",
        "patient": "dropped",
        "same": "categorical",
        "gaps": "numeric",
        "day": "date",
    }
    assert by_name["size"].read_as == "numbers: unit 'kg'"
    assert (by_name["size"].association or 0.0) > 0.3
    assert by_name["key"].association == 0.0
    assert by_name["same"].association == 0.0
    assert found.targets[0].classes == {
        str(label): int((label == Y).sum()) for label in sorted(set(Y), key=lambda one: -(one == Y).sum())
    }
    assert found.rows == ROWS


def test_suggestions() -> None:
    suggestions = inspect_table(
        FRAME.with_columns(y=polars.when(polars.col("y") == "rare").then(None).otherwise("y")), "y"
    ).suggestions
    for said in (
        "'same' has one value in all rows",
        "'gaps' is missing in 67% of the rows",
        "groups=frame['patient']",
        "times=frame['day']",
    ):
        assert any(said in text for text in suggestions), said
    written = FRAME.with_columns(
        town=polars.Series(["Bern", "bern", "Ulm", "BERN "] * 25),
        far=polars.Series([*range(97), -999, -999, 50]),
        shop_id=polars.Series([*range(25)] * 4),
        kind_id=polars.Series([*range(4)] * 25),
    )
    said = inspect_table(written, "y").suggestions
    assert any("groups=frame['shop_id']" in text for text in said)
    assert not any("kind_id" in text for text in said)
    assert "'town' has the levels 'Bern', 'bern', 'BERN': if they are one, write them alike" in said
    assert any("'far' is -999 in 2 rows, far from all its other values" in text for text in said)
    assert any("the target 'y' is missing in 4 rows: drop_missing_target=True" in text for text in suggestions)
    leak = inspect_table(FRAME.filter(polars.col("y") != "rare"), "y")
    assert "gives the target away" in leak.suggestions[0]
    assert any(text.startswith("'copy' gives the target away: it is the target under other names; ") for text in leak.suggestions)
    assert not any("drop=['key']" in text for text in leak.suggestions)
    rare = inspect_table(FRAME, "y").suggestions
    assert any("the class 'rare' of 'y' has 4 rows" in text for text in rare)
    prices = FRAME.with_columns(y=np.exp(RANDOM.normal(size=ROWS)))
    assert any("target_transform='log'" in text for text in inspect_table(prices, "y").suggestions)
    assert not any("target_transform" in text for text in inspect_table(prices.with_columns(y=-polars.col("y")), "y").suggestions)
    near = polars.DataFrame({"after": np.arange(1000) + 9 * RANDOM.normal(size=1000), "y": np.arange(1000) + 0.5})
    assert any("'after' explains 9" in text and "known before the target" in text for text in inspect_table(near, "y").suggestions)


def test_whole_rows_are_compared() -> None:
    frame = polars.DataFrame({"a": [i % 5 for i in range(40)], "b": ["x"] * 40, "row": range(40)})
    assert inspect_table(frame).duplicates == 0
    assert inspect_table(frame.drop("row")).duplicates == 35
    assert inspect_table(frame.drop("row").to_pandas(), drop=["a"]).duplicates == 35
    assert inspect_table(frame, "row").duplicates == 0
    some = frame.with_columns(row=polars.Series([None if i < 20 else i // 20 for i in range(40)]))
    assert inspect_table(some, "row").duplicates == 15
    assert inspect_table(np.array([[1.0], [2.0], [1.0]])).duplicates == 1
    many = inspect_table(polars.DataFrame({"a": [1.5, 2.5] * 600}))
    assert any("1,198 of 1,200 rows are the same as an earlier one" in text for text in many.suggestions)
    objects = polars.DataFrame({"a": [1, 1, 1], "b": [[1, 2], [1, 2], [3]]})
    assert inspect_table(objects).duplicates == inspect_table(objects.to_pandas(), drop=["b"]).duplicates == 1


def test_how_the_target_is_read_is_said() -> None:
    frame = polars.DataFrame({"a": [i * i % 17 for i in range(40)]})
    said = inspect_table(frame.with_columns(y=polars.Series(["NA", "yes", "Yes", "no"] * 10)), "y").suggestions
    assert any("has the class 'NA' in 10 rows" in text for text in said)
    assert "target 'y' has the classes 'Yes', 'yes': if they are one, write them alike" in said
    said = inspect_table(frame.with_columns(y=polars.Series([1, 2, 3, 4] * 10)), "y").suggestions
    assert said[0] == "'y' holds 4 different whole numbers and is taken as classes; for numbers give task='regression'"
    for value in (5, 5.5):
        said = inspect_table(frame.with_columns(y=polars.lit(value)), "y").suggestions
        assert "the target 'y' has one value in all rows: there is nothing to predict" in said


def test_the_json_is_strict_and_complete() -> None:
    found = inspect_table(FRAME, "y")
    state = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert state["columns"][0] == {
        "name": "size",
        "kind": "numeric",
        "missing": 0,
        "distinct": len(set(FRAME["size"])),
        "example": FRAME["size"][0],
        "note": "numbers: unit 'kg'",
        "leak": "",
        "read_as": "numbers: unit 'kg'",
        "association": found.columns[0].association,
    }
    assert state["targets"][0]["quartiles"] is None
    assert inspect_table(FRAME).to_json()["targets"] == []


def test_a_target_of_numbers() -> None:
    target = inspect_table(FRAME.with_columns(y=polars.Series([float(i) + 0.5 for i in range(ROWS)])), "y").targets[0]
    assert target.quartiles == (0.5, 25.25, 50.0, 74.75, 99.5)
    assert target.classes is None
    assert target.skewness == pytest.approx(0.0, abs=1e-12)
    assert inspect_table(FRAME.with_columns(y=polars.Series([1e300] * 50 + [1.5] * 50)), "y").targets[0].skewness == pytest.approx(
        0.0, abs=1e-9
    )


def test_what_cannot_be_inspected() -> None:
    with pytest.raises(DataError, match="target 'z' is not a column"):
        inspect_table(FRAME, "z")


def test_values_as_they_are_read() -> None:
    schema = {column.name: column for column in understand(FRAME)}
    assert plain_values(FRAME, schema["size"])[0] == pytest.approx(SIZE[0], abs=1e-3)
    assert plain_values(FRAME, schema["day"]).min() == pytest.approx(2024.0, abs=0.01)
    assert plain_values(FRAME, schema["copy"]).tolist() == FRAME["copy"].to_list()
    times = polars.DataFrame({"t": ["13:30", "01:00"]})
    assert plain_values(times, understand(times)[0]).tolist() == [13.5, 1.0]


def test_a_real_table(data_dir: Path) -> None:
    found = inspect_table(read_table(data_dir / "titanic/titanic.csv.gz"), "Survived")
    shares = {one.column.name: one.association for one in found.columns}
    assert max(shares, key=lambda name: shares[name] or 0.0) == "Sex"
    assert shares["PassengerId"] == 0.0
    assert "'Cabin' is missing in 77% of the rows" in found.suggestions
