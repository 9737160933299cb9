"""What cannot be trained is answered with one clear error: the value, what is allowed, the fix."""

from __future__ import annotations

import dataclasses
import datetime
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars as pl
import pytest
import torch
from scipy import sparse
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import manynets as mn

X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.arange(12) % 3
FRAME = pl.DataFrame(X, schema=["a", "b", "c"])
SPEC = mn.MLP(hidden=(4,))
RECIPE = mn.Recipe(epochs=1, device="cpu")


def fit(x: Any = X, y: Any = Y, spec: Any = SPEC, recipe: Any = RECIPE, **options: Any) -> mn.Model:
    return mn.train(x, y, spec, recipe, **{"scaling": False, "progress": False, **options})


def with_value(value: float) -> np.ndarray:
    x = X.copy()
    x[2, 1] = value
    return x


def one_zero(rows: int) -> np.ndarray:
    weight = np.ones(12)
    weight[:rows] = 0
    return weight


class Pair(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 3)

    def forward(self, x: torch.Tensor) -> Any:
        return super().forward(x), x


DATA: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({"x": with_value(np.nan)}, r"X has 1 NaN and 0 infinite values \(the first in row 2, column 1\); fill them"),
    "inf": ({"x": with_value(-np.inf)}, r"X has 0 NaN and 1 infinite value \(the first in row 2, column 1\)"),
    "nan in a tensor": ({"x": torch.from_numpy(with_value(np.nan))}, "X has 1 NaN"),
    "too large": ({"x": with_value(1e39)}, r"X column 1 reaches 1e\+39, but float32 ends at 3.4e\+38; scale it"),
    "three axes": ({"x": X[:, :, None]}, r"X has shape \(12, 3, 1\), but must be .*; flatten .* X.reshape\(len\(X\), -1\)"),
    "one axis": ({"x": X[:, 0]}, r"X has shape \(12,\), but must be \(rows, columns\); .* one column X.reshape\(-1, 1\)"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, r"X is empty: it has shape \(0, 3\)"),
    "no columns": ({"x": X[:, :0]}, r"X is empty: it has shape \(12, 0\)"),
    "no rows of a frame": ({"x": FRAME.head(0)}, r"X is empty: it has shape \(0, 3\)"),
    "lazy frame": ({"x": FRAME.lazy()}, r"X is a LazyFrame, but must be an array, .*; give X.collect\(\)"),
    "series": ({"x": FRAME["a"]}, r"X is a Series, but must be an array, .*; one column is X.to_frame\(\)"),
    "number": ({"x": 3.0}, "X is 3.0, but must be an array, a tensor or a frame"),
    "y number": ({"y": 3.0}, "y is 3.0, but must be the values to predict, one for each row of X"),
    "y array of no axes": ({"y": np.array(3.0)}, r"y is array\(3.\), but must be the values to predict"),
    "y lazy frame": ({"y": FRAME.lazy()}, r"y is .*LazyFrame.*, but must be the values to predict, .*; give y.collect\(\)"),
    "y dict": ({"y": {"a": 1}}, "y is {'a': 1}, but must be the values to predict"),
    "y sparse": ({"y": sparse.csr_matrix(Y[:, None])}, r"y is sparse \(csr_matrix\); make it dense, with y.toarray\(\)"),
    "text": ({"x": np.array([[1, "a"]] * 12, dtype=object)}, r"X holds 'a' at \(0, 1\), but must be numbers"),
    "complex": ({"x": X + 1j}, "X has the type complex128, but must be real numbers"),
    "complex tensor": ({"x": torch.zeros(12, 3, dtype=torch.complex64)}, "X has the type torch.complex64"),
    "records": ({"x": np.zeros(12, dtype="f8,f8")}, r"X is a structured array, but .*; make it a frame, pandas.DataFrame\(X\)"),
    "batch": ({"x": FRAME.to_arrow().to_batches()[0]}, r"X is a RecordBatch, .*; give pyarrow.Table.from_batches\(\[X\]\)"),
    "sparse tensor": ({"x": torch.from_numpy(X).to_sparse()}, r"X is sparse \(Tensor\); make it dense, with X.to_dense\(\)$"),
    "y sparse tensor": ({"y": torch.from_numpy(Y).to_sparse()}, r"y is sparse \(Tensor\); make it dense, with y.to_dense\(\)$"),
    "masked": ({"x": np.ma.masked_equal(X, X[2, 1])}, "X has 1 masked value; fill them in"),
    "y masked": ({"y": np.ma.masked_equal(Y, 0)}, "y is masked in 4 of 12 rows"),
    "y with gaps of pandas": ({"y": pandas.array([*Y[:11], None], dtype="Int64")}, r"y is missing in 1 of 12 rows \(first: 11\)"),
    "y nan among texts": ({"y": ["a", "b", float("nan")] * 4}, r"y is missing in 4 of 12 rows \(first: 2, 5, 8, 11\)"),
    "y bytes": ({"y": np.array([b"a", b"b"] * 6)}, r"y holds b'a' \(bytes\), but labels are text, numbers or bools"),
    "y dates": ({"y": np.arange(12).astype("M8[D]")}, r"y holds datetime.date\(1970, 1, 1\) \(date\), but labels are text"),
    "y dates as numbers": ({"y": np.arange(12).astype("M8[D]"), "task": "regression"}, r"y has the type datetime64\[D\]"),
    "a module's tuple": ({"spec": Pair()}, "the module returned a tuple, but must return a tensor"),
    "dates": ({"x": np.zeros((12, 2), dtype="M8[D]")}, r"X has the type datetime64\[D\], but must be real numbers"),
    "lengths": ({"y": Y[:11]}, "X has 12 rows and y has 11; they must have the same number"),
    "no y": ({"y": None}, "y is missing: give the values to predict"),
    "one class": ({"y": np.zeros(12, dtype=int)}, "y holds one class only, 0; a classifier needs at least two"),
    "y nan": ({"y": np.where(Y == 0, np.nan, Y)}, r"y is missing in 4 of 12 rows \(first: 0, 3, 6, 9\)"),
    "y inf": ({"y": np.where(Y == 0, np.inf, 0.5)}, "y holds an infinite value in row 0"),
    "counts below zero": (
        {"y": np.where(Y == 0, -2.0, 1.5), "recipe": mn.Recipe(loss="poisson", epochs=1)},
        "y holds -2, but loss='poisson' is for counts and rates, which are not negative",
    ),
    "weight shape": ({"sample_weight": [1.0]}, r"sample_weight has shape \(1,\), but must be \(12,\)"),
    "weight below zero": ({"sample_weight": np.full(12, -1.0)}, "sample_weight holds -1.0, but weights must be finite"),
    "weight nan": ({"sample_weight": np.full(12, np.nan)}, "sample_weight holds nan"),
    "weight zero": ({"sample_weight": np.zeros(12)}, "sample_weight is zero for all 12 rows"),
    "weight zero in validation": (
        {"sample_weight": one_zero(3), "validation": [0, 1, 2]},
        "sample_weight is zero for all 3 validation rows; at least one must count",
    ),
    "weight zero in training": (
        {"sample_weight": 1 - one_zero(3), "validation": [0, 1, 2]},
        "sample_weight is zero for all 9 training rows",
    ),
    "validation out of range": ({"validation": [3, 12]}, "validation lists row 12, but rows are numbered 0 to 11"),
    "validation below zero": ({"validation": [-1]}, "validation lists row -1"),
    "validation twice": ({"validation": [3, 3]}, "validation lists row 3 twice"),
    "validation of all": ({"validation": np.arange(12)}, "validation lists all 12 rows, so none is left to train on"),
    "validation of none": ({"validation": []}, "validation"),
    "validation mask": ({"validation": np.ones(5, dtype=bool)}, "must be row numbers or a mask of 12 bools"),
    "validation columns": (
        {"validation": (X[:, :2], Y)},
        "the validation set has 2 columns, but X has 3; give both the same columns",
    ),
    "validation lengths": ({"validation": (X, Y[:5])}, "the validation set has 12 rows of X and 5 of y"),
    "validation of a number": ({"validation": (3.0, Y)}, "the validation set cannot be used: X is 3.0, but must be an array"),
    "validation of a lazy frame": (
        {"validation": (FRAME.lazy(), Y)},
        r"the validation set cannot be used: X is a LazyFrame, .*; give X.collect\(\)",
    ),
    "validation of a lazy frame beside a frame": (
        {"x": FRAME, "validation": (FRAME.lazy(), Y)},
        r"the validation set cannot be used: X is a LazyFrame, .*; give X.collect\(\)",
    ),
    "validation without y": ({"validation": (X, None)}, "the validation set cannot be used: y has shape"),
    "validation labels": ({"validation": (X, Y + 1)}, "y holds labels that the model does not know: 3"),
    "one row split": ({"x": X[:1], "y": [0.5], "validation": 0.5}, "1 row cannot be split into training and validation"),
}


