"""Checkpoints of a run: when they are written, how the newest whole one is found, and which are deleted.

A checkpoint is one file of `manynets.modelfile`, step-N.checkpoint, written under another name, synced and renamed. Older ones are
deleted only once the new one was read back and its hash is right.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manynets.claims import claim
from manynets.display import listed
from manynets.errors import CheckpointWarning, ModelFileError, OptionError, warn_user
from manynets.modelfile import check_path, read_model_file, replacing, write_model_file
from manynets.renames import as_version_1, renamed
from manynets.training.state import Digests, TrainState, capture, differences, identity_of, restore
from manynets.training.threads import most_threads
from manynets.training.trial import Member, Problem

if TYPE_CHECKING:
    from manynets.training.loop import TrainingRun

_NAME = re.compile(r"step-(\d{1,18})\.checkpoint")
_TEMPORARY = re.compile(r"\.step-\d+\.checkpoint\..*\.tmp")
_FIELDS = {"step": int, "identity": dict, "values": dict, "system": dict}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where and when training writes checkpoints, from which `train(..., resume=folder)` continues bit for bit.

    folder: created if it does not exist; it holds the checkpoints of one training only.
    every_epochs, every_steps, every_seconds: how often; several may be given. None of them: at the end and at a stop only,
    which are always written.
    keep: how many of the newest are left in the folder.

    >>> import manynets as mn
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> X, y = [[0.0], [1.0]] * 8, [0, 1] * 8
    >>> spec, recipe = mn.MLP(hidden=(4,)), mn.Recipe(epochs=4)
    >>> model = mn.train(X, y, spec, recipe, checkpoint=mn.Checkpoint(folder=folder, every_epochs=1), progress=False)
    >>> len(os.listdir(folder))
    2
    >>> resumed = mn.train(X, y, spec, recipe, checkpoint=mn.Checkpoint(folder=folder), resume=folder, progress=False)
    >>> resumed.history["loss"] == model.history["loss"]
    True
    """

    folder: str | os.PathLike[str]
    every_epochs: int | None = None
    every_steps: int | None = None
    every_seconds: float | None = None
    keep: int = 2

    def __post_init__(self) -> None:
        check_path(self.folder, what="Checkpoint.folder")
        for name in ("every_epochs", "every_steps", "keep"):
            value = getattr(self, name)
            if not (value is None and name != "keep") and (type(value) is not int or value < 1):
                raise OptionError(f"Checkpoint.{name} is {value!r}, but must be a whole number of at least 1")
        every = self.every_seconds
        if every is not None and (isinstance(every, bool) or not isinstance(every, int | float) or not 0 < every < math.inf):
            raise OptionError(f"Checkpoint.every_seconds is {every!r}, but must be a number above 0")


# ------------------------------------------------------------------------------------------------------------------- files


