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
import math
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import manynets as mn
from manynets.cli import main
from manynets.search.candidates import Result
from tests.candidates import train_candidates

__all__ = ["CASES", "CLI", "TICK", "Own", "copied", "many", "network_of", "result_of", "settled"]

TICK = 100.0
FOLDER = Path(__file__).parent / "0.1.0"
Arguments: TypeAlias = dict[str, Any]

# ---------------------------------------------------------------------------------------------------------- the trainings


def data(seed: int, task: str, rows: int = 60) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return X (rows, 4) and a noisy target."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((rows, 4))
    signals = X[:, :1] * np.array([[1.0, -0.5, 0.3]]) + np.sin(2 * X[:, 1:2]) * np.array([[0.2, 1.0, -1.0]])
    signals += 0.4 * random.standard_normal((rows, 3))
    if task == "regression":
        return X, 5 + 3 * signals[:, 0]
    if task == "regression2":
        return X, signals[:, :2] * np.array([2.0, 0.1])
    if task == "binary":
        return X, (signals[:, 0] > 0).astype(np.int64)
    if task == "multiclass":
        return X, np.array(["a", "b", "ü"])[signals.argmax(1)]
    assert task == "multilabel"
    return X, (signals > 0).astype(np.int64)


class Own(nn.Module):
    """A module that draws from torch's generator in every step and has an integer buffer."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6), nn.Linear(6, outputs)
        self.drop = nn.Dropout(0.3)
        random = np.random.default_rng(5)
        with torch.no_grad():
            for layer in (self.first, self.last):
                layer.weight.copy_(torch.from_numpy(random.uniform(-0.5, 0.5, tuple(layer.weight.shape))))
            self.last.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(self.drop(torch.relu(self.norm(self.first(x)))))
        return out


def _training(folder: Path, xy: tuple[Any, Any], spec: Any, recipe: Mapping[str, Any], **more: Any) -> Arguments:
    return {
        "X": xy[0],
        "y": xy[1],
        "spec": spec,
        "recipe": mn.Recipe(device="cpu", **recipe),
        "checkpoint": mn.Checkpoint(folder=folder),
        "progress": False,
        **more,
    }


def adam(folder: Path) -> Arguments:
    """Evaluates every 8 steps in epochs of 6, so that the state holds a log from the previous epoch."""
    stopping = mn.EarlyStopping(patience=3, min_delta=0.002)
    recipe = {"optimizer": mn.Adam(lr=0.03), "epochs": 30, "batch_size": 8, "evaluate_every": 8, "stopping": stopping, "seed": 3}
    return _training(folder, data(1, "binary"), mn.MLP(hidden=(6,)), recipe, validation=0.25)


def folds(folder: Path) -> Arguments:
    """Four networks on folds of different sizes, with penalties, batch norm, dropout and row weights."""
    spec = mn.MLP(hidden=(5, 4), dropout=0.25, batch_norm=True, activation="tanh")
    optimizer = mn.SGD(lr=0.05, momentum=0.9, nesterov=True)
    recipe = {"optimizer": optimizer, "epochs": 5, "batch_size": 8, "l1": 1e-3, "l2": 1e-2, "seed": 11}
    weight = np.random.default_rng(2).uniform(0.2, 2.0, 62)
    xy = data(2, "regression", rows=62)
    return _training(folder, xy, spec, recipe, n_networks=4, validation="folds", sample_weight=weight)


def plateau(folder: Path) -> Arguments:
    """A separate weighted validation set; the learning rate drops both before and after the checkpoint."""
    schedule = mn.ReduceOnPlateau(factor=0.5, patience=0, min_delta=0.05)
    recipe = {"optimizer": mn.NAdam(lr=0.08), "schedule": schedule, "epochs": 9, "batch_size": 16, "keep": "last"}
    X, y = data(4, "regression")
    apart = (*data(5, "regression", rows=20), np.random.default_rng(5).uniform(0.5, 1.5, 20))
    return _training(folder, (X, y), mn.MLP(hidden=(5,), activation="gelu"), recipe, validation=apart)


def float64(folder: Path) -> Arguments:
    """Two targets, in float64 and by autograd, with clipped gradients."""
    recipe = {
        "optimizer": mn.RMSprop(lr=0.01, momentum=0.5),
        "schedule": mn.Exponential(gamma=0.9),
        "epochs": 4,
        "batch_size": 9,
        "clip_norm": 0.5,
        "dtype": "float64",
        "gradient": "autograd",
    }
    return _training(folder, data(6, "regression2"), mn.MLP(hidden=(5,)), recipe)


def module(folder: Path) -> Arguments:
    """A user's module with buffers and dropout from torch's generator."""
    recipe = {"optimizer": mn.Adam(lr=0.02), "epochs": 4, "batch_size": 10, "seed": 8}
    return _training(folder, data(7, "multiclass"), Own(3), recipe, validation=0.2)


def adamw(folder: Path) -> Arguments:
    """Three balanced classes, label smoothing, a schedule over all steps and input dropout."""
    spec = mn.MLP(hidden=(6,), activation="silu", dropout=0.1, input_dropout=0.1)
    recipe = {
        "optimizer": mn.AdamW(lr=0.03, weight_decay=0.1),
        "schedule": mn.OneCycle(),
        "epochs": 5,
        "batch_size": 7,
        "label_smoothing": 0.1,
        "seed": 2,
    }
    return _training(folder, data(8, "multiclass"), spec, recipe, class_weight="balanced", validation=np.arange(0, 60, 5))


def adagrad(folder: Path) -> Arguments:
    """A fixed number of steps over unshuffled rows; no biases."""
    schedule = mn.Cosine(warmup=0.2)
    recipe = {"optimizer": mn.Adagrad(lr=0.1), "schedule": schedule, "iterations": 23, "batch_size": 12, "shuffle": False}
    return _training(folder, data(9, "multilabel"), mn.MLP(hidden=(4,), bias=False), recipe)


def sgd(folder: Path) -> Arguments:
    """A linear model whose optimizer has no state."""
    recipe = {"optimizer": mn.SGD(lr=0.1), "schedule": mn.StepDecay(every=2, gamma=0.5), "epochs": 5, "batch_size": 16}
    return _training(folder, data(10, "multiclass"), mn.MLP(hidden=()), recipe)


def early(folder: Path) -> Arguments:
    """Eight networks that stop early at different times."""
    stopping = mn.EarlyStopping(patience=2, min_delta=0.01)
    recipe = {"optimizer": mn.Adam(lr=0.05), "epochs": 30, "batch_size": 10, "stopping": stopping, "seed": 36}
    return _training(folder, data(12, "regression", rows=64), mn.MLP(hidden=(4,)), recipe, n_networks=8, validation="folds")


def estimator(folder: Path) -> tuple[Any, Any, Any]:
    """Return an unfitted estimator, X and y: five networks that stop early and whose outcomes keep their progress."""
    model = mn.MLPRegressor(
        hidden_layer_sizes=(4,), n_networks=5, early_stopping=True, n_iter_no_change=2, tol=0.01, max_iter=40, alpha=0.01, batch_size=10,
        learning_rate_init=0.03, random_state=3, checkpoint=mn.Checkpoint(folder=folder, every_steps=1, keep=1),
    )  # fmt: skip
    X, y = data(13, "regression", rows=64)
    return model, X, (y - 5) / 3


def many(folder: Path) -> Arguments:
    """Return the arguments of `train_many`: one group finished, one in progress, one waiting; a candidate diverges, another fails."""
    common: dict[str, Any] = {"batch_size": 8, "device": "cpu"}
    stopping = mn.EarlyStopping(patience=2, min_delta=0.02)
    candidates = [(mn.MLP(hidden=(5,)), mn.Recipe(optimizer=mn.Adam(lr=lr), epochs=3, **common)) for lr in (0.01, 0.05)]
    candidates += [
        (
            mn.MLP(hidden=(4, 3), batch_norm=True),
            mn.Recipe(optimizer=mn.SGD(lr=lr, momentum=0.9), stopping=stopping, l2=1e-3, epochs=6, **common),
        )
        for lr in (0.05, 1e30)
    ]
    candidates.append((mn.MLP(hidden=(3,)), mn.Recipe(optimizer=mn.NAdam(), gradient="autograd", epochs=2, **common)))
    candidates.append((mn.MLP(hidden=(4,)), mn.Recipe(epochs=1, batch_size=500, device="cpu")))
    X, y = data(14, "regression")
    return {
        "X": X,
        "y": y,
        "candidates": candidates,
        "cv": 2,
        "validation": 0.2,
        "max_networks": 4,
        "memory_limit": 1 << 30,
        "checkpoint": mn.Checkpoint(folder=folder, every_steps=1),
        "progress": False,
    }


def _at(step: int) -> Callable[[Any], bool]:
    return lambda state: state.step == step


def _ended(networks: int, *, places: int) -> Callable[[Any], bool]:
    """Return a test for a state in mid-epoch in which this many networks have ended and this many have a place."""

    def asked(state: Any) -> bool:
        values = state.values
        return len(values["outcomes"]) == networks and len(values["places"]) == places and values["step"] > values["chunk_start"]

    return asked


CASES: dict[str, tuple[Callable[[Path], Arguments], Callable[[Any], bool]]] = {
    "adam": (adam, _at(62)),
    "folds": (folds, _at(15)),
    "plateau": (plateau, _at(20)),
    "float64": (float64, _at(12)),
    "module": (module, _at(8)),
    "adamw": (adamw, _at(17)),
    "adagrad": (adagrad, _at(12)),
    "sgd": (sgd, _at(10)),
    "ended": (early, _ended(1, places=8)),
    "freed": (early, lambda state: len(state.values["places"]) < 5 and state.values["step"] > state.values["chunk_start"]),
    "finished": (early, lambda state: not state.values["places"]),
}
"""The arguments of each training, and a test for the state to keep."""

_HOUSES = ("houses.csv", "--target", "price", "--drop", "id", "--hidden", "5", "--batch-size", "8", "--device", "cpu")
_MOONS = ("moons", "--points", "60", "--hidden", "5", "--epochs", "4", "--batch-size", "8", "--device", "cpu")
CLI: dict[str, tuple[str, ...]] = {
    "run": ("train", *_HOUSES, "--epochs", "3", "--networks", "2", "--lr", "0.1"),
    "stopped": (
        *("train", *_HOUSES, "--epochs", "6", "--networks", "2", "--lr", "0.1"),
        *("--dropout", "0.1", "--checkpoint-every", "7 steps"),
    ),
    "sweep": ("sweep", *_MOONS, "--grid", "lr=0.01,0.1", "--grid", "dropout=0,0.2"),
    "sweep-stopped": (
        *("sweep", *_HOUSES, "--epochs", "9", "--grid", "lr=0.003:0.3:log:3", "--grid", "dropout=0,0.2"),
        *("--folds", "2", "--halving", "--checkpoint-every", "5 steps"),
    ),
    "sweep-best": ("sweep", *_MOONS, "--grid", "lr=0.02,0.2", "--seeds", "2", "--checkpoint-every", "5 steps"),
}
"""The commands that wrote VERSION/cli/NAME, without -q and --out."""


# ------------------------------------------------------------------------------------------------------------ the results


def network_of(model: mn.Model) -> dict[str, Any]:
    """Return the result of a training as JSON."""
    return {
        "stopped": model.info["stopped"],
        "best": model.info["best"],
        "history": {name: list(map(float, column)) for name, column in model.history.items()},
        "members": [{name: _numbers(value) for name, value in member.items()} for member in model.members],
    }


def result_of(result: Result) -> dict[str, Any]:
    """Return a result of `train_many` as JSON, with null for numbers that are not finite."""
    at = result.divergence
    parameters = result.parameters or {}
    return {
        "place": [result.candidate, result.fold],
        "stopped": result.stopped,
        "best": result.best,
        "loss": _finite(result.loss),
        "score": _finite(result.score),
        "seconds": result.seconds,
        "divergence": None if at is None else [at.epoch, at.step],
        "error": None if result.error is None else type(result.error).__name__,
        "history": {name: [_finite(value) for value in column] for name, column in result.history.items()},
        "parameters": {name: _numbers(value) for name, value in parameters.items()},
    }


def _numbers(value: NDArray[Any]) -> Any:
    """Return an array as nested lists of the shortest decimals that identify its values."""
    if value.ndim:
        return [_numbers(part) for part in value]
    return int(value) if value.dtype.kind in "iu" else float(str(value))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# -------------------------------------------------------------------------------------------------------- copies of a run


def settled(folder: Path) -> None:
    """Put the absolute path of houses.csv, which lies beside the folder, back into its JSON files."""
    for file in folder.rglob("*.json"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(': "houses.csv"', f": {json.dumps(str(folder.parent / 'houses.csv'))}"), encoding="utf-8")


def copied(name: str, place: Path) -> Path:
    """Copy a folder of VERSION/cli into `place`, with houses.csv beside it, and return its path."""
    shutil.copy(FOLDER / "cli" / "houses.csv", place)
    shutil.copytree(FOLDER / "cli" / name, place / name)
    settled(place / name)
    return place / name


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
    states = {"stopped": _at(7), "sweep-stopped": _at(20), "sweep-best": lambda state: Path("sweep-best/best.part").exists()}
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
    from tests.golden.make_runs import make as make_by_name  # so that the module of a user's network is not called __main__

    make_by_name(Path(__file__).parent / mn.__version__)
