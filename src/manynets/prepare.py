"""From a table or an array to what networks train on.

    check X and y  ->  split the rows  ->  fit the encoder to the training rows  ->  move everything to the device

`prepare` takes all four steps. Callers that need a single one use the functions below; nothing else in the package splits rows
into training and validation, or fits an encoder for a training. A new way to split (by group, by time) is an argument of
`holdout` and `cv_splits`.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from manynets.data.batches import Rows
from manynets.data.check import as_fold_rows, as_matrix, as_numpy, as_row_numbers, is_frame, rows_with_weight
from manynets.data.duplicates import count_held_out, count_shared, encoded_hashes, row_hashes
from manynets.data.split import AT_RANDOM, SplitBy, deal_rows, even_folds, split_rows
from manynets.data.tensors import to_tensor, warn_of_lost_digits
from manynets.display import short
from manynets.encoding import column_options, encoded_array, needs_encoder, read_validation_set, warn_of_encoded
from manynets.errors import DataError, OptionError
from manynets.given import VALIDATION, check_lengths, own_validation
from manynets.spec import Embedding, Recipe
from manynets.tables import TableEncoder, fit_encoder
from manynets.tables.scaling import Scaling
from manynets.targets import ClassWeight, Target, find_target, row_weights, standardised_by
from manynets.tasks import Task
from manynets.tasks.base import as_array
from manynets.tasks.objectives import OwnLoss, check_own_loss
from manynets.tasks.own_metric import own_metric
from manynets.training.torch_settings import find_device
from manynets.training.trial import Problem

__all__ = [
    "EncodedTable", "Split", "SplitBy", "TrainingData", "copies_held_out", "counted_rows", "cv_splits", "encode_table", "holdout",
    "network_splits", "on_device", "prepare", "split_by", "validation_split", "with_metric",
]  # fmt: skip

RowNumbers: TypeAlias = NDArray[np.int64]


class Split(NamedTuple):
    """Row numbers to train on (None: all rows), and to validate or test on (None: no rows)."""

    train: RowNumbers | None
    held_out: RowNumbers | None


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingData:
    """A problem on its device, and the rows that networks train and validate on.

    rows: None where all rows train. validation_rows: None without validation, or where the problem has a validation set of its own.
    encoder: turned the columns of a table into those of the problem; None for arrays that are taken as they are.
    hashes: of the rows (N,), to find copies where identical rows may be encoded differently (`encoded_hashes`); else None.
    """

    problem: Problem
    in_features: int
    rows: RowNumbers | None
    validation_rows: RowNumbers | None
    encoder: TableEncoder | None = None
    hashes: NDArray[np.uint64] | None = None


def prepare(
    X: Any,
    y: Any,
    recipe: Recipe,
    *,
    task: str | Task | None = None,
    validation: Any = None,
    sample_weight: Any = None,
    class_weight: ClassWeight = None,
    encoder: TableEncoder | None = None,
    by: SplitBy | None = None,
    target_transform: Literal["log", "auto"] | None = None,
    scaling: Scaling | None = None,
    category_means: bool = False,
    embedding: Embedding | None = None,
    declared: Mapping[str, Any] | None = None,
    fitted_rows: RowNumbers | None = None,
    target_rows: RowNumbers | None = None,
    loss: OwnLoss | None = None,
) -> TrainingData:
    """Check X and y, split the rows, encode a table, and move the data to the recipe's device.

    The arguments are those of `manynets.train`, and X may be an `EncodedTable`; embedding: the network's; declared: its drop, categorical and
    numeric, or other options of `manynets.tables.fit_encoder`. fitted_rows: those that an encoder is fitted to, None for the rows that are
    trained on. target_rows: those by which a regression target is standardised, None for fitted_rows. loss: a function.
    Raises DataError for data that cannot be used and OptionError for options that do not fit them.
    """
    hashes = None
    if isinstance(X, EncodedTable):
        X, encoder, hashes = X
    fits = needs_encoder(X, encoder, embedding, scaling=scaling)
    as_table = fits or is_frame(X) or (encoder is not None and encoder.positional)
    given: Any = (X if is_frame(X) else as_numpy(X)) if as_table else encoded_array(X, encoder)
    y = as_array(y) if isinstance(y, list | tuple) or hasattr(y, "to_list") else y  # of a series, too
    check_lengths(given, len(y) if hasattr(y, "__len__") else np.asarray(y).size)
    target = find_target(y, task, loss=recipe.loss, target_transform=target_transform, quantiles=recipe.quantiles)
    weight = row_weights(target.task, target.encoded, len(given), sample_weight, class_weight)
    own = own_validation(validation)
    split = Split(None, None) if own is not None else validation_split(target, validation, seed=recipe.seed, by=by, weight=weight)
    for rows, what in ((split.train, "training"), (split.held_out, "validation")):
        if weight is not None and rows is not None and not weight[rows].any():
            raise DataError(f"sample_weight is zero for all {len(rows)} {what} rows; at least one must count")
    fitted_rows = rows_with_weight(split.train if fitted_rows is None else fitted_rows, weight)
    if not isinstance(task, Task):
        target = standardised_by(target, y, fitted_rows, loss=recipe.loss)
    matrix = given
    if as_table:
        options = column_options(given, embedding, scaling=scaling, category_means=category_means) if fits else {}
        options |= declared or {}
        matrix, encoder, hashes = encode_table(given, y, rows=fitted_rows, encoder=encoder, target=target.encoded, **options)
        matrix = as_matrix(matrix)
        if fits and not is_frame(given):
            warn_of_encoded(given, matrix, encoder)
    if target_rows is not None and not isinstance(task, Task):
        target = standardised_by(target, y, rows_with_weight(target_rows, weight), loss=recipe.loss)
    validation_set = None
    if own is not None:
        read = read_validation_set(own, target.task, encoder, columns=matrix.shape[1], of_frame=is_frame(X))
        validation_set = on_device(*read, recipe)
    problem = Problem(target.task, on_device(matrix, target.encoded, weight, recipe), validation_set, loss=loss)
    check_own_loss(loss, target.task, problem.rows.target, problem.rows.x.dtype)
    warn_of_lost_digits(matrix, problem.rows.x)
    warn_of_lost_digits(target.encoded, problem.rows.target, what="y")
    return TrainingData(problem, matrix.shape[1], split.train, split.held_out, encoder, hashes)


def with_metric(data: TrainingData, metric: Any) -> TrainingData:
    """Return data whose networks go by a metric of the user's own, if it is one; see `own_metric`."""
    return dataclasses.replace(data, problem=dataclasses.replace(data.problem, metric=own_metric(metric)))


