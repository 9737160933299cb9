"""Every type of polars, Arrow and pandas as feature, target, weight and group: it is used, or one error says why not."""

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.model_selection import GroupKFold

import manynets as mn
from manynets.errors import ManynetsError
from manynets.tables import fit_encoder, read_table, split_target
from manynets.tables.files import open_file

N = 24
COUNT, TEXT = list(range(N)), [("a", "b", "c")[i % 3] for i in range(N)]
DAYS = [dt.date(2020, 1, 1) + dt.timedelta(days=i) for i in COUNT]
STAMPS = [dt.datetime(2020, 1, 1) + dt.timedelta(hours=7 * i) for i in COUNT]
TIMES, SPANS = [dt.time(i, 5) for i in COUNT], [dt.timedelta(minutes=i) for i in COUNT]
DECIMALS, BYTES = [Decimal(i) / 4 for i in COUNT], [text.encode() for text in TEXT]
LABELS = [i % 2 for i in COUNT]
X = np.array([(7 * i) % 11 for i in COUNT], dtype=np.float64)
NUMBERS = [
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Int128",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "UInt128",
    "Float16",
    "Float32",
    "Float64",
]

POLARS = {name: pl.Series(COUNT).cast(getattr(pl, name)) for name in NUMBERS if hasattr(pl, name)} | {
    "Boolean": pl.Series([i % 2 == 0 for i in COUNT]),
    "String": pl.Series(TEXT),
    "Categorical": pl.Series(TEXT).cast(pl.Categorical),
    "Enum": pl.Series(TEXT).cast(pl.Enum(["a", "b", "c"])),
    "Date": pl.Series(DAYS),
    "Datetime": pl.Series(STAMPS),
    "Datetime in UTC": pl.Series(STAMPS).dt.replace_time_zone("UTC"),
    "Time": pl.Series(TIMES),
    "Duration": pl.Series(SPANS),
    "Decimal": pl.Series(DECIMALS),
    "Binary": pl.Series(BYTES),
    "List": pl.Series([[i, i + 1] for i in COUNT]),
    "ragged List": pl.Series([[i] * (1 + i % 2) for i in COUNT]),
    "Array": pl.Series([[i, i + 1] for i in COUNT], dtype=pl.Array(pl.Int64, 2)),
    "Struct": pl.Series([{"a": i, "b": "x"} for i in COUNT]),
    "Object": pl.Series([object() for _ in COUNT], dtype=pl.Object),
    "Null": pl.Series([None] * N),
}
ARROW = {
    "int8": pa.array(COUNT, pa.int8()),
    "halffloat": pa.array(np.array(COUNT, np.float16)),
    "decimal128": pa.array(DECIMALS),
    "decimal256": pa.array(DECIMALS, pa.decimal256(40, 2)),
    "bool": pa.array([i % 2 == 0 for i in COUNT]),
    "string": pa.array(TEXT),
    "large_string": pa.array(TEXT, pa.large_string()),
    "string_view": pa.array(TEXT, pa.string_view()),
    "binary": pa.array(BYTES),
    "fixed binary": pa.array(BYTES, pa.binary(1)),
    "dictionary": pa.array(TEXT).dictionary_encode(),
    "dictionary of numbers": pa.array([i % 3 for i in COUNT]).dictionary_encode(),
    "date32": pa.array(DAYS),
    "date64": pa.array(DAYS, pa.date64()),
    "timestamp": pa.array(STAMPS),
    "timestamp in UTC": pa.array(STAMPS, pa.timestamp("s", "UTC")),
    "time32": pa.array(TIMES, pa.time32("s")),
    "time64": pa.array(TIMES),
    "duration": pa.array(SPANS),
    "interval": pa.array([pa.MonthDayNano([1, i, 0]) for i in COUNT]),
    "null": pa.nulls(N),
    "list": pa.array([[i] for i in COUNT]),
    "large_list": pa.array([[i] for i in COUNT], pa.large_list(pa.int64())),
    "fixed list": pa.array([[i, i] for i in COUNT], pa.list_(pa.int64(), 2)),
    "list_view": pa.array([[i] for i in COUNT], pa.list_view(pa.int64())),
    "struct": pa.array([{"a": i} for i in COUNT]),
    "map": pa.array([[("k", i)] for i in COUNT], pa.map_(pa.string(), pa.int64())),
    "union": pa.UnionArray.from_sparse(pa.array([0] * N, pa.int8()), [pa.array(COUNT)]),
    "run-end encoded": pa.RunEndEncodedArray.from_arrays(pa.array([N // 2, N]), pa.array([1, 2])),
}
PANDAS = (
    {name: pd.Series(COUNT, dtype=name) for name in ("int8", "uint64", "float16", "Int64", "UInt8", "Float32", "complex128")}
    | {
        "boolean": pd.Series([i % 2 == 0 for i in COUNT], dtype="boolean"),
        "str": pd.Series(TEXT),
        "string": pd.Series(TEXT, dtype="string"),
        "category": pd.Series(TEXT, dtype="category"),
        "category of intervals": pd.cut(pd.Series(COUNT), 4),
        "datetime": pd.Series(STAMPS),
        "datetime in Paris": pd.Series(STAMPS).dt.tz_localize("Europe/Paris"),
        "timedelta": pd.Series(SPANS),
        "period": pd.Series(pd.period_range("2020-01", periods=N, freq="M")),
        "interval": pd.Series(pd.interval_range(0, N)),
        "sparse": pd.Series(pd.arrays.SparseArray([float(i % 4) for i in COUNT])),
        "objects: lists": pd.Series([[i] for i in COUNT]),
        "objects: dicts": pd.Series([{"a": i} for i in COUNT]),
        "objects: dates": pd.Series(DAYS, dtype=object),
        "objects: times": pd.Series(TIMES, dtype=object),
        "objects: decimals": pd.Series(DECIMALS, dtype=object),
        "objects: bytes": pd.Series(BYTES, dtype=object),
        "objects: None": pd.Series([None] * N, dtype=object),
        "objects: mixed": pd.Series([i if i % 2 else "a" for i in COUNT], dtype=object),
        "objects": pd.Series([object() for _ in COUNT]),
    }
    | {
        f"arrow {name}": pd.Series(pd.arrays.ArrowExtensionArray(ARROW[name]))
        for name in ("list", "struct", "decimal128", "time64")
    }
)

CASES = [
    pytest.param(library, values, id=f"{library} {name}")
    for library, table in (("polars", POLARS), ("pyarrow", ARROW), ("pandas", PANDAS))
    for name, values in table.items()
]
USED = {  # these must not be refused
    "feature": {"polars Int128", "polars UInt128", "pyarrow string_view", "pyarrow list_view", "pandas interval", "polars Enum"},
    "target": {"polars Int128", "polars Duration", "polars Decimal", "pyarrow string_view", "pyarrow run-end encoded", "polars Enum"},
    "array target": {"polars Int128", "polars UInt128", "polars Enum", "pyarrow union", "pandas category"},
    "array weight": {"polars Int128", "pandas Int64", "pandas sparse"},
    "weight": {"polars Int128", "polars Decimal", "pyarrow decimal128", "pandas Int64", "pandas sparse"},
    "group": {"polars Int128", "polars String", "pyarrow string", "pandas category", "pandas Int64"},
}  # fmt: skip


def frame_of(library: str, values: Any) -> Any:
    columns = {"x": X.tolist(), "c": values, "y": LABELS}
    if library == "polars":
        return pl.DataFrame({"x": pl.Series(X), "c": values, "y": pl.Series(LABELS)})
    return pd.DataFrame(columns) if library == "pandas" else pa.table(columns)


def as_feature(frame: Any) -> None:
    features = (
        frame.drop("y")
        if isinstance(frame, pl.DataFrame)
        else frame.drop(columns="y")
        if isinstance(frame, pd.DataFrame)
        else frame.drop(["y"])
    )
    fit_encoder(features).transform(features)
    mn.MLPClassifier(2, max_iter=1, batch_size=N).fit(features, LABELS).predict(features)


def as_target(frame: Any) -> None:
    split_target(frame, "c")


def as_array_target(frame: Any) -> None:
    mn.tasks.find_task(frame["c"]).encode(frame["c"])


def as_weight(frame: Any) -> None:
    split_target(frame, "y", weight="c")


def as_array_weight(frame: Any) -> None:
    mn.train(X[:, None], LABELS, mn.MLP(hidden=(2,)), mn.Recipe(epochs=1), sample_weight=frame["c"], progress=False)


def as_group(frame: Any) -> None:
    spec, recipe = mn.MLP(hidden=(2,)), mn.Recipe(epochs=1)
    mn.train_many(X[:, None], LABELS, [(spec, recipe)], cv=GroupKFold(2), groups=frame["c"], progress=False)


ROLES = {
    "feature": as_feature,
    "target": as_target,
    "array target": as_array_target,
    "weight": as_weight,
    "array weight": as_array_weight,
    "group": as_group,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("library", "values"), CASES)
def test_a_type_is_used_or_refused(library: str, values: Any, role: str, request: pytest.FixtureRequest) -> None:
    case = request.node.callspec.id.removesuffix(f"-{role}")
    refused = ""
    try:
        ROLES[role](frame_of(library, values))
    except ManynetsError as error:
        refused = str(error)
    assert "\n" not in refused
    assert not (refused and case in USED[role]), refused


def test_wide_integers_are_read_exactly_or_as_floats(tmp_path: Any) -> None:
    pl.DataFrame(
        {"a": pl.Series([1, None, 2**62 + 1], dtype=pl.Int128), "b": pl.Series([1, 2, 2**100], dtype=pl.Int128)}
    ).write_parquet(tmp_path / "wide.parquet")
    table = open_file(tmp_path / "wide.parquet")
    assert table.series("a").to_list() == [1, None, 2**62 + 1]
    assert table.series("b").to_list() == [1.0, 2.0, float(2**100)]
    assert fit_encoder(read_table(tmp_path / "wide.parquet"), numeric=["a"]).width == 3


@pytest.mark.parametrize("role", ["y", "groups", "times", "stratify"])
@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pl.Series([1, 2, 3] * 8).cast(pl.Int128), ""),
        (pl.Series([1, 2, 3] * 8).cast(pl.Decimal(10, 2)), ""),
        (pd.Series([Decimal(1), Decimal(2)] * 12, index=[7] * 24), ""),
        ([Decimal(1), None] * 12, "is missing in 12 of 24 rows"),
        (pl.Series([[1], [2]] * 12), "holds values of type ndarray, the first in row 0"),
        (pd.Series([[1], [2, 3]] * 12), "holds values of type list, the first in row 0"),
        (pd.Series([{}, {}] * 12), "holds values of type dict, the first in row 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*identical to a row that is trained on")
def test_a_series_beside_a_frame(role: str, values: Any, words: str) -> None:
    frame, spec, recipe = pl.DataFrame({"a": X}), mn.MLP(hidden=(2,)), mn.Recipe(epochs=1)
    more = {} if role == "y" else {role: values}

    def train() -> mn.Model:
        return mn.train(frame, values if role == "y" else LABELS, spec, recipe, validation=0.25, progress=False, **more)

    if words:
        with pytest.raises(mn.DataError, match=f"{role} {words}"):
            train()
    else:
        assert train().size == 1


@pytest.mark.parametrize("kind", [pl.Date, pl.Datetime, pl.Time, pl.Duration, pl.String, pl.Boolean])
def test_a_column_without_values_adds_nothing_whatever_its_type(kind: Any) -> None:
    with pytest.warns(UserWarning, match="all values are missing in never: encoded as 0"):
        encoder = fit_encoder(pl.DataFrame({"never": pl.Series([None] * N, dtype=kind), "a": X}))
    assert encoder.column_names == ("never", "a")
    assert not encoder.transform(pl.DataFrame({"never": pl.Series([None] * 2, dtype=kind), "a": X[:2]}))[:, 0].any()
