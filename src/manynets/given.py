"""X, y and validation as `train` is given them: arrays, or a table whose target is taken off."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from manynets.data.check import as_row_numbers, in_order, is_frame, is_sparse_tensor, target_names
from manynets.display import short
from manynets.errors import DataError, OptionError, check_rows
from manynets.tables import open_file, open_table, split_target
from manynets.tables.target import columns_to_split_by, refuse_text_targets, rows_with_target
from manynets.tasks.base import as_array

VALIDATION = (
    "a fraction of the rows, row numbers or a mask, a set (X, y) or (X, y, sample_weight), or 'folds' with several networks"
)


def read_given(
    X: Any, y: Any, target: str | Sequence[str] | None, sample_weight: Any, *, drop_missing_target: bool
) -> tuple[Any, Any, Any, NDArray[np.bool_] | None]:
    """Return X, y and the weights, read from a file, and with the target taken off the table, where X is a path or a target is named.

    The last is which rows of the table (N,) these are, None for all.
    """
    kept = None
    if isinstance(X, str | os.PathLike):
        if target is None:
            column = y if isinstance(y, str) else "price"
            such = "" if isinstance(y, str) else "such as "
            raise OptionError(f"X is the file {os.fspath(X)!r}, so name the column to predict, {such}target={column!r}")
        X = _opened(os.fspath(X))
    if target is not None:
        if y is not None:
            raise OptionError(f"target is {target!r} and y was given too; give one of the two")
        kept = rows_with_target(X, target) if drop_missing_target else None
        named = sample_weight if isinstance(sample_weight, str) else None
        X, y, weight = split_target(X, target, weight=named, drop_missing_target=drop_missing_target)
        refuse_text_targets([target] if isinstance(target, str) else target, y)
        sample_weight = _of_kept_rows(sample_weight, kept, what="sample_weight") if named is None else weight
    elif drop_missing_target:
        raise OptionError("drop_missing_target is for a table with target='...'; leave it out, and such rows out of X and y")
    if isinstance(y, str):
        raise OptionError(f"y is {y!r}, but must be the values to predict; name a column of the table with target={y!r}")
    if y is not None:
        check_target(y)
        return X, y, sample_weight, kept
    if isinstance(X, DataLoader | Dataset):
        size = getattr(X, "batch_size", None) or 32
        raise DataError(
            f"X is a {type(X).__name__}; mn.train takes arrays or tensors and makes its own batches:"
            f" mn.train(X, y, recipe=mn.Recipe(batch_size={size}))"
        )
    raise DataError("y is missing: give the values to predict, or the column of a table by name, such as target='price'")


def splits_of_kept_rows(kept: NDArray[np.bool_] | None, columns: Mapping[str, Any], validation: Any) -> tuple[dict[str, Any], Any]:
    """Return columns (N,) to split by, and what to validate on, for those rows of a table that are kept; None for all."""
    out = {name: _of_kept_rows(column, kept, what=name) for name, column in columns.items()}
    if kept is None or own_validation(validation) is not None or is_frame(validation) or np.ndim(validation) == 0:
        return out, validation
    mask = np.zeros(len(kept), dtype=bool)
    mask[as_row_numbers(validation, len(kept), what="validation")] = True
    return out, mask[kept]


def named_splits(X: Any, columns: Mapping[str, Any], encoder: Any = None) -> tuple[dict[str, Any], list[str]]:
    """Return groups, times and stratify with the values of those columns (N,) that are named, and the columns that are no features.

    That is the column of the groups, as new rows have new ones, unless an encoder is given, which knows its columns.

    Errors: DataError for a name that is no column of X. Where X is no table, names stay as they are, and are refused where the rows are split.
    """
    named = {what: name for what, name in columns.items() if isinstance(name, str)}
    if not named or not is_frame(X):
        return dict(columns), []
    left_out = [named["groups"]] if "groups" in named and encoder is None else []
    return {**columns, **columns_to_split_by(open_table(X), named)}, left_out


def _of_kept_rows(column: Any, kept: NDArray[np.bool_] | None, *, what: str) -> Any:
    """Return the values of a column (N,) for the rows that are kept; None stays None. DataError for another number of values."""
    if column is None or kept is None or isinstance(column, str):  # of a name, they are read from the rows that are kept
        return column
    values = as_array(column.detach().cpu() if isinstance(column, Tensor) else column, what=what)
    if values.shape[:1] != kept.shape:
        raise DataError(
            f"{what} has shape {values.shape}, but the table has {len(kept)} rows; with drop_missing_target=True give one value for each of"
            " them, also for those without a target"
        )
    left = values[kept]
    # objects may be numbers now, as the gaps among them are gone
    return as_array(left.tolist(), what=what) if left.dtype.kind == "O" else left


def targets_by_name(
    y: Any, validation: Any, target: str | Sequence[str] | None, *, known: Sequence[str] = ()
) -> tuple[Any, Any, Sequence[str]]:
    """Return y and what to validate on with several targets in one order, where they have names, and these names.

    target: the columns of a table that were named; without them the names are those of a frame y. known: names of the targets of a model, whose
    order they get.
    """
    names = target_names(y) if target is None or isinstance(target, str) else list(target)
    y = in_order(y, known, names=names)
    order = known if names is None or set(names) == set(known) else names
    own = own_validation(validation)
    if own is not None:
        validation = own[0], in_order(own[1], order, what="y of the validation set"), *own[2:]
    return y, validation, order


def check_lengths(X: Any, rows: int) -> None:
    """Raise DataError unless X has rows and columns, and y as many rows."""
    if 0 in X.shape:
        raise DataError(f"X is empty: it has shape {tuple(X.shape)}")
    check_rows(len(X), rows)


def check_target(y: Any) -> None:
    """Raise DataError unless y holds values, one for each row."""
    if hasattr(y, "tocsr") or is_sparse_tensor(y):
        remedy = "y.toarray()" if hasattr(y, "tocsr") else "y.to_dense()"
        raise DataError(f"y is sparse ({type(y).__name__}); make it dense, with {remedy}")
    if not _has_rows(y) or isinstance(y, str | Mapping | Set | DataLoader | Dataset):
        collect = "; give y.collect()" if type(y).__name__ == "LazyFrame" else ""
        raise DataError(f"y is {short(y)}, but must be the values to predict, one for each row of X{collect}")


def own_validation(validation: Any) -> tuple[Any, ...] | None:
    """Return a validation set (X, y) or (X, y, sample_weight); None for anything else, such as a list of row numbers."""
    several = isinstance(validation, tuple | list) and any(map(_has_rows, validation))
    if several and len(validation) not in (2, 3):
        raise OptionError(f"validation is a {type(validation).__name__} of {len(validation)}, but must be {VALIDATION}")
    return tuple(validation) if several else None


def _has_rows(value: Any) -> bool:
    return (hasattr(value, "__len__") or hasattr(value, "__array__")) and getattr(value, "shape", None) != ()


def _opened(path: str) -> Any:
    """Return the table in a file: a frame, or where cells have decimal commas a table that says so."""
    table = open_file(path)
    return table if table.commas else table.as_frame().to_native()


def refuse_target(target: str | Sequence[str] | None, **columns: Sequence[str]) -> None:
    """Raise OptionError where columns of features that were declared include the target."""
    targets = [target] if isinstance(target, str) else target or ()
    for option, names in columns.items():
        both = next((name for name in targets if not isinstance(names, str) and name in names), None)
        if both is not None:
            raise OptionError(f"{option} names {both!r}, which is the target; leave it out of {option}, or give another target")


def declared_columns(X: Any, encoder: Any, **columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns that were declared, as options of `manynets.tables.fit_encoder`; OptionError where no encoder is fitted to a table."""
    for name, value in columns.items():
        if isinstance(value, str):
            raise OptionError(f"{name} is {value!r}, but must be a list of columns, such as [{value!r}]")
        if len(value) and not is_frame(X):
            raise OptionError(f"{name} is {list(value)!r}, but is for a table, and X is a {type(X).__name__}; leave it out")
        if len(value) and encoder is not None:
            raise OptionError(f"{name} is {list(value)!r}, but the encoder or Model that was given knows its columns; leave it out")
    return {name: list(value) for name, value in columns.items() if len(value)}
