"""One file for a model or a checkpoint: safetensors with a JSON header, and a SHA-256 over every byte. Nothing in it can run code.

    8 bytes   length of the header, little-endian
    header    {"__metadata__": {"format": ..., "manynets": "...", "sha256": "..."}, name: {"dtype", "shape", "data_offsets"}, ...}
    tensors   in the order of the header, without a gap

"format" says which kind of file it is, "manynets" is the JSON header as text, and "sha256" the hash of the whole file with this
very field set to zeros, so any change of any byte shows. A reader checks every size against the file before it makes anything.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from manynets.errors import ModelFileError, OptionError

__all__ = ["FORMAT_VERSION", "Kind", "check_path", "check_target", "is_stream", "read_model_file", "replacing", "write_model_file"]

Kind = Literal["model", "checkpoint"]

FORMAT_VERSION = 2
READABLE = (1, 2)
_FORMATS: dict[Kind, str] = {"model": "manynets", "checkpoint": "manynets-checkpoint"}
_REMEDY: dict[Kind, str] = {"model": "save the model again", "checkpoint": "use an older checkpoint"}
_ZEROS = "0" * 64
_FIELD = b'"sha256":"'
_LONGEST_HEADER = 64 << 20
_SPARE = 24 << 20  # bytes that the objects of any header may take
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_NAME_OF = {np.dtype(code): name for name, code in _DTYPES.items()}
_STRANGERS = {  # how files begin that are taken for a model by mistake
    b"PK": "a zip archive, such as torch.save writes",
    b"\x80": "a pickle, which manynets never reads",
    b"\x89HDF": "an HDF5 file, such as Keras writes",
    b"\x1f\x8b": "a gzip archive",
}
_UNABLE = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM}  # a folder that this system cannot open or sync


def check_path(path: object, *, what: str = "path") -> None:
    """Raise OptionError for what is no path at all, such as a number."""
    if not isinstance(path, str | bytes | os.PathLike):
        raise OptionError(f"{what} is {path!r}, but must be a path: a text or a pathlib.Path")
    if "\0" in os.fsdecode(path):
        raise OptionError(f"{what} is {path!r}, but no path can hold a null character")


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise OptionError for a path to which no file can be written: a folder, or one within a folder that is not there."""
    check_path(path)
    target = Path(os.fsdecode(path))
    if target.is_dir():
        raise OptionError(f"path is {str(path)!r}, which is a folder; give a file in it, such as {target / 'model.safetensors'}")
    if not target.parent.is_dir():
        why = "is no folder; choose another" if target.parent.exists() else "does not exist; make that folder first"
        raise OptionError(f"path is {str(path)!r}, but {target.parent} {why}")


