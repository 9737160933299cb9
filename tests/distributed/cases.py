"""Ranks as threads of one process, and small problems to train on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest
import torch.distributed as dist

import manynets as mn
from manynets.cli import main
from manynets.distributed import Ranks
from manynets.plan import ensemble
from manynets.prepare import Split, TrainingData, prepare
from manynets.training.trial import Member, Outcome

__all__ = ["ROWS", "data_of", "in_two_processes", "members_of", "parameters", "together"]

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


def in_two_processes(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command in this process as rank 0, with --json, and in another as rank 1, which must print nothing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "manynets", *options]
    with subprocess.Popen(command, env={**os.environ, **shared, "RANK": "1"}, stdout=subprocess.PIPE) as other:
        with monkeypatch.context() as patch:
            for name, value in {**shared, "RANK": "0"}.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit, match="0"):
                main([*options, "--json"])
        assert other.communicate(timeout=60)[0] == b""
    assert other.returncode == 0


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
