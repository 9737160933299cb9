"""Columns of frames besides numbers, text and dates: durations, times, periods, intervals, sparse ones, decimals, lists."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow  # type: ignore[import-untyped]
import pytest

from manynets.errors import DataError
from manynets.tables import Column, TableEncoder, fit_encoder, open_table, split_target, understand
from manynets.tables.dates import date_parts
from tests.tolerances import assert_close

DAY = datetime.timedelta(days=1)
EXPECTED = [[-1.0], [1.0]]

BEYOND_FLOAT64 = [2**60 + 3, None, -(2**61), 5] * 3


def column(values: Any, frame: Any = pandas.DataFrame) -> Any:
    """Make a frame of one column."""
    return frame({"a": values})


NUMBERS: dict[str, Any] = {
    "timedelta": column(pandas.to_timedelta(["1 days", "3 days"])),
    "timedelta objects": column(pandas.Series([DAY, 3 * DAY], dtype=object)),
    "polars duration": column([DAY, 3 * DAY], polars.DataFrame),
    "arrow duration": column([DAY, 3 * DAY], pyarrow.table),
    "another byte order": column(np.array([1.5, 2.5], dtype=">f8")),
    "whole, another byte order": column(np.array([1, 2], dtype=">i4")),
    "sparse": column(pandas.arrays.SparseArray([0.0, 3.0])),
    "sparse whole": column(pandas.arrays.SparseArray([0, 3])),
    "interval": column(pandas.arrays.IntervalArray.from_tuples([(0, 1), (1, 5)])),
    "open interval": column(pandas.arrays.IntervalArray.from_tuples([(-np.inf, 1), (1, np.inf), (0, 4)])[[0, 2]]),
    "decimal objects": column([decimal.Decimal("1.5"), decimal.Decimal("2.5")]),
    "polars decimal": column([decimal.Decimal("1.5"), decimal.Decimal("2.5")], polars.DataFrame),
    "arrow decimal": column([decimal.Decimal("1.5"), decimal.Decimal("2.5")], pyarrow.table),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers(kind: str) -> None:
    frame = NUMBERS[kind]
    assert understand(frame)[0].kind == "numeric"
    encoder = fit_encoder(frame)
    assert encoder.transform(frame).tolist() == EXPECTED
    again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again.transform(frame).tolist() == EXPECTED


def test_durations_are_in_seconds_whatever_their_form() -> None:
    encoder = fit_encoder(NUMBERS["timedelta"])
    assert understand(NUMBERS["timedelta"])[0].note == "durations, read in seconds"
    for values in (["1 days 00:00:00", "P3D"], [86400, 259200], pandas.to_timedelta(["1 days", "3 days"])):
        assert encoder.transform(column(values)).tolist() == EXPECTED
    gaps = column(pandas.to_timedelta(["1 days", None, "3 days"]))
    assert fit_encoder(gaps).transform(gaps).tolist() == [[-1, 0], [0, 1], [1, 0]]
    y = split_target(pandas.DataFrame({"x": [1, 2], "y": pandas.to_timedelta(["1 days", "3 days"])}), "y")[1]
    assert y.tolist() == [86400.0, 259200.0]


HOURS = [1.5, None, 20.0, 0.25]
DURATIONS = [None if hours is None else datetime.timedelta(hours=hours) for hours in HOURS]
SHORT: dict[str, Any] = {
    "timedelta64": column(pandas.to_timedelta(DURATIONS)),
    "objects": column(pandas.Series(DURATIONS, dtype=object)),
    "NumPy objects": column(pandas.Series([None if one is None else np.timedelta64(one) for one in DURATIONS], dtype=object)),
    "polars": column(DURATIONS, polars.DataFrame),
    "polars objects": polars.DataFrame({"a": polars.Series(DURATIONS, dtype=polars.Object)}),
    "arrow": column(DURATIONS, pyarrow.table),
}


@pytest.mark.parametrize("kind", SHORT)
def test_durations_under_a_day_are_no_times_of_day(kind: str) -> None:
    assert understand(SHORT[kind])[0].note == "durations, read in seconds"
    encoder = fit_encoder(SHORT["timedelta64"])
    assert fit_encoder(SHORT[kind]).to_json() == encoder.to_json()
    assert encoder.transform(SHORT[kind]).tolist() == encoder.transform(SHORT["timedelta64"]).tolist()
    mixed = column(pandas.Series([*DURATIONS, "soon"], dtype=object))
    with pytest.raises(DataError, match="holds 'soon'"):
        encoder.transform(mixed)


def test_durations_in_a_column_of_another_unit_or_of_times_of_day() -> None:
    minutes = fit_encoder(column([None if hours is None else f"{60 * hours:g} min" for hours in HOURS]))
    wanted = minutes.transform(column([None if hours is None else 60 * hours for hours in HOURS]))
    assert minutes.transform(SHORT["timedelta64"]).tolist() == wanted.tolist()
    with pytest.raises(DataError, match="column 'a' is in 'kg', but holds durations; convert it to 'kg'"):
        fit_encoder(column(["2 kg", "5 kg"])).transform(SHORT["polars"])
    times = column([datetime.time(1, 30), None, datetime.time(20), datetime.time(0, 15)])
    clock = fit_encoder(times)
    assert clock.transform(SHORT["objects"]).tolist() == clock.transform(times).tolist()
    with pytest.raises(DataError, match=r"should hold times of day, but row 1 .* holds 72 hours"):
        clock.transform(column([DAY / 2, 3 * DAY]))


def test_periods_are_the_moment_at_which_they_start() -> None:
    frame = column(pandas.PeriodIndex(["2024-01", "2024-03"], freq="M"))
    assert (understand(frame)[0].kind, understand(frame)[0].example) == ("date", "2024-01-01")
    assert fit_encoder(frame).transform(frame)[:, 0].tolist() == [-1, 1]


def test_a_target_of_whole_numbers_keeps_them() -> None:
    def target(values: Any) -> Any:
        return split_target(pandas.DataFrame({"x": [1, 2], "y": values}), "y")[1]

    for values in (pandas.Categorical([2, 0]), pandas.Series([2, 0], dtype=object), ["2", "0"], np.array([2, 0], dtype=">i4")):
        assert (target(values).tolist(), target(values).dtype) == ([2, 0], np.int64)
    large = np.array([2**64 - 1, 3], dtype=np.uint64)
    assert target(large).tolist() == large.tolist()
    assert target(["2.5", "0"]).tolist() == [2.5, 0.0]
    assert target([str(2**60), "0"]).dtype == np.float64


def test_targets_that_are_no_numbers_or_labels() -> None:
    with pytest.raises(DataError, match="target 'y' is of type complex128; targets must be real numbers or labels"):
        split_target(pandas.DataFrame({"x": [1, 2], "y": [1j, 2j]}), "y")
    days = pandas.DataFrame({"x": range(21), "y": pandas.date_range("2024-01-01", periods=21)})
    for frame in (days, days.astype(str)):
        with pytest.warns(
            UserWarning, match="target 'y' holds dates: its 21 different values are classes; .* numbers, such as days"
        ):
            split_target(frame, "y")
        assert split_target(frame.head(20), "y")[1].dtype.kind == "U"


def test_a_target_that_is_no_text() -> None:
    frame = pandas.DataFrame(np.eye(2))
    with pytest.raises(DataError, match=r"target is 1, but must be the name of a column as text, .*; write target='1'"):
        split_target(frame, 1)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"target is 2, but must be the name of .*; the columns are: 0, 1"):
        split_target(frame, 2)  # type: ignore[arg-type]
    pairs = frame.set_axis(pandas.MultiIndex.from_tuples([("a", "x"), ("a", "y")]), axis=1)
    with pytest.raises(DataError, match=r"""write target="\('a', 'y'\)\""""):
        split_target(pairs, ("a", "y"))
    with pytest.raises(DataError, match=r"target is \[\], but must name at least one column; the columns are: 0, 1"):
        split_target(frame, [])


