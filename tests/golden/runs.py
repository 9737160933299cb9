"""The trainings, sweeps and commands whose golden files `make_runs` writes, and their results as JSON."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import manynets as mn
from manynets.search.candidates import Result

__all__ = [
    "CASES",
    "CLI",
    "FOLDER",
    "TICK",
    "Arguments",
    "Own",
    "at_step",
    "copied",
    "data",
    "estimator",
    "many",
    "network_of",
    "result_of",
    "settled",
]

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


Own.__module__ = "tests.golden.make_runs"  # the name in the checkpoints of version 0.1


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


def at_step(step: int) -> Callable[[Any], bool]:
    """Return a test for the state after this step."""
    return lambda state: state.step == step


def _ended(networks: int, *, places: int) -> Callable[[Any], bool]:
    """Return a test for a state in mid-epoch in which this many networks have ended and this many have a place."""

    def asked(state: Any) -> bool:
        values = state.values
        return len(values["outcomes"]) == networks and len(values["places"]) == places and values["step"] > values["chunk_start"]

    return asked


CASES: dict[str, tuple[Callable[[Path], Arguments], Callable[[Any], bool]]] = {
    "adam": (adam, at_step(62)),
    "folds": (folds, at_step(15)),
    "plateau": (plateau, at_step(20)),
    "float64": (float64, at_step(12)),
    "module": (module, at_step(8)),
    "adamw": (adamw, at_step(17)),
    "adagrad": (adagrad, at_step(12)),
    "sgd": (sgd, at_step(10)),
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
