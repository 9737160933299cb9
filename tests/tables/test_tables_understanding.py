"""What is understood of columns: their kinds, dates, what is left out, and the target."""

from __future__ import annotations

import datetime
import math
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow  # type: ignore[import-untyped]
import pytest

from manynets.errors import DataError, OptionError
from manynets.tables import Column, fit_encoder, match_labels, open_table, split_target, understand
from manynets.tables.cells import FEW_ROWS, factorise


def test_case_14_missing_target(make: Callable[[dict[str, Any]], Any]) -> None:
    frame = make({"a": [1, 2, 3, 4], "y": [0.5, None, 1.5, None]})
    with pytest.raises(DataError, match=r"target 'y' is missing in 2 of 4 rows \(counted from 0\): 1, 3;"):
        split_target(frame, "y")
    several = make({"a": [1, 2, 3, 4], "y": [0.5, None, 1.5, None], "z": [None, 2.5, 3.5, 4.5]})
    with pytest.raises(DataError, match=r"one of the targets 'y', 'z' is missing in 3 of 4 rows"):
        split_target(several, ["y", "z"])
    features, y, _ = split_target(frame, "y", drop_missing_target=True)
    assert y.tolist() == [0.5, 1.5]
    assert fit_encoder(features).transform(features).tolist() == [[-1], [1]]
    with pytest.raises(DataError, match=r"target 'y': the table has 0 data rows in which it is known, .*; choose another target"):
        split_target(polars.DataFrame({"a": [1], "y": [None]}), "y", drop_missing_target=True)


