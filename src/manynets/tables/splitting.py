"""The columns of a table by which its rows are split: by group, by time, or in equal shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from manynets.errors import DataError
from manynets.tables.kinds import plain_values
from manynets.tables.schema import understand
from manynets.tables.table import Table, require


def columns_to_split_by(table: Table, named: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return the values (N,) of columns, as `understand` reads them. named: groups, times or stratify, each with the name of a column.

    Errors: DataError for a name that is no column, and for times that are neither dates nor numbers.

    >>> import polars
    >>> from manynets.tables import open_table
    >>> table = open_table(polars.DataFrame({"sold": ["2024-01-31", "2024-07-01"], "town": ["Bern", "Basel"]}))
    >>> columns_to_split_by(table, {"times": "sold"})["times"].round(2).tolist()
    [2024.08, 2024.5]
    """
    require(named.values(), table.names, what="column to split by")
    values = {}
    for what, name in named.items():
        [column] = understand(table.select([name]), categorical=[name] if what == "groups" else [])
        values[what] = plain_values(table, column)
    times = values.get("times")
    if times is not None and times.dtype.kind not in "biuf":
        raise DataError(f"times is {named['times']!r}, but that column holds {times[0]!r}, and must hold dates or numbers")
    return values
