"""A sweep by many processes, which share an Optuna storage: each candidate is a trial that one of them runs.

A process claims a candidate by adding a running trial to the study. Trials are numbered by the storage, one after the other, so that of
several processes that claim the same candidate the one with the lowest number has it, and the others withdraw. While a process lives it
changes its entry in the study every `BEAT` seconds; the trials of one that has ended count as failed, and their candidates are free again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manynets.claims import BEAT, STALE, Owner, has_ended, this_process
from manynets.cli.sweep_differences import check_same
from manynets.cli.sweep_results import Found, Measure, SweepCandidate
from manynets.errors import OptionError, optional_module

CONFIG, CANDIDATE, WORKER, FOUND = "manynets:sweep", "candidate", "worker", "found"
SPLIT = "split_by_fold"


def open_storage(url: str) -> Any:
    """Return an Optuna storage: a database by its URL, or a journal in a file or folder that all machines share."""
    if not url.strip():
        raise OptionError("--storage is empty; give a file or folder that all machines share, or the URL of a database")
    if _in_memory(url):
        raise OptionError(
            f"--storage is {url!r}, a database in the memory of one process, which no other can share or resume; name a file, such as"
            " sqlite:///sweep.db"
        )
    storages = optional_module("optuna.storages", package="optuna", extra="optuna", purpose="--storage")
    try:
        if "://" in url:
            return GuardedStorage(storages.get_storage(url), url)
        path = Path(url) / "sweep.journal" if Path(url).is_dir() else Path(url)
        return GuardedStorage(storages.JournalStorage(Journal(str(path))), url)
    except Exception as error:
        shown, why = without_password(url), " ".join(str(error).split())
        raise OptionError(
            f"--storage is {shown!r}, which cannot be opened: {without_password(why)}; give a file or folder that all machines "
            "share, or the URL of a database, such as sqlite:///sweep.db"
        ) from None


def _in_memory(url: str) -> bool:
    """Return whether a URL is that of an SQLite database without a file.

    >>> [_in_memory(url) for url in ("sqlite://", "sqlite+pysqlite:///:memory:?timeout=9", "sqlite:///sweep.db")]
    [True, True, False]
    """
    kind, _, path = url.strip().partition("://")
    name = path.partition("?")[0].removeprefix("/")
    return kind.split("+")[0] == "sqlite" and (name in ("", ":memory:", "file::memory:") or "mode=memory" in path)


class GuardedStorage:
    """An Optuna storage whose errors are OptionErrors that name it, except the one of a trial that has ended already."""

    def __init__(self, storage: Any, url: str) -> None:
        self.storage, self.shown = storage, without_password(url)

    def __getattr__(self, name: str) -> Any:
        return functools.partial(self.guarded, getattr(self.storage, name))

    def guarded(self, call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """Return what a function returns that uses the storage."""
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            return call(*arguments, **more)
        except UpdateFinishedTrialError:
            raise
        except Exception as error:
            why = without_password(" ".join(str(error).split()) or type(error).__name__)
            raise OptionError(
                f"the storage {self.shown} cannot be used: {why}; fix it and start again with --resume, or give another --storage"
            ) from error


def without_password(text: str) -> str:
    """Return a text without the names and passwords of the URLs in it.

    >>> without_password("postgresql://ann:secret@host:5432/sweeps")
    'postgresql://***@host:5432/sweeps'
    """
    return re.sub(r"://[^\s'\"]*@", "://***@", text)


class SharedStudy:
    """The study of a sweep. config: what all its processes must have in common. measure: what its candidates are ranked by.

    split_by_fold: see `SweepResults`, of the process that began the study, by which all go; given is that of this process.

    Raises OptionError where the study is of another sweep.
    """

    def __init__(self, storage: Any, name: str, *, config: Mapping[str, Any], measure: Measure, split_by_fold: bool = True) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        direction = "minimize" if measure.less_is_better else "maximize"
        storage.guarded(optuna.create_study, storage=storage.storage, study_name=name, load_if_exists=True, direction=direction)
        self.storage, self.measure = storage, measure
        self.study = storage.get_study_id_from_name(name)
        if CONFIG not in self._attributes():
            storage.set_study_user_attr(self.study, CONFIG, {**config, SPLIT: split_by_fold})
        former = dict(self._attributes()[CONFIG])
        self.split_by_fold = bool(former.pop(SPLIT, False))
        check_same(former, config, where=f"the study {name!r} of the storage", remedy="another --study-name")
        self.owner = this_process()
        self.worker = f"manynets:worker:{self.owner.token}"
        self.seen: dict[str, tuple[int, float]] = {}  # the last beat of each worker, and when it was new here
        self.claimed: dict[int, int] = {}  # candidate: trial
        self.beats = 0
        self.beat()

    def _attributes(self) -> dict[str, Any]:
        return dict(self.storage.get_study_user_attrs(self.study))

    # -------------------------------------------------------------------------------------------------------- workers

    def beat(self) -> None:
        """Show the other processes that this one is alive."""
        self.beats += 1
        self.storage.set_study_user_attr(self.study, self.worker, {**dataclasses.asdict(self.owner), "beat": self.beats})

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Within this context, a thread shows the other processes that this one is alive; at the end its trials are given up."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT):
                with contextlib.suppress(Exception):  # a storage that is not there for a moment
                    self.beat()

        thread = threading.Thread(target=beat, name="manynets-study", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for trial in self.claimed.values():
                self._end(trial)

    def _is_dead(self, worker: str) -> bool:
        """Return whether a process has ended: by this machine's own knowledge, else by its beats."""
        if worker == self.worker:
            return False
        entry = dict(self._attributes().get(worker, {}))
        if not entry:
            return True
        beat = entry.pop("beat")
        ended = has_ended(Owner(**entry))
        if ended is not None:
            return ended
        now = time.monotonic()
        if worker not in self.seen or self.seen[worker][0] != beat:
            self.seen[worker] = beat, now
        return now - self.seen[worker][1] > STALE

    # --------------------------------------------------------------------------------------------------------- trials

    def _end(self, trial: int, found: Sequence[Any] | None = None) -> None:
        """End a trial, as failed where nothing finite was found or the training diverged, unless another process has ended it."""
        from optuna.trial import TrialState

        rows = [row for _, row, _ in found or []]
        value = np.nan
        if rows and not any(row.get("stopped") == "diverged" for row in rows):
            value = np.mean([row[self.measure.column] for row in rows])
        with contextlib.suppress(RuntimeError):  # UpdateFinishedTrialError
            if np.isfinite(value):
                self.storage.set_trial_state_values(trial, TrialState.COMPLETE, [float(value)])
            else:
                self.storage.set_trial_state_values(trial, TrialState.FAIL)

    def _by_candidate(self) -> dict[int, list[Any]]:
        """Return the trials of each candidate that run or have results; those of dead processes are ended."""
        out: dict[int, list[Any]] = {}
        is_dead = functools.cache(self._is_dead)
        for trial in self.storage.get_all_trials(self.study, deepcopy=False):
            attributes, is_over = trial.user_attrs, trial.state.is_finished()
            if not is_over and is_dead(attributes.get(WORKER, "")):
                self._end(trial._trial_id, attributes.get(FOUND))
                is_over = True
            if CANDIDATE in attributes and (FOUND in attributes or not is_over):
                out.setdefault(attributes[CANDIDATE], []).append(trial)
        return out

    def claim(self, most: int, candidates: Iterator[SweepCandidate]) -> list[SweepCandidate]:
        """Claim so many candidates that nobody trains or has trained; return them."""
        from optuna.trial import TrialState, create_trial

        taken = self._by_candidate()
        claimed: list[SweepCandidate] = []
        for c, changes in candidates:
            if len(claimed) == most:
                break
            if c in taken:
                continue
            attributes = {CANDIDATE: c, WORKER: self.worker, **changes}
            own = self.storage.create_new_trial(
                self.study, template_trial=create_trial(state=TrialState.RUNNING, user_attrs=attributes)
            )
            taken = self._by_candidate()
            first = min(taken[c], key=lambda trial: trial.number)
            if first._trial_id == own:
                claimed.append((c, changes))
                self.claimed[c] = own
            else:
                self._end(own)
        return claimed

    def report(self, candidate: int, found: Sequence[Found]) -> None:
        """Store the results of a claimed candidate and end its trial, unless another process has taken it over."""
        trial = self.claimed.pop(candidate)
        with contextlib.suppress(RuntimeError):  # UpdateFinishedTrialError: it has
            self.storage.set_trial_user_attr(trial, FOUND, [[list(key), row, curve] for key, row, curve in found])
            self._end(trial, found)

    def results(self) -> dict[int, list[Found]]:
        """Return the results of each candidate that has been trained."""
        out: dict[int, list[Found]] = {}
        for c, trials in self._by_candidate().items():
            for trial in trials:
                if FOUND in trial.user_attrs and c not in out:
                    out[c] = [((k[0], k[1], k[2], k[3]), row, curve) for k, row, curve in trial.user_attrs[FOUND]]
        return out

    def running(self) -> bool:
        """Return whether another process trains a candidate."""
        return any(FOUND not in trial.user_attrs for trials in self._by_candidate().values() for trial in trials)


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
        """Add entries."""
        self.lock.acquire()
        try:
            with open(self.path, "rb") as file:
                size, whole = os.fstat(file.fileno()).st_size, _whole(file)
            if whole < size:
                os.truncate(self.path, whole)
        finally:
            self.lock.release()
        self.file.append_logs(list(logs))


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
