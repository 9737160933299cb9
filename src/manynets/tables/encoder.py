"""From a table to the float32 matrix that a network reads. `manynets.tables.encoder_fitting` makes the encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from manynets.display import counted, html_table, listed, value_text
from manynets.errors import DataError, nearest
from manynets.tables.columns import CategoricalColumn, ColumnEncoder, DateColumn, NumericColumn, has_means
from manynets.tables.frames import open_table
from manynets.tables.kinds import Forms, forms_of
from manynets.tables.means import other_folds, targets_of
from manynets.tables.names import other_spelling, spellings_in_files
from manynets.tables.parts import described
from manynets.tables.plain import PlainArray, PlainNumbers
from manynets.tables.remarks import Remarks
from manynets.tables.state import state_from_json, state_to_json
from manynets.tables.table import Table, look_alike

MeansOf = Callable[[str, slice, NDArray[np.int64]], Sequence[NDArray[np.float64]]]
"""From a column's name, some rows and the number of the level of each (N,) to a mean (N,) for each output."""
PIECE = 1 << 20
"""Cells of output filled at a time: small enough to stay in the cache, and for the work space not to count."""
LISTED = 50
"""Columns that a message names."""
UNDERSTOOD_NAMES = ("Column", "Kind", "Values in training", "Inputs")
MOST_LEVELS = 8  # that a table of the columns lists
READ = 1 << 21
"""Cells of a file that are in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Which output columns [start, stop) come from which column of the table.

    >>> Block(name="town", kind="categorical", start=2, stop=5)
    Block(name='town', kind='categorical', start=2, stop=5)
    """

    name: str
    kind: Literal["numeric", "categorical", "date", "text"]
    start: int
    stop: int

    @property
    def slice(self) -> slice:
        """The output columns."""
        return slice(self.start, self.stop)