@pytest.mark.parametrize("values", [np.array([1j, 2j]), [[{"a": 1}], [{"a": 2}]]])
def test_a_type_that_cannot_be_used_is_named_without_advice(values: Any) -> None:
    frame = (pandas.DataFrame if isinstance(values, np.ndarray) else polars.DataFrame)({"b": [1.5, 2.5], "a": values})
    kind = "complex128" if isinstance(values, np.ndarray) else r"List\(Struct\(.*\)\)"
    with pytest.warns(UserWarning, match=rf"left out: a \(values of type {kind} cannot be used\)$"):
        fit_encoder(frame)


class NoTextOfItsOwn:
    """Its text holds its address in memory."""


@pytest.mark.parametrize("values", [[{"a", "b"}, {"c"}], [frozenset("ab"), None], [NoTextOfItsOwn(), "a"], [lambda: 1, None]])
def test_objects_whose_text_differs_from_process_to_process_are_left_out(values: list[Any]) -> None:
    frame = pandas.DataFrame({"b": [1.5, 2.5] * 5, "a": values * 5})
    kind = type(values[0]).__name__
    with pytest.warns(
        UserWarning, match=rf"left out: a \(values of type {kind}, whose text differs from process to process, cannot"
    ):
        assert fit_encoder(frame).column_names == ("b",)
    with pytest.raises(
        DataError, match=f"column 'a' is of type {kind}, .* cannot be categorical; make it text or numbers, or drop it"
    ):
        fit_encoder(frame, categorical=["a"])


