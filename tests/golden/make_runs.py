"""Write the golden checkpoints, runs and sweeps of the current version: python -m tests.golden.make_runs.
Do not run this again for a version that has been released.

    VERSION/checkpoints/CASE/    a checkpoint of each training in `CASES`, stopped half way; and one of an estimator
    VERSION/many/                the parts that `train_many` left behind when it was stopped
    VERSION/cli/                 houses.csv, and what `manynets train` and `manynets sweep` wrote: finished and interrupted
    VERSION/expected-runs.json   the results when that same version resumes from each of them

While the files are made, the clock of the training advances by TICK seconds at each reading. A result with many seconds was
therefore resumed, and one with few was trained from scratch. Pictures are left out, and the absolute path of houses.csv is replaced
by its bare name; `settled` puts the path back.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import manynets as mn
from manynets.cli import main
from manynets.search.candidates import Result
from tests.candidates import train_candidates
from tests.golden.runs import CASES, CLI, TICK, at_step, estimator, many, network_of, result_of

__all__ = ["make"]

# -------------------------------------------------------------------------------------------------------- how it is made


class _Enough(BaseException):
    """Stands for SIGKILL: nothing handles it."""


@contextlib.contextmanager
def _stopping(wanted: Callable[[Any], bool], stop: Callable[[], None]) -> Iterator[None]:
    """Within this context, call `stop` once a checkpoint of a wanted state has been written."""
    from manynets.training import checkpoint as module

    write, stopped = module.write_checkpoint, []

    def watched(path: Any, state: Any, **more: Any) -> None:
        write(path, state, **more)
        if not stopped and wanted(state):
            stopped.append(path)
            stop()

    module.write_checkpoint = watched
    try:
        yield
    finally:
        module.write_checkpoint = write
    assert stopped, "there was no such state"


def _kill() -> None:
    raise _Enough


def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def _jumping() -> Iterator[None]:
    """Within this context, each reading of the clock advances it by TICK."""
    clock, ticks = time.perf_counter, itertools.count()
    time.perf_counter = lambda: TICK * next(ticks)
    try:
        yield
    finally:
        time.perf_counter = clock


def _keep_newest(folder: Path) -> Any:
    """Remove all but the newest checkpoint and return its state."""
    from manynets.training.checkpoint import checkpoint_files, read_checkpoint

    newest, *others = checkpoint_files(folder)
    for file in others:
        file.unlink()
    return read_checkpoint(newest)[0]


def _checkpoints(root: Path) -> dict[str, Any]:
    """Write a checkpoint of each case and return the expected results."""
    expected = {}
    for name, (call, wanted) in CASES.items():
        folder = root / name
        every = mn.Checkpoint(folder=folder, every_steps=1, keep=1)
        with _jumping():
            with _stopping(wanted, _kill), contextlib.suppress(_Enough):
                mn.train(**{**call(folder), "checkpoint": every})
            state = _keep_newest(folder)
            with tempfile.TemporaryDirectory() as copy:
                shutil.copytree(folder, copy, dirs_exist_ok=True)
                resumed = network_of(mn.train(**call(Path(copy)), resume=copy))
            plain = network_of(mn.train(**{**call(folder), "checkpoint": None}))
        for one in (resumed, plain):
            one["history"].pop("seconds")
        assert resumed == plain, name
        expected[name] = {"step": state.step, "seconds": state.values["seconds"], **resumed}
    return expected


def _estimator(folder: Path) -> dict[str, Any]:
    """Write a checkpoint of the estimator and return the expected results."""

    def some(state: Any) -> bool:
        return 0 < len(state.values["places"]) < 5 and state.values["step"] > state.values["chunk_start"]

    model, X, y = estimator(folder)
    with _jumping():
        with _stopping(some, _kill), contextlib.suppress(_Enough):
            model.fit(X, y)
        state = _keep_newest(folder)
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            fitted = estimator(Path(copy))[0].fit(X, y)
    return {
        "step": state.step,
        "seconds": state.values["seconds"],
        "n_iter": fitted.n_iter_,
        "loss_curve": list(map(float, fitted.loss_curve_)),
        "predictions": fitted.predict(X).tolist(),
        **network_of(fitted.model_),
    }


def _many(folder: Path) -> dict[str, Any]:
    """Write the parts of `train_many`; return which results were known when it was stopped, and all results."""

    def wanted(state: Any) -> bool:
        values = state.values
        return any(one["stopped"] == "diverged" for one in values["outcomes"]) and values["step"] == 11

    told: list[Result] = []
    with _jumping():
        with _stopping(wanted, _kill), contextlib.suppress(_Enough):
            train_candidates(**many(folder), on_results=told.extend)
        known = {(one.candidate, one.fold): one for one in told}
        [part] = folder.iterdir()
        state = _keep_newest(part)
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            results = train_candidates(**many(Path(copy)), resume=copy, finished=known)
    assert {one.stopped for one in told} >= {"done", "failed"}
    under_way = [[*divmod(int(number), 2)] for number in state.identity["networks"]]
    return {
        "step": state.step,
        "seconds": state.values["seconds"],
        "under way": under_way,
        "known": [list(place) for place in known],
        "results": [result_of(one) for one in results],
    }


def _call(*words: str) -> str:
    """Run a command and return its standard output."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main(list(words))
    return out.getvalue()


