"""A table in files as a training and its evaluation read it: features, target and weights of the rows, one block at a time in memory."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manynets.data.stream.parts import TRAIN, VALIDATION, HashSplit, row_words
from manynets.display import counted
from manynets.errors import DataError
from manynets.tables.cells import plain_label, text_cells, text_list
from manynets.tables.facts import ColumnFacts, Facts
from manynets.tables.frames import open_table
from manynets.tables.missing import missing_texts
from manynets.tables.rowgroups import BlockFiles, RowBlock
from manynets.tables.table import require

if TYPE_CHECKING:
    import polars

    from manynets.tables.encoder import TableEncoder

NO_TARGET, NO_WEIGHT = -1, -2  # in place of the part of a row that is left out
MOST_CLASSES = 10_000
"""Different values of a target that are counted at most; with more, numbers are a regression target."""


class Scored(NamedTuple):
    """Scores (N, O) of rows, their target (N,) as the table has it, and their weights (N,) or None."""

    scores: NDArray[Any]
    y: NDArray[Any]
    weight: NDArray[np.float64] | None


@dataclasses.dataclass(frozen=True, eq=False)
class RowsTable:
    """Files, and what their columns are to a training.

    features: the columns that a network learns from, of those not named otherwise. drop_missing_target: rows without a target are left
    out; else they are an error.
    """

    files: BlockFiles
    split: HashSplit
    target: str
    features: tuple[str, ...]
    weight: str | None = None
    drop_missing_target: bool = False

    @classmethod
    def of(
        cls,
        files: BlockFiles,
        split: HashSplit,
        *,
        target: str,
        drop: Sequence[str] = (),
        weight: str | None = None,
        drop_missing_target: bool = False,
    ) -> RowsTable:
        """Return the table of files; DataError for names that are not columns, and for columns that cannot be used so."""
        require([target], files.names, what="target")
        require([] if weight is None else [weight], files.names, what="weight")
        require([] if split.group is None else [split.group], files.names, what="group")
        require(drop, files.names, what="column to drop")
        if files.types[target].is_nested():
            raise DataError(f"target {target!r} holds values of type {files.types[target]}, but must hold one number or label each")
        others = {target, weight, split.group, *drop}
        features = tuple(name for name in files.names if name not in others)
        if not features:
            raise DataError(f"no column is left to learn from besides {', '.join(sorted(name for name in others if name))}")
        return cls(files, split, target, features, weight, drop_missing_target)

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        others = [name for name in (self.target, self.weight, self.split.group) if name is not None]
        return [*self.features, *dict.fromkeys(others)]

    def read(self, block: RowBlock) -> tuple[polars.DataFrame, NDArray[np.int8]]:
        """Return the rows of a block, and the part (N,) of each, NO_TARGET or NO_WEIGHT (of those not to test on) for one left out."""
        frame = self.files.read(block, self.columns)
        parts = self.split.parts(frame, block.first)
        missing = missing_cells(frame, self.target)
        if missing.any():
            if not self.drop_missing_target:
                raise DataError(
                    f"target {self.target!r} is missing in {counted(int(missing.sum()), 'row')} of one row group, the first in row"
                    f" {block.first + int(np.argmax(missing)):,} (counted from 0); fill them, or leave them out with drop_missing_target"
                )
            parts[missing] = NO_TARGET
        weight = self.weights_of(frame)
        if weight is not None:  # weightless rows are as if they were not there, as in memory
            parts[(weight == 0) & np.isin(parts, (TRAIN, VALIDATION))] = NO_WEIGHT
        return frame, parts

    def words(self, block: RowBlock) -> NDArray[np.uint64]:
        """Return a random word (N,) for each row of a block: the sample has the rows with the smallest, and a row's fold goes by it."""
        return row_words(self.split.seed, block.first, block.rows, purpose=1)

    def read_part(self, block: RowBlock, part: int) -> polars.DataFrame:
        """Return the rows of a block that belong to a part."""
        frame, parts = self.read(block)
        return _chosen(frame, parts == part)

    def training_rows(self, block: RowBlock) -> tuple[polars.DataFrame, NDArray[np.uint64]]:
        """Return the rows of a block to train on, and their words (N,)."""
        frame, parts = self.read(block)
        return _chosen(frame, parts == TRAIN), self.words(block)[parts == TRAIN]

    @contextlib.contextmanager
    def naming_rows(self, encoder: TableEncoder) -> Iterator[None]:
        """Within: where an encoder cannot read a cell, the error names the first such row of the files."""
        try:
            yield
        except DataError:
            for block in self.files.blocks:
                table = encoder.matched(self.files.read(block, self.features))
                encoder.transform(dataclasses.replace(table, first_row=block.first))
            raise

    def scored(
        self, frames: Iterable[polars.DataFrame], encoder: TableEncoder, score: Callable[[polars.DataFrame], NDArray[Any]]
    ) -> Scored | None:
        """Return what `score` gives for the features of each frame, which the encoder reads, with the targets; None for no rows."""
        scores, targets = [], []
        weights: list[Any] = []
        with self.naming_rows(encoder):
            for frame in frames:
                scores.append(score(frame[list(self.features)]))
                targets.append(self.target_of(frame))
                weights.append(self.weights_of(frame))
        if not scores:
            return None
        return Scored(np.concatenate(scores), np.concatenate(targets), None if self.weight is None else np.concatenate(weights))

    def target_of(self, frame: polars.DataFrame) -> NDArray[Any]:
        """Return the target (N,) of rows: whole numbers, numbers, bools, or labels."""
        import polars

        column = frame[self.target]
        if column.dtype.is_integer():
            return column.cast(column.dtype if column.dtype == polars.UInt64 else polars.Int64).to_numpy()
        if column.dtype.is_numeric():
            return column.cast(polars.Float64).to_numpy()
        if str(column.dtype) == "Boolean":
            return column.to_numpy().astype(bool)
        return np.array([plain_label(cell) for cell in text_list(text_cells(open_table(frame[[self.target]]), self.target))])

    def weights_of(self, frame: polars.DataFrame) -> NDArray[np.float64] | None:
        """Return the weights (N,) of rows, None where all count the same. Errors: DataError for one that is missing or negative."""
        import polars

        if self.weight is None:
            return None
        column = frame[self.weight]
        if not column.dtype.is_numeric():
            raise DataError(f"weight {self.weight!r} is of type {column.dtype}, but must be numbers")
        values = column.cast(polars.Float64).fill_null(float("nan")).to_numpy()
        bad = np.flatnonzero(~(values >= 0.0) | np.isinf(values))
        if bad.size:
            raise DataError(f"weight {self.weight!r} is {values[bad[0]]} in a row, but must be a number of at least 0")
        return values


