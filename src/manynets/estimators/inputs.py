"""Check what fit and predict are given (arrays, sparse matrices, frames, targets, weights) as scikit-learn does."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import validate_data

from manynets import given
from manynets.data.check import (
    as_matrix,
    as_weights,
    check_container,
    host_tensor,
    in_order,
    is_frame,
    is_tensor,
    warn_of_single_rows,
)
from manynets.display import counted, listed
from manynets.errors import DataError, OptionError, warn_user
from manynets.given import check_target
from manynets.model import Model
from manynets.tables.frames import open_table
from manynets.tables.missing import is_missing_value
from manynets.tables.table import Table
from manynets.tasks.base import as_array, as_target, finite_target, labels_of, plain, plain_labels

Rows = NDArray[np.int64]
_is_sparse: Callable[[Any], bool] = sparse.issparse
_SMALL, _LARGE = 1e-100, 1e100
FLOATS = (np.float64, np.float32)  # other types become the first
SPARSE = ["csr", "csc"]


def read_rows(estimator: Any, x: Any, *, reset: bool) -> Any:
    """Return X as a finite float matrix (N, D), dense or sparse, or as a frame that needs encoding.

    With reset the estimator stores the names and the number of columns; otherwise they must be the same, in the same order.
    """
    if x is not None:  # of which scikit-learn has its own error
        check_container(x)
    if is_frame(x) and not x.shape[1]:
        raise DataError("the table has no columns")
    if is_frame(x) and not hasattr(x, "sparse"):  # pandas has that where all columns are sparse: numbers
        table = open_table(x)  # rejects duplicate names
        split = table.frame is not None and table.names != tuple(map(str, getattr(x, "column_names", x.columns)))  # of lists
        middles = any(type(kind).__name__ == "IntervalDtype" for kind in getattr(x, "dtypes", ()))
        encoder = getattr(estimator, "encoder_", None)
        if split or middles or needs_encoding(table) if reset else encoder is not None and not encoder.positional:
            return validate_data(estimator, x, reset=reset, skip_check_array=True)
    if not reset and not is_frame(x) and by_name(estimator, x):
        return with_names(estimator, x)
    x = numeric_rows(estimator, x, reset=reset, accept_sparse=SPARSE, ensure_all_finite=False)
    if not _is_sparse(x):
        return as_matrix(x)
    bad = ~np.isfinite(x.data)
    if bad.any():
        nans = int(np.isnan(x.data).sum())
        infinite = counted(int(bad.sum()) - nans, "infinite value")
        raise DataError(f"X has {nans} NaN and {infinite}; fill them in or remove those rows")
    return x


def numeric_rows(estimator: Any, x: Any, **options: Any) -> Any:
    """Return X as scikit-learn's `validate_data` does, as floats."""
    if is_tensor(x):
        x = host_tensor(x)
    if isinstance(x, np.ma.MaskedArray):
        x = as_matrix(x, gaps=True)  # rejects masked values, which scikit-learn would use
    try:
        return validate_data(estimator, x, dtype=FLOATS, **options)
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        if is_frame(x):
            name = type(estimator).__name__
            raise DataError(
                f"X holds text, but this {name} was fitted to numbers only; give the columns as then ({error})"
            ) from None
        raise DataError(
            "X holds text, but an array must hold numbers; give a frame, such as pandas.DataFrame(X), whose columns of text are encoded: the"
            f" steps of a pipeline return frames after set_output(transform='pandas') ({error})"
        ) from None


def validation_rows(read: Callable[[Any], Any], X_val: Any) -> Any:
    """Return read(X_val); what is wrong with it is said to be about X_val."""
    try:
        return read(X_val)
    except ValueError as error:
        raise DataError(f"X_val cannot be used: {error}") from None


def dense(x: Any) -> NDArray[Any]:
    """Return a matrix (N, D), sparse or not, as an array."""
    out: NDArray[Any] = x.toarray() if _is_sparse(x) else x
    return out


