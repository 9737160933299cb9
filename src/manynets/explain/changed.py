"""Predictions of rows in which some columns have other values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manynets.data.tensors import to_tensor
from manynets.explain.blocks import CELLS_AT_ONCE
from manynets.model import CHUNKS_AT_ONCE, ROWS_AT_ONCE, Model
from manynets.tasks import Regression

Array: TypeAlias = NDArray[Any]

FEWEST_COLUMNS = 48
"""Encoded columns from which holding the sums saves time."""
COPIED_CELLS = 1 << 18
"""Numbers of the rows that are copied, changed and predicted together, and of their scores; they stay in the cache of a core."""
MOST_SUMS = 1 << 26
"""Numbers of the first layer's sums that are held."""


def _as_slice(block: Array) -> Array | slice:
    """Return the positions of columns (B,) as a slice if they are consecutive: NumPy writes to it faster."""
    first, last = int(block[0]), int(block[-1])
    return slice(first, last + 1) if last - first == len(block) - 1 else block


def output_names(model: Model, count: int) -> tuple[str, ...]:
    """Return the names of the outputs of a model: "prediction" for a single number, else those of the classes or targets, or their numbers."""
    if isinstance(model.task, Regression) and count == 1:
        return ("prediction",)
    unnamed = [f"output {i}" if isinstance(model.task, Regression) else str(i) for i in range(count)]
    return tuple(map(str, getattr(model.task, "classes", None) or model.target_names or unnamed))


def outputs_of(model: Model, matrix: Array) -> NDArray[np.float64]:
    """Return predictions in the unit of the target (N, O), or probabilities (N, C), of encoded rows."""
    return outputs_of_logits(model, model.encoded_logits(matrix))


def outputs_of_logits(model: Model, logits: Array) -> NDArray[np.float64]:
    """Return the same as `outputs_of`, from logits (K, N, O)."""
    found = model.predicted(logits) if isinstance(model.task, Regression) else model.probabilities(logits)
    return np.asarray(found, dtype=np.float64).reshape(logits.shape[1], -1)


class ChangedRows:
    """Predicts encoded rows (N, D) with other values in a block of columns.

    A changed block changes only its own part of the first layer's sums, which are therefore computed once: for wide tables that saves most of
    the work.
    """

    def __init__(self, model: Model, matrix: Array) -> None:
        self.model, self.matrix = model, matrix
        self.sums: Tensor | None = None
        population = model.population
        plain = population is not None and population.shape.hidden and population.shape.embedding is None
        if population is not None and plain and matrix.shape[1] >= FEWEST_COLUMNS:
            units = population.size * population.shape.hidden[0]
            if len(matrix) * units <= MOST_SUMS:
                self.scorer = population.scorer()
                self.sums = self.scorer.first_sums(self._tensor(matrix))
                self.step = max(1, ROWS_AT_ONCE[model.device.type] // units)

    def _tensor(self, values: Array) -> Tensor:
        assert self.model.population is not None
        return to_tensor(values, device=self.model.device, dtype=self.model.population.flat.dtype)

    def copies(self, blocks: Sequence[Array], orders: Array, pairs: Array) -> Iterator[tuple[Array, Array]]:
        """Yield some of the pairs of a block and an order (n, 2), and the mean logits (n, N, O) with the columns of that block in that order (N,)."""
        rows, width = self.matrix.shape
        which = [_as_slice(block) for block in blocks]
        columns = [self.matrix[:, some] for some in which]
        most = max(width, self.model.size * self.model.task.outputs)  # numbers of a row, or of its scores
        step = max(1, min(len(pairs), COPIED_CELLS // (rows * most)))
        for start in range(0, len(pairs), step):
            some = pairs[start : start + step]
            changed = np.tile(self.matrix, (len(some), 1, 1))
            for copy, (block, order) in zip(changed, some.tolist(), strict=True):
                copy[:, which[block]] = columns[block].take(orders[order], axis=0)
            logits = self.model.encoded_logits(changed.reshape(-1, width))
            yield some, self.model.mean_logits(logits).reshape(len(some), rows, -1)

    def logits(self, block: Array, values: Array, code: Array, rows: Array, given: Array) -> Array:
        """Return the mean logits (n, O) of some rows with other values in a block of columns.

        block: its columns (B,). values: the distinct values (L, B) that it has. code: the value of each row of the matrix, (N,), a row of `values`.
        rows: which rows of the matrix are predicted, (n,). given: the value that each of them gets, (n,).
        """
        return np.concatenate([self.model.mean_logits(part) for part in self._parts(block, values, code, rows, given)])

    def outputs(self, block: Array, values: Array) -> NDArray[np.float64]:
        """Return the same as `outputs_of`, (V, N, O), for all rows with each of the values (V, B) in a block of columns (B,)."""
        count, own = len(self.matrix), self.matrix[:, block]
        rows, given = np.tile(np.arange(count), len(values)), np.repeat(np.arange(len(values)), count)
        parts = self._parts(block, np.concatenate([values, own]), len(values) + np.arange(count), rows, given)
        found = [outputs_of_logits(self.model, part) for part in parts]
        return (found[0] if len(found) == 1 else np.concatenate(found)).reshape(len(values), count, -1)

    def _parts(self, block: Array, values: Array, code: Array, rows: Array, given: Array) -> Iterator[Array]:
        """Yield the logits (K, n, O) of one part of the rows after the other; see `logits`."""
        if self.sums is None:
            step = max(1, CELLS_AT_ONCE // self.matrix.shape[1])
            for start in range(0, len(rows), step):
                copies = self.matrix.take(rows[start : start + step], axis=0)
                copies[:, _as_slice(block)] = values.take(given[start : start + step], axis=0)
                yield self.model.encoded_logits(copies)
            return
        device = self.model.device
        terms = self.scorer.part_of_sums(self._tensor(values), torch.from_numpy(block).to(device))
        old, new, which = (torch.from_numpy(one).to(device) for one in (code, given, rows))
        step = CHUNKS_AT_ONCE * self.step
        for row, term in zip(torch.split(which, step), torch.split(new, step), strict=True):
            out = torch.empty(self.scorer.size, len(row), self.scorer.shape.out_features, dtype=self.sums.dtype)
            self.scorer.write_exchanged(self.sums, terms, old, row, term, out, self.step)
            yield out.numpy()
