"""Case 37 on a real full disk: python -m tests.reliability.disk FOLDER, where FOLDER is a file system of some megabytes, to be filled
and emptied. Prints figures as JSON; test_saves.py runs it on a tmpfs of its own (unshare and mount)."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import manynets as mn
from manynets.cli import main
from manynets.training.checkpoint import Checkpoint, checkpoint_files, newest_checkpoint, write_checkpoint
from manynets.training.events import Advanced
from tests.reliability.sweeps import written

PAGE = 4096
X = np.random.default_rng(0).standard_normal((400, 20))


def leave(folder: Path, free: int | None) -> None:
    """Have so many bytes free in the file system, None: all that there are."""
    ballast = folder / "ballast"
    ballast.unlink(missing_ok=True)
    if free is None:
        return
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(folder).free - free))


def fit(seed: int = 0, **more: Any) -> mn.Model:
    recipe = mn.Recipe(epochs=4, batch_size=40)
    return mn.train(X, X[:, 0], mn.MLP(hidden=(150, 100)), recipe, seed=seed, scaling=False, progress=False, **more)


def at_every_fill(folder: Path, path: Path, save: Callable[[], None], read: Callable[[], Any]) -> int:
    """Save over an old file with ever more pages free; return how often the disk was full."""
    old, names, size, full = read(), {*os.listdir(path.parent), "ballast"}, path.stat().st_size, 0
    for free in range(0, size + 64 * PAGE, PAGE):
        leave(folder, free)
        try:
            save()
        except OSError as error:
            assert (error.errno, error.filename) == (errno.ENOSPC, str(path)), error  # noqa: PT017
            assert read() == old
            assert {*os.listdir(path.parent), "ballast"} == names
            full += 1
        else:
            assert read() != old
            return full
    raise AssertionError("it never fits")


def call(*words: str) -> tuple[int, str]:
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(list(words))
        except SystemExit as end:
            return int(end.code or 0), told.getvalue()
    raise AssertionError("the command did not exit")


def training(folder: Path) -> int:
    """Train while the disk is full for some steps; return the warnings."""
    plain = fit()

    def callback(event: Any) -> None:
        if isinstance(event, Advanced):
            leave(folder, 0 if 10 <= event.step < 30 else None)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fit(checkpoint=Checkpoint(folder=folder / "kept", every_steps=5), callbacks=[callback])
    assert all("training goes on, and older ones are still there" in str(entry.message) for entry in caught)
    assert all(np.array_equal(value, plain.members[0][name]) for name, value in model.members[0].items())
    assert newest_checkpoint(folder / "kept")[1].step == 40
    shutil.rmtree(folder / "kept")
    return len(caught)


def sweeping(folder: Path) -> int:
    """Fill the disk in the middle of a sweep and go on with it; return how often that took another start."""
    words = [
        "sweep",
        "moons",
        "--hidden",
        "40,40",
        "--epochs",
        "6",
        "--points",
        "300",
        "-q",
        "--at-most",
        "3",
        "--checkpoint-every",
        "1",
    ]
    words += ["--grid", "lr=1e-3:1e-1:log:3", "--grid", "dropout=0,0.2", "--out"]
    assert call(*words, str(folder / "whole")) == (0, "")
    starts = 0
    for free in (0, 20, 60, 100, 140, None):
        leave(folder, None if free is None else free * PAGE)
        resume = ["--resume"] if (folder / "here" / "sweep.json").is_file() else ["--overwrite"]
        code, told = call(*words, str(folder / "here"), *resume)
        if code == 0:
            break
        assert code == 2, told
        assert "No space left on device" in told, told
        starts += 1
    assert written(folder / "here") == written(folder / "whole")
    return starts


def fill(folder: Path) -> dict[str, Any]:
    """Do all of this; return figures."""
    model, other = fit(), fit(seed=1)
    place = folder / "model"
    model.save(place)
    figures: dict[str, Any] = {"megabytes": round(shutil.disk_usage(folder).total / 2**20, 1)}
    figures["full while a model was saved"] = at_every_fill(
        folder, place, lambda: other.save(place), lambda: mn.load(place).members[0]["output.weight"].tobytes()
    )
    leave(folder, None)
    place.unlink()
    fit(checkpoint=Checkpoint(folder=folder / "run", keep=1))
    [file] = checkpoint_files(folder / "run")
    _, state, system = newest_checkpoint(file)
    figures["full while a checkpoint was saved"] = at_every_fill(
        folder, file, lambda: write_checkpoint(file, state, system={**system, "threads": 99}), lambda: newest_checkpoint(file)[2]
    )
    leave(folder, None)
    shutil.rmtree(folder / "run")
    figures["checkpoints that a training went on without"] = training(folder)
    leave(folder, 0)
    code, told = call("train", "moons", "--hidden", "8", "--epochs", "2", "-q", "--out", str(folder / "new"))
    assert (code, told.count("\n")) == (2, 1), told
    assert "No space left on device" in told, told
    assert set(os.listdir(folder)) == {"ballast"}
    leave(folder, None)
    figures["starts of a sweep that met a full disk"] = sweeping(folder)
    return figures


if __name__ == "__main__":
    print(json.dumps(fill(Path(sys.argv[1])), indent=1))
