"""Python modules predict what the models predict, with NumPy alone."""

from __future__ import annotations

import datetime
import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas
import polars
import pytest

import manynets as mn
from manynets.errors import OptionError
from manynets.export import model_inputs, standalone, to_python
from manynets.spec import Activation, PiecewiseLinear
from manynets.tables import fit_encoder, understand
from manynets.tables.missing import MISSING_TOKENS, TEXT_MISSING
from manynets.tables.numerals import NUMBER
from manynets.tables.parts import PARTS_OF_CODES
from tests.export.tables import counted, fitted, model_of_task, target, wide_table
from tests.tolerances import assert_close


def module_in(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("scaling", ["standard", "quantile", "smooth"])
@pytest.mark.parametrize("embedding", [None, PiecewiseLinear(bins=6)])
def test_a_table_of_all_kinds(scaling: Any, embedding: Any, tmp_path: Path) -> None:
    frame = wide_table()
    means = {"category_means": embedding is not None, "target": target(frame)}
    encoder = fit_encoder(frame, scaling=scaling, embedding=embedding, max_levels=3, **means)
    model = fitted(frame, target(frame), encoder=encoder)
    assert to_python(model, tmp_path / "m.py", X=frame).largest < 1e-5
    row = {
        "size": 80,
        "weight": 60.5,
        "rooms": None,
        "color": "Weiß",
        "town": "nowhere",
        "new": True,
        "sold": "2001-02-03",
        "opens": "07:08",
    }
    row_too = row | {"sold": datetime.date(2001, 2, 3), "opens": datetime.datetime(1970, 1, 1, 7, 8)}
    wanted = model.predict(polars.DataFrame([row | {"weight": "60.5 kg"}]))
    module = module_in(tmp_path / "m.py")
    for rows in ([row], [row_too], {name: [cell] for name, cell in row.items()}, polars.DataFrame([row]).to_arrow()):
        assert_close(module.predict(rows), wanted, "float32")


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_frame_of_plain_numbers_in_another_order(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(64, 3)) * [1, 10, 100]
    frame = pandas.DataFrame(x, columns=list("abc"))
    model = mn.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2).fit(frame, x[:, 0]).model_
    to_python(model, tmp_path / "m.py", X=frame)
    module, other = module_in(tmp_path / "m.py"), polars.DataFrame(frame[["c", "a", "b"]])
    for rows in (x, frame, frame.rename(columns=str.upper), other, other.to_pandas(), other.to_arrow()):
        assert_close(module.predict(rows), model.predict(frame), "float32")
    with pytest.raises(ValueError, match="column 'b' is missing"):
        module.predict(other.rename({"b": "d"}))


