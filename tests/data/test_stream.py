"""Rows of files as a stream: parts by hash, one pass over all rows, and windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars
import pyarrow.parquet
import pytest

from manynets.data.stream.limit import memory_bytes
from manynets.data.stream.parts import TEST, TRAIN, VALIDATION, HashSplit
from manynets.data.stream.table import RowsTable, describe
from manynets.data.stream.windows import Encoded, Layout, WindowReader
from manynets.errors import DataError, OptionError
from manynets.tables import fit_encoder
from manynets.tables.facts import Facts, corrected, rank_error
from manynets.tables.footer import row_groups
from manynets.tables.rowgroups import BlockFiles
from tests.tolerances import assert_close

ROWS = 6000


@pytest.fixture(scope="module")
def frame() -> polars.DataFrame:
    """Numbers with and without gaps, categories of which some are rare, bools, and a target."""
    random = np.random.default_rng(0)
    size, tail = random.normal(3, 2, ROWS), random.exponential(5, ROWS)
    kinds = random.choice(["a", "b", "c", "d"], ROWS, p=[0.5, 0.3, 0.1995, 0.0005])
    gaps = random.random(ROWS) < 0.1
    return polars.DataFrame(
        {
            "size": size,
            "tail": polars.Series(tail).set(polars.Series(gaps), None),
            "kind": kinds,
            "flag": size > 3,
            "y": size + tail,
        }
    )


def written(frame: polars.DataFrame, path: Path, rows: int = 500) -> BlockFiles:
    frame.write_parquet(path, row_group_size=rows)
    return BlockFiles(path)


def test_row_groups_are_those_that_pyarrow_reads(frame: polars.DataFrame, tmp_path: Path) -> None:
    pyarrow.parquet.write_table(frame.to_arrow(), tmp_path / "a.parquet", row_group_size=700, compression="none")
    found = pyarrow.parquet.ParquetFile(tmp_path / "a.parquet").metadata
    expected = [(found.row_group(i).num_rows, found.row_group(i).total_byte_size) for i in range(found.num_row_groups)]
    assert [tuple(group) for group in row_groups(tmp_path / "a.parquet")] == expected
    files = BlockFiles(tmp_path / "a.parquet")
    assert polars.concat([files.read(block) for block in files.blocks]).equals(frame)


def test_arrow_files_are_read_in_blocks_too(frame: polars.DataFrame, tmp_path: Path) -> None:
    many = polars.concat([frame] * 12)
    many.write_ipc(tmp_path / "a.arrow")
    files = BlockFiles(tmp_path / "a.arrow")
    assert len(files.blocks) == 2
    assert polars.concat([files.read(block) for block in files.blocks]).equals(many)


def years(frame: polars.DataFrame) -> polars.Series:
    return polars.Series(2020 + np.arange(frame.height) % 2)


def test_folders_with_keys_are_columns(frame: polars.DataFrame, tmp_path: Path) -> None:
    frame.with_columns(year=years(frame)).write_parquet(tmp_path / "parts", partition_by=["year", "flag"], mkdir=True)
    files = BlockFiles(tmp_path / "parts")
    assert set(files.names) == {*frame.columns, "year"}
    read = polars.concat([files.read(block, ["year", "flag", "size"]) for block in files.blocks])
    whole = polars.read_parquet(sorted((tmp_path / "parts").rglob("*.parquet")), hive_partitioning=True)
    assert read.equals(whole[["year", "flag", "size"]])
    before = files.fingerprint
    (tmp_path / "parts" / "year=2020").rename(tmp_path / "parts" / "year=2030")
    assert BlockFiles(tmp_path / "parts").fingerprint != before


def test_parts_have_their_shares_and_do_not_depend_on_row_groups(frame: polars.DataFrame) -> None:
    split = HashSplit(seed=1, validation=0.1, test=0.2)
    whole = split.parts(frame, 0)
    assert_close(np.bincount(whole, minlength=3) / ROWS, np.array([0.7, 0.1, 0.2]), "sampled")
    assert (np.concatenate([split.parts(frame[:1234], 0), split.parts(frame[1234:], 1234)]) == whole).all()
    assert (HashSplit(seed=2, validation=0.1, test=0.2).parts(frame, 0) != whole).any()
    more = HashSplit(seed=1, validation=0.2, test=0.2).parts(frame, 0)  # a larger share takes from the training rows only
    assert (more[whole != TRAIN] == whole[whole != TRAIN]).all()


def test_rows_of_a_group_are_in_one_part(frame: polars.DataFrame) -> None:
    persons = frame.with_columns(
        person=polars.Series(np.arange(ROWS) % 300), name=polars.Series(np.arange(ROWS) % 7).cast(polars.String)
    )
    parts = HashSplit(seed=0, validation=0.2, test=0.2, group="person").parts(persons, 0)
    assert set(parts.tolist()) == {TRAIN, VALIDATION, TEST}
    for person in range(300):
        assert len(set(parts[np.arange(ROWS) % 300 == person].tolist())) == 1
    again = HashSplit(seed=0, validation=0.2, test=0.2, group="person").parts(persons[::-1], 55)
    assert (again[::-1] == parts).all()


# ------------------------------------------------------------------------------------------------------------ the one pass


def test_one_pass_finds_what_all_rows_say(frame: polars.DataFrame, tmp_path: Path) -> None:
    table = RowsTable.of(written(frame, tmp_path / "a.parquet"), HashSplit(seed=0, validation=0.1), target="y")
    found = describe(table, sample_rows=1000)
    train = frame.filter(table.split.parts(frame, 0) == TRAIN)
    assert found.counts.sum(axis=0).tolist() == [train.height, ROWS - train.height, 0]
    assert found.validation.height == ROWS - train.height
    assert found.values is not None
    assert len(found.values) == ROWS
    assert found.sample.height == 1000
    assert not found.complete
    for name in ("size", "tail", "y"):
        facts, values = found.facts[name], train[name].drop_nulls().to_numpy()
        assert (facts.rows, facts.present) == (train.height, len(values))
        assert (facts.low, facts.high) == (values.min(), values.max())
        assert_close([facts.mean, facts.deviation], [float(values.mean()), float(values.std())], "float64")
    assert found.facts["kind"].labels == dict(train["kind"].value_counts().iter_rows())


def test_the_sample_does_not_depend_on_row_groups(frame: polars.DataFrame, tmp_path: Path) -> None:
    found = []
    for rows in (100, 6000):
        table = RowsTable.of(written(frame, tmp_path / f"{rows}.parquet", rows), HashSplit(seed=0), target="y")
        found.append(describe(table, sample_rows=500).sample)
    assert found[0].equals(found[1])
    whole = describe(table, sample_rows=ROWS)
    assert whole.complete
    assert whole.sample.equals(frame.select(table.columns))


def test_the_encoder_of_a_stream_is_that_of_all_rows_within_the_stated_error(frame: polars.DataFrame, tmp_path: Path) -> None:
    features = frame.drop("y")
    table = RowsTable.of(written(frame, tmp_path / "a.parquet"), HashSplit(seed=0), target="y")
    found = describe(table, sample_rows=1000)
    exact = {column.name: column for column in fit_encoder(features).columns}
    encoder = corrected(fit_encoder(found.sample.select(features.columns)), found.facts)
    for column in encoder.columns:
        wanted: Any = exact[column.name]
        assert column.features == wanted.features
        if column.kind != "numeric":
            assert column == wanted  # also the rare level, which the sample need not have
            continue
        assert_close(list(column.spread[:2]), list(wanted.spread[:2]), "float64")
        assert (column.limits, column.gaps) == (wanted.limits, wanted.gaps)
        assert column.fill is not None
        rank = float((features[column.name].drop_nulls().to_numpy() < column.fill).mean())
        assert abs(rank - 0.5) <= rank_error(1000)


def test_gaps_that_a_sample_lacks_are_known_of_columns_of_each_kind() -> None:
    full = polars.DataFrame(
        {"code": [1, 2] * 10, "text": ["a b", "b c"] * 10, "day": polars.Series(["2024-01-01", "2024-03-02"] * 10)}
    )
    whole = polars.concat([full, full[:1].select(polars.lit(None, dtype=kind).alias(name) for name, kind in full.schema.items())])
    facts = Facts(whole.schema)
    facts.add(whole)
    encoder = fit_encoder(full, categorical=["code"], text=["text"])
    assert [(column.kind, column.gaps) for column in encoder.columns] == [("categorical", False), ("text", False), ("date", False)]
    assert all(column.gaps for column in corrected(encoder, facts.columns()).columns)


def test_a_target_without_values_is_an_error_or_left_out(frame: polars.DataFrame, tmp_path: Path) -> None:
    gone = frame.with_columns(y=polars.when(polars.int_range(ROWS) == 777).then(None).otherwise(frame["y"]))
    files = written(gone, tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"target 'y' is missing in 1 row of one row group, the first in row 777 \(counted from 0\)"
    ):
        describe(RowsTable.of(files, HashSplit(seed=0), target="y"), sample_rows=10)
    found = describe(RowsTable.of(files, HashSplit(seed=0), target="y", drop_missing_target=True), sample_rows=10)
    assert found.counts.sum() == ROWS - 1


def test_bad_files_are_one_error(frame: polars.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame.write_parquet(path, row_group_size=500, compression="zstd")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = b"x" * 4000
    (tmp_path / "damaged.parquet").write_bytes(content)
    with pytest.raises(
        DataError, match=r"rows [\d,]+ to [\d,]+ of .*damaged.parquet cannot be read as Parquet: .*; write the file anew"
    ):
        describe(RowsTable.of(BlockFiles(tmp_path / "damaged.parquet"), HashSplit(seed=0), target="y"), sample_rows=10)
    (tmp_path / "short.parquet").write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"short.parquet.* cannot be read as Parquet"):
        BlockFiles(tmp_path / "short.parquet")
    for name, other, message in (
        (
            "types",
            frame.cast({"size": polars.String}),
            r"column 'size' is of type String in .*2.parquet, but of type Float64 in .*1.parquet",
        ),
        ("fewer", frame.drop("tail"), r"2.parquet lacks the column 'tail' of the other"),
        ("more", frame.with_columns(new=1), r"1.parquet lacks the column 'new' of the other"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        frame.write_parquet(folder / "1.parquet")
        other.write_parquet(folder / "2.parquet")
        with pytest.raises(DataError, match=message):
            BlockFiles(folder)
    files = BlockFiles(path)
    frame[:500].write_parquet(path)
    with pytest.raises(DataError, match="changed while it was read"):
        files.read(files.blocks[0])
    infinite = written(frame.with_columns(size=frame["size"] / 0.0), tmp_path / "infinite.parquet")
    with pytest.raises(DataError, match="column 'size' holds infinite values"):
        describe(RowsTable.of(infinite, HashSplit(seed=0), target="y"), sample_rows=10)


# ---------------------------------------------------------------------------------------------------------------- windows

COUNTS = np.array([30, 0, 41, 17, 25, 8])
STARTS = np.cumsum(COUNTS) - COUNTS


def numbered(block: int) -> Encoded:
    """Return rows that hold their number."""
    rows = np.arange(STARTS[block], STARTS[block] + COUNTS[block])
    return Encoded(rows[:, None].astype(np.float32), rows.astype(np.float32)[:, None], None)


def shown(layout: Layout, numbers: list[int], read: Any = numbered) -> list[list[int]]:
    """Return the rows of windows, in the order in which they are in them."""
    out, buffer = [], Encoded(np.zeros((layout.capacity, 1), np.float32), np.zeros((layout.capacity, 1), np.float32), None)
    reader = WindowReader(layout, read)
    try:
        for number in numbers:
            rows = reader.fill(number, buffer)
            assert (buffer.x[:rows] == buffer.target[:rows]).all()
            out.append(buffer.x[:rows, 0].astype(int).tolist())
    finally:
        reader.close()
    return out


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize(("window", "batch"), [(16, 4), (50, 8), (1000, 7), (40, 40)])
def test_every_row_is_seen_once_an_epoch(window: int, batch: int, world_size: int) -> None:
    epochs: list[list[int]] = [[], []]
    for rank in range(world_size):
        layout = Layout(COUNTS, window=window, batch_size=batch, seed=3, rank=rank, world_size=world_size)
        found = shown(layout, list(range(2 * layout.windows)))
        assert max(map(len, found)) == layout.capacity <= max(window, batch)
        for epoch in range(2):
            for rows in found[epoch * layout.windows : (epoch + 1) * layout.windows]:
                epochs[epoch] += rows
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(COUNTS.sum()))
    if layout.windows > 1:
        assert epochs[0] != epochs[1]
        assert epochs[0] != sorted(epochs[0])
    elif world_size == 1:
        assert epochs[0] == epochs[1] == sorted(epochs[0])


def test_any_window_can_be_shown_again() -> None:
    layout = Layout(COUNTS, window=30, batch_size=6, seed=0)
    found = shown(layout, list(range(2 * layout.windows)))
    order = [5, 2, 3, 4, 0, 7, 7, 1]
    assert shown(layout, order) == [found[number] for number in order]


def test_a_window_is_read_from_the_block_that_it_begins_in() -> None:
    layout = Layout(COUNTS, window=30, batch_size=6, seed=None)
    read: list[int] = []

    def noted(block: int) -> Encoded:
        read.append(block)
        return numbered(block)

    assert shown(layout, [1], noted) == [list(range(30, 60))]
    assert read[0] == 2  # the blocks before it end where it begins


def test_the_files_own_order_is_left_without_shuffling() -> None:
    layout = Layout(COUNTS, window=30, batch_size=6, seed=None)
    found = shown(layout, list(range(layout.windows)))
    assert [row for window in found for row in window] == list(range(COUNTS.sum()))


def test_a_last_batch_of_one_row_joins_the_one_before() -> None:
    layout = Layout(np.array([17]), window=8, batch_size=8, seed=0, merge_single=True)
    assert (layout.steps, layout.windows, layout.capacity) == (2, 2, 9)


def test_an_error_of_the_reading_thread_reaches_the_one_that_trains() -> None:
    def read(block: int) -> Encoded:
        if block == 4:
            raise DataError("row group 4 is damaged")
        return numbered(block)

    layout = Layout(COUNTS, window=30, batch_size=6, seed=None)
    with pytest.raises(DataError, match="row group 4 is damaged"):
        shown(layout, list(range(layout.windows)), read)


def test_options_of_streams_are_checked() -> None:
    with pytest.raises(OptionError, match="rank is 2, but must be at least 0 and below world_size, which is 2"):
        Layout(COUNTS, window=30, batch_size=6, seed=0, rank=2, world_size=2)
    with pytest.raises(OptionError, match="leaves no rows to train on"):
        HashSplit(seed=0, validation=0.5, test=0.5)
    for limit in ("2 XB", "", "-1GB", True, 10):
        with pytest.raises(OptionError, match=r"memory_limit is .*, but must be at least 1 MB"):
            memory_bytes(limit)
