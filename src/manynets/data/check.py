"""Check X, weights and row numbers, and turn them into arrays. Tensors are known, but torch is not loaded."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from manynets.display import counted, listed, short
from manynets.errors import DataError, warn_user
from manynets.tables.table import Table
from manynets.tasks.base import as_array

if TYPE_CHECKING:
    from torch import Tensor

ALLOWED = "an array, a tensor or a frame of (rows, columns)"
_PART = 1 << 20  # numbers checked at a time
_FEW = 256  # numbers that Python checks as fast as NumPy
_MODERATE = 32  # binary exponents up to which weights stay as they are


def is_tensor(x: object) -> TypeGuard[Tensor]:
    """Return whether x is a tensor of torch. Where torch is not loaded, nobody can have made one, and it stays so."""
    return isinstance(x, getattr(sys.modules.get("torch"), "Tensor", ()))


def is_sparse_tensor(x: object) -> bool:
    """Return whether x is a tensor of torch that does not hold every element, which NumPy cannot read."""
    return is_tensor(x) and str(x.layout) != "torch.strided"


def _refuse_sparse_tensor(x: object) -> None:
    if is_sparse_tensor(x):
        raise DataError(f"X is sparse ({type(x).__name__}); make it dense, with X.to_dense()")


def host_tensor(x: Tensor) -> Tensor:
    """Return a tensor that NumPy can read: without gradient, in the memory of the host, and in float32 where NumPy lacks its type."""
    x = x.detach().cpu()
    return x.float() if str(x.dtype) == "torch.bfloat16" else x


def is_frame(x: Any) -> bool:
    """Return whether X is a table with named columns: a pandas, polars or pyarrow frame, one that narwhals made, or a file's `Table`."""
    from narwhals.dependencies import is_into_dataframe

    if isinstance(x, Table):
        return x.array is None
    return not (isinstance(x, np.ndarray) or is_tensor(x)) and is_into_dataframe(x)


def target_names(y: Any) -> list[str] | None:
    """Return the names of the columns of a frame y; None for another y, for a single column, and for names that are no texts or not distinct.

    >>> target_names([[1.0, 2.0]]) is None
    True
    """
    found = getattr(y, "column_names", None) or getattr(y, "columns", None)  # of pyarrow, or of other frames
    names = [] if found is None or isinstance(found, str) else list(found)
    return names if len(names) > 1 and all(type(name) is str for name in names) and len(set(names)) == len(names) else None


def in_order(y: Any, wanted: Sequence[str], *, names: Sequence[str] | None = None, what: str = "y") -> Any:
    """Return y, with its columns in the order of those that are wanted. names: those of y, by default of a frame.

    DataError where y has some of the names, but not all. A y without names, or with other names, is taken as it is.
    """
    names = target_names(y) if names is None else list(names)
    if names is None or names == list(wanted) or not set(names) & set(wanted):
        return y
    if set(names) != set(wanted):
        raise DataError(
            f"{what} has the columns {', '.join(names)}, but the model predicts {', '.join(wanted)}; give these columns"
        )
    return as_array(y)[:, [names.index(name) for name in wanted]]


def as_matrix(x: Any, *, columns: int | None = None, gaps: bool = False) -> NDArray[Any] | Tensor:
    """Return X as a real array or tensor (N, D) with only finite values; raise DataError that says where and how many are not.

    Floats stay as they are (no copy), other numbers and bools become float32. columns: the required width. gaps: leave NaN and
    infinite values to the caller.
    """
    tensor = not isinstance(x, np.ndarray) and is_tensor(x)
    _refuse_sparse_tensor(x)
    if hasattr(x, "tocsr"):
        raise DataError(f"X is sparse ({type(x).__name__}); make it dense, with X.toarray(), or use the estimators")
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        hidden = counted(int(np.ma.getmaskarray(x).sum()), "masked value")
        raise DataError(f"X has {hidden}; fill them in, with X.filled(value), or remove those rows")
    if not tensor and type(x) is not np.ndarray:
        x = np.asarray(x) if isinstance(x, np.ndarray) else _array_of(x)  # also of np.matrix, whose columns stay (N, 1)
    if not tensor:
        if x.dtype.kind not in "fiub":
            x = _numbers(x)
        elif x.dtype.kind == "f" and x.dtype.itemsize > 8:
            x = x.astype(np.float64)
        if x.dtype.kind != "f" or x.dtype == np.float16:
            x = x.astype(np.float64 if x.dtype.kind in "iu" and x.dtype.itemsize > 2 else np.float32)
    elif x.dtype.is_complex:
        raise DataError(f"X has the type {x.dtype}, but must be real numbers")
    elif not x.dtype.is_floating_point:
        x = x.double() if x.dtype.itemsize > 2 else x.float()
    elif x.dtype.itemsize < 4:  # NumPy has no bfloat16
        x = x.float()
    shape = tuple(x.shape)
    if x.ndim > 2:
        raise DataError(f"X has shape {shape}, but must be (rows, columns); flatten each row, for example X.reshape(len(X), -1)")
    if x.ndim != 2:
        raise DataError(
            f"X has shape {shape}, but must be (rows, columns); one row is X.reshape(1, -1), one column X.reshape(-1, 1)"
        )
    if shape[0] == 0 or shape[1] == 0:
        raise DataError(f"X is empty: it has shape {shape}")
    if columns is not None and shape[1] != columns:
        raise DataError(f"X has {counted(shape[1], 'column')}, but this model was trained on {columns}")
    if not gaps:
        _check_finite(x)
    return x