# ---------------------------------------------------------------------------------------------------------------- writing


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only once it is whole and on the disk.

    It is written beside the target, flushed, synced and renamed, and the folder is synced; on any error it is removed and what
    was at `path` stays as it was. Of a symbolic link, the file that it leads to is replaced. A pipe or a character device such as
    /dev/stdout is written to directly. overwrite: False to replace nothing, not even what another program has just made.

    Raises OptionError where `path` is a block device or a socket, or exists and may not be replaced. An OSError names `path`.
    """
    shown = Path(path)
    if is_stream(shown):
        with open(shown, "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(shown)) if shown.is_symlink() else shown
    name = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        if overwrite:
            os.replace(name, target)
        else:
            _rename_new(name, target)
        _sync_folder(target.parent)
    except BaseException as error:
        if name is not None:
            with contextlib.suppress(OSError):
                os.unlink(name)
        about_temp = isinstance(error, OSError) and error.errno is not None and not _names_another(error, target)
        if about_temp and isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(shown)) from error
        raise


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a pipe or a character device, to which one writes directly.

    Raises OptionError for a block device or a socket, and OSError for a link that leads in a circle.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise OptionError(f"{path} is {'a block device' if stat.S_ISBLK(mode) else 'a socket'}, and is not written to; name a file")
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def _rename_new(name: str, target: Path) -> None:
    """Rename a file to a name that does not exist yet; OptionError where it does."""
    try:
        os.link(name, target)  # unlike a rename, this replaces nothing
        os.unlink(name)
    except FileExistsError:
        raise OptionError(f"{target} was made by another program meanwhile, and is not replaced; choose another name") from None
    except OSError as error:
        if error.errno not in _UNABLE | {errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK} or os.path.lexists(target):
            raise
        os.replace(name, target)


def _names_another(error: OSError, target: Path) -> bool:
    """Whether the error is about another file than the target or its temporary one."""
    named = error.filename
    return named is not None and not Path(os.fsdecode(named)).name.startswith(f".{target.name}.")


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_model_file(
    path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], *, kind: Kind = "model"
) -> None:
    """Write tensors by name and a JSON header to `path`, all or nothing; an OSError names the path."""
    text = json.dumps({"format_version": FORMAT_VERSION, **header}, allow_nan=False, sort_keys=True)
    whole: dict[str, Any] = {"__metadata__": {"format": _FORMATS[kind], "manynets": text, "sha256": _ZEROS}}
    arrays = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    arrays = {name: value.astype(value.dtype.newbyteorder("<"), copy=False) for name, value in arrays.items()}
    place = 0
    for name in sorted(arrays, key=lambda name: (-arrays[name].itemsize, name)):
        value = arrays[name]
        entry = {"dtype": _NAME_OF[value.dtype], "shape": list(value.shape), "data_offsets": [place, place + value.nbytes]}
        whole[name] = entry
        place += value.nbytes
    head = json.dumps(whole, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    at = head.rfind(_FIELD) + len(_FIELD)
    parts = [len(head).to_bytes(8, "little"), head] + [_bytes(arrays[name]) for name in whole if name != "__metadata__"]
    check = hashlib.sha256()
    for part in parts:
        check.update(part)
    parts[1] = head[:at] + check.hexdigest().encode() + head[at + 64 :]
    with replacing(path) as file:
        for part in parts:
            file.write(part)


def _bytes(value: NDArray[Any]) -> Any:
    return value.reshape(-1).view(np.uint8).data


# ---------------------------------------------------------------------------------------------------------------- reading


def read_model_file(path: str | os.PathLike[str], *, kind: Kind = "model") -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return (header, tensors) of a file after all of it was checked; anything else is a ModelFileError.

    The tensors are views of one buffer of the file's bytes.
    """
    whole, length, outer, entries = _read(path, kind)
    place = _hash_place(bytes(memoryview(whole)[8 : 8 + length]), path)
    check = hashlib.sha256(memoryview(whole)[:place])
    check.update(_ZEROS.encode())
    check.update(memoryview(whole)[place + 64 :])
    if check.hexdigest().encode() != whole[place : place + 64]:
        raise ModelFileError(f"{path}: the file is damaged (its SHA-256 does not match its {len(whole)} bytes); use another copy")
    metadata = outer["__metadata__"]
    if metadata["format"] != _FORMATS[kind]:
        found = {text: name for name, text in _FORMATS.items()}.get(metadata["format"])
        what = f"a {found}" if found else f"of the format {metadata['format']!r}"
        raise ModelFileError(f"{path}: this is {what}, but a {kind} is needed")
    header = _json(metadata["manynets"].encode("utf-8", "surrogatepass"), "the field 'manynets'", path, kind)
    version = header.pop("format_version", None)
    if type(version) is not int or version not in READABLE:
        raise ModelFileError(
            f"{path}: the file has format_version {version!r}, this manynets reads versions {READABLE[0]} to {READABLE[-1]}; "
            "install a newer manynets"
        )
    first, tensors = 8 + length, {}
    for name, (dtype, shape, start, stop) in entries.items():
        tensors[name] = np.frombuffer(whole, dtype=dtype, count=(stop - start) // dtype.itemsize, offset=first + start).reshape(
            shape
        )
    return header, tensors