# ------------------------------------------------------------------------------------------------------------------- splits


def split_by(y: Any, validation: Any, **columns: Any) -> SplitBy | None:
    """Return how the rows are split, or None for at random; OptionError where no rows are split."""
    given = [name for name, column in columns.items() if column is not None]
    if not given:
        return None
    if isinstance(validation, bool) or not (
        validation == "folds" if isinstance(validation, str) else isinstance(validation, float)
    ):
        raise OptionError(
            f"{given[0]} says how to split the rows, which needs a fraction or 'folds' as validation, not {validation!r}"
        )
    return SplitBy.of(len(y), **columns)


def validation_split(
    target: Target, validation: Any, *, seed: int, by: SplitBy | None = None, weight: NDArray[np.float64] | None = None
) -> Split:
    """Split by None, a fraction of the rows (by group or time, if `by` says so), or the row numbers (or a mask) to validate on.

    weight: of the rows (N,); of a fraction, rows of weight 0 are in neither part.
    """
    if validation is None:
        return Split(None, None)
    if isinstance(validation, numbers.Real) and not isinstance(validation, bool):
        fraction = validation if isinstance(validation, int) else float(validation)
        return holdout(target, fraction, seed=seed, rows=rows_with_weight(None, weight), by=by)
    if np.ndim(validation) == 0 or is_frame(validation):
        raise OptionError(f"validation is {short(validation)}, but must be {VALIDATION}")
    held_out = as_row_numbers(validation, len(target), what="validation")
    train = np.setdiff1d(np.arange(len(target)), held_out)
    if len(train) == 0:
        raise DataError(f"validation lists all {len(target)} rows, so none is left to train on")
    return Split(train, held_out)


