"""Our defaults next to a job that keeps every core busy: python -m bench.busy [--rounds N] [--json FILE].

Another process multiplies matrices with as many threads as there are cores. Meanwhile each case is trained in turn with our defaults and
with one thread (torch.set_num_threads(1)); the result is the median over rounds of the ratio of both times in a round.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

import manynets as mn
from bench.machine import cores, machine, versions
from bench.saved import save

__all__ = ["cases", "main", "measure"]

BUSY = """
import torch
torch.set_num_threads({threads})
a, b = torch.randn(700, 700), torch.randn(700, 700)
while True:
    a @ b
"""


def cases() -> dict[str, Callable[[], object]]:
    """Return trainings of about a second by name."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    wide = np.random.default_rng(0).random((4000, 784), dtype=np.float32)
    labels = np.arange(4000) % 10
    digits = mn.Recipe(optimizer=mn.Adam(lr=1e-3), epochs=5, batch_size=32)
    mnist = mn.Recipe(optimizer=mn.SGD(lr=0.01), epochs=25, batch_size=100)
    spec = mn.MLP(hidden=(512, 512))

    def candidates() -> list[tuple[mn.MLP, mn.Recipe]]:
        return [(mn.MLP(hidden=(32,)), mn.Recipe(optimizer=mn.Adam(lr=1e-3), epochs=10, seed=seed)) for seed in range(30)]

    return {
        "digits 64-512-512-10, batch 32": lambda: mn.train(X, y, spec, digits, scaling=False, progress=False),
        "784-512-512-10, batch 100": lambda: mn.train(wide, labels, spec, mnist, scaling=False, progress=False),
        "30 networks 64-32-10": lambda: mn.train_many(X, y, candidates(), scaling=False, progress=False),
    }


@contextmanager
def busy() -> Iterator[None]:
    """Keep all cores busy with another process."""
    other = subprocess.Popen([sys.executable, "-c", BUSY.format(threads=cores())])
    try:
        time.sleep(2.0)
        yield
    finally:
        other.kill()
        other.wait()


def measure(train: Callable[[], object], rounds: int) -> dict[str, Any]:
    """Return the seconds of each round with our defaults and with one thread, and the median of the ratios."""
    before, taken = torch.get_num_threads(), {"defaults": [], "one thread": []}  # type: dict[str, list[float]]
    train()
    for _ in range(rounds):
        for name, threads in (("defaults", before), ("one thread", 1)):
            torch.set_num_threads(threads)
            began = time.perf_counter()
            train()
            taken[name].append(time.perf_counter() - began)
    torch.set_num_threads(before)
    ratios = [many / one for many, one in zip(*taken.values(), strict=True)]
    return {**taken, "ratio": statistics.median(ratios), "ratios": ratios}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all cases, quiet and busy."""
    parser = argparse.ArgumentParser(prog="python -m bench.busy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {"machine": machine(), "versions": versions(), "cases": {}}
    with busy():
        for name, train in cases().items():
            results["cases"][name] = found = measure(train, options.rounds)
            shown = {key: statistics.median(found[key]) for key in ("defaults", "one thread")}
            print(f"{name}: defaults {shown['defaults']:.2f} s, one thread {shown['one thread']:.2f} s, ratio {found['ratio']:.2f}")
    save(results, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
