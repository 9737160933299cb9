"""ONNX graphs predict what the models predict, from the columns as they are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars
import pytest

import manynets as mn
from manynets.errors import OptionError
from manynets.export import model_inputs, to_onnx
from manynets.spec import Activation, PiecewiseLinear
from manynets.tables import fit_encoder, understand
from manynets.tables.parts import PARTS_OF_CODES
from manynets.tables.written import Reading
from tests.export.tables import ROWS, counted, fitted, model_of_task, target, wide_table
from tests.tolerances import assert_close

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")


def run(path: Path, inputs: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def test_a_table_of_all_kinds(tmp_path: Path) -> None:
    frame = wide_table()
    model = fitted(frame, target(frame))
    assert {column.kind for column in model.encoder.columns} == {"numeric", "categorical", "date"}  # type: ignore[union-attr]
    check = to_onnx(model, tmp_path / "m.onnx", X=frame)
    assert check.rows == ROWS + 1000
    assert check.largest < 1e-5
    inputs = {
        "size": [[np.nan], [80.0]],
        "weight": [[70.0], [60.0]],
        "rooms": [[3.0], [2.0]],
        "color": [["Weiß"], [""]],
        "town": [["town 1"], ["nowhere"]],
        "new": [["True"], ["false"]],
        "sold": [["2001-02-03"], [""]],
        "opens": [["07:08:00"], ["23:00:00"]],
    }
    kinds = {name: np.float64 if isinstance(cells[0][0], float) else object for name, cells in inputs.items()}
    found = run(tmp_path / "m.onnx", {name: np.array(cells, dtype=kinds[name]) for name, cells in inputs.items()})
    rows = polars.DataFrame(
        {name: [None if cell[0] in ("", np.nan) else cell[0] for cell in cells] for name, cells in inputs.items()}
    )
    rows = rows.with_columns(polars.Series("weight", ["70 kg", "60 kg"]), polars.Series("new", [True, False]))
    assert_close(found["prediction"], model.predict(rows), "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation(activation: Activation, dtype: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    recipe = mn.Recipe(epochs=2, dtype=dtype)
    model = mn.train(x, x[:, 0] ** 2, mn.MLP(hidden=(6, 5), activation=activation), recipe, progress=False)
    assert to_onnx(model, tmp_path / "m.onnx", X=x).largest < 1e-5


def test_older_releases_of_onnxruntime_run_the_graph(tmp_path: Path) -> None:
    """Up to 1.21 they merge nodes under their names, and up to 1.30 z * sigmoid(z) into a node that float64 lacks."""
    x = np.random.default_rng(0).normal(size=(64, 3))
    recipe = mn.Recipe(epochs=1, dtype="float64")
    model = mn.train(x, x[:, 0], mn.MLP(hidden=(6,), activation="silu"), recipe, progress=False)
    to_onnx(model, tmp_path / "m.onnx", X=x)
    nodes = onnx.load(tmp_path / "m.onnx").graph.node
    names = [node.name for node in nodes]
    assert all(names)
    assert len(set(names)) == len(names)
    assert "Sigmoid" not in {node.op_type for node in nodes}


@pytest.mark.parametrize("n_networks", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task", ["regression", "several", "binary", "multiclass", "multilabel"])
def test_every_task(task: str, dtype: Any, n_networks: int, tmp_path: Path) -> None:
    model, x = model_of_task(task, dtype, n_networks)
    assert to_onnx(model, tmp_path / "m.onnx", X=x).largest < 1e-5
    found = run(tmp_path / "m.onnx", model_inputs(model, x))
    answer = found.get("prediction", found.get("label"))
    wanted = model.predict(x)
    assert answer.shape == wanted.shape
    if "label" in found:
        assert (answer == wanted).all()
        assert found["probabilities"].shape == model.predict_proba(x).shape


@pytest.mark.parametrize("scaling", ["standard", "robust", "quantile", "smooth"])
@pytest.mark.parametrize("embedding", [None, PiecewiseLinear(bins=6)])
def test_every_scaling(scaling: Any, embedding: Any, tmp_path: Path) -> None:
    frame = wide_table()
    means = {"category_means": embedding is not None, "target": target(frame)}
    encoder = fit_encoder(frame, scaling=scaling, embedding=embedding, max_levels=3, **means)
    model = fitted(frame, target(frame), encoder=encoder)
    assert to_onnx(model, tmp_path / "m.onnx", X=frame).largest < 1e-5


@pytest.mark.parametrize("part", [part for part in PARTS_OF_CODES if part])
def test_codes_are_cut_as_in_training(part: Any, tmp_path: Path) -> None:
    codes = ["AB-01.x", "A", "Ä_b 2", "(a|b)*", "", "??", "ab\ncd", "x y", "y x", "AB 2", "ÄÖÜ-7", "a.b"]
    random = np.random.default_rng(1)
    frame = polars.DataFrame({"code": [codes[k] for k in random.integers(0, len(codes), 300)], "x": random.normal(size=300)})
    columns = understand(frame)
    schema = [dataclasses.replace(columns[0], kind="categorical", part=part), columns[1]]
    encoder = fit_encoder(frame, schema=schema, max_levels=5)
    model = fitted(frame, frame["x"].to_numpy(), encoder=encoder)
    to_onnx(model, tmp_path / "m.onnx", X=frame)
    new = polars.DataFrame({"code": [*codes, "AB", "ABC-02", "é", "Äb", "x", " z ", None, "#N/A"], "x": [0.0] * (len(codes) + 8)})
    found = run(tmp_path / "m.onnx", model_inputs(model, new))["prediction"]
    assert_close(found, model.predict(new), "float32")


@pytest.mark.parametrize("options", [{"recipe": {"loss": "poisson"}}, {"target_transform": "log"}, {"recipe": {"loss": "huber"}}])
def test_targets_in_their_own_unit(options: dict[str, Any], tmp_path: Path) -> None:
    frame = wide_table()
    y = np.round(np.exp(target(frame) / 60))
    model = fitted(frame, y, **options)
    assert to_onnx(model, tmp_path / "m.onnx", X=frame).largest < 1e-5
    found = run(tmp_path / "m.onnx", model_inputs(model, frame))["prediction"]
    assert_close(found, model.predict(frame), "float32_run")


def test_the_default_ensemble_with_its_temperature(tmp_path: Path) -> None:
    frame = wide_table()
    model = mn.TabularClassifier(preset="fast", n_networks=3).fit(frame, target(frame) > 160).model_
    assert to_onnx(model, tmp_path / "m.onnx", X=frame).largest < 1e-5


@pytest.mark.parametrize(
    "options", [{"n_networks": 3}, {}, {"recipe": {"loss": "poisson"}, "n_networks": 2}, {"target_transform": "log"}]
)
def test_intervals(options: dict[str, Any], tmp_path: Path) -> None:
    frame = wide_table()
    model = fitted(frame, np.round(np.exp(target(frame) / 60)), validation=0.3, **options)
    for coverage in (None, 0.5):
        assert to_onnx(model, tmp_path / "m.onnx", X=frame, coverage=coverage).largest < 1e-5
        found = run(tmp_path / "m.onnx", model_inputs(model, frame))
        assert next(iter(found)) == "prediction"  # the output that callers take who ask for the first
        limits = model.predict_interval(frame, coverage or 0.9)
        assert_close(np.stack([found["lower"], found["upper"]], axis=1), limits, "float32_run")


def test_intervals_of_several_targets(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    model = mn.train(
        x, x[:, :2] * [1e-3, 1e3], mn.MLP(hidden=(6,)), mn.Recipe(epochs=2), n_networks=2, validation="folds", progress=False
    )
    to_onnx(model, tmp_path / "m.onnx", X=x)
    found = run(tmp_path / "m.onnx", model_inputs(model, x))
    assert_close(np.stack([found["lower"], found["upper"]], axis=-1), model.predict_interval(x), "float32_run")
    with pytest.raises(OptionError, match=r"coverage is 0\.9999, but 200 held-out rows support at most"):
        to_onnx(model, tmp_path / "n.onnx", coverage=0.9999)
    to_onnx(model, tmp_path / "n.onnx", coverage=np.float64(0.5))
    assert {one.key: one.value for one in onnx.load(tmp_path / "n.onnx").metadata_props}["coverage"] == "0.5"


@pytest.mark.parametrize("recipe", [{}, {"loss": "quantile", "quantile": (0.1, 0.5, 0.9)}])
def test_the_limits_of_counts(recipe: dict[str, Any], tmp_path: Path) -> None:
    model, x = counted(**recipe)
    to_onnx(model, tmp_path / "m.onnx", X=x)
    found = run(tmp_path / "m.onnx", model_inputs(model, x))
    wanted = model.predict_interval(x)
    assert (wanted[:, 0] >= 0).all()
    assert (wanted[:, 1, 0] < 0).any()
    assert_close(np.stack([found["lower"], found["upper"]], axis=-1), wanted, "float32_run")


def test_quantiles_of_several_targets(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3)).astype(np.float32)
    y = x[:, :2] + np.array([0.1, 10.0]) * random.normal(size=(200, 2))
    recipe = mn.Recipe(epochs=2, loss="quantile", quantile=(0.1, 0.5, 0.9))
    model = mn.train(x, y, mn.MLP(hidden=(6,)), recipe, n_networks=2, validation="folds", progress=False)
    to_onnx(model, tmp_path / "m.onnx", X=x)
    found = run(tmp_path / "m.onnx", model_inputs(model, x))
    assert_close(found["quantiles"], model.predict_quantiles(x), "float32_run")
    assert_close(np.stack([found["lower"], found["upper"]], axis=-1), model.predict_interval(x), "float32_run")


def test_a_threshold_of_its_own(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    model = mn.train(x, x[:, 0] > 0, mn.MLP(hidden=(6,)), mn.Recipe(epochs=2), n_networks=2, progress=False)
    model.task = mn.Binary((False, True), threshold=0.55)
    to_onnx(model, tmp_path / "m.onnx", X=x)
    assert (run(tmp_path / "m.onnx", model_inputs(model, x))["label"] == (model.predict_proba(x)[:, 1] > 0.55)).all()


def test_costs_of_its_own(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    model = mn.train(x, np.arange(90) % 3, mn.MLP(hidden=(6,)), mn.Recipe(epochs=2), n_networks=2, progress=False)
    careful = model.with_threshold([[0, 1, 1], [1, 0, 1], [1, 1.2, 0]])
    to_onnx(careful, tmp_path / "m.onnx", X=x)
    label = run(tmp_path / "m.onnx", model_inputs(careful, x))["label"]
    assert (label == careful.predict(x)).all()
    assert (label != model.predict(x)).any()


def test_an_array_with_gaps(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200, 4))
    x[::7, 2] = np.nan
    model = mn.TabularRegressor(preset="fast", n_networks=2).fit(x, x[:, 0]).model_
    assert to_onnx(model, tmp_path / "m.onnx", X=x).largest < 1e-5
    assert list(model_inputs(model, x)) == ["X"]


def test_categories_of_an_array_are_refused(tmp_path: Path) -> None:
    x = np.stack([np.sin(np.arange(60)), np.arange(60) % 3], axis=1)
    encoder = fit_encoder(x, categorical=["x1"])
    model = mn.train(x, x[:, 0], mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), encoder=encoder, progress=False)
    with pytest.raises(OptionError, match=r"column 'x1' of the array holds categories, .* train on a frame, or use to_python"):
        to_onnx(model, tmp_path / "m.onnx")


def test_the_number_in_a_code_is_an_input(tmp_path: Path) -> None:
    frame = polars.DataFrame({"code": [f"{'AB' if i % 3 else 'C'}-{1000 + i}" for i in range(200)]})
    schema = [dataclasses.replace(understand(frame)[0], kind="numeric", form=Reading(digits=True))]
    model = fitted(frame, np.arange(200.0), encoder=fit_encoder(frame, schema=schema))
    to_onnx(model, tmp_path / "m.onnx", X=frame)
    [given] = onnx.load(tmp_path / "m.onnx").graph.input
    assert given.doc_string == "the last digits of a code, as a number; NaN if missing"
    new = polars.DataFrame({"code": ["AB-1234", "C-7", "Z_1003.9", "x", None]})
    found = run(tmp_path / "m.onnx", {"code": np.array([[1234.0], [7.0], [9.0], [np.nan], [np.nan]])})["prediction"]
    assert_close(found, model.predict(new), "float32")


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    frame = wide_table()
    model = fitted(frame, np.where(target(frame) > 160, "dear", "cheap"))
    to_onnx(model, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    data = session.get_modelmeta().custom_metadata_map
    assert data["task"] == "binary"
    assert json.loads(data["classes"]) == ["cheap", "dear"]
    assert [column["name"] for column in json.loads(data["columns"])] == list(frame.columns)
    assert [value.name for value in session.get_inputs()] == list(frame.columns)


@pytest.mark.parametrize(
    ("method", "away"), [("predicted", 1e-3), ("interval", [1e-3, 0.0]), ("interval", [0.0, 1e-3])], ids=["value", "lower", "upper"]
)
def test_a_difference_leaves_no_file(method: str, away: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    model = mn.train(x, x[:, 0], mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), validation=0.5, progress=False)
    true = getattr(model, method)
    monkeypatch.setattr(model, method, lambda *rows: true(*rows) + away)
    with pytest.raises(OptionError, match=r"differs from the model by .*no file was written"):
        to_onnx(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_expressed_is_named(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = ["alpha beta gamma delta", "beta gamma epsilon zeta", "gamma eta theta alpha", "delta zeta beta eta"]
    frame = polars.DataFrame(
        {"note": [words[k] + f" {words[j]}" for k, j in random.integers(0, 4, (200, 2))], "x": random.normal(size=200)}
    )
    encoder = fit_encoder(frame, text=["note"])
    model = fitted(frame, frame["x"].to_numpy(), encoder=encoder)
    with pytest.raises(OptionError, match=r"column 'note' is text of many words"):
        to_onnx(model, tmp_path / "m.onnx")
    x = random.normal(size=20)
    periodic = mn.train(x[:, None], x, mn.MLP(embedding=mn.Periodic()), mn.Recipe(epochs=1), progress=False)
    frame = polars.DataFrame({"empty": polars.Series([None] * 20, dtype=polars.Float64)})
    with pytest.warns(UserWarning, match="all values are missing in empty"):
        nothing = mn.train(frame, np.arange(20) % 2, mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False)
    with pytest.raises(OptionError, match="no column had a value when the model was trained"):
        to_onnx(nothing, tmp_path / "n.onnx")
    with pytest.raises(OptionError, match="a network with a Periodic embedding cannot be exported"):
        to_onnx(periodic, tmp_path / "m.onnx")
    with pytest.raises(OptionError, match=r"ends in \.onnx"):
        to_onnx(model, tmp_path / "m.txt")


@pytest.mark.parametrize("name", ["label", "probabilities", "::1", ""])
def test_names_that_onnx_cannot_have(name: str, tmp_path: Path) -> None:
    frame = polars.DataFrame({name: np.arange(60) / 7.0, "x": np.arange(60) % 11})
    model = fitted(frame, np.where(np.arange(60) % 2, "yes", "no"))
    with pytest.raises(OptionError, match=f"a column is called '{name}'"):
        to_onnx(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("sold", "2001-02-03 12:00:00"),
        ("sold", "2001-02-03T12:00:00+05:00"),
        ("sold", "2001-02-03T12:00Z"),
        ("sold", "2001-02-32"),
        ("sold", "2001-02-03T99:00:00"),
        ("sold", "3.2.2001"),
        ("sold", "never"),
        ("opens", "25:00:00"),
        ("opens", "7"),
    ],
)
def test_dates_that_could_be_misread_are_refused(name: str, cell: str, tmp_path: Path) -> None:
    frame = wide_table()
    model = fitted(frame, target(frame))
    to_onnx(model, tmp_path / "m.onnx", X=frame)
    inputs = model_inputs(model, frame[:2])
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    assert session.run(["prediction"], inputs)[0].shape == (2,)
    what = "a date such as 2024-12-31" if name == "sold" else "a time of day such as 23:59:00"
    with pytest.raises(Exception, match=f"{name} must hold {what}"):  # the runtime has exceptions of its own
        session.run(["prediction"], inputs | {name: np.array([[cell], [cell]], dtype=object)})
