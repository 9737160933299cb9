"""The start-up time of commands, compared with `import torch`: python -m bench.startup [--rounds N].

Each is a fresh process. `train`, `sweep`, `rerun` and `study` are stopped at their first training step, as `import torch` is when it is
done; `show`, `predict` and `evaluate` run to their end, on a table of 8,000 rows. What is measured is the processor time of the process, the
start of Python included. All run in turn, after a round that warms the disk's cache and writes the bytecode, as an installation does.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.machine import machine, versions

__all__ = ["main", "measure"]

GOAL = 1.6

UNTIL_FIRST_STEP = """
import builtins, os, sys
from manynets.cli import main
original = builtins.__import__
def end(run, stop):
    os._exit(0)
def watching(name, *args, **kwargs):
    module = original(name, *args, **kwargs)
    loop = sys.modules.get("manynets.training.loop")
    if loop is not None and hasattr(loop, "TrainingRun"):
        loop.TrainingRun.advance = end
        builtins.__import__ = original
    return module
builtins.__import__ = watching
main(sys.argv[1:])
sys.exit("no step was made")
"""
WHOLE = "import sys; from manynets.cli import main; main(sys.argv[1:])"

COMMANDS: dict[str, tuple[str, ...]] = {
    "import torch": ("-c", "import os, torch; os._exit(0)"),
    "train houses.csv": ("-c", UNTIL_FIRST_STEP, "train", "houses.csv", "--target", "price", "--out", "NEW"),
    "train houses.csv --preset plain": (
        "-c", UNTIL_FIRST_STEP, "train", "houses.csv", "--target", "price", "--preset", "plain", "--out", "NEW",
    ),
    "train digits": ("-c", UNTIL_FIRST_STEP, "train", "digits", "--out", "NEW"),
    "sweep houses.csv --grid lr=0.01,0.001": (
        "-c", UNTIL_FIRST_STEP, "sweep", "houses.csv", "--target", "price", "--grid", "lr=0.01,0.001", "--out", "NEW",
    ),
    "rerun run": ("-c", UNTIL_FIRST_STEP, "rerun", "run", "--out", "NEW"),
    "study T1-xor": ("-c", UNTIL_FIRST_STEP, "study", "T1-xor", "--out", "NEW"),
    "show run": ("-c", WHOLE, "show", "run"),
    "predict run new.csv": ("-c", WHOLE, "predict", "run", "new.csv", "--output", "NEW.csv"),
    "evaluate run new.csv": ("-c", WHOLE, "evaluate", "run", "new.csv"),
}  # fmt: skip


def _write_tables(folder: Path) -> None:
    """Write houses.csv, 10,000 rows of three numbers, two categories and a price, and the first 8,000 as new.csv."""
    random = np.random.default_rng(0)
    area, rooms, age = random.normal(120, 40, 10_000).clip(20), random.integers(1, 9, 10_000), random.integers(0, 90, 10_000)
    city, kind = random.choice(["north", "south", "east"], 10_000), random.choice(["house", "flat"], 10_000)
    price = 2000 * area + 9000 * rooms - 500 * age + 40_000 * (city == "north") + random.normal(0, 9000, 10_000)
    rows = ["area,rooms,age,city,kind,price"]
    columns = (area, rooms, age, city, kind, price)
    rows += [f"{a:.1f},{r},{g},{c},{k},{p:.0f}" for a, r, g, c, k, p in zip(*columns, strict=True)]
    (folder / "houses.csv").write_text("\n".join(rows) + "\n")
    (folder / "new.csv").write_text("\n".join(rows[:8001]) + "\n")


def _processor_seconds(arguments: Sequence[str], folder: Path, number: int) -> float:
    """Run Python with these arguments, where NEW stands for a name that is free; return the processor time it took."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [word.replace("NEW", f"new-{number}") for word in arguments]
    done = subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[2:])}: {done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(rounds: int) -> dict[str, list[float]]:
    """Return the processor seconds of each command in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_tables(folder)
        _processor_seconds(("-c", WHOLE, "train", "houses.csv", "--target", "price", "--preset", "fast", "--out", "run"), folder, 0)
        for number in range(rounds + 1):
            for place, (command, arguments) in enumerate(COMMANDS.items()):
                taken = _processor_seconds(arguments, folder, number * len(COMMANDS) + place)
                if number:
                    seconds[command].append(taken)
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of medians, and how many times `import torch` each is."""
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args(arguments).rounds
    seconds = measure(rounds)
    torch = statistics.median(seconds["import torch"])
    print(f"{machine()}\n{versions()}\n\n| command | s | relative to `import torch` |\n|---|--:|--:|")
    for command, taken in seconds.items():
        middle = statistics.median(taken)
        missed = UNTIL_FIRST_STEP in COMMANDS[command] and middle > GOAL * torch
        print(f"| `{command}` | {middle:.2f} | {middle / torch:.2f}{' (missed)' if missed else ''} |")


if __name__ == "__main__":
    main()
