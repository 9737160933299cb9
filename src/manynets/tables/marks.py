"""Whether files that are read in parts are still those that were opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from manynets.errors import DataError

Mark: TypeAlias = tuple[int, int, int]


def check_name(file: Path) -> Path:
    """Return a path. Errors: DataError where it holds bytes that are not UTF-8, as polars opens no such file."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        raise DataError(f"{str(file)!a}: the name is not UTF-8, and a table with such a name cannot be opened; rename it") from None
    return file


class FileMarks:
    """Inode, size and time of files when they were opened. form: of the files. Errors: DataError for a file that cannot be read."""

    def __init__(self, files: Sequence[Path], *, form: str) -> None:
        self.files, self.form = tuple(files), form
        self._marks = [self._mark(file) for file in self.files]

    def check(self, number: int | None = None) -> None:
        """Raise DataError if a file has changed since it was opened; number: look at this one only."""
        for k in range(len(self.files)) if number is None else [number]:
            if self._mark(self.files[k]) != self._marks[k]:
                raise DataError(f"{self.files[k]} changed while it was read; start again, with a file that stays as it is")

    def _mark(self, file: Path) -> Mark:
        try:
            stat = file.stat()
        except OSError as error:
            raise DataError(f"{file} cannot be read as {self.form}: {error.strerror}") from error
        return stat.st_ino, stat.st_size, stat.st_mtime_ns
