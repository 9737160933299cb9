"""Exports of the default model of real tables, and of networks on digits and on every toy."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import manynets as mn
from manynets.datasets import NAMES, load
from manynets.export import to_onnx, to_python
from manynets.model import Model
from manynets.tables import read_table, split_target, understand
from tests.tables.test_real_tables import TABLES

pytest.importorskip("onnxruntime", reason="needs the extra onnx")

NUMBERS = ("california_housing", "diamonds", "ames_housing", "bike_sharing_hour", "wine_red", "wine_white", "abalone", "elevators")
ROWS = 3000


def check(model: Model, X: Any, folder: Path) -> None:
    for write, name in ((to_onnx, "m.onnx"), (to_python, "m.py")):
        found = write(model, folder / name, X=X)
        assert found.rows >= min(len(X), 1000)
        assert found.largest < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_the_default_on_real_tables(data_dir: Path, name: str, tmp_path: Path) -> None:
    file, target, *_ = TABLES[name]
    frame = read_table(data_dir / f"{file}.csv.gz")
    frame = frame[np.random.default_rng(0).permutation(len(frame))[:ROWS]]
    features, y, _ = split_target(frame, target)
    texts = [column.name for column in understand(features, y=y) if column.kind == "text"]
    X = features.drop(texts)
    estimator = (mn.TabularRegressor if name in NUMBERS else mn.TabularClassifier)(preset="fast", n_networks=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns that are left out
        check(estimator.fit(X, y).model_, X, tmp_path)


@pytest.mark.parametrize("name", [name for name in NAMES if "mnist" not in name])
def test_digits_and_toys(name: str, tmp_path: Path) -> None:
    data = load(name, seed=0)
    model = mn.train(data.X, data.y, mn.MLP(hidden=(12, 6)), mn.Recipe(epochs=2), progress=False)
    check(model, data.X, tmp_path)
