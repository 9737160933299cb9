"""What a command takes for a run: a run folder, a model file, or the folder of a sweep (its best network)."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from manynets.errors import ModelFileError, OptionError

if TYPE_CHECKING:
    from manynets.runs import SavedRun

ALONE = "model file"
"""The kind of data of a model file without its run: they are not known."""
SWEEP, BEST, CONFIG = "sweep.json", "best", "config.json"
_NO_BEST = "the sweep in {0} has no best network yet; end it with the command that began it, and --resume --out {0}"


def open_run(path: str) -> SavedRun:
    """Return the run in a folder, the best of a sweep, or a run that is a model file only."""
    from manynets import runs

    given = Path(path)
    unfinished = Path(f"{path.rstrip('/').removesuffix('.part')}.part")
    if not (given / CONFIG).exists() and not given.is_file() and (unfinished / "options.json").is_file():
        run = str(unfinished).removesuffix(".part")
        how = f"{run} is not finished; if its training was interrupted, go on with: manynets train --resume {run}"
        raise OptionError(_NO_BEST.format(Path(run).parent) if is_best_of_sweep(run) else how)
    if given.is_file():
        if given.name == runs.MODEL and (given.parent / CONFIG).is_file():  # any other file in the folder is not the run's model
            return _with_names(runs.read_run(given.parent))
        return _model_only(given)
    if sweep_of(path) is not None:
        unended = unended_sweep(given)
        if unended:
            raise OptionError(unended)
        return _with_names(runs.read_run(given / BEST))
    return _with_names(runs.read_run(path))


def _with_names(run: SavedRun) -> SavedRun:
    """Return a run whose model has the names of several targets; those of older versions have them among the options alone."""
    names, count = run.config.get("data", {}).get("target", []), run.saved.task.targets
    names = names if len(names) == count else [part.strip() for name in names for part in name.split(",")]
    if len(names) == count > 1 and "targets" not in run.saved.info:
        return dataclasses.replace(run, saved=dataclasses.replace(run.saved, info={**run.saved.info, "targets": names}))
    return run


def validation_words(run: SavedRun) -> str:
    """Return which rows the networks of a run validated on, in words."""
    share, latest = run.config.get("validation"), bool(run.config.get("data", {}).get("time_column"))
    if share == "folds":
        own = "one fold of the training rows for each network, which trains on the others"
        return "the latest of the training rows, the same for each network" if latest else own
    if isinstance(share, float | int):
        return f"{'the latest ' if latest else ''}{share:.0%} of the training rows" if share else "none"
    return "the data's own"


def held_out_words(run: SavedRun) -> str:
    """Return which rows the validation metrics of a run are on, in words."""
    if run.config.get("validation") == "folds" and not run.config.get("data", {}).get("time_column"):
        return "rows of training, each predicted by the networks that did not train on it"
    return f"{validation_words(run)}, on which no network trained"


def sweep_of(path: str) -> Path | None:
    """Return the folder of a sweep that a path names, None where it names something else."""
    given = Path(path)
    return given if (given / SWEEP).is_file() and not (given / CONFIG).is_file() else None


def is_best_of_sweep(run: str | os.PathLike[str]) -> bool:
    """Return whether a run folder is that of the best network of a sweep."""
    return Path(run).name == BEST and sweep_of(os.path.dirname(run)) is not None


def unended_sweep(folder: Path) -> str:
    """Return what to say of a sweep that has no best network yet, and how to go on; "" where it has one."""
    if (folder / BEST).is_dir():
        return ""
    return _NO_BEST.format(folder)


def _model_only(path: Path) -> SavedRun:
    """Return the run of a model file that is not in a run folder: what it was trained on is not known."""
    from manynets.runs import SavedRun
    from manynets.saved_model import read_saved_model
    from manynets.tables import TABLE_ENDINGS

    try:
        saved = read_saved_model(os.fspath(path))
    except ModelFileError:
        if not path.name.lower().endswith((*TABLE_ENDINGS, ".npy", ".npz")):
            raise
        raise OptionError(f"{path} is a table, not a run; the run comes first: manynets predict runs/houses-1 {path}") from None
    data = {"kind": ALONE, "name": path.name, "seed": saved.recipe.seed, "task": saved.task.name, "target": []}
    return SavedRun(folder=path, saved=saved, config={"data": data}, metrics={})
