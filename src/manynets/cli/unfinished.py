"""Trainings that are not finished: their options and checkpoints lie in RUN.part beside the run folder that is to be."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from manynets.errors import ModelFileError, OptionError
from manynets.renames import stored_options

__all__ = ["Stopped", "is_unfinished", "keeping", "options_of", "part_of", "portable", "remove_half_written", "schedule_of"]

OPTIONS, CHECKPOINTS = "options.json", "checkpoints"
_WITH_RESUME = {"resume", "quiet", "json_line", "checkpoint_every"}
_UNITS = {"": "every_epochs", "epoch": "every_epochs", "step": "every_steps", "s": "every_seconds", "min": "every_seconds"}


class Stopped(BaseException):
    """The command was stopped by a signal; the text says what became of the work. No Exception: nobody is to handle it."""

    def __init__(self, number: int, text: str = "") -> None:
        super().__init__(text)
        self.number = number
        self.text = "terminated" if number == signal.SIGTERM else "interrupted"
        self.text += f"; {text}" if text else ""


def part_of(folder: str | os.PathLike[str]) -> Path:
    """Return where the unfinished training of a run folder lies."""
    path = Path(folder)
    return path.with_name(f"{path.name}.part")


def schedule_of(text: str | None) -> dict[str, Any]:
    """Return what --checkpoint-every says as arguments of Checkpoint; none for None.

    >>> schedule_of("2"), schedule_of("500 steps"), schedule_of("10min")
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


def portable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as JSON that means the same in any folder."""
    from manynets.cli.data import absolute, is_file_name

    out = {name: value for name, value in options.items() if name not in _WITH_RESUME | {"out", "overwrite"}}
    for name in ("data", "test", "data_dir"):
        if out.get(name) is not None and (name != "data" or is_file_name(out[name])):
            out[name] = absolute(out[name])
    return out


def options_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options to train with: those given, or with --resume those of the unfinished run."""
    run = options["resume"]
    if run is None:
        if options["data"] is None:
            raise OptionError("give DATA: a data set by name, a table or a .npz file; or --resume RUN")
        return dict(options)
    from manynets.cli.train import train

    defaults = {name: parameter.default for name, parameter in inspect.signature(train).parameters.items()}
    given = [name for name, value in options.items() if name not in _WITH_RESUME and value != defaults[name]]
    if given:
        shown = "DATA" if given[0] == "data" else "--" + given[0].replace("_", "-")
        raise OptionError(f"--resume takes all from the run {run}; leave out {shown}")
    run = str(run).rstrip("/").removesuffix(".part")
    path = part_of(run) / OPTIONS
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        why = "is finished" if (Path(run) / "config.json").is_file() else f"is no unfinished run: there is no {path}"
        raise OptionError(f"{run} {why}; there is nothing to go on with") from None
    except ValueError as error:
        raise ModelFileError(f"{path} is damaged: {error}; train again") from None
    if not isinstance(kept, dict) or not set(kept := stored_options(kept)) >= set(defaults) - _WITH_RESUME - {"out", "overwrite"}:
        raise ModelFileError(f"{path} does not hold the options of a training; train again")
    known = {name: value for name, value in kept.items() if name in defaults}
    overwrite = bool(kept.get("overwrite", False))
    every = options["checkpoint_every"] or kept.get("checkpoint_every")
    return {**options, **known, "out": run, "overwrite": overwrite, "resume": run, "checkpoint_every": every}


def remove_half_written(target: Path) -> None:
    """Remove what a process that was killed while it wrote the file or run folder `target` left beside it."""
    for entry in list(target.absolute().parent.iterdir()):
        if entry.name.startswith(f".{target.name}.") and entry.name.endswith(".tmp"):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def is_unfinished(folder: str | os.PathLike[str], options: Mapping[str, Any]) -> bool:
    """Return whether a training for the run `folder` with these options was under way, and has a checkpoint to go on from."""
    part = part_of(folder)
    try:
        kept = json.loads((part / OPTIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    wanted = json.loads(json.dumps(portable(options)))
    kept = stored_options(kept) if isinstance(kept, dict) else {}
    same = {name: kept.get(name) for name in wanted} == wanted
    return same and any((part / CHECKPOINTS).glob("step-*.checkpoint"))


@contextlib.contextmanager
def keeping(folder: str | os.PathLike[str], options: Mapping[str, Any]) -> Iterator[Callable[[], dict[str, Any]]]:
    """Within: nothing of the training for the run `folder` is lost, once the function yielded was called.

    It makes RUN.part, and returns what `manynets.train` takes: `checkpoint` and `resume`. RUN.part is removed once the run is
    written, whatever comes then. Where the block is left otherwise, it stays if it has a checkpoint, and the message says how to go
    on.
    """
    from manynets.cli.data import from_standard_input

    before = _inode(folder)
    every = schedule_of(options["checkpoint_every"])
    if (options["engine"] or "torch") != "torch":
        if every:
            raise OptionError(f"--checkpoint-every is for --engine torch, not {options['engine']}; leave it out")
        yield dict
        return
    part = part_of(folder)
    place = part / CHECKPOINTS
    if options["resume"] is None and part.exists() and not options["overwrite"]:
        raise OptionError(f"{part} holds an unfinished training; go on: manynets train --resume {folder}; or give --overwrite")
    made: list[Path] = []

    def begin() -> dict[str, Any]:
        from manynets.modelfile import replacing
        from manynets.training.checkpoint import Checkpoint, checkpoint_files

        if options["resume"] is None:
            shutil.rmtree(part, ignore_errors=True)
            made.extend(parent for parent in (part, *part.parents) if not parent.exists())
            part.mkdir(parents=True)
            kept = portable(options) | {"overwrite": options["overwrite"], "checkpoint_every": options["checkpoint_every"]}
            with replacing(part / OPTIONS) as file:
                file.write(json.dumps(kept, indent=2).encode())
        else:
            remove_half_written(Path(folder))
        resume = place if checkpoint_files(place) else None
        return {"checkpoint": Checkpoint(folder=place, **every), "resume": resume}

    def files() -> list[str]:
        """Names of the checkpoints, the newest last."""
        return sorted(entry.name for entry in place.glob("step-*.checkpoint"))

    def forget() -> None:
        shutil.rmtree(part, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()

    how = f"go on with: manynets train --resume {folder}"
    if from_standard_input(options):
        how += ", and the same table on standard input"
    try:
        yield begin
        shutil.rmtree(part, ignore_errors=True)
    except (KeyboardInterrupt, Stopped) as error:
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        if _inode(folder) not in (None, before):
            shutil.rmtree(part, ignore_errors=True)
            raise Stopped(number, f"the run is written to {folder}") from None
        if files():
            step = int(Path(files()[-1]).stem.removeprefix("step-"))
            raise Stopped(number, f"step {step} is kept in {part}; {how}") from None
        forget()
        raise Stopped(number, "nothing was written") from None
    except BaseException:
        if _inode(folder) not in (None, before):
            shutil.rmtree(part, ignore_errors=True)
        elif files():
            sys.stderr.write(f"the training is kept in {part}; {how}\n")
        elif options["resume"] is None:
            forget()
        raise


def _inode(folder: str | os.PathLike[str]) -> int | None:
    """Return by what the system knows a folder, another one for each that is written; None where there is none."""
    try:
        return os.stat(folder).st_ino
    except OSError:
        return None
