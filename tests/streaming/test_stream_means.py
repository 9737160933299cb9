"""Means of the target for large categories of a stream: those of memory, without a row's own target, the same in each run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

import manynets as mn
from manynets import results
from manynets.data.stream.parts import TRAIN
from manynets.streaming import (
    Columns,
    Stream,
    bytes_in_memory,
    open_ensemble,
    open_stream,
    opening,
    train_stream,
    train_stream_ensemble,
)
from manynets.tables import fit_encoder
from manynets.tables.columns import has_means
from manynets.tables.means import MOST_OUTPUTS, MOST_WITHOUT
from manynets.tables.piecewise import MOST_BINS
from manynets.tables.rowgroups import BlockFiles
from manynets.training.checkpoint import Checkpoint
from tests.tolerances import assert_close

ROWS, LEVELS = 9000, 200
SPEC, RECIPE = mn.MLP(hidden=(8,)), mn.Recipe(epochs=1, batch_size=50)
MEAN = "shop, mean of the target"


@pytest.fixture(scope="module")
def frame() -> polars.DataFrame:
    """Shops with an effect each, some without a name, and classes that follow from it, sorted so that row groups lack some."""
    random = np.random.default_rng(0)
    code = random.integers(LEVELS, size=ROWS)
    y = random.normal(size=LEVELS)[code] + 0.3 * random.normal(size=ROWS)
    shops = polars.Series([None if i % 50 == 0 else f"shop {one} x" for i, one in enumerate(code)])
    rows = polars.DataFrame({"shop": shops, "size": random.normal(size=ROWS), "y": y, "weight": np.arange(ROWS) % 4})
    three = np.array(["high", "low", "middle"])[np.searchsorted([-0.7, 0.7], y)]
    return rows.with_columns(three=three, two=np.where(y > 0, "above", "below")).sort("three", maintain_order=True)


@pytest.fixture(scope="module")
def path(frame: polars.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(frame, tmp_path_factory.mktemp("means") / "rows.parquet")


def written(frame: polars.DataFrame, path: Path) -> Path:
    frame.write_parquet(path, row_group_size=300)
    return path


def opened(path: Path, target: str = "y", *, limit: str = "1MB", **options: Any) -> Stream:
    """Return a stream with means, of a sample that has not all rows."""
    others = tuple(name for name in ("y", "three", "two", "weight") if name not in (target, options.get("weight")))
    of_columns: dict[str, Any] = {"max_levels": 20, "category_means": True, "scaling": "none"}
    of_columns |= {name: options.pop(name) for name in ("weight", "category_means", "max_levels") if name in options}
    columns = Columns(target=target, drop=others, **of_columns)
    return open_stream(BlockFiles(path), columns, RECIPE, memory_limit=limit, spec=SPEC, **({"validation": 0.02} | options))


def rows_of(stream: Stream) -> np.ndarray[Any, Any]:
    """Return the encoded training rows, in the order of the files, and close the stream."""
    stream.close()
    blocks = range(len(stream.table.files.blocks))
    return np.concatenate([stream.rows.reader.read(block).x.copy() for block in blocks])


@pytest.mark.parametrize("target", ["y", "three", "two"])
@pytest.mark.parametrize("weight", [None, "weight"])
def test_the_means_are_those_of_all_training_rows_in_memory(
    frame: polars.DataFrame, path: Path, target: str, weight: str | None
) -> None:
    stream = opened(path, target, weight=weight)
    stream.close()
    assert not stream.description.complete
    train = frame.filter((stream.table.split.parts(frame, 0) == TRAIN) & ((frame["weight"].to_numpy() > 0) | (weight is None)))
    encoded = stream.data.problem.task.encode(stream.table.target_of(train))
    options: dict[str, Any] = {"max_levels": 20, "scaling": "none", "min_count": 1}
    expected: Any = fit_encoder(train[["shop", "size"]], target=encoded, category_means=True, **options)
    mine, other = stream.encoder.columns[0], expected.columns[0]
    assert mine.known == other.known  # type: ignore[union-attr]
    assert len(mine.means) == len(other.means) == (3 if target == "three" else 1)  # type: ignore[union-attr]
    for one, theirs in zip(mine.means, other.means, strict=True):  # type: ignore[union-attr]
        assert_close(one.values, theirs.values, "float64")
        assert_close([one.missing, one.prior], [theirs.missing, theirs.prior], "float64")


def test_a_row_is_trained_on_without_its_own_target(frame: polars.DataFrame, path: Path, tmp_path: Path) -> None:
    """Its mean stays the same to the last bit where its target changes; those of the rows of its shop in other folds do not."""
    first = opened(path, "two")
    parts = first.table.split.parts(frame, 0)
    row = int(np.flatnonzero((parts == TRAIN) & frame["shop"].is_not_null().to_numpy())[2000])
    two = frame["two"].to_list()
    two[row] = "below" if two[row] == "above" else "above"
    before = rows_of(first)
    after = rows_of(opened(written(frame.with_columns(two=polars.Series(two)), tmp_path / "other.parquet"), "two"))
    at = first.encoder.feature_names.index(MEAN)
    train, mine = parts == TRAIN, int((parts[:row] == TRAIN).sum())
    same = (frame["shop"] == frame["shop"][row]).fill_null(value=False).to_numpy()[train]
    moved = before[:, at] != after[:, at]
    assert not moved[mine]
    assert 0.5 < moved[same].mean() < 1.0
    assert not np.array_equal(before[:, at], first.encoder.transform(frame.filter(train))[:, at])


def test_the_sample_has_the_means_that_its_rows_are_trained_on_with(path: Path) -> None:
    stream = opened(path, limit="100MB")
    assert stream.description.complete
    assert_close(stream.sample.x, rows_of(stream), "bits")


def test_folds_do_not_depend_on_processes_and_row_groups(frame: polars.DataFrame, path: Path, tmp_path: Path) -> None:
    frame.write_parquet(tmp_path / "coarse.parquet", row_group_size=700)
    expected = rows_of(opened(path))
    assert_close(rows_of(opened(path, rank=1, world_size=2)), expected, "bits")
    assert_close(rows_of(opened(tmp_path / "coarse.parquet", limit="2MB")), expected, "float32")


def test_a_resumed_run_with_means_continues_bit_for_bit(path: Path, tmp_path: Path) -> None:
    expected = train_stream(opened(path), SPEC, RECIPE)
    stream = opened(path)
    step = stream.rows.layout.window_steps + 3
    assert 0 < step < stream.rows.layout.steps
    train_stream(stream, SPEC, RECIPE, checkpoint=Checkpoint(folder=tmp_path, every_steps=step, keep=9))
    resumed = train_stream(opened(path), SPEC, RECIPE, resume=tmp_path / f"step-{step:09d}.checkpoint")
    assert_close(resumed.members[0], expected.members[0], "bits")


def test_a_run_of_an_older_version_without_means_is_not_resumed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(opening, "fit_fold_means", lambda table, found, encoder, *given, **options: (encoder, {}))
        older.setattr(results, "versions", lambda: {"manynets": "0.1.0"})
        train_stream(opened(path), SPEC, RECIPE, checkpoint=Checkpoint(folder=tmp_path, every_steps=40))
    with pytest.raises(
        mn.OptionError, match=r"data.stream.encoder is .*, go on with manynets 0\.1\.0, which wrote it, or start anew"
    ):
        train_stream(opened(path), SPEC, RECIPE, resume=tmp_path)


def test_without_large_categories_nothing_changes(frame: polars.DataFrame, tmp_path: Path) -> None:
    few = frame.with_columns(shop=polars.format("shop {} x", polars.int_range(ROWS) % MOST_WITHOUT))
    path = written(few, tmp_path / "few.parquet")
    streams = [opened(path, category_means=means, max_levels=MOST_WITHOUT) for means in (True, False)]
    assert streams[0].rows.identity == streams[1].rows.identity
    assert not has_means(streams[0].encoder.columns)
    assert_close(*(rows_of(stream) for stream in streams), "bits")


def test_a_target_of_many_classes_has_no_means(frame: polars.DataFrame, tmp_path: Path) -> None:
    for classes, wanted in ((MOST_OUTPUTS, True), (MOST_OUTPUTS + 1, False)):
        rows = frame.with_columns(three=polars.format("k{}", polars.int_range(ROWS) % classes))
        stream = opened(written(rows, tmp_path / f"{classes}.parquet"), "three")
        stream.close()
        assert has_means(stream.encoder.columns) == wanted


@pytest.mark.parametrize(("target", "outputs"), [("y", 1), ("two", 1), ("three", 3)])
def test_the_columns_of_means_count_for_the_limit(frame: polars.DataFrame, tmp_path: Path, target: str, outputs: int) -> None:
    frame.sample(fraction=1.0, shuffle=True, seed=0).write_parquet(tmp_path / "mixed.parquet")
    files = BlockFiles(tmp_path / "mixed.parquet")
    columns = Columns(target=target, drop=tuple({"y", "two", "three"} - {target}))
    plain, more = (bytes_in_memory(files, dataclasses.replace(columns, category_means=means)) for means in (False, True))
    assert more - plain == ROWS * 8 * outputs
    bins = mn.PiecewiseLinear()
    plain, more = (
        bytes_in_memory(files, dataclasses.replace(columns, category_means=means), embedding=bins) for means in (False, True)
    )
    assert more - plain == ROWS * 8 * outputs * (1 + MOST_BINS)


def test_the_default_ensemble_learns_from_large_categories(frame: polars.DataFrame, path: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"hidden": (8,), "iterations": 200}
    columns = Columns(target="y", drop=("two", "three", "weight"))
    stream = open_ensemble(BlockFiles(path), columns, memory_limit="8MB", changes=changes)
    assert stream.rows.layout.windows > 1
    pieces = next(column for column in stream.encoder.columns if column.name == "shop").means[0].pieces  # type: ignore[union-attr]
    assert pieces is not None
    model = train_stream_ensemble(stream, n_networks=2, changes=changes)
    assert model.evaluate(path, "y")["r2"] > 0.8
    model.save(tmp_path / "model.mn")
    assert_close(mn.load(tmp_path / "model.mn").predict(frame), model.predict(frame), "bits")


def test_networks_by_their_options_have_means_too(path: Path) -> None:
    more: dict[str, Any] = {"target": "y", "memory_limit": "1MB", "validation": 0.02, "progress": False}
    wide = dataclasses.replace(RECIPE, epochs=3, optimizer=mn.Adam(lr=0.01))
    scores = []
    for means in (False, True):
        model = mn.train(path, spec=SPEC, recipe=wide, drop=["two", "three"], category_means=means, **more)
        assert "stream" in model.info
        scores.append(model.evaluate(path, "y")["r2"])
    assert scores[1] > scores[0] + 0.2
    many = mn.train_many(path, candidates=[(SPEC, RECIPE)], category_means=True, **more)[0].model
    assert many is not None
    assert has_means(many.encoder.columns)  # type: ignore[union-attr]
