"""Columns that are declared numeric: what is no number in them is missing, in training and in new rows."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pytest

from manynets.errors import DataError
from manynets.tables import TableEncoder, fit_encoder, inspect_table, open_file, read_table, understand
from manynets.tables.blocks import open_blocks
from manynets.tables.written import PLAIN

ROWS = 60
WORDS = {3: "see note", 13: "unclear", 23: "see note", 33: "n/a", 43: "unclear", 53: "see note"}
PLAIN_CELLS = [WORDS.get(i, f"{i % 7}.5") for i in range(ROWS)]
NUMBERS = np.array([np.nan if i in WORDS else i % 7 + 0.5 for i in range(ROWS)])
NOTE = "5 of 59 cells are not numbers and count as missing: 'see note' (3), 'unclear' (2), the first in row 3 (counted from 0)"


def frame_of(cells: Any, make: Any = polars.DataFrame) -> Any:
    """Make a frame with a column "a" of these cells and a column "b" of numbers."""
    return make({"a": cells, "b": [i % 5 for i in range(len(cells))]})


def fitted(frame: Any, **options: Any) -> tuple[TableEncoder, list[str]]:
    """Return the encoder of a frame whose column "a" is declared numeric, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder = fit_encoder(frame, numeric=["a"], **options)
    return encoder, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("make", [polars.DataFrame, pandas.DataFrame])
@pytest.mark.parametrize("cells", [PLAIN_CELLS, [f"{cell} kg" if cell[0].isdigit() else cell for cell in PLAIN_CELLS]])
def test_words_among_numbers_are_missing(cells: list[str], make: Any) -> None:
    frame = frame_of(cells, make)
    column = understand(frame, numeric=["a"])[0]
    assert (column.kind, column.missing, column.distinct) == ("numeric", 6, 7)
    assert NOTE in column.note
    encoder, told = fitted(frame)
    assert len(told) == 1
    assert "column 'a' is numeric: " in told[0]
    assert NOTE in told[0]
    same = fit_encoder(frame_of(NUMBERS, make))
    assert encoder.transform(frame).tobytes() == same.transform(frame_of(NUMBERS, make)).tobytes()


def test_objects_that_mix_text_and_numbers() -> None:
    cells = [WORDS.get(i, i % 7 + 0.5) for i in range(ROWS)]
    frame = frame_of(cells, pandas.DataFrame)
    with pytest.raises(DataError, match=r"mixes text and numbers: .* or declare it numeric or categorical"):
        fit_encoder(frame)
    encoder, _ = fitted(frame)
    assert encoder.transform(frame).tobytes() == fit_encoder(frame_of(NUMBERS)).transform(frame_of(NUMBERS)).tobytes()


def test_numbers_that_are_fewer_than_the_words() -> None:
    frame = frame_of(["$ 1.200,5", "15 $", "$ 3", *["on request"] * 17])
    assert understand(frame)[0].kind == "categorical"
    encoder, told = fitted(frame)
    assert (encoder.columns[0].fill, encoder.forms["a"].unit) == (15.0, "$")
    assert "17 of 20 cells are not numbers" in told[0]


def test_a_column_without_a_number_is_an_error() -> None:
    told = r"'a' is declared numeric, but holds no number: its values are 'on' \(2\), 'off' \(2\), the first in row 0"
    with pytest.raises(DataError, match=told):
        understand(frame_of(["on", "off", "on", "off"]), numeric=["a"])
    with pytest.raises(DataError, match="holds no number"):
        understand(frame_of(["2024-01-05", "2024-02-07", "2024-03-09"]), numeric=["a"])
    assert understand(frame_of(["?", "n/a", "?"]), numeric=["a"])[0].note == "all values are missing: it adds nothing"


def test_new_rows_are_read_in_the_same_way(tmp_path: Path) -> None:
    encoder, _ = fitted(frame_of(PLAIN_CELLS))
    cells = ["4.5", "maybe", "maybe", "gone", "6"]
    gaps = frame_of([4.5, None, None, None, 6.0])
    for make in (polars.DataFrame, pandas.DataFrame):
        assert encoder.transform(frame_of(cells, make)).tobytes() == encoder.transform(gaps).tobytes()
        told = "column 'a': 3 of 5 cells are not numbers and count as missing: 'maybe' (2), 'gone' (1)"
        assert encoder.check(frame_of(cells, make)) == [told]
    path = tmp_path / "new.csv"
    path.write_text("".join(f"{cell},{i % 5}\n" for i, cell in enumerate(["a,b", *cells])).replace("a,b,0", "a,b"))
    with pytest.warns(UserWarning, match="'a': 3 of 5 cells are not numbers and count as missing; the first is 'maybe' in row 1"):
        table = read_table(path, text=encoder.forms)
    assert encoder.transform(table)[:, :2].tobytes() == encoder.transform(gaps)[:, :2].tobytes()