def as_numpy(X: Any, *, columns: int | None = None) -> NDArray[Any]:
    """Return X (N, D), an array, a list of rows or a tensor, as a NumPy array; NaN marks a gap. columns: the required width."""
    matrix = as_matrix(X, columns=columns, gaps=True)
    if isinstance(matrix, np.ndarray):
        return matrix
    return np.asarray(host_tensor(matrix).numpy())


def check_container(x: Any) -> None:
    """Raise DataError for what holds rows in a way that is no array, such as a dict of columns, with what to give instead."""
    kind, data = type(x).__name__, sys.modules.get("torch.utils.data")  # as for `is_tensor`
    _refuse_sparse_tensor(x)
    found, remedy = f"a {kind}", ""
    if kind == "RecordBatch":
        remedy = "; give pyarrow.Table.from_batches([X])"
    elif getattr(getattr(x, "dtype", None), "names", None):
        found, remedy = "a structured array", "; make it a frame, pandas.DataFrame(X)"
    elif hasattr(x, "shape"):  # scipy's matrices of keys are dicts as well
        return
    elif data is not None and isinstance(x, data.TensorDataset):
        remedy = "; give its tensors, X, y = dataset.tensors"
    elif data is not None and isinstance(x, data.DataLoader):
        remedy = "; give what it loads, and its batch size as Recipe(batch_size=...)"
    elif data is not None and isinstance(x, data.Dataset):
        remedy = "; stack its rows, X = torch.stack([x for x, y in dataset])"
    elif isinstance(x, str | os.PathLike):
        found, remedy = repr(x), f"; manynets.tables.read_table({str(x)!r}) reads a file"
    elif isinstance(x, Mapping):
        remedy = "; make it a frame, pandas.DataFrame(X) or polars.DataFrame(X)"
    elif isinstance(x, list | tuple) and x and isinstance(x[0], Mapping):
        found, remedy = f"a {kind} of dicts", "; make it a frame, pandas.DataFrame(X) or polars.DataFrame(X)"
    elif kind == "LazyFrame":
        remedy = "; give X.collect()"
    elif not (x is None or isinstance(x, set | frozenset | Iterator)):
        return
    raise DataError(f"X is {found}, but must be {ALLOWED}{remedy}")


def _array_of(x: Any) -> NDArray[Any]:
    """Return X, which is neither array nor tensor, as an array."""
    check_container(x)
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise DataError(f"X must be {ALLOWED}: {_ragged(x) or error}") from error
    if array.ndim == 0:
        raise DataError(f"X is {short(x)}, but must be {ALLOWED}")
    if array.ndim == 1 and hasattr(x, "to_frame"):
        raise DataError(f"X is a {type(x).__name__}, but must be {ALLOWED}; one column is X.to_frame()")
    return array


def _ragged(rows: Any) -> str:
    """Say which rows of a list have another length than the first."""
    lengths = [np.size(row) if np.isscalar(row) else len(row) for row in rows if np.isscalar(row) or hasattr(row, "__len__")]
    other = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    return "" if other is None else f"row 0 has {lengths[0]} values, but row {other} has {lengths[other]}"


def _numbers(x: NDArray[Any]) -> NDArray[Any]:
    check_container(x)
    if x.dtype.kind in "cMmV":  # complex numbers, dates and records would lose their meaning as floats
        raise DataError(f"X has the type {x.dtype}, but must be real numbers")
    try:
        return x.astype(np.float64)
    except (TypeError, ValueError):
        pass
    for index, value in np.ndenumerate(x):
        try:
            float(value)
        except (TypeError, ValueError):
            shown = value.item() if isinstance(value, np.generic) else value
            raise DataError(
                f"X holds {shown!r} at {index}, but must be numbers; give a table with text as a frame, such as pandas.DataFrame(X)"
            ) from None
    raise DataError(f"X has the type {x.dtype}, but must be real numbers")


