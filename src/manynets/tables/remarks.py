"""What is strange about rows that a fitted encoder is given: extra columns, unseen categories, new gaps, other units, far numbers."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from manynets.display import counted, listed
from manynets.tables.cells import odd_numbers
from manynets.tables.columns import CategoricalColumn, ColumnEncoder, NumericColumn
from manynets.tables.labels import shown_unseen, shown_words
from manynets.tables.missing import as_missing
from manynets.tables.written import bounds_note

MOST_COLUMNS = 8
"""Columns of which the same is remarked one by one; the others are named together."""
OTHERS = {
    "unseen": "{} with categories not seen in training",
    "unit": "{} converted to the units of the training rows",
    "bound": "{} with bounds such as '<5', which are read as their number",
    "word": "{} declared numeric, with cells that are no numbers and count as missing",
    "gap": "{} without a value in some rows, though all rows in training had one",
    "beyond": "{} with values far outside the training range, which were clipped",
}
"""What is remarked, in this order, with what is said of the columns that are named together."""

if TYPE_CHECKING:
    from manynets.tables.encoder import TableEncoder


class Remarks:
    """Counts over one table, or over the blocks of a larger one; see `TableEncoder.check`."""

    def __init__(self, encoder: TableEncoder) -> None:
        self._encoder = encoder
        self._extra: dict[str, None] = {}
        self._found: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)  # how often each text, by column and remark
        self._rows = 0

    def add(self, frame: Any) -> None:
        """Count what is strange in a frame. Errors: DataError for columns that are missing."""
        encoder = self._encoder
        table = encoder.matched(frame)
        known = {*encoder.column_names, *(name for name, _ in encoder.dropped)}
        self._extra |= dict.fromkeys(name for name in table.names if name not in known)
        self._rows += table.rows
        for column in encoder.columns:
            name = column.name
            if isinstance(column, CategoricalColumn):
                self._found[name, "unseen"].update(column.unseen(table))
            elif isinstance(column, NumericColumn):
                for (kind, text), count in odd_numbers(table, name, column.reading).items():
                    self._found[name, kind][text] += count
                beyond, gaps = column.beyond(table)
                self._found[name, "beyond"][""] += beyond
                self._found[name, "gap"][""] += 0 if column.gaps else gaps

    def notes(self) -> list[str]:
        """Return the remarks."""
        notes = [f"ignored, as the model does not know them: {', '.join(self._extra)}"] if self._extra else []
        others: dict[str, list[str]] = {kind: [] for kind in OTHERS}
        count: Counter[str] = Counter()
        for column, kind in itertools.product(self._encoder.columns, OTHERS):
            found = self._found.get((column.name, kind))
            if not found or not found.total():
                continue
            count[kind] += 1
            if count[kind] <= MOST_COLUMNS:
                notes.append(f"column {column.name!r}: {self._text(column, kind, found)}")
            else:
                others[kind].append(repr(column.name))
        for kind, names in others.items():
            if names:
                notes.append(f"{OTHERS[kind].format(counted(len(names), 'more column'))}: {listed(names, MOST_COLUMNS)}")
        return notes

    def _text(self, column: ColumnEncoder, kind: str, found: Counter[str]) -> str:
        """Return what is remarked on a column."""
        count = found.total()
        if isinstance(column, CategoricalColumn):
            rows, new = "1 row has" if count == 1 else f"{count:,} rows have", "a category" if len(found) == 1 else "categories"
            return f"{rows} {new} not seen in training: {shown_unseen(found, column.known)}"
        assert isinstance(column, NumericColumn)
        if kind == "unit":
            shown = ", ".join(f"{number} in {unit!r}" for unit, number in found.most_common())
            return f"converted to {column.reading.unit!r}, the unit of the training rows: {shown}"
        if kind == "bound":
            return bounds_note(found)
        if kind == "word":
            return f"{as_missing(count, self._rows)}: {shown_words(found)}"
        if kind == "gap":
            rows = f"{count:,} of {self._rows:,} rows have no value, though all rows in training had one"
            return f"{rows}; they count as the median, {column.fill:g}"
        assert column.limits is not None  # or no value is beyond them
        low, high = column.limits
        text = f"{count:,} value{'s' if count > 1 else ''} far outside the training range"
        return f"{text} {'were' if count > 1 else 'was'} clipped to {low:g} to {high:g}"
