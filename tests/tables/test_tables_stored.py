"""Tables whose columns are read from a file one by one, and rows taken without a copy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow  # type: ignore[import-untyped]
import pytest

from manynets.errors import DataError
from manynets.tables import encoder as encoders
from manynets.tables import fit_encoder, open_file, read_table, split_target, understand
from manynets.tables.frames import open_table
from manynets.tables.stored import StoredColumns

rng = np.random.default_rng(0)
FRAME = polars.DataFrame(
    {
        "x": rng.normal(size=300),
        "n": rng.integers(0, 50, 300),
        "gaps": [None if i % 7 == 0 else i / 8 for i in range(300)],
        "word": [("red", "blue", None, "green")[i % 4] for i in range(300)],
        "number as text": [str(i % 40) if i % 5 else "NA" for i in range(300)],
        "flag": rng.random(300) < 0.5,
        "day": [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(300)],
        "*": rng.normal(size=300),
        "x$": rng.normal(size=300),
        "y": rng.normal(size=300),
    }
)
ROWS = np.array([299, 5, 6, 7, 7, 0, *range(20, 200)])


def test_a_parquet_file_is_encoded_as_the_frame_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FRAME.write_parquet(tmp_path / "t.parquet")
    table = open_file(tmp_path / "t.parquet")
    assert table.shape == (300, 10)
    features, y, weight = split_target(table, "y", weight="flag")
    assert y.tolist() == FRAME["y"].to_list()
    assert weight is not None
    assert weight.tolist() == FRAME["flag"].to_list()
    frame = FRAME.drop("y", "flag")
    assert features.names == tuple(frame.columns)
    assert understand(features) == understand(frame)
    encoder = fit_encoder(features)
    assert encoder == fit_encoder(frame)
    monkeypatch.setattr(encoders, "READ", 600)  # two columns at a time
    assert encoder.transform(features).tobytes() == encoder.transform(frame).tobytes()
    assert encoder.check(features) == encoder.check(frame)


@pytest.mark.parametrize("kind", ["polars", "pandas", "pyarrow", "file", "array"])
def test_rows_taken_are_those_of_a_smaller_table(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data: Any = FRAME
    if kind == "file":
        FRAME.write_parquet(tmp_path / "t.parquet")
        data = open_file(tmp_path / "t.parquet")
    elif kind == "array":
        data = FRAME.select(polars.col(polars.Float64)).to_numpy()
    elif kind != "polars":
        data = (
            pandas.DataFrame(FRAME.to_dict(as_series=False)) if kind == "pandas" else pyarrow.table(FRAME.to_dict(as_series=False))
        )
    fewer: Any = data[ROWS] if kind == "array" else FRAME[ROWS]
    taken = open_table(data).take(ROWS)
    assert taken.rows == len(ROWS)
    encoder = fit_encoder(taken)
    assert encoder == fit_encoder(fewer)
    monkeypatch.setattr(encoders, "PIECE", 1)  # 1,024 rows are the least
    some = np.arange(len(ROWS))[::-2]
    again = np.tile(some, 40)  # of rows taken, rows are taken, and more than one piece of them
    assert len(again) > 2048
    fewer = fewer[again]
    assert encoder.transform(taken.take(again)).tobytes() == encoder.transform(fewer).tobytes()


def test_messages_name_the_row_of_the_whole_table() -> None:
    table = open_table(polars.DataFrame({"a": [1.0, 2.0, 3.0, float("inf")]}))
    with pytest.raises(DataError, match="the first in row 3"):
        fit_encoder(table.take(np.array([3, 0])))
    encoder = fit_encoder(table.take(np.array([0, 1])))
    with pytest.raises(DataError, match="the first in row 3"):
        encoder.transform(table.take(np.array([0, 3])))


def test_a_missing_target_leaves_its_rows_out_of_a_file(tmp_path: Path) -> None:
    frame = polars.DataFrame({"a": [1.0, 2.0, 4.0], "y": [0.5, None, 1.5]})
    frame.write_parquet(tmp_path / "t.parquet")
    features, y, _ = split_target(open_file(tmp_path / "t.parquet"), "y", drop_missing_target=True)
    assert y.tolist() == [0.5, 1.5]
    assert fit_encoder(features).transform(features).tolist() == [[-1], [1]]


def test_a_column_is_read_once_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FRAME.write_parquet(tmp_path / "t.parquet")
    asked: list[tuple[str, ...]] = []
    read = StoredColumns.read

    def told(self: StoredColumns, names: Sequence[str]) -> Any:
        asked.append(tuple(names))
        return read(self, names)

    monkeypatch.setattr(StoredColumns, "read", told)
    understand(open_file(tmp_path / "t.parquet"))
    assert asked == [(name,) for name in FRAME.columns]


def test_what_is_no_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"\xff\x00nonsense")
    with pytest.raises(DataError, match=r"t\.parquet cannot be read as Parquet"):
        open_file(tmp_path / "t.parquet")
    polars.DataFrame({"a": []}).write_parquet(tmp_path / "e.parquet")
    with pytest.raises(DataError, match="0 data rows"):
        open_file(tmp_path / "e.parquet")
    with pytest.raises(DataError, match="are for text files"):
        open_file(tmp_path / "e.parquet", delimiter=";")
    FRAME.write_parquet(tmp_path / "t.parquet")
    table = open_file(tmp_path / "t.parquet")
    FRAME[:7].write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet changed while it was read"):
        fit_encoder(table)
    (tmp_path / "t.parquet").unlink()
    with pytest.raises(DataError, match=r"cannot be read as Parquet: .*No such file"):
        fit_encoder(table)


def test_other_files_are_opened_as_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b\n1;x\n2;y\n", encoding="utf-8")
    table = open_file(tmp_path / "t.csv", delimiter=";")
    assert table.names == ("a", "b")
    assert table.frame is not None
    assert table.frame.to_native().equals(read_table(tmp_path / "t.csv"))
