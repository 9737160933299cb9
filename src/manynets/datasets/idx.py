"""Read IDX files, the format of MNIST: a header of big-endian numbers, then the values.

    bytes 0-1   zero
    byte  2     type of the values: 08 uint8, 09 int8, 0B int16, 0C int32, 0D float32, 0E float64
    byte  3     number of dimensions d
    4 d bytes   their sizes, unsigned 32 bit
    the rest    the values, row by row

Source: Y. LeCun, "The MNIST database of handwritten digits", section "The IDX file format".
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from manynets.errors import DataError

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"
MOST_DIMENSIONS = 8
MOST_BYTES = 2**31
DEFLATE_LIMIT = 1032  # deflate turns one byte into at most this many


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = MOST_BYTES) -> NDArray[Any]:
    """Return the array in an IDX file, plain or gzipped (by its first bytes, not its name), in native byte order.

    Memory is allocated only after the header was found to agree with the file's length, and for at most `max_bytes` of values, which
    are read directly into the array. Raises DataError with the file, what was expected and what was found.

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "two-rows-idx2-ubyte"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 2]) + bytes([0, 0, 0, 2]) + bytes([0, 0, 0, 3]) + bytes(range(6)))
    >>> read_idx(path)
    array([[0, 1, 2],
           [3, 4, 5]], dtype=uint8)
    """
    path = Path(path)
    try:
        length = path.stat().st_size
        with path.open("rb") as raw:
            zipped = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            file = gzip.GzipFile(fileobj=raw) if zipped else raw
            return _read(cast(BinaryIO, file), path, length, max_bytes=max_bytes, zipped=zipped)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; expected an IDX file, gzipped or not") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: its gzip stream cannot be read ({error})") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _read(file: BinaryIO, path: Path, length: int, *, max_bytes: int, zipped: bool) -> NDArray[Any]:
    dtype, shape, header = _read_header(file, path)
    expected = math.prod(shape) * dtype.itemsize
    if expected > max_bytes:
        raise DataError(f"{path}: its header announces {expected:,} bytes (shape {shape}), more than the limit of {max_bytes:,}")
    if not zipped and length != header + expected:
        raise _wrong_length(path, shape, expected, length - header)
    if zipped and expected > length * DEFLATE_LIMIT:
        raise DataError(
            f"{path}: its header announces {expected:,} bytes (shape {shape}), more than its {length:,} gzipped bytes can hold"
        )
    array = np.empty(shape, dtype)
    found = _fill(file, array.reshape(-1).view(np.uint8).data)
    if found < expected:
        raise _wrong_length(path, shape, expected, found)
    try:
        more = file.read(1)  # also makes gzip compare its checksum
    except EOFError:
        raise DataError(f"{path} is cut short: its gzip stream lacks the end, with its checksum") from None
    if more:
        raise DataError(f"{path} goes on after the {expected:,} bytes of values that its header announces (shape {shape})")
    return array if dtype.isnative else array.byteswap(inplace=True).view(dtype.newbyteorder())


def _read_header(file: BinaryIO, path: Path) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return the type of the values, their shape, and the size of the header in bytes."""
    start = _read_exactly(file, path, 4, "4 bytes of an IDX header")
    if start[:2] != b"\0\0" or start[2] not in DTYPES:
        codes = ", ".join(f"{code:02x}" for code in DTYPES)
        raise DataError(
            f"{path} is not an IDX file: it starts with the bytes {start.hex(' ')}, "
            f"but must with 00 00, a type (one of {codes}) and a number of dimensions"
        )
    dimensions = start[3]
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise DataError(f"{path}: its IDX header announces {dimensions} dimensions, but 1 to {MOST_DIMENSIONS} are allowed")
    sizes = _read_exactly(file, path, 4 * dimensions, f"the sizes of {dimensions} dimensions ({4 * dimensions} bytes)")
    shape = struct.unpack(f">{dimensions}I", sizes)
    if 0 in shape:
        raise DataError(f"{path} holds nothing: its IDX header announces the shape {shape}")
    return np.dtype(DTYPES[start[2]]), shape, 4 + 4 * dimensions


def _read_exactly(file: BinaryIO, path: Path, count: int, what: str) -> bytes:
    buffer = bytearray(count)
    found = _fill(file, memoryview(buffer))
    if found < count:
        raise DataError(f"{path} is cut short: expected {what}, found {found}")
    return bytes(buffer)


def _fill(file: BinaryIO, target: memoryview) -> int:
    """Read until the target is full or the file ends (or its gzip stream breaks off); return the number of bytes."""
    found = 0
    while found < len(target):
        try:
            count = cast(Any, file).readinto(target[found : found + 2**20])
        except EOFError:
            break
        if not count:
            break
        found += count
    return found


def _wrong_length(path: Path, shape: tuple[int, ...], expected: int, found: int) -> DataError:
    what = "is cut short" if found < expected else "is too long"
    return DataError(f"{path} {what}: expected {expected:,} bytes of values for shape {shape}, found {found:,}")
