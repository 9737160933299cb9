"""Runs a case: one process for each system, all alive, asked in turn round after round; medians and ratios by round."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from bench import data
from bench.cases import Case
from bench.systems import SYSTEMS, missing

__all__ = ["Row", "run_case"]

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 600  # seconds until a process counts as hung
PAUSE = 0.02  # seconds between two runs, in which idle threads of the last stop spinning


@dataclasses.dataclass(kw_only=True)
class Row:
    """What is known of one system in one case; `times` are microseconds a step by round.

    to_ours, to_floor: medians over rounds of this system's time by that one's in the same round.
    """

    system: str
    threads: int = 0
    times: list[float] = dataclasses.field(default_factory=list)
    median: float | None = None
    to_ours: float | None = None
    to_floor: float | None = None
    loss: float | None = None
    agree: float | None = None
    off: bool = False
    peak_mib: float | None = None
    notes: dict[str, float] = dataclasses.field(default_factory=dict)
    problem: str = ""


class ChildError(Exception):
    """A system failed; the message is its own."""


class _Child:
    """A process that runs one system."""

    def __init__(self, system: str, folder: Path, threads: int) -> None:
        self.system, self.threads = system, threads
        count = str(threads)
        env = os.environ | {
            "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count,
            "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "",
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.child", system, str(folder), count],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=env,
            cwd=ROOT,
        )

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._stdout.close()

    @property
    def _stdin(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def _stdout(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def receive(self) -> dict[str, Any]:
        """Return the next answer; raise ChildError for a failure."""
        if not select.select([self._stdout], [], [], PATIENCE)[0]:
            self.process.kill()
            raise ChildError(f"no answer within {PATIENCE} s")
        line = self._stdout.readline()
        if not line:
            raise ChildError(f"the process ended with code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer

    def run(self, repeat: int) -> dict[str, Any]:
        """Make one timed run."""
        time.sleep(PAUSE)
        return self._ask({"repeat": repeat})

    def result(self) -> dict[str, Any]:
        """Return loss or share of right answers, and peak memory."""
        return self._ask({"result": True})

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._stdin.write(json.dumps(request) + "\n")
            self._stdin.flush()
        except BrokenPipeError:
            pass  # `receive` says how it ended
        return self.receive()


def run_case(
    case: Case,
    systems: Sequence[str],
    *,
    rounds: int,
    threads: Sequence[int],
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Return the case as JSON types, with a row for each system that has a way to run it.

    threads: the thread counts that are tried in the warm-up; each system keeps the faster. tell: is given lines of progress.
    """
    rows = {name: Row(system=name) for name in systems if SYSTEMS[name].can(case)}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        (folder / "case.json").write_text(json.dumps(case.to_json()))
        source = data.write(case, folder)
        children: dict[str, _Child] = {}
        for name, row in rows.items():
            absent = missing(name)
            if absent:
                row.problem = f"not installed: pip install {' '.join(absent)}, or make bench for all"
                continue
            tell(f"{case.name}: {SYSTEMS[name].label} warms up")
            try:
                children[name] = stack.enter_context(_fastest(name, folder, case, threads))
                row.threads = children[name].threads
            except ChildError as error:
                row.problem = f"failed: {error}"
        for number in range(rounds):
            tell(f"{case.name}: round {number + 1} of {rounds}")
            first = number % max(1, len(children))
            for name in [*children][first:] + [*children][:first]:
                answer = children[name].run(case.repeat)
                rows[name].times.append(answer["seconds"] / case.steps * 1e6)
                rows[name].notes = answer["notes"]
        for name, child in children.items():
            answer = child.result()
            rows[name].loss, rows[name].agree = answer.get("loss"), answer.get("agree")
            rows[name].peak_mib = answer["peak_mib"]
    _compare(case, rows)
    about = {"source": source, "rounds": rounds, "steps": case.steps}
    return case.to_json() | about | {"rows": [dataclasses.asdict(row) for row in rows.values()]}


def _fastest(name: str, folder: Path, case: Case, threads: Sequence[int]) -> _Child:
    """Return a warm process of the system with the thread count that is faster."""
    best: _Child | None = None
    shortest = float("inf")
    repeat = max(1, case.repeat // 10)
    for count in threads:
        child = _Child(name, folder, count)
        try:
            child.receive()
            child.run(repeat)  # compiles, fills caches
            seconds = min(child.run(repeat)["seconds"] for _ in range(2)) if len(threads) > 1 else 0.0
        except BaseException:
            child.close()
            if best is not None:
                best.close()
            raise
        loser = child if seconds >= shortest else best
        if seconds < shortest:
            best, shortest = child, seconds
        if loser is not None:
            loser.close()
    assert best is not None
    return best


def _compare(case: Case, rows: Mapping[str, Row]) -> None:
    """Fill in medians, ratios, and whose loss or answers are off."""
    for row in rows.values():
        if row.times:
            row.median = statistics.median(row.times)
            row.to_ours, row.to_floor = (_ratio(row, rows.get(other)) for other in ("ours", "floor"))
    losses = [row.loss for row in rows.values() if row.loss is not None]
    middle = statistics.median(losses) if losses else 0.0
    for row in rows.values():
        wrong_loss = row.loss is not None and not abs(row.loss - middle) <= case.loss_within * middle
        row.off = wrong_loss or (row.agree is not None and row.agree < 0.995)


def _ratio(row: Row, other: Row | None) -> float | None:
    if other is None or not other.times:
        return None
    return statistics.median(mine / theirs for mine, theirs in zip(row.times, other.times, strict=True))