@pytest.mark.parametrize("case", DATA)
def test_data(case: str) -> None:
    options, message = DATA[case]
    with pytest.raises(mn.DataError, match=message):
        fit(**options)


TURNED = {
    "hidden0.weight": np.ones((3, 4)),
    "hidden0.bias": np.ones(4),
    "output.weight": np.ones((3, 4)),
    "output.bias": np.ones(3),
}

OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "spec": ({"spec": "mlp"}, r"spec is 'mlp', but must be an MLP, such as MLP\(hidden=\(64, 64\)\), or a torch module"),
    "recipe": ({"recipe": {"epochs": 3}}, r"recipe is .*, but must be a Recipe, such as Recipe\(epochs=20\)"),
    "task": ({"task": "multclass"}, "task is 'multclass', but must be one of .*; did you mean 'multiclass'"),
    "fraction": ({"validation": 1.0}, "validation is 1.0, but a fraction must be between 0 and 1"),
    "fraction of zero": ({"validation": 0}, "validation is 0, but a fraction must be between 0 and 1"),
    "batch": ({"recipe": mn.Recipe(batch_size=13)}, "batch_size is 13, but there are 12 training rows; use at most 12, or None"),
    "batch after a split": (
        {"recipe": mn.Recipe(batch_size=12), "validation": 0.25},
        "batch_size is 12, but there are 9 training rows",
    ),
    "seed": ({"seed": -1}, "Recipe.seed is -1"),
    "loss": ({"recipe": mn.Recipe(loss="huber")}, "loss of the task 'multiclass' is 'huber'"),
    "smoothing": ({"y": X[:, 0], "recipe": mn.Recipe(label_smoothing=0.1)}, "a regression target has no labels"),
    "closed form of a module": (
        {"spec": nn.Linear(3, 3), "recipe": mn.Recipe(gradient="closed_form")},
        "gradient='closed_form' is for an MLP",
    ),
    "initial of a module": ({"spec": nn.Linear(3, 3), "initial": {}}, "initial is for an MLP"),
    "initial without a name": ({"initial": {}}, "initial has no 'hidden0.weight', but nothing; .* it needs hidden0.weight, output.weight,"),
    "initial a model": ({"initial": 5}, r"initial is 5, but must be parameters by name, such as model.members\[0\]"),
    "class weight": ({"class_weight": {0: "x"}}, "class_weight is {0: 'x'}, but 'x' is not a number"),
    "progress": ({"progress": "of course"}, "progress is 'of course', but must be 'auto', True or False"),
    "initial turned": (
        {"initial": TURNED},
        r"initial 'hidden0.weight' has shape \(3, 4\), but must be finite numbers of shape \(4, 3\)",
    ),
    "norm of one row": ({"spec": mn.MLP(batch_norm=True), "recipe": mn.Recipe(batch_size=1)}, "batch_norm needs at least 2 rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", OPTIONS)
