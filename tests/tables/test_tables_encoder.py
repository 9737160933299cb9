"""Understanding frames, fitting encoders, transforming."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow  # type: ignore[import-untyped]
import pytest
import torch
from sklearn.preprocessing import FunctionTransformer

from manynets.errors import DataError
from manynets.tables import TableEncoder, fit_encoder, read_table, split_target, understand
from manynets.tables.columns import NumericColumn
from manynets.tables.written import PLAIN

MIXED = {
    "size": [1.0, None, 3.0, 8.0],
    "rooms": [1, 2, 2, 3],
    "color": ["red", None, " blue", "red"],
    "new": [True, False, True, True],
    "sold": ["2024-01-31", "2024-02-29", None, "2024-01-31"],
}


def test_the_same_matrix_from_every_kind_of_frame(make: Callable[[dict[str, Any]], Any]) -> None:
    frame = make(MIXED)
    assert [column.kind for column in understand(frame)] == ["numeric", "numeric", "categorical", "categorical", "date"]
    assert [column.missing for column in understand(frame)] == [1, 0, 1, 0, 1]
    encoder = fit_encoder(frame)
    matrix = encoder.transform(frame)
    assert encoder.feature_names == (
        *("size", "size=missing", "rooms", "color=blue", "color=red", "color=(missing)", "new=False", "new=True"),
        *("sold.month", "sold.month.sin", "sold.month.cos", "sold.day", "sold.weekday", "sold.weekday.sin", "sold.weekday.cos"),
        "sold=missing",
    )
    # size: mean 4, variance (9 + 1 + 16) / 3, median 3; rooms: mean 2, variance 1/2
    np.testing.assert_allclose(matrix[:, 0], np.array([-3.0, -1.0, -1.0, 4.0]) / math.sqrt(26 / 3), rtol=1e-6)
    assert matrix[:, 1].tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(matrix[:, 2], np.array([-1.0, 0.0, 0.0, 1.0]) * math.sqrt(2), rtol=1e-6)
    assert matrix[:, 3:8].tolist() == [[0, 1, 0, 0, 1], [0, 0, 1, 1, 0], [1, 0, 0, 0, 1], [0, 1, 0, 0, 1]]
    assert matrix[:, 15].tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(matrix[:2, 9], [math.sin(math.pi / 6), math.sin(math.pi / 3)], rtol=1e-6)
    assert matrix[2, 9] == matrix[0, 9]  # the median month of 1, 2, 1
    assert matrix.tobytes() == fit_encoder(polars.DataFrame(MIXED)).transform(polars.DataFrame(MIXED)).tobytes()


def test_an_encoder_serves_every_kind_of_frame(make: Callable[[dict[str, Any]], Any]) -> None:
    encoder = fit_encoder(polars.DataFrame(MIXED))
    assert encoder.transform(make(MIXED)).tobytes() == encoder.transform(polars.DataFrame(MIXED)).tobytes()


def test_blocks_lead_back_to_the_columns() -> None:
    encoder = fit_encoder(polars.DataFrame(MIXED))
    assert [(block.name, block.kind, block.start, block.stop) for block in encoder.blocks] == [
        ("size", "numeric", 0, 2),
        ("rooms", "numeric", 2, 3),
        ("color", "categorical", 3, 6),
        ("new", "categorical", 6, 8),
        ("sold", "date", 8, 16),
    ]
    assert encoder.feature_names[encoder.blocks[2].slice] == ("color=blue", "color=red", "color=(missing)")
    assert encoder.width == 16


def test_names_of_the_output_for_scikit_learn() -> None:
    frame = pandas.DataFrame(MIXED)
    encoder = fit_encoder(frame)
    assert encoder.get_feature_names_out().tolist() == list(encoder.feature_names)
    step = FunctionTransformer(encoder.transform, feature_names_out=lambda _, names: encoder.get_feature_names_out(names))
    found = step.set_output(transform="pandas").fit_transform(frame)
    assert list(found.columns) == list(encoder.feature_names)
    assert found.to_numpy().tobytes() == encoder.transform(frame).tobytes()


def test_generated_names_never_clash() -> None:
    frame = polars.DataFrame({"a": [1.0, None], "a=missing": [2, 3], "b": ["x", None], "b=x": [4, 5], "c": ["(missing)", None]})
    encoder = fit_encoder(frame)
    assert encoder.feature_names == (
        *("a", "a=missing (2)", "a=missing", "b=x (2)", "b=(missing)", "b=x", "c=(missing)", "c=(missing) (2)"),
    )
    assert TableEncoder.from_json(encoder.to_json()).feature_names == encoder.feature_names


def test_many_rows_are_encoded_piece_by_piece() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5000, 3)) * [1.0, 10.0, 100.0]
    values[4321, 1] = np.nan
    encoder = fit_encoder(values)
    matrix = encoder.transform(values)
    mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    filled = np.where(np.isnan(values), np.nanmedian(values, axis=0), values)
    expected = (filled - mean) / std
    np.testing.assert_allclose(matrix[:, [0, 1, 3]], expected, rtol=0, atol=1e-6)
    assert np.flatnonzero(matrix[:, 2]).tolist() == [4321]
    wide = fit_encoder(np.tile(values, (1, 400)))  # 1024 rows a piece
    tiled = wide.transform(np.tile(values, (1, 400)))
    np.testing.assert_array_equal(tiled[:, -4:], matrix)
    wrong = np.tile(values, (1, 400))
    wrong[3000, 5] = np.inf
    with pytest.raises(DataError, match=r"'x5' holds 1 infinite value, the first in row 3000"):
        wide.transform(wrong)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint16, bool, object])
def test_arrays_of_every_dtype(dtype: Any) -> None:
    array = np.array([[0, 1], [1, 0], [1, 1], [0, 0]]).astype(dtype)
    encoder = fit_encoder(array)
    assert encoder.feature_names == ("x0", "x1")
    assert encoder.transform(array).tolist() == [[-1, 1], [1, -1], [1, 1], [-1, -1]]


def test_arrays_with_declared_columns() -> None:
    array = np.array([[1.0, 5, 0], [2, 6, 0], [1, 7, 0]])
    encoder = fit_encoder(array, categorical=["x0"], drop=["x2"])
    assert encoder.feature_names == ("x0=1", "x0=2", "x1")
    assert encoder.transform(array)[:, :2].tolist() == [[1, 0], [0, 1], [1, 0]]
    again = TableEncoder.from_json(encoder.to_json())
    assert again.transform(array).tobytes() == encoder.transform(array).tobytes()
    with pytest.raises(DataError, match="X has 2 columns, but this model was trained on 3"):
        encoder.transform(array[:, :2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, object])
def test_case_13_nan_and_inf(dtype: Any) -> None:
    clean = np.array([[1.0], [2.0], [6.0]])
    encoder = fit_encoder(clean)
    # no gaps at fit: the median, and no indicator
    assert encoder.transform(np.array([[np.nan]], dtype=dtype)) == encoder.transform(np.array([[2.0]]))
    bad = np.array([[1.0], [np.inf], [-np.inf]], dtype=dtype)
    with pytest.raises(DataError, match=r"column 'x0' holds 2 infinite values, the first in row 1"):
        encoder.transform(bad)
    with pytest.raises(DataError, match="'x0' holds 2 infinite values"):
        fit_encoder(bad)
    with pytest.raises(DataError, match="'a' holds 1 infinite"):
        understand(polars.DataFrame({"a": [1.0, math.inf]}))


@pytest.mark.parametrize("size", [1e39, 1e300, 1e-300])
def test_case_15_huge_magnitudes_are_scaled_in_float64(size: float) -> None:
    array = np.array([[-size], [size], [size], [-size]])
    for scaling in ("standard", "robust"):
        assert np.abs(fit_encoder(array, scaling=scaling).transform(array)).max() <= 1.0
    assert fit_encoder(array).transform(array).tolist() == [[-1], [1], [1], [-1]]


def test_case_15_what_leaves_float32_is_an_error() -> None:
    most = np.finfo(np.float64).max
    assert np.isfinite(fit_encoder(np.array([[-most], [most], [0.0]])).transform(np.array([[most], [0.0]]))).all()
    with pytest.raises(DataError, match=r"row 8 .*holds 1e\+300"):  # the interquartile range is 4, the outlier too far out
        fit_encoder(np.array([[1.0], [2], [3], [4], [5], [6], [7], [8], [1e300]]), scaling="robust")


@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_numbers_far_from_those_seen_at_fit_count_as_the_limit(scaling: Any) -> None:
    seen = np.array([[0.0, 7.0], [3.0, 7.0], [6.0, 7.0], [10.0, 7.0]])
    encoder = fit_encoder(seen, scaling=scaling)
    assert [column.limits for column in encoder.columns if isinstance(column, NumericColumn)] == [(-1.0, 11.0), (7.0, 7.0)]
    at_limits = encoder.transform(np.array([[-1.0, 7.0], [11.0, 7.0]]))
    far = np.array([[-1e39, 6.0], [12.0, 7.0]])
    np.testing.assert_array_equal(encoder.transform(far), at_limits)
    unlimited = NumericColumn(name="x0", spread=encoder.columns[0].spread, fill=1.0, gaps=False)  # type: ignore[union-attr]
    plain = TableEncoder(columns=(unlimited,), positional=True)
    np.testing.assert_array_equal(encoder.transform(seen)[:, :1], plain.transform(seen[:, :1]))
    within = np.array([[-0.9, 7.0], [10.9, 7.0], [np.nan, 7.0]])
    np.testing.assert_array_equal(encoder.transform(within)[:2, 0], plain.transform(within[:2, :1])[:, 0])
    assert encoder.check(within[:2]) == []
    assert encoder.check(within) == [
        "column 'x0': 1 of 3 rows have no value, though all rows in training had one; they count as the median, 4.5"
    ]
    assert encoder.check(far) == [
        "column 'x0': 2 values far outside the training range were clipped to -1 to 11",
        "column 'x1': 1 value far outside the training range was clipped to 7 to 7",
    ]


def test_case_16_integers_above_2_to_24_stay_distinct() -> None:
    frame = polars.DataFrame({"id_like": [16777216, 16777217]})
    assert fit_encoder(frame).transform(frame).tolist() == [[-1], [1]]


@pytest.mark.parametrize("scaling", ["standard", "robust", "quantile"])
@pytest.mark.parametrize("values", [[14.62] * 7, [14.62] * 6 + [math.nan], [0.0] * 3, [0.1 + 0.2, 0.3], [5e-324] * 2])
def test_case_17_constant_column(scaling: Any, values: list[float]) -> None:
    array = np.array(values)[:, None]
    encoder = fit_encoder(array, scaling=scaling)
    if scaling != "quantile" or len(set(values)) == 1:
        np.testing.assert_allclose(encoder.transform(array)[:, 0], 0.0, atol=1e-15)
        assert encoder.transform(np.array([[values[0] + 2.0]]))[0, 0] in (2.0, 0.0)  # scale 1
    assert np.isfinite(encoder.transform(array)).all()
    assert encoder.width == (2 if math.isnan(values[-1]) else 1)


def test_case_18_all_missing_column_keeps_its_width() -> None:
    array = np.array([[1.0, np.nan], [2.0, np.nan]])
    with pytest.warns(UserWarning, match="all values are missing in x1: encoded as 0"):
        encoder = fit_encoder(array)
    assert encoder.transform(np.array([[1.0, np.nan], [2.0, 99.0]])).tolist() == [[-1, 0], [1, 0]]
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [None, None], "c": ["", " "]})
    with pytest.warns(UserWarning, match="missing in b, c"):
        encoder = fit_encoder(frame)
    assert encoder.transform(frame).tolist() == [[-1, 0, 0], [1, 0, 0]]
    new = pandas.DataFrame({"a": [1.0, 2.0], "b": ["red", None], "c": ["3", "lots"]})
    assert encoder.transform(new).tolist() == [[-1, 0, 0], [1, 0, 0]]
    assert encoder.check(new) == []
    with pytest.warns(UserWarning, match="missing in x1, x2, x3, x4, x5, x6, x7, x8 and 22 more: encoded as 0"):
        fit_encoder(np.hstack([array, np.full((2, 29), np.nan)]))
    assert TableEncoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder


def test_case_19_unseen_category(make: Callable[[dict[str, Any]], Any]) -> None:
    encoder = fit_encoder(polars.DataFrame({"c": ["a", "b", "a"]}))
    frame = make({"c": ["a", "new", None, "b"]})
    assert encoder.transform(frame).tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]
    assert encoder.check(frame) == ["column 'c': 1 row has a category not seen in training: 'new'"]
    with pytest.raises(
        DataError, match=r"'c' holds categories not seen in training: 'new'; the first is in row 1 .* Known are 'a', 'b'"
    ):
        encoder.transform(frame, strict=True)


def test_case_19_rare_levels_share_a_column_with_unseen_ones() -> None:
    labels = ["a"] * 150 + ["b"] * 97 + ["c", "d", None]
    encoder = fit_encoder(polars.DataFrame({"c": labels}))
    assert encoder.feature_names == ("c=a", "c=b", "c=(rare)", "c=(missing)")
    frame = polars.DataFrame({"c": ["a", "c", "new", None]})
    assert encoder.transform(frame).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert encoder.transform(frame[:2], strict=True).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]  # a rare level is not unseen
    few = fit_encoder(polars.DataFrame({"c": labels}), max_levels=1, min_count=1)
    assert few.feature_names == ("c=a", "c=(rare)", "c=(missing)")


@pytest.mark.parametrize(("rows", "fewest"), [(199, 1), (200, 2), (29_999, 2), (30_000, 3)])
def test_the_fewest_rows_of_a_level_with_an_output_of_its_own(rows: int, fewest: int) -> None:
    labels = [f"{count} rows" for count in (1, 2, 3) for _ in range(count)]
    encoder = fit_encoder(polars.DataFrame({"c": labels + ["other"] * (rows - len(labels))}), categorical=["c"])
    assert [f"c={count} rows" in encoder.feature_names for count in (1, 2, 3)] == [count >= fewest for count in (1, 2, 3)]


def test_case_20_columns_are_matched_by_name(make: Callable[[dict[str, Any]], Any]) -> None:
    data = {"a": [1.0, 2.0, 3.0, 4.0], "b": ["x", "y", "x", "y"], "c": [4, 3, 2, 2]}
    encoder = fit_encoder(make(data))
    turned = make({"c": data["c"], "extra": [0, 0, 0, 1], "b": data["b"], "a": data["a"]})
    assert encoder.transform(turned).tobytes() == encoder.transform(make(data)).tobytes()
    assert encoder.check(turned) == ["ignored, as the model does not know them: extra"]
    for fails in (encoder.transform, encoder.check):
        with pytest.raises(DataError, match="2 columns are missing from the table: 'a', 'c'; it has 'b'"):
            fails(make({"b": data["b"]}))
    with pytest.raises(DataError, match="'c'; it has 'a', 'b', 'C'; if its 'C' is 'c', rename it"):
        encoder.transform(make({"a": data["a"], "b": data["b"], "C": data["c"]}))
    with pytest.raises(DataError, match="1 column is missing from the table: 'c'"):
        encoder.transform(make({"a": data["a"], "b": data["b"]}))


def test_case_21_duplicate_names() -> None:
    message = r"column names must be unique, but these are not: 'a' \(2 times\)"
    with pytest.raises(DataError, match=message):
        fit_encoder(pandas.DataFrame(np.ones((2, 3)), columns=["a", "b", "a"]))
    with pytest.raises(DataError, match=message):
        understand(pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["a", "a"]))
    with pytest.raises(DataError, match=r"'1' \(2 times\)"):
        fit_encoder(pandas.DataFrame(np.ones((2, 2)), columns=[1, "1"]))


def test_case_22_rows_are_taken_by_place_not_by_index() -> None:
    frame = pandas.DataFrame({"a": ["1", "x", "3"], "b": [1.0, 2.0, 6.0], "y": [1, 2, 3]}, index=[2, 0, 1])
    features, y, _ = split_target(frame, "y")
    assert y.tolist() == [1, 2, 3]
    plain = frame.reset_index(drop=True)[["a", "b"]]
    assert fit_encoder(features).transform(features).tobytes() == fit_encoder(plain).transform(plain).tobytes()


def test_case_23_nullable_and_mixed_values() -> None:
    nullable = pandas.DataFrame({"a": pandas.array([1, pandas.NA, 3], dtype="Int64")})
    assert fit_encoder(nullable).transform(nullable).tolist() == [[-1, 0], [0, 1], [1, 0]]
    mixed = pandas.DataFrame({"a": [1, 2.5, "x", pandas.NA]})
    with pytest.raises(DataError, match=r"'a' mixes text and numbers: row 2 \(counted from 0\) holds 'x'"):
        fit_encoder(mixed)
    assert fit_encoder(mixed, categorical=["a"]).feature_names == ("a=1", "a=2.5", "a=x", "a=(missing)")
    late = pandas.DataFrame({"a": pandas.Series([*"xy" * 100, 5], dtype=object)})
    with pytest.raises(DataError, match=r"'a' mixes text and numbers: row 200 \(counted from 0\) holds 5"):
        fit_encoder(late)
    assert fit_encoder(late, categorical=["a"], min_count=1).feature_names == ("a=5", "a=x", "a=y")
    gaps = pandas.DataFrame({"a": pandas.Series([math.nan] * 200 + [1.0, 3.0], dtype=object)})
    assert fit_encoder(gaps).transform(gaps)[-2:].tolist() == [[-1, 0], [1, 0]]
    with pytest.raises(DataError, match=r"'y' mixes text and numbers: row 1 .*'a'"):
        split_target(pandas.DataFrame({"x": [1, 2, 3], "y": [1, "a", 2]}), "y")
    with pytest.raises(DataError, match=r"column x1, row 0 \(counted from 0\) holds 'u'"):
        fit_encoder(np.array([[1, "u"]], dtype=object))
    encoder = fit_encoder(polars.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(DataError, match=r"'a' should hold numbers, but row 2 .* holds 'abc'"):
        encoder.transform(polars.DataFrame({"a": ["1", "NA", "abc", "def"]}))
    with pytest.raises(DataError, match="'a' should hold numbers, but is of type Date"):
        encoder.transform(polars.DataFrame({"a": [datetime.date(2024, 1, 1)]}))
    assert encoder.transform(polars.DataFrame({"a": ["1", " NA ", "2e0"]})).tolist() == [[-1], [0], [1]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([[1, 2]], "must be a pandas, polars or pyarrow frame"),
        (np.ones(3), r"shape \(3,\), but must have two"),
        (np.ones((2, 0)), "no columns"),
        (np.ones((0, 2)), "0 data rows"),
        (polars.DataFrame({"a": []}), "0 data rows"),
        (polars.DataFrame(), "no columns"),
        (polars.Series([1]), "is a Series, one column without a table; give to_frame"),
        (pandas.Series([1]), "is a Series, one column without a table; give to_frame"),
        (pandas.Categorical(["a"]), "is a pandas.*Categorical, but must be a pandas"),
        (None, "must be a pandas"),
    ],
)
def test_what_is_no_table(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit_encoder(data)


def test_lazy_frames_are_collected_and_tensors_detached() -> None:
    frame = polars.DataFrame({"a": [1.0, 3.0]})
    assert fit_encoder(frame.lazy()).transform(frame.lazy()).tolist() == [[-1], [1]]
    tensor = torch.tensor([[1.0], [3.0]], requires_grad=True)
    assert fit_encoder(tensor).transform(tensor).tolist() == [[-1], [1]]
    with pytest.raises(DataError, match='lazy frame cannot be collected: unable to find column "absent"'):
        fit_encoder(frame.lazy().select("absent"))


def test_an_unseen_category_is_shown_with_the_known_one_that_is_spelled_alike() -> None:
    encoder = fit_encoder(polars.DataFrame({"c": ["Bern", "Ulm"]}))
    (remark,) = encoder.check(polars.DataFrame({"c": ["BERN ", "Genf"]}))
    assert remark.endswith("not seen in training: 'BERN' (known is 'Bern'), 'Genf'")
    (remark,) = encoder.check(polars.DataFrame({"c": ["Llanfair" * 50]}))
    assert remark.endswith("not seen in training: 'LlanfairLlanfairLlanfairLlanfairLlanf...'")


def test_arrays_and_frames_are_not_mistaken_for_each_other() -> None:
    with pytest.raises(DataError, match="give a frame with the columns 'a', 'b'"):
        fit_encoder(polars.DataFrame({"a": [1, 2], "b": [1, 3]})).transform(np.ones((2, 2)))
    encoder = fit_encoder(np.array([[1.0, 5.0], [3.0, 7.0]]))
    assert encoder.transform(pandas.DataFrame({"u": [3.0], "v": [5.0]})).tolist() == [[1, -1]]  # by place, as it was fitted
    with pytest.raises(DataError, match="X has 3 columns, but this model was trained on 2"):
        encoder.transform(np.ones((2, 3)))


def test_robust_scaling_by_hand() -> None:
    array = np.array([[1.0], [2], [3], [4], [100]])
    assert fit_encoder(array, scaling="robust").transform(array).ravel().tolist() == [-1, -0.5, 0, 0.5, 48.5]
    mostly = np.array([[0.0]] * 9 + [[10.0]])  # no interquartile range: the standard deviation, 3
    assert fit_encoder(mostly, scaling="robust").transform(mostly)[-1, 0] == pytest.approx(10 / 3)


def test_quantile_scaling_by_hand() -> None:
    array = np.array([[1.0], [1.0], [5.0], [1000.0]])
    matrix = fit_encoder(array, scaling="quantile").transform(np.array([[1.0], [5.0], [1000.0], [1e9], [3.0], [-7.0]]))
    low, five, top = -0.6744897501960817, 0.3186393639643752, 1.1503493803760079  # of 1/4 (the two ones), 5/8 and 7/8
    np.testing.assert_allclose(matrix.ravel(), [low, five, top, top, (low + five) / 2, low], rtol=1e-6)
    rng = np.random.default_rng(0)
    skewed = np.exp(rng.normal(size=(10_000, 1)))
    done = fit_encoder(skewed, scaling="quantile").transform(skewed)
    assert abs(done.mean()) < 0.01
    assert abs(done.std() - 1.0) < 0.02


def test_transform_takes_little_memory_besides_its_result() -> None:
    import tracemalloc

    frame = polars.DataFrame({f"c{j}": np.random.default_rng(j).normal(size=200_000) for j in range(20)})
    encoder = fit_encoder(frame)
    tracemalloc.start()
    matrix = encoder.transform(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert matrix.nbytes == 16_000_000
    assert peak < 1.3 * matrix.nbytes


def test_what_a_column_is_is_found_on_all_rows_and_its_values_on_some() -> None:
    frame = polars.DataFrame(
        {
            "price": ["$1.234", "$2.345", "$3.456", "$1.299.500"],  # the last row says that the points stand between thousands
            "when": ["1/2/2024", "3/2/2024", "5/2/2024", "13/2/2024"],  # and that the day comes first
            "size": [1.0, 3.0, None, 1e6],
            "color": ["red", "blue", "red", "green"],
        }
    )
    rows = np.array([0, 1, 2])
    encoder = fit_encoder(frame, rows=rows)
    price, when, size, color = encoder.columns
    assert [column.kind for column in encoder.columns] == ["numeric", "date", "numeric", "categorical"]
    assert (price.fill, price.spread.center) == (2345.0, (1234 + 2345 + 3456) / 3)
    assert price.limits[1] < 4000
    assert when.form.order == "dmy"
    assert encoder.feature_names[1:3] == ("when.day", "when.weekday")
    assert (size.fill, size.spread.center, size.gaps) == (2.0, 2.0, True)
    assert (color.levels, color.rare, color.gaps) == (("blue", "red"), (), False)
    given = fit_encoder(frame[rows.tolist()], schema=understand(frame))
    assert given.columns == encoder.columns


def test_levels_that_look_like_numbers_are_read_as_written(tmp_path: Path) -> None:
    """A column that is declared categorical stays text in a file; so it must in the next one."""
    (tmp_path / "t.csv").write_text("code,q\n1.0,1\n2.50,2\n0171,3\n")
    encoder = fit_encoder(read_table(tmp_path / "t.csv", text=["code"]), categorical=["code"])
    assert encoder.forms == {"code": None, "q": PLAIN}
    (tmp_path / "new.csv").write_text("code,q\n1.0,1\n2.50,3\n")
    new = read_table(tmp_path / "new.csv", text=encoder.forms)
    assert encoder.check(new) == []
    assert encoder.transform(new)[:, :3].tolist() == [[0, 1, 0], [0, 0, 1]]
    whole = fit_encoder(polars.DataFrame({"code": [1, 2, 3], "q": [0.5, 1, 2]}), categorical=["code"])
    assert whole.forms == {"q": PLAIN}