@pytest.mark.parametrize("fitted", ["float32", "float64"])
def test_a_category_is_found_in_float32_and_in_float64(fitted: str) -> None:
    values = np.array([0.1, 1234567.9, 1e-5, 0.5] * 5)
    frame = pandas.DataFrame({"a": values})
    encoder = fit_encoder(frame.astype(fitted), categorical=["a"])
    wanted = encoder.transform(frame.astype(fitted), strict=True)
    assert wanted.sum(axis=1).tolist() == [1.0] * 20
    for other in (frame, frame.astype("float32"), frame.astype("float32").astype("float64"), frame.astype(str)):
        assert encoder.transform(other, strict=True).tolist() == wanted.tolist()
    near = encoder.transform(pandas.DataFrame({"a": [0.1000000001, 0.10000001, 0.5000000001, 1.5e300]}))
    assert not near.any()


def test_a_category_is_found_in_another_spelling_of_its_value() -> None:
    sizes = fit_encoder(pandas.DataFrame({"a": pandas.Categorical([1.0, 2.5])}))
    for values in ([1.0, 2.5], [1, 2.5], ["1.00", "2.5"], pandas.Categorical([1.0, 2.5])):
        assert sizes.transform(pandas.DataFrame({"a": values}), strict=True).tolist() == [[1, 0], [0, 1]]
    flags = fit_encoder(pandas.DataFrame({"a": [False, True]}))
    for flag in ([0, 1], [0.0, 1.0], ["0", "1"], ["false", "TRUE"]):
        assert flags.transform(pandas.DataFrame({"a": flag}), strict=True).tolist() == [[1, 0], [0, 1]]
    versions = fit_encoder(pandas.DataFrame({"a": ["3.1", "3.9"]}), categorical=["a"])
    with pytest.raises(DataError, match=r"not seen in training: '3\.10'"):
        versions.transform(pandas.DataFrame({"a": ["3.10", "3.9"]}), strict=True)
    codes = fit_encoder(pandas.DataFrame({"a": ["01", "2"]}), categorical=["a"])
    with pytest.raises(DataError, match="not seen in training: '1'"):
        codes.transform(pandas.DataFrame({"a": ["1", "2"]}), strict=True)


