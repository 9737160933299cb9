"""Unfinished runs: until a run folder RUN is written, RUN.part beside it holds the options and checkpoints of its training."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from manynets.claims import claim
from manynets.cli.options import left_out, stored_shape
from manynets.cli.origin import absolute, from_standard_input, is_file_name
from manynets.cli.recipe import flag_of
from manynets.cli.saved_runs import is_best_of_sweep
from manynets.cli.signals import Stopped, stops_kept
from manynets.distributed.environment import launched
from manynets.errors import DivergenceError, ModelFileError, OptionError
from manynets.jsonfiles import check_shape, read_json
from manynets.modelfile import replacing
from manynets.renames import stored_options
from manynets.runs import leftovers, remove_leftovers

DATA_PATHS = ("data", "test", "data_dir")
"""Options that may name a file or folder with data."""
OPTIONS, CHECKPOINTS = "options.json", "checkpoints"
_WITH_RESUME = {"resume", "quiet", "json_line", "checkpoint_every", "report", "track", "allow_world_size"}
_UNITS = {"": "every_epochs", "epoch": "every_epochs", "step": "every_steps", "s": "every_seconds", "min": "every_seconds"}


def part_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the folder of a run's unfinished training: RUN.part."""
    path = Path(folder)
    if not path.name:
        raise OptionError(f"{str(path)!r} is not the name of a run folder; name it, such as runs/houses-1")
    return path.with_name(f"{path.name}.part")


def checkpoint_interval(text: str | None) -> dict[str, Any]:
    """Return --checkpoint-every as arguments of Checkpoint; None as no arguments.

    >>> checkpoint_interval("2"), checkpoint_interval("500 steps"), checkpoint_interval("10min")
    ({'every_epochs': 2}, {'every_steps': 500}, {'every_seconds': 600})
    """
    if text is None:
        return {}
    match = re.fullmatch(r"\s*(\d{1,9})\s*(epoch|step|s|min|)s?\s*", text)
    if not match or int(match[1]) < 1:
        raise OptionError(
            f"--checkpoint-every is {text!r}, but must be a number of epochs, or such as '500 steps', '30 s' or '10 min'"
        )
    number = int(match[1])
    return {_UNITS[match[2]]: number * 60 if match[2] == "min" else number}


def portable_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as JSON that means the same in any folder."""
    out = {name: value for name, value in options.items() if name not in _WITH_RESUME | {"out", "overwrite"}}
    for name in DATA_PATHS:
        if out.get(name) is not None and (name != "data" or is_file_name(out[name])):
            out[name] = absolute(out[name])
    return out


@contextlib.contextmanager
def resumed(options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the options to train with: those given, or with --resume those of the unfinished run, which no other process then writes."""
    if options["resume"] is None:
        if options["data"] is None:
            raise OptionError("give DATA: a data set by name, a table or a .npz file; or --resume RUN")
        yield dict(options)
        return
    run = str(options["resume"]).rstrip("/").removesuffix(".part")
    with claim(run, remedy="resume another run") if part_folder(run).is_dir() else contextlib.nullcontext():
        yield _of_unfinished(run, options)


def _of_unfinished(run: str, options: Mapping[str, Any]) -> dict[str, Any]:
    defaults = left_out()
    given = [name for name, value in options.items() if name not in _WITH_RESUME and value != defaults[name]]
    if given:
        shown = "DATA" if given[0] == "data" else flag_of(given[0])
        raise OptionError(f"--resume takes all from the run {options['resume']}; leave out {shown}")
    saved = _saved_options(run, required=set(defaults) - _WITH_RESUME - {"out", "overwrite"})
    known = {name: value for name, value in saved.items() if name in defaults}
    overwrite = bool(saved.get("overwrite", False))
    every = options["checkpoint_every"] or saved.get("checkpoint_every")
    return {**options, **known, "out": run, "overwrite": overwrite, "resume": run, "checkpoint_every": every}


def _saved_options(run: str, *, required: set[str]) -> dict[str, Any]:
    path = part_folder(run) / OPTIONS
    try:
        saved = stored_options(read_json(path, {}, remedy="train again"))
    except FileNotFoundError:
        why = "is finished" if (Path(run) / "config.json").is_file() else f"is not an unfinished run: there is no {path}"
        raise OptionError(f"{run} {why}; there is nothing to resume") from None
    wrong = check_shape(saved, stored_shape()) or next(
        (f"field {name!r} is missing" for name in sorted(required - set(saved))), None
    )
    if wrong:
        raise ModelFileError(f"{path} is damaged: {wrong}; train again")
    return saved


def can_resume(folder: str | os.PathLike[str], options: Mapping[str, Any]) -> bool:
    """Return whether a training for the run `folder` with these options has a checkpoint to resume from."""
    return holds_training(folder, options) and any((part_folder(folder) / CHECKPOINTS).rglob("step-*.checkpoint"))


def holds_training(folder: str | os.PathLike[str], options: Mapping[str, Any]) -> bool:
    """Return whether a training for the run `folder` with these options was begun and not finished."""
    try:
        saved = stored_options(read_json(part_folder(folder) / OPTIONS, {}))
    except (OSError, ModelFileError):
        return False
    wanted = json.loads(json.dumps(portable_options(options)))
    return {name: saved.get(name) for name in wanted} == wanted


