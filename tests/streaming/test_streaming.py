"""Networks that train on a stream of rows, against the same networks in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

import manynets as mn
from manynets import core
from manynets.errors import DataError, OptionError
from manynets.plan import ensemble
from manynets.streaming import Columns, Stream, bytes_in_memory, open_stream, stream_members, train_stream
from manynets.tables.rowgroups import BlockFiles
from manynets.training.checkpoint import Checkpoint
from manynets.training.groups import train_members
from tests.tolerances import assert_close

ROWS = 13_000
SPEC = mn.MLP(hidden=(8,))
RECIPE = mn.Recipe(epochs=2, batch_size=100)
STEPPERS = ["closed_form", pytest.param("compiled", marks=pytest.mark.skipif(core.load() is None, reason="no core"))]


@pytest.fixture(scope="module")
def frame() -> polars.DataFrame:
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 3)).astype(np.float32)
    return polars.DataFrame(
        {f"x{j}": x[:, j] for j in range(3)}
        | {
            "kind": random.choice(["a", "b"], ROWS),
            "weight": random.integers(1, 4, ROWS),
            "y": x[:, 0] * x[:, 1] + 1.0,
            "class": np.where(x[:, 2] + 0.1 * random.normal(size=ROWS) > 0, "up", "down"),
        }
    )


@pytest.fixture(scope="module")
def path(frame: polars.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stream") / "rows.parquet"
    frame.write_parquet(out, row_group_size=300)
    return out


def opened(path: Path, *, recipe: mn.Recipe = RECIPE, spec: mn.MLP = SPEC, limit: str = "1MB", **options: Any) -> Stream:
    """Return a stream of y by default, with several windows by default."""
    named = {"target": "y", "drop": ("class", "weight")} | {
        name: options.pop(name) for name in ("target", "drop", "weight") if name in options
    }
    return open_stream(BlockFiles(path), Columns(**named), recipe, memory_limit=limit, spec=spec, **options)


def same_bits(one: mn.Model, other: mn.Model) -> None:
    assert len(one.members) == len(other.members)
    for mine, theirs in zip(one.members, other.members, strict=True):
        assert_close(mine, theirs, "bits")
    assert {n: c for n, c in one.history.items() if n != "seconds"} == {n: c for n, c in other.history.items() if n != "seconds"}


def test_a_stream_of_one_window_is_training_in_memory(frame: polars.DataFrame, path: Path) -> None:
    stream = opened(path, limit="500MB", validation=0.1)
    assert stream.rows.layout.windows == 1
    table = stream.table
    parts = table.split.parts(frame, 0)
    model = train_stream(stream, SPEC, RECIPE)
    X, y = frame[list(table.features)], frame["y"].to_numpy()
    task = stream.data.problem.task
    expected = mn.train(
        X.filter(parts == 0),
        y[parts == 0],
        SPEC,
        RECIPE,
        task=task,
        validation=(X.filter(parts == 1), y[parts == 1]),
        progress=False,
    )
    for name, values in model.members[0].items():
        assert_close(values, expected.members[0][name], "float32_run")
    assert_close(model.history["val_loss"], expected.history["val_loss"], "float32_run")
    assert_close(model.history["r2"], expected.history["r2"], "float32_run")


@pytest.mark.parametrize("gradient", STEPPERS)
def test_all_steppers_see_the_same_windows(path: Path, gradient: Any) -> None:
    spec = dataclasses.replace(SPEC, dropout=0.1, batch_norm=True)
    histories = []
    for kind in ("autograd", gradient):
        recipe = dataclasses.replace(RECIPE, epochs=1, gradient=kind, dtype="float64", batch_size=97)
        stream = opened(path, recipe=recipe, spec=spec, target="class", drop=("y",), weight="weight", limit="1MB")
        assert stream.rows.layout.windows > 2
        histories.append(train_stream(stream, spec, recipe))
    assert_close(histories[1].history["loss"], histories[0].history["loss"], "float64_run")
    assert_close(histories[1].members[0]["output.weight"], histories[0].members[0]["output.weight"], "float64_run")


def test_rows_of_weight_0_are_as_if_they_were_not_there(frame: polars.DataFrame, path: Path, tmp_path: Path) -> None:
    """Neither columns nor target are scaled by them, and no batch has them; but they are tested, and may be all that has a class."""
    wild = frame.with_row_index().with_columns(
        weight=polars.when(polars.col("index") % 3 > 0).then(1).otherwise(0),
        y=polars.when(polars.col("index") % 3 > 0).then(polars.col("y")).otherwise(1e4),
        x0=polars.when(polars.col("index") % 3 > 0).then(polars.col("x0")).otherwise(-1e4),
        **{"class": polars.when(polars.col("index") == 0).then(polars.lit("none")).otherwise(polars.col("class"))},
    )
    wild.drop("index").write_parquet(tmp_path / "wild.parquet", row_group_size=300)
    options: dict[str, Any] = {"drop": ("class",), "weight": "weight", "validation": 0.05, "test": 0.2}
    stream = opened(tmp_path / "wild.parquet", **options)
    parts = stream.table.split.parts(wild, 0)
    train = wild.filter((parts == 0) & (wild["weight"] > 0).to_numpy())
    task, column = stream.data.problem.task, stream.encoder.columns[0]
    assert_close([*task.center, *task.scale], [train["y"].mean(), train["y"].std(ddof=0)], "float32")  # type: ignore[attr-defined]
    assert abs(column.limits[0]) < 10  # type: ignore[union-attr, index]
    assert stream.rows.layout.total == train.height
    assert stream.validation is not None
    assert abs(stream.validation.y).max() < 1e4
    found = stream.evaluate(train_stream(stream, SPEC, RECIPE))
    assert found is not None
    assert found["rows"] == int((parts == 2).sum())
    classes = opened(tmp_path / "wild.parquet", target="class", drop=("y",), weight="weight").data.problem.task
    assert classes.classes == ("down", "none", "up")  # type: ignore[attr-defined]


def test_networks_on_one_stream_equal_each_alone(path: Path) -> None:
    stream = opened(path, validation=0.02)
    try:
        members = ensemble(SPEC, RECIPE, stream.data, 3)
        together = train_members(stream.data.problem, members)
        for member, outcome in zip(members, together, strict=True):
            alone = train_members(stream.data.problem, [member])[0]
            assert alone.history["val_loss"] == outcome.history["val_loss"]
            assert_close(alone.parameters, outcome.parameters, "bits")
    finally:
        stream.close()
    same_bits(train_stream(opened(path, validation=0.02), SPEC, RECIPE, n_networks=3), _model_of(together, stream))


def test_candidates_share_a_stream(path: Path) -> None:
    other = dataclasses.replace(RECIPE, optimizer=mn.AdamW(lr=0.01))
    candidates = [(SPEC, RECIPE), (dataclasses.replace(SPEC, dropout=0.2), other), (mn.MLP(hidden=(4, 4)), RECIPE)]
    with contextlib.closing(opened(path)) as stream:
        outcomes = train_members(stream.data.problem, stream_members(stream, dict(enumerate(candidates))))
    for outcome, (spec, recipe) in zip(outcomes, candidates, strict=True):
        assert_close(outcome.parameters, train_stream(opened(path), spec, recipe).members[0], "bits")
    small = dataclasses.replace(RECIPE, batch_size=50)
    with pytest.raises(OptionError, match=r"the stream is cut for batches of 100 rows, .* but the networks take batches of 50"):
        train_members(stream.data.problem, stream_members(stream, {0: (SPEC, RECIPE), 1: (SPEC, small)}))


def test_train_many_reads_a_path(path: Path, frame: polars.DataFrame) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1)
    other = dataclasses.replace(recipe, optimizer=mn.AdamW(lr=0.01), seed=3)
    large = dataclasses.replace(recipe, batch_size=200)
    two = dataclasses.replace(recipe, loss="quantile", quantile=(0.1, 0.9))
    candidates = [(SPEC, recipe), (mn.MLP(hidden=(4, 4)), large), (dataclasses.replace(SPEC, dropout=0.2), other), (SPEC, two)]
    options: dict[str, Any] = {"target": "y", "sample_weight": "weight", "validation": 0.02, "progress": False}
    found = mn.train_many(path, candidates=candidates, memory_limit="1MB", **options)
    assert [(one.candidate, one.stopped) for one in found] == [(number, "done") for number in range(4)]
    alone = mn.train(path, spec=SPEC, recipe=recipe, memory_limit="1MB", **options)
    assert_close(found[0].parameters, alone.members[0], "bits")
    assert found[1].model is not None
    assert len(found[1].model.predict(frame)) == ROWS
    with pytest.raises(OptionError, match=r"cv was given, but .* and a stream does not take it"):
        mn.train_many(path, candidates=candidates, memory_limit="1MB", cv=3, **options)


def test_numbers_of_rows_are_left_out_also_where_some_are_missing(tmp_path: Path) -> None:
    """Whole numbers, all different, that fill at least half of their range number the rows; those three times as far apart, and times, do not."""
    rows = np.arange(ROWS)
    y = np.random.default_rng(0).normal(size=ROWS)
    frame = polars.DataFrame({"near": rows * 3 // 2, "far": rows * 3, "minute of time": rows, "y": y})
    frame.write_parquet(tmp_path / "rows.parquet", row_group_size=300)
    stream = opened(tmp_path / "rows.parquet", drop=())
    stream.close()
    assert not stream.description.complete
    kinds = {column.name: column.kind for column in stream.schema}
    assert kinds == {"near": "dropped", "far": "numeric", "minute of time": "numeric"}


def test_counts_have_the_variance_of_all_rows(frame: polars.DataFrame, path: Path) -> None:
    """R2 compares with it; a Poisson loss leaves the target in its own unit."""
    recipe = dataclasses.replace(RECIPE, loss="poisson")
    stream = opened(path, recipe=recipe, target="weight", drop=("y", "class"), task="regression", validation=0.0)
    stream.close()
    assert not stream.description.complete
    assert_close(stream.rows.spread, np.array([frame["weight"].to_numpy().var()]), "float64")


def test_a_streamed_regression_has_intervals(path: Path) -> None:
    rows = polars.read_parquet(path, n_rows=500)
    low, high = np.asarray(train_stream(opened(path), SPEC, RECIPE).predict_interval(rows)).T
    assert 0.8 < np.mean((low <= rows["y"].to_numpy()) & (rows["y"].to_numpy() <= high)) <= 1.0


def _model_of(outcomes: Any, stream: Stream) -> mn.Model:
    from manynets.results import model_of

    return model_of(SPEC, RECIPE, stream.data, outcomes)


@pytest.mark.parametrize("gradient", STEPPERS)
def test_a_resumed_run_continues_within_an_epoch_bit_for_bit(path: Path, tmp_path: Path, gradient: Any) -> None:
    recipe = dataclasses.replace(RECIPE, gradient=gradient)
    expected = train_stream(opened(path, recipe=recipe, validation=0.02), SPEC, recipe, n_networks=2)
    stream = opened(path, recipe=recipe, validation=0.02)
    layout = stream.rows.layout
    step = layout.steps + layout.window_steps + 3  # within a window of the second epoch
    assert step % layout.window_steps
    checkpoint = Checkpoint(folder=tmp_path, every_steps=step, keep=9)
    same_bits(train_stream(stream, SPEC, recipe, n_networks=2, checkpoint=checkpoint), expected)
    saved = tmp_path / f"step-{step:09d}.checkpoint"
    resumed = train_stream(opened(path, recipe=recipe, validation=0.02), SPEC, recipe, n_networks=2, resume=saved)
    same_bits(resumed, expected)
    other = opened(path, recipe=recipe, validation=0.03)
    with pytest.raises(OptionError, match=r"is of another training: .*data\.stream\.split is"):
        train_stream(other, SPEC, recipe, n_networks=2, resume=saved)


def test_processes_read_rows_of_their_own(path: Path) -> None:
    seen = []
    for rank in range(3):
        stream = opened(path, validation=0.0, rank=rank, world_size=3)
        rows, layout = stream.rows, stream.rows.layout
        try:
            for number in range(layout.windows):
                rows.show(number)
                start, stop = layout.span(number)
                seen.append(rows.x[: stop - start].numpy().copy())
        finally:
            stream.close()
    found = np.concatenate(seen)
    assert len(np.unique(found, axis=0)) == len(found) == ROWS


def test_the_metrics_of_a_stream_are_those_of_its_rows(frame: polars.DataFrame, path: Path) -> None:
    stream = opened(path, target="class", drop=("y",), weight="weight", test=0.3)
    model = train_stream(stream, SPEC, RECIPE)
    chosen = frame.filter(stream.table.split.parts(frame, 0) == 2)
    expected = model.evaluate(chosen, chosen["class"].to_numpy(), sample_weight=chosen["weight"].to_numpy())
    found = stream.evaluate(model)
    assert found is not None
    assert found["rows"] == chosen.height
    assert found["confusion"] == expected["confusion"]
    for name in ("loss", "accuracy", "auc"):
        assert_close(found[name], expected[name], "float32")


def test_train_streams_a_file_above_the_limit_only(path: Path) -> None:
    limited = {"target": "class", "recipe": RECIPE, "spec": SPEC, "progress": False}
    small = mn.train(path, **limited, memory_limit="2GB", sample_weight="weight")
    assert "stream" not in small.info
    assert small.in_features == 6
    model = mn.train(str(path), **limited, memory_limit=1_000_000, sample_weight="weight", validation=0.05, n_networks=2)
    assert model.info["stream"]["windows"] > 1
    assert model.size == 2
    assert model.history["val_accuracy"][-1] > 0.9
    assert model.task.classes == ("down", "up")  # type: ignore[attr-defined]
    assert model.in_features == 6
    assert model.evaluate(path, "class", sample_weight="weight")["accuracy"] > 0.9


def test_a_stream_leaves_columns_as_they_are_where_scaling_is_false(path: Path) -> None:
    of_path: dict[str, Any] = {"target": "y", "memory_limit": "1MB", "scaling": False, "progress": False}
    recipe = mn.Recipe(iterations=1)
    models: list[Any] = [
        mn.train(path, spec=SPEC, recipe=recipe, **of_path),
        mn.train_many(path, candidates=[(SPEC, recipe)], **of_path)[0].model,
    ]
    assert "stream" in models[0].info
    for model in models:
        assert model.encoder is not None
        assert model.encoder.columns[0].spread.scale == 1.0


def test_validation_rows_are_as_many_as_the_encoded_columns_allow(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = {f"c{j}": random.integers(0, 60, ROWS).astype(str) for j in range(3)}
    path = tmp_path / "wide.parquet"
    polars.DataFrame(labels | {"y": random.normal(size=ROWS)}).write_parquet(path, row_group_size=300)
    files = BlockFiles(path)
    columns = Columns(target="y", categorical=tuple(labels))
    stream = open_stream(files, columns, RECIPE, memory_limit="4MB", spec=SPEC)
    stream.close()
    assert stream.encoder.width > 150
    size = 4 * stream.encoder.width * ROWS  # of the encoded rows, which stand beside the cells
    assert size < bytes_in_memory(files, columns) < 3 * size
    assert stream.validation is not None
    assert 0 < stream.validation.x.nbytes < 4_000_000 / 8


def test_a_text_table_is_converted_once(frame: polars.DataFrame, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    polars.concat([frame] * 2).write_csv(source, separator=";")
    options: dict[str, Any] = {"target": "class", "recipe": RECIPE, "spec": SPEC, "progress": False}
    model = mn.train(source, **options, memory_limit="1MB")
    assert model.info["stream"]["rows"] == 2 * ROWS
    copy = tmp_path / "rows.csv.parquet"
    written = copy.stat().st_mtime_ns
    assert polars.read_parquet(copy).columns == frame.columns
    same_bits(mn.train(source, **options, memory_limit="1MB"), model)
    assert copy.stat().st_mtime_ns == written
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["rows.csv", "rows.csv.parquet"]
    source.write_text("x;class\n" + "1;a\n" * 400_000 + "oops\n")
    with pytest.raises(DataError, match=r"rows\.csv cannot be read in parts: line 400002 has 1 field, but the header has 2"):
        mn.train(source, **options, memory_limit="1MB")
    assert [entry.name for entry in tmp_path.glob(".*")] == []


def written(frame: polars.DataFrame, path: Path) -> Path:
    frame.write_parquet(path, row_group_size=300)
    return path


def test_lists_are_columns_also_of_a_stream(frame: polars.DataFrame, tmp_path: Path) -> None:
    """As in memory, where the encoder is fitted to all rows; a row group may lack them."""
    lists = frame.with_columns(
        place=polars.when(polars.int_range(ROWS) % 600 < 300).then(polars.concat_list("x0", "x1")),
        pair=polars.concat_arr("x1", "x2"),
    )
    source = written(lists, tmp_path / "rows.parquet")
    model = train_stream(opened(source, validation=0.01), SPEC, RECIPE)
    assert model.encoder is not None
    assert {"place[0]", "place[1]", "pair[0]", "pair[1]"} < set(model.encoder.column_names)
    assert_close(model.evaluate(source, "y")["rmse"], model.evaluate(lists, lists["y"])["rmse"], "float32")


def test_a_word_among_the_numbers_of_a_text_outside_the_sample(frame: polars.DataFrame, tmp_path: Path) -> None:
    cells = polars.when(polars.int_range(ROWS) == 7).then(polars.lit("unclear")).otherwise(polars.format("{} kg", "weight"))
    source = written(frame.with_columns(mass=cells), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"row 7 .* holds 'unclear'; .* or declare the column numeric or categorical"):
        train_stream(opened(source), SPEC, RECIPE)
    columns = Columns(target="y", drop=("class", "weight"), numeric=("mass",))
    model = train_stream(open_stream(BlockFiles(source), columns, RECIPE, memory_limit="1MB", spec=SPEC), SPEC, RECIPE)
    assert model.encoder is not None
    assert model.encoder.forms["mass"].lenient


def test_a_column_without_values_in_the_sample(frame: polars.DataFrame, tmp_path: Path) -> None:
    """Dates and words that only some rows have cannot be understood: they are left out, numbers are not."""
    late = polars.int_range(ROWS) == 7
    odd = frame.with_columns(
        day=polars.when(late).then(polars.date(2024, 1, 31)),
        word=polars.when(late).then(polars.lit("a")),
        number=polars.when(late).then(1.0),
        never=polars.lit(None, polars.Date),
    )
    stream = opened(written(odd, tmp_path / "rows.parquet"))
    stream.close()
    kinds = {column.name: column.kind for column in stream.schema}
    assert [kinds[name] for name in ("day", "word", "number", "never")] == ["dropped", "dropped", "numeric", "numeric"]
    assert "all values are missing in a sample of" in next(column.note for column in stream.schema if column.name == "day")


def test_a_cell_that_cannot_be_read_is_named_by_its_row_in_the_files(frame: polars.DataFrame, tmp_path: Path) -> None:
    sizes = frame.with_columns(size=polars.Series([f"{i % 9} kg" if i != 12_345 else "3 parsecs" for i in range(ROWS)]))
    source = written(sizes, tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"column 'size' is in 'kg', but row 12345 \(counted from 0\) holds '3 parsecs'"):
        train_stream(opened(source), SPEC, RECIPE)
    model = train_stream(
        opened(written(frame.with_columns(sizes["size"].replace("3 parsecs", "3 kg")), tmp_path / "b.parquet")), SPEC, RECIPE
    )
    with pytest.raises(DataError, match="row 12345"):
        model.evaluate(source, "y")


def test_a_target_of_numbers_written_as_text_is_refused(frame: polars.DataFrame, tmp_path: Path) -> None:
    source = written(frame.with_columns(y=polars.format("{},5", polars.int_range(ROWS) % 90)), tmp_path / "rows.parquet")
    with pytest.raises(
        DataError, match=r"target 'y' is text that holds numbers, such as '[0-9]+,5'; a stream takes text for classes"
    ):
        opened(source)
    opened(source, task="multiclass", validation=0.01).close()


def test_targets_of_unusual_types(frame: polars.DataFrame, tmp_path: Path) -> None:
    largest = 2**64 - 1
    numbers = polars.Series([largest - i % 2 if i > 300 else i % 2 for i in range(ROWS)], dtype=polars.UInt64)
    stream = opened(written(frame.with_columns(y=numbers), tmp_path / "rows.parquet"))
    stream.close()
    assert stream.data.problem.task.classes == (0, 1, largest - 1, largest)
    with pytest.raises(DataError, match=r"target 'y' holds values of type List\(Float32\), but must hold one number or label each"):
        opened(written(frame.with_columns(y=polars.concat_list("x0", "x1")), tmp_path / "rows.parquet"))


def test_numbers_beyond_64_bits_and_beyond_squares(frame: polars.DataFrame, tmp_path: Path) -> None:
    large = frame.with_columns(large=frame["x0"].cast(polars.Float64) * 1e300)
    stream = opened(written(large, tmp_path / "rows.parquet"))
    stream.close()
    assert np.isfinite(stream.sample.x).all()
    whole = frame.with_columns(whole=polars.Series([10**30 if i == 777 else i % 50 for i in range(ROWS)], dtype=polars.Int128))
    with pytest.raises(DataError, match=r"column 'whole' holds whole numbers beyond 64 bits in rows 600 to 899 of .*; write it"):
        opened(written(whole, tmp_path / "rows.parquet"))


def test_what_a_stream_does_not_take_is_said(path: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="preset is 'best', which chooses among settings by the scores of all rows"):
        mn.train(path, target="y", memory_limit="1MB", progress=False, preset="best")
    with pytest.raises(OptionError, match="n_networks is 0, but must be a whole number of at least 1"):
        mn.train(path, target="y", memory_limit="20MB", progress=False, n_networks=0)
    for options, message in (
        ({"preset": "fast"}, "preset is 'fast', but is for the default ensemble"),
        ({"time_limit": 9.0}, r"time_limit was given, but .* would take about .* in memory, more than memory_limit 1\.0 MB"),
        ({"validation": "folds"}, "validation is 'folds', but of a stream it is a fraction"),
        ({"validation": 0.9}, "validation is 0.9, which is .* rows, but the memory limit has space for"),
        ({"target": ["y", "x0"]}, "must be the name of one column"),
        ({"memory_limit": "lots"}, "memory_limit is 'lots', but must be at least 1 MB"),
        ({"spec": mn.MLP(hidden=(4,), prior=True)}, "prior=True needs the target of all rows at once"),
    ):
        with pytest.raises(OptionError, match=message):
            mn.train(path, **{"target": "y", "memory_limit": "1MB", "recipe": RECIPE, "progress": False, **options})
    (tmp_path / "a.jsonl").write_text('{"x": 1, "y": 2}')
    with pytest.raises(OptionError, match="memory_limit is for Parquet, Arrow and plain text files"):
        mn.train(tmp_path / "a.jsonl", target="y", memory_limit="1MB")
    whole = tmp_path / "one.parquet"
    polars.read_parquet(path).write_parquet(whole)
    recipe = dataclasses.replace(RECIPE, batch_size=4000)
    with pytest.raises(
        OptionError, match=r"the memory limit of 1\.0 MB is too low: reading the largest row group takes"
    ) as refused:
        opened(whole, recipe=recipe)
    least = re.search(r"give at least ([0-9]+)MB", str(refused.value))
    assert least is not None
    opened(whole, recipe=recipe, limit=f"{least[1]}MB").close()
    with pytest.raises(OptionError, match="is too low"):
        opened(whole, recipe=recipe, limit=f"{int(least[1]) - 1}MB")
    with pytest.raises(DataError, match=r"the file .*rws\.parquet does not exist; did you mean .*rows\.parquet"):
        mn.train(path.with_name("rws.parquet"), target="y", memory_limit="1MB")


def test_a_resumed_stream_is_told_whether_it_may_have_other_processes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def train(stream: Stream, *_: Any, **options: Any) -> str:
        stream.close()
        given.update(options)
        return "a model"

    monkeypatch.setattr("manynets.fitting.train_stream", train)
    mn.train(path, target="y", recipe=RECIPE, memory_limit="1MB", progress=False, allow_world_size=True)
    assert given["allow_world_size"] is True
