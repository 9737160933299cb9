"""Structs, and dicts in pandas: each field is a column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import polars
import pytest

import manynets as mn
from manynets.errors import DataError
from manynets.tables import fit_encoder, open_file, open_table, read_table
from manynets.tables.rowgroups import BlockFiles

ROWS = [
    {
        "place": None if i % 9 == 0 else {"town": "abc"[i % 3], "geo": {"lat": i * 7 % 11 / 2, "lon": i % 7}},
        "price": float(i % 7 + i % 3 * 2),
    }
    for i in range(60)
]
FRAME = polars.DataFrame(ROWS)
NAMES = ("place.town", "place.geo.lat", "place.geo.lon", "price")
FRAMES = {
    "polars": lambda frame: frame,
    "pyarrow": lambda frame: frame.to_arrow(),
    "pandas": lambda frame: pandas.DataFrame(frame.to_dicts()),
    "pandas with Arrow's types": lambda frame: frame.to_pandas(use_pyarrow_extension_array=True),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_each_field_is_a_column(kind: str) -> None:
    frame = FRAMES[kind](FRAME)
    assert open_table(frame).names == NAMES
    encoder = fit_encoder(frame)
    assert encoder == fit_encoder(FRAME)
    np.testing.assert_array_equal(encoder.transform(frame), encoder.transform(FRAME))
    lost = FRAMES[kind](FRAME[:1])  # in which no row shows the fields
    np.testing.assert_array_equal(encoder.transform(lost), encoder.transform(FRAME[:1]))
    with pytest.raises(
        DataError, match=r"the fields in column 'a' are read as columns called a\.b, but there is a column 'a\.b' too"
    ):
        open_table(FRAMES[kind](polars.DataFrame({"a": [{"b": 1}], "a.b": [2]})))


@pytest.mark.parametrize("kind", FRAMES)
def test_an_empty_column_beside_one_with_a_point_in_its_name(kind: str) -> None:
    encoder = fit_encoder(polars.DataFrame({"a.b": [1.0, 2.0, 5.0], "c": [1.0, 2.0, 2.0]}))
    rows = polars.DataFrame({"a": [None, None], "a.b": [1.0, 2.0], "c": [1.0, 2.0]})
    np.testing.assert_array_equal(encoder.transform(FRAMES[kind](rows)), encoder.transform(rows.drop("a")))


@pytest.mark.parametrize("ending", ["parquet", "arrow", "jsonl"])
def test_structs_in_files(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    if ending == "parquet":
        FRAME.write_parquet(path, row_group_size=20)
    else:
        (FRAME.write_ipc if ending == "arrow" else FRAME.write_ndjson)(path)
    assert tuple(read_table(path).columns) == open_file(path).names == NAMES
    assert fit_encoder(open_file(path)) == fit_encoder(FRAME)
    model = mn.train(path, target="price", spec=mn.MLP(hidden=(4,)), recipe=mn.Recipe(epochs=1), progress=False)
    assert model.predict(FRAME).shape == model.predict(pandas.DataFrame(ROWS)).shape == (60,)
    if ending != "jsonl":
        files = BlockFiles(path)
        assert files.names == NAMES
        assert files.read(files.blocks[0], ["place.geo.lon"])["place.geo.lon"].to_list()[:3] == [None, 1, 2]


def test_a_field_is_the_target() -> None:
    X, y, _ = mn.tables.split_target(FRAME, "place.geo.lat", drop_missing_target=True)
    assert y.tolist() == [row["place"]["geo"]["lat"] for row in ROWS if row["place"]]
    assert open_table(X).names == ("place.town", "place.geo.lon", "price")