@pytest.mark.parametrize("zone", [None, "Europe/Zurich"])
def test_intervals_of_dates_are_the_moment_in_the_middle(zone: str | None) -> None:
    days = pandas.interval_range(pandas.Timestamp("2024-01-01", tz=zone), periods=3, freq="D")
    frame = pandas.DataFrame({"a": days}, index=[7, 7, 1])
    assert (understand(frame)[0].kind, understand(frame)[0].example) == ("date", "2024-01-01T12:00:00")
    assert_close(fit_encoder(frame).transform(frame)[[0, 2], 0], np.array([-(1.5**0.5), 1.5**0.5], dtype=np.float32), "float32")
    spans = pandas.DataFrame({"a": pandas.interval_range(pandas.Timedelta(0), periods=3, freq="2D")})
    assert understand(spans)[0].example == "1 days 00:00:00"


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame, pyarrow.table])
def test_times_of_day(make: Any) -> None:
    frame = column([datetime.time(13, 15), datetime.time(0, 15), None], make)
    assert (understand(frame)[0].kind, understand(frame)[0].missing) == ("date", 1)
    encoder = fit_encoder(frame)
    assert encoder.feature_names == ("a.hour", "a.hour.sin", "a.hour.cos", "a=missing")
    text = column(["1:15 pm", "00:15", "n/a"], make)
    assert encoder.transform(text).tobytes() == encoder.transform(frame).tobytes()


LISTS: dict[str, Any] = {
    "pandas lists": pandas.DataFrame({"a": [[1.0, 5.0], [3.0, 7.0]], "b": [1, 2]}),
    "pandas arrays": pandas.DataFrame({"a": [np.array([1, 5]), np.array([3, 7])], "b": [1, 2]}),
    "polars lists": polars.DataFrame({"a": [[1.0, 5.0], [3.0, 7.0]], "b": [1, 2]}),
    "polars arrays": polars.DataFrame(
        {"a": [[1, 5], [3, 7]], "b": [1, 2]}, schema={"a": polars.Array(polars.Int64, 2), "b": polars.Int64}
    ),
    "arrow lists": pyarrow.table({"a": [[1.0, 5.0], [3.0, 7.0]], "b": [1, 2]}),
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_equal_length_are_as_many_columns(kind: str) -> None:
    encoder = fit_encoder(LISTS[kind])
    assert encoder.feature_names == ("a[0]", "a[1]", "b")
    assert encoder.transform(LISTS[kind]).tolist() == [[-1, -1, -1], [1, 1, 1]]
    assert split_target(LISTS[kind], "b")[1].tolist() == [1, 2]


def test_lists_with_gaps_and_lists_of_other_lengths() -> None:
    frame = polars.DataFrame({"a": [[1.0, None], None, [3.0, 4.0]]})
    assert [part.missing for part in understand(frame)] == [1, 2]
    for values in ([[1], [2, 3]], [["x"], ["y"]], [[], []]):
        assert understand(polars.DataFrame({"a": values, "b": [1, 2]}))[0].kind == "dropped"


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame, pyarrow.table])
def test_lists_whose_columns_would_be_called_as_another_one(make: Any) -> None:
    told = r"lists in column 'a' are read as columns called a\[0\], .* there is a column 'a\[1\]' too; rename one"
    with pytest.raises(DataError, match=told):
        understand(make({"a": [[1.0, 2.0], [2.0, 3.0]], "a[1]": [1, 2]}))
    assert len(understand(make({"a": [[1.0, 2.0], [2.0, 3.0]], "a[2]": [1, 2]}))) == 3


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame, pyarrow.table])
def test_an_empty_list_is_missing(make: Any) -> None:
    frames = [make({"a": [gap, [1.0, 5.0], [3.0, 7.0]]}) for gap in ([], None)]
    encoders = [fit_encoder(frame) for frame in frames]
    assert [part.missing for part in understand(frames[0])] == [1, 1]
    assert encoders[0].feature_names == ("a[0]", "a[0]=missing", "a[1]", "a[1]=missing")
    wanted = encoders[1].transform(frames[1]).tobytes()
    assert all(encoder.transform(frame).tobytes() == wanted for encoder in encoders for frame in frames)
    assert encoders[0].transform(make({"a": [[]]})).tobytes() == encoders[0].transform(frames[1])[:1].tobytes()
    with pytest.raises(
        DataError, match=r"'a' held lists of 2 numbers in training, but row 1 .* holds one of 1; give an empty list where"
    ):
        encoders[0].transform(make({"a": [[], [1.0]]}))


