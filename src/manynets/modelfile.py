"""One file for a model: safetensors with a JSON header, and a SHA-256 over every byte. Nothing in it can run code.

The metadata of the safetensors header has three entries: "format" ("manynets"), "manynets" (the JSON header) and "sha256", the
hash of the whole file with this very field set to zeros. So any change of any byte shows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from manynets.errors import ModelFileError

__all__ = ["FORMAT_VERSION", "read_model_file", "replacing", "write_model_file"]

FORMAT_VERSION = 1
_ZEROS = "0" * 64
_FIELD = b'"sha256":"'
_LONGEST_HEADER = 64 << 20


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only once it is whole and on the disk.

    It is written beside the target, flushed, synced and renamed, and the folder is synced; on any error it is removed and what
    was at `path` stays as it was.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    with contextlib.suppress(OSError):  # not every file system can sync a folder
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_model_file(path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write tensors by name and a JSON header to `path`, all or nothing; an OSError names the path."""
    from safetensors.numpy import save

    text = json.dumps({"format_version": FORMAT_VERSION, **header}, allow_nan=False, sort_keys=True)
    metadata = {"format": "manynets", "manynets": text, "sha256": _ZEROS}
    whole = save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, metadata=metadata)
    place = _hash_place(whole, path)
    digest = hashlib.sha256(whole).hexdigest().encode()
    with replacing(path) as file:
        file.write(memoryview(whole)[:place])
        file.write(digest)
        file.write(memoryview(whole)[place + 64 :])


def _hash_place(whole: bytes, path: object) -> int:
    """Return where the 64 digits of the hash stand in the header."""
    length = int.from_bytes(whole[:8], "little")
    if len(whole) < 16 or not 0 < length <= min(_LONGEST_HEADER, len(whole) - 8):
        raise ModelFileError(
            f"{path}: no model file of manynets (the header's length is {length}, the file has {len(whole)} bytes)"
        )
    head = whole[8 : 8 + length]
    place = head.rfind(_FIELD)
    if place < 0 or head.count(_FIELD) != 1:
        raise ModelFileError(
            f"{path}: no model file of manynets (its header has no field 'sha256'); it must be written by Model.save"
        )
    return 8 + place + len(_FIELD)


def read_model_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return (header, tensors) of a model file after its hash was checked; anything else is a ModelFileError."""
    try:
        whole = Path(path).read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise ModelFileError(f"{path}: this is a folder; give the model file in it, such as {path}/model.safetensors") from None
    place = _hash_place(whole, path)
    written = whole[place : place + 64]
    check = hashlib.sha256(whole[:place])
    check.update(_ZEROS.encode())
    check.update(memoryview(whole)[place + 64 :])
    if check.hexdigest().encode() != written:
        raise ModelFileError(
            f"{path}: the file is damaged or cut off (its SHA-256 does not match its {len(whole)} bytes); use another copy"
        )
    try:
        import safetensors.numpy

        length = int.from_bytes(whole[:8], "little")
        metadata = json.loads(whole[8 : 8 + length])["__metadata__"]
        header = json.loads(metadata["manynets"])
        tensors = safetensors.numpy.load(whole)
    except Exception as error:
        raise ModelFileError(
            f"{path}: the header cannot be read ({type(error).__name__}: {error}); save the model again"
        ) from error
    if not isinstance(header, dict):
        raise ModelFileError(f"{path}: the header is no JSON object; save the model again")
    version = header.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: the file has format version {version!r}, this manynets reads version {FORMAT_VERSION}; install a newer manynets"
        )
    return header, tensors
