"""Ranks as threads of one process, and small problems to train on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch.distributed as dist

import manynets as mn
from manynets.distributed import Ranks
from manynets.plan import ensemble
from manynets.prepare import Split, TrainingData, prepare
from manynets.training.trial import Member, Outcome

__all__ = ["ROWS", "data_of", "members_of", "parameters", "together"]

Result = TypeVar("Result")
ROWS = 203


def together(size: int, work: Callable[[Ranks], Result], *, fails: bool = False) -> list[Result]:
    """Return what `work` returns in each of several ranks, by rank; with `fails` the errors that it raises."""
    store, out, errors = dist.HashStore(), [None] * size, [None] * size

    def run(rank: int) -> None:
        ranks = Ranks.of(store, rank=rank, size=size)
        try:
            out[rank] = work(ranks)
        except BaseException as error:
            errors[rank] = error
            ranks.leave(error)
        finally:
            ranks.close()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if fails:
        return errors
    for error in errors:
        if error is not None:
            raise error
    return out


def data_of(recipe: mn.Recipe, *, weights: bool = True, seed: int = 0) -> TrainingData:
    """Return a problem of two classes, some of whose rows weigh nothing and others twice or three times as much."""
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(ROWS, 6))
    y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)
    weight = draw.integers(0, 4, size=ROWS).astype(float) if weights else None
    return prepare(X, y, recipe, sample_weight=weight, validation=0.2)


def members_of(spec: Any, recipe: mn.Recipe, data: TrainingData, networks: int = 1) -> list[Member]:
    """Return networks that train on the same rows."""
    return ensemble(spec, recipe, data, networks, splits=[Split(data.rows, data.validation_rows)] * networks)


def parameters(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [outcome.parameters for outcome in outcomes]
