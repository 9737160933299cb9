"""What is strange about rows that a fitted encoder is given: extra columns, unseen categories, new gaps, other units, far numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from manynets.display import counted, listed
from manynets.tables.cells import OddKind, odd_numbers
from manynets.tables.columns import CategoricalColumn, NumericColumn
from manynets.tables.labels import shown_unseen, shown_words
from manynets.tables.missing import as_missing
from manynets.tables.written import bounds_note

MOST_COLUMNS = 8
"""Columns of which the same is remarked one by one; the others are named together."""
OTHERS = {
    "unseen": "{} with categories not seen in training",
    "units": "{} converted to the units of the training rows",
    "bounds": "{} with bounds such as '<5', which are read as their number",
    "words": "{} declared numeric, with cells that are no numbers and count as missing",
    "gaps": "{} without a value in some rows, though all rows in training had one",
    "beyond": "{} with values far outside the training range, which were clipped",
}

if TYPE_CHECKING:
    from manynets.tables.encoder import TableEncoder


class Remarks:
    """Counts over one table, or over the blocks of a larger one; see `TableEncoder.check`."""

    def __init__(self, encoder: TableEncoder) -> None:
        self._encoder = encoder
        self._extra: dict[str, None] = {}
        self._unseen: dict[str, Counter[str]] = {}
        self._odd: defaultdict[str, Counter[tuple[OddKind, str]]] = defaultdict(Counter)
        self._beyond: Counter[str] = Counter()
        self._gaps: Counter[str] = Counter()
        self._rows = 0

    def add(self, frame: Any) -> None:
        """Count what is strange in a frame. Errors: DataError for columns that are missing."""
        encoder = self._encoder
        table = encoder.matched(frame)
        known = {*encoder.column_names, *(name for name, _ in encoder.dropped)}
        self._extra |= dict.fromkeys(name for name in table.names if name not in known)
        self._rows += table.rows
        for column in encoder.columns:
            if isinstance(column, CategoricalColumn):
                self._unseen.setdefault(column.name, Counter()).update(column.unseen(table))
            elif isinstance(column, NumericColumn):
                self._odd[column.name].update(odd_numbers(table, column.name, column.reading))
                beyond, gaps = column.beyond(table)
                self._beyond[column.name] += beyond
                self._gaps[column.name] += 0 if column.gaps else gaps

    def notes(self) -> list[str]:
        """Return the remarks."""
        notes = [f"ignored, as the model does not know them: {', '.join(self._extra)}"] if self._extra else []
        others: dict[str, list[str]] = {kind: [] for kind in OTHERS}
        count: Counter[str] = Counter()
        for kind, column, text in self._by_column():
            count[kind] += 1
            if count[kind] <= MOST_COLUMNS:
                notes.append(f"column {column!r}: {text}")
            else:
                others[kind].append(repr(column))
        for kind, names in others.items():
            if names:
                notes.append(f"{OTHERS[kind].format(counted(len(names), 'more column'))}: {listed(names, MOST_COLUMNS)}")
        return notes

    def _by_column(self) -> Iterator[tuple[str, str, str]]:
        """Yield kind, column and text of each remark on a column."""
        for column in self._encoder.columns:
            unseen = self._unseen.get(column.name)
            if unseen and isinstance(column, CategoricalColumn):
                shown = shown_unseen(unseen, column.known)
                count, new = unseen.total(), "a category" if len(unseen) == 1 else "categories"
                rows = "1 row has" if count == 1 else f"{count:,} rows have"
                yield "unseen", column.name, f"{rows} {new} not seen in training: {shown}"
            if not isinstance(column, NumericColumn):
                continue
            kinds: tuple[OddKind, ...] = ("unit", "bound", "word")
            odd = self._odd[column.name]
            units, bounds, words = (Counter({text: count for (kind, text), count in odd.items() if kind == one}) for one in kinds)
            if units:
                shown = ", ".join(f"{count} in {unit!r}" for unit, count in units.most_common())
                yield "units", column.name, f"converted to {column.reading.unit!r}, the unit of the training rows: {shown}"
            if bounds:
                yield "bounds", column.name, bounds_note(bounds)
            if words:
                yield "words", column.name, f"{as_missing(words.total(), self._rows)}: {shown_words(words)}"
            if gaps := self._gaps[column.name]:
                text = (
                    f"{gaps:,} of {self._rows:,} rows have no value, though all rows in training had one; they count as the median,"
                )
                yield "gaps", column.name, f"{text} {column.fill:g}"
            beyond = self._beyond[column.name]
            if beyond and column.limits is not None:
                low, high = column.limits
                text = f"{beyond:,} value{'s' if beyond > 1 else ''} far outside the training range"
                yield "beyond", column.name, f"{text} {'were' if beyond > 1 else 'was'} clipped to {low:g} to {high:g}"