def test_nothing_is_copied_where_nothing_is_unusual() -> None:
    frame = polars.DataFrame({"a": [1.0], "b": ["x"]})
    table = open_table(frame)
    assert table.frame is not None
    assert table.frame.to_native() is frame


def test_zones_are_one_clock() -> None:
    moments = [datetime.datetime(2024, 1, 1, 12), datetime.datetime(2024, 7, 1, 12)]
    naive = polars.DataFrame({"a": moments})
    berlin = naive.with_columns(polars.col("a").dt.replace_time_zone("Europe/Berlin"))
    encoder = TableEncoder.from_json(json.loads(json.dumps(fit_encoder(berlin).to_json())))
    assert encoder.transform(berlin).tobytes() == fit_encoder(naive).transform(naive).tobytes()
    for same in (
        berlin.with_columns(polars.col("a").dt.convert_time_zone("UTC")),
        pandas.DataFrame({"a": pandas.to_datetime(moments)}).apply(
            lambda day: day.dt.tz_localize("Europe/Berlin").dt.tz_convert("Asia/Tokyo")
        ),
        polars.DataFrame({"a": ["2024-01-01T11:00Z", "2024-07-01T12:00+02:00"]}),
        naive,
    ):
        assert encoder.transform(same).tobytes() == encoder.transform(berlin).tobytes()
    mixed = polars.DataFrame({"a": ["2024-01-01T10:00Z", "2024-01-01T14:00+02:00"]})
    assert "the offsets differ: all are converted to UTC" in understand(mixed)[0].note
    fixed = fit_encoder(polars.DataFrame({"a": ["2024-01-01T10:00+02:00", "2024-01-01T14:00+02:00"]}))
    utc = polars.DataFrame({"a": moments}).with_columns(polars.col("a").dt.replace_time_zone("UTC"))
    assert fixed.transform(utc)[0, 0] == 1.0  # 14 o'clock there
    assert (
        fixed.transform(naive).tobytes()
        == fixed.transform(polars.DataFrame({"a": ["2024-01-01T12:00", "2024-07-01T12:00"]})).tobytes()
    )


def test_another_unit_at_prediction_is_reported() -> None:
    encoder = fit_encoder(polars.DataFrame({"w": ["1 kg", "3 kg"]}))
    assert encoder.transform(polars.DataFrame({"w": ["1", "3.0 KG"]})).tolist() == EXPECTED
    assert encoder.transform(polars.DataFrame({"w": [1, 3]})).tolist() == EXPECTED
    for fails in (encoder.transform, encoder.check):
        with pytest.raises(DataError, match=r"'w' is in 'kg', but row 1 .* holds '5 lb'; convert it to 'kg'"):
            fails(polars.DataFrame({"w": ["1 kg", "5 lb"]}))
    grams = polars.DataFrame({"w": ["1 kg", "3000 g"]})
    assert encoder.transform(grams).tolist() == EXPECTED
    assert encoder.check(grams) == ["column 'w': converted to 'kg', the unit of the training rows: 1 in 'g'"]
    assert encoder.check(polars.DataFrame({"w": ["1 kg", "3 KG"]})) == []
    with pytest.raises(DataError, match=r"should hold numbers \(numbers: unit 'kg'\), but row 0 .* holds 'much'"):
        encoder.transform(polars.DataFrame({"w": ["much"]}))
    with pytest.raises(DataError, match=r"should hold numbers, but row 0 .* holds '\$1'"):
        fit_encoder(polars.DataFrame({"w": [1.0, 2.0]})).transform(polars.DataFrame({"w": ["$1"]}))