def test_numbers_written_as_text() -> None:
    frame = pandas.DataFrame({"total": ["29.85", " ", "1889.5", "?"]})
    column = understand(frame)[0]
    assert (column.kind, column.missing, column.distinct, column.example) == ("numeric", 2, 2, "29.85")
    codes = understand(polars.DataFrame({"zip": ["01234", "98765", "98765"]}))[0]
    assert codes.kind == "categorical"
    assert "zero in front" in codes.note
    nearly = understand(polars.DataFrame({"a": ["1", "2", "3", "oops"]}))[0]
    assert nearly.kind == "categorical"
    assert nearly.note == "75.0% of it are numbers; the others are 'oops' (1), the first in row 3 (counted from 0)"
    words = ["broken", "oops", "broken", "a word that is far too long to be shown in a message", "off", "on"]
    frame = polars.DataFrame(
        {"a": [words[i // 20 % 6] if i % 20 == 0 else str(i % 60) for i in range(240)], "b": [i % 7 for i in range(240)]}
    )
    told = r"'a' is categorical: 95.0% of it are numbers; the others are 'broken' \(4\), 'oops' \(2\), .*\.\.\.' \(2\) and 2 more, the first in row 0"
    with pytest.warns(UserWarning, match=told):
        encoder = fit_encoder(frame)
    assert encoder.columns[0].kind == "categorical"


def test_ids_are_left_out_with_a_warning() -> None:
    rng = np.random.default_rng(0)
    frame = polars.DataFrame(
        {
            "row": range(100),
            "sample": rng.permutation(190)[:100],
            "customer_id": rng.permutation(10**6)[:100],
            "income": rng.permutation(10**6)[:100],
            "name": [f"n{i}" for i in range(100)],
            "ticket": [f"t{i % 70}" for i in range(100)],
            "city": [f"c{i % 40}" for i in range(100)],
        }
    )
    kinds = {column.name: column.kind for column in understand(frame)}
    assert [name for name, kind in kinds.items() if kind == "dropped"] == ["row", "sample", "customer_id", "name", "ticket"]
    with pytest.warns(
        UserWarning, match=r"left out: row \(a row number: .*customer_id \(an id: .*name \(an id: text.*ticket \(near-unique"
    ):
        encoder = fit_encoder(frame)
    assert encoder.column_names == ("income", "city")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_encoder(frame, schema=understand(frame))
        fit_encoder(frame, drop=["row", "sample", "customer_id", "name", "ticket"])
        used = fit_encoder(frame, numeric=["row", "sample", "customer_id"], categorical=["name", "ticket"])
    assert used.column_names == tuple(frame.columns)


@pytest.mark.parametrize("name", ["year", "Year", "birthYear", "year_end", "model yr", "t", "time", "day_of_year", "date"])
def test_a_time_is_no_row_number(name: str) -> None:
    frame = polars.DataFrame({name: range(1950, 2020), "a": np.random.default_rng(0).normal(size=70)})
    assert [column.kind for column in understand(frame)] == ["numeric", "numeric"]
    for other in ("yearling_no", "candidate", "count", "yrs_id"):
        assert understand(frame.rename({name: other}))[0].kind == "dropped"


def test_the_only_column_is_not_dropped() -> None:
    frame = polars.DataFrame({"x": range(100)})
    assert understand(frame)[0].kind == "numeric"
    assert fit_encoder(frame).transform(frame).shape == (100, 1)


def test_categoricals_of_pandas_and_polars() -> None:
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    frames = [
        pandas.DataFrame({"c": pandas.Categorical(["b", "a", None][::1])}).iloc[[1, 0, 2]],
        polars.DataFrame({"c": ["a", "b", None]}, schema={"c": polars.Categorical}),
        polars.DataFrame({"c": ["a", "b", None]}, schema={"c": polars.Enum(["b", "a"])}),
        pyarrow.table({"c": pyarrow.array(["a", "b", None]).dictionary_encode()}),
    ]
    for frame in frames:
        assert understand(frame)[0].kind == "categorical"
        assert fit_encoder(frame).transform(frame).tolist() == expected
    numbers = pandas.DataFrame({"c": pandas.Categorical([3, 10, 3])})
    assert fit_encoder(numbers).feature_names == ("c=10", "c=3")


def test_declared_whole_numbers_are_categories_whatever_their_type() -> None:
    encoder = fit_encoder(polars.DataFrame({"c": [1, 2, 2]}), categorical=["c"])
    assert encoder.feature_names == ("c=1", "c=2")
    for values in ([1.0, None], ["1", None], [1, None]):
        assert encoder.transform(polars.DataFrame({"c": values})).tolist() == [[1, 0], [0, 0]]
    flags = fit_encoder(polars.DataFrame({"c": [True, False]}))
    assert flags.transform(polars.DataFrame({"c": ["true", "FALSE"]})).tolist() == [[0, 1], [1, 0]]


def test_overrides_are_checked() -> None:
    frame = polars.DataFrame({"price": [1], "rooms": [2]})
    with pytest.raises(DataError, match="'prise' does not exist; did you mean 'price'"):
        understand(frame, categorical=["prise"])
    with pytest.raises(
        DataError, match=r"columns 'prise' \(did you mean 'price'\?\), 'x' do not exist\. The columns are: price, rooms$"
    ):
        understand(frame, drop=["rooms", "prise", "x", "x"])
    with pytest.raises(DataError, match=r"columns '0', '1', .* '9' and 3 more do not exist"):
        understand(frame, drop=[str(i) for i in range(13)])
    with pytest.raises(DataError, match=r"is the text 'price', .* write \['price'\]"):
        understand(frame, drop="price")
    with pytest.raises(OptionError, match="'price' is declared categorical and numeric"):
        understand(frame, categorical=["price"], numeric=["price"])
    with pytest.raises(OptionError, match="with schema give them to understand"):
        fit_encoder(frame, schema=understand(frame), drop=["price"])
    with pytest.raises(OptionError, match="scaling is 'minmax'"):
        fit_encoder(frame, scaling="minmax")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="max_levels is 0"):
        fit_encoder(frame, max_levels=0)
    with pytest.raises(DataError, match="no column is left"):
        fit_encoder(frame, drop=["price", "rooms"])


def test_other_types_are_dropped() -> None:
    frame = polars.DataFrame({"a": [1, 2], "b": [[1], [2, 3]]})
    columns = understand(frame)
    assert (columns[1].kind, columns[1].note) == ("dropped", "values of type List(Int64) cannot be used")
    with pytest.raises(DataError, match="cannot be numeric"):
        understand(frame, numeric=["b"])


def test_dates_of_every_storage() -> None:
    days = [datetime.datetime(2023, 12, 31, 23, 59), datetime.datetime(2024, 2, 29, 0, 30)]
    text = polars.DataFrame({"d": [day.isoformat(sep=" ") for day in days]})
    encoder = fit_encoder(text)
    matrix = encoder.transform(text)
    assert encoder.feature_names[-4:] == ("d.hour", "d.hour.sin", "d.hour.cos", "d.minute")
    aware = polars.DataFrame({"d": days}).with_columns(polars.col("d").dt.replace_time_zone("Europe/Berlin"))
    for frame in (
        polars.DataFrame({"d": days}),
        pandas.DataFrame({"d": days}),
        pyarrow.table({"d": days}),
        aware,
        polars.DataFrame({"d": ["2023-12-31T23:59:00.5Z", "2024-02-29T00:30+01:00"]}),
    ):
        assert understand(frame)[0].kind == "date"
        assert encoder.transform(frame).tobytes() == matrix.tobytes()
    only_days = polars.DataFrame({"d": [day.date() for day in days]})
    assert understand(only_days)[0].example == "2023-12-31"
    assert fit_encoder(only_days).width == 8
    with pytest.raises(DataError, match=r"should hold dates \(as ymd\), but row 1 .* holds '2023-02-30'"):
        encoder.transform(polars.DataFrame({"d": ["2023-01-30", "2023-02-30"]}))
    with pytest.raises(DataError, match="should hold dates, but holds numbers"):
        encoder.transform(polars.DataFrame({"d": [1, 2]}))


def test_dates_in_doubt_are_read_and_told() -> None:
    column = understand(polars.DataFrame({"d": ["01/02/2024", "03/04/2024", "01/02/2024"]}))[0]
    assert (column.kind, column.example) == ("date", "2024-02-01")
    assert "could be either way round" in column.note
    assert understand(polars.DataFrame({"d": ["01/02/2024", "03/31/2024"]}))[0].note == "the month first"
    assert understand(polars.DataFrame({"d": ["1.2.2024", "3.4.2024"]}))[0].note == "the day first"
    monthly = understand(polars.DataFrame({"d": ["01/01/2024", "02/01/2024", "03/01/2024"]}))[0]
    assert monthly.note == "the month first; the day is taken to be the second number, which is always the same"
    assert understand(polars.DataFrame({"d": ["2024-02-30", "2024-01-01"]}))[0].kind == "categorical"


def test_a_constant_date_alone_is_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="d hold the same date"):
        fit_encoder(polars.DataFrame({"d": ["2024-01-01", "2024-01-01"]}))


def test_split_target() -> None:
    data = {"a": [1, 2], "b": ["u", "v"], "w": [0.5, 2.0], "y": [" no", "yes "], "z": [3, 4]}
    for make_frame in (polars.DataFrame, pandas.DataFrame, pyarrow.table):
        frame = make_frame(data)
        features, y, weight = split_target(frame, "y", weight="w", drop=["b"])
        assert type(features) is type(frame)
        assert [column.name for column in understand(features)] == ["a", "z"]
        assert y.tolist() == ["no", "yes"]
        assert weight is not None
        assert weight.tolist() == [0.5, 2.0]
    _, y, weight = split_target(polars.DataFrame(data), ["a", "z"])
    assert y.tolist() == [[1, 3], [2, 4]]
    assert y.dtype == np.int64
    assert weight is None
    assert split_target(polars.DataFrame({"a": [1, 2], "y": [True, False]}), "y")[1].dtype == bool
    assert split_target(pandas.DataFrame({"a": [1, 2], "y": ["1.5", "2"]}), "y")[1].tolist() == [1.5, 2.0]
    with pytest.raises(DataError, match="missing in 1 of 2 rows"):
        split_target(pandas.DataFrame({"a": [1, 2], "y": ["1.5", "NA"]}), "y")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "prise"}, "target 'prise' is not a column; did you mean 'price'"),
        ({"target": "price", "weight": "u"}, "weight 'u' is not a column"),
        ({"target": "price", "drop": ["q"]}, "column to drop 'q' does not exist"),
        ({"target": ["prise", "u"]}, r"targets 'prise' \(did you mean 'price'\?\), 'u' are not columns\. The"),
        ({"target": "price", "drop": ["q", "v"]}, "columns to drop 'q', 'v' do not exist"),
        ({"target": "price", "weight": "low"}, r"weight 'low' is -1.0 in row 1"),
        ({"target": "price", "weight": "zero"}, "weight 'zero' is 0 in every row"),
        ({"target": "price", "weight": "text"}, "'text' should hold numbers, but row 0"),
        ({"target": "price", "weight": "gap"}, "weight 'gap' is nan in row 0"),
        ({"target": "inf"}, "'inf' holds 1 infinite"),
        ({"target": ["price", "text", "low", "zero", "gap", "inf"]}, "no column is left"),
    ],
)
def test_split_target_refuses(options: dict[str, Any], message: str) -> None:
    frame = polars.DataFrame(
        {"price": [1, 2], "low": [1.0, -1.0], "zero": [0, 0], "text": ["a", "b"], "gap": [None, 1.0], "inf": [1.0, math.inf]}
    )
    if isinstance(options["target"], list):
        frame = frame.fill_null(1.0).with_columns(inf=polars.lit(1.0))
    target = options.pop("target")
    with pytest.raises(DataError, match=message):
        split_target(frame, target, **options)