def test_numbers_that_were_declared_may_have_words_in_new_rows(tmp_path: Path) -> None:
    encoder, told = fitted(frame_of(range(ROWS)))
    assert told == []
    assert (
        encoder.transform(frame_of(["5", "soon", "later"]))[1:, 0].tolist()
        == encoder.transform(frame_of([None]))[:, 0].tolist() * 2
    )
    path = tmp_path / "new.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    assert read_table(path, text=encoder.forms).dtypes == [polars.Int64, polars.Int64]
    array = np.arange(12.0).reshape(6, 2)
    assert fit_encoder(array, numeric=["x0"]).to_json() == fit_encoder(array).to_json()


def test_a_large_file_of_new_rows_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manynets.tables.blocks.STREAM_BYTES", 0)
    encoder, _ = fitted(frame_of(range(ROWS)))
    path = tmp_path / "new.csv"
    for cells in (["maybe", *map(str, range(20)), "maybe"], [*map(str, range(2000)), "maybe", "maybe"]):
        path.write_text("\n".join(["a,b", *(f"{cell},{i % 5}" for i, cell in enumerate(cells))]))
        blocks = open_blocks(str(path), used=["a", "b"], text=encoder.forms)
        assert blocks is not None
        x = encoder.transform(polars.concat(frame for frame, _ in blocks.frames(1000)))
        assert (
            x[:, 0].tobytes()
            == encoder.transform(frame_of([None if cell == "maybe" else float(cell) for cell in cells]))[:, 0].tobytes()
        )


def test_the_state_names_the_option_only_where_it_is_used() -> None:
    kilos = frame_of([f"{i} kg" for i in range(9)])
    plain = fit_encoder(kilos).to_json()
    assert plain["version"] == 6
    assert list(plain["columns"][0]["reading"]) == ["decimal", "thousands", "unit", "magnitudes", "duration", "digits"]
    encoder, _ = fitted(kilos)
    state = json.loads(json.dumps(encoder.to_json()))
    assert (state["version"], state["columns"][0]["reading"]["lenient"]) == (7, True)
    assert TableEncoder.from_json(state) == encoder
    with pytest.raises(DataError, match="unknown: lenient"):
        TableEncoder.from_json({**state, "version": 6})
    assert [one.read_as for one in inspect_table(kilos, numeric=["a", "b"]).columns] == [
        "numbers: unit 'kg', all else missing",
        "numbers, all else missing",
    ]


def test_advice_for_columns_with_some_words(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["a,b", *(f"{cell},{i % 5}" for i, cell in enumerate(PLAIN_CELLS))]))
    table = open_file(path)
    column = understand(table)[0]
    assert column.kind == "categorical"
    assert column.note.endswith(": declare it numeric to have it read as numbers")
    assert understand(table, numeric=["a"])[0].kind == "numeric"
    with pytest.raises(DataError, match="or declare the column numeric or categorical before fitting"):
        fit_encoder(frame_of(NUMBERS)).transform(frame_of(PLAIN_CELLS))
    dates = [f"2024-01-{1 + i % 7:02d}" for i in range(19)]
    assert understand(frame_of([*dates, "soon"]))[0].note.endswith(": leave them empty to have it read as dates")


def test_a_bound_in_new_rows_is_told() -> None:
    encoder = fit_encoder(frame_of([1.5, 2.5, None, 4.0]))
    assert encoder.forms["a"] == PLAIN
    rows = frame_of(["<2", "3", "~3", "?"])
    assert encoder.check(rows) == ["column 'a': 2 bounds such as '<2' are read as the number"]
    assert encoder.transform(rows)[:, 0].tolist() == encoder.transform(frame_of([2.0, 3.0, 3.0, None]))[:, 0].tolist()
