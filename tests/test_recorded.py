"""What checkpoints recorded of the training that wrote them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets import recorded
from manynets.recorded import Recorded
from manynets.tasks import find_task
from manynets.training.checkpoint import recorded_identities

X = np.random.default_rng(0).normal(size=(40, 2))
Y = X[:, 0]
GIVEN: dict[str, Any] = {"spec": mn.MLP(hidden=(4,)), "recipe": mn.Recipe(epochs=2, device="cpu"), "progress": False}


def test_checkpoints_are_read_once_before_a_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mn.train(X, Y, checkpoint=mn.Checkpoint(folder=tmp_path), validation=0.2, **GIVEN)
    read: list[str | os.PathLike[str]] = []

    def identities(source: str | os.PathLike[str]) -> list[Mapping[str, Any]]:
        read.append(source)
        return recorded_identities(source)

    monkeypatch.setattr(recorded, "recorded_identities", identities)
    mn.train(X, Y, resume=tmp_path, validation=0.2, **GIVEN)
    assert read == [tmp_path]


def test_what_is_recorded(tmp_path: Path) -> None:
    model = mn.train(X, Y, checkpoint=mn.Checkpoint(folder=tmp_path), scaling=False, **GIVEN)
    found, none = Recorded(tmp_path), Recorded(None)
    assert found.has_array(X)
    assert not found.has_array(-X)
    assert not none.has_array(X)
    assert found.has_task(model.task)
    assert not found.has_task(find_task(-Y + 1))
    assert not none.has_task(model.task)
    assert found.has_rows(None)
    assert not found.has_rows(np.arange(39))
    assert not none.has_rows(None)