def test_options(case: str) -> None:
    options, message = OPTIONS[case]
    with pytest.raises(mn.OptionError, match=message):
        fit(**options)


@pytest.mark.parametrize(
    "validation", ["nope", (X,), (X, Y, Y, Y), {"X": X}, FRAME, DataLoader(TensorDataset(torch.zeros(3))), True]
)
def test_what_is_no_validation(validation: Any) -> None:
    with pytest.raises(
        mn.OptionError, match=r"validation is .{,90}, but must be a fraction of the rows, row numbers or a mask, a set"
    ):
        fit(validation=validation)
    with pytest.raises(mn.OptionError, match=r"validation is .{,90}, but must be "):
        mn.train_many(X, Y, [(SPEC, RECIPE)], validation=validation, progress=False)
    with pytest.raises(mn.OptionError, match=r"validation is .{,90}, but must be "):
        mn.train(X, Y, validation=validation, progress=False)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_an_array() -> None:
    assert fit(x=np.matrix(X), scaling="standard").predict(np.matrix(X)).shape == (12,)


def test_errors_are_value_errors_and_manynets_errors() -> None:
    for kind in (mn.DataError, mn.OptionError, mn.ModelFileError):
        assert issubclass(kind, ValueError)
        assert issubclass(kind, mn.ManynetsError)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_where_there_is_none(device: str) -> None:
    with pytest.raises(mn.OptionError, match=f"'{device}', but torch finds 0 CUDA devices here; use device='cpu'"):
        fit(recipe=mn.Recipe(device=device))


