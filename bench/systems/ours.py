"""manynets through its public functions."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import manynets as mn
from bench.cases import Case
from bench.data import LOSS_ROWS, Arrays, Layers
from bench.systems import Session
from manynets.prepare import prepare as prepare_problem
from manynets.training.events import Event, Finished, Started
from manynets.training.groups import train_members
from manynets.training.trial import Member, Outcome


def _names(case: Case) -> list[str]:
    return [f"hidden{i}" for i in range(len(case.layers) - 2)] + ["output"]


def _start(case: Case, arrays: Arrays) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    for name, (weight, bias) in zip(_names(case), arrays.initial, strict=True):
        out |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return out


def _layers(case: Case, weights: Mapping[str, NDArray[Any]]) -> Layers:
    return [(weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in _names(case)]


def _optimizer(case: Case) -> mn.Adam | mn.SGD:
    return mn.Adam(lr=case.lr) if case.optimizer == "adam" else mn.SGD(lr=case.lr)


def prepare(case: Case, arrays: Arrays) -> Session:
    spec, start = mn.MLP(hidden=case.layers[1:-1], dropout=case.dropout), _start(case, arrays)
    if case.kind == "predict":
        return _predict(case, arrays, spec, start)
    if case.networks > 1:
        return _many(case, arrays, spec, start)
    notes: dict[str, float] = {}
    trained: list[mn.Model] = []

    def run(repeat: int) -> float:
        seen: dict[type, float] = {}

        def watch(event: Event) -> None:
            if isinstance(event, Started | Finished):
                seen[type(event)] = time.perf_counter()

        watch.may_skip = True  # type: ignore[attr-defined]
        recipe = mn.Recipe(optimizer=_optimizer(case), epochs=repeat, batch_size=case.batch)
        began = time.perf_counter()
        model = mn.train(
            arrays.x, arrays.y, spec, recipe, task=case.task, initial=start, scaling=False, progress=False, callbacks=[watch]
        )
        seconds = time.perf_counter() - began
        notes["setup"] = 1 - (seen[Finished] - seen[Started]) / seconds
        trained[:] = [model]
        return seconds

    return Session(run, layers=lambda: _layers(case, trained[0].members[0]), notes=notes)


def _many(case: Case, arrays: Arrays, spec: mn.MLP, start: Mapping[str, NDArray[Any]]) -> Session:
    trained: list[Outcome] = []

    def run(repeat: int) -> float:
        began = time.perf_counter()
        recipe = mn.Recipe(optimizer=_optimizer(case), epochs=repeat, batch_size=case.batch)
        problem = prepare_problem(arrays.x, arrays.y, recipe, task=case.task).problem
        members = [Member(k, spec, dataclasses.replace(recipe, seed=k), start) for k in range(case.networks)]
        trained[:] = train_members(problem, members)
        return time.perf_counter() - began

    return Session(run, layers=lambda: _layers(case, trained[0].parameters))


def _predict(case: Case, arrays: Arrays, spec: mn.MLP, start: Mapping[str, NDArray[Any]]) -> Session:
    # One step at lr 0 makes a fitted model that has the initial weights.
    rows = np.unique(arrays.y, return_index=True)[1] if case.rows > 1 else np.array([0])
    recipe = mn.Recipe(optimizer=mn.SGD(lr=0.0), iterations=1, batch_size=len(rows))
    task = mn.Binary((0, 1)) if case.task == "binary" else mn.Multiclass(tuple(range(case.outputs)))
    model = mn.train(arrays.x[rows], arrays.y[rows], spec, recipe, task=task, initial=start, scaling=False, progress=False)

    def run(repeat: int) -> float:
        x = arrays.x
        began = time.perf_counter()
        for _ in range(repeat):
            model.predict(x)
        return time.perf_counter() - began

    return Session(run, answers=lambda: model.predict(arrays.x[:LOSS_ROWS]))
