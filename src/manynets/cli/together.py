"""`manynets train` in several processes, which torchrun starts: rank 0 reads the options, prints and writes; the others train with it."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

from manynets.cli.checkpoints import can_resume, holds_training
from manynets.cli.diverged import refuse_diverged
from manynets.cli.fit import fit, trained
from manynets.cli.options import left_out
from manynets.cli.origin import from_standard_input, origin_of, stem_of
from manynets.cli.recipe import Options
from manynets.cli.report import console_for
from manynets.cli.streamed import follow_stream, stream_of
from manynets.distributed import joined, restarts, restarts_left
from manynets.errors import DivergenceError, OptionError
from manynets.training.checkpoint import Checkpoint


def fit_together(options: Options) -> None:
    """Train with these options in this process and those that were started together with it.

    Raises DivergenceError where all networks diverged, unless torchrun would then train once more, with the same result.
    """
    if from_standard_input(options):
        raise OptionError("standard input can be read by one process only; give a file as DATA and --test, or start one process")
    written = None
    with joined() as ranks:
        if ranks.rank == 0:
            written = fit(restarted_options(options) if restarts() else options, begun=ranks.send)
        else:
            _follow(ranks.receive())
    if written is None:
        return
    try:
        refuse_diverged(written)
    except DivergenceError as error:
        if not restarts_left():
            raise
        sys.stderr.write(f"error: {error}; the exit code is 0, or torchrun would train once more, with the same result\n")


def _follow(options: Options) -> None:
    """Train as rank 0 does with these options, which it has sent; print and write nothing."""
    options = {**options, "quiet": True}

    def begin() -> dict[str, Any]:
        return {"checkpoint": Checkpoint(folder=os.devnull)}  # rank 0 writes them

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        origin, console = origin_of(options), console_for(quiet=True)
        found = None if options.get("memory_limit") is None else stream_of(options, origin, console)
        if found is None:
            trained(options, origin, begin, console)
        else:
            follow_stream(found, options, origin, begin)


def restarted_options(options: Options) -> Options:
    """Return the options with which torchrun's restart of these processes goes on: from the last checkpoint, if there is one."""
    if options["resume"] is not None:
        return options
    folders = [Path(options["out"])] if options["out"] is not None else _unfinished(stem_of(origin_of(options)))
    for folder in folders:
        if can_resume(folder, options):
            every = options["checkpoint_every"]
            given = {name: options[name] for name in ("quiet", "json_line", "report", "track", "allow_world_size")}
            return {**left_out(), **given, "resume": str(folder), "checkpoint_every": every}
        if holds_training(folder, options) and not folder.exists():
            return {**options, "out": str(folder), "overwrite": True}
    return options


def _unfinished(stem: str) -> list[Path]:
    """Return the run folders whose training was begun and not finished, the latest first."""
    parts = sorted(Path("runs").glob(f"{stem}-*.part"), key=lambda part: part.stat().st_mtime, reverse=True)
    return [part.with_suffix("") for part in parts]
