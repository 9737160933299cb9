"""The compiled core against the closed form in torch, on one thread: python -m bench.steppers [--rounds N] [--dtype float64].

The table behind `manynets.training.steppers.choice`: microseconds of a step of one network in both, in turn, and their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch

import manynets as mn
from manynets.nn.initial import initial_parameters
from manynets.prepare import prepare
from manynets.spec import DType, Optimizer
from manynets.training.steppers.base import Stepper
from manynets.training.steppers.closed_form import ClosedForm
from manynets.training.steppers.compiled import Compiled
from manynets.training.trial import Member

__all__ = ["main", "step_times"]

LAYERS = [(2, 6, 1), (30, 64, 64, 1), (30, 128, 128, 1), (784, 100, 10), *((w, w, w, 10) for w in (256, 512, 1024))]
BATCHES = (20, 128, 512)
STEPS = 4


def step_times(layers: tuple[int, ...], batch: int, optimizer: Optimizer, *, dtype: DType, rounds: int) -> tuple[float, float]:
    """Return the microseconds of a step in the core and in the closed form, medians over rounds."""
    random = np.random.default_rng(0)
    X = random.random((max(STEPS * batch, 500), layers[0]))
    y = np.arange(len(X)) % layers[-1] if layers[-1] > 1 else X[:, 0]
    spec, recipe = mn.MLP(hidden=layers[1:-1]), mn.Recipe(optimizer=optimizer, batch_size=batch, dtype=dtype, device="cpu")
    problem = prepare(X, y, recipe).problem
    start = initial_parameters(spec, layers[0], problem.task.outputs)
    steppers: list[Stepper] = [kind(problem, [Member(0, spec, recipe, start)]) for kind in (Compiled, ClosedForm)]
    taken: list[list[float]] = [[], []]
    rates, alive = np.full((STEPS, 1), 1e-4), np.ones(1, dtype=bool)
    with torch.inference_mode():
        for _ in range(rounds + 1):
            for stepper, times in zip(steppers, taken, strict=True):
                stepper.step = 0
                began = time.perf_counter()
                stepper.advance(rates, alive)
                times.append((time.perf_counter() - began) / STEPS * 1e6)
    compiled, closed = (statistics.median(times[1:]) for times in taken)
    return compiled, closed


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.steppers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| network | batch | optimizer | compiled, us | closed form, us | ratio |\n|---|--:|---|--:|--:|--:|")
    for optimizer in (mn.SGD(lr=0.1), mn.Adam(lr=0.01)):
        for layers in LAYERS:
            for batch in BATCHES:
                compiled, closed = step_times(layers, batch, optimizer, dtype=options.dtype, rounds=options.rounds)
                name = "-".join(map(str, layers))
                print(
                    f"| {name} | {batch} | {type(optimizer).__name__} | {compiled:.1f} | {closed:.1f} | {compiled / closed:.2f} |"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
