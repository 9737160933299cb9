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

Kind = Literal["model", "checkpoint"]

FORMAT_VERSION = 2
READABLE = (1, 2)
_FORMATS: dict[Kind, str] = {"model": "manynets", "checkpoint": "manynets-checkpoint"}
_REMEDY: dict[Kind, str] = {"model": "save the model again", "checkpoint": "use an older checkpoint"}
_ZEROS = "0" * 64
_FIELD = b'"sha256":"'
_LONGEST_HEADER: dict[Kind, int] = {"model": 32 << 20, "checkpoint": 64 << 20}  # that of a checkpoint has a part for each network
_OBJECTS = 40 << 20  # bytes that the objects of a header may take
PART = 8 << 20  # bytes that are read at once
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1", "C64": "<c8",
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
    """Raise OptionError unless this is a path: a number is not."""
    if not isinstance(path, str | bytes | os.PathLike):
        raise OptionError(f"{what} is {path!r}, but must be a path: a text or a pathlib.Path")
    if "\0" in os.fsdecode(path):
        raise OptionError(f"{what} is {path!r}, but no path can hold a null character")


def leads_to_itself(path: str | os.PathLike[str]) -> bool:
    """Return whether the links of a path form a loop."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    except ValueError:  # a null character
        pass
    return False


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise OptionError for a path to which no file can be written: a folder, or one within a folder that is not there."""
    check_path(path)
    target = Path(os.fsdecode(path))
    if target.is_dir():
        raise OptionError(f"path is {str(path)!r}, which is a folder; give a file in it, such as {target / 'model.safetensors'}")
    if target.is_symlink() and leads_to_itself(target):
        raise OptionError(f"path is {str(path)!r}, a symbolic link that leads back to itself; give a file")
    if not target.parent.is_dir():
        why = "is no folder; choose another" if target.parent.exists() else "does not exist; make that folder first"
        raise OptionError(f"path is {str(path)!r}, but {target.parent} {why}")