def checkpoint_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the checkpoints in a folder, the newest first; none where there is no such folder."""
    found: list[tuple[int, Path]] = []
    with contextlib.suppress(FileNotFoundError):
        for entry in Path(folder).iterdir():
            match = _NAME.fullmatch(entry.name)
            if match:
                found.append((int(match[1]), entry))
    return [path for _, path in sorted(found, reverse=True)]


def holds_checkpoints(folder: str | os.PathLike[str]) -> bool:
    """Return whether there are checkpoints in a folder, or in those of its parts."""
    return any(checkpoint_files(one) for one in (folder, *Path(folder).glob("part-*")))


def write_checkpoint(path: str | os.PathLike[str], state: TrainState, *, system: Mapping[str, Any]) -> None:
    """Write a state to a file, all or nothing. system: versions, threads and device, which decide about the bits."""
    header = {"step": state.step, "identity": dict(state.identity), "values": dict(state.values), "system": dict(system)}
    write_model_file(path, header, state.tensors, kind="checkpoint")


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[TrainState, dict[str, Any]]:
    """Return the state in a file, and the system that it was written on; anything else is a ModelFileError."""
    header, tensors = read_model_file(path, kind="checkpoint")
    if set(header) != set(_FIELDS) or any(type(header[name]) is not kind for name, kind in _FIELDS.items()):
        raise ModelFileError(f"{path}: the header must have the fields {', '.join(sorted(_FIELDS))}; use an older checkpoint")
    state = TrainState(step=header["step"], identity=header["identity"], values=header["values"], tensors=tensors)
    return state, header["system"]


def newest_checkpoint(source: str | os.PathLike[str]) -> tuple[Path, TrainState, dict[str, Any]]:
    """Return path, state and system of the newest whole checkpoint in a folder, or of the very file.

    Damaged ones are passed over with a CheckpointWarning. Where there is none that is whole, it is a ModelFileError.
    """
    check_path(source, what="resume")
    if not Path(source).is_dir():
        return (Path(source), *read_checkpoint(source))
    files = checkpoint_files(source)
    if not files:
        raise ModelFileError(f"{source}: there is no checkpoint in this folder; leave out resume to start anew")
    problems = []
    for path in files:
        try:
            state, system = read_checkpoint(path)
        except ModelFileError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            warn_user(f"{problem}; passed over, going on from {path.name}", CheckpointWarning)
        return path, state, system
    raise ModelFileError(f"{source}: none of its {len(files)} checkpoints is whole: {'; '.join(problems)}")


def recorded_identities(source: str | os.PathLike[str]) -> list[Mapping[str, Any]]:
    """Return what `identity_of` returned for the checkpoints in a folder and in those of its parts, or for the very file.

    Damaged ones are left out: whoever resumes from them says what is wrong.
    """
    check_path(source, what="resume")
    origin, found = Path(source), []
    folders = [origin, *origin.glob("part-*")] if origin.is_dir() else []
    for path in [origin] if origin.is_file() else [file for folder in folders for file in checkpoint_files(folder)]:
        with contextlib.suppress(ModelFileError):
            found.append(read_checkpoint(path)[0].identity)
    return found


# --------------------------------------------------------------------------------------------------------------- the keeper


class Checkpoints:
    """The checkpoints of a run: the loop calls these methods between two steps; they restore, write and delete.

    checkpoint: None to write none; resume: a folder or a file to go on from, None to start anew. system: what decides about the
    bits besides the run itself. identity: that of problem and members, where it is known already. allow_world_size: whether to go on
    from a checkpoint of another number of processes.
    """

    def __init__(
        self,
        problem: Problem,
        members: Sequence[Member],
        *,
        checkpoint: Checkpoint | None = None,
        resume: str | os.PathLike[str] | None = None,
        system: Mapping[str, Any] | None = None,
        identity: Mapping[str, Any] | None = None,
        allow_world_size: bool = False,
    ) -> None:
        self.checkpoint, self.resume, self.system = checkpoint, resume, dict(system or {})
        self.allow_world_size = allow_world_size
        used = checkpoint is not None or resume is not None
        self.identity = identity or (identity_of(problem, members) if used else {})
        self._last_step, self._last_time = -1, time.monotonic()
        self._periods: list[int] = []  # after how many steps, again and again, one is wanted
        self._seconds = math.inf if checkpoint is None or checkpoint.every_seconds is None else checkpoint.every_seconds
        self._folder = None if checkpoint is None else Path(checkpoint.folder)
        if self._folder is not None:
            self._check(self._folder)
        self._state: TrainState | None = None
        if resume is not None:
            path, self._state, system_then = newest_checkpoint(resume)
            self._compare(path, self._state, system_then)

    def _check(self, folder: Path) -> None:
        """Make sure, before the first step, that checkpoints can be written to the folder, and that it is no other run's."""
        if folder.exists() and not folder.is_dir():
            raise OptionError(f"Checkpoint.folder is {str(folder)!r}, which is no folder; choose another")
        if self.resume is None:
            _refuse_others(folder, checkpoint_files(folder))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".probe-{os.getpid()}"
            with replacing(probe):
                pass
            probe.unlink()
        except OSError as error:
            raise OSError(error.errno, f"checkpoints cannot be written: {error.strerror}", str(folder)) from error

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Within this context, no other process writes checkpoints to the folder; else it is a ClaimedError."""
        if self._folder is None:
            yield
            return
        with claim(self._folder, inside=True, remedy="choose another folder for the checkpoints"):
            if self.resume is None:  # another process may have written some since
                _refuse_others(self._folder, checkpoint_files(self._folder))
            for entry in self._folder.iterdir():
                if _TEMPORARY.fullmatch(entry.name):  # left by a process that was killed while it wrote
                    entry.unlink()
            yield

    def _compare(self, path: Path, state: TrainState, system: Mapping[str, Any]) -> None:
        found = differences(renamed(state.identity), self.identity)
        if found:
            writer, this = (one.get("versions", {}).get("manynets") for one in (system, self.system))
            older = f", go on with manynets {writer}, which wrote it" if writer not in (None, this) else ""
            raise OptionError(
                f"{path} is of another training: {listed(found, 20, between='; ')}; give the same data, specification, recipe and loss{older}, or start anew"
            )
        other = differences({**system, "threads": None}, {**self.system, "threads": None})
        before, now = system.get("world_size", 1), self.system.get("world_size", 1)
        if before != now and not self.allow_world_size:
            raise OptionError(
                f"{path} is of a training in {_processes(before)}, but this one is in {_processes(now)}, and so its last bits would"
                f" differ; train in {_processes(before)}, or give allow_world_size=True to go on up to rounding"
            )
        used, most = state.values.get("threads"), most_threads()  # as many are used again, if the user allows them
        if isinstance(used, int) and used > most:
            other.append(f"threads is {most}, in the checkpoint {used}")
        if other:
            text = f"{path}: {'; '.join(other)}; training goes on, but not bit for bit as it would have"
            warn_user(text, CheckpointWarning)

    # ------------------------------------------------------------------------------------------------ what the loop calls

    def begin(self, run: TrainingRun) -> None:
        """Restore the state to resume from, and see that there is space for checkpoints."""
        if self._state is not None:
            restore(run, self._state)
            self._last_step = self._state.step
            self._state = None
        if self._folder is not None and self.checkpoint is not None:
            periods = self.checkpoint.every_steps, (self.checkpoint.every_epochs or 0) * run.steps
            self._periods = [n for n in periods if n]
            size = sum(array.nbytes for array in capture(run, {}).tensors.values())
            needed = size * (self.checkpoint.keep + 1) - sum(path.stat().st_size for path in checkpoint_files(self._folder))
            if shutil.disk_usage(self._folder).free < needed:
                raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: checkpoints need {needed:,} bytes", str(self._folder))
        self._last_time = time.monotonic()

    def next_step(self, step: int) -> int | None:
        """Return the next step at which a checkpoint is due, whatever the clock says."""
        return min(((step // n + 1) * n for n in self._periods), default=None)

    def pause(self, run: TrainingRun) -> None:
        """Write a checkpoint if one is due; if that fails, warn and go on."""
        due = any(run.step % n == 0 for n in self._periods)  # a call of the stepper ends where a checkpoint is due
        if run.step != self._last_step and (due or time.monotonic() - self._last_time >= self._seconds):
            self._try_to_write(run)

    def _try_to_write(self, run: TrainingRun) -> None:
        try:
            self._write(run)
        except OSError as error:
            text = f"no checkpoint of step {run.step} was written: {error}; training goes on, and older ones are still there"
            warn_user(text, CheckpointWarning)
        self._last_step, self._last_time = run.step, time.monotonic()

    def end(self, run: TrainingRun) -> None:
        """Write the last checkpoint. If that fails, an interrupted training is an OSError; a finished one is not lost for it."""
        if self.checkpoint is None:
            return
        if not len(run.tracks):
            self._try_to_write(run)
        elif run.step != self._last_step:
            self._write(run)

    def remove(self) -> None:
        """Remove the checkpoints of one of several parts (`GroupCheckpoints`); and the folder of all, once no part is left in it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                self._folder.parent.rmdir()

    def _write(self, run: TrainingRun) -> None:
        assert self._folder is not None
        assert self.checkpoint is not None
        path = self._folder / f"step-{run.step:09d}.checkpoint"
        write_checkpoint(path, capture(run, self.identity), system=self.system)
        read_checkpoint(path)  # only then is an older one deleted
        files = checkpoint_files(self._folder)  # the newest first, by the number of the step
        older = files[files.index(path) + 1 :]
        for file in older[self.checkpoint.keep - 1 :]:
            with contextlib.suppress(OSError):
                file.unlink()


