"""From a table to the float32 matrix that a network reads: fit learns, transform applies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from manynets.display import html_table
from manynets.errors import DataError, LeakWarning, OptionError, one_of, warn_user
from manynets.spec import PiecewiseLinear
from manynets.tables.columns import CategoricalColumn, ColumnEncoder, NumericColumn, fit_categorical, fit_date, fit_numeric
from manynets.tables.dates import DateForm
from manynets.tables.frames import open_table
from manynets.tables.hashed import fit_text
from manynets.tables.kinds import Column
from manynets.tables.means import other_folds, targets_of
from manynets.tables.piecewise import bins_for
from manynets.tables.plain import PlainArray, PlainNumbers
from manynets.tables.remarks import Remarks
from manynets.tables.scaling import SCALINGS, Scaling
from manynets.tables.schema import understand
from manynets.tables.state import state_from_json, state_to_json
from manynets.tables.table import Table, look_alike, require
from manynets.tables.understood import UNDERSTOOD_NAMES, understood_columns
from manynets.tables.written import PLAIN, Reading

__all__ = ["Block", "TableEncoder", "fit_encoder", "warn_of_targets"]

PIECE = 1 << 20
"""Cells of output filled at a time: small enough to stay in the cache, and for the work space not to count."""
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
        return f"<TableEncoder: {len(self.columns)} columns to {self.width} numbers{left_out}>"

    def _repr_html_(self) -> str:
        title = f"{len(self.columns):,} columns, encoded as {self.width:,} numbers"
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
        out = np.zeros(self.width, dtype=bool)
        for column, block in zip(self.columns, self.blocks, strict=True):
            if isinstance(column, NumericColumn) and column.fill is not None:
                out[block.start] = True
        return out

    @cached_property
    def hashed(self) -> NDArray[np.bool_]:
        """Which output columns are of text (`manynets.tables.hashed`), (D,)."""
        out = np.zeros(self.width, dtype=bool)
        for block in self.blocks:
            out[block.slice] = block.kind == "text"
        return out

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
    def text_columns(self) -> tuple[str, ...]:
        """The columns that `read_table` must leave as they are written, so that they are read as at fit: its option `text`."""
        return tuple(column.name for column in self.columns if column.as_written)

    def transform(
        self,
        frame: Any,
        *,
        strict: bool = False,
        out: NDArray[np.float32] | None = None,
        unseen: dict[str, Counter[str]] | None = None,
    ) -> NDArray[np.float32]:
        """Return the matrix (N, D), float32 and C-ordered, of a frame with at least the columns used at fit, in any order.

        With `strict` a category not seen at fit is an error instead of a code of its own. out: (N, D), to write the matrix into.
        unseen: gets the number of rows with each category not seen at fit, by column.

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
                    if unseen is not None and isinstance(column, CategoricalColumn):
                        found = unseen.setdefault(column.name, Counter())
                        column.fill_in(piece, rows[:, block.slice], strict=strict, found=found)
                    elif column.name not in filled:
                        column.fill_in(piece, rows[:, block.slice], strict=strict)
        return out

    def cross_fit(
        self, frame: Any, target: NDArray[Any], out: NDArray[np.float32], *, rows: NDArray[np.int64] | None = None
    ) -> None:
        """Replace the means of large categories in out, the matrix (N, D) of a frame, for the rows that the encoder was fitted to.

        Each of these rows gets the means of the rows of other folds, without its own target. target: of all rows of the frame, encoded.
        """
        if not any(isinstance(column, CategoricalColumn) and column.means for column in self.columns):
            return
        columns = targets_of(target if rows is None else target[rows])
        assert columns is not None, "there are no means of such a target"
        table = self.matched(frame)
        for column, block in zip(self.columns, self.blocks, strict=True):
            if isinstance(column, CategoricalColumn) and column.means:
                held = table.loaded([column.name])
                codes = column.codes(held if rows is None else held.take(rows))
                part = np.ascontiguousarray(out[:, block.slice] if rows is None else out[rows, block.slice])
                column.write_means(part, [other_folds(codes, output) for output in columns.T])
                out[slice(None) if rows is None else rows, block.slice] = part

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
        table = open_table(frame)
        if self.positional and table.array is None:
            table = _by_place(table)
        if not self.positional and table.array is not None:
            raise DataError(
                f"X is an array, but the columns of the table that was trained on have names; give a frame with the columns"
                f" {_listed(self.column_names)}"
            )
        width = len(self.columns) + len(self.dropped)
        if self.positional and len(table.names) != width:
            raise DataError(f"X has {len(table.names)} columns, but this model was trained on {width}")
        known = set(table.names)
        missing = [name for name in self.column_names if name not in known]
        if missing:
            alike = look_alike(missing[0], table.names)
            hint = "" if alike is None else f"; its {alike!r} is written in other Unicode characters (NFC and NFD): rename it"
            raise DataError(
                f"{'1 column is' if len(missing) == 1 else f'{len(missing)} columns are'} missing from the table: {_listed(missing)}; it has {_listed(table.names)}{hint}"
            )
        return table