def test_match_labels() -> None:
    labels = np.array(["no", "yes"])
    same, note = match_labels(labels, ["no", "yes", "maybe"])
    assert same is labels
    assert note == ""
    with pytest.raises(
        DataError,
        match=r"^1 row of 2 has a label that training did not have: 'nope' \(rows .* from 0: 1\); it had 'no', 'yes', 'no.'; leave such rows out",
    ):
        match_labels(np.array(["no.", "nope"]), ["no", "yes", "no."])
    assert match_labels(np.array([1, 2]), [1, 2])[1] == ""


def test_a_column_tells_what_was_understood() -> None:
    found = understand(polars.DataFrame({"kind_code": [3, 4, 5], "zip": [0, 0, 1]}))
    assert found == (
        Column(
            name="kind_code",
            kind="numeric",
            missing=0,
            distinct=3,
            example="3",
            note="taken as a number: declare it categorical if it is a code",
        ),
        Column(name="zip", kind="numeric", missing=0, distinct=2, example="0"),  # with two values it is the same as a category
    )


@pytest.mark.parametrize(
    ("cells", "odd", "expected"),
    [
        (["1,000", "2,500", "900"], "1,000", [1000, 2500, 900]),
        (["$5", "$12.50", "$1,000,000"], "$5", [5, 12.5, 1e6]),
        (["12%", "7 %", "0.5%"], "12%", [12, 7, 0.5]),
        (["1.000,50", "2.500,00", "9,75"], "1.000,50", [1000.5, 2500, 9.75]),
        (["5 EUR", "7 EUR", None], "5 EUR", [5, 7]),
        (["5.5 kg", "7 kg", "n/a"], "5.5 kg", [5.5, 7]),
    ],
)
def test_a_target_of_numbers_as_people_write_them(
    make: Callable[[dict[str, Any]], Any], cells: list[Any], odd: str, expected: list[float]
) -> None:
    frame = make({"a": [1, 2, 3, 4], "y": [*cells, cells[0]]})
    with pytest.warns(UserWarning, match=rf"target 'y' is read as numbers.*: '{re.escape(odd)}' in row 0 .* if classes are meant"):
        _, y, _ = split_target(frame, "y", drop_missing_target=True)
    assert y.tolist() == [*expected, expected[0]]


