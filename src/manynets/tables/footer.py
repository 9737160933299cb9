"""The row groups of a Parquet file, read from its footer.

polars reads any slice of a file, but does not say where its row groups begin, and a slice is cheap only where it is a row group.
The footer is a Thrift struct in the compact protocol, of which only three fields matter here; all others are skipped.

Source: the Parquet format, `parquet.thrift` and "Thrift compact protocol encoding".
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from manynets.errors import DataError

MAGIC = b"PAR1"
ROW_GROUPS, SIZE, ROWS = 4, 2, 3  # FileMetaData.row_groups; RowGroup.total_byte_size and .num_rows
_LIST, _SET, _MAP, _STRUCT = 9, 10, 11, 12
_DEEPEST = 64


class RowGroup(NamedTuple):
    """Rows, and bytes once they are uncompressed."""

    rows: int
    size: int


def footer_bytes(path: Path) -> bytes:
    """Return the footer of a Parquet file. Errors: DataError for a file that does not end as one."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - 8))
        end = file.read(8)
        size = int.from_bytes(end[:4], "little")
        if length < 12 or end[4:] != MAGIC or size > length - 12:
            raise DataError(f"{path} cannot be read as Parquet: it does not end with a footer; it may have been cut off")
        file.seek(length - 8 - size)
        return file.read(size)


def row_groups(path: Path) -> list[RowGroup]:
    """Return the row groups of a Parquet file in their order. Errors: DataError for a damaged footer."""
    footer = footer_bytes(path)
    try:
        found = _Reader(footer).struct()
        groups = [RowGroup(int(group[ROWS]), int(group[SIZE])) for group in found[ROW_GROUPS]]
        if any(group.rows < 0 for group in groups):
            raise ValueError("less than no rows")
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as Parquet: its footer is damaged") from error
    return groups


class _Reader:
    """Reads values of the compact protocol one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        """Read an unsigned number of variable length."""
        out = shift = 0
        while True:
            byte = self.byte()
            out |= (byte & 0x7F) << shift
            if byte < 0x80:
                return out
            shift += 7

    def signed(self) -> int:
        """Read a number in zigzag encoding."""
        word = self.number()
        return (word >> 1) ^ -(word & 1)

    def struct(self, deep: int = 0) -> dict[int, Any]:
        """Read a struct as a dict from field number to value."""
        if deep > _DEEPEST:
            raise ValueError("too deep")
        out: dict[int, Any] = {}
        field = 0
        while (head := self.byte()) != 0:
            kind, step = head & 0x0F, head >> 4
            field = field + step if step else self.signed()
            out[field] = kind == 1 if kind in (1, 2) else self.value(kind, deep)
        return out

    def value(self, kind: int, deep: int) -> Any:
        """Read a value of a kind, as it stands in a list or after a field's head."""
        if kind in (1, 2, 3):  # a bool in a list, or a byte
            return self.byte()
        if kind in (4, 5, 6):
            return self.signed()
        if kind in (7, 8):  # a double, or bytes: never looked at
            length = 8 if kind == 7 else self.number()
            self.at += length
            return None
        if kind in (_LIST, _SET):
            head = self.byte()
            count = self.number() if head >> 4 == 15 else head >> 4
            return [self.value(head & 0x0F, deep) for _ in range(self._bounded(count))]
        if kind == _MAP:
            count = self.number()
            kinds = self.byte() if count else 0
            return [(self.value(kinds >> 4, deep), self.value(kinds & 0x0F, deep)) for _ in range(self._bounded(count))]
        if kind == _STRUCT:
            return self.struct(deep + 1)
        raise ValueError(f"unknown type {kind}")

    def _bounded(self, count: int) -> int:
        if count > len(self.data):
            raise ValueError("longer than the file")
        return count
