"""What is strange about rows that a fitted encoder is given: extra columns, unseen categories, new gaps, other units, far numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from manynets.tables.cells import OddKind, odd_numbers
from manynets.tables.columns import CategoricalColumn, NumericColumn
from manynets.tables.labels import shown_unseen, shown_words
from manynets.tables.missing import as_missing
from manynets.tables.written import bounds_note

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
        for column in self._encoder.columns:
            name = f"column {column.name!r}"
            unseen = self._unseen.get(column.name)
            if unseen and isinstance(column, CategoricalColumn):
                shown = shown_unseen(unseen, column.known)
                count, new = unseen.total(), "a category" if len(unseen) == 1 else "categories"
                rows = "1 row has" if count == 1 else f"{count:,} rows have"
                notes.append(f"{name}: {rows} {new} not seen in training: {shown}")
            if not isinstance(column, NumericColumn):
                continue
            kinds: tuple[OddKind, ...] = ("unit", "bound", "word")
            odd = self._odd[column.name]
            units, bounds, words = (Counter({text: count for (kind, text), count in odd.items() if kind == one}) for one in kinds)
            if units:
                shown = ", ".join(f"{count} in {unit!r}" for unit, count in units.most_common())
                notes.append(f"{name}: converted to {column.reading.unit!r}, the unit of the training rows: {shown}")
            if bounds:
                notes.append(f"{name}: {bounds_note(bounds)}")
            if words:
                notes.append(f"{name}: {as_missing(words.total(), self._rows)}: {shown_words(words)}")
            if gaps := self._gaps[column.name]:
                notes.append(
                    f"{name}: {gaps:,} of {self._rows:,} rows have no value, though all rows in training had one; they count as the median,"
                    f" {column.fill:g}"
                )
            beyond = self._beyond[column.name]
            if beyond and column.limits is not None:
                low, high = column.limits
                notes.append(
                    f"{name}: {beyond:,} value{'s' if beyond > 1 else ''} far outside the training range"
                    f" {'were' if beyond > 1 else 'was'} clipped to {low:g} to {high:g}"
                )
        return notes
