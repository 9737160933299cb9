"""Models and cells that the server must take as they are: numbers far away, columns without a name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pytest

import manynets as mn
from tests.export.tables import fitted
from tests.tolerances import assert_close

pytest.importorskip("fastapi", reason="needs the extra serve")

from manynets.serve import ServeSettings
from tests.serve.test_app import client_of


@pytest.mark.parametrize(
    ("target", "options", "query"),
    [("classes", {}, ""), ("classes", {}, "?contributions=true"), ("numbers", {"target_transform": "log"}, "?interval=0.5")],
)
def test_cells_too_far_away_are_refused(target: str, options: dict[str, Any], query: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    y = np.digitize(x[:, 0], [-0.5, 0.5]) if target == "classes" else np.exp(x[:, 0])
    model = mn.train(x, y, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), scaling=False, validation=0.3, progress=False, **options)
    model.save(tmp_path / "m.safetensors")
    with client_of(ServeSettings(models={"m": str(tmp_path / "m.safetensors")})) as client:
        answers = [client.post(f"/v1/models/m:predict{query}", json=[[3e38, sign * 3e38]]) for sign in (-1, 1)]
        assert client.post(f"/v1/models/m:predict{query}", json=[[1, 2]]).status_code == 200
    assert {answer.status_code for answer in answers} <= {200, 422}
    refused = [answer.json()["error"]["message"] for answer in answers if answer.status_code == 422]
    assert refused
    assert all(
        re.fullmatch(r".* is not finite, because the cells are too far from the values seen in training", text) for text in refused
    )


@pytest.mark.parametrize("cell", [1e39, -1e39, 10**39, "1e39"])
def test_a_number_that_the_type_of_the_model_lacks_is_named_by_its_cell(cell: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    for dtype, status in (("float32", 422), ("float64", 200)):
        recipe = mn.Recipe(epochs=1, dtype=dtype)  # type: ignore[arg-type]
        mn.train(x, x[:, 0], mn.MLP(hidden=(4,)), recipe, scaling=False, progress=False).save(tmp_path / dtype)
        with client_of(ServeSettings(models={"m": str(tmp_path / dtype)})) as client:
            answer = client.post("/v1/models/m:predict", json=[[1, 2], [1, cell]])
        assert answer.status_code == status
        wanted = {"message": "the number is too large: it must be at most 3.4e+38", "column": "x1", "row": 1}
        assert status == 200 or answer.json()["error"] == wanted


@pytest.mark.parametrize("labels", [False, True])
def test_several_targets_have_their_names(labels: bool, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = polars.DataFrame({"rent": (x[:, 0] > 0).astype(int) if labels else x[:, 0], "price": (x > 0)[:, 1].astype(int)})
    recipe = mn.Recipe(epochs=1)
    mn.train(x, y, mn.MLP(hidden=()), recipe, task="multilabel" if labels else "regression", progress=False).save(tmp_path / "m")
    with client_of(ServeSettings(models={"m": str(tmp_path / "m")})) as client:
        assert client.get("/v1/models/m").json()["targets"] == ["rent", "price"]
        answer = client.post("/v1/models/m:predict", json=[[1, 2]]).json()
    assert answer["targets"] == ["rent", "price"]
    assert len(answer["predictions"][0]) == 2


def test_words_in_a_column_that_was_declared_numeric(tmp_path: Path) -> None:
    frame = polars.DataFrame({"x": ["unclear" if i % 10 == 3 else str(i % 7) for i in range(60)], "z": np.arange(60) % 5})
    y, spec, recipe = np.arange(60) % 7, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1)
    with pytest.warns(UserWarning, match="'x' is numeric: 6 of 60 cells are not numbers and count as missing"):
        model = mn.train(frame, y, spec, recipe, numeric=["x"], task="regression", progress=False)
    model.save(tmp_path / "m.safetensors")
    rows = [{"x": cell, "z": 1} for cell in (None, "never", "unclear", "3", [1])]
    with client_of(ServeSettings(models={"m": str(tmp_path / "m.safetensors")})) as client:
        first, second, third, number = client.post("/v1/models/m:predict", json=rows[:4]).json()["predictions"]
        assert client.post("/v1/models/m:predict", json=rows[4:]).status_code == 422
    assert first == second == third != number


def test_a_column_without_a_name(tmp_path: Path) -> None:
    frame = polars.DataFrame({"": np.arange(60) / 7, "x": np.arange(60) % 11})
    model = fitted(frame, np.arange(60) % 5 + 0.5)
    model.save(tmp_path / "m.safetensors")
    with client_of(ServeSettings(models={"m": str(tmp_path / "m.safetensors")})) as client:
        answer = client.post("/v1/models/m:predict", json=frame[:3].to_dicts())
    assert_close(np.array(answer.json()["predictions"]), model.predict(frame[:3]), "float32")
    dependence = mn.explain.partial_dependence(model, frame, "", n_grid=3)
    assert dependence.mean[0] == pytest.approx(
        float(model.predict(frame.with_columns(polars.lit(dependence.grid[0][0]).alias(""))).mean())
    )


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_frame_of_plain_numbers_keeps_its_names(tmp_path: Path) -> None:
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(50, 2)), columns=["b", "a"])
    model = mn.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2).fit(frame, frame["a"]).model_
    model.save(tmp_path / "m.safetensors")
    with client_of(ServeSettings(models={"m": str(tmp_path / "m.safetensors")})) as client:
        wanted = model.predict(frame[:1])
        for records in ([{"a": frame["a"][0], "b": frame["b"][0]}], frame[:1].to_numpy().tolist()):
            answer = client.post("/v1/models/m:predict?contributions=true", json=records)
            assert_close(np.array(answer.json()["predictions"]), wanted.astype(np.float64), "float32")
            assert answer.json()["contributions"]["columns"] == ["b", "a"]
        assert [column["name"] for column in client.get("/v1/models/m").json()["columns"]] == ["b", "a"]