def test_a_target_that_is_nearly_numbers_is_told(make: Callable[[dict[str, Any]], Any]) -> None:
    frame = make({"a": [1, 2, 3, 4], "y": ["10", "12", "oops", "10"]})
    message = r"target 'y' is taken as text: its 3 different values are classes, as row 2 .* holds 'oops'; .* write them plainly"
    with pytest.warns(UserWarning, match=message):
        _, y, _ = split_target(frame, "y")
    assert y.tolist() == ["10", "12", "oops", "10"]


def test_classes_that_may_be_one_or_missing_are_told() -> None:
    frame = polars.DataFrame({"a": [1.0, 2, 3, 4, 5], "y": ["yes", "Yes", "no", "NA", "no"]})
    with pytest.warns(UserWarning, match="target 'y' has the class") as caught:
        _, y, _ = split_target(frame, "y")
    assert y.tolist() == frame["y"].to_list()
    assert [str(one.message).split(":")[0] for one in caught] == [
        "target 'y' has the classes 'Yes', 'yes'",
        "target 'y' has the class 'NA' in 1 row",
    ]


def test_two_decimal_signs_are_told() -> None:
    (column,) = understand(polars.DataFrame({"a": [f"{i}{',.'[i % 2]}{i}5" for i in range(40)]}))
    assert column.kind == "dropped"
    assert "numbers with a decimal comma (20 cells) and with a point (20 cells); write them alike" in column.note