def _houses() -> str:
    random = np.random.default_rng(15)
    lines = ["id,size,colour,built,garden,price"]
    for i in range(60):
        size, garden = random.integers(40, 200), random.integers(0, 2)
        colour = ("red", "blue", "green")[random.integers(3)]
        price = 2.5 * size + 40 * garden + 30 * (colour == "red") + random.normal(0, 10)
        built = f"{random.integers(1950, 2020)}-0{random.integers(1, 10)}-1{random.integers(10)}"
        lines.append(f"{1000 + i},{'' if i % 13 == 5 else size},{colour},{built},{('no', 'yes')[garden]},{price:.1f}")
    return "\n".join(lines) + "\n"


def _cli(root: Path) -> dict[str, Any]:
    """Write the folders of the command line and return the expected results."""
    expected: dict[str, Any] = {}
    states = {
        "stopped": at_step(7),
        "sweep-stopped": at_step(20),
        "sweep-best": lambda state: Path("sweep-best/best.part").exists(),
    }
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as again, _patched_memory():
        for place in (made, again):
            Path(place, "houses.csv").write_text(_houses(), encoding="utf-8")
        try:
            os.chdir(made)
            with _jumping():
                for name, words in CLI.items():
                    with _stopping(states[name], _interrupt) if name in states else contextlib.nullcontext():
                        _call(*words, "-q", "--out", name)
            for name in ("run", "stopped.part", "sweep", "sweep-stopped", "sweep-best"):
                shutil.copytree(name, Path(again, name))
                shutil.copytree(name, root / name, ignore=shutil.ignore_patterns("*.png"))
            shutil.copy("houses.csv", root)
            for file in root.rglob("*.json"):
                text = file.read_text(encoding="utf-8")
                file.write_text(text.replace(json.dumps(os.path.abspath("houses.csv")), '"houses.csv"'), encoding="utf-8")
            os.chdir(again)
            for file in Path().rglob("*.json"):
                file.write_text(file.read_text(encoding="utf-8").replace(made, again), encoding="utf-8")
            expected["run"] = {
                **network_of(mn.load("run/model.safetensors")),
                "evaluate": json.loads(_call("evaluate", "run", "--json", "-q")),
                "predictions": [
                    row["prediction"] for row in csv.DictReader(io.StringIO(_call("predict", "run", "houses.csv", "-q")))
                ],
            }
            with _jumping():
                _call("train", "--resume", "stopped", "-q")
                for name in ("sweep-stopped", "sweep-best"):
                    _call(*CLI[name], "-q", "--out", name, "--resume")
            metrics = json.loads(Path("stopped/metrics.json").read_text(encoding="utf-8"))
            expected["stopped"] = {**network_of(mn.load("stopped/model.safetensors")), "metrics": metrics}
            for name in ("sweep", "sweep-stopped", "sweep-best"):
                with Path(name, "results.csv").open(encoding="utf-8", newline="") as file:
                    rows = list(csv.DictReader(file))
                expected[name] = {**network_of(mn.load(Path(name, "best", "model.safetensors"))), "results": rows}
        finally:
            os.chdir(before)
    return expected


@contextlib.contextmanager
def _patched_memory() -> Iterator[None]:
    """Within this context, a sweep sees the same amount of memory on every machine."""
    from manynets.cli import sweeping

    before = sweeping.memory_at_hand
    sweeping.memory_at_hand = lambda device: 1 << 30
    try:
        yield
    finally:
        sweeping.memory_at_hand = before


def _lines(value: Any, depth: int) -> str:
    """Return JSON with one line per entry down to a depth."""
    if not depth or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    entries = [f"{json.dumps(name, ensure_ascii=False)}: {_lines(item, depth - 1)}" for name, item in value.items()]
    return "{\n" + ",\n".join(entries) + "\n}"


def make(folder: Path) -> None:
    """Write all golden files to the folder of the version."""
    torch.set_num_threads(1)
    for name in ("checkpoints", "many", "cli"):
        (folder / name).mkdir(parents=True)
    expected = {"checkpoints": _checkpoints(folder / "checkpoints"), "many": _many(folder / "many"), "cli": _cli(folder / "cli")}
    expected["estimator"] = _estimator(folder / "checkpoints" / "estimator")
    (folder / "expected-runs.json").write_text(_lines(expected, 3) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make(Path(__file__).parent / mn.__version__)