def is_finite(x: NDArray[Any] | Tensor) -> bool:
    """Return whether all numbers are finite. They are checked in parts, as NumPy and torch copy what they check."""
    if isinstance(x, np.ndarray) and x.size <= _FEW and all(map(math.isfinite, x.ravel().tolist())):
        return True  # faster for one row than NumPy's first call after a matrix product of torch
    step = max(1, _PART // max(1, math.prod(x.shape[1:])))
    parts: Iterator[Any] = (x[start : start + step] for start in range(0, len(x), step))
    return all(bool((np.isfinite(part) if isinstance(part, np.ndarray) else part.isfinite()).all()) for part in parts)


def _check_finite(x: NDArray[Any] | Tensor) -> None:
    if is_finite(x):
        return
    whole = x if isinstance(x, np.ndarray) else x.detach().cpu().numpy()
    nans, infinite = int(np.isnan(whole).sum()), int(np.isinf(whole).sum())
    row, column = (int(i) for i in np.argwhere(~np.isfinite(whole))[0])
    raise DataError(
        f"X has {nans} NaN and {counted(infinite, 'infinite value')} (the first in row {row}, column {column}); fill them in or remove"
        " those rows"
    )


def refuse_overflow(what: str, column: int, most: float, dtype: str, limit: float) -> None:
    """Raise DataError for a column with a number, `most`, that a type does not hold."""
    raise DataError(f"{what} column {column} reaches {most:.3g}, but {dtype} ends at {limit:.3g}; scale it, or use dtype='float64'")


def as_weights(weight: Any, rows: int, *, what: str = "sample_weight") -> NDArray[np.float64] | None:
    """Return row weights (N,) as float64: finite, not negative, not all zero; None stays None.

    They are scaled as `moderate_weights` does.
    """
    if weight is None:
        return None
    try:
        array = np.asarray(as_array(weight.detach().cpu() if is_tensor(weight) else weight), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be ({rows},) numbers, one for each row: {error}") from error
    if array.shape != (rows,):
        raise DataError(f"{what} has shape {array.shape}, but must be ({rows},): one number for each row")
    if not np.isfinite(array).all() or (array < 0).any():
        bad = array[~(np.isfinite(array) & (array >= 0))][0]
        raise DataError(f"{what} holds {bad}, but weights must be finite and not negative")
    if not array.any():
        raise DataError(f"{what} is zero for all {rows} rows; at least one must count")
    return moderate_weights(array)


def moderate_weights(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights as they are, or divided by a power of two where the largest is beyond 2^32 or below 2^-32.

    Only their ratios matter, and float32 holds neither 1e300 nor 1e-300.

    >>> moderate_weights(np.array([3.0, 1.0])).tolist(), moderate_weights(np.array([3e-300, 1e-300])).round(3).tolist()
    ([3.0, 1.0], [1.005, 0.335])
    """
    exponent = math.frexp(float(weight.max(initial=0.0)))[1]
    return weight if abs(exponent) <= _MODERATE else np.ldexp(weight, 1 - exponent)


def as_row_numbers(rows: Any, total: int, *, what: str) -> NDArray[np.int64]:
    """Return row numbers (or a mask of length `total`) as sorted int64; none, duplicates and numbers out of range are a DataError."""
    array = np.sort(as_fold_rows(rows, total, what=what))
    if len(array) == 0:
        raise DataError(f"{what} lists no rows")
    if (np.diff(array) == 0).any():
        raise DataError(f"{what} lists row {array[:-1][np.diff(array) == 0][0]} twice")
    return array


def as_fold_rows(given: Any, total: int, *, what: str) -> NDArray[np.int64]:
    """Return row numbers (or a mask of length `total`) as int64, in their order, maybe none or some twice; else a DataError."""
    try:
        rows = np.asarray(given)
    except ValueError as error:
        raise DataError(f"{what} must be row numbers or a mask of {total} bools: {error}") from error
    if rows.size == 0:
        return np.empty(0, dtype=np.int64)
    if rows.dtype == bool and rows.shape == (total,):
        return np.flatnonzero(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise DataError(f"{what} has shape {rows.shape} and type {rows.dtype}, but must be row numbers or a mask of {total} bools")
    bad = rows[(rows < 0) | (rows >= total)]
    if len(bad):
        raise DataError(f"{what} lists row {bad[0]}, but rows are numbered 0 to {total - 1}")
    return rows.astype(np.int64)


def rows_with_weight(rows: NDArray[np.int64] | None, weight: NDArray[np.float64] | None) -> NDArray[np.int64] | None:
    """Return those of the rows (None: all) whose weight (N,) is above 0; the others are to have no influence. Where there are none, all.

    >>> rows_with_weight(np.array([0, 2, 3]), np.array([1.0, 1.0, 0.0, 2.0])).tolist()
    [0, 3]
    """
    if weight is None or weight.all():
        return rows
    counted = np.flatnonzero(weight) if rows is None else rows[weight[rows] > 0]
    return counted if len(counted) else rows


def warn_of_single_rows(classes: Sequence[str], unseen: str = "validated") -> None:
    """Warn that these classes have one row each, which stays in training."""
    if len(classes) == 1:
        warn_user(f"only one row is of class {classes[0]}: it stays in training and is not {unseen}")
    else:
        warn_user(f"only one row each is of the classes {listed(classes)}: they stay in training and are not {unseen}")
