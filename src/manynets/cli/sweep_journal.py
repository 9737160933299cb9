"""The journal of a study in a file: an Optuna storage in which no entry is lost behind one that was cut off."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Any


class Journal:
    """A file with an entry a line, which several processes write: a backend of Optuna's JournalStorage.

    Optuna cannot read the entries behind one that a full disk or a killed process cut off; here such an entry is removed before the next
    one is added.

    Raises ValueError for a file that is not a journal, and writes nothing to it.
    """

    def __init__(self, path: str) -> None:
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        if os.path.exists(path):
            _check_journal(path)
        self.path, self.lock = path, JournalFileOpenLock(path)
        self.file = JournalFileBackend(path, lock_obj=self.lock)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the entries from a number on."""
        return self.file.read_logs(log_number_from)

    def append_logs(self, logs: Sequence[dict[str, Any]]) -> None:
        """Add entries, all or nothing."""
        data = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self.lock.acquire()
        try:
            with open(self.path, "rb") as file:
                size, whole = os.fstat(file.fileno()).st_size, _whole(file)
            if whole < size:
                os.truncate(self.path, whole)
            with open(self.path, "ab", buffering=0) as file:  # some mounted buckets can append, and nothing else
                try:
                    if file.write(data) != len(data):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
                    os.fsync(file.fileno())
                except OSError:
                    os.truncate(self.path, whole)
                    raise
        finally:
            self.lock.release()


def _whole(file: Any) -> int:
    """Return how many bytes of a journal are whole lines."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - (1 << 16))
        file.seek(start)
        last = file.read(end - start).rfind(b"\n")
        if last >= 0:
            return int(start + last + 1)
        end = start
    return 0


def _check_journal(path: str) -> None:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is no regular file")
    with open(path, "rb") as file:
        first = file.readline(1 << 20)
    if first and not first.startswith(b'{"op_code"'):
        raise ValueError("it is no journal of Optuna")
