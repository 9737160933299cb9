"""The same table as every kind of frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas
import polars
import pyarrow  # type: ignore[import-untyped]
import pytest

MAKERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "polars": polars.DataFrame,
    "pandas": pandas.DataFrame,
    "pandas-nullable": lambda data: pandas.DataFrame(data).convert_dtypes(),
    "pandas-object": lambda data: pandas.DataFrame(data).astype(object),
    "pandas-shuffled-index": lambda data: pandas.DataFrame(data, index=[7, 3, 3, 0]),
    "pyarrow": pyarrow.table,
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], Any]:
    """Make a frame of one kind from lists."""
    return MAKERS[request.param]