@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation(activation: Activation, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    model = mn.train(x, x[:, 0] ** 2, mn.MLP(hidden=(6, 5), activation=activation), mn.Recipe(epochs=2), progress=False)
    assert to_python(model, tmp_path / "m.py", X=x).largest < 1e-5


@pytest.mark.parametrize("n_networks", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task", ["regression", "several", "binary", "multiclass", "multilabel"])
def test_every_task(task: str, dtype: Any, n_networks: int, tmp_path: Path) -> None:
    model, x = model_of_task(task, dtype, n_networks)
    assert to_python(model, tmp_path / "m.py", X=x).largest < 1e-5
    module = module_in(tmp_path / "m.py")
    assert module.predict(x).shape == model.predict(x).shape
    if task not in ("regression", "several"):
        assert (module.predict(x) == model.predict(x)).all()
        assert module.predict_proba(x).shape == model.predict_proba(x).shape


def test_a_threshold_of_its_own(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    model = mn.train(x, x[:, 0] > 0, mn.MLP(hidden=(6,)), mn.Recipe(epochs=2), n_networks=2, progress=False)
    model.task = mn.Binary((False, True), threshold=0.55)
    to_python(model, tmp_path / "m.py", X=x)
    assert (module_in(tmp_path / "m.py").predict(x) == (model.predict_proba(x)[:, 1] > 0.55)).all()


def test_costs_of_its_own(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    model = mn.train(x, np.arange(90) % 3, mn.MLP(hidden=(6,)), mn.Recipe(epochs=2), n_networks=2, progress=False)
    careful = model.with_threshold([[0, 1, 1], [1, 0, 1], [1, 1.2, 0]])
    to_python(careful, tmp_path / "m.py", X=x)
    label = module_in(tmp_path / "m.py").predict(x)
    assert (label == careful.predict(x)).all()
    assert (label != model.predict(x)).any()


@pytest.mark.parametrize("part", PARTS_OF_CODES)
def test_codes_are_cut_as_in_training(part: Any, tmp_path: Path) -> None:
    codes = ["AB-01.x", "A", "Ä_b 2", "(a|b)*", "", "??", "ab\ncd", "x y", "y x", "AB 2", "'''", "a.b"]
    random = np.random.default_rng(1)
    frame = polars.DataFrame({"co'''de": [codes[k] for k in random.integers(0, len(codes), 300)], "x": random.normal(size=300)})
    columns = understand(frame)
    import dataclasses

    schema = [dataclasses.replace(columns[0], kind="categorical", part=part), columns[1]]
    model = fitted(frame, frame["x"].to_numpy(), encoder=fit_encoder(frame, schema=schema, max_levels=5))
    assert to_python(model, tmp_path / "m.py", X=frame).largest < 1e-5


@pytest.mark.parametrize("options", [{"recipe": {"loss": "poisson"}}, {"target_transform": "log"}])
def test_targets_in_their_own_unit(options: dict[str, Any], tmp_path: Path) -> None:
    frame = wide_table()
    model = fitted(frame, np.round(np.exp(target(frame) / 60)), **options)
    assert to_python(model, tmp_path / "m.py", X=frame).largest < 1e-5


@pytest.mark.parametrize("options", [{"n_networks": 3}, {"recipe": {"loss": "poisson"}}, {"target_transform": "log"}])
def test_intervals(options: dict[str, Any], tmp_path: Path) -> None:
    frame = wide_table()
    model = fitted(frame, np.round(np.exp(target(frame) / 60)), validation=0.3, **options)
    assert to_python(model, tmp_path / "m.py", X=frame).largest < 1e-5
    module, row = module_in(tmp_path / "m.py"), dict.fromkeys(frame.columns)
    wanted = model.predict_interval(polars.DataFrame([row], schema=frame.schema), 0.5)
    assert_close(module.predict_interval([row], 0.5), wanted, "float32_run")
    with pytest.raises(ValueError, match="72 held-out rows, at most"):
        module.predict_interval([row], 0.9999)


def test_rounding_far_from_the_target_is_no_difference(tmp_path: Path) -> None:
    """Dates of other centuries, which are compared too, lead to limits of hundreds of spreads, of which float32 has seven digits."""
    days = np.arange(200) % 3 * 400
    frame = polars.DataFrame({"a": np.random.default_rng(0).normal(size=200), "d": np.datetime64("2020-01-01") + days})
    recipe = {"epochs": 5, "loss": "quantile", "quantile": (0.1, 0.5, 0.9)}
    model = mn.train(
        frame, np.exp(frame["a"]), mn.MLP(hidden=(16,)), mn.Recipe(**recipe), n_networks=2, validation=0.3, progress=False
    )
    assert to_python(model, tmp_path / "m.py", X=frame).largest < 1e-5


def test_intervals_of_several_targets(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    model = mn.train(
        x, x[:, :2] * [1e-3, 1e3], mn.MLP(hidden=(6,)), mn.Recipe(epochs=2), n_networks=2, validation="folds", progress=False
    )
    to_python(model, tmp_path / "m.py", X=x)
    assert_close(module_in(tmp_path / "m.py").predict_interval(x), model.predict_interval(x), "float32_run")


@pytest.mark.parametrize("recipe", [{}, {"loss": "quantile", "quantile": (0.1, 0.5, 0.9)}])
def test_the_limits_of_counts(recipe: dict[str, Any], tmp_path: Path) -> None:
    model, x = counted(**recipe)
    to_python(model, tmp_path / "m.py", X=x)
    wanted = model.predict_interval(x)
    assert (wanted[:, 0] >= 0).all()
    assert (wanted[:, 1, 0] < 0).any()
    assert_close(module_in(tmp_path / "m.py").predict_interval(x), wanted, "float32_run")


def test_an_ensemble_on_an_array_with_gaps(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200, 4))
    x[::7, 2] = np.nan
    model = mn.TabularClassifier(preset="fast", n_networks=2).fit(x, x[:, 0] > 0).model_
    assert to_python(model, tmp_path / "m.py", X=x).largest < 1e-5
    assert (module_in(tmp_path / "m.py").predict(x) == model.predict(x)).all()


NUMPY_ONLY = """
import json, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "manynets", "sklearn", "scipy", "polars", "pandas", "pyarrow", "narwhals", "onnx", "onnxruntime"}:
            raise ModuleNotFoundError(f"{name} is not installed here")

sys.meta_path.insert(0, Missing())
import m
rows = json.load(open("rows.json"))
print(json.dumps([m.predict(rows).tolist(), m.predict_interval(rows, 0.8).tolist()]))
"""


def test_it_needs_numpy_only(tmp_path: Path) -> None:
    frame = wide_table()
    model = fitted(frame, target(frame), validation=0.3)
    to_python(model, tmp_path / "m.py")
    inputs = {name: cells[:, 0].tolist() for name, cells in model_inputs(model, frame).items()}
    rows = {name: [None if cell != cell else cell for cell in cells] for name, cells in inputs.items()}
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    done = subprocess.run([sys.executable, "-c", NUMPY_ONLY], cwd=tmp_path, capture_output=True, text=True, check=True)
    predicted, limits = json.loads(done.stdout)
    assert_close(np.array(predicted), model.predict(frame), "float32")
    assert_close(np.array(limits), model.predict_interval(frame, 0.8), "float32_run")


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    frame = wide_table()
    to_python(fitted(frame, target(frame)), tmp_path / "m.py")
    module = module_in(tmp_path / "m.py")
    row = dict.fromkeys(frame.columns)
    assert np.isfinite(module.predict([row])).all()
    with pytest.raises(
        ValueError, match=r"column .size. should hold finite numbers such as 60\.5, without units, but holds .60 kg."
    ):
        module.predict([row | {"size": "60 kg"}])
    with pytest.raises(ValueError, match=r"column 'sold' holds '3\.2\.2001'"):
        module.predict([row | {"sold": "3.2.2001"}])
    with pytest.raises(ValueError, match=r"row 1 \(counted from 0\) has no column 'town'; give None"):
        module.predict([row, {name: None for name in frame.columns if name != "town"}])
    with pytest.raises(ValueError, match="column 'town' has 1 cell, but there are 2 rows"):
        module.predict({name: [None] * (1 if name == "town" else 2) for name in frame.columns})


def test_what_is_missing_is_that_of_the_model() -> None:
    assert frozenset(MISSING_TOKENS) == standalone.NO_NUMBER
    assert set(TEXT_MISSING) == standalone.MISSING
    assert f"^{standalone.NUMBER.pattern}$" == NUMBER


def hostile_table() -> polars.DataFrame:
    """Return columns whose cells mean something else where they are read in another way."""
    k = np.arange(120)
    noon = datetime.datetime(2024, 1, 1, 12)
    return polars.DataFrame(
        {
            "": k / 7.0,
            "euros": [f"{i % 9 + 1}.{i:03d},50" for i in k],
            "took": [f"{i % 30} days 04:00:00" for i in k],
            "at": [f"2024-01-{1 + i % 28:02}T{i % 24:02}:00+05:00" for i in k],
            "here": polars.Series([noon + datetime.timedelta(hours=37 * int(i)) for i in k]).dt.replace_time_zone("Europe/Berlin"),
            "seconds": [1_700_000_000 + 2_000_000 * int(i) for i in k],
            "compact": [20240101 + int(i) % 28 for i in k],
            "opens": [f"{i % 24:02}:00:00" for i in k],
            "hours": [f"{i % 50 / 4} h" for i in k],
            "weight": [f"{i % 50 / 4} kg" for i in k],
        }
    )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[mn.Model, Any]:
    frame, path = hostile_table(), tmp_path_factory.mktemp("m") / "m.py"
    model = fitted(frame, np.random.default_rng(0).normal(size=120))
    to_python(model, path, X=frame)
    return model, module_in(path)


ORDINARY = {"": 3.0, "euros": 5_060.5, "took": 14_400.0, "at": "2024-01-05T06:00", "here": "2024-03-01T12:00", "seconds": "2024-01-01",
            "compact": 20240107, "opens": "07:00", "hours": 2.0, "weight": 60.0}  # fmt: skip
UTC_NOON = datetime.datetime(2024, 3, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("name", "cell", "same"),
    [
        ("", "NA", None),
        ("", " 3.0 ", 3.0),
        ("at", "2024-01-05T06:00+03:00", "2024-01-05T08:00"),
        ("at", "2024-01-05T06:00Z", "2024-01-05T11:00"),
        ("at", datetime.datetime(2024, 1, 5, 6), "2024-01-05T06:00"),
        ("at", datetime.date(2024, 1, 5), "2024-01-05"),
        ("at", " 2024-01-05 06:00 ", "2024-01-05T06:00"),
        ("at", "n/a", None),
        ("here", UTC_NOON, "2024-03-01T13:00"),
        ("here", np.datetime64("2024-03-01T12:00"), "2024-03-01T12:00"),
        ("seconds", 1_709_290_800, "2024-03-01T11:00"),
        ("compact", 20240109.0, "2024-01-09"),
        ("opens", datetime.time(7), "07:00:00"),
        ("took", datetime.timedelta(hours=5), 18_000.0),
        ("took", np.timedelta64(5 * 3600 * 10**9, "ns"), 18_000.0),
        ("hours", datetime.timedelta(minutes=90), 1.5),
    ],
)  # fmt: skip
def test_cells_mean_what_they_mean_to_the_model(name: str, cell: Any, same: Any, hostile: tuple[mn.Model, Any]) -> None:
    model, module = hostile
    found = module.predict([ORDINARY | {name: cell}])
    assert_close(found, module.predict([ORDINARY | {name: same}]), "float32")
    if type(cell) in (str, int, datetime.datetime, datetime.date):
        written = {"euros": "5.060,50", "took": "0 days 04:00:00", "seconds": 1_704_067_200} | {name: cell}
        assert_close(found, model.predict(polars.DataFrame([ORDINARY | written])), "float32")


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        *(("", cell) for cell in (math.inf, -math.inf, "inf", "1e999", "1_000", "1,5", [1])),
        pytest.param("", 10**400, id="a large number"),
        ("euros", "2.345"),
        ("took", "3"),
        ("took", np.datetime64("2024-01-01", "ns")),
        ("at", "2024-W10-2"),
        ("at", "2024-02-30"),
        ("at", 20240301),
        ("at", "2024-03-01T10"),
        ("at", "1011121310151"),
        ("compact", 20240230),
        ("compact", 240112),
        ("compact", "2401112"),
        ("compact", 20240112.5),
        ("weight", datetime.timedelta(hours=2)),
        ("opens", datetime.date(2024, 3, 1)),
        ("opens", "25:00"),
        ("opens", "2024-03-01"),
        ("opens", "2024"),
    ],
)
def test_cells_that_could_be_misread_are_refused(name: str, cell: Any, hostile: tuple[mn.Model, Any]) -> None:
    with pytest.raises(ValueError, match=rf"column '{name}' (should hold finite numbers|holds .* but must hold)"):
        hostile[1].predict([ORDINARY | {name: cell}])


def test_rows_in_any_form(hostile: tuple[mn.Model, Any]) -> None:
    model, module = hostile
    frame = hostile_table()[:6].with_columns(
        polars.Series("euros", [1000.5, 2001.5, 3002.5, 4003.5, 5004.5, 6005.5]),
        polars.Series("took", [86_400.0 * i + 14_400 for i in range(6)]),
        polars.Series("hours", [i / 4 for i in range(6)]),
        polars.Series("weight", [i / 4 for i in range(6)]),
    )
    wanted = model.predict(hostile_table()[:6])
    for rows in (frame, frame.to_pandas(), (row for row in frame.to_dicts()), {name: frame[name] for name in frame.columns}):
        assert_close(module.predict(rows), wanted, "float32")
    for nothing in ([], {name: [] for name in frame.columns}):
        with pytest.raises(ValueError, match="there are no rows"):
            module.predict(nothing)
    with pytest.raises(ValueError, match="column '' is missing; give None"):
        module.predict({})
    for wrong in ("abc", None, [None], [[1, 2]]):
        with pytest.raises(ValueError, match="must be a list of dicts, a dict of columns, or a frame"):
            module.predict(wrong)


@pytest.mark.parametrize("scaling", ["standard", False])
def test_arrays_that_do_not_fit_are_refused(scaling: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    model = mn.train(
        x, np.digitize(x[:, 0], [-0.5, 0.5]), mn.MLP(hidden=(4,)), mn.Recipe(epochs=2), scaling=scaling, progress=False
    )
    to_python(model, tmp_path / "m.py", X=x)
    module = module_in(tmp_path / "m.py")
    assert (module.predict(x) == model.predict(x)).all()
    for wrong in ([1, 2, 3], [[1, 2]], [[1, 2, 3, 4]], np.zeros((0, 3)), np.zeros((1, 1, 3))):
        with pytest.raises(ValueError, match=r"have shape .* but must be \(N, 3\)"):
            module.predict(wrong)
    with pytest.raises(ValueError, match=r"should hold finite numbers.*, but holds inf|missing or too large"):
        module.predict([[1, 2, math.inf]])
    if scaling is False:
        with pytest.raises(ValueError, match=r"row 1 .* missing or too large"):
            module.predict([[1, 2, 3], [1, math.nan, 3]])


def test_the_name_of_a_module(tmp_path: Path) -> None:
    x = np.zeros((8, 1), dtype=np.float32)
    model = mn.train(x, [0, 1] * 4, mn.MLP(hidden=()), mn.Recipe(epochs=1), progress=False)
    with pytest.raises(OptionError, match=r"ends in \.py"):
        to_python(model, tmp_path / "m.txt")
    for name, why, better in (
        ("class", "it is a keyword of Python", "model_class"),
        ("houses-1", "only letters, digits and _", "houses_1"),
        ("1st", "begins with no digit", "model_1st"),
        ("a b.c", "only letters", "a_b_c"),
        ("json", "would hide the module 'json'", "model_json"),
        ("numpy", "would hide", "model_numpy"),
    ):
        with pytest.raises(OptionError, match=rf"path is .*{name}\.py', but .*{why}.*; write {better}\.py"):
            to_python(model, tmp_path / f"{name}.py")
        to_python(model, tmp_path / f"{better}.py")
        assert module_in(tmp_path / f"{better}.py").predict([[0.0]]).shape == (1,)
    assert not (tmp_path / "class.py").exists()


@pytest.mark.parametrize("means", [False, True])
@pytest.mark.parametrize("kind", ["floats", "bools"])
def test_categories_in_another_spelling(kind: str, means: bool, tmp_path: Path) -> None:
    """Levels that are stored as 1.0, or as True, are found by the numbers 1.0 and 1, as the model finds them."""
    onnxruntime = pytest.importorskip("onnxruntime")
    number = np.arange(120) % (6 if kind == "floats" else 2)
    cells = number * 0.5 if kind == "floats" else number == 1
    y = number + np.arange(120) % 3 / 10.0
    encoder = fit_encoder(pandas.DataFrame({"x": pandas.Categorical(cells)}), max_levels=1, **({"target": y} if means else {}))
    model = fitted(pandas.DataFrame({"x": pandas.Categorical(cells)}), y, encoder=encoder)
    to_python(model, tmp_path / "m.py")
    module = module_in(tmp_path / "m.py")
    model.to_onnx(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    for written in (pandas.Categorical(cells), cells * 1.0, [str(cell * 1.0) for cell in cells]):
        frame = pandas.DataFrame({"x": written})
        wanted = model.predict(frame)
        assert len(set(wanted)) > 1
        assert_close(module.predict(frame), wanted, "float32")
        assert_close(session.run(["prediction"], model_inputs(model, frame))[0], wanted, "float32")
        texts = np.array([str(cell).removesuffix(".0") for cell in written], dtype=object)
        assert_close(session.run(["prediction"], {"x": texts[:, None]})[0], wanted, "float32")


@pytest.mark.parametrize("learned", ["float32", "float64"])
def test_decimal_categories_in_float32_and_in_float64(learned: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    number = np.arange(120)
    cells = number % 6 * 0.1
    model = fitted(pandas.DataFrame({"x": pandas.Categorical(cells.astype(learned))}), number % 6 + number % 7 / 10)
    to_python(model, tmp_path / "m.py")
    model.to_onnx(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    for kind in ("float32", "float64"):
        frame = pandas.DataFrame({"x": cells.astype(kind)})
        wanted = model.predict(frame)
        assert_close(module_in(tmp_path / "m.py").predict(frame), wanted, "float32")
        texts = np.array([repr(cell) for cell in frame["x"].tolist()], dtype=object)
        assert_close(session.run(["prediction"], {"x": texts[:, None]})[0], wanted, "float32")


def test_a_frame_whose_columns_have_numbers_as_names(tmp_path: Path) -> None:
    frame = pandas.DataFrame(np.arange(24.0).reshape(12, 2) % 7)
    model = fitted(frame, frame[0] * 2)
    to_python(model, tmp_path / "m.py", X=frame)
    assert_close(module_in(tmp_path / "m.py").predict(frame), model.predict(frame), "float32")


def test_a_column_without_a_value_in_training_may_hold_anything(tmp_path: Path) -> None:
    frame = polars.DataFrame({"x": np.arange(60.0) % 11, "never": polars.Series([None] * 60, dtype=polars.Float64)})
    with pytest.warns(UserWarning, match="all values are missing in never"):
        model = fitted(frame, np.where(np.arange(60) % 2, "yes", "no"))
    to_python(model, tmp_path / "m.py", X=frame)
    rows = polars.DataFrame({"x": [1.0, 5.0], "never": ["red", None]})
    assert module_in(tmp_path / "m.py").predict(rows.to_dicts()).tolist() == model.predict(rows).tolist()
