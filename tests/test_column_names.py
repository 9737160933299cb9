"""Columns with odd names: in frames, in files, in exports and at the server."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pytest

import manynets as mn
from manynets.errors import DataError
from manynets.export import model_inputs, to_onnx, to_python
from manynets.tables import read_table
from manynets.tables.names import other_spelling
from tests.export.test_python import module_in
from tests.tolerances import assert_close

ROWS = 120
NAMES = ["", " ", " size", "size ", "Unnamed: 0", "unnamed_0", "a\nb", 'a"b', "a,b;c\td", "🏠 größe", "*", ".", "{a}", "<b>", "columns", "x0",
         5, 1.5, True, ("a", 1), datetime.date(2024, 1, 1)]  # fmt: skip


def trained(name: Any) -> tuple[mn.Model, pandas.DataFrame]:
    """Return a model and the frame that it was trained on: codes, whose zeros count, in a column of this name, and a number."""
    random = np.random.default_rng(0)
    number = random.integers(0, 5, ROWS)
    frame = pandas.DataFrame({"code": [f"{k:03d}" for k in number], "b": random.normal(size=ROWS)})
    frame.columns = pandas.Index([name, "b"], dtype=object)
    return mn.train(frame, number + frame["b"], mn.MLP(hidden=(6,)), mn.Recipe(epochs=5), progress=False), frame


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_model_finds_its_columns_again(name: Any, tmp_path: Path) -> None:
    model, frame = trained(name)
    wanted = model.predict(frame)
    texts = frame.set_axis(list(map(str, frame.columns)), axis=1)
    frame.to_csv(tmp_path / "t.csv", index=False)
    texts.to_parquet(tmp_path / "t.parquet")
    assert model.encoder is not None
    for same in (
        texts,
        polars.DataFrame(
            {column: polars.Series(cells.to_list()) for column, cells in texts.items()}
        ),  # of a list, polars would rename ""
        read_table(tmp_path / "t.csv", text=model.encoder.forms),
        read_table(tmp_path / "t.parquet"),
        pandas.read_csv(tmp_path / "t.csv", dtype=str).astype({"b": float}),
    ):
        assert_close(model.predict(same), wanted, "float32")
        assert model.encoder.check(same) == []
        assert len(mn.explain.permutation_importance(model, same, wanted).ranked()) == 2
        assert len(mn.explain.partial_dependence(model, same, str(name)).mean) == 5
    to_python(model, tmp_path / "m.py", X=frame)
    assert_close(module_in(tmp_path / "m.py").predict(texts.to_dict("records")), wanted, "float32")


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_server_finds_the_columns(name: Any, tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="needs the extra serve")
    from tests.serve.test_app import ServeSettings, client_of

    model, frame = trained(name)
    model.save(tmp_path / "m.safetensors")
    columns = {str(column): frame[column].tolist() for column in frame.columns}
    records = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    with client_of(ServeSettings(models={"m": str(tmp_path / "m.safetensors")})) as client:
        for body in ({"columns": columns}, {"records": records}, columns, records):
            assert_close(
                np.array(client.post("/v1/models/m:predict", json=body).json()["predictions"]), model.predict(frame), "float32"
            )
        text = {"content": frame.to_csv(index=False).encode(), "headers": {"content-type": "text/csv"}}
        assert_close(np.array(client.post("/v1/models/m:predict", **text).json()["predictions"]), model.predict(frame), "float32")
        assert client.get("/openapi.json").status_code == client.get("/v1/models/m").status_code == 200


@pytest.mark.parametrize("name", [name for name in NAMES if name != ""], ids=repr)
def test_a_graph_finds_the_columns(name: Any, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    model, frame = trained(name)
    to_onnx(model, tmp_path / "m.onnx", X=frame)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    assert [one.name for one in session.get_inputs()] == [str(name), "b"]
    assert_close(session.run(["prediction"], model_inputs(model, frame))[0], model.predict(frame), "float32")


def test_which_names_are_the_same() -> None:
    assert other_spelling("", ["a", "Unnamed: 7"]) == "Unnamed: 7"
    assert other_spelling("unnamed_3", ["Unnamed: 3", "Unnamed: 2"]) == "Unnamed: 3"
    assert other_spelling("unnamed_3", ["Unnamed: 2", "a"]) is None
    assert other_spelling("", ["unnamed_0", "unnamed_1"]) is None  # either could be it
    assert other_spelling("a", [" a", "a "]) is None
    assert other_spelling("a", ["A", "ab"]) is None


def test_a_column_that_could_be_either_is_missing() -> None:
    model, frame = trained("")
    two = frame.set_axis(["unnamed_0", "b"], axis=1).assign(unnamed_2="001")
    with pytest.raises(DataError, match=r"1 column is missing from the table: ''"):
        model.predict(two)
    blanks, other = trained(" size")
    assert_close(blanks.predict(other.assign(size="000")), blanks.predict(other), "float32")


@pytest.mark.parametrize(("name", "why"), [("^a.*$", "which polars takes for a pattern"), ("a\ud800", "half of a surrogate pair")])
def test_names_that_cannot_be_used_are_refused(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"a column is called .*{why}; rename it"):
        trained(name)
    if name.isascii():
        frame = polars.DataFrame({name: [1.5, 2.5] * 20, "b": range(40)})
        frame.write_csv(tmp_path / "t.csv")
        frame.write_parquet(tmp_path / "t.parquet")
        for table in (tmp_path / "t.csv", tmp_path / "t.parquet", frame, frame.to_arrow()):
            with pytest.raises(DataError, match=why):
                mn.train(table, target="b", progress=False)


@pytest.mark.parametrize("names", [["a", "a"], [5, "5"], ["\u00e9", "e\u0301"]])
def test_names_that_occur_twice_are_refused(names: list[Any]) -> None:
    frame = pandas.DataFrame(np.arange(40.0).reshape(20, 2))
    frame.columns = pandas.Index(names, dtype=object)
    with pytest.raises(DataError, match=r"must be unique|in different Unicode characters"):
        mn.train(frame, np.arange(20.0), mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False)