@contextlib.contextmanager
def saving_checkpoints(folder: str | os.PathLike[str], options: Mapping[str, Any]) -> Iterator[Callable[[], dict[str, Any]]]:
    """Within this context, an interrupted training for the run `folder` can be resumed.

    The function that it yields makes RUN.part, and returns the arguments `checkpoint` and `resume` of `manynets.train`. RUN.part is
    removed once the run is written. Where the block is left before that, RUN.part stays if it has a checkpoint, and the message
    says how to resume.
    """
    every = checkpoint_interval(options["checkpoint_every"])
    if (options["engine"] or "torch") != "torch":
        if every:
            raise OptionError(f"--checkpoint-every is for --engine torch, not {options['engine']}; leave it out")
        yield dict
        return
    part = _PartFolder(folder, options, every)
    try:
        with stops_kept():
            yield part.begin
        part.remove()
    except (KeyboardInterrupt, Stopped) as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        raise Stopped(number, part.after_a_stop()) from None
    except DivergenceError:  # its checkpoints lead to the same end
        part.discard()
        raise
    except BaseException:
        if part.checkpoints() and not part.run_is_written() and not is_best_of_sweep(folder):  # a sweep says how to resume itself
            sys.stderr.write(f"the training is saved in {part.path}; {part.how}\n")
        part.after_a_stop()
        raise


class _PartFolder:
    """The folder RUN.part of a training.

    path: the folder. how: how to resume from it.
    """

    def __init__(self, run: str | os.PathLike[str], options: Mapping[str, Any], every: Mapping[str, Any]) -> None:
        self.run, self.options, self.every = Path(run), options, every
        self.path = part_folder(run)
        self.before = _inode(run)
        self.begun = False
        self.made: list[Path] = []  # the folders that `begin` made
        self.former: Path | None = None  # an earlier unfinished training of the same name, while this one is begun
        self.how = f"resume with: manynets train --resume {run}"
        if launched() > 1:
            self.how += f", in {launched()} processes"
        if from_standard_input(options):
            self.how += ", and the same table on standard input"
        if options["resume"] is not None and not (self.path / OPTIONS).is_file():
            raise OptionError(f"{run} is finished; there is nothing to resume")
        if options["resume"] is None and self.path.exists() and not options["overwrite"]:
            raise OptionError(f"{self.path} holds an unfinished training; {self.how}; or give --overwrite")

    def begin(self) -> dict[str, Any]:
        """Make the folder, and return the arguments of `manynets.train`."""
        from manynets.training.checkpoint import Checkpoint, holds_checkpoints

        options, checkpoints = self.options, self.path / CHECKPOINTS
        if options["resume"] is None:
            self._move_former()
            self.begun = True
            self.made += [parent for parent in (self.path, *self.path.parents) if not parent.exists()]
            self.path.mkdir(parents=True)
            saved = portable_options(options) | {name: options[name] for name in ("overwrite", "checkpoint_every")}
            with replacing(self.path / OPTIONS) as file:
                file.write(json.dumps(saved, indent=2).encode())
        else:
            remove_leftovers(self.run)
        return {
            "checkpoint": Checkpoint(folder=checkpoints, **self.every),
            "resume": checkpoints if holds_checkpoints(checkpoints) else None,
            "allow_world_size": options.get("allow_world_size", False),
        }

    def _move_former(self) -> None:
        """Move an unfinished training of this name aside, which --overwrite replaces once the new one has a checkpoint.

        A process that was killed may have moved one aside before: that one is the former as long as the new one has no checkpoint.
        """
        moved = [folder for folder in leftovers(self.path, "old") if (folder / OPTIONS).is_file()]
        if moved and not any((self.path / CHECKPOINTS).rglob("step-*.checkpoint")):
            shutil.rmtree(self.path, ignore_errors=True)
        if self.path.exists():
            self.remove_former()
            self.former = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", suffix=".old", dir=self.path.absolute().parent))
            os.rename(self.path, self.former)
        elif moved:
            self.former = moved[-1]

    def remove_former(self) -> None:
        """Remove what `begin` moved aside, also in a process that was killed since."""
        for former in leftovers(self.path, "old"):
            shutil.rmtree(former, ignore_errors=True)

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints of this training, the newest last."""
        if not self.begun and self.options["resume"] is None:
            return []
        return sorted((self.path / CHECKPOINTS).rglob("step-*.checkpoint"))

    def run_is_written(self) -> bool:
        """Return whether the run folder was written since."""
        return _inode(self.run) not in (None, self.before)

    def after_a_stop(self) -> str:
        """Clear away what is not needed to resume, and say what is left."""
        if self.run_is_written():
            self.remove()
            return f"the run is written to {self.run}"
        found = self.checkpoints()
        if found:
            self.remove_former()
            return f"step {int(found[-1].stem.removeprefix('step-'))} is saved in {self.path}; {self.how}"
        self.discard()
        return "nothing was written"

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.remove_former()

    def discard(self) -> None:
        """Remove the folder, and those that were made for it; an earlier unfinished training of this name is put back."""
        if not self.begun:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        if self.former is not None:
            with contextlib.suppress(OSError):
                os.rename(self.former, self.path)
            self.former = None
        for parent in self.made:
            with contextlib.suppress(OSError):
                parent.rmdir()


def _inode(folder: str | os.PathLike[str]) -> int | None:
    try:
        return os.stat(folder).st_ino
    except OSError:
        return None
