"""A cell means the same to a model in every frame, to the model read from its file, to the server, and to the exported module."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pytest

import manynets as mn
from manynets.export import to_python
from manynets.saved_model import read_saved_model
from manynets.tables import fit_encoder, read_table
from tests.export.tables import fitted
from tests.export.test_python import module_in
from tests.tolerances import assert_close

pytest.importorskip("fastapi", reason="needs the extra serve")

from manynets.serve.served import ServedModel, answers

ROWS = 60
WORDS = ["nice old house", "big garden, 2 trees", "house with garden", "old trees", None]
CASES: dict[str, tuple[list[Any], list[Any], list[Any]]] = {  # in training, in new rows, and the same as these
    "bools among numbers": ([0.0, 1.0, 2.5], [True, np.False_, 2.5, None], [1.0, 0.0, 2.5, None]),
    "numbers among text": (
        [f"{k + 1}.{k:03},50 €" for k in range(ROWS)],
        [1.234, True, 2000, Decimal("7.5")],
        ["1,234", "1", "2000", "7,5"],
    ),
    "words": (WORDS, [2.0, 2.5, True, "#N/A", " ", np.float32(0.5)], ["2", "2.5", "True", None, None, "0.5"]),
    "whole numbers": (
        [0, 1, 2, None],
        ["1.00", "-0", -0.0, "+2", "NA", np.float32("nan"), Decimal("NaN")],
        [1, 0, 0, 2, None, None, None],
    ),
    "long numbers": ([2**53, 2**53 + 1, 2**53 + 2], [2**53 + 1, 2.5], [2**53 + 1, None]),
    "bools": ([True, False, None], ["1.00", "-0.0", " TRUE", np.datetime64("NaT")], [True, False, True, None]),
    "dates": (["2024-01-31", "1999-12-01", None], [np.datetime64("NaT"), "2000-01-01"], [None, "2000-01-01"]),
    "codes": ([f"user-{k:04}" for k in range(ROWS)], ["0000000041", "x-8", "none", "x"], ["user-0041", "user-8", None, None]),
}
DECLARED = {"whole numbers": {"categorical": ["c"]}, "words": {"text": ["c"]}}


def as_json(cell: Any) -> Any:
    """Return a cell as JSON can hold it."""
    if cell is None or (not isinstance(cell, str) and cell != cell):
        return None
    return cell.item() if isinstance(cell, np.generic) else float(cell) if isinstance(cell, Decimal) else cell


@pytest.mark.filterwarnings("ignore:column 'c' (is used, though|holds categories)")
@pytest.mark.parametrize("name", CASES)
def test_a_cell_means_the_same_everywhere(name: str, tmp_path: Path) -> None:
    cells, new, same = CASES[name]
    many = [cells[k % len(cells)] for k in range(ROWS)]
    y = np.arange(ROWS) % len(cells) + np.arange(ROWS) / ROWS
    frame = polars.DataFrame({"c": many})
    model = fitted(frame, y, encoder=fit_encoder(frame, y=y, **DECLARED.get(name, {})))
    wanted = model.predict(polars.DataFrame({"c": polars.Series(same, dtype=polars.Series(many).dtype)}))
    model.save(tmp_path / "m")
    to_python(model, tmp_path / "m.py")
    module, served = module_in(tmp_path / "m.py"), ServedModel("m", str(tmp_path / "m"))
    body = json.dumps({"columns": {"c": [as_json(cell) for cell in new]}}).encode()
    objects = pandas.DataFrame({"c": pandas.Series(new, dtype=object)})
    found = {
        "model": model.predict(objects),
        "file": mn.load(tmp_path / "m").predict(objects),
        "NumPy": read_saved_model(tmp_path / "m").predict(objects),
        "server": answers([served.question(body, "application/json", most=ROWS)])[0].predictions,
        "module": module.predict({"c": new}),
        "module, of a frame": module.predict(objects),
        "module, of JSON": module.predict(json.loads(body)["columns"]),
    }
    for predictions in found.values():
        assert_close(np.array(predictions), wanted, "float32")
    assert len(set(wanted.tolist())) > 1


def test_the_columns_of_a_file_are_read_as_in_training(tmp_path: Path) -> None:
    cells = ["1.1", "1.10", "NA", "x"] * 15
    frame = polars.DataFrame({"c": cells, "price": [f"1.{k:03},50" for k in range(60)], "z": np.arange(60) % 7})
    model = fitted(frame, np.arange(60) % 4 + frame["z"].to_numpy())
    new = polars.DataFrame({"c": ["1.1", "1.10", "NA"] * 10, "price": [f"1.{k:03}" for k in range(30)], "z": [0] * 30})
    new.write_csv(tmp_path / "new.csv")
    model.save(tmp_path / "m")
    wanted = model.predict(new)
    assert_close(model.predict(tmp_path / "new.csv"), wanted, "float32")
    assert_close(read_saved_model(tmp_path / "m").predict(str(tmp_path / "new.csv")), wanted, "float32")
    assert np.abs(model.predict(read_table(tmp_path / "new.csv")) - wanted).max() > 0.01
    array = mn.train(np.ones((9, 2)), np.arange(9.0), mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False)
    with pytest.raises(mn.DataError, match=r"^X is the file 'new.csv', but the model was trained on an array; give an array$"):
        array.predict("new.csv")
