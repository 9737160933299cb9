"""Which of several processes has failed: each says in the store that they share that it is alive, and why it stops."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Sequence
from typing import Any

from manynets.errors import RankError

BEAT = 1.0  # seconds after which each process says again that it is alive
SILENT = 6.0  # seconds without that after which it is the one that failed, once a connection is lost
GONE = 40.0  # the same while all connections stand: its machine may be out of reach
LATE = 1800.0  # seconds that the others are waited for at the beginning
LOST = "lost its connection to another rank"  # of a process that does not know which one failed
SEARCH = 25.0  # seconds that the search for the process that failed takes at most


class Watch:
    """The state of `size` processes, of which this is `rank`. store: a torch.distributed.Store that all of them reach."""

    def __init__(self, store: Any, rank: int, size: int) -> None:
        self.store, self.rank, self.size, self.round = store, rank, size, 0
        self.others = [other for other in range(size) if other != rank]
        self._seen: dict[int, tuple[bytes, float]] = {}
        store.set(f"beat/{rank}", "0")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="manynets-watch", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        with contextlib.suppress(Exception):  # the store has gone, and so have the others
            count = 0
            while not self._ended.wait(BEAT):
                count += 1
                self.store.set(f"beat/{self.rank}", str(count))

    def close(self) -> None:
        """Stop saying that this process is alive."""
        self._ended.set()
        self._thread.join(SILENT)

    def gather(self) -> None:
        """Wait until all processes are here; RankError for those that do not come."""
        missing, end = self.others, time.monotonic() + LATE
        while missing := [other for other in missing if not self.store.check([f"beat/{other}"])]:
            if time.monotonic() > end:
                raise RankError(
                    f"{_named(missing)} of {self.size} did not come to the training; all ranks must make the same calls"
                )
            error = self.reported()
            if error is not None:
                raise error
            time.sleep(0.02)

    def begin(self) -> None:
        """Begin another training: what was reported before is of no interest."""
        self.round += 1

    def report(self, text: str) -> None:
        """Tell the others why this process leaves the training."""
        with contextlib.suppress(Exception):
            self.store.set(self._report_of(self.rank), json.dumps(text))

    def leave(self, text: str) -> None:
        """Tell the others why this process ends, whatever they are doing."""
        with contextlib.suppress(Exception):
            self.store.set(f"left/{self.rank}", json.dumps(text))

    def reported(self) -> RankError | None:
        """Return the error that another process has reported, None for none."""
        keys = [key for other in self.others for key in (self._report_of(other), f"left/{other}")]
        found = [key for key in keys if self.store.check([key])]
        texts = [json.loads(self.store.get(key)) for key in found]
        return RankError(min(texts, key=lambda text: LOST in text)) if texts else None

    def _report_of(self, rank: int) -> str:
        return f"report/{self.round}/{rank}"

    def check(self, *, silent: float = GONE) -> None:
        """Raise RankError for a process that has reported an error, or has been silent for `silent` seconds since the first check."""
        error = self.reported()
        if error is not None:
            raise error
        now, dead = time.monotonic(), []
        for other in self.others:
            beat = self.store.get(f"beat/{other}") if self.store.check([f"beat/{other}"]) else b""
            if self._seen.get(other, (None, 0.0))[0] != beat:
                self._seen[other] = beat, now
            elif now - self._seen[other][1] > silent:
                dead.append(other)
        if dead:
            raise RankError(
                f"{_named(dead)} of {self.size} died, or {'its' if len(dead) == 1 else 'their'} machine is out of reach"
            )

    def rested(self) -> None:
        """Forget when the others were seen: nobody has looked since."""
        self._seen = {}

    def blame(self, error: BaseException) -> RankError:
        """Return an error that names the process that failed, after a message or sum ended with this error."""
        end = time.monotonic() + SEARCH
        self.rested()
        while time.monotonic() < end:
            try:
                self.check(silent=SILENT)
            except RankError as found:
                return found
            except Exception as lost:
                return RankError(f"the process with the store of all {self.size} ranks died, rank 0 or torchrun: {_line(lost)}")
            time.sleep(BEAT / 4)
        return RankError(f"rank {self.rank} of {self.size} {LOST}: {_line(error)}")


def _named(ranks: Sequence[int]) -> str:
    """Return the ranks in words.

    >>> _named([1]), _named([0, 2])
    ('rank 1', 'ranks 0 and 2')
    """
    names = [str(rank) for rank in ranks]
    return f"rank {names[0]}" if len(names) == 1 else f"ranks {', '.join(names[:-1])} and {names[-1]}"


def _line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
