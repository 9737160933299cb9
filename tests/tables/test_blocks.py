"""Large tables in blocks are what they are at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from manynets.errors import DataError
from manynets.tables import blocks as module
from manynets.tables import fit_encoder
from manynets.tables.blocks import Blocks, open_blocks
from manynets.tables.files import read_written
from tests.export.tables import wide_table


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STREAM_BYTES", 0)
    monkeypatch.setattr(module, "STREAM_CELLS", 0)
    monkeypatch.setattr(module, "PIECE_BYTES", 5000)
    monkeypatch.setattr(module, "STORED_ROWS", 31)


def blocks_of(path: Path, used: Sequence[str] = (), **options: Any) -> Blocks:
    found = open_blocks(str(path), used=used, **options)
    assert found is not None
    return found


def assert_same(path: Path, used: Sequence[str] = (), **options: Any) -> polars.DataFrame:
    wanted, cells = read_written(path, **options)
    found = blocks_of(path, used, **options)
    for size in (70, 10_000):
        frames, written = zip(*found.frames(size), strict=True)
        assert polars.concat(written).fill_null("").rows() == cells.fill_null("").rows()
        assert all(frame.height == size for frame in frames[:-1])
        assert frames[-1].height < 2 * size
        whole = polars.concat(frames)
        assert whole.schema == wanted.schema
        assert whole.equals(wanted)
    assert (found.rows, found.names) == (wanted.height, tuple(wanted.columns))
    return wanted


def test_text_and_parquet(tmp_path: Path) -> None:
    frame = wide_table()
    texts = ["weight", "color", "town", "new", "sold", "opens"]
    frame.write_csv(tmp_path / "t.csv")
    assert_same(tmp_path / "t.csv", frame.columns, text=texts)
    frame.write_csv(tmp_path / "t.tsv", separator="\t", quote_style="always")
    assert_same(tmp_path / "t.tsv", frame.columns, text=texts)
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=50)
    assert_same(tmp_path / "t.parquet")


def test_odd_cells_among_numbers_that_stay_text(tmp_path: Path) -> None:
    """Whether they are few enough to count as missing only the whole table shows."""
    frame = polars.DataFrame({"p": [f"${i}" for i in range(3000)], "d": ["2024-01-05", "2023-02-07", "2022-12-31"] * 1000})
    encoder = fit_encoder(frame)
    for odd in ({}, {"p": "kaputt"}, {"d": "soon"}):
        new = frame.with_row_index("i").with_columns(
            polars.when(polars.col("i") == 2500).then(polars.lit(odd.get(name))).otherwise(polars.col(name)).alias(name)
            for name in ("p", "d")
        )
        new.drop("i").write_csv(tmp_path / "t.csv")
        found = open_blocks(str(tmp_path / "t.csv"), used=["p", "d"], text=encoder.forms)
        assert (found is None) == bool(odd)


def test_types_are_those_of_all_rows(tmp_path: Path) -> None:
    rows = 1200  # beyond those that show the types
    random = np.random.default_rng(0)
    columns: dict[str, list[str]] = {
        "whole": [str(v) for v in random.integers(-(10**6), 10**6, rows)],
        "numbers": [repr(float(v)) for v in random.normal(size=rows) * 10.0 ** random.integers(-200, 200, rows)],
        "late point": ["1"] * (rows - 1) + ["1.5"],
        "late gap": ["1.5"] * (rows - 1) + ["NA"],
        "late zero": ["7"] * (rows - 1) + ["007"],
        "words": ["a", 'b, "c"', "d\ne", "#N/A"] * (rows // 4),
        "spaces": [" 1 ", "2", "3 ", ""] * (rows // 4),
        "points": ["1.234", "-5.678"] * (rows // 2),
        "points or not": ["1.230", "-5.678", "12"] * (rows // 3),
    }
    for left_out in ("", "late point", "late gap", "late zero", "points"):
        some = {name: cells for name, cells in columns.items() if name != left_out}
        polars.DataFrame(some).write_csv(tmp_path / "t.csv")
        assert_same(tmp_path / "t.csv", ["whole", "numbers", "late point"], text=["words"])
    (tmp_path / "t.csv").write_text("a;b;c\n" + "1,5;2;x\n;3;y\n2,5;-3,25;NA\n" * 400)
    assert_same(tmp_path / "t.csv", ["a", "b"], text=["c"])
    for names in (["whole", "numbers"], ["late gap", "whole"], ["late zero"]):
        polars.DataFrame({name: columns[name] for name in names}).write_csv(tmp_path / "t.csv")
        assert_same(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n3\n4,5\n",
        "a,b\n1,2\n\n4,5\n",
        "a,b\n1,2\na,b\n4,5\n",
        "a,b\n" + "1,2\n" * 50 + "1,2,3\n",
        "A title\n\na,b\n1,2\n3,4\n",
        "a,b\n1,2\n3,4\n,\n",
        "a,b\n" + "1,2\n" * 300 + 'x,"y\n',
        "a,b\n" + "1.5,2\n" * 2000 + "word,2\n",
    ],
)
def test_what_only_the_whole_table_shows(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert open_blocks(str(tmp_path / "t.csv"), used=["a", "b"]) is None


def test_what_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = wide_table()
    frame.write_csv(tmp_path / "t.csv")
    frame.write_ipc(tmp_path / "t.arrow")
    frame.write_parquet(tmp_path / "t.parquet")
    polars.DataFrame({"a": [[1, 2], [3, 4]]}).write_parquet(tmp_path / "nested.parquet")
    (tmp_path / "wide.csv").write_text("a,b\n1,2\n", encoding="utf-16")
    for name in ("t.arrow", "nested.parquet", "wide.csv", "nothing.csv"):
        assert open_blocks(str(tmp_path / name), used=[]) is None
    assert open_blocks("-", used=[]) is None
    monkeypatch.setattr(module, "STREAM_BYTES", 1 << 20)
    monkeypatch.setattr(module, "STREAM_CELLS", 1 << 20)
    assert open_blocks(str(tmp_path / "t.csv"), used=[]) is None
    assert open_blocks(str(tmp_path / "t.parquet"), used=[]) is None


def test_a_file_that_changes_is_refused(tmp_path: Path) -> None:
    frame = wide_table()
    frame.write_csv(tmp_path / "t.csv")
    found = blocks_of(tmp_path / "t.csv", text=["weight", "color", "town", "new", "sold", "opens"])
    frame[:-1].write_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match="changed while it was read"):
        list(found.frames(10))