def _read(path: str | os.PathLike[str], kind: Kind) -> tuple[bytearray, int, dict[str, Any], dict[str, Entry]]:
    """Return all bytes of a file, the length of its header, the header and its tensors, once the sizes in it are those of the file."""
    check_path(path)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise ModelFileError(f"{path}: there is no such file") from None
    if stat.S_ISDIR(status.st_mode):
        hint = f"; give the model file in it, such as {path}/model.safetensors" if kind == "model" else ""
        raise ModelFileError(f"{path}: this is a folder{hint}")
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{path}: this is no regular file but a device or a pipe; give a {kind} file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        first = file.read(9)
        for start, what in _STRANGERS.items():
            if first.startswith(start) and first[8:9] != b"{":
                raise ModelFileError(f"{path}: this is {what}, not a manynets {kind} file; use another file")
        length = int.from_bytes(first[:8], "little")
        if size < 16 or not 0 < length <= min(_LONGEST_HEADER, size - 8):
            raise ModelFileError(
                f"{path}: not a manynets {kind} file, or truncated (the header's length is {length}, the file has {size} bytes); use another file"
            )
        if first[8:9] != b"{":
            raise ModelFileError(f"{path}: not a manynets {kind} file (there is no header); use another file")
        file.seek(8)
        head = file.read(length)
        _hash_place(head, path)
        outer = _json(head, "the header", path, kind)
        entries = _entries(outer, path, kind)
        expected = 8 + length + sum(stop - start for _, _, start, stop in entries.values())
        if expected != size:
            cut = "is truncated" if size < expected else "has something after its end"
            raise ModelFileError(f"{path}: the file {cut}: {expected} bytes were expected, {size} found; use another copy")
        whole = bytearray(size)
        file.seek(0)
        found = file.readinto(whole)
        if found != size:
            raise ModelFileError(f"{path}: the file is truncated: {size} bytes were expected, {found} found; use another copy")
    return whole, length, outer, entries


def _hash_place(head: bytes, path: object) -> int:
    """Return where the 64 digits of the hash stand in the file."""
    place = head.rfind(_FIELD)
    if place < 0 or head.count(_FIELD) != 1 or place + len(_FIELD) + 64 > len(head):
        raise ModelFileError(f"{path}: not a manynets file (its header has no field 'sha256'); use another file")
    return 8 + place + len(_FIELD)


def _json(text: bytes, what: str, path: object, kind: Kind) -> dict[str, Any]:
    """Return the JSON object of a text; nothing twice, no NaN, and no more objects than the text's length warrants."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) != len(pairs):
            raise ValueError("a field stands twice")
        return out

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no number")

    cost = 24 * text.count(b",") + 96 * text.count(b"[") + 256 * text.count(b"{")
    try:
        if cost > _SPARE + 4 * len(text):
            raise ValueError("it holds too many objects")
        value = json.loads(text.decode("utf-8", "surrogatepass"), object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: {what} cannot be read ({error}); {_REMEDY[kind]}") from None
    if not isinstance(value, dict):
        raise ModelFileError(f"{path}: {what} is no JSON object; {_REMEDY[kind]}")
    return value


Entry = tuple[np.dtype[Any], tuple[int, ...], int, int]


def _entries(outer: dict[str, Any], path: object, kind: Kind) -> dict[str, Entry]:
    """Return dtype, shape, start and stop of each tensor by name: of known types, and one behind the other."""

    def bad(field: str, why: str) -> ModelFileError:
        return ModelFileError(f"{path}: {field} {why}; {_REMEDY[kind]}")

    metadata = outer.get("__metadata__")
    if not isinstance(metadata, dict) or set(metadata) != {"format", "manynets", "sha256"}:
        raise bad("__metadata__", "must have the fields format, manynets and sha256")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise bad("__metadata__", "must hold texts")
    out: dict[str, Entry] = {}
    place = 0
    for name, entry in outer.items():
        if name == "__metadata__":
            continue
        shown = repr(name[:80])
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise bad(shown, "must have the fields dtype, shape and data_offsets")
        code = entry["dtype"]
        if not isinstance(code, str) or code not in _DTYPES:
            raise bad(f"dtype of {shown}", f"is {str(code)[:80]!r}, but must be one of {', '.join(_DTYPES)}")
        shape, offsets = entry["shape"], entry["data_offsets"]
        if not _sizes(shape) or len(shape) > 32:
            raise bad(f"shape of {shown}", "must be a list of at most 32 whole numbers")
        if not _sizes(offsets) or len(offsets) != 2 or offsets[0] != place:
            raise bad(f"data_offsets of {shown}", f"must be two whole numbers, the first {place}: tensors follow without a gap")
        dtype = np.dtype(_DTYPES[code])
        wanted = math.prod(shape) * dtype.itemsize if 0 not in shape else 0
        if offsets[1] - place != wanted:
            raise bad(f"data_offsets of {shown}", f"hold {offsets[1] - place} bytes, but its shape needs {wanted}")
        out[name] = (dtype, tuple(shape), place, offsets[1])
        place = offsets[1]
    return out


def _sizes(value: Any) -> bool:
    """Whether this is a list of whole numbers that could be sizes in a file."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 62 for item in value)
