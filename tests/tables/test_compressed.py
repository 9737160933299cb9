"""Compressed tables, and zip archives with a table in them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import polars
import pytest

from manynets.errors import DataError
from manynets.tables import open_file, read_table
from tests.tables.test_tables_formats import Stdin, write_book

TEXT = "n;x;t\r\n1;0,5;ä\r\n2;;b\r\n"
CELLS = {"n": [1, 2], "x": [0.5, None], "t": ["ä", "b"]}
ZSTANDARD = bytes.fromhex("28b52ffd2417b900006e3b783b740d0a313b302c353bc3a40d0a323b3b620d0a8bdea2fb")
"""TEXT, as zstd compresses it."""
LATIN = bytes.fromhex("28b52ffd240949000061623b630ae43b310a0a4c2353")
"""Text that is not UTF-8, as zstd compresses it."""
COMPRESSORS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": lambda data: ZSTANDARD}


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_compressed_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    content = COMPRESSORS[ending](TEXT.encode())
    (tmp_path / f"t.CSV{ending.upper()}").write_bytes(content)
    (tmp_path / f"t.csv{ending}").write_bytes(content)
    for name in (f"t.CSV{ending.upper()}", f"t.csv{ending}"):
        assert read_table(tmp_path / name).to_dict(as_series=False) == CELLS
    assert open_file(tmp_path / f"t.csv{ending}").commas == ("x",)
    monkeypatch.setattr(sys, "stdin", Stdin(content))
    assert read_table("-").to_dict(as_series=False) == CELLS
    (tmp_path / f"cut.csv{ending}").write_bytes(content[:-6])
    with pytest.raises(DataError, match=rf"cut\.csv{ending} cannot be (read|decompressed)"):
        read_table(tmp_path / f"cut.csv{ending}")


def test_lines_with_tabs_and_json_lines_in_compressed_files(tmp_path: Path) -> None:
    (tmp_path / "t.tsv.bz2").write_bytes(bz2.compress(b"a\tb,c\n1\t2\n"))
    assert read_table(tmp_path / "t.tsv.bz2").columns == ["a", "b,c"]
    (tmp_path / "t.jsonl.xz").write_bytes(lzma.compress(b'{"a": 1}\n{"a": 2}\n'))
    assert read_table(tmp_path / "t.jsonl.xz").to_dict(as_series=False) == {"a": [1, 2]}


def test_text_in_zst_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "t.csv.zst").write_bytes(LATIN)
    with pytest.raises(DataError, match=r"t\.csv\.zst is not UTF-8, .* decompress it, with zstd -d, or compress it with gzip"):
        read_table(tmp_path / "t.csv.zst")


def test_a_zip_archive_with_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = TEXT.encode()
    plain = write_zip(tmp_path / "t.csv.zip", {"t.csv": data})
    mac = {"in/": b"", "in/t.csv": data, "__MACOSX/in/._t.csv": b"x", "in/.DS_Store": b"x", "notes.pdf": b"x"}
    for path in (plain, write_zip(tmp_path / "mac.zip", mac), write_zip(tmp_path / "dot.ZIP", {"./t.txt": data})):
        assert read_table(path).to_dict(as_series=False) == CELLS
    bare = write_zip(tmp_path / "bare.zip", {"t.csv": b"1;2\n3;4\n"})
    assert read_table(bare, header=False, delimiter=";").to_dict(as_series=False) == {"x0": [1, 3], "x1": [2, 4]}
    monkeypatch.setattr(sys, "stdin", Stdin(plain.read_bytes()))
    assert read_table("-").to_dict(as_series=False) == CELLS
    with pytest.warns(UserWarning, match=r"r\.zip: t\.csv is read, and not README\.txt"):
        assert read_table(write_zip(tmp_path / "r.zip", {"README.txt": b"hello", "t.csv": data})).shape == (2, 3)
    ragged = write_zip(tmp_path / "wrong.zip", {"t.csv": b"a,b\n1,2\n3\n"})
    with pytest.raises(DataError, match=r"wrong\.zip/t\.csv, line 3 has 1 field, but the header has 2"):
        read_table(ragged)


def test_other_formats_in_a_zip_write_zip(tmp_path: Path) -> None:
    frame = polars.DataFrame({"a": [1, 2]})
    out = io.BytesIO()
    frame.write_parquet(out)
    path = write_zip(tmp_path / "p.zip", {"t.parquet": out.getvalue()})
    assert read_table(path).equals(frame)
    assert open_file(path).names == ("a",)
    with pytest.raises(DataError, match=r"p\.zip/t\.parquet: encoding and delimiter are for text files"):
        read_table(path, delimiter=";")
    assert read_table(write_zip(tmp_path / "j.zip", {"t.jsonl": b'{"a": 1}\n{"a": 2}\n'})).equals(frame)
    pytest.importorskip("python_calamine")
    book = write_book(tmp_path / "t.xlsx", {"A": [["a"], [1], [2]]})
    assert read_table(write_zip(tmp_path / "x.zip", {"t.xlsx": book.read_bytes()})).equals(frame)
    with pytest.raises(DataError, match=r"b\.zip is a workbook, whatever its ending; rename it to b\.xlsx"):
        read_table(book.rename(tmp_path / "b.zip"))


def test_a_zip_archive_that_does_not_say_which_table(tmp_path: Path) -> None:
    data = TEXT.encode()
    for files, message in (
        ({"train.csv": data, "test.csv": data}, r"holds 2 tables: train\.csv, test\.csv; unpack it, and name one of them"),
        ({"a.txt": data, "b.txt": data}, r"holds 2 tables: a\.txt, b\.txt"),
        ({"a.pdf": b""}, r"holds no table, but a\.pdf; a table ends in \.csv"),
        ({}, "holds no table, but no file at all"),
    ):
        with pytest.raises(DataError, match=message):
            read_table(write_zip(tmp_path / "t.zip", files))


def test_a_zip_archive_that_cannot_be_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "t.zip", {"t.csv": TEXT.encode()})
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"\xff\xff" + content[42:])
    with pytest.raises(DataError, match=r"t\.zip cannot be read as a zip archive"):
        read_table(path)
    flags = bytearray(content)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        flags[content.index(mark) + at] |= 1
    path.write_bytes(flags)
    with pytest.raises(DataError, match="it is encrypted; unpack it, and name the table in it"):
        read_table(path)