def _refuse_others(folder: str | os.PathLike[str], found: Sequence[Path]) -> None:
    """Raise OptionError for checkpoints that were found in the folder of a training that does not resume from them."""
    if found:
        raise OptionError(
            f"{folder} holds checkpoints of an earlier training; go on from them with resume={str(folder)!r}, or choose another folder"
        )


def _processes(count: int) -> str:
    return f"{count} processes" if count > 1 else "one process"


def _part_name(identity: Mapping[str, Any]) -> str:
    return "part-" + hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


class GroupCheckpoints:
    """Checkpoints of networks that are trained in parts, one after the other: each part has a folder of its own within the
    checkpoint's, named by what is trained, from its first step until it is through.

    checkpoint: None to write none; resume: a folder with parts to go on from, None to start anew.
    """

    def __init__(self, checkpoint: Checkpoint | None, resume: str | os.PathLike[str] | None) -> None:
        self.checkpoint = checkpoint
        self.resume = None
        if resume is not None:
            check_path(resume, what="resume")
            self.resume = Path(resume)
            if not self.resume.is_dir():
                raise ModelFileError(f"{resume}: there is no such folder of checkpoints; leave out resume to start anew")
        self._digests = Digests()
        if checkpoint is not None and resume is None:
            _refuse_others(checkpoint.folder, list(Path(checkpoint.folder).glob("part-*")))

    def keeper(self, problem: Problem, members: Sequence[Member], system: Mapping[str, Any]) -> Checkpoints | None:
        """Return the keeper of a part; None where there is nothing to keep, nor to go on from."""
        identity = identity_of(problem, members, self._digests)
        name, resume = _part_name(identity), None
        if self.resume is not None:
            names = (name, _part_name(as_version_1(identity)))  # version 0.1 used the second
            resume = next((self.resume / one for one in names if checkpoint_files(self.resume / one)), None)
            name = name if resume is None else resume.name
        own = None
        if self.checkpoint is not None:
            own = dataclasses.replace(self.checkpoint, folder=Path(self.checkpoint.folder) / name)
        if own is None and resume is None:
            return None
        try:
            return Checkpoints(problem, members, checkpoint=own, resume=resume, system=system, identity=identity)
        except ModelFileError as error:
            raise ModelFileError(f"{error}; remove {resume} to train its {len(members)} networks anew") from error