def test_prediction_needs_the_columns_of_training() -> None:
    model = fit()
    for method in (model.predict, model.predict_proba, model.logits):
        with pytest.raises(mn.DataError, match="X has 2 columns, but this model was trained on 3"):
            method(X[:, :2])
        with pytest.raises(mn.DataError, match=r"X has shape \(12, 3, 1\), but must be .*; flatten each row"):
            method(X[:, :, None])
        with pytest.raises(mn.DataError, match="X has 1 NaN"):
            method(with_value(np.nan))
        with pytest.raises(mn.DataError, match=r"one row is X\.reshape"):
            method(X[0])
    with pytest.raises(mn.DataError, match="X has 12 rows and y has 3; they must have the same number"):
        model.evaluate(X, Y[:3])
    with pytest.raises(mn.DataError, match="does not know: 7"):
        model.evaluate(X, Y + 7)
    with pytest.raises(mn.DataError, match="regression has no probabilities; use predict"):
        fit(y=X[:, 0]).predict_proba(X)


def test_a_class_with_one_row_stays_in_training_with_a_warning() -> None:
    y = np.array(["a"] * 6 + ["b"] * 5 + ["rare"])
    with pytest.warns(UserWarning, match="only one row is of class rare: it stays in training and is not validated"):
        model = fit(y=y, validation=0.3)
    assert model.task.classes == ("a", "b", "rare")  # type: ignore[attr-defined]
    many = "only one row each is of the classes 0, 1, 10, 11, 2, 3, 4, 5 and 4 more: they stay in training and are not validated"
    with pytest.raises(mn.DataError, match="no class has a second row"), pytest.warns(UserWarning, match=many):
        fit(y=np.array([str(i) for i in range(12)]), validation=0.3)


@pytest.mark.parametrize("way", ["closed_form", "autograd", "module"])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_divergence_stops_with_finite_weights_and_a_warning(task: str, way: str) -> None:
    spec: Any = mn.network(SPEC, in_features=3, out_features=3 if task == "multiclass" else 1) if way == "module" else SPEC
    recipe = mn.Recipe(
        optimizer=mn.SGD(lr=1e20),
        epochs=30,
        batch_size=4,
        device="cpu",
        gradient="auto" if way == "module" else way,  # type: ignore[arg-type]
    )
    with pytest.warns(mn.DivergenceWarning, match=r"in epoch \d+, step \d+, at learning rate 1e\+20;.*clip_norm") as seen:
        model = mn.train(X, Y if task == "multiclass" else X[:, 0] * 3, spec, recipe, progress=False)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert model.info["stopped"] == ["diverged"]
    assert len(model.history["step"]) < 30
    assert all(np.isfinite(value).all() for value in model.members[0].values())


def test_a_run_that_does_not_diverge_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(recipe=dataclasses.replace(RECIPE, epochs=3), validation=0.25)