@pytest.mark.parametrize(
    "cells",
    [["a1", "b2"], ["<=50K", ">50K"], ["3+", "1-2"], ["yes", "5"], ["2020 Q1", "2020 Q2"], ["1 star", "2 stars"], ["1st", "2nd"]],
)
def test_a_target_of_classes_is_not_remarked_on(cells: list[str]) -> None:
    frame = polars.DataFrame({"a": [1, 2], "y": cells})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert split_target(frame, "y")[1].tolist() == cells


@pytest.mark.parametrize("rows", [FEW_ROWS, FEW_ROWS + 1000])
def test_labels_are_numbered_as_they_first_occur(rows: int) -> None:  # so that inspections are alike to the last bit
    towns = [f"town {7 * i % 500}" for i in range(rows)]
    labels, codes = factorise(open_table(polars.DataFrame({"town": towns})), "town")
    assert labels == list(dict.fromkeys(towns))
    assert [labels[code] for code in codes] == towns


@pytest.mark.parametrize(
    "values", [["", ""], [None, None], [math.nan] * 2, [datetime.date(2024, 1, 5), None], ["a", "b"], [[1], [2, 3]]]
)
def test_a_column_that_is_dropped_has_one_note(values: list[Any]) -> None:
    column = understand(polars.DataFrame({"a": polars.Series(values), "b": [1.5, 2.5]}), drop=["a"])[0]
    assert (column.kind, column.note) == ("dropped", "left out as asked")


def test_counts_in_notes_have_separators() -> None:
    code = [f"{row % 7:03}{row}" for row in range(1200)]
    frame = polars.DataFrame({"code": code, "name": [f"n{row // 2 * 2 if row < 100 else row}" for row in range(1200)]})
    notes = [column.note for column in understand(frame)]
    assert "codes: 1,200 numbers, some with a zero in front" in notes[0]
    assert "near-unique text: 1,150 different values in 1,200 rows" in notes[1]
    with pytest.raises(DataError, match="target 'y' is missing in 1,200 of 2,400 rows"):
        split_target(polars.DataFrame({"a": [0.5] * 2400, "y": [1.0, None] * 1200}), "y")
