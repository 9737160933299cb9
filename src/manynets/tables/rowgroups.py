"""Files read in blocks of consecutive rows, so that a table larger than memory is never in it as a whole.

A block is a row group of a Parquet file, or as many rows of an Arrow file as ARROW_ROWS.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manynets.errors import DataError, missing_file
from manynets.tables.binary import ARROW, parquet_files
from manynets.tables.converted import origin_of
from manynets.tables.footer import RowGroup, footer_bytes, row_groups
from manynets.tables.stored import FileMarks, check_name, keys_of, readable
from manynets.tables.table import refuse_duplicates, require
from manynets.tables.unusual import unnested, usual_integers

if TYPE_CHECKING:
    import polars

ARROW_ROWS = 1 << 16
END_BYTES = 1 << 16


@dataclass(frozen=True)
class RowBlock:
    """Rows `start` to `start + rows` of a file; `first` is the number of the first one within all files, `size` bytes in memory."""

    file: int
    start: int
    rows: int
    first: int
    size: int


def in_blocks(path: str | Path) -> bool:
    """Return whether a path names what `BlockFiles` reads: Parquet files, or an Arrow file."""
    return parquet_files(path) is not None or (Path(path).suffix.lower() in ARROW and Path(path).is_file())


class BlockFiles:
    """The rows of Parquet files, or of an Arrow file, block by block.

    Several files must have the same columns, of the same types; folders such as color=red are a column, as in the file that has it.

    Attributes:
        names: of the columns, in order. types: of polars, by name.
        blocks: in the order of the rows. rows: of all blocks.
    """

    def __init__(self, path: str | Path) -> None:
        files = parquet_files(path)
        if files is None and not Path(path).exists():
            raise missing_file(path)
        self.name, self.parquet = str(path), files is not None
        self.files = tuple(files or [check_name(Path(path))])
        self._form = "Parquet" if self.parquet else "Arrow"
        self._marks = FileMarks(self.files, form=self._form)
        with readable(self.name, self._form):
            self._keys: dict[str, Any] = keys_of(self.files) if self.parquet else {}
        self._lazy, schemas = [], []
        for file in self.files:
            with readable(file, self._form):
                self._lazy.append(self._scan(file))
                schemas.append(dict(self._lazy[-1].collect_schema()))
        self.types = schemas[0]
        self.names = tuple(self.types)
        for file, schema in zip(self.files[1:], schemas[1:], strict=True):
            self._refuse_other_columns(file, schema)
        refuse_duplicates(self.names)
        self.blocks = tuple(self._found())
        self.rows = sum(block.rows for block in self.blocks)
        if not self.rows or not self.names:
            raise DataError(f"{self.name} holds 0 data rows; at least 1 is needed")

    @property
    def fingerprint(self) -> str:
        """A hash of the files, of which it reads the size and the end: in Parquet where each column begins, and mostly its least and largest values.

        The time of a text that was converted does not count.
        """
        check = hashlib.sha256()
        for file in self.files:
            check.update(str(file.stat().st_size).encode())
            check.update(footer_bytes(file).replace(origin_of(file).encode(), b"") if self.parquet else _end_of(file))
            check.update("".join(part for part in file.parts[:-1] if self._keys and "=" in part).encode())
        return check.hexdigest()[:16]

    def read(self, block: RowBlock, names: Sequence[str] | None = None) -> polars.DataFrame:
        """Return these columns (None: all) of a block. Errors: DataError that names file and rows of a block that cannot be read."""
        from polars import selectors

        file = self.files[block.file]
        lazy = self._lazy[block.file]
        if names is not None:
            require(names, self.names, what="column")
            lazy = lazy.select(selectors.by_name(*names))
        where = f"rows {block.start:,} to {block.start + block.rows - 1:,} of {file}"
        with readable(where, self._form):
            frame = lazy.slice(block.start, block.rows).collect()
        self._marks.check(block.file)
        if frame.height != block.rows:
            raise DataError(f"{where} are {frame.height:,} rows; write the file anew")
        frame = usual_integers(frame)
        wide = [name for name, kind in frame.schema.items() if kind.is_float() and self.types[name].is_integer()]
        if wide:
            raise DataError(f"column {wide[0]!r} holds whole numbers beyond 64 bits in {where}; write it as floats")
        return frame

    def stored(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the columns of the files that have these columns of an encoder, to which a column `place` of lists is `place[0]` and so on."""
        lists = (name if name in self.types else re.sub(r"\[[0-9]+\]$", "", name) for name in names)
        return tuple(dict.fromkeys(lists))

    def _scan(self, file: Path) -> polars.LazyFrame:
        import polars

        if self.parquet:
            return unnested(
                polars.scan_parquet(file, glob=False, hive_partitioning=bool(self._keys), hive_schema=self._keys or None)
            )
        return unnested(polars.scan_ipc(file, glob=False, hive_partitioning=False))

    def _refuse_other_columns(self, file: Path, types: dict[str, Any]) -> None:
        first = self.files[0]
        for name in dict.fromkeys([*self.types, *types]):
            mine, other = self.types.get(name), types.get(name)
            if mine is None or other is None:
                raise DataError(
                    f"{file if other is None else first} lacks the column {name!r} of the other; files of one table must have the same"
                    " columns"
                )
            if mine != other:
                raise DataError(
                    f"column {name!r} is of type {other} in {file}, but of type {mine} in {first}; give it one type in all files"
                )

    def _found(self) -> Iterator[RowBlock]:
        import polars

        first = 0
        for number, file in enumerate(self.files):
            if self.parquet:
                groups = row_groups(file)
            else:
                with readable(file, self._form):
                    rows = int(self._lazy[number].select(polars.len()).collect().item())
                groups = [RowGroup(min(ARROW_ROWS, rows - start), 0) for start in range(0, rows, ARROW_ROWS)]
            start = 0
            for rows, size in groups:
                if rows:
                    yield RowBlock(number, start, rows, first, size)
                start, first = start + rows, first + rows


def _end_of(file: Path) -> bytes:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - END_BYTES))
        return stream.read()
