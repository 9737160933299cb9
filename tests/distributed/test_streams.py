"""Several ranks train on a stream, of which each reads its own rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

import manynets as mn
from manynets.data.stream.limit import Budget
from manynets.distributed import Ranks
from manynets.errors import OptionError
from manynets.plan import ensemble
from manynets.streaming import Columns, open_stream
from manynets.tables.rowgroups import BlockFiles
from manynets.training.checkpoint import Checkpoint, Checkpoints
from manynets.training.groups import train_members
from tests.distributed.cases import in_two_processes, parameters, together
from tests.tolerances import assert_close

ROWS = 1009
SPEC = mn.MLP(hidden=(7,), dropout=0.2, batch_norm=True)
RECIPE = mn.Recipe(epochs=2, batch_size=61, dtype="float64", shuffle=False)


@pytest.fixture(scope="module")
def frame() -> polars.DataFrame:
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 3))
    weight = random.integers(1, 4, ROWS)
    return polars.DataFrame({f"x{j}": x[:, j] for j in range(3)} | {"weight": weight, "y": x[:, 0] * x[:, 1] + 1.0})


def written(frame: polars.DataFrame, path: Path) -> Path:
    frame.write_parquet(path, row_group_size=100)
    return path


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have several windows in an epoch of few rows."""
    monkeypatch.setattr(Budget, "window_rows", lambda self, row, group: 150)


def trained(path: Path, ranks: Ranks, spec: mn.MLP, recipe: mn.Recipe, **options: Any) -> list[Any]:
    """Return the outcomes of two networks on a stream, in one rank. options: of open_stream, and of Checkpoints."""
    keeping = {name: options.pop(name) for name in ("checkpoint", "resume") if name in options}
    weight = options.pop("weight", "weight")
    columns = Columns(target="y", weight=weight, drop=() if weight else ("weight",))
    options = {"validation": 0.0, **options, "rank": ranks.rank, "world_size": ranks.size}
    stream = open_stream(BlockFiles(path), columns, recipe, memory_limit="1MB", spec=spec, **options)
    try:
        problem, members = stream.data.problem, ensemble(spec, recipe, stream.data, 2)

        def keeper(group: Any, part: str) -> Checkpoints:
            system = {"world_size": ranks.size}
            return Checkpoints(
                problem, group, system=system, allow_world_size=True, **{"resume": None, "checkpoint": None, **keeping}
            )

        return train_members(problem, members, ranks=ranks, keeper=keeper if keeping else None)
    finally:
        stream.close()


def by_ranks(size: int, *given: Any, **options: Any) -> list[Any]:
    first, *others = together(size, lambda ranks: trained(given[0], ranks, *given[1:], **options))
    for other in others:
        assert_close(parameters(other)[0], parameters(first)[0], "bits")
    return first


def in_step_order(frame: polars.DataFrame, size: int, batch: int) -> polars.DataFrame:
    """Return the rows in the order in which one process would have to read them, to take the batches of several that do not shuffle."""
    steps = -(-len(frame) // batch)
    whole = [min(batch, len(frame) - s * batch) for s in range(steps)]
    shares = [[rows * (rank + 1) // size - rows * rank // size for rows in whole] for rank in range(size)]
    starts = np.cumsum([0, *(sum(share) for share in shares)])
    at = [starts[rank] + sum(shares[rank][:s]) + np.arange(shares[rank][s]) for s in range(steps) for rank in range(size)]
    return frame[np.concatenate(at).astype(int)]


@pytest.mark.parametrize(
    ("size", "gradient", "weight", "batch"),
    [(2, "closed_form", "weight", 61), (3, "autograd", "weight", 121), (3, "closed_form", None, 112)],
)  # the last batch of an epoch has 33 rows, 41, or one, of which two ranks have none
@pytest.mark.usefixtures("small_windows")
def test_each_step_has_the_share_of_each_rank(frame, tmp_path, size, gradient, weight, batch):
    recipe = dataclasses.replace(RECIPE, gradient=gradient, batch_size=batch)
    spec = dataclasses.replace(SPEC, batch_norm=weight is not None)
    found = by_ranks(size, written(frame, tmp_path / "rows.parquet"), spec, recipe, weight=weight)
    path = written(in_step_order(frame, size, batch), tmp_path / "ordered.parquet")
    expected = trained(path, Ranks(), spec, recipe, weight=weight)
    for one, other in zip(found, expected, strict=True):
        assert_close(one.parameters, other.parameters, "float64_run")
        assert_close(np.array(one.history["loss"]), np.array(other.history["loss"]), "float64_run")


def test_a_batch_of_all_rows_is_that_of_one_process(frame, tmp_path):
    spec, recipe = mn.MLP(hidden=(7,)), dataclasses.replace(RECIPE, epochs=3, batch_size=ROWS, shuffle=True)
    path = written(frame, tmp_path / "rows.parquet")
    one, many = (by_ranks(size, path, spec, recipe) for size in (1, 3))
    for found, wanted in zip(parameters(many), parameters(one), strict=True):
        assert_close(found, wanted, "float64_run")


@pytest.mark.usefixtures("small_windows")
def test_ranks_resume_within_an_epoch_bit_for_bit(frame, tmp_path):
    path, recipe = written(frame, tmp_path / "rows.parquet"), dataclasses.replace(RECIPE, shuffle=True)
    folder = tmp_path / "checkpoints"
    checkpoint = Checkpoint(folder=folder, every_steps=21, keep=9)
    expected = by_ranks(2, path, SPEC, recipe, validation=0.1, checkpoint=checkpoint)
    saved = folder / "step-000000021.checkpoint"  # an epoch has 15 steps, a window 4
    resumed = by_ranks(2, path, SPEC, recipe, validation=0.1, resume=saved)
    for found, wanted in zip(parameters(resumed), parameters(expected), strict=True):
        assert_close(found, wanted, "bits")
    for size in (1, 3):
        with pytest.raises(OptionError, match=r"data\.stream\.ranks is .*, in the checkpoint 2"):
            by_ranks(size, path, SPEC, recipe, validation=0.1, resume=saved)


def test_more_ranks_than_rows_of_a_batch_are_refused(frame, tmp_path):
    path = written(frame, tmp_path / "rows.parquet")
    with pytest.raises(OptionError, match="batch_size is 2, but 3 processes share each batch; use at least 3"):
        trained(path, Ranks(rank=1, size=3), mn.MLP(hidden=(2,)), dataclasses.replace(RECIPE, batch_size=2))


def test_the_command_trains_on_a_stream_in_two_processes(frame, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    table = polars.concat([frame] * 17)
    table.write_parquet(tmp_path / "rows.parquet", row_group_size=2000)
    plain = ["--preset", "plain", "--hidden", "8", "--epochs", "1", "--n-networks", "2"]
    options = ["train", "rows.parquet", "--target", "y", "--memory-limit", "1MB", *plain]
    in_two_processes([*options, "--out", "many"], monkeypatch)
    output = capfd.readouterr()
    assert "an epoch in each of 2 processes" in " ".join(output.err.split())
    many = mn.load("many/model.safetensors")
    assert many.info["world_size"] == 2
    assert 0.6 * len(table) < many.info["stream"]["rows"] < 0.8 * len(table)