def _listed(names: Sequence[str], most: int = 50) -> str:
    return ", ".join(repr(name) for name in names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def _by_place(table: Table) -> Table:
    """Name the columns of a frame x0, x1, ... for an encoder that was fitted on an array."""
    held = table.loaded(table.names)
    assert held.frame is not None
    names = tuple(f"x{j}" for j in range(len(table.names)))
    return replace(held, names=names, frame=held.frame.rename(dict(zip(table.names, names, strict=True))))


def fit_encoder(
    frame: Any,
    *,
    schema: Sequence[Column] | None = None,
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    text: Sequence[str] = (),
    drop: Sequence[str] = (),
    scaling: Scaling = "standard",
    max_levels: int = 64,
    min_count: int | None = None,
    embedding: PiecewiseLinear | None = None,
    category_means: bool = False,
    rows: NDArray[np.int64] | None = None,
    y: Any = None,
    target: NDArray[Any] | None = None,
) -> TableEncoder:
    """Learn from a frame, or an array (N, D) of numbers, how its columns become a matrix.

    Args:
        frame: features only; take the target off with `split_target`.
        schema: from `understand`, if you have looked at it; else it is found here with the overrides, and columns left out,
            columns used that look like ids, and columns without any value are named in a warning.
        scaling: of numeric columns, see `fit_spread`.
        max_levels: the most frequent levels of a categorical column that get an output of their own; the rest share one.
        min_count: levels that occur less often share it too. None: 1 below 200 rows, then 2, and a ten-thousandth of the rows
            from 20,000 on.
        embedding: each numeric column also gets piecewise-linear columns (`manynets.tables.piecewise`).
        category_means: a categorical column with more than `max_levels` levels also gets the mean of the target over the rows of a level
            (`manynets.tables.means`). The rows that a network is then trained on need `TableEncoder.cross_fit`.
        rows: numbers of the rows to learn from; None: all. What each column is, and how it is written, is found on all rows; its
            levels, centre and scale on these only.
        y: the target of all rows of the frame, for `understand`: no column that says something about it is left out, and one that
            gives it away is named in a LeakWarning.
        target: y as numbers (N,) or (N, O), or as numbers of classes (N,), for an embedding by a tree and for the means of categories;
            found from y if left out.

    Errors: DataError for no rows, for no column left, and for what `understand` and `transform` refuse; OptionError for options.

    >>> import polars
    >>> train = polars.DataFrame({"size": [1.0, 3.0, None], "color": ["red", "blue", "red"]})
    >>> encoder = fit_encoder(train)
    >>> encoder.feature_names
    ('size', 'size=missing', 'color=blue', 'color=red')
    >>> encoder.transform(train).tolist()
    [[-1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    """
    one_of(scaling, SCALINGS, what="scaling")
    if max_levels < 1 or (min_count is not None and min_count < 1):
        raise OptionError(f"max_levels is {max_levels} and min_count {min_count}, but both must be at least 1")
    table = open_table(frame)
    if not table.rows:
        raise DataError("the table has 0 data rows; at least 1 is needed")
    declared = {"categorical": categorical, "numeric": numeric, "text": text, "drop": drop}
    if schema is not None and any(declared.values()):
        raise OptionError(
            "categorical, numeric, text and drop are read when the schema is found; with schema give them to understand()"
        )
    if table.array is not None and schema is None and not any(declared.values()):
        table = table if rows is None else table.take(rows)
        bins = _bins(embedding, table.rows)
        by = _tree_target(embedding, y, target, rows)
        columns: tuple[ColumnEncoder, ...] = tuple(fit_numeric(table, name, scaling, bins=bins, target=by) for name in table.names)
        _warn(list(table.names), columns, ())
        return TableEncoder(columns=columns, positional=True)
    found = understand(table, **declared, y=y, rows=rows) if schema is None else tuple(schema)
    require([column.name for column in found], table.names, what="column of the schema")
    used = [column for column in found if column.kind != "dropped"]
    dropped = tuple((column.name, column.note) for column in found if column.kind == "dropped")
    unnamed = set(table.names) - {column.name for column in found}
    dropped += tuple((name, "not in the schema") for name in table.names if name in unnamed)
    if not used:
        raise DataError(f"no column is left to learn from; left out: {'; '.join(f'{name} ({why})' for name, why in dropped)}")
    table = table if rows is None else table.take(rows)
    options = {"bins": _bins(embedding, table.rows), "target": _tree_target(embedding, y, target, rows)}
    means = None
    if category_means:
        found_target = _target_of(y, target, "category_means")
        means = targets_of(found_target if rows is None else found_target[rows])
    fitted = [_fitted(table, column, scaling, max_levels, min_count, means, **options) for column in used]
    if schema is None:
        _warn([column.name for column in used], tuple(fitted), tuple(item for item in dropped if item[0] not in drop))
        warn_of_targets(used)
    encoder = TableEncoder(columns=tuple(fitted), dropped=dropped, positional=table.array is not None)
    if not encoder.width:
        raise DataError(f"no column is left to learn from: {', '.join(encoder.column_names)} hold the same date in all rows")
    return encoder


def _bins(embedding: PiecewiseLinear | None, rows: int) -> int:
    """Return how many bins a numeric column gets at most, 0 for none."""
    if embedding is None:
        return 0
    return bins_for(rows) if embedding.bins is None else embedding.bins


def _tree_target(
    embedding: PiecewiseLinear | None, y: Any, target: NDArray[Any] | None, rows: NDArray[np.int64] | None
) -> NDArray[Any] | None:
    """Return what a tree finds edges by, of the rows to learn from; None where there is no tree."""
    if embedding is None or embedding.by != "tree":
        return None
    target = _target_of(y, target, "PiecewiseLinear(by='tree')")
    return target if rows is None else target[rows]


def _target_of(y: Any, target: NDArray[Any] | None, what: str) -> NDArray[Any]:
    """Return the target as numbers, or as numbers of classes."""
    if target is not None:
        return target
    if y is None:
        raise OptionError(f"{what} goes by the target; give y")
    found = np.asarray(y)
    return found if found.dtype.kind in "biuf" else np.unique(found.astype(str), return_inverse=True)[1]


def _fitted(
    table: Table,
    column: Column,
    scaling: Scaling,
    max_levels: int,
    min_count: int | None,
    means: NDArray[Any] | None,
    **options: Any,
) -> ColumnEncoder:
    """Return the encoder of a column that is used."""
    form = column.form
    if column.kind == "numeric":
        return fit_numeric(table, column.name, scaling, form if isinstance(form, Reading) else PLAIN, **options)
    if column.kind == "date":
        if form is None:  # a schema written by hand
            form = understand(table.select([column.name]))[0].form
        return fit_date(table, column.name, form if isinstance(form, DateForm) else DateForm())
    if column.kind == "text":
        return fit_text(table, column.name)
    of_levels = {"target": means, "scaling": scaling, "bins": options["bins"]}
    return fit_categorical(table, column.name, max_levels=max_levels, min_count=min_count, part=column.part, **of_levels)


def warn_of_targets(schema: Sequence[Column]) -> None:
    """Warn of columns that are used though they look like ids, and of those that give the target away."""
    used = "; ".join(f"{column.name} ({column.note})" for column in schema if column.note.startswith("used, though"))
    if used:
        warn_user(f"not left out: {used}", UserWarning)
    for column in schema:
        if column.leak:
            warn_user(
                f"column {column.name!r} gives the target away: {column.leak}. If it is not known before the target is, leave it out:"
                f" drop=[{column.name!r}]",
                LeakWarning,
            )


def _warn(names: Sequence[str], columns: Sequence[ColumnEncoder], dropped: Sequence[tuple[str, str]]) -> None:
    empty = [name for name, column in zip(names, columns, strict=True) if column.kind == "numeric" and column.fill is None]
    if dropped:
        listed = "; ".join(f"{name} ({why})" for name, why in dropped)
        warn_user(f"left out: {listed}. Declare them numeric or categorical to use them", UserWarning)
    if empty:
        warn_user(f"all values are missing in {', '.join(empty)}: encoded as 0", UserWarning)