def test_a_module_must_fit() -> None:
    with pytest.raises(mn.DataError, match=r"the module returned scores of shape \(2, 2, 3\) for 2 rows"):
        fit(spec=nn.Sequential(nn.Linear(3, 6), nn.Unflatten(1, (2, 3))))
    with pytest.raises(mn.DataError, match="Flatten has no parameter that requires a gradient; there is nothing to train"):
        fit(spec=nn.Flatten())
    for outputs in (1, 2):  # one score would broadcast over three classes
        with pytest.raises(mn.DataError, match=f"the module returns {outputs} scores? a row, but this target needs 3"):
            fit(spec=nn.Linear(3, outputs))


FRAME = pl.DataFrame(X, schema=["a", "b", "c"])


@pytest.mark.parametrize("default", [False, True])
def test_a_validation_set_with_other_columns(default: bool) -> None:
    """The message says what was given, in the words of `train`."""
    how: dict[str, Any] = {"preset": "fast", "n_networks": 2} if default else {"spec": SPEC, "recipe": RECIPE}
    for given, held_out, message in (
        (X, X[:, :2], "the validation set has 2 columns, but X has 3; give both the same columns"),
        (FRAME, FRAME[["a", "b"]], "the validation set cannot be used: 1 column is missing from the table: 'c'; it has 'a', 'b'"),
        (FRAME, X, "the validation set is an array, but X is a table; give a frame with the columns a, b, c"),
    ):
        with pytest.raises(mn.DataError, match=f"^{message}$"):
            mn.train(given, Y, validation=(held_out, Y), progress=False, **how)


def test_a_model_of_a_table_is_given_an_array() -> None:
    """It is taken as encoded already: with as many columns as the table that is likely not what is meant."""
    model, kinds = fit(FRAME, scaling=None), fit(FRAME.with_columns(kind=pl.Series(["u", "v"] * 6)), scaling=None)
    for use in (lambda: model.predict(X), lambda: model.evaluate(X, Y), lambda: mn.train(X, Y, model, progress=False)):
        with pytest.warns(UserWarning, match="as encoded and scaled already; if it is not, give a frame with the columns a, b, c"):
            use()
    with pytest.raises(
        mn.DataError, match="X is an array with 3 columns, but the model was trained on a table, encoded as 5 numbers"
    ):
        kinds.predict(X)
    with pytest.raises(
        mn.DataError, match="the encoder or Model that was given is for a table with 4 columns, encoded as 5 numbers"
    ):
        mn.train(X, Y, kinds, progress=False)
    for table in (model, kinds):
        with pytest.raises(mn.DataError, match="row 0 has 2 values, but row 1 has 1"):
            table.predict([[1.0, 2.0], [3.0]])
    with pytest.raises(mn.DataError, match=r"^X has 2 columns, but this model was trained on 3$"):
        mn.train(X[:, :2], Y, fit(scaling=None), progress=False)


def test_a_loop_of_symbolic_links_is_called_one(tmp_path: Path) -> None:
    loop = tmp_path / "a.csv"
    loop.symlink_to("a.csv")
    with pytest.raises(mn.OptionError, match="a symbolic link that leads back to itself; give a file"):
        mn.train([[0.0], [1.0]] * 8, [0, 1] * 8, mn.MLP(hidden=(4,)), mn.Recipe(epochs=1), progress=False).save(loop)
    with pytest.raises(mn.DataError, match=r"a.csv is a symbolic link to a.csv, which does not exist or leads back to it"):
        mn.tables.read_table(loop)


def test_a_target_of_records_and_of_moments() -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0], "y": [{"a": 1}, {"a": 2}]})
    with pytest.raises(mn.DataError, match=r"target 'y' is not a column. The columns are: x, y.a"):
        mn.train(frame, target="y")
    moments = pl.Series([datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)])
    with pytest.raises(mn.DataError, match="make them numbers, such as days, to predict them, or text to have classes"):
        mn.train([[0.0], [1.0]], moments)
    with pytest.raises(mn.DataError, match=r"X holds 'a' at \(0, 0\).* give a table with text as a frame"):
        mn.train([["a"], ["b"]], [0, 1])
