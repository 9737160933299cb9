"""Kill trainings at random: python -m tests.reliability.kills KILLS SEED. Prints figures as JSON; run by test_saves.py.

A child trains with a checkpoint after every step, most of its time in saving; it is killed by SIGKILL at a random moment, and the
next child goes on from the folder, until one ends by itself; after the last kill a training is left to end, since on a slow machine
none may have got there. After every kill the folder must hold a whole checkpoint at least as new as any seen before, and each training
must end with the bits of the one that was never disturbed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import manynets as mn
from manynets.training.checkpoint import Checkpoint, checkpoint_files, newest_checkpoint

__all__ = ["kill"]

X = np.random.default_rng(0).standard_normal((160, 6))
Y = X[:, 0] * X[:, 1]
SPEC = mn.MLP(hidden=(16,), dropout=0.2, batch_norm=True)


def recipe(number: int) -> mn.Recipe:
    optimizers: list[Any] = [mn.AdamW(), mn.NAdam(), mn.SGD(momentum=0.9), mn.RMSprop()]
    return mn.Recipe(epochs=6, batch_size=16, seed=number, optimizer=optimizers[number % 4], schedule=mn.OneCycle(), l2=1e-3)


def digest(number: int, **more: Any) -> str:
    """Train number `number`; return a hash over its weights and its history."""
    model = mn.train(X, Y, SPEC, recipe(number), validation=0.2, scaling=False, progress=False, **more)
    check = hashlib.sha256()
    for name, value in model.members[0].items():
        check.update(name.encode() + value.tobytes())
    for name, column in model.history.items():
        if name != "seconds":
            check.update(name.encode() + np.array(column).tobytes())
    return check.hexdigest()


def child(number: int, folder: Path, pipe: int) -> None:
    resume = folder if checkpoint_files(folder) else None
    found = digest(number, checkpoint=Checkpoint(folder=folder, every_steps=1), resume=resume)
    os.write(pipe, found.encode())


def kill(kills: int, seed: int) -> dict[str, Any]:
    """Kill so many times; return figures."""
    import torch

    torch.set_num_threads(1)
    moments = random.Random(seed)
    began = time.perf_counter()
    digest(0)
    longest = 0.25
    names = ("kills", "trainings", "same bits", "losses", "damaged", "half-written files left", "failed")
    figures: dict[str, Any] = {"seed": seed, **dict.fromkeys(names, 0)}
    root, number = Path(tempfile.mkdtemp()), 0
    folder, newest, expected = root / "run0", 0, digest(0)
    while figures["kills"] < kills or newest or not figures["trainings"]:
        read, write = os.pipe()
        process = os.fork()
        if not process:
            try:
                warnings.simplefilter("error")
                child(number, folder, write)
                os._exit(0)
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
                os._exit(1)
        os.close(write)
        if figures["kills"] < kills:
            time.sleep(moments.uniform(0.0, longest))
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        answer = os.read(read, 100).decode()
        os.close(read)
        if os.WIFSIGNALED(status):
            figures["kills"] += 1
            figures["half-written files left"] += any(entry.name.endswith(".tmp") for entry in folder.glob(".*"))
            files = checkpoint_files(folder)
            if files:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    try:
                        step = newest_checkpoint(folder)[1].step
                    except mn.ModelFileError:
                        step = -1
                figures["damaged"] += len(caught)
                figures["losses"] += step < newest
                newest = max(newest, step)
            else:
                figures["losses"] += newest > 0
        elif os.WEXITSTATUS(status):
            figures["failed"] += 1
            break
        else:
            figures["trainings"] += 1
            figures["same bits"] += answer == expected
            shutil.rmtree(folder)
            number += 1
            folder, newest, expected = root / f"run{number}", 0, digest(number)
    shutil.rmtree(root)
    figures["seconds"] = round(time.perf_counter() - began, 1)
    return figures


if __name__ == "__main__":
    print(json.dumps(kill(int(sys.argv[1]), int(sys.argv[2])), indent=1))