def test_several_units_in_one_column() -> None:
    kilograms = understand(polars.DataFrame({"w": ["12 kg", "5 g", "3 kg"]}))[0]
    assert (kilograms.kind, kilograms.note) == ("numeric", "numbers: unit 'kg'; 1 cell in 'g' is converted to 'kg'")
    assert fit_encoder(polars.DataFrame({"w": ["1 kg", "3000 g", "1 kg"]})).transform(
        polars.DataFrame({"w": ["1000000 mg"]})
    ).tolist() == [[np.float32(-1 / np.sqrt(2))]]
    pounds = understand(polars.DataFrame({"w": ["12 kg", "5 lb", "3 kg", "6 lb"]}))[0]
    assert pounds.kind == "categorical"
    assert pounds.note.startswith("numbers in several units, 'kg' (2 cells), 'lb' (2 cells); convert them to one")
    power = understand(polars.DataFrame({"p": ["12 mW", "5 MW", "3 mW"]}))[0]
    assert "1 cell in 'MW' is converted to 'mW'" in power.note


def test_a_cell_is_read_as_the_column_was() -> None:
    encoder = fit_encoder(polars.DataFrame({"a": ["1.000,50", "2.000,50", "1.234"]}))
    plain = fit_encoder(polars.DataFrame({"a": [1000.5, 2000.5, 1234.0]}))
    assert encoder.transform(polars.DataFrame({"a": ["1.234"]})) == plain.transform(polars.DataFrame({"a": [1234.0]}))
    assert encoder.transform(polars.DataFrame({"a": [1234]})) == plain.transform(polars.DataFrame({"a": [1234.0]}))


def test_dates_as_numbers() -> None:
    compact = polars.DataFrame({"when": [20240131, 20240229, None], "b": [1, 2, 3]})
    assert "numbers read as dates, written as YYYYMMDD" in understand(compact)[0].note
    encoder = fit_encoder(compact)
    text = polars.DataFrame({"when": ["20240131", "20240229", "n/a"], "b": [1, 2, 3]})
    days = polars.DataFrame({"when": [datetime.date(2024, 1, 31), datetime.date(2024, 2, 29), None], "b": [1, 2, 3]})
    for same in (text, days):
        assert encoder.transform(same).tobytes() == encoder.transform(compact).tobytes()
    for wrong in (20241301, 240131):  # the second is not the day of the year 24 that its digits could be
        with pytest.raises(DataError, match=rf"should hold dates \(written as YYYYMMDD\), but row 0 .* holds {wrong};"):
            encoder.transform(polars.DataFrame({"when": [wrong], "b": [1]}))
    stamps = polars.DataFrame({"stamp": [1_700_000_000 + 86400 * i for i in range(30)]})
    assert "seconds since 1970; declare it numeric if it is a number" in understand(stamps)[0].note
    assert understand(stamps, numeric=["stamp"])[0].kind == "numeric"
    assert understand(polars.DataFrame({"population": [1_100_000_000, 1_400_000_000]}))[0].kind == "numeric"
    assert understand(polars.DataFrame({"price": [20_240_131, 20_250_000]}))[0].kind == "numeric"


def test_numbers_are_days_where_five_differ_or_the_name_is_that_of_a_date() -> None:
    days = [20240101, 20240215, 20231130, 20240704, 20221225]
    for name, different, kind in (("b", 5, "date"), ("b", 4, "numeric"), ("when", 4, "date")):
        assert understand(polars.DataFrame({name: days[:different] * 8}))[0].kind == kind


def test_the_parts_of_a_date_are_those_of_the_standard_library() -> None:
    moments = ["1899-12-31T00:00:01", "1969-12-31T23:59:59", "1970-01-01", "2000-02-29T12:30", "2024-12-31T23:00:58"]
    found = date_parts(np.array(moments, dtype="datetime64[s]"))
    expected = [datetime.datetime.fromisoformat(moment) for moment in moments]
    for part in ("year", "month", "day", "hour", "minute", "second"):
        assert found[part].tolist() == [getattr(moment, part) for moment in expected]
    assert found["weekday"].tolist() == [moment.weekday() for moment in expected]


def test_a_schema_written_by_hand_finds_the_form_of_dates() -> None:
    frame = polars.DataFrame({"a": ["31.12.2024", "1.2.2024"]})
    schema = [Column(name="a", kind="date", missing=0, distinct=2)]
    assert fit_encoder(frame, schema=schema) == fit_encoder(frame)


def test_weights_as_written() -> None:
    frame = polars.DataFrame({"a": [1, 2], "y": [1, 2], "w": ["1,5", "2,25"]})
    weights = split_target(frame, "y", weight="w")[2]
    assert weights is not None
    assert weights.tolist() == [1.5, 2.25]