@dataclass(frozen=True, kw_only=True, repr=False)
class TableEncoder:
    """How a table becomes a matrix; made by `fit_encoder`, or read from a model file by `from_json`.

    Attributes:
        columns: the encoder of each column used, in the order of the output.
        dropped: the columns left out, with the reason.
        positional: fitted on an array: columns are matched by position, not by name.

    >>> import polars
    >>> from manynets.tables import fit_encoder
    >>> frame = polars.DataFrame({"size": [80.0, 120.0, None], "town": ["Bern", "Basel", "Bern"], "price": [500, 800, 450]})
    >>> encoder = fit_encoder(frame.drop("price"))
    >>> encoder.feature_names
    ('size', 'size=missing', 'town=Basel', 'town=Bern')
    >>> encoder.transform(polars.DataFrame({"size": [100.0], "town": ["Bern"]})).shape
    (1, 4)
    """

    columns: tuple[ColumnEncoder, ...]
    dropped: tuple[tuple[str, str], ...] = ()
    positional: bool = False

    def __repr__(self) -> str:
        left_out = f", {len(self.dropped)} left out" if self.dropped else ""
        return f"<TableEncoder: {counted(len(self.columns), 'column')} to {counted(self.width, 'number')}{left_out}>"

    def _repr_html_(self) -> str:
        title = f"{counted(len(self.columns), 'column')}, encoded as {counted(self.width, 'number')}"
        return html_table(UNDERSTOOD_NAMES, understood_columns(self), title=title)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The output columns of each column of the table, in order."""
        blocks: list[Block] = []
        start = 0
        for column in self.columns:
            blocks.append(Block(name=column.name, kind=column.kind, start=start, stop=start + len(column.features)))
            start = blocks[-1].stop
        return tuple(blocks)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the D output columns, such as `age`, `age=missing`, `color=red`, `sold.month.sin`; no two are alike.

        A name that is that of another column, or was given before, gets a number: `age=missing (2)`.
        """
        taken = set(self.column_names)
        names = []
        for column in self.columns:
            for feature in column.features:
                name, number = feature, 1
                while name in taken and name != column.name:
                    number += 1
                    name = f"{feature} ({number})"
                taken.add(name)
                names.append(name)
        return tuple(names)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return `feature_names` as an array (D,), by the method that scikit-learn's tools call. input_features: ignored.

        There is no `set_output`, as an encoder has no `fit`: `pandas.DataFrame(X, columns=encoder.get_feature_names_out())` is a frame.
        """
        return np.array(self.feature_names, dtype=object)

    @cached_property
    def piecewise(self) -> NDArray[np.bool_]:
        """Which output columns are piecewise-linear ones (`manynets.tables.piecewise`), (D,)."""
        out = np.zeros(self.width, dtype=bool)
        for column, block in zip(self.columns, self.blocks, strict=True):
            if isinstance(column, NumericColumn) and column.pieces is not None:
                out[block.start + 1 + column.gaps : block.stop] = True
            if isinstance(column, CategoricalColumn):
                at = block.stop
                for one in reversed(column.means):
                    out[at - one.width + 1 : at] = True
                    at -= one.width
        return out

    @cached_property
    def numeric(self) -> NDArray[np.bool_]:
        """Which output columns are the numbers themselves, (D,): what `Periodic` embeds."""
        pairs = zip(self.columns, self.blocks, strict=True)
        first = [block.start for column, block in pairs if isinstance(column, NumericColumn) and column.fill is not None]
        return np.isin(np.arange(self.width), first)

    @cached_property
    def hashed(self) -> NDArray[np.bool_]:
        """Which output columns are of text (`manynets.tables.hashed`), (D,)."""
        return np.concatenate([np.full(block.stop - block.start, block.kind == "text") for block in self.blocks])

    @cached_property
    def _plain(self) -> PlainArray | None:
        """The columns together, for an encoder that was fitted on an array and needs no more."""
        return PlainArray.of(self.columns) if self.positional and not self.dropped else None

    @cached_property
    def width(self) -> int:
        """Output columns D."""
        return len(self.feature_names)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        return tuple(column.name for column in self.columns)

    @property
    def array_width(self) -> int:
        """The columns of an array that `transform` takes: those that are encoded, and those that are left out."""
        return len(self.columns) + len(self.dropped)

    @property
    def forms(self) -> Forms:
        """How the cells of a file are read as at fit, None for text: the option `text` of `read_table`."""
        forms = forms_of(column for column in self.columns if not (isinstance(column, CategoricalColumn) and column.of_numbers))
        others = {other: form for name, form in forms.items() for other in spellings_in_files(name, self.array_width)}
        return others | dict(forms) if others else forms

    def transform(
        self,
        frame: Any,
        *,
        strict: bool = False,
        out: NDArray[np.float32] | None = None,
        unseen: dict[str, Counter[str]] | None = None,
        means_of: MeansOf | None = None,
    ) -> NDArray[np.float32]:
        """Return the matrix (N, D), float32 and C-ordered, of a frame with at least the columns used at fit, in any order.

        With `strict` a category not seen at fit is an error instead of a code of its own. out: (N, D), to write the matrix into.
        unseen: gets the number of rows with each category not seen at fit, by column. means_of: the means of large categories, in place of those
        of all rows.

        Errors: DataError for columns that are missing (all are named), for text where numbers or dates were (with the first such
        value and its row), for infinite values, and for values that leave float32 once scaled.
        """
        if self._plain is not None and (done := self._plain.transform(frame, out)) is not None:
            return done
        table = self.matched(frame)
        if out is None:
            out = np.zeros((table.rows, self.width), dtype=np.float32)
        else:
            out[:] = 0.0
        step = max(1024, PIECE // max(1, self.width))
        some = len(self.columns) if table.file is None else max(1, READ // table.file.rows)
        for first in range(0, len(self.columns), some):
            columns = self.columns[first : first + some]
            held = table.loaded([column.name for column in columns])
            plain = PlainNumbers(held, columns, self.blocks[first:])
            for start in range(0, table.rows, step):
                piece = held.piece(start, start + step)
                rows = out[start : start + piece.rows]
                filled = plain.fill_in(start, start + piece.rows, rows)
                for column, block in zip(columns, self.blocks[first:], strict=False):
                    if isinstance(column, CategoricalColumn):
                        found = None if unseen is None else unseen.setdefault(column.name, Counter())
                        means = None if means_of is None else partial(means_of, column.name, slice(start, start + piece.rows))
                        column.fill_in(piece, rows[:, block.slice], strict=strict, found=found, means_of=means)
                    elif column.name not in filled:
                        column.fill_in(piece, rows[:, block.slice])
        return out

    def cross_fit(
        self, frame: Any, target: NDArray[Any], out: NDArray[np.float32], *, rows: NDArray[np.int64] | None = None
    ) -> None:
        """Replace the means of large categories in out, the matrix (N, D) of a frame, for the rows that the encoder was fitted to.

        Each of these rows gets the means of the rows of other folds, without its own target. target: of all rows of the frame, encoded.
        """
        if not has_means(self.columns):
            return
        columns = targets_of(target if rows is None else target[rows])
        assert columns is not None, "there are no means of such a target"
        table, step = self.matched(frame), max(1024, PIECE // max(1, self.width))
        for column, block in zip(self.columns, self.blocks, strict=True):
            if isinstance(column, CategoricalColumn) and column.means:
                held = table.loaded([column.name])
                levels = column.codes(held if rows is None else held.take(rows))
                means = [other_folds(levels, output) for output in columns.T]
                for start in range(0, len(levels), step):
                    piece = slice(start, start + step)
                    where = piece if rows is None else rows[piece]
                    part = out[where, block.slice]  # a view of consecutive rows, else a copy
                    column.write_means(part, [one[piece] for one in means])
                    out[where, block.slice] = part

    def check(self, frame: Any) -> list[str]:
        """Return remarks on a frame before it is transformed: extra columns, categories not seen at fit, units that are
        converted, and numbers beyond the limits.

        Errors: DataError for columns that are missing.
        """
        remarks = Remarks(self)
        remarks.add(frame)
        return remarks.notes()

    def to_json(self) -> dict[str, Any]:
        """Return the state as what JSON can hold; floats survive bit by bit."""
        return state_to_json(self.columns, self.dropped, self.positional)

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> TableEncoder:
        """Return the encoder of a state.

        Errors: DataError for anything that `to_json` does not write: unknown names, wrong types, numbers that are not finite.
        """
        columns, dropped, positional = state_from_json(state)
        return cls(columns=columns, dropped=dropped, positional=positional)

    def matched(self, frame: Any) -> Table:
        """Return a table that has the columns used at fit. Errors: DataError for columns that are missing."""
        known = () if self.positional else {*self.column_names, *(name for name, _ in self.dropped)}
        table = open_table(frame, known=known)
        if self.positional and table.array is None:
            table = table.loaded(table.names).renamed({name: f"x{j}" for j, name in enumerate(table.names)})
        if not self.positional and table.array is not None:
            raise DataError(
                f"X is an array, but the columns of the table that was trained on have names; give a frame with the columns"
                f" {listed(map(repr, self.column_names), LISTED)}"
            )
        if self.positional and len(table.names) != self.array_width:
            raise DataError(f"X has {counted(len(table.names), 'column')}, but this model was trained on {self.array_width}")
        there = set(table.names)
        missing = [name for name in self.column_names if name not in there]
        if missing and table.frame is not None:
            others = [name for name in table.names if name not in known]
            spelled = {other: name for name in missing if (other := other_spelling(name, others)) is not None}
            if len(spelled) == len(missing):
                return table.renamed(spelled)
        if missing:
            alike = look_alike(missing[0], table.names)
            near = nearest(missing[0], [name for name in table.names if name not in self.column_names])
            hint = "" if near is None else f"; if its {near!r} is {missing[0]!r}, rename it"
            if alike is not None:
                hint = f"; its {alike!r} is written in other Unicode characters (NFC and NFD): rename it"
            raise DataError(
                f"{'1 column is' if len(missing) == 1 else f'{len(missing)} columns are'} missing from the table:"
                f" {listed(map(repr, missing), LISTED)}; it has {listed(map(repr, table.names), LISTED)}{hint}"
            )
        return table


def understood_columns(encoder: TableEncoder) -> list[tuple[str, str, str, int]]:
    """Return name, kind, values in words, and inputs of the network of each column."""
    return [
        (column.name, column.kind, _values(column), block.stop - block.start)
        for column, block in zip(encoder.columns, encoder.blocks, strict=True)
    ]


def _values(column: ColumnEncoder) -> str:
    gaps = "; some missing" if column.gaps else ""
    if isinstance(column, NumericColumn):
        if column.fill is None:
            return "all missing"
        unit = f" {column.reading.unit}" if column.reading.unit else ""
        return f"median {value_text(column.fill)}{unit}{gaps}"
    if isinstance(column, CategoricalColumn):
        of, rare = f" of {described(column.part)}" if column.part else "", f"; {len(column.rare):,} rare" if column.rare else ""
        return f"{counted(len(column.known), 'level')}{of}: {listed(column.levels, MOST_LEVELS)}{rare}{gaps}"
    if isinstance(column, DateColumn):
        return f"dates; {', '.join(one.part for one in column.parts)}{gaps}"
    return f"words{gaps}"
