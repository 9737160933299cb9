"""Time and memory of K networks that are trained together, as K grows."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from bench.cases import Case
from bench.machine import cores
from bench.runner import run_case

__all__ = ["SIZES", "cost_over_k", "thread_counts", "turning_point"]

SIZES = (1, 2, 4, 16, 64, 256, 1024, 4096)
LINEAR = 0.8  # slope of log(time) over log(K) from which the cost counts as linear


def cost_over_k(
    case: Case,
    *,
    sizes: Sequence[int] = SIZES,
    rounds: int,
    threads: Sequence[int],
    tell: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Return for each K the microseconds of a step of all K, of one network, the peak memory, and the ratio to the floor.

    All use as many threads, the most of those given. Fewer networks train longer, for as many steps in all as those of the case: so
    the set-up of a run, some milliseconds, has the same weight.
    """
    out = []
    for size in sizes:
        repeat = case.repeat * max(1, case.networks // size)
        sized = dataclasses.replace(case, name=f"many-{size}", networks=size, repeat=repeat)
        rows = run_case(sized, ["ours", "floor"], rounds=rounds, threads=(max(threads),), tell=tell)["rows"]
        ours = rows[0]
        if ours["problem"]:
            raise RuntimeError(f"{sized.name}: {ours['problem']}")
        each = ours["median"] / size
        out.append(
            {"networks": size, "step": ours["median"], "each": each, "peak_mib": ours["peak_mib"], "to_floor": ours["to_floor"]}
        )
    return out


def turning_point(cost: Sequence[dict[str, Any]]) -> int | None:
    """Return the smallest K from which on the cost grows as K does (slope of the logarithms at least 0.8), None if it never does.

    >>> turning_point([{"networks": 1, "step": 1.0}, {"networks": 4, "step": 1.1}, {"networks": 16, "step": 4.2}])
    4
    """
    found = None
    for before, after in itertools.pairwise(cost):
        slope = math.log(after["step"] / before["step"]) / math.log(after["networks"] / before["networks"])
        found = None if slope < LINEAR else (found or before["networks"])
    return found


def thread_counts() -> tuple[int, ...]:
    """Return the thread counts worth trying here."""
    return (1, 2) if cores() > 1 else (1,)
