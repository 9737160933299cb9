"""Columns without any value in new rows, of whatever type: missing values."""

from __future__ import annotations

import math
from typing import Any

import pandas
import polars
import pytest

from manynets.tables import fit_encoder

EMPTY: dict[str, Any] = {
    "pandas, NaN": lambda: pandas.Series([math.nan] * 2),
    "pandas, None": lambda: pandas.Series([None] * 2, dtype=object),
    "pandas, NA": lambda: pandas.Series([pandas.NA] * 2, dtype="Int64"),
    "pandas, bools": lambda: pandas.Series([pandas.NA] * 2, dtype="boolean"),
    "pandas, NaT": lambda: pandas.Series([pandas.NaT] * 2),
    "pandas, durations": lambda: pandas.to_timedelta([None] * 2),
    "polars, NaN": lambda: polars.Series([math.nan] * 2),
    "polars, whole numbers": lambda: polars.Series([None] * 2, dtype=polars.Int64),
    "polars, nothing": lambda: polars.Series([None] * 2),
    "polars, text": lambda: polars.Series([None] * 2, dtype=polars.String),
    "polars, dates": lambda: polars.Series([None] * 2, dtype=polars.Date),
}


@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize(
    ("values", "declared"),
    [
        (["2024-01-05", "2024-02-07", None], {}),
        (["8:15", "12:30", None], {}),
        (["5 kg", "7 kg", None], {}),
        ([1.5, 2.5, None], {}),
        (["red", "blue", None], {}),
        (["a red house", "a blue house", None], {"text": ["a"]}),
    ],
)
def test_a_column_without_any_value_is_missing_values_whatever_its_type(kind: str, values: Any, declared: Any) -> None:
    encoder = fit_encoder(polars.DataFrame({"a": values}), **declared)
    empty = EMPTY[kind]()
    rows = polars.DataFrame({"a": empty}) if isinstance(empty, polars.Series) else pandas.DataFrame({"a": empty})
    assert encoder.transform(rows).tolist() == [encoder.transform(polars.DataFrame({"a": values}))[2].tolist()] * 2
    assert encoder.check(rows) == []
