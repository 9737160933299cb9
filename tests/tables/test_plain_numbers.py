"""Columns of numbers that are gathered, fitted and encoded several at a time: with the same result as one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import polars
import pytest

from manynets.errors import DataError
from manynets.tables import fit_encoder, plain
from manynets.tables.columns import NumericColumn
from manynets.tables.frames import open_table
from manynets.tables.table import AT_ONCE, MOST_CELLS, TOGETHER, Table
from tests.tolerances import assert_close

LIBRARIES: list[Callable[[polars.DataFrame], Any]] = [polars.DataFrame.clone, polars.DataFrame.to_pandas]


@pytest.mark.parametrize("made", LIBRARIES, ids=["polars", "pandas"])
def test_plain_numbers_are_encoded_together_as_one_by_one(
    made: Callable[[polars.DataFrame], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    rows = 4500
    frame = polars.DataFrame(
        {
            "a": random.normal(size=rows).astype(np.float32),
            "b": random.integers(-5, 900, rows),
            "c": polars.Series(random.exponential(size=rows)).set(polars.Series(np.arange(rows) == 4321), None),
            "d": random.choice(["x", "y"], rows),
            "e": random.normal(size=rows) * 1e5,
        }
    )
    later = frame.with_columns(e=frame["e"] * 7, a=polars.when(polars.int_range(rows) == 2100).then(None).otherwise(frame["a"]))
    encoder = fit_encoder(made(frame))
    together = [encoder.transform(made(one)) for one in (frame, later)]
    monkeypatch.setattr(plain.PlainNumbers, "fill_in", lambda *args: set())
    for one, found in zip((frame, later), together, strict=True):
        assert_close(found, encoder.transform(made(one)), "bits")
    monkeypatch.undo()
    space = np.full((rows, encoder.width), 7.0, dtype=np.float32)
    assert encoder.transform(made(frame), out=space) is space
    assert_close(space, together[0], "bits")
    with pytest.raises(DataError, match=r"column 'e' holds 1 infinite value, the first in row 3000"):
        encoder.transform(
            made(frame.with_columns(e=polars.when(polars.int_range(rows) == 3000).then(float("inf")).otherwise(frame["e"])))
        )


@pytest.mark.parametrize("made", LIBRARIES, ids=["polars", "pandas"])
def test_the_numbers_of_a_frame_are_not_encoded_one_by_one(
    made: Callable[[polars.DataFrame], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = made(polars.DataFrame({"a": [0.5, 1.5], "b": [1, 7]}))
    encoder = fit_encoder(frame)
    monkeypatch.delattr(NumericColumn, "fill_in")
    assert encoder.transform(frame).tolist() == [[-1.0, -1.0], [1.0, 1.0]]


def test_zeros_of_both_signs_are_encoded_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    frame = pandas.DataFrame({f"c{j}": random.choice([0.0, -0.0], 40) for j in range(10)} | {"size": np.arange(40) / 7})
    encoder = fit_encoder(frame)
    frame["size"] *= 9  # beyond the limits
    together = encoder.transform(frame)
    monkeypatch.setattr(plain.PlainNumbers, "fill_in", lambda *args: set())
    assert encoder.transform(frame).tobytes() == together.tobytes()


def _as_it_is(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array


@pytest.mark.parametrize("layout", [_as_it_is, np.asfortranarray, np.flip], ids=["C", "Fortran", "flipped"])
@pytest.mark.parametrize("taken", [False, True])
def test_columns_of_an_array_are_contiguous(layout: Callable[[Any], Any], taken: bool) -> None:
    rows, columns = 2 * AT_ONCE + 3, 2 * TOGETHER + 1
    array = layout(np.arange(rows * columns, dtype=np.float32).reshape(rows, columns))
    some = np.random.default_rng(0).integers(0, rows, AT_ONCE + 1) if taken else np.arange(rows)
    table = open_table(array).take(some) if taken else open_table(array)
    for name in (*table.names, *reversed(table.names)):
        values = table.numbers(name)
        assert values.flags.c_contiguous
        np.testing.assert_array_equal(values, array[some, int(name[1:])])


def test_columns_of_a_long_array_are_gathered_few_at_a_time() -> None:
    array = np.broadcast_to(np.arange(3, dtype=np.int8), (MOST_CELLS // 2, 3))
    table: Table = open_table(array)
    values = table.numbers("x1")
    assert values.base is not None
    assert values.base.size <= MOST_CELLS
    assert (values == 1).all()
    assert table.numbers("x2")[-1] == 2


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([0, 0, 0, 5], 0.0),
        ([0, 0, 5, 7], 2.5),
        ([-3, -3, 5], -3.0),
        ([-3, 4, 5], 4.0),
        ([0.0, 0.0, 0.0, -0.0], 0.0),
        ([-2, -2, -2, np.nan, 9], -2.0),
    ],
)
def test_the_median_is_often_the_least_value(values: list[float], median: float) -> None:
    (column,) = fit_encoder(np.array(values, dtype=float).reshape(-1, 1)).columns
    assert isinstance(column, NumericColumn)
    assert column.fill == median


def test_a_median_of_zero_has_the_sign_of_the_value_in_the_middle() -> None:
    for seed in range(20):
        values = np.random.default_rng(seed).choice([0.0, -0.0], 101)
        (column,) = fit_encoder(values.reshape(-1, 1)).columns
        assert isinstance(column, NumericColumn)
        assert column.fill is not None
        assert np.signbit(column.fill) == np.signbit(np.partition(values, [50, 50])[50])


def test_fitting_leaves_an_array_as_it_is() -> None:
    array = np.asfortranarray(np.random.default_rng(0).normal(size=(50, 3)))
    before = array.copy()
    for scaling in ("standard", "robust", "quantile", "smooth", "none"):
        fit_encoder(array, scaling=scaling)
    assert_close(array, before, "bits")
