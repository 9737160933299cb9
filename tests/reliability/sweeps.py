"""Kill sweeps at random: python -m tests.reliability.sweeps KILLS SEED. Prints figures as JSON; run by test_sweeps.py.

A child runs `manynets sweep` with a checkpoint every 10 steps; it is killed by SIGKILL at a random moment, and the next child goes
on with --resume, until one ends by itself. Each sweep must end with the results, the curves and the best model of the one that was
never disturbed, bit for bit (seconds aside), and leave no checkpoint behind.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import manynets as mn
from manynets.cli import main

__all__ = ["KINDS", "kill", "written"]

FILES = {"results.csv", "curves.jsonl", "sweep.json", "best", "lr.png", "parallel.png", "curves.png", "dropout.png"}
GRID = ("--grid", "lr=1e-3:1e-1:log:4", "--grid", "dropout=0,0.2", "--points", "400", "--batch-size", "16", "-q")
KINDS = {
    "seeds": ("moons", "--hidden", "8", "--epochs", "40", "--seeds", "2", "--at-most", "5", *GRID),
    "folds": ("circles", "--hidden", "6,6", "--epochs", "20", "--cv", "2", "--batch-norm", "--at-most", "6", *GRID),
    "halving": ("moons", "--hidden", "8", "--epochs", "36", "--halving", "--at-most", "3", "--optimizer", "nadam", *GRID),
}


def written(folder: Path) -> dict[str, str]:
    """Return hashes of all that a sweep found out: its tables without the seconds, weights and history of its best model; and the
    names of files that a sweep does not leave behind.
    """
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = [[(name, cell) for name, cell in row.items() if name != "seconds"] for row in csv.DictReader(file)]
    model = mn.load(folder / "best" / "model.safetensors")
    history = {name: np.array(column).tobytes() for name, column in model.history.items() if name != "seconds"}
    left = {entry.name for entry in folder.iterdir()} | {entry.name for entry in (folder / "best").glob(".*")}
    parts = {
        "results": repr(rows).encode(),
        "curves": (folder / "curves.jsonl").read_bytes(),
        "weights": repr([(name, value.tobytes()) for name, value in model.members[0].items()]).encode(),
        "history": repr(history).encode(),
    }
    return {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()} | {"strange files": str(sorted(left - FILES))}


def sweep(kind: str, folder: Path) -> int:
    """Run a sweep, or go on with it; return the exit code."""
    words = ["sweep", *KINDS[kind], "--out", str(folder), "--checkpoint-every", "10 steps"]
    resume = ["--resume"] if (folder / "sweep.json").is_file() else []
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            main([*words, *resume])
        except SystemExit as end:
            return int(end.code or 0)
    return -1


def wait(folder: Path, seconds: float, *, trained: bool, spare: float) -> None:
    """Wait so long; or (most of a sweep is pictures) until another part of it is being trained, and a little longer."""
    before, end = set(folder.glob("checkpoints/part-*")), time.perf_counter() + seconds
    while time.perf_counter() < end:
        if trained and set(folder.glob("checkpoints/part-*")) - before:
            time.sleep(spare)
            return
        time.sleep(0.002)


def kill(kills: int, seed: int) -> dict[str, Any]:
    """Kill so many times; return figures."""
    import torch

    torch.set_num_threads(1)
    moments = random.Random(seed)
    root = Path(tempfile.mkdtemp())
    expected, longest = {}, {}
    for kind in KINDS:
        for folder in (root / "first", root / kind):  # the second time without what is done once, such as imports
            began = time.perf_counter()
            assert sweep(kind, folder) == 0
            longest[kind] = time.perf_counter() - began
            shutil.rmtree(root / "first", ignore_errors=True)
        expected[kind] = written(root / kind)
    figures: dict[str, Any] = {"seed": seed, "kills": 0, "sweeps": 0, "same bits": 0, "in mid-group": 0, "failed": 0}
    figures["differences"] = []
    began, number, folder = time.perf_counter(), 0, root / "run0"
    while figures["kills"] < kills or folder.exists():  # the last sweep is not left unfinished
        kind = list(KINDS)[number % len(KINDS)]
        process = os.fork()
        if not process:
            os._exit(sweep(kind, folder))
        if figures["kills"] < kills:
            wait(folder, moments.uniform(0.0, longest[kind]), trained=moments.random() < 0.75, spare=moments.uniform(0.0, 0.15))
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if os.WIFSIGNALED(status):
            figures["kills"] += 1
            figures["in mid-group"] += any(folder.glob("checkpoints/part-*/step-*.checkpoint"))
        elif os.WEXITSTATUS(status):
            figures["failed"] += 1
            break
        else:
            figures["sweeps"] += 1
            found = written(folder)
            figures["same bits"] += found == expected[kind]
            figures["differences"] += [f"{kind}: {name}: {value}" for name, value in found.items() if value != expected[kind][name]]
            shutil.rmtree(folder)
            number += 1
            folder = root / f"run{number}"
    shutil.rmtree(root)
    figures["seconds"] = round(time.perf_counter() - began, 1)
    return figures


if __name__ == "__main__":
    print(json.dumps(kill(int(sys.argv[1]), int(sys.argv[2])), indent=1))
