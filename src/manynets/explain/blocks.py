"""What is explained, checked: the encoded rows of a model by source column, the target, and counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import as_numpy, is_frame
from manynets.errors import DataError, OptionError, check_rows, one_of
from manynets.model import Model
from manynets.tables import Table

Array: TypeAlias = NDArray[Any]

CELLS_AT_ONCE = 1 << 23
"""Numbers of the rows that are predicted together."""
LARGEST_SEED = 2**32 - 1
"""Of NumPy's older generator, which scikit-learn shuffles with."""


@dataclasses.dataclass(frozen=True, eq=False)
class SourceRows:
    """Rows as a model reads them, and the columns that each column of the table is encoded as.

    matrix: (N, D). blocks: a slice of the D columns for each column of the table, by its name.
    """

    matrix: Array
    blocks: dict[str, slice]

    def block(self, name: str) -> slice:
        """Return the encoded columns of a column of the table. Errors: OptionError for an unknown name, with the nearest one."""
        return self.blocks[one_of(name, self.blocks, what="column")]

    def columns(self, names: Iterable[str]) -> Array:
        """Return the positions of the encoded columns of some columns of the table."""
        return np.concatenate([np.arange(self.blocks[name].start, self.blocks[name].stop) for name in names])


def model_of(model: Any) -> Model:
    """Return a model as it is, and that of a fitted estimator."""
    found: Model = getattr(model, "model_", model)
    return found


def source_rows(model: Model, X: Any) -> SourceRows:
    """Return the rows of X (N, D), a frame or the path of a table, encoded, as `Model.predict` reads them."""
    X, _, _ = model.read_given(X)
    encoder, table = model.encoder, is_frame(X) or isinstance(X, Table)
    if encoder is None:
        matrix = np.asarray(model.inputs_of(X))
        blocks = {name: slice(j, j + 1) for j, name in enumerate(model.column_names)}
    elif table or encoder.positional:
        matrix = encoder.transform(X if table else as_numpy(X))
        blocks = {block.name: block.slice for block in encoder.blocks}
    else:
        raise DataError("the model was trained on a table; give a frame with its columns")
    if not len(matrix):
        raise DataError("X has 0 rows; at least 1 is needed")
    return SourceRows(matrix, blocks)


def some_rows(rows: int, most: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Return the numbers of at most `most` rows, drawn at random, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def encoded_target(model: Model, y: Any, *, rows: int) -> Array:
    """Return the encoded target. Errors: DataError if y does not have this number of rows, or cannot be encoded."""
    target = model.task.encode(model.targets_in_order(y))
    check_rows(rows, len(target))
    return target


def check_seed(value: object) -> None:
    """Raise OptionError unless the value is a seed."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) <= LARGEST_SEED:
        raise OptionError(f"seed is {value!r}, but must be a whole number from 0 to {LARGEST_SEED}")
