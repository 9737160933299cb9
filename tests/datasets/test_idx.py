"""IDX files: what is written comes back, and every kind of damage is named."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from manynets.datasets import read_idx
from manynets.errors import DataError

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def as_idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype.name], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


IMAGES = (np.arange(24) * 10 % 256).astype(np.uint8).reshape(2, 3, 4)
PLAIN = as_idx(IMAGES)  # 16 bytes of header, 24 of values
ZIPPED = gzip.compress(PLAIN, mtime=0)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (1, 1, 1, 2)])
def test_what_is_written_comes_back(tmp_path: Path, dtype: str, shape: tuple[int, ...], zipped: bool) -> None:
    array = (np.arange(np.prod(shape)) * 17 - 20).astype(dtype).reshape(shape)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(as_idx(array)) if zipped else as_idx(array))
    back = read_idx(path)
    assert back.dtype == np.dtype(dtype)
    assert back.dtype.isnative
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)


@given(array=arrays.arrays(st.sampled_from([np.dtype(name) for name in CODES]), arrays.array_shapes(max_dims=4, max_side=5)))
def test_any_array_comes_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(as_idx(array))
    assert read_idx(path).tobytes() == array.tobytes()


def test_big_endian_values_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes.fromhex("00000b01 00000003 0001 0100 ffff"))
    assert read_idx(str(path)).tolist() == [1, 256, -1]


def test_gzip_is_told_by_the_first_bytes_not_by_the_name(tmp_path: Path) -> None:
    (tmp_path / "zipped").write_bytes(ZIPPED)
    (tmp_path / "plain.gz").write_bytes(PLAIN)
    np.testing.assert_array_equal(read_idx(tmp_path / "zipped"), IMAGES)
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), IMAGES)


def test_gzip_of_several_members_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(PLAIN[:20]) + gzip.compress(PLAIN[20:]))
    np.testing.assert_array_equal(read_idx(path), IMAGES)


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


HUGE = struct.pack(">BBBB3I", 0, 0, 0x08, 3, 60_000, 28, 28)
BEYOND = struct.pack(">BBBB3I", 0, 0, 0x0E, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)

DAMAGED = {
    "empty": (b"", "is cut short: expected 4 bytes of an IDX header, found 0"),
    "three bytes": (PLAIN[:3], "is cut short: expected 4 bytes of an IDX header, found 3"),
    "text": (b"<!DOCTYPE html>", "is not an IDX file: it starts with the bytes 3c 21 44 4f, but must with 00 00, a type"),
    "png": (b"\x89PNG\r\n\x1a\n", "is not an IDX file: it starts with the bytes 89 50 4e 47, but"),
    "zip": (b"PK\x03\x04rest", "is not an IDX file: it starts with the bytes 50 4b 03 04, but"),
    "unknown type": (b"\0\0\x0a\x01\0\0\0\x01\0", "(one of 08, 09, 0b, 0c, 0d, 0e)"),
    "no dimension": (b"\0\0\x08\x00", "its IDX header announces 0 dimensions, but 1 to 8 are allowed"),
    "many dimensions": (b"\0\0\x08\xff" + b"\0\0\0\x01" * 255, "its IDX header announces 255 dimensions, but"),
    "sizes cut": (PLAIN[:10], "is cut short: expected the sizes of 3 dimensions (12 bytes), found 6"),
    "a size of zero": (
        b"\0\0\x08\x02\0\0\0\0\xff\xff\xff\xff",
        "holds nothing: its IDX header announces the shape (0, 4294967295)",
    ),
    "no values": (PLAIN[:16], "is cut short: expected 24 bytes of values for shape (2, 3, 4), found 0"),
    "values cut": (PLAIN[:-1], "is cut short: expected 24 bytes of values for shape (2, 3, 4), found 23"),
    "too long": (PLAIN + b"!", "is too long: expected 24 bytes of values for shape (2, 3, 4), found 25"),
    "header too large": (HUGE + b"12345", "is cut short: expected 47,040,000 bytes of values for shape (60000, 28, 28), found 5"),
    "beyond the limit": (BEYOND, "more than the limit of 2,147,483,648"),
    "gzip: text": (gzip.compress(b"hello, world"), "is not an IDX file: it starts with the bytes 68 65 6c 6c, but"),
    "gzip: nothing": (gzip.compress(b""), "is cut short: expected 4 bytes of an IDX header, found 0"),
    "gzip: values cut": (gzip.compress(PLAIN[:-4]), "is cut short: expected 24 bytes of values for shape (2, 3, 4), found 20"),
    "gzip: too long": (gzip.compress(PLAIN + b"!"), "goes on after the 24 bytes of values that its header announces"),
    "gzip: checksum cut": (ZIPPED[:-5], "is cut short: its gzip stream lacks the end, with its checksum"),
    "gzip: magic only": (ZIPPED[:2], "is cut short: expected 4 bytes of an IDX header, found 0"),
    "gzip: wrong checksum": (flip(ZIPPED, -8 + len(ZIPPED)), "is damaged: its gzip stream cannot be read (CRC check failed"),
    "gzip: wrong method": (flip(ZIPPED, 2), "is damaged: its gzip stream cannot be read (Unknown compression method"),
    "gzip: damaged block": (ZIPPED[:10] + b"\xff" + ZIPPED[11:], "is damaged: its gzip stream cannot be read (Error -3"),
    "gzip: header too large": (gzip.compress(HUGE), "gzipped bytes can hold"),
    "gzip: beyond the limit": (gzip.compress(BEYOND), "more than the limit of 2,147,483,648"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_named(tmp_path: Path, case: str) -> None:
    data, message = DAMAGED[case]
    path = tmp_path / "train-images"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_gzip_cut_within_the_values_tells_how_many_came(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, 100_000).astype(np.uint8)  # does not compress
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(as_idx(values))[:60_000])
    with pytest.raises(DataError, match=r"is cut short: expected 100,000 bytes of values for shape \(100000,\), found \d"):
        read_idx(path)


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    small = struct.pack(">BBBBI", 0, 0, 0x08, 1, 10)
    path.write_bytes(gzip.compress(small + bytes(100_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="goes on after the 10 bytes"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_the_limit_is_the_callers(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(PLAIN)
    assert read_idx(path, max_bytes=24).shape == (2, 3, 4)
    with pytest.raises(DataError, match=r"announces 24 bytes \(shape \(2, 3, 4\)\), more than the limit of 23"):
        read_idx(path, max_bytes=23)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing is missing; expected an IDX file"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_idx(tmp_path)
