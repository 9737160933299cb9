"""The columns of an encoder in words, for a notebook and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manynets.display import counted, listed, value_text
from manynets.tables.columns import CategoricalColumn, ColumnEncoder, DateColumn, NumericColumn

if TYPE_CHECKING:
    from manynets.tables.encoder import TableEncoder

UNDERSTOOD_NAMES = ("Column", "Kind", "Values in training", "Inputs")
MOST_LEVELS = 8


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
        return f"{counted(len(column.known), 'level')}: {listed(column.levels, MOST_LEVELS)}{gaps}"
    if isinstance(column, DateColumn):
        return f"dates; {', '.join(part for part, _, _ in column.parts)}{gaps}"
    return f"words{gaps}"
