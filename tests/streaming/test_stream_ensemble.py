"""The default ensemble on a stream: its threshold, its range, and how many rows it validates on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from manynets.streaming import Columns, open_ensemble, train_stream_ensemble
from manynets.streaming.opening import VALIDATION
from manynets.tables.rowgroups import BlockFiles
from manynets.tabular.calibration import TEMPERATURE_OF_MEAN
from manynets.tasks.thresholds import best_threshold
from tests.tolerances import assert_close

ROWS = 4000
CHANGES: dict[str, Any] = {"hidden": (8,), "iterations": 40}


@pytest.fixture(scope="module")
def frame() -> polars.DataFrame:
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 3))
    rare = random.random(ROWS) < 1 / (1 + np.exp(2 - 2 * x[:, 0]))
    return polars.DataFrame(
        {f"x{j}": x[:, j] for j in range(3)} | {"rare": np.where(rare, "yes", "no"), "y": x[:, 1] + 3 * rare, "same": 7.5}
    )


@pytest.fixture(scope="module")
def path(frame: polars.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stream") / "rows.parquet"
    frame.write_parquet(out, row_group_size=100)
    return out


def fitted(path: Path, target: str, limit: str = "3MB", **options: Any) -> tuple[Any, Any]:
    """Return the stream, which is closed, and the model."""
    drop = tuple(name for name in ("rare", "y", "same") if name != target)
    stream = open_ensemble(BlockFiles(path), Columns(target=target, drop=drop), memory_limit=limit, changes=CHANGES, **options)
    return stream, train_stream_ensemble(stream, n_networks=2, changes=CHANGES, **options)


def test_the_threshold_is_the_best_of_the_mean_on_the_validation_rows(path: Path) -> None:
    stream, model = fitted(path, "rare", metric="f1")
    temperature = model.info["temperature"]
    assert not 0.8 < temperature < 1.25  # else the scores as they are would do
    held = stream.validation
    share = model.task.proba(model.mean_logits(model.logits(held.x) * TEMPERATURE_OF_MEAN))[:, 1]
    assert_close(np.array(model.task.threshold), np.array(best_threshold(share, held.y == "yes", held.weight)), "float32")


def test_predictions_stay_within_the_range_of_the_training_rows(frame: polars.DataFrame, path: Path) -> None:
    stream, model = fitted(path, "y")
    held_out = np.sort(stream.validation.y)
    trained = np.setdiff1d(frame["y"].to_numpy(), held_out)
    (limits,) = model.task.limits
    assert_close(np.array(limits), model.task.encode(trained[[0, -1]])[:, 0], "float64")


@pytest.mark.parametrize("limit", ["3MB", "100MB"])
def test_a_tenth_of_the_rows_validates_where_there_is_room(path: Path, limit: str) -> None:
    stream, _ = fitted(path, "y", limit)
    assert len(stream.validation.y) == pytest.approx(VALIDATION * ROWS, rel=0.2)


def test_a_target_that_is_constant_has_a_scale_of_one(path: Path) -> None:
    stream, model = fitted(path, "same")
    assert stream.data.problem.task.scale == (1.0,)
    assert (model.predict(stream.validation.x) == 7.5).all()
