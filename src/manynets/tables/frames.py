"""Open what Python holds as a table: pandas, polars and pyarrow frames, and NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manynets.errors import DataError
from manynets.tables.missing import is_missing_value
from manynets.tables.stored import first_line
from manynets.tables.table import Table, refuse_duplicates, refuse_patterns
from manynets.tables.unusual import plain_columns

if TYPE_CHECKING:
    import narwhals as nw


def open_table(data: Any, *, known: Collection[str] = ()) -> Table:
    """Return the one view of a pandas, polars or pyarrow frame, or of an array (N, D) whose columns are named x0, x1, ...

    A lazy frame is collected, and of a tensor that requires a gradient the values are taken. known: the columns of an encoder that is to read
    the table, which say what lists in a column are.

    Errors: DataError for anything else, an array that is not 2-D or holds no numbers, no columns, and column names
    that occur twice.

    >>> open_table(np.zeros((3, 2))).names
    ('x0', 'x1')
    """
    if isinstance(data, Table):
        return data
    if hasattr(data, "detach") and hasattr(data, "numpy"):  # a torch tensor
        data = data.detach().cpu().numpy()
    if isinstance(data, np.ndarray):
        return _open_array(data)
    if hasattr(data, "collect") and hasattr(data, "collect_schema"):  # a lazy frame of polars or narwhals
        try:
            data = data.collect()
        except Exception as error:  # each backend has its own
            raise DataError(f"the lazy frame cannot be collected: {first_line(error)}") from error
    if hasattr(data, "to_frame"):
        raise DataError(f"the table is a {type(data).__name__}, one column without a table; give to_frame() of it")
    import narwhals as nw

    if type(data).__module__.split(".")[0] == "pandas" and hasattr(data, "columns"):
        labels = [str(name) for name in data.columns]
        refuse_duplicates(labels, known)
        if labels != list(data.columns):
            data = data.set_axis(labels, axis=1)
    elif hasattr(data, "column_names"):  # pyarrow allows a name twice
        refuse_duplicates([str(name) for name in data.column_names], known)
    elif hasattr(data, "columns"):
        refuse_patterns(map(str, data.columns), known)
    data = plain_columns(data, known)
    try:
        frame: nw.DataFrame[Any] = nw.from_native(data, eager_only=True)
    except TypeError as error:
        raise DataError(
            f"the table is a {type(data).__module__}.{type(data).__name__}, but must be a pandas, polars or pyarrow frame,"
            " or a NumPy array of two dimensions"
        ) from error
    if not frame.columns:
        raise DataError("the table is empty: it has no columns and no rows; at least 1 of each is needed")
    return Table(names=tuple(frame.columns), rows=len(frame), frame=frame)


def _open_array(data: NDArray[Any]) -> Table:
    if data.ndim != 2:
        raise DataError(
            f"the array has shape {data.shape}, but must have two dimensions: (rows, columns); use reshape(-1, 1) for one column"
        )
    if data.shape[1] == 0:
        raise DataError(f"the array has shape {data.shape}: no columns")
    if data.dtype.kind not in "fiub":
        data = _numbers_of_objects(data)
    return Table(names=tuple(f"x{j}" for j in range(data.shape[1])), rows=data.shape[0], array=data)


def _numbers_of_objects(data: NDArray[Any]) -> NDArray[np.float64]:
    """Turn an array of objects or text into float64; None and pandas' NA become NaN."""
    numbers = np.empty(data.shape)
    for i, row in enumerate(data):
        for j, cell in enumerate(row):
            try:
                numbers[i, j] = math.nan if is_missing_value(cell) else float(cell)
            except (TypeError, ValueError, OverflowError) as error:
                raise DataError(
                    f"column x{j}, row {i} (counted from 0) holds {cell!r}, but an array may hold numbers only;"
                    " give a pandas, polars or pyarrow frame for text"
                ) from error
    return numbers


def frame_hashes(frame: Any) -> NDArray[np.uint64]:
    """Return a number for each row (N,) of a pandas, polars or pyarrow frame, the same for identical rows.

    >>> import polars
    >>> one, two, three = frame_hashes(polars.DataFrame({"a": [1, 1, 2], "b": ["x", "x", "x"]}))
    >>> bool(one == two), bool(one == three)
    (True, False)
    """
    import narwhals as nw

    table = nw.from_native(frame)
    if table.implementation.is_pandas():
        pandas: Any = table.implementation.to_native_namespace()
        out: NDArray[np.uint64] = pandas.util.hash_pandas_object(frame, index=False).to_numpy()
        return out
    return table.to_polars().hash_rows().to_numpy()