def holdout(
    target: Target,
    fraction: float,
    *,
    seed: int,
    rows: RowNumbers | None = None,
    by: SplitBy | None = None,
    unseen: str = "validated",
) -> Split:
    """Hold out a fraction of the rows (of each class, for classes); `rows` are those to split, None for all.

    by: groups that stay together, times of which the latest are held out, or strata in place of the classes; of all rows.
    unseen: what the warning says that a class of a single row is not.
    """
    encoded = target.encoded if rows is None else target.encoded[rows]
    by = (by or AT_RANDOM) if rows is None else (by or AT_RANDOM).take(rows)
    names = target.class_names if by.strata is None else None
    by = by.with_classes(target.task.strata(encoded))
    return _among(rows, [split_rows(len(encoded), fraction, by=by, seed=seed, names=names, unseen=unseen)])[0]


def cv_splits(
    target: Target,
    cv: Any,
    *,
    X: Any = None,
    y: Any = None,
    groups: Any = None,
    by: SplitBy | None = None,
    weight: NDArray[np.float64] | None = None,
    seed: int = 0,
    what: str = "cv",
) -> list[Split]:
    """Return the folds: for None one of all rows without a test; a number deals the rows at random, each class evenly, with
    `groups` or as `by` says (see `holdout`); otherwise those of a splitter, which is given X, y and groups, or of pairs of row numbers or masks.

    Rows stay in their order, and may occur twice in training (a bootstrap). weight: of the rows (N,); a number deals none of weight 0.
    """
    total = len(target)
    if cv is None:
        return [Split(None, None)]
    if isinstance(cv, int | np.integer):
        by, counted = SplitBy.of(total, groups=groups) if by is None else by, rows_with_weight(None, weight)
        encoded, by = (target.encoded, by) if counted is None else (target.encoded[counted], by.take(counted))
        dealt = deal_rows(len(encoded), int(cv), by=by.with_classes(target.task.strata(encoded)), seed=seed, what=what)
        return _among(counted, dealt)
    if hasattr(cv, "split") and not isinstance(cv, str):
        cv = _split_by(cv, X, y, groups)
    if not isinstance(cv, Iterable) or isinstance(cv, str | bytes):
        raise OptionError(f"cv is {cv!r}, but must be None, a number, a splitter, or pairs (training rows, test rows)")
    out: list[Split] = []
    for number, pair in enumerate(cv):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise OptionError(f"fold {number} is {pair!r}, but must be a pair (training rows, test rows)")
        train, test = (as_fold_rows(rows, total, what=f"fold {number}") for rows in pair)
        if len(train) == 0:
            raise DataError(f"fold {number} has no training rows")
        out.append(Split(train, test if len(test) else None))
    if not out:
        raise OptionError("cv is empty; give at least one pair (training rows, test rows)")
    return out


def _split_by(splitter: Any, X: Any, y: Any, groups: Any) -> list[tuple[Any, Any]]:
    """Return the pairs of a splitter; what it refuses is a DataError."""
    try:
        return list(splitter.split(X, y, None if groups is None else as_array(groups)))
    except (TypeError, ValueError, IndexError) as error:
        given = "" if groups is None else f" with groups of type {getattr(groups, 'dtype', None) or type(groups).__name__}"
        raise DataError(f"cv={splitter!r} cannot split these rows{given}: {' '.join(str(error).split())}") from error


def network_splits(
    problem: Problem, n_networks: int, *, seed: int, by: SplitBy | None = None, by_value: bool = False
) -> list[Split]:
    """Return a split for each of several networks: each validates on another fold, and all train on the same number of rows, as far
    as groups allow. Rows of weight 0 are in neither part.

    by: see `holdout`; with times all networks validate on the latest rows, as many as a fold has. by_value: deal each n_networks rows with
    neighbouring values of a target of numbers to as many folds.
    """
    target, counted = problem.rows.target.cpu().numpy(), counted_rows(problem)
    by = by or AT_RANDOM
    if counted is not None:
        target, by = target[counted], by.take(counted)
        if len(counted) < n_networks:
            raise DataError(
                f"sample_weight is above 0 for {len(counted)} of {len(problem.rows)} rows, which is too few for {n_networks} folds; train fewer networks"
            )
    strata = problem.task.strata(target)
    if strata is None and by_value:
        strata = np.lexsort(target.T).argsort() // n_networks
    by = by.with_classes(strata)
    if by.times is not None:
        return _among(counted, [split_rows(len(target), 1.0 / n_networks, by=by)]) * n_networks
    return _among(counted, even_folds(len(target), n_networks, by=by, seed=seed))


