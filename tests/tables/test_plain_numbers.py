"""Columns of numbers that are encoded several at a time: with the same result as one by one."""

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