def by_name(estimator: Any, x: Any) -> bool:
    """Return whether an estimator that is given an array was fitted to a table, whose columns its encoder finds by name.

    Errors: DataError where these are not all numbers, but those of x are.
    """
    encoder = getattr(estimator, "encoder_", None)
    if encoder is None or encoder.positional:
        return False
    other = next((column for column in encoder.columns if column.kind != "numeric"), None)
    if other is not None and not _holds_objects(x):
        raise DataError(
            f"X is an array, but this {type(estimator).__name__} was fitted to a table, in which {other.name!r} is no column of numbers;"
            f" give a frame with the columns {listed(encoder.column_names, 8)}, or an array of objects in their order"
        )
    return True


def _holds_objects(x: Any) -> bool:
    return getattr(getattr(x, "dtype", None), "kind", "") == "O" and x.ndim == 2


def with_names(estimator: Any, x: Any) -> Any:
    """Return an array (N, D) of numbers or objects as a frame with the names of the columns that an estimator was fitted to, by their position.

    Errors: DataError where their order is not known: scikit-learn records names that are texts only, an encoder those that it uses.
    """
    import polars

    if _holds_objects(x):  # what tools such as shap make of a frame with text
        x = validate_data(estimator, x, reset=False, skip_check_array=True)
    else:
        x = dense(numeric_rows(estimator, x, reset=False, accept_sparse=SPARSE, ensure_all_finite=False))
    names, encoder = getattr(estimator, "feature_names_in_", None), estimator.encoder_
    if names is None and encoder.dropped:
        raise DataError(
            f"X is an array, but this {type(estimator).__name__} was fitted to a table of which it left out"
            f" {listed(repr(name) for name, _ in encoder.dropped)}; give a frame with the columns {listed(encoder.column_names)}"
        )
    names = list(encoder.column_names if names is None else names)
    if x.dtype.kind != "O":
        return polars.DataFrame(x, schema=names)
    cells = ([None if is_missing_value(cell) else cell for cell in column] for column in x.T.tolist())
    return polars.DataFrame([polars.Series(name, column, strict=False) for name, column in zip(names, cells, strict=True)])


def needs_encoding(table: Table) -> bool:
    """Return whether a frame has text, categories, dates or gaps; bools are numbers."""
    for name in table.names:
        if table.storage(name) not in ("number", "bool"):
            return True
        column = table.series(name)
        if column.null_count() or (column.dtype.is_float() and column.is_nan().any()):
            return True
    return False


def _present(estimator: Any, y: Any, x: Any, *, warn: bool = True) -> NDArray[Any]:
    """Return y as an array with as many rows as x. warn: of a column (N, 1), as the fit of scikit-learn does."""
    if y is None:
        name = type(estimator).__name__
        raise DataError(f"This {name} estimator requires y to be passed, but the target y is None.")
    if _is_sparse(y):
        y = y.toarray()
    check_target(y)
    if is_tensor(y):
        y = host_tensor(y)
    if not hasattr(y, "dtype") or not hasattr(y, "shape") or type(y).__module__.startswith("polars"):
        y = as_array(y)
    check_consistent_length(x, y)
    if np.ndim(y) == 2 and np.shape(y)[1] == 1:
        y = column_or_1d(y, warn=warn)
    return as_target(y)


def labels(estimator: Any, y: Any, x: Any, *, warn: bool = True) -> NDArray[Any]:
    """Return y as class labels (N,), or for several labels a row as 0 and 1 (N, L). warn: of a column (N, 1)."""
    found = _present(estimator, y, x, warn=warn)
    if found.dtype.kind in "OS" and found.ndim == 1:
        plain_labels(labels_of(found))  # rejects labels of mixed or unusual types
        values = np.array(found.tolist())
        found = values if values.dtype.kind in "biuf" else found  # numbers or bools, in a column that once had gaps
    if found.dtype.kind == "f":
        finite_target(found)
    whole = found.dtype.kind in "biuU" or (found.dtype.kind == "f" and not np.any(found % 1))
    if found.ndim == 2 and found.dtype.kind not in "biuf":
        raise _no_labels(found)
    if found.ndim == 2 or not whole:  # slow, and not needed for simple labels
        try:
            check_classification_targets(found)
        except ValueError as error:
            name = type(estimator).__name__
            raise DataError(f"{error} Use {name.replace('Classifier', 'Regressor')} for numbers.") from None
    if found.ndim == 2 and type_of_target(found) != "multilabel-indicator":
        raise _no_labels(found)
    return found