def _among(rows: RowNumbers | None, dealt: Iterable[tuple[RowNumbers, RowNumbers]]) -> list[Split]:
    """Return pairs of numbers of some of the rows (None: of all) as splits of all."""
    return [Split(*pair) if rows is None else Split(*(rows[part] for part in pair)) for pair in dealt]


def counted_rows(problem: Problem, rows: RowNumbers | None = None) -> RowNumbers | None:
    """Return those of the rows (None: all) that have weight; None for all."""
    weight = problem.rows.weight
    return rows_with_weight(rows, None if weight is None else weight.cpu().numpy())


def copies_held_out(data: TrainingData, splits: Sequence[Split]) -> tuple[int, int]:
    """Return how many held-out rows are identical, the target included, to one trained on in the same split, and how many are held out.

    Where no split holds rows out, they are those of the validation set, if there is one. A row counts once, and one of weight 0 not at all.
    """
    problem = data.problem
    x, y = problem.rows.x.cpu().numpy() if data.hashes is None else data.hashes, problem.rows.target.cpu().numpy()
    pairs = {id(split.held_out): split for split in splits if split.held_out is not None}.values()
    held = [Split(counted_rows(problem, split.train), counted_rows(problem, split.held_out)) for split in pairs]
    if held:
        return count_held_out(x, held, target=y), len(np.unique(np.concatenate([split.held_out for split in held])))
    if problem.validation is None:
        return 0, 0
    own, trained = problem.validation, counted_rows(problem)
    other, other_y = own.x.cpu().numpy(), own.target.cpu().numpy()
    if data.hashes is not None:
        other = row_hashes(other.astype(np.float32))
    if own.weight is not None:
        weighted = own.weight.cpu().numpy() > 0
        other, other_y = other[weighted], other_y[weighted]
    if trained is not None:
        x, y = x[trained], y[trained]
    return count_shared(x, other, target=y, other_target=other_y), len(other)


# ------------------------------------------------------------------------------------------------------- tables and devices


class EncodedTable(NamedTuple):
    """The encoded columns of a table (N, D), the encoder, and what `encoded_hashes` returns."""

    matrix: NDArray[Any]
    encoder: TableEncoder
    hashes: NDArray[np.uint64] | None


def encode_table(
    table: Any,
    y: Any = None,
    *,
    rows: RowNumbers | None = None,
    encoder: TableEncoder | None = None,
    target: NDArray[Any] | None = None,
    **options: Any,
) -> EncodedTable:
    """Return the encoded columns (N, D) of all rows of a table, and the encoder.

    Without an encoder one is fitted to `rows` (None: all), which then get the means of large categories without their own target; y,
    target (encoded) and `options` are those of `manynets.tables.fit_encoder`.
    """
    fits = encoder is None
    if encoder is None:
        encoder = fit_encoder(table, rows=rows, y=y, target=target, **options)
    matrix = encoder.transform(table)
    hashes = encoded_hashes(matrix, encoder)
    if fits and target is not None:
        encoder.cross_fit(table, target, matrix, rows=rows)
    return EncodedTable(matrix, encoder, hashes)


def on_device(
    matrix: Any, encoded: NDArray[Any], weight: NDArray[np.float64] | None, recipe: Recipe, *, weight_name: str = "sample_weight"
) -> Rows:
    """Return rows as tensors of the recipe's dtype, on its device. weight_name: of the weights in messages."""
    device = find_device(recipe.device)
    dtype = torch.float64 if recipe.dtype == "float64" else torch.float32
    x = to_tensor(matrix, device=device, dtype=dtype)
    y = to_tensor(encoded, device=device, dtype=torch.long if encoded.dtype.kind == "i" else dtype, what="y")
    return Rows(x, y, None if weight is None else to_tensor(weight, device=device, dtype=dtype, what=weight_name))
