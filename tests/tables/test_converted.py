"""Text tables that are written as Parquet beside them, to be read in blocks."""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path
from typing import Any

import polars
import pytest

import manynets.tables.converted as module
from manynets.errors import DataError
from manynets.tables import read_table
from manynets.tables.blocks import Blocks, text_blocks
from manynets.tables.converted import converted
from manynets.tables.rowgroups import BlockFiles


def test_a_copy_of_a_text_table_is_that_of_its_reading(tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("x;y,z\n" + "1;2,3\n" * 1000)
    reading: dict[str, Any] = {"group_bytes": 1 << 20}
    copy, new = converted(source, **reading, delimiter=";")
    assert new
    assert polars.read_parquet(copy).columns == ["x", "y,z"]
    assert converted(source, **reading, delimiter=";") == (copy, False)
    assert converted(source, **reading, delimiter=",") == (copy, True)
    assert polars.read_parquet(copy).columns == ["x;y", "z"]
    assert converted(source, **reading, delimiter=",", header=False) == (copy, True)
    polars.DataFrame({"own": [1]}).write_parquet(copy)
    with pytest.raises(DataError, match=r"rows\.csv\.parquet is in the way: .* manynets did not write it"):
        converted(source, **reading)
    assert polars.read_parquet(copy).columns == ["own"]


@pytest.mark.parametrize(
    "lines",
    [
        ["x,code", *(f"{i},0{i % 90}" for i in range(3000))],
        ["x,n", *(f"{i},{i % 7}" for i in range(12_000)), "1,2.5", "2,NA", "3,99999999999999999999"],
        ["x,x, n ,,y", *("1,2,3,4,true" for _ in range(3000))],
        ["", "x,n", *(f" {i} ,'a {i % 3}' " for i in range(3000))],
        ["x;n", *(f"{i};{i % 7},5" for i in range(3000))],
    ],
    ids=["zeros in front", "late floats", "names", "blanks", "decimal commas"],
)
def test_a_copy_of_a_text_table_holds_what_reading_it_at_once_gives(lines: list[str], tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("\n".join(lines) + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy, _ = converted(source, group_bytes=1 << 20)
        assert polars.read_parquet(copy).equals(read_table(source))


def test_what_a_text_table_needs_before_it_can_be_copied_is_said(tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    rows = b"1,2\n" * 1500
    for content, why in (
        (b"x,y\n" + rows + b"1,\xe4\n", "line 1502 is not utf-8: byte 0xe4"),
        (b"x,y\n" + rows + b"\n1,2\n", r"data row 1,500 \(counted from 0\) is a blank line"),
        (b"A title\nx,y\n" + rows, "line 2 has 2 fields, but the header has 1"),
        (b"x,y\n" + rows + b"total,3000\n", "it repeats its header, or has lines above it, sums below the rows"),
    ):
        source.write_bytes(content)
        with pytest.raises(DataError, match=f"cannot be read in parts: {why}"):
            converted(source, group_bytes=1 << 20)


def test_names_that_a_copy_changes_are_told(tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("x,x\n" + "1,2\n" * 50)
    with pytest.warns(UserWarning, match="column names occur twice: 'x' is called 'x_2'"):
        converted(source, group_bytes=1 << 20)


def test_a_copy_that_another_process_made_meanwhile_is_left_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process may be reading it, and would find that it changed."""
    source = tmp_path / "rows.csv"
    source.write_text("x,y\n" + "1,2\n" * 50)
    files: list[BlockFiles] = []

    def overtaken(*given: Any) -> Blocks:
        monkeypatch.undo()
        files.append(BlockFiles(converted(source, group_bytes=1 << 20)[0]))
        return text_blocks(*given)

    monkeypatch.setattr(module, "text_blocks", overtaken)
    assert converted(source, group_bytes=1 << 20) == (tmp_path / "rows.csv.parquet", False)
    assert files[0].read(files[0].blocks[0]).height == 50
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["rows.csv", "rows.csv.parquet"]


def test_a_text_that_was_only_touched_is_the_same_table(tmp_path: Path) -> None:
    """A training on it can be resumed, and its test rows are known."""
    source = tmp_path / "rows.csv"
    source.write_text("x,y\n" + "1,2\n" * 50)
    prints = []
    for content in (None, None, "x,y\n" + "1,3\n" * 50):
        if content is not None:
            source.write_text(content)
        os.utime(source, ns=(10**18 + len(prints), 10**18 + len(prints)))
        copy, new = converted(source, group_bytes=1 << 20)
        assert new
        prints.append(BlockFiles(copy).fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, *arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n")
    monkeypatch.setattr(polars.LazyFrame, "sink_parquet", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError, match=r"t\.csv cannot be converted to Parquet: Read-only file system"):
        converted(tmp_path / "t.csv", group_bytes=1 << 20)