def _no_labels(y: NDArray[Any]) -> DataError:
    return DataError(f"y has shape {y.shape}, but must be one label a row, or a matrix of 0 and 1; fit one model for each column")


def numbers(estimator: Any, y: Any, x: Any) -> NDArray[np.float64]:
    """Return y as finite numbers (N,) or (N, O)."""
    found = _present(estimator, y, x)
    first = plain(found.ravel()[0])
    if isinstance(first, str) or not (hasattr(first, "__float__") or isinstance(first, datetime.date | datetime.timedelta)):
        name = type(estimator).__name__
        classifier = name.replace("Regressor", "Classifier")
        raise DataError(f"y holds {first!r}, but {name} predicts numbers; use {classifier} for classes")
    return finite_target(found)


def weights(sample_weight: Any, rows: int) -> NDArray[np.float64] | None:
    """Return row weights (N,), None for none; a single number is the weight of every row."""
    alone = isinstance(sample_weight, Real) or getattr(sample_weight, "shape", None) == ()
    return as_weights(np.full(rows, sample_weight) if alone else sample_weight, rows)


def targets_by_name(y: Any, known: Sequence[str]) -> tuple[Any, Sequence[str]]:
    """Return y, the columns of a frame in the order of the known targets, and the names of its targets; of other y the known ones.

    Errors: DataError where a frame has some of the known names, but not all.
    """
    if not is_frame(y):
        return y, known
    y, _, names = given.targets_by_name(y, None, None, known=known)
    return y, names


def validation_target(names: Sequence[str], X_val: Any, y_val: Any, groups: Any) -> Any:
    """Return y_val, the columns of a frame in the order of the names of the targets.

    Errors: DataError for half a validation set, and for other columns than these; OptionError for groups next to one.
    """
    if (X_val is None) != (y_val is None):
        raise DataError("only one of X_val and y_val was given; a validation set needs both")
    if groups is not None and X_val is not None:
        raise OptionError("groups says how to split the rows, but X_val is a validation set of your own; give one of the two")
    return None if X_val is None else in_order(y_val, names, what="y_val")


def refuse_name(groups: Any) -> None:
    """Raise DataError for groups that are the name of a column."""
    if isinstance(groups, str):
        raise DataError(
            f"groups is {groups!r}, but must be one value for each row; give X[{groups!r}], and leave that column out of X"
        )


def distinct_rows(
    x: NDArray[Any], y: NDArray[Any], weight: NDArray[np.float64] | None
) -> tuple[Rows, Rows, NDArray[np.float64]] | None:
    """Group equal rows of X and y: return (first, group, weight), or None where all rows differ and have the same weight.

    first (G,): a row of each group; group (N,): the group of each row, -1 for rows without weight; weight (G,): the sum of the
    weights in a group. k copies of a row and one row with weight k give the same groups in the same order: that of first appearance
    where all groups have the same weight, otherwise that of their bytes.
    """
    columns = np.concatenate([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64).reshape(len(y), -1)], axis=1)
    columns += 0.0  # -0.0 is 0.0
    keys = np.ascontiguousarray(columns).view(np.dtype((np.void, columns.shape[1] * 8))).reshape(-1)
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    total = np.bincount(group, weights=weight, minlength=len(first)).astype(np.float64)
    alike = bool((total == total[0]).all())
    if alike and len(first) == len(x):
        return None
    order = np.flatnonzero(total > 0)
    if alike:
        order = np.argsort(first, kind="stable")
    rank = np.full(len(first), -1)
    rank[order] = np.arange(len(order))
    return first[order], rank[group], total[order]