def scored_file(
    path: str, target: str, encoder: TableEncoder, score: Callable[[polars.DataFrame], NDArray[Any]], *, weight: str | None = None
) -> Scored:
    """Return what `RowsTable.scored` does for all rows of Parquet files, or of an Arrow file. encoder: of the features."""
    files = BlockFiles(path)
    features = files.stored(encoder.column_names)
    require(features, files.names, what="feature")
    require([target], files.names, what="target")
    require([] if weight is None else [weight], files.names, what="weight")
    table = RowsTable(files, HashSplit(seed=0), target, features, weight)
    found = table.scored((table.read(block)[0] for block in files.blocks), encoder, score)
    assert found is not None
    return found


def _chosen(frame: polars.DataFrame, rows: NDArray[np.bool_]) -> polars.DataFrame:
    """Return some rows (N,) of a frame, without a copy where these are all."""
    return frame if rows.all() else frame.filter(rows)


def missing_cells(frame: polars.DataFrame, name: str) -> NDArray[np.bool_]:
    """Return which cells (N,) of a column are missing."""
    column = frame[name]
    if column.dtype.is_float():
        column = column.fill_nan(None)
    if column.dtype.is_numeric() or str(column.dtype) == "Boolean":
        return column.is_null().to_numpy()
    table = open_table(frame[[name]])
    return np.asarray(missing_texts(text_cells(table, name)).to_numpy(), dtype=bool)


