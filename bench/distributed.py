"""Two ranks that share the batches of one training, against two independent trainings, in turn: python -m bench.distributed.

784-2048-2048-10 on MNIST at batch 512 with Adam; each process has one thread, and all numbers are rows per second of wall time. Then the cost
model of docs/scaling.md, fed with what was measured, and a simulation of as many ranks on machines of their own as --simulate says.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

import manynets as mn
from bench.data import real_data
from bench.machine import free_port, machine
from manynets.distributed import ALONE, GradientSum, Ranks
from manynets.nn.initial import initial_parameters
from manynets.prepare import prepare
from manynets.training.steppers.closed_form import ClosedForm
from manynets.training.trial import Member

__all__ = ["main", "modelled", "simulated"]

HIDDEN = (2048, 2048)
RANKS = 2
LATENCY = 5e-5  # seconds of a message, assumed
ALONE_NAME, HALF, SHARED, TWICE = "two independent", "two independent, half the batch", "two ranks", "two ranks, twice the batch"
SUM, SENT = "sum of the gradients alone", "the same through sockets"


def modelled(ranks: int, *, work: float, update: float, size: float, bandwidth: float, latency: float) -> float:
    """Return the seconds of a step: work / N + update + 2 (N - 1) (size / (N bandwidth) + latency).

    work: seconds of forward and backward pass of the whole batch; update: of what every rank does; size: bytes of the gradient;
    bandwidth: bytes per second from one rank to the next; latency: seconds of a message.

    >>> round(modelled(2, work=0.19, update=0.016, size=23e6, bandwidth=1e9, latency=1e-4), 3)
    0.134
    """
    messages = 2 * (ranks - 1)
    return work / ranks + update + messages * (size / (ranks * bandwidth) + latency)


def simulated(
    ranks: int, *, work: float, update: float, size: float, bandwidth: float, latency: float, spread: float, steps: int = 200
) -> float:
    """Return the seconds of a step in a simulation of the ring, in which each rank's work varies by `spread` (relative, log-normal).

    In each of the 2 (N - 1) rounds a rank sends 1/N of the gradient to the next once it has that of the one before.
    """
    random, now = np.random.default_rng(0), np.zeros(ranks)
    for _ in range(steps):
        now = now + work / ranks * random.lognormal(-(spread**2) / 2, spread, ranks)
        for _ in range(2 * (ranks - 1)):
            now = np.maximum(now, np.roll(now, 1)) + size / (ranks * bandwidth) + latency
        now = now + update
    return float(now.max()) / steps


def _steppers(ranks: Ranks, batch: int) -> dict[str, tuple[ClosedForm, int]]:
    """Return a stepper of each kind, and the rows of its batches."""
    data = mn.datasets.load("mnist", data_dir=real_data())
    recipe = mn.Recipe(optimizer=mn.Adam(lr=1e-3), batch_size=batch, device="cpu")
    problem, spec = prepare(data.X, data.y, recipe).problem, mn.MLP(hidden=HIDDEN)
    start = initial_parameters(spec, problem.rows.x.shape[1], problem.task.outputs)

    def made(processes: Ranks, size: int) -> tuple[ClosedForm, int]:
        member = Member(0, spec, dataclasses.replace(recipe, batch_size=size), start)
        return ClosedForm(problem, [member], ranks=processes), size

    return {
        ALONE_NAME: made(ALONE, batch),
        HALF: made(ALONE, batch // RANKS),
        SHARED: made(ranks, batch),
        TWICE: made(ranks, RANKS * batch),
    }


def _measure(rank: int, port: int, batch: int, steps: int, rounds: int, found: Any) -> None:
    """Measure in one of the processes: a round has each kind of training once. Seconds of a step: of the clock, and of the processor."""
    torch.set_num_threads(1)
    ranks = Ranks.of(dist.TCPStore("127.0.0.1", port, RANKS, rank == 0), rank=rank, size=RANKS)
    with torch.inference_mode():
        kinds = _steppers(ranks, batch)
        gradient = GradientSum(kinds[SHARED][0].grad, ranks)
        sums = {SUM: gradient.add, SENT: lambda: ranks.add(gradient.tensor)}
        taken: dict[str, list[list[float]]] = {name: [] for name in [*kinds, *sums]}
        for number in range(rounds + 1):
            for name in taken:
                ranks.exchange(None)  # all begin together
                began, used = time.perf_counter(), time.process_time()
                if name in sums:
                    for _ in range(steps):
                        sums[name]()
                else:
                    stepper = kinds[name][0]
                    stepper.step = 0
                    stepper.advance(np.full((1 if number == 0 else steps, 1), 1e-4), np.ones(1, dtype=bool))
                times = ranks.exchange([time.perf_counter() - began, time.process_time() - used])
                if number:
                    taken[name].append([max(clock for clock, _ in times) / steps, max(cpu for _, cpu in times) / steps])
    if rank == 0:
        found.put((taken, gradient.tensor.numel() * gradient.tensor.element_size()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was measured, and what the model and the simulation make of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.distributed", description=__doc__)
    parser.add_argument("--batch", type=int, default=512, metavar="ROWS")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="of each kind in a round")
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    parser.add_argument("--simulate", type=int, default=64, metavar="RANKS")
    options = parser.parse_args(arguments)
    context = multiprocessing.get_context("spawn")
    found = context.SimpleQueue()
    work = (free_port(), options.batch, options.steps, options.rounds, found)
    workers = [context.Process(target=_measure, args=(rank, *work)) for rank in range(RANKS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if found.empty():
        print("the measurement failed", file=sys.stderr)
        return 1
    taken, size = found.get()
    rows = {ALONE_NAME: RANKS * options.batch, HALF: options.batch, SHARED: options.batch, TWICE: RANKS * options.batch}
    print(
        f"{machine()['processor']}; batch {options.batch}, {size / 1e6:.1f} MB of gradient a step; by the clock, and processor time\n"
    )
    print("| training | ms a step | rows/s | of independent | ms of the processor | of independent |\n|---|--:|--:|--:|--:|--:|")
    for name, times in taken.items():
        clock, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        cells = [name, f"{1e3 * clock:.1f}", "", "", f"{1e3 * cpu:.1f}", ""]
        if name in rows:
            speeds = [
                [rows[name] / one / (rows[ALONE_NAME] / alone) for one, alone in zip(mine, independent, strict=True)]
                for mine, independent in zip(times, taken[ALONE_NAME], strict=True)
            ]
            shares = [statistics.median(column) for column in zip(*speeds, strict=True)]
            cells[2:4], cells[5] = [f"{rows[name] / clock:,.0f}", f"{shares[0]:.2f}"], f"{shares[1]:.2f}"
        print(f"| {' | '.join(cells)} |")
    for which, column in (("the clock", 0), ("processor time", 1)):
        seconds = {name: statistics.median(time[column] for time in times) for name, times in taken.items()}
        _print_model(which, seconds, size, options)
    return 0


def _print_model(which: str, seconds: dict[str, float], size: int, options: Any) -> None:
    """Print the model and the simulation, fed with the seconds of steps alone and of sums; and what two ranks really took."""
    work = max(0.0, 2 * (seconds[ALONE_NAME] - seconds[HALF]))
    numbers = {"work": work, "update": max(0.0, seconds[ALONE_NAME] - work), "size": float(size)}
    numbers |= {"bandwidth": size / seconds[SENT], "latency": LATENCY}
    given = ", ".join(f"{name} {numbers[name]:.4g}" for name in numbers)
    near = work / RANKS + numbers["update"] + seconds[SUM]
    print(f"\nBy {which}: {given}.")
    print(f"Two ranks on one machine: model {1e3 * near:.1f} ms a step, measured {1e3 * seconds[SHARED]:.1f}. Through sockets:\n")
    print("| ranks | model, ms a step | simulation, ms a step | speed | rows/s |\n|--:|--:|--:|--:|--:|")
    ranks, alone = 1, modelled(1, **numbers)
    while ranks <= options.simulate:
        step = simulated(ranks, **numbers, spread=0.1)
        model = modelled(ranks, **numbers)
        print(f"| {ranks} | {1e3 * model:.1f} | {1e3 * step:.1f} | {alone / step:.1f} | {options.batch / step:,.0f} |")
        ranks *= 2


if __name__ == "__main__":
    sys.exit(main())
