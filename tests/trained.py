"""Small data and networks for the tests of `train` and of the models that it returns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import nn

import manynets as mn
from manynets.prepare import prepare
from manynets.results import model_of
from manynets.training.groups import train_members
from tests.training.problems import member_of

N, D = 90, 4
SPEC = mn.MLP(hidden=(8, 6), dropout=0.2)
RECIPE = mn.Recipe(optimizer=mn.Adam(lr=0.01), epochs=4, batch_size=16, device="cpu")


def data(task: str = "multiclass") -> tuple[np.ndarray, Any]:
    random = np.random.default_rng(5)
    x = random.normal(size=(N, D)).astype(np.float32)
    signal = x[:, :3] + 0.2 * random.normal(size=(N, 3))
    if task == "regression":
        return x, 100 + 20 * signal[:, 0]
    if task == "multilabel":
        return x, (signal > 0).astype(int)
    return x, np.array(["red", "green", "blue"])[signal.argmax(1)] if task == "multiclass" else signal[:, 0] > 0


def fit(spec: Any = SPEC, recipe: mn.Recipe = RECIPE, task: str = "multiclass", **options: Any) -> mn.Model:
    return mn.train(*data(task), spec, recipe, scaling=False, progress=False, **options)


class Own(nn.Module):
    """A module of a user, with dropout and batch norm."""

    def __init__(self, outputs: int = 3, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stack = nn.Sequential(
                nn.Linear(D, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, outputs)
            )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stack(x)


def several(task: str, networks: int = 3, spec: mn.MLP = SPEC) -> mn.Model:
    prepared = prepare(*data(task), RECIPE)
    members = [member_of(prepared.problem, k, spec, dataclasses.replace(RECIPE, seed=k)) for k in range(networks)]
    return model_of(spec, RECIPE, prepared, train_members(prepared.problem, members))