# ------------------------------------------------------------------------------------------------------------ the one pass


@dataclasses.dataclass(frozen=True, eq=False)
class Description:
    """What one pass over a table found.

    counts: rows of each block in each part, (blocks, 3). facts: of the columns, over the training rows. sample: training rows drawn at
    random, in their order; words: of these (`RowsTable.words`); complete: whether it has all of them. validation: the validation rows.
    values: the different values of the target over all rows, sorted; None for more than MOST_CLASSES.
    """

    counts: NDArray[np.int64]
    facts: dict[str, ColumnFacts]
    sample: polars.DataFrame
    words: NDArray[np.uint64]
    complete: bool
    validation: polars.DataFrame
    values: NDArray[Any] | None


def describe(table: RowsTable, *, sample_rows: int, categorical: Sequence[str] = ()) -> Description:
    """Read all rows once. sample_rows: how many training rows are drawn at most. categorical: columns of numbers that are labels."""
    import polars

    types = {name: table.files.types[name] for name in (*table.features, table.target)}
    facts, sample = Facts(types, categorical=categorical), _Sample(sample_rows)
    counts = np.zeros((len(table.files.blocks), 3), dtype=np.int64)
    held: list[polars.DataFrame] = []
    values: set[Any] | None = set()
    for number, block in enumerate(table.files.blocks):
        frame, parts = table.read(block)
        counts[number] = np.bincount(parts[parts >= 0], minlength=3)
        train = parts == TRAIN
        rows = _chosen(frame, train)
        facts.add(rows[list(types)])
        sample.add(rows, table.words(block)[train])
        if counts[number, VALIDATION]:
            held.append(frame.filter(parts == VALIDATION))
        if values is not None:
            known = frame.filter(parts != NO_TARGET)
            values |= set(np.unique(table.target_of(known)).tolist()) if known.height else set()
            values = values if len(values) <= MOST_CLASSES else None
    if not counts[:, TRAIN].sum():
        weighted = "" if table.weight is None else f" with a {table.weight!r} above 0"
        raise DataError(f"no row{weighted} is left to train on; use smaller shares for validation and test")
    empty = table.files.read(table.files.blocks[0], table.columns).clear()
    unsigned = table.files.types[table.target] == polars.UInt64
    found = None if values is None else np.array(sorted(values), dtype=np.uint64 if unsigned else None)
    chosen, words = sample.found()
    complete = chosen.height == int(counts[:, TRAIN].sum())
    return Description(counts, facts.columns(), chosen, words, complete, polars.concat(held) if held else empty, found)


class _Sample:
    """The rows with the smallest words: a sample without replacement, whatever the order in which rows come."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.frames: list[polars.DataFrame] = []
        self.words: list[NDArray[np.uint64]] = []
        self.bound = np.uint64(2**64 - 1)

    def add(self, frame: polars.DataFrame, words: NDArray[np.uint64]) -> None:
        chosen = words <= self.bound
        if chosen.any():
            self.frames.append(frame.filter(chosen))
            self.words.append(words[chosen])
            if sum(map(len, self.words)) > 2 * self.most:
                self.found()

    def found(self) -> tuple[polars.DataFrame, NDArray[np.uint64]]:
        """Return the sample, in the order of its rows, and their words; nothing else is held any longer."""
        import polars

        frame, words = polars.concat(self.frames), np.concatenate(self.words)
        if len(words) > self.most:
            self.bound = np.partition(words, self.most - 1)[self.most - 1]
            frame, words = frame.filter(words <= self.bound), words[words <= self.bound]
        self.frames, self.words = [frame.rechunk()], [words]
        return self.frames[0], words


def blocks_of_part(table: RowsTable, counts: NDArray[np.int64], part: int) -> Iterator[polars.DataFrame]:
    """Yield the rows of a part, block by block, in their order; blocks without such rows are not read."""
    for number, block in enumerate(table.files.blocks):
        if counts[number, part]:
            yield table.read_part(block, part)
