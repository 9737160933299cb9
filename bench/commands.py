"""The time that a fresh process needs to import each package, and to print the command line's help."""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

__all__ = ["COMMANDS", "run_commands"]

# label, package that has to be there, arguments of python
COMMANDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Python itself", "sys", ("-c", "pass")),
    ("import manynets", "manynets", ("-c", "import manynets")),
    ("manynets --help", "manynets.cli", ("-c", "from manynets.cli import main; main()", "--help")),
    ("from manynets import train", "manynets", ("-c", "from manynets import train")),
    ("import torch", "torch", ("-c", "import torch")),
    ("from sklearn.neural_network import MLPClassifier", "sklearn", ("-c", "import sklearn.neural_network")),
    ("import keras (on JAX)", "keras", ("-c", "import keras")),
    ("import jax", "jax", ("-c", "import jax")),
    ("import skorch", "skorch", ("-c", "import skorch")),
    ("import lightning", "lightning", ("-c", "import lightning")),
)


def _is_there(package: str) -> bool:
    try:
        return package == "sys" or importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _seconds(arguments: Sequence[str]) -> float | None:
    """Return how long the command took, None if it failed."""
    env = os.environ | {"KERAS_BACKEND": "jax"}
    began = time.perf_counter()
    code = subprocess.run([sys.executable, *arguments], capture_output=True, env=env).returncode
    return None if code else time.perf_counter() - began


def run_commands(*, rounds: int) -> list[dict[str, Any]]:
    """Return label, problem and median milliseconds of each command, run in turn; a round before warms the disk's cache."""
    lines: dict[str, dict[str, Any]] = {
        label: {"label": label, "median": None, "problem": "" if _is_there(package) else "not there"}
        for label, package, _ in COMMANDS
    }
    times: dict[str, list[float]] = {label: [] for label in lines}
    for number in range(rounds + 1):
        for label, _, arguments in COMMANDS:
            if lines[label]["problem"]:
                continue
            seconds = _seconds(arguments)
            if seconds is None:
                lines[label]["problem"] = "failed"
            elif number:
                times[label].append(seconds * 1e3)
    for label, line in lines.items():
        if not line["problem"]:
            line["median"] = statistics.median(times[label])
    return list(lines.values())