@pytest.mark.parametrize("frame_of", [pandas.DataFrame, polars.DataFrame, pyarrow.table])
def test_lists_in_new_rows_are_read_as_those_of_training(frame_of: Any) -> None:
    encoder = fit_encoder(frame_of({"a": [[1.0, 5.0], [3.0, 7.0], None], "b": [1.0, 2.0, 3.0]}))
    for rows, wanted in (([None], [None]), ([None, [3.0, 7.0]], [None, [3.0, 7.0]])):
        both = encoder.transform(frame_of({"a": rows, "b": [1.0] * len(rows)}))
        assert_close(both[:1], encoder.transform(frame_of({"a": [[1.0, 5.0], *wanted], "b": [1.0] * (1 + len(rows))}))[1:2], "bits")
    with pytest.raises(DataError, match=r"column 'a' held lists of 2 numbers in training, but row 1 .* holds one of 1;"):
        encoder.transform(frame_of({"a": [[1.0, 5.0], [2.0]], "b": [1.0, 2.0]}))


@pytest.mark.parametrize(
    "rows",
    [
        pandas.DataFrame({"a": [math.nan], "b": [1.0]}),
        polars.DataFrame({"a": [None], "b": [1.0]}, schema={"a": polars.Float64, "b": polars.Float64}),
        pyarrow.table({"a": pyarrow.array([None], pyarrow.float64()), "b": [1.0]}),
    ],
    ids=["pandas", "polars", "arrow"],
)
def test_rows_without_lists_in_a_column_of_numbers(rows: Any) -> None:
    frame = pandas.DataFrame({"a": [[1.0, 5.0], [3.0, 7.0], None], "b": [1.0, 2.0, 1.0]})
    encoder = fit_encoder(frame)
    assert_close(encoder.transform(rows), encoder.transform(frame)[2:], "bits")


def test_a_row_of_lists_that_were_categories_in_training() -> None:
    frame = pandas.DataFrame({"a": [[1.0], [1.0, 2.0], [1.0], [1.0, 2.0]], "b": [1.0, 2.0, 3.0, 4.0]})
    encoder = fit_encoder(frame)
    assert_close(encoder.transform(frame[1:2]), encoder.transform(frame)[1:2], "bits")


@pytest.mark.parametrize(
    "cells",
    [
        polars.Series(BEYOND_FLOAT64),
        pyarrow.array(BEYOND_FLOAT64),
        pandas.array(BEYOND_FLOAT64, dtype="Int64"),
        pandas.array(BEYOND_FLOAT64, dtype="int64[pyarrow]"),
    ],
    ids=["polars", "pyarrow", "pandas Int64", "pandas int64[pyarrow]"],
)
def test_large_whole_numbers_with_gaps(cells: Any) -> None:
    """PyArrow refuses to cast those that float64 would round."""
    make: Any = {"polars": polars.DataFrame, "pyarrow": pyarrow.table, "pandas": pandas.DataFrame}[
        type(cells).__module__.split(".")[0]
    ]
    frame = make({"n": cells})
    expected = fit_encoder(polars.DataFrame({"n": np.array(BEYOND_FLOAT64, dtype=np.float64)}))
    assert fit_encoder(frame).transform(frame).tobytes() == expected.transform(frame).tobytes()


def test_objects_that_are_numbers_are_understood_as_numbers() -> None:
    y = np.repeat(["setosa", "versicolor", "virginica"], 20)
    plain = pandas.DataFrame(
        {"Id": range(60), "size": np.arange(60) % 7 / 2, "gaps": pandas.Series([5, None, 2**60 + 1] * 20, dtype="Int64")}
    )
    objects = plain.astype(object)
    assert understand(objects, y=y) == understand(plain, y=y)
    assert understand(objects, y=y)[0].kind == "dropped"
    huge = pandas.DataFrame({"a": pandas.Series([2**70, 1, 2], dtype=object)})
    assert understand(huge)[0].kind == "numeric"