# ---------------------------------------------------------------------------------------------------------------- writing


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only once it is whole and on the disk.

    It is written beside the target, flushed, synced and renamed, and the folder is synced; on any error it is removed and what
    was at `path` stays as it was. A file that is replaced passes its permissions on. Of a symbolic link, the file that it leads to
    is replaced. A pipe or a character device such as /dev/stdout is written to directly. overwrite: False to replace nothing, not
    even what another program has just made.

    Raises OptionError where `path` is a block device or a socket, or exists and may not be replaced. An OSError names `path`.
    """
    shown = Path(path)
    if is_stream(shown):
        try:
            with open(shown, "wb") as file:
                yield file
        except OSError as error:
            if error.errno is None or error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, str(shown)) from error
        return
    target = Path(os.path.realpath(shown)) if shown.is_symlink() else shown
    name = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, stat.S_IMODE(os.stat(target).st_mode) if target.is_file() else 0o666 & ~umask())
        if overwrite:
            os.replace(name, target)
        else:
            _rename_new(name, target)
        sync_folder(target.parent)
    except BaseException as error:
        if name is not None:
            with contextlib.suppress(OSError):
                os.unlink(name)
        if isinstance(error, OSError) and error.errno is not None and not _names_another(error, target):
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


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise


def umask() -> int:
    """Return the permissions that new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_model_file(
    path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], *, kind: Kind = "model"
) -> None:
    """Write tensors by name and a JSON header to `path`, all or nothing; an OSError names the path."""
    text = json.dumps({"format_version": FORMAT_VERSION, **header}, allow_nan=False, sort_keys=True)
    if kind == "model" and (len(text) > _LONGEST_HEADER[kind] // 2 or _objects(text) > _OBJECTS):
        raise OptionError(
            f"what the model says of itself takes {len(text):,} characters, more than is read again; make `info` smaller, or use fewer"
            " categories or classes"
        )
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


class StoredTensor:
    """A tensor in an open file, whose values are not read yet."""

    def __init__(self, file: BinaryIO, place: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.file, self.place, self.dtype, self.shape = file, place, dtype, shape

    def read(self) -> NDArray[Any]:
        """Return the values."""
        out = np.empty(self.shape, self.dtype)
        self.file.seek(self.place)
        self._fill(out.reshape(-1))
        return out

    def read_into(self, target: NDArray[Any]) -> None:
        """Write the values to an array of as many numbers, a part after the other, so that they take memory once.

        target: (K, ...), in any order in memory.
        """
        self.file.seek(self.place)
        for part in _parts(target):
            values = np.empty(part.shape, self.dtype)
            self._fill(values.reshape(-1))
            part[...] = values

    def _fill(self, values: NDArray[Any]) -> None:
        if self.file.readinto(_bytes(values)) != values.nbytes:  # type: ignore[attr-defined]
            raise ModelFileError(f"{self.file.name}: the file changed while it was read; read it again")


def _parts(target: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield views of an array (K, ...), in the order of its indices, of some megabytes each."""
    if target.nbytes <= PART or not target.shape[1:]:
        yield target
        return
    for k in range(len(target)):
        step = max(1, len(target[k]) * PART // max(1, target[k].nbytes))
        for first in range(0, len(target[k]), step):
            yield target[k, first : first + step]


def read_model_file(path: str | os.PathLike[str], *, kind: Kind = "model") -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return (header, tensors) of a file after all of it was checked; anything else is a ModelFileError."""
    with open_model_file(path, kind=kind) as (header, stored):
        return header, {name: one.read() for name, one in stored.items()}


@contextlib.contextmanager
def open_model_file(
    path: str | os.PathLike[str], *, kind: Kind = "model"
) -> Iterator[tuple[dict[str, Any], dict[str, StoredTensor]]]:
    """Open a file, check all of it, and yield (header, tensors that are still to be read); anything else is a ModelFileError.

    The values are read once to check their hash, in parts, and once more into their place: so a file takes the memory of its
    tensors and its header, and none if it is damaged.
    """
    _check_readable(path, kind)
    with open(path, "rb") as file:
        length, check, digest, outer = _read_header(file, path, kind)
        entries = _entries(outer, path, kind)
        size, expected = os.fstat(file.fileno()).st_size, 8 + length + sum(stop - start for _, _, start, stop in entries.values())
        if expected != size:
            cut = "is truncated" if size < expected else "has something after its end"
            raise ModelFileError(f"{path}: the file {cut}: {expected} bytes were expected, {size} found; use another copy")
        found = 8 + length
        while part := file.read(PART):
            check.update(part)
            found += len(part)
        if found != size:
            raise ModelFileError(f"{path}: the file is truncated: {size} bytes were expected, {found} found; use another copy")
        if check.hexdigest() != digest:
            raise ModelFileError(f"{path}: the file is damaged (its SHA-256 does not match its {size} bytes); use another copy")
        metadata = outer["__metadata__"]
        if metadata["format"] != _FORMATS[kind]:
            named = {text: name for name, text in _FORMATS.items()}.get(metadata["format"])
            what = f"a {named}" if named else f"of the format {metadata['format']!r}"
            raise ModelFileError(f"{path}: this is {what}, but a {kind} is needed")
        del outer
        header = _json(metadata.pop("manynets"), "the field 'manynets'", path, kind)
        version = header.pop("format_version", None)
        if type(version) is not int or version not in READABLE:
            raise ModelFileError(
                f"{path}: the file has format_version {version!r}, this manynets reads versions {READABLE[0]} to {READABLE[-1]}; "
                "install a newer manynets"
            )
        yield header, {name: StoredTensor(file, 8 + length + at, dtype, shape) for name, (dtype, shape, at, _) in entries.items()}


def _check_readable(path: str | os.PathLike[str], kind: Kind) -> None:
    """Raise ModelFileError unless this is a regular file."""
    check_path(path)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise ModelFileError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: it cannot be read ({error.strerror}); give a {kind} file") from None
    if stat.S_ISDIR(status.st_mode):
        hint = f"; give the model file in it, such as {path}/model.safetensors" if kind == "model" else ""
        raise ModelFileError(f"{path}: this is a folder{hint}")
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{path}: this is no regular file but a device or a pipe; give a {kind} file")


def _read_header(file: BinaryIO, path: object, kind: Kind) -> tuple[int, Any, str, dict[str, Any]]:
    """Return the length of the header, the hash up to its end, the hash that it names, and the header."""
    size, first = os.fstat(file.fileno()).st_size, file.read(9)
    for start, what in _STRANGERS.items():
        if first.startswith(start) and first[8:9] != b"{":
            raise ModelFileError(f"{path}: this is {what}, not a manynets {kind} file; use another file")
    length = int.from_bytes(first[:8], "little")
    if size < 16 or not 0 < length <= min(_LONGEST_HEADER[kind], size - 8):
        raise ModelFileError(
            f"{path}: not a manynets {kind} file, or truncated (the header's length is {length}, the file has {size} bytes); use another file"
        )
    if first[8:9] != b"{":
        raise ModelFileError(f"{path}: not a manynets {kind} file (there is no header); use another file")
    file.seek(8)
    head = file.read(length)
    place = _hash_place(head, path)
    check = hashlib.sha256(first[:8])
    for part in (memoryview(head)[:place], _ZEROS.encode(), memoryview(head)[place + 64 :]):
        check.update(part)
    digest = head[place : place + 64].decode("latin-1")
    try:
        text = head.decode("utf-8", "surrogatepass")
    except ValueError as error:
        raise ModelFileError(f"{path}: the header cannot be read ({error}); {_REMEDY[kind]}") from None
    del head, part  # a text of megabytes is in memory once
    return length, check, digest, _json(text, "the header", path, kind)


def _hash_place(head: bytes, path: object) -> int:
    """Return where the 64 digits of the hash stand in the header."""
    place = head.rfind(_FIELD)
    if place < 0 or head.count(_FIELD) != 1 or place + len(_FIELD) + 64 > len(head):
        raise ModelFileError(f"{path}: not a manynets file (its header has no field 'sha256'); use another file")
    return place + len(_FIELD)


def _json(text: str, what: str, path: object, kind: Kind) -> dict[str, Any]:
    """Return the JSON object of a text; nothing twice, no NaN, and no more objects than the text's length warrants."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) != len(pairs):
            raise ValueError("a field stands twice")
        return out

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no number")

    try:
        if _objects(text) > _OBJECTS + (4 * len(text) if kind == "checkpoint" else 0):
            raise ValueError("it holds too many objects")
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: {what} cannot be read ({error}); {_REMEDY[kind]}") from None
    if not isinstance(value, dict):
        raise ModelFileError(f"{path}: {what} is no JSON object; {_REMEDY[kind]}")
    return value


def _objects(text: str) -> int:
    """Return about how many bytes the objects of a JSON text take: numbers, texts that are no keys, lists and objects."""
    texts = max(0, text.count('"') // 2 - text.count('":'))
    return 34 * text.count(",") + 76 * texts + 96 * text.count("[") + 400 * text.count("{")


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
