"""The encoded rows of a model by source column."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manynets.data.check import as_matrix, as_numpy, is_frame
from manynets.errors import DataError, one_of
from manynets.model import Model
from manynets.tables import Table

__all__ = ["CELLS_AT_ONCE", "SourceRows", "chunks", "source_rows"]

Array: TypeAlias = NDArray[Any]

CELLS_AT_ONCE = 1 << 23
"""Numbers of the rows that are predicted together."""


@dataclasses.dataclass(frozen=True, eq=False)
class SourceRows:
    """Rows as a model reads them, and which of their columns come from which column of the table.

    matrix: (N, D). blocks: a slice of the D columns by the name of the source column.
    """

    matrix: Array
    blocks: dict[str, slice]

    def block(self, name: str) -> slice:
        """Return the columns of a source column. Errors: OptionError for an unknown name, with the nearest one."""
        return self.blocks[one_of(name, self.blocks, what="column")]


def source_rows(model: Model, X: Any) -> SourceRows:
    """Return the rows of X (N, D) or a frame, encoded, as `Model.predict` reads them."""
    encoder = model.encoder
    if encoder is not None and (is_frame(X) or isinstance(X, Table) or encoder.positional):
        table = X if is_frame(X) or isinstance(X, Table) else as_numpy(X)
        matrix = encoder.transform(table)
        blocks = {block.name: block.slice for block in encoder.blocks}
    elif encoder is not None:
        raise DataError("the model was trained on a table; give a frame with its columns")
    else:
        matrix = np.asarray(as_matrix(X, columns=model.in_features))
        blocks = {f"x{j}": slice(j, j + 1) for j in range(model.in_features)}
    if not len(matrix):
        raise DataError("X has 0 rows; at least 1 is needed")
    return SourceRows(matrix, blocks)


def chunks(copies: int, rows: int, width: int) -> Iterator[range]:
    """Yield which of so many changed copies of the rows (N, D) are predicted together."""
    step = max(1, CELLS_AT_ONCE // max(1, rows * width))
    for start in range(0, copies, step):
        yield range(start, min(start + step, copies))