def split_for_stopping(
    x: NDArray[Any] | None,
    codes: NDArray[Any],
    weight: NDArray[np.float64] | None,
    *,
    fraction: float,
    random: np.random.RandomState,
    stratify: bool,
    names: NDArray[Any] | None,
) -> tuple[Rows, Rows] | None:
    """Return row numbers for training and validation, split as scikit-learn does, or None (with a warning) for too few rows.

    x, codes: columns, and the encoded target (N,) or (N, O). Equal rows go to the same side, and rows without weight to neither.
    names: the classes, if codes (N,) are class codes; a class with one row stays in training, with a warning that names it.
    """
    found = None if x is None else distinct_rows(x, codes, weight)
    first, group = (np.arange(len(codes)), np.arange(len(codes))) if found is None else found[:2]
    apart = np.empty(0, dtype=np.int64)
    if names is not None:
        counts = np.bincount(codes.astype(np.int64), minlength=len(names))
        single = counts[codes[first].astype(np.int64)] == 1
        apart = np.flatnonzero(single)
        if len(apart):
            warn_of_single_rows([repr(plain(names[int(code)])) for code in np.sort(codes[first[apart]])])
    pool = np.setdiff1d(np.arange(len(first)), apart)
    held = int(np.ceil(fraction * len(pool)))
    if held < 2 or len(pool) - held < 1:
        warn_user(
            f"The validation set is too small: {held} of {len(pool)} rows; early stopping goes by the training loss instead. "
            "Increase 'validation_fraction' or the size of your dataset."
        )
        return None
    train, validation = train_test_split(
        pool, random_state=random, test_size=fraction, stratify=codes[first[pool]] if stratify else None
    )
    train = np.concatenate([train, apart])
    return _rows_in(train, group), _rows_in(validation, group)


def _rows_in(groups: Rows, group: Rows) -> Rows:
    """Return the rows that are in `groups`, in the order of `groups`; group (N,): the group of each row."""
    rank = np.full(group.max() + 1, -1)
    rank[groups] = np.arange(len(groups))
    rows = np.flatnonzero(np.isin(group, groups))
    return rows[np.argsort(rank[group[rows]], kind="stable")]


def safe_size(y: NDArray[Any]) -> float:
    """Return 1, or a power of two near the largest |y| where its square would be beyond float64."""
    largest = float(np.abs(y).max(initial=0.0))
    if not np.isfinite(largest) or largest == 0 or _SMALL < largest < _LARGE:
        return 1.0
    return float(2.0 ** np.floor(np.log2(largest)))


class ScoresLabels(ClassifierMixin):
    """What the classifiers share: the score of any y that fit takes, and the logarithm of probabilities."""

    model_: Model

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of rows of X (N, D) that are predicted as in y: labels (N,), or 0 and 1 (N, L), of which all must be right.

        The columns of a frame y are found by name.
        """
        predicted = self.predict(X)
        y, _ = targets_by_name(y, self.model_.target_names)
        return float(accuracy_score(labels(self, y, predicted, warn=False), predicted, sample_weight=sample_weight))

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))


class ScoresNumbers(RegressorMixin):
    """The score of a regressor, for any y that fit takes, near the ends of float64 too."""

    model_: Model

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R2 of the predictions for X (N, D) and y: numbers (N,) or (N, O), whose columns in a frame are found by name."""
        predicted = self.predict(X)
        y, _ = targets_by_name(y, self.model_.target_names)
        target = _present(self, y, predicted, warn=False)
        if target.dtype.kind not in "fiub":
            target = numbers(self, target, predicted)
        size = safe_size(target.astype(np.float64))
        if size != 1.0:
            target, predicted = target / size, np.asarray(predicted, dtype=np.float64) / size
        return float(r2_score(target, predicted, sample_weight=sample_weight))
